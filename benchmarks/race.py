"""Races beside the full grid: what they ask, what they choose, whom they drop; and that a race that is killed goes on as the same race.

    python benchmarks/race.py [recorded] [worlds] [kills] [--runs 200] [--grid FOLDER] [--smallest]

`recorded`: 160 prompts, the quickstart's 56 settings and 8 replicates, answered once by the embedded model (some ten minutes; kept in FOLDER); each
run draws 10, 20 or 50 prompts without replacement, races and chooses on them, and takes the truth from the prompts that are left. `worlds`: made-up
settings whose truth is known. `kills`: races of the command line, killed at random with SIGKILL and begun again. With `--smallest` each part does
little, and no limit is held.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

# Matrices this small cost more by threads that wait for each other than by one that works.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from race_prompts import prompts
from race_worlds import WORLDS, Drawn, draw

from evalkit.analysis.analysis import CellMean, reference_cell
from evalkit.choice import Choice, choose
from evalkit.choice.decision import Finish
from evalkit.choice.ranking import aim_of
from evalkit.experiment.experiment import Experiment, check, load
from evalkit.experiment.goals import PROFILES, Choose, profile
from evalkit.metrics import CATALOGUE
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan
from evalkit.race.contest import Contest, run
from evalkit.race.look import Bound, Seen
from evalkit.race.schedule import schedule
from evalkit.scoring.grids import Score
from evalkit.scoring.scores import Scores, score
from evalkit.stats.intervals import within_range
from evalkit.stats.selection import Aim, desirability
from evalkit.store.folder import load_experiment
from evalkit.store.records import read
from evalkit.sweeping.sweeping import run_sweep

ROOT = Path(__file__).parents[1]
ALIKE = 0.02
broken = 0


def row(what: str, figure: float, low: float | None = None, high: float | None = None) -> None:
    """Print a figure beside its limits."""
    global broken
    kept = (low is None or figure >= low) and (high is None or figure <= high)
    limits = "-" if low is None and high is None else f"{'' if low is None else f'{low:.3f}'}..{'' if high is None else f'{high:.3f}'}"
    print(f"{what:<84} {figure:8.3f}  {limits:<12} {'' if kept else 'MISSED'}", flush=True)
    broken += not kept


class Grid(NamedTuple):
    """A recorded grid: values of what profiles ask for, each of shape (settings, prompts), as they are compared."""

    experiment: Experiment
    values: dict[str, np.ndarray]

    @property
    def settings(self) -> int:
        return len(next(iter(self.values.values())))


def recorded_grid(folder: Path, smallest: bool) -> Grid:
    """The grid in a folder, recorded first where it is not there yet."""
    quick = load(ROOT / "experiments/quickstart.yaml").resolved()
    asked = {**quick, "name": "race-grid", "prompts": prompts(), "seed": 11}
    if smallest:
        asked |= {"prompts": prompts()[:14], "replicates": 2, "parameters": {"temperature": [0.4, 1.2], "top_p": [0.5, 0.9], "max_tokens": [10, 20]}}
    if not (folder / "race-values.npz").exists():
        run_sweep(check(asked), folder)
        names = sorted({name for one in PROFILES for name in (*profile(one).require, *profile(one).prefer)})
        experiment = load_experiment(folder)
        found = score(Plan(experiment), read(folder), [CATALOGUE[name] for name in names])
        np.savez(folder / "race-values.npz", **{name: found.by_metric[name].value for name in names})
    return Grid(load_experiment(folder), dict(np.load(folder / "race-values.npz")))


class Drawing(NamedTuple):
    """Some prompts of a grid, in the order in which a race asks them, chosen on for one profile."""

    grid: Grid
    name: str
    prompts: np.ndarray

    @property
    def bounds(self) -> list[Bound]:
        sides = [(metric, one.max, True) for metric, one in profile(self.name).require.items()]
        sides += [(metric, one.min, False) for metric, one in profile(self.name).require.items()]
        return [Bound(name, at, upper, CATALOGUE[name].low, CATALOGUE[name].high) for name, at, upper in sides if at is not None]

    def chosen(self, finish: Finish | None = None) -> Choice:
        """What the choice comes to, by evalkit's own code."""
        wanted, experiment = profile(self.name), self.grid.experiment
        names = list(dict.fromkeys([*wanted.require, *wanted.prefer]))
        few = experiment.model_copy(update={"prompts": experiment.prompts[: len(self.prompts)], "choose": Choose(profile=self.name)})
        count = np.full((self.grid.settings, len(self.prompts)), experiment.replicates)
        here = {name: self.grid.values[name][:, self.prompts] for name in names}
        by = {name: Score(value=values, value_full=values, n_texts=count, n_eligible=count) for name, values in here.items()}
        metrics, sample = tuple(CATALOGUE[name] for name in names), Sample((5,) * experiment.replicates)
        scores = Scores(Plan(few), by, "uax29", experiment.replicates, 0, 0, metrics=metrics, samples=(sample,) * len(self.prompts))
        rows = []
        for metric in (one for one in metrics if one.name in wanted.require):
            for cell in range(self.grid.settings) if finish is None else finish.finalists:
                one = within_range(here[metric.name][cell], metric.low, metric.high)
                ends = {"mean": one.mean, "se": one.se, "ci_low": one.low, "ci_high": one.high, "n_prompts": one.n}
                rows.append(CellMean(cell_index=cell, metric=metric.name, n_eligible=0, **ends))
        cells = scores.plan.cells
        shown = SimpleNamespace(cells=cells, by_cell=rows, reference=reference_cell(experiment, cells), name_of=lambda _: None)
        return choose(scores, shown, finish)

    def raced(self, budget: float | None, first: int | None = None) -> tuple[Contest, Choice] | None:
        """A race on these prompts, and what it chooses; None where the budget is too small."""
        wanted, cells = profile(self.name).prefer, self.grid.settings
        course = schedule(cells, len(self.prompts), budget, first)
        if course is None:
            return None
        reference = reference_cell(self.grid.experiment, Plan(self.grid.experiment).cells)
        contest = Contest(course, cells, self.bounds, reference=reference, proof=budget is None)
        whole = Seen(
            np.array([self.grid.values[name][:, self.prompts] for name in wanted]),
            np.array([self.grid.values[bound.metric][:, self.prompts] for bound in self.bounds]),
        )

        def fix(seen: Seen, keep: np.ndarray) -> list[Aim]:
            here = keep if keep.sum() > 1 else np.ones_like(keep)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a setting without any value has a NaN mean, as it should
                means = [np.nanmean(values[here], axis=1) for values in seen.wanted]
            return [aim_of(CATALOGUE[name], one, there, self.grid.experiment) for (name, one), there in zip(wanted.items(), means, strict=True)]

        def finish(finalists: tuple[int, ...]) -> Choice:
            return self.chosen(Finish(tuple(finalists), dict(zip(wanted, contest.aims, strict=True))))

        run(contest, lambda one: part(whole, one), fix, lambda finalists: finish(finalists).satisfying)
        return contest, finish(contest.staying)

    def truth(self) -> np.ndarray:
        """The desirability of each setting by the means over all other prompts, with limits of those that keep to the bounds there."""
        rest = np.setdiff1d(np.arange(len(self.grid.experiment.prompts)), self.prompts)
        means = {name: np.nanmean(values[:, rest], axis=1) for name, values in self.grid.values.items()}
        keep = np.ones(self.grid.settings, dtype=bool)
        for bound in self.bounds:
            keep &= means[bound.metric] <= bound.at if bound.upper else means[bound.metric] >= bound.at
        keep = keep if keep.any() else np.ones_like(keep)
        wanted = profile(self.name).prefer
        aims = [aim_of(CATALOGUE[name], one, means[name][keep], self.grid.experiment) for name, one in wanted.items()]
        return np.where(keep, desirability(np.array([means[name] for name in wanted]), aims), 0.0)


