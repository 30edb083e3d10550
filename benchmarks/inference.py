"""Are the statistics as right as they say? Simulated experiments with a known truth, against the limits beside each figure.

Run: python benchmarks/inference.py [PART ...] [--smallest]; parts: null, coverage, shares, family, equivalence, selection, tied, calibration,
speed. With `--smallest` each part simulates one experiment instead of hundreds, and no limit is held.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import sys
import time
from functools import cache
from itertools import combinations, product

# Matrices this small cost more by threads that wait for each other than by one that works.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from worlds import MARGIN, WORLDS

from evalkit.analysis.analysis import analyse
from evalkit.analysis.estimation import effects
from evalkit.choice import choose
from evalkit.choice.ranking import rank
from evalkit.experiment.experiment import check
from evalkit.experiment.goals import Preference
from evalkit.metrics import CATALOGUE, METRICS
from evalkit.plan.requests import Plan
from evalkit.scoring.grids import Score
from evalkit.scoring.prefix import Prefix
from evalkit.scoring.scores import Scores
from evalkit.stats.equivalence import tost
from evalkit.stats.intervals import bootstrap_t, share_interval, t_interval
from evalkit.stats.multiple import holm, max_t, simultaneous
from evalkit.stats.power import detectable
from evalkit.stats.selection import Aim, desirability, select

SEED = 20
NULLS = 2_000
PROMPTS = (8, 20, 40)
broken = 0
smallest = False


def times(count: int) -> int:
    """How many experiments to simulate."""
    return 1 if smallest else count


def row(what: str, figure: float, low: float | None, high: float | None, *, known: str = "") -> None:
    """Print a figure beside its limits; one that misses them counts, except where the page says that it is known to."""
    global broken
    kept = (low is None or figure >= low) and (high is None or figure <= high)
    limits = f"{'' if low is None else f'{low:.3f}'}..{'' if high is None else f'{high:.3f}'}" if low is not None or high is not None else "-"
    print(f"{what:<72} {figure:8.4f}  {limits:<14} {'' if kept else known or 'MISSED'}", flush=True)
    broken += not kept and not known


def noise(rng: np.random.Generator, shape: tuple[int, ...], skewed: bool) -> np.ndarray:
    return rng.exponential(size=shape) - 1 if skewed else rng.normal(size=shape)


def experiment(rng: np.random.Generator, cells: int, prompts: int, skewed: bool, failing: bool) -> np.ndarray:
    """Values of one metric, shape (cells, prompts): prompts differ, cells do not."""
    values = noise(rng, (cells, prompts), skewed) + 2 * rng.normal(size=prompts)
    if failing:
        values[rng.random(values.shape) < 0.1] = math.nan
    return values


def _small(p: float | None) -> bool:
    """Whether a p is given and significant: with too few prompts none is."""
    return p is not None and p <= 0.05


def null() -> None:
    """How often a difference is found where there is none: a cell against the reference, a two-level and a three-level parameter."""
    grid = np.array(list(product(range(3), range(2))))
    levels = {"a": [0, 1, 2], "b": [0, 1]}
    cells = [{"a": int(a), "b": int(b)} for a, b in grid]
    for prompts, skewed, failing in product(PROMPTS, (False, True), (False, True)):
        rng = np.random.default_rng([SEED, prompts, skewed, failing])
        wrong = np.zeros(5)
        reps = times(NULLS)
        for number in range(reps):
            values = experiment(rng, 6, prompts, skewed, failing)
            wrong[0] += max_t((values[1] - values[0])[:, None], rng).p[0] <= 0.05
            found = effects({"m": values}, cells, levels, {"m": (math.nan, "")}, number)
            one = {verdict.parameter: verdict for verdict in found.verdicts}
            wrong[1:] += [
                _small(one["b"].p),
                one["b"].verdict == "effect",
                _small(one["a"].p),
                one["a"].verdict == "effect",
            ]
        name = f"null, {prompts} prompts, {'skewed' if skewed else 'normal'}, {'10 % fail' if failing else 'balanced'}: "
        kinds = ("cell, sign-flip p", "2 levels, p", "2 levels, verdict", "3 levels, p", "3 levels, verdict")
        for kind, share in zip(kinds, wrong / reps, strict=True):
            # With six or seven pairs left, the largest level that an exact test has below 5 % is 3.1 or 4.7 %.
            few = prompts == 8 and failing and kind.startswith("cell")
            row(name + kind, share, 0.025 if few else 0.035, 0.065)


def coverage() -> None:
    """How often intervals hold the truth: of a cell's mean, by t and by bootstrap-t, and of a difference."""
    for prompts, skewed in product(PROMPTS, (False, True)):
        rng = np.random.default_rng([SEED, 1, prompts, skewed])
        held = np.zeros(3)
        for _ in range(times(NULLS)):
            a, b = noise(rng, (2, prompts), skewed)
            intervals = (t_interval(a), bootstrap_t(a, rng, resamples=999), t_interval(a - b))
            held += [one.low <= 0 <= one.high for one in intervals]
        name = f"coverage, {prompts} prompts, {'exponential' if skewed else 'normal'}: "
        known = "known: skew, few prompts" if skewed else ""
        row(name + "t of a mean", held[0] / times(NULLS), 0.93, 0.97, known=known)
        row(name + "bootstrap-t of a mean", held[1] / times(NULLS), 0.93, 0.97, known="")
        row(name + "t of a paired difference", held[2] / times(NULLS), 0.93, 0.97)


