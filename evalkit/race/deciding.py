"""What a race is decided by: the goals of an experiment as bounds and aims, and the values of scores in the order in which prompts are asked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.choice.constraints import wanted_of
from evalkit.choice.ranking import aim_of
from evalkit.experiment.experiment import Experiment, own_metrics
from evalkit.experiment.goals import Preference, Requirement
from evalkit.race.look import Bound, Seen
from evalkit.scoring.metric_set import Measures
from evalkit.scoring.scores import Scores
from evalkit.stats.selection import Aim
from evalkit.store.race import Limits, OnPrompt

Floats = NDArray[np.float64]


class Goals(NamedTuple):
    """What is wanted: constraints with the sides of their bounds, and preferences, by metric."""

    require: dict[str, Requirement]
    prefer: dict[str, Preference]
    bounds: list[Bound]

    @property
    def names(self) -> set[str]:
        """The metrics that a race is decided by."""
        return {*self.require, *self.prefer}

    def only(self, preferred: Sequence[str]) -> Goals:
        """The same with these preferences alone, as far as there are any."""
        return self._replace(prefer={name: one for name, one in self.prefer.items() if name in preferred} or self.prefer)


def goals_of(experiment: Experiment, measured: Measures) -> Goals:
    """The goals, those of the profile among them, of what the experiment measures; what functions give is taken to be given."""
    if experiment.choose is None:
        return Goals({}, {}, [])
    named = {*experiment.choose.require, *experiment.choose.prefer}
    known = {metric.name for metric in measured.metrics} | {judge.name for judge in experiment.judges} | named
    require, prefer, _, _ = wanted_of(experiment.choose, known, known)
    own = own_metrics(experiment)
    bounds = []
    for name, one in require.items():
        low, high = own.range_of(name)
        bounds += [Bound(name, at, upper, low, high) for at, upper in ((one.max, True), (one.min, False)) if at is not None]
    return Goals(require, prefer, bounds)


def seen(scores: Scores, goals: Goals, cells: Sequence[int], prompts: Sequence[int]) -> Seen:
    """The values of these cells on these prompts, by their numbers in the plan; NaN where there are none, as of the number -1."""
    measured = {metric.name: metric for metric in scores.metrics}

    def grid(name: str, *, bounded: bool) -> Floats:
        if name not in measured:
            return np.full((len(cells), len(prompts)), math.nan)
        one = scores.by_metric[name]
        values = one.value if not bounded or scores.compared(measured[name]) else one.value_full
        padded = np.full((values.shape[0] + 1, values.shape[1] + 1), math.nan)
        padded[:-1, :-1] = values
        return padded[np.ix_(list(cells), list(prompts))]

    shape = (len(cells), len(prompts))
    wanted = np.array([grid(name, bounded=False) for name in goals.prefer]).reshape(-1, *shape)
    return Seen(wanted, np.array([grid(bound.metric, bounded=True) for bound in goals.bounds]).reshape(-1, *shape))


def aims(scores: Scores, goals: Goals, values: Seen, keep: NDArray[np.bool_]) -> list[Aim]:
    """An aim for each preference, its limits by the settings that keep to the bounds as measured, by all where fewer than two do."""
    measured = {metric.name: metric for metric in scores.metrics}
    here = keep if keep.sum() > 1 else np.ones_like(keep)
    out = []
    for (name, wanted), grid in zip(goals.prefer.items(), values.wanted, strict=True):
        n = (~np.isnan(grid)).sum(axis=1)
        means = np.where(n > 0, np.nansum(grid, axis=1) / np.maximum(n, 1), math.nan)[here]
        if name in measured:
            out.append(aim_of(measured[name], wanted, means, scores.plan.experiment))
        else:  # of what no answer has a value of: nothing can be ranked by it
            out.append(Aim(wanted.goal, 0.0, 1.0, wanted.weight, math.nan if wanted.target is None else wanted.target))
    return out


def limits_of(name: str, aim: Aim) -> Limits:
    """An aim as the journal keeps it."""
    target = None if math.isnan(aim.target) else aim.target
    return Limits(metric=name, goal=aim.goal, worst=aim.worst, best=aim.best, weight=aim.weight, target=target, beyond=aim.beyond)


def aim_in(one: Limits) -> Aim:
    """An aim as the journal has kept it."""
    return Aim(one.goal, one.worst, one.best, one.weight, math.nan if one.target is None else one.target, one.beyond)


def on_prompt(scores: Scores, prompt: int) -> OnPrompt:
    """What settings are compared on, on one prompt of the plan."""
    sample = scores.samples[prompt] if scores.samples else None
    name = scores.plan.experiment.prompts[prompt].id
    return OnPrompt(id=name, k=scores.ks[prompt], lengths=None if sample is None else list(sample.lengths))


def digest(values: Seen, settings: Sequence[int]) -> str:
    """Hash of the values of these settings, 16 hexadecimal digits; nine digits of each count, so that the order of a sum does not."""
    rows = np.concatenate([values.wanted[:, list(settings)].ravel(), values.bounded[:, list(settings)].ravel()])
    text = " ".join(f"{one + 0.0:.9e}" for one in rows.tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def short(value: float | None) -> float | None:
    """A number as the journal keeps it: to ten digits, None where it is undefined."""
    return None if value is None or math.isnan(value) else float(f"{value:.9e}")