def part(whole: Seen, contest: Contest) -> Seen:
    """What a race has seen: the values of the prompts that each setting was asked."""
    hidden = np.arange(contest.prompts)[None] >= contest.asked[:, None]
    return Seen(*(np.where(hidden[None], np.nan, values[:, :, : contest.prompts]) for values in whole))


def recorded(folder: Path, runs: int, smallest: bool) -> None:
    """The pick of a race beside the full grid's, both by a truth that neither has seen; 0 where a pick misses a bound there."""
    grid = recorded_grid(folder, smallest)
    sizes = (6,) if smallest else (10, 20, 50)
    limits = {(1 / 3, 10): 0.9, (1 / 3, 20): 0.95, (1 / 3, 50): 0.95, (1 / 4, 50): 0.93}
    for budget in (1 / 3, 1 / 4, None):
        for count in sizes:
            least = limits.get((budget, count)) if budget is not None else None
            for name in PROFILES:
                rng = np.random.default_rng([5, count])
                losses, shares, none = [], [], 0
                for _ in range(runs):
                    drawing = Drawing(grid, name, rng.permutation(len(grid.experiment.prompts))[:count])
                    found = drawing.raced(budget if not smallest or budget is None else 0.9)
                    if found is None:
                        break
                    contest, choice = found
                    assert contest.asked.sum() <= contest.schedule.worst
                    true = drawing.truth()
                    picks = [drawing.chosen().chosen, choice.chosen]
                    worth = [0.0 if pick is None else float(true[pick]) for pick in picks]
                    losses.append(worth[0] - worth[1])
                    shares.append(contest.asked.sum() / contest.schedule.whole)
                    none += picks[1] is None
                if not losses:
                    continue
                what = f"{'proof' if budget is None else f'budget {budget:.2f}'}, {count} prompts, {name}"
                row(
                    f"{what}: within {ALIKE} of the grid's pick, {len(losses)} runs",
                    float(np.mean(np.array(losses) <= ALIKE)),
                    None if smallest else least,
                )
                asked = f"asked {np.mean(shares):.3f} of the grid on average, {max(shares):.3f} at most"
                print(f"{'':6}{asked}; loss {np.mean(losses):+.3f} on average; no pick in {none}", flush=True)