def shares() -> None:
    """How often intervals hold the truth of a share: of answers of which each prompt has eight, and of parts of answers."""
    for prompts in PROMPTS:
        for true in (0.02, 0.1, 0.5, 0.95):
            for spread, kind in ((4.0, "prompts differ"), (1.0, "prompts differ strongly")):
                rng = np.random.default_rng([SEED, 9, prompts, int(100 * true), int(spread)])
                drawn = rng.beta(spread * true, spread * (1 - true), size=(times(NULLS), prompts))
                _share_row(f"{true:g} of answers, {kind}, {prompts} prompts: ", rng.binomial(8, drawn) / 8, true, strong=spread == 1)
        rng = np.random.default_rng([SEED, 10, prompts])
        _share_row(f"0.05 of an answer, {prompts} prompts: ", rng.beta(2, 38, size=(times(NULLS), prompts)), 0.05)


def _share_row(name: str, values: np.ndarray, true: float, *, strong: bool = False) -> None:
    held, plain = (np.mean([one.low <= true <= one.high for one in map(interval, values)]) for interval in (share_interval, t_interval))
    row(name + "share", held, 0.91, None, known="known: strong differences" if strong else "")
    row(name + "Student's t (for information)", plain, None, None)


def family() -> None:
    """How often any of 40 cells is called different from the reference where none is; and whether all pairs of levels hold together."""
    for prompts in (8, 20, 40):
        rng = np.random.default_rng([SEED, 2, prompts])
        wrong = 0
        for _ in range(times(NULLS)):
            values = experiment(rng, 41, prompts, False, False)
            wrong += bool((max_t((values[1:] - values[0]).T, rng).p_adjusted <= 0.05).any())
        row(f"family-wise error, 40 cells, {prompts} prompts", wrong / times(NULLS), None, 0.06)
    for levels, prompts in product((3, 5, 8), PROMPTS):
        rng = np.random.default_rng([SEED, 7, levels, prompts])
        pairs = np.array(list(combinations(range(levels), 2)))
        missed = 0
        for _ in range(times(NULLS)):
            values = rng.normal(size=(prompts, levels))
            paired = values[:, pairs[:, 0]] - values[:, pairs[:, 1]]
            t = np.abs(paired.mean(axis=0)) / (paired.std(axis=0, ddof=1) / math.sqrt(prompts))
            missed += t.max() > simultaneous(paired, rng, draws=4_000)
        row(f"simultaneous intervals of {len(pairs)} pairs of {levels} levels hold, {prompts} prompts", 1 - missed / times(NULLS), 0.93, None)


def matters() -> None:
    """How often any of three parameters that do nothing is said to matter to any of six metrics that decide; and how often one that does."""
    grid = np.array(list(product(range(2), range(2), range(3))))
    levels = {"a": [0, 1], "b": [0, 1], "c": [0, 1, 2]}
    cells = [{"a": int(a), "b": int(b), "c": int(c)} for a, b, c in grid]
    names = [f"m{number}" for number in range(6)]
    for prompts in PROMPTS:
        rng = np.random.default_rng([SEED, 9, prompts])
        wrong, alone, found_it = np.zeros(3)
        reps = times(500)
        step = 2 * detectable(prompts, math.sqrt(2 / 6))  # of six pairs of cells that differ in it alone
        for number in range(reps):
            common = experiment(rng, len(cells), prompts, False, False)
            values = {name: 0.7 * common + 0.7 * experiment(rng, len(cells), prompts, False, False) for name in names}
            margins = dict.fromkeys(names, (math.nan, ""))
            verdicts = effects(values, cells, levels, margins, number, decisive=names).verdicts
            wrong += any(one.sure for one in verdicts)
            alone += any(_small(p) for name in names for p in holm([one.p or math.nan for one in verdicts if one.metric == name]))
            values["m0"] = values["m0"] + step * grid[:, :1]
            planted = effects(values, cells, levels, margins, number, decisive=names).verdicts
            found_it += any(one.sure for one in planted if (one.parameter, one.metric) == ("a", "m0"))
        row(f"any of 3 idle parameters matters to any of 6 metrics, {prompts} prompts", wrong / reps, None, 0.065)
        row(f"the same, each metric by itself (for information), {prompts} prompts", alone / reps, None, None)
        row(f"one that moves a metric by 2 × detectable matters (for information), {prompts} prompts", found_it / reps, None, None)


