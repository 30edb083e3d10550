"""What is better: cells ranked by desirability, what is tied with the best, and which of those to take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.choice.choice import Weight
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import Preference
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE, Metric
from evalkit.plan.design import Cell, from_defaults
from evalkit.scoring.scores import Scores
from evalkit.stats.conventions import CONFIDENCE
from evalkit.stats.desirability import clearly_beaten, pareto
from evalkit.stats.intervals import t_interval
from evalkit.stats.selection import Aim, select

Floats = NDArray[np.float64]

_MOST_COMPARED = 200  # cells whose intervals are all held against each other
_EXTRA_ROOM = 0.25
"""How far beyond the worst cell desirability reaches 0, in the range of the cells: the worst in one aim is not out of the question."""

_BY_PRICE = [one.name for one in sorted(CATALOGUE.values(), key=lambda one: one.price) if one.price]


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The most desirable of the cells that satisfy, and what goes with it; the fields are those of `Choice`."""

    desirability: list[float | None]
    best: int | None = None
    runner_up: int | None = None
    share: float | None = None
    tied: list[int] = field(default_factory=list)
    pareto: list[int] = field(default_factory=list)
    perhaps: list[int] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rank(satisfying: list[int], scores: Scores, prefer: Mapping[str, Preference], fixed: Sequence[Aim] | None = None) -> Ranking:
    """Cells that satisfy, ranked by what is preferred.

    Args:
        fixed: an aim for each of what is preferred, its limits fixed beforehand; from the cells that satisfy where None.
    """
    experiment = scores.plan.experiment
    measured = {metric.name: metric for metric in scores.metrics}
    values = {name: scores.by_metric[name].value for name in prefer}
    none: list[float | None] = [None] * len(scores.plan.cells)
    if not prefer:
        return Ranking(desirability=none, notes=["nothing that is preferred is measured in this run, so nothing can be chosen"])
    if not satisfying:
        return Ranking(desirability=none)
    stacked = np.array([values[name][satisfying] for name in prefer])
    if not (~np.isnan(stacked)).any(axis=2).all(axis=0).any():
        return Ranking(desirability=none, notes=["no setting that keeps to the bounds has a value in every preferred metric"])
    means = np.array([[t_interval(row).mean for row in grid] for grid in stacked])
    aims = fixed or [aim_of(measured[name], prefer[name], means[place], experiment) for place, name in enumerate(prefer)]
    found = select(stacked, aims, np.random.default_rng([experiment.seed, 77]))
    known = ~np.isnan(found.desirability)
    lacking = int((~known).sum())
    notes = (
        [f"{lacking} of the {len(satisfying)} settings that keep to the bounds have no value in a preferred metric and are not ranked"]
        if lacking
        else []
    )
    of_cell = {index: float(found.desirability[place]) for place, index in enumerate(satisfying) if known[place]}
    order = np.argsort(np.where(known, -found.desirability, 1), kind="stable")
    others = [satisfying[place] for place in order if place != found.best and known[place]]
    upward = np.array([_upward(aim, one) for aim, one in zip(aims, means, strict=True)])
    front = [index for index, unbeaten in zip(satisfying, pareto(upward.T), strict=True) if unbeaten]
    return Ranking(
        desirability=[of_cell.get(index) for index in range(len(none))],
        best=satisfying[found.best],
        runner_up=others[0] if others else None,
        share=float(found.resample_share[found.best]),
        tied=[index for place, index in enumerate(satisfying) if found.tied[place]],
        pareto=front,
        perhaps=_perhaps(satisfying, stacked, aims) if len(satisfying) <= _MOST_COMPARED else front,
        weights=_weights(prefer, aims),
        notes=notes,
    )


def _weights(prefer: Mapping[str, Preference], aims: Sequence[Aim]) -> list[Weight]:
    say = sum(aim.weight for aim in aims)
    return [
        Weight(metric=name, goal=aim.goal, say=aim.weight / say, worst=aim.worst, best=aim.best, because=wanted.because, target=wanted.target)
        for (name, wanted), aim in zip(prefer.items(), aims, strict=True)
    ]


def _upward(aim: Aim, values: Floats) -> Floats:
    """`values` turned so that larger is better."""
    return aim.of(values) if aim.goal == "target" else values * (1 if aim.goal == "maximize" else -1)


def aim_of(metric: Metric, wanted: Preference, means: Floats, experiment: Experiment) -> Aim:
    """What is preferred of a metric, its limits by the `means` of the cells that are ranked where the preference sets none; shape (cells,)."""
    known = means[~np.isnan(means)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    margin = margin_of(metric, float(known.mean()) if len(known) else 0.0, experiment.margins).value
    # A range smaller than what matters is not blown up to the whole scale.
    span = max((1 + _EXTRA_ROOM) * (high - low), 0.0 if math.isnan(margin) else margin, 1e-12)
    if wanted.goal == "target" and wanted.target is not None:
        reach = max(abs(high - wanted.target), abs(low - wanted.target), span) * (1 + _EXTRA_ROOM)
        worst = wanted.target - reach if wanted.worst is None else wanted.worst
        return Aim("target", worst, wanted.target + reach if wanted.best is None else wanted.best, wanted.weight, wanted.target)
    seen = wanted.best is None
    up = 1 if wanted.goal == "maximize" else -1
    top = (high if up > 0 else low) if wanted.best is None else wanted.best
    worst = top - up * span if wanted.worst is None else wanted.worst
    # Where no mean comes up to the worst that is wanted, all are at 0, and none is the best for being the least bad.
    best = worst + up * span if seen and up * (top - worst) <= 0 else top
    return Aim(wanted.goal, worst, best, wanted.weight, beyond=seen)


def _perhaps(satisfying: Sequence[int], values: Floats, aims: Sequence[Aim]) -> list[int]:
    """Cells that no other beats beyond doubt: for none are all lower ends of (other - cell) at least 0."""
    from scipy.special import stdtrit

    lows = []
    for aim, grid in zip(aims, values, strict=True):
        better = _upward(aim, grid)
        paired = better[:, None, :] - better[None, :, :]
        n = (~np.isnan(paired)).sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, np.nansum(paired, axis=2) / n, np.nan)
            spread = np.sqrt(np.nansum((paired - mean[:, :, None]) ** 2, axis=2) / (n - 1) / n)
            lows.append(np.where(n > 1, mean - stdtrit(np.maximum(n - 1, 1), 0.5 + CONFIDENCE / 2) * spread, -np.inf))
    beaten = clearly_beaten(np.stack(lows, axis=2))
    return [index for index, out in zip(satisfying, beaten, strict=True) if not out]


def settle(found: Ranking, among: str, values: Mapping[str, Floats], cells: Sequence[Cell], experiment: Experiment) -> int | None:
    """Of the tied cells the cheapest, prices within 5 % counting as one; then the nearest to the defaults; then the most desirable."""
    if among == "best" or found.best is None:
        return found.best
    prices = _prices(found.tied, values)
    cheap = min(prices.values())
    left = [index for index in found.tied if prices[index] <= cheap + 0.05 * abs(cheap) + 1e-12]
    return min(left, key=lambda index: (from_defaults(cells[index], experiment.parameters), -(found.desirability[index] or 0.0), index))


def _prices(tied: Sequence[int], values: Mapping[str, Floats]) -> dict[int, float]:
    for name in _BY_PRICE:
        if name in values:
            means = {index: t_interval(values[name][index]).mean for index in tied}
            if not any(map(math.isnan, means.values())):
                return means
    return dict.fromkeys(tied, 0.0)