def raced_world(drawn: Drawn, budget: float | None) -> Contest:
    """A race in a made-up world."""

    def fix(seen: Seen, keep: np.ndarray) -> list[Aim]:
        means = np.nanmean(seen.wanted[0], axis=1)
        means = means[keep] if keep.any() else means
        return [Aim("maximize", means.max() - max(1.25 * np.ptp(means), ALIKE), means.max(), beyond=True)]

    def satisfying(finalists: tuple[int, ...]) -> list[int]:
        return [one for one in finalists if all(values[one].mean() <= bound.at for bound, values in zip(drawn.bounds, drawn.bounded, strict=True))]

    course = schedule(len(drawn.true), drawn.wanted.shape[2], budget)
    contest = Contest(course, len(drawn.true), drawn.bounds, reference=0, proof=budget is None)
    run(contest, lambda one: part(Seen(drawn.wanted, drawn.bounded), one), fix, satisfying)
    return contest


def worlds(runs: int, smallest: bool) -> None:
    """How often a test drops the true best, and what a proof asks."""
    most = {10: 0.65, 20: 0.5, 50: 0.35}
    for count in (10,) if smallest else (10, 20, 50):
        costs = []
        for name, world in WORLDS.items():
            rng = np.random.default_rng([3, count])
            dropped, cost = 0, []
            for _ in range(runs):
                drawn = draw(world, rng, count)
                contest = raced_world(drawn, None)
                best = max(np.flatnonzero(drawn.keeps), key=lambda one: drawn.true[one], default=None)
                dropped += best in contest.left
                cost.append(contest.asked.sum() / contest.schedule.whole)
            limit = 0.05 + 2 * math.sqrt(0.05 * 0.95 / runs)
            held = not smallest and world.bound is None
            row(f"proof, {count} prompts, {name}: the best dropped by a test, {runs} runs", dropped / runs, high=limit if held else None)
            row(f"proof, {count} prompts, {name}: share of the grid asked", float(np.mean(cost)))
            if name in ("smooth", "clear"):
                costs.append(float(np.mean(cost)))
        row(
            f"proof, {count} prompts: share of the grid asked, smooth and clear together",
            float(np.mean(costs)),
            high=None if smallest else most[count],
        )