def equivalence() -> None:
    """How often an effect as large as the margin is called 'no effect', and how often a true null is."""
    cells, levels = [{"a": 0}, {"a": 1}, {"a": 2}], {"a": [0, 1, 2]}
    for prompts in PROMPTS:
        rng = np.random.default_rng([SEED, 3, prompts])
        wrong = sum(tost(rng.normal(0.5, 1, prompts), -0.5, 0.5).p <= 0.05 for _ in range(times(NULLS))) / times(NULLS)
        row(f"'no effect' for an effect of the margin, {prompts} prompts, one contrast", wrong, None, 0.055)
        called = np.zeros(2)
        for number in range(times(500)):
            values = experiment(rng, 3, prompts, False, False) * 0.5
            planted = values + np.array([0, 0.25, 0.5])[:, None]
            for place, one in enumerate((planted, values)):
                found = effects({"m": one}, cells, levels, {"m": (0.5, "")}, number)
                called[place] += found.verdicts[0].verdict == "no effect"
        row(f"'no effect' verdict for an effect of the margin, {prompts} prompts", called[0] / times(500), None, 0.05)
        row(f"'no effect' verdict for a true null (power, for information), {prompts} prompts", called[1] / times(500), None, None)


def selection() -> None:
    """Whether a planted best cell is found, and how many are tied with it."""
    for prompts, gap in product(PROMPTS, (1.0, 3.0)):
        rng = np.random.default_rng([SEED, 4, prompts, int(gap)])
        reps, cells = times(200), 40
        step = gap * detectable(prompts, math.sqrt(2))
        picked, within, tied = 0, 0, 0.0
        for _ in range(reps):
            values = experiment(rng, cells, prompts, False, False)
            values[17] += step
            low, high = float(values.mean(axis=1).min()), float(values.mean(axis=1).max())
            found = select(values[None], [Aim("maximize", low - 0.25 * (high - low), high, beyond=True)], rng)
            picked += found.best == 17
            within += bool(found.tied[17])
            tied += float(found.tied.mean())
        name = f"planted best of {cells}, {prompts} prompts, gap {gap:g} × detectable: "
        row(name + "picked or tied", within / reps, 0.95, None)
        row(name + "picked (for information)", picked / reps, None, None)
        row(name + "share of cells tied", tied / reps, None, 0.25 if gap == 3 else None)


def tied() -> None:
    """Whether the settings called tied hold the truly best in every world, and are no more than they must be; and how often it came first."""
    for (name, world), prompts in product(WORLDS.items(), (8, 20, 50)):
        rng = np.random.default_rng([SEED, 8, prompts, *name.encode()])
        held, size, left_out, far, said, right = np.zeros(6)
        reps = times(100)
        for number in range(reps):
            true = world.true(rng, prompts)
            found = rank(list(range(true.shape[1])), _scores_of(world.seen(rng, true, prompts), tuple(world.goals), number), _preferred(world.goals))
            aims = [Aim(one.goal, one.worst, one.best, one.say, beyond=True) for one in found.weights]
            truth = desirability(true, aims)
            equals = np.flatnonzero(truth >= truth.max() - 1e-12)
            held += int(rng.choice(equals)) in found.tied
            size += len(found.tied)
            left_out += 1 - len(found.tied) / true.shape[1]
            worse = np.flatnonzero(true[0].max() - true[0] >= 1.99 * MARGIN) if "graded" in name else []
            far += np.mean([cell not in found.tied for cell in worse]) if len(worse) else 0.0
            said += found.share
            right += (found.best in equals) / len(equals)  # of equals any may be meant
        where = f"{name}, {prompts} prompts: "
        row(where + "the best is tied", held / reps, 0.93, None)
        row(where + "settings tied (mean)", size / reps, None, 1.1 if name.startswith("clear") else None)
        row(where + "the first is truly best", right / reps, None, None)
        row(where + "share said to come first, beyond that", (said - right) / reps, None, 0.1, known="known: few prompts" if prompts == 8 else "")
        if name.startswith("all alike"):
            row(where + "share left out", left_out / reps, None, 0.1)
        if name.startswith("graded"):
            row(where + "left out of those two margins worse", far / reps, 0.8 if prompts == 50 else None, None)


