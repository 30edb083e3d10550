"""From scores to a setting: constraints first, then the ranking, then what the chosen cell changes against the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from evalkit.analysis.analysis import Analysis
from evalkit.choice.choice import Choice, Consequence, Miss
from evalkit.choice.constraints import Shown, constraint_of, misses_of, nearest_of, too_short, unprovable, unproved_of, wanted_of
from evalkit.choice.ranking import rank, settle
from evalkit.experiment.goals import Choose, Preference, Requirement
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE
from evalkit.plan.cells import parameters_of
from evalkit.scoring.scores import Scores
from evalkit.stats.claims import clear
from evalkit.stats.conventions import ALPHA
from evalkit.stats.equivalence import tost
from evalkit.stats.intervals import t_interval, within_range
from evalkit.stats.precision import minus
from evalkit.stats.selection import Aim

_ALWAYS_TOLD = [one.name for one in sorted(CATALOGUE.values(), key=lambda one: one.told) if one.told]


class Finish(NamedTuple):
    """What a race leaves to choose from.

    Attributes:
        finalists: the cells that were asked every prompt and not shown out.
        aims: by metric, with the limits that were fixed at the first look.
    """

    finalists: tuple[int, ...]
    aims: dict[str, Aim]


class _Judged(NamedTuple):
    """What is wanted, as far as it is measured, and which cells keep to the bounds."""

    require: dict[str, Requirement]
    prefer: dict[str, Preference]
    about: str | None
    notes: list[str]
    by_mean: set[str]
    misses: list[Miss]
    satisfying: list[int]


def _judged(wanted: Choose, scores: Scores, shown: Shown, among: Sequence[int]) -> _Judged:
    values = {name: one.value for name, one in scores.by_metric.items()}
    known = {name for name, grid in values.items() if not np.isnan(grid).all()}
    # A bound is on what people get, so a metric that cannot be compared fairly can still be bounded, on whole answers.
    bounded = known | {name for name, one in scores.by_metric.items() if not np.isnan(one.value_full).all()}
    require, prefer, about, notes = wanted_of(wanted, known, bounded, {metric.name for metric in scores.metrics if metric.confounded})
    by_mean = unprovable(require, scores, shown)
    found, unknown = misses_of(require, values, shown, by_mean, too_short(require, scores))
    misses = [one for one in found if one.cell_index in among]
    out = {one.cell_index for one in misses}
    return _Judged(require, prefer, about, [*notes, *unknown], by_mean, misses, [index for index in among if index not in out])


def kept(scores: Scores, shown: Shown, among: Sequence[int]) -> list[int]:
    """Which of the cells `among` keep to every bound of ``choose:``, as `choose` judges them; `shown` has the means of what has a bound."""
    wanted = scores.plan.experiment.choose
    return list(among) if wanted is None else _judged(wanted, scores, shown, among).satisfying


def choose(scores: Scores, analysis: Analysis, finish: Finish | None = None) -> Choice | None:
    """What ``choose:`` of the experiment comes to, among the finalists where it was a race; None where it has none."""
    experiment = scores.plan.experiment
    if experiment.choose is None:
        return None
    cells = scores.plan.cells
    values = {name: one.value for name, one in scores.by_metric.items()}
    judged = _judged(experiment.choose, scores, analysis, range(len(cells)) if finish is None else finish.finalists)
    require, prefer, misses, satisfying, by_mean = judged.require, judged.prefer, judged.misses, judged.satisfying, judged.by_mean
    about, notes = judged.about, list(judged.notes)
    constraints = [constraint_of(name, one, misses, name not in by_mean) for name, one in require.items()]
    fixed = None if finish is None or any(name not in finish.aims for name in prefer) else [finish.aims[name] for name in prefer]
    found = rank(satisfying, scores, prefer, fixed)
    chosen = settle(found, experiment.choose.among, values, cells, experiment) if found.best is not None else None
    nearest = nearest_of(misses, require, scores, analysis.reference) if not satisfying else None
    notes += found.notes
    return Choice(
        profile=experiment.choose.profile,
        about=about,
        among=experiment.choose.among,
        weights=found.weights,
        constraints=constraints,
        satisfying=satisfying,
        pareto=found.pareto,
        perhaps_pareto=found.perhaps,
        desirability=found.desirability,
        best=found.best,
        runner_up=found.runner_up,
        chosen=chosen,
        chosen_name=(analysis.name_of(chosen) or msgspec.UNSET) if chosen is not None else msgspec.UNSET,
        tied=found.tied,
        resample_share=found.share,
        changes=_changes(chosen, analysis.reference, scores, [*prefer, *require]) if chosen is not None else [],
        nearest=nearest,
        misses=[one for one in misses if one.cell_index == nearest],
        unproved=unproved_of(chosen, by_mean, require, scores, analysis) if chosen is not None else [],
        parameters=parameters_of(cells[chosen], experiment) if chosen is not None else {},
        notes=notes,
    )


def _changes(chosen: int, reference: int, scores: Scores, aims: Sequence[str]) -> list[Consequence]:
    if chosen == reference:
        return []
    measured = {metric.name: metric for metric in scores.metrics}
    out = []
    for name in (one for one in dict.fromkeys([*aims, *_ALWAYS_TOLD]) if one in measured):
        values = scores.by_metric[name].value
        paired = minus(values[chosen], values[reference])
        both = ~np.isnan(paired)
        paired = paired[both]
        one = t_interval(paired)
        if one.n < 2:
            continue
        low, high = measured[name].low, measured[name].high
        here, there = (within_range(values[cell][both], low, high) for cell in (chosen, reference))
        base = there.mean
        margin = margin_of(measured[name], base, scores.plan.experiment.margins).value
        inside = not math.isnan(margin) and tost(paired, -margin, margin).p <= ALPHA
        span = measured[name].high - measured[name].low
        one = one._replace(low=max(one.low, -span), high=min(one.high, span))
        share = (lambda value, base=base: 100 * value / abs(base)) if base and not math.isnan(base) else (lambda _: None)
        out.append(
            Consequence(
                metric=name,
                reference=base,
                chosen=here.mean,
                difference=one.mean,
                ci_low=one.low,
                ci_high=one.high,
                percent=share(one.mean),
                percent_low=share(one.low),
                percent_high=share(one.high),
                reference_low=there.low,
                reference_high=there.high,
                chosen_low=here.low,
                chosen_high=here.high,
                clear="unchanged" if inside else "changed" if clear(one.low, one.high) else "unclear",
            )
        )
    return out