def kills(times: int, races: int) -> None:
    """Races of the command line, killed and begun again, against one that was left alone."""
    data = {
        "name": "killed",
        "endpoint": {"base_url": "local", "model": "babbler", "concurrency": 8},
        "prompts": [{"id": f"p{number}", "user": f"Explain number {number}."} for number in range(8)],
        "parameters": {"temperature": [0.2, 0.6, 1.0], "top_p": [0.5, 0.8, 1], "presence_penalty": [0, 1]},
        "request": {"max_tokens": 12, "seed": "per_replicate"},
        "replicates": 2,
        "choose": {"prefer": {"distinct_1": {"goal": "maximize"}}},
        "search": {"method": "race", "budget": 0.5},
    }
    bayes = {"search": {"method": "bayes", "budget": 0.8, "rounds": 2, "proposals": 4}, "design": {"kind": "sobol", "points": 10}}
    rng = random.Random(7)
    killed, same, doubled = 0, 0, 0
    with tempfile.TemporaryDirectory() as temporary:
        for number in range(races):
            file = Path(temporary) / f"{number}.yaml"
            file.write_text(json.dumps({**data, **(bayes if number % 3 == 2 else {}), "seed": number}))
            whole, parts = Path(temporary) / f"whole{number}", Path(temporary) / f"parts{number}"
            command = [sys.executable, "-m", "evalkit", "sweep", str(file), "-q", "--no-look", "-o"]
            subprocess.run([*command, str(whole)], capture_output=True, check=True)
            there = Counter(json.loads(line)["key"] for line in (whole / "responses.jsonl").read_text().splitlines())
            for target in sorted(rng.sample(range(len(there)), times // races)):
                killed += killed_at([*command, str(parts)], parts / "responses.jsonl", target, rng)
            subprocess.run([*command, str(parts)], capture_output=True, check=True)
            same += (whole / "race.jsonl").read_bytes() == (parts / "race.jsonl").read_bytes()
            keys = Counter(json.loads(line)["key"] for line in (parts / "responses.jsonl").read_text().splitlines())
            doubled += keys != there or max(keys.values()) > 1
    row(f"{killed} kills over {races} races, a third of them searches: the same race.jsonl", same / races, low=1.0)
    row(f"{killed} kills over {races} races: a key twice, or other keys", doubled / races, high=0.0)


def killed_at(command: list[str], records: Path, target: int, rng: random.Random) -> bool:
    """Whether a sweep was killed, up to a twentieth of a second after so many records stood there; not where it ended before."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None:
        if (records.read_bytes().count(b"\n") if records.exists() else 0) >= target:
            time.sleep(rng.uniform(0, 0.05))
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return True
        time.sleep(0.002)
    return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=["recorded", "worlds", "kills", []], default=[])
    parser.add_argument("--runs", type=int, default=None)
    parser.add_argument("--grid", type=Path, default=Path(tempfile.gettempdir()) / "evalkit-race-grid")
    parser.add_argument("--smallest", action="store_true")
    asked = parser.parse_args()
    parts = asked.parts or ["recorded", "worlds", "kills"]
    if "recorded" in parts:
        recorded(asked.grid, asked.runs or (1 if asked.smallest else 200), asked.smallest)
    if "worlds" in parts:
        worlds(asked.runs or (1 if asked.smallest else 1000), asked.smallest)
    if "kills" in parts:
        times = asked.runs or (1 if asked.smallest else 300)
        kills(times, max(1, times // 10))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