def _preferred(goals: dict[str, str]) -> dict[str, Preference]:
    return {metric: Preference.model_validate({"goal": goal}) for metric, goal in goals.items()}


@cache
def _plan_of(cells: int, prompts: int) -> Plan:
    data = {
        "name": "worlds",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
        "prompts": [{"id": f"p{number}", "user": "say"} for number in range(prompts)],
        "parameters": {"top_k": list(range(1, cells + 1))},
        "replicates": 8,
    }
    return Plan(check(data))


def _scores_of(values: np.ndarray, names: tuple[str, ...], number: int) -> Scores:
    """`values` of the metrics of these names as a run would have them."""
    counts = np.full(values.shape[1:], 8)
    by_metric = {name: Score(grid, grid, counts, counts) for name, grid in zip(names, values, strict=True)}
    metrics = tuple(CATALOGUE[name] for name in names)
    return Scores(_plan_of(*values.shape[1:]), by_metric, "made up", 8, 0, completions=1, metrics=metrics)


def calibration() -> None:
    """When the best wins x % of the resamples, is it the truly best x % of the time? A reliability table."""
    rng = np.random.default_rng([SEED, 5])
    bins = np.array([0, 0.3, 0.5, 0.7, 0.85, 0.95, 1.0001])
    said, right, count = (np.zeros(len(bins) - 1) for _ in range(3))
    for _ in range(times(1500)):
        prompts, cells = int(rng.choice([10, 20, 40])), int(rng.choice([4, 8, 16]))
        spread = float(rng.choice([0.25, 0.5, 1.0]))
        truth = rng.normal(0, spread, cells)
        values = experiment(rng, cells, prompts, False, False) + truth[:, None]
        means = values.mean(axis=1)
        found = select(values[None], [Aim("maximize", float(means.min()) - 1, float(means.max()), beyond=True)], rng)
        share = found.resample_share[found.best]
        place = int(np.searchsorted(bins, share, side="right")) - 1
        said[place] += share
        right[place] += truth.argmax() == found.best
        count[place] += 1
    for place in range(len(count)):
        if count[place] >= 20:
            name = f"share said {said[place] / count[place]:.2f} ({count[place]:.0f} experiments): truly best"
            low, high = said[place] / count[place] - 0.1, said[place] / count[place] + 0.1
            row(name, right[place] / count[place], low, high, known="known: luck allowed for too much" if place == 0 else "")


def speed() -> None:
    """200 cells × 50 prompts × 20 metrics, from scores to the choice."""
    rng = np.random.default_rng([SEED, 6])
    prompts = 5 if smallest else 50
    levels = {
        "temperature": [0.2, 1.0] if smallest else [0.2, 0.4, 0.6, 0.8, 1.0],
        "top_k": [1, 2] if smallest else [1, 2, 3, 4, 5],
        "top_p": [0.5, 1],
        "presence_penalty": [0, 1],
        "max_tokens": [50, 90],
    }
    data = {
        "name": "speed",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
        "prompts": [{"id": f"p{number}", "user": "say"} for number in range(prompts)],
        "parameters": levels,
        "replicates": 8,
        "choose": {"prefer": {"distinct_2": {"goal": "maximize"}, "length_tokens": {"goal": "minimize"}}},
    }
    plan = Plan(check(data))
    counts = np.full((len(plan.cells), prompts), 8)
    by_metric = {}
    for number, metric in enumerate(METRICS):
        values = 20 + experiment(rng, len(plan.cells), prompts, False, number % 4 == 3)
        by_metric[metric.name] = Score(values, values, counts, counts)
    prefix = Prefix(50, np.ones(len(plan.cells)), (), 8)
    scores = Scores(plan, by_metric, "made up", 8, 0, completions=len(plan), metrics=METRICS, prefix=prefix)
    started = time.process_time()
    analysis = analyse(scores)
    between = time.process_time()
    choose(scores, analysis)
    spent = time.process_time() - started
    print(f"  analysis {between - started:.1f} s, choice {spent - between + started:.1f} s")
    row(f"{len(plan.cells)} cells × {prompts} prompts × {len(METRICS)} metrics, CPU s", spent, None, 10)
    row("peak memory, MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, None, 500)


PARTS = (null, coverage, shares, family, matters, equivalence, selection, tied, calibration, speed)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*(part.__name__ for part in PARTS), []])
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    smallest = options.smallest
    wanted = options.parts or [part.__name__ for part in PARTS]
    for part in PARTS:
        if part.__name__ in wanted:
            began = time.monotonic()
            part()
            print(f"  ({part.__name__}: {time.monotonic() - began:.0f} s)\n", flush=True)
    sys.exit(bool(broken) and not smallest)
