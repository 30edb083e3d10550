"""Searches beside designs of as many requests: how far the setting that each chooses is from the best there is.

    python benchmarks/search.py [--runs 100] [--prompts 10 20] [--smallest]

Three made-up surfaces of three to five continuous parameters, seen on prompts that differ among each other, that have their own best places, and that
are noisy. A search goes its whole course by evalkit's own code, on scores that are drawn instead of answers; the design is of Sobol points that are
asked every prompt, as many as the search may take requests at most. Beside it, with no limit, Sobol points that race. With `--smallest` it does
little, and no limit is held.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
from scipy.stats import qmc

from evalkit.experiment.experiment import Experiment, check
from evalkit.metrics import CATALOGUE
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan
from evalkit.race.course import Course
from evalkit.race.deciding import goals_of
from evalkit.race.going import beginning, ending, next_look
from evalkit.scoring.grids import Score
from evalkit.scoring.metric_set import measures
from evalkit.scoring.scores import Scores

Floats = np.ndarray
LIMIT = 0.8
METRIC = "distinct_1"
NAMES = ("temperature", "top_p", "min_p", "frequency_penalty", "presence_penalty")
LOW, HIGH = 0.01, 1.0
broken = 0


def row(what: str, figure: float, high: float | None = None) -> None:
    """Print a figure beside its limit."""
    global broken
    kept = high is None or figure <= high
    print(f"{what:<84} {figure:8.3f}  {'-' if high is None else f'..{high:.3f}':<12} {'' if kept else 'MISSED'}", flush=True)
    broken += not kept


Surface = Callable[[Floats], Floats]
"""Worth of places in the unit cube, shape (..., axes)."""


def bowl(rng: np.random.Generator, axes: int) -> Surface:
    """One summit, and axes that depend on each other."""
    summit, turned = 0.15 + 0.7 * rng.random(axes), np.linalg.qr(rng.normal(size=(axes, axes)))[0]
    shape = turned @ np.diag(np.linspace(0.6, 1.8, axes)) @ turned.T
    return lambda at: 1 - 1.2 * (((at - summit) @ shape) ** 2).sum(-1) / axes


def ridge(rng: np.random.Generator, axes: int) -> Surface:
    """A sharp ridge across all axes that rises a little along its way."""
    summit, across = 0.2 + 0.6 * rng.random(axes), rng.normal(size=axes)
    across /= np.linalg.norm(across)
    return lambda at: 1 - 1.5 * np.abs((at - summit) @ across) - 0.5 * ((at - summit) ** 2).sum(-1) / axes


def peaks(rng: np.random.Generator, axes: int) -> Surface:
    """Two summits, of which one is lower, and an axis that hardly matters."""
    one, other = 0.15 + 0.7 * rng.random((2, axes))
    matters = np.where(np.arange(axes) < axes - 1, 1.0, 0.1)
    return lambda at: 0.2 + 0.8 * np.maximum(*(h * np.exp(-4 * (matters * (at - top) ** 2).sum(-1)) for h, top in ((1, one), (0.8, other))))


SURFACES = {"bowl, 3 parameters": (bowl, 3), "ridge, 4 parameters": (ridge, 4), "two peaks, 5 parameters": (peaks, 5)}


class World(NamedTuple):
    """A surface, the worth of its best place, where each prompt moves it, how easy each prompt is, and what draws the noise."""

    surface: Surface
    axes: int
    best: float
    moved: Floats
    ease: Floats
    seed: list[int]

    def seen(self, at: Floats) -> Floats:
        """Values at places, shape (settings, prompts); the same for the same place."""
        out = np.array([self.surface(at - one) for one in self.moved]).T + self.ease
        noise = [np.random.default_rng([*self.seed, *np.round(place * 1e4).astype(int)]).normal(0, 0.08, len(self.ease)) for place in at]
        return out + np.array(noise)


def world(name: str, number: int, prompts: int) -> World:
    kind, axes = SURFACES[name]
    rng = np.random.default_rng([number, len(name)])
    surface = kind(rng, axes)
    there = qmc.Sobol(axes, rng=0).random(2**12)
    top = there[surface(there).argmax()]
    for step in 0.05 / np.arange(1, 7):  # on from the best of many places
        near = np.vstack([top, np.clip(top + rng.normal(0, step, size=(500, axes)), 0, 1)])
        top = near[surface(near).argmax()]
    return World(surface, axes, float(surface(top)), rng.normal(0, 0.05, (prompts, axes)), rng.normal(0, 0.1, prompts), [number, axes])


def asked(axes: int, prompts: int, seed: int, **changes: object) -> Experiment:
    return check(
        {
            "name": "surface",
            "endpoint": {"base_url": "local", "model": "m"},
            "prompts": [{"id": f"p{number}", "user": "x"} for number in range(prompts)],
            "parameters": {name: {"min": LOW, "max": HIGH} for name in NAMES[:axes]},
            "seed": seed,
            "choose": {"prefer": {METRIC: {"goal": "maximize"}}, "among": "best"},
        }
        | changes
    )


def places(experiment: Experiment, axes: int) -> Floats:
    return np.array([[(cell[name] - LOW) / (HIGH - LOW) for name in NAMES[:axes]] for cell in Plan(experiment).cells])


def scores(course: Course, drawn: World) -> Scores:
    """What the race has seen, as if answers had been scored."""
    values = drawn.seen(places(course.experiment, drawn.axes))
    plan = course.plan
    there = np.array([[plan.has(cell, prompt) for prompt in range(values.shape[1])] for cell in range(len(values))])
    values, count = np.where(there, values, math.nan), there.astype(int)
    by, sample = {METRIC: Score(value=values, value_full=values, n_texts=count, n_eligible=count)}, Sample((5,))
    return Scores(plan, by, "uax29", 1, 0, 0, metrics=(CATALOGUE[METRIC],), samples=(sample,) * values.shape[1], ks=(1,) * values.shape[1])


def raced(experiment: Experiment, drawn: World) -> tuple[float, int, int]:
    """Regret of what a race or a search chooses, what it asked, and what it said that it would ask at most."""
    course = Course(experiment, goals_of(experiment, measures(experiment)))
    course.take(beginning(course))
    most = course.most_blocks
    while not course.over:
        seen = scores(course, drawn)
        course.take(ending(course, seen) if course.contest.over else next_look(course, seen))
        if (begun := beginning(course)) is not None:
            course.take(begun)
    means = np.nanmean(seen.by_metric[METRIC].value, axis=1)
    pick = max(course.staying, key=lambda one: means[one])
    return drawn.best - float(drawn.surface(places(course.experiment, drawn.axes)[pick])), sum(course.asked.values()), most


def whole(experiment: Experiment, drawn: World) -> float:
    """Regret of a design that is asked everything."""
    there = places(experiment, drawn.axes)
    return drawn.best - float(drawn.surface(there[drawn.seen(there).mean(axis=1).argmax()]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=None)
    parser.add_argument("--prompts", type=int, nargs="*", default=[10, 20])
    parser.add_argument("--smallest", action="store_true")
    given = parser.parse_args()
    runs = given.runs or (1 if given.smallest else 100)
    for prompts in given.prompts[: 1 if given.smallest else None]:
        for name, (_, axes) in SURFACES.items():
            regrets = []
            for number in range(runs):
                drawn = world(name, number, prompts)
                found, cost, most = raced(asked(axes, prompts, number, search={"method": "bayes"}), drawn)
                assert cost <= most
                points = {"kind": "sobol", "points": max(2, math.ceil(most / prompts))}
                design = whole(asked(axes, prompts, number, design=points), drawn)
                many = {"kind": "sobol", "points": 48}
                race, *_ = raced(asked(axes, prompts, number, design=many, search={"method": "race"}), drawn)
                regrets.append((found, design, race))
            search, design, race = np.mean(regrets, axis=0)
            what = f"{name}, {prompts} prompts, {runs} runs"
            ratios = [np.mean(one, axis=0) for one in np.array(regrets)[np.random.default_rng(1).integers(runs, size=(500, runs))]]
            se = float(np.std([one[0] / one[1] for one in ratios]))
            row(f"{what}: regret of a search by that of a Sobol design", search / design, None if given.smallest else LIMIT)
            print(
                f"{'':6}standard error {se:.3f}; regrets: search {search:.4f}, design {design:.4f}, 48 Sobol points that race {race:.4f}", flush=True
            )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
