"""What a setting must keep to: which cells miss which bound, and which comes nearest where none keeps to all."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.analysis import Analysis, CellMean
from evalkit.choice.choice import Constraint, Miss, Unproved
from evalkit.experiment.goals import Choose, Preference, Requirement, profile
from evalkit.experiment.margins import margin_of
from evalkit.metrics import Metric, label_of, tokenise
from evalkit.scoring.scores import Scores
from evalkit.stats.intervals import t_interval, within_range
from evalkit.text.numbers import counted

Floats = NDArray[np.float64]


class Shown(Protocol):
    """What tables show of the cells: an analysis, or as much of one as bounds are judged by."""

    @property
    def cells(self) -> Sequence[Any]:
        """The cells."""
        ...

    @property
    def by_cell(self) -> Sequence[CellMean]:
        """The means with their intervals."""
        ...


_WHOLE = 1e-6  # of an answer: a mean over answers that counts them, times their number


def wanted_of(
    wanted: Choose, known: set[str], bounded: set[str], measured: Collection[str] = ()
) -> tuple[dict[str, Requirement], dict[str, Preference], str | None, list[str]]:
    """Constraints and preferences, those of the profile behind the user's own; what the run does not measure is left out and told."""
    require, prefer, about, notes = dict(wanted.require), dict(wanted.prefer), None, []
    if wanted.profile is not None:
        base = profile(wanted.profile)
        about = base.about
        absent = sorted({name for name in base.require if name not in bounded} | {name for name in base.prefer if name not in known})
        notes += [f"part of the profile is left out: {reason}" for reason in _reasons(absent, bounded, measured)]
        require = {name: one for name, one in base.require.items() if name in bounded} | require
        prefer = {name: one for name, one in base.prefer.items() if name in known} | prefer
    absent = [name for name in prefer if name not in known]
    notes += [f"preferences are left out: {reason}" for reason in _reasons(absent, bounded, measured)]
    return require, {name: one for name, one in prefer.items() if name in known}, about, notes


def _reasons(absent: Sequence[str], bounded: set[str], measured: Collection[str]) -> list[str]:
    """Why these metrics cannot be preferred: what has values on whole answers only is measured and still not to be compared."""
    short = [name for name in absent if name in bounded or name in measured]
    unmeasured = [name for name in absent if name not in short]
    out = [f"too many answers are too short to compare settings by {', '.join(map(label_of, short))}"] if short else []
    return out + ([f"this run does not measure {', '.join(unmeasured)}"] if unmeasured else [])


def missed(one: Requirement | Constraint, mean: float, low: float, high: float, *, by_mean: bool) -> tuple[float, float] | None:
    """The bound that a mean with its interval does not keep to, and what is held against it; None where it keeps to both.

    What is unknown keeps to no bound.
    """
    lowest, highest = (mean, mean) if by_mean else (low, high)
    if one.max is not None and not highest <= one.max:
        return one.max, highest
    return (one.min, lowest) if one.min is not None and not lowest >= one.min else None


def unprovable(require: Mapping[str, Requirement], scores: Scores, analysis: Shown) -> set[str]:
    """Metrics whose bound not even a cell at the good end of their range on every prompt could prove by its interval: there are too few."""
    measured = {metric.name: metric for metric in scores.metrics}
    out = set()
    for name, one in require.items():
        metric = measured.get(name)
        if one.by == "mean" or metric is None:
            continue
        prompts = max((row.n_prompts for row in analysis.by_cell if row.metric == name), default=0)
        ends = (metric.low, one.max, 1), (metric.high, one.min, -1)
        for end, bound, sign in ends:
            if bound is None or not math.isfinite(end):
                continue
            clean = within_range([end] * prompts, metric.low, metric.high)
            if sign * (clean.high if sign > 0 else clean.low) > sign * bound >= sign * end:
                out.add(name)
    return out


def unproved_of(cell: int, names: Collection[str], require: Mapping[str, Requirement], scores: Scores, analysis: Analysis) -> list[Unproved]:
    """Of the metrics of these `names`, whose bounds are judged by the mean, those that the interval of a cell does not prove."""
    measured = {metric.name: metric for metric in scores.metrics}
    out = []
    for row in analysis.by_cell:
        if row.cell_index != cell or row.metric not in names:
            continue
        beyond = missed(require[row.metric], row.mean, row.ci_low, row.ci_high, by_mean=False)
        if beyond is not None and not math.isnan(beyond[1]):
            metric, found = measured[row.metric], scores.by_metric[row.metric]
            shares, texts = (found.value, found.n_eligible) if scores.compared(metric) else (found.value_full, found.n_texts)  # as tables show it
            hits = np.where(np.isnan(shares), 0.0, shares) * texts
            whole = metric.level == "response" and bool(np.all(np.abs(hits - hits.round()) < _WHOLE))
            answers = int(texts[cell][~np.isnan(shares[cell])].sum())
            seen = round(float(hits[cell].sum())) if whole else None
            out.append(Unproved(metric=row.metric, mean=row.mean, reaches=beyond[1], seen=seen, answers=answers))
    return out


def too_short(require: Mapping[str, Requirement], scores: Scores) -> dict[str, set[int]]:
    """Cells that have answers too short to repeat anything, by metrics of repetition that are to stay below a bound.

    An answer of three words holds no four words twice: that it has no value there speaks for it, and not against it. Empty answers speak for nothing.
    """
    measured = {metric.name: metric for metric in scores.metrics}
    words = scores.by_metric.get("length_words")
    out = {}
    for name, one in require.items():
        if words is None or one.min is not None or name not in measured or not _needs_length(measured[name]):
            continue
        lacking = np.isnan(scores.by_metric[name].value_full) & (np.nan_to_num(words.value_full) > 0)
        out[name] = set(np.flatnonzero(lacking.any(axis=1)).tolist())
    return out


def _needs_length(metric: Metric) -> bool:
    """Whether it is of repetition, and has no value on an answer of one word."""
    return metric.family == "repetition" and metric.level == "response" and bool(np.isnan(metric.of(tokenise(["word"]))).all())


def misses_of(
    require: Mapping[str, Requirement],
    values: Mapping[str, Floats],
    analysis: Shown,
    by_mean: Collection[str] = (),
    short: Mapping[str, Collection[int]] = MappingProxyType({}),
) -> tuple[list[Miss], list[str]]:
    """Every bound that a cell misses, the first of each constraint; and notes on what is required and not measured.

    Args:
        by_mean: metrics that are judged by the mean, whatever was wanted, where there is an interval beside it.
        short: as `too_short` finds them: where no answer can have a value the bound is kept, and where one prompt alone has one its mean is judged.
    """
    out: list[Miss] = []
    notes: list[str] = []
    shown = {(row.metric, row.cell_index): (row.mean, row.ci_low, row.ci_high) for row in analysis.by_cell}  # the intervals that tables show
    for name, one in require.items():
        before = len(out)
        if name not in values:
            notes.append(f"{name} has a bound, but this run does not measure it, so no setting can keep to it")
        for index in range(len(analysis.cells)):
            average, low, high = shown.get((name, index)) or _ends(values[name][index] if name in values else np.array([]))
            has_short = index in short.get(name, ())
            if has_short and math.isnan(average):
                continue
            of_mean = one.by == "mean" or (has_short if math.isnan(low) else name in by_mean)
            found = missed(one, average, low, high, by_mean=of_mean)
            if found is not None:
                out.append(Miss(cell_index=index, metric=name, bound=found[0], mean=average, judged=found[1]))
        notes += _unknown(name, out[before:]) if name in values else []
    return out, notes


def _unknown(name: str, misses: Sequence[Miss]) -> list[str]:
    """What is said of the cells that miss a constraint because its metric is not known there."""
    notes = []
    if unseen := sum(math.isnan(miss.judged) and not math.isnan(miss.mean) for miss in misses):
        cells = counted(unseen, "setting")
        notes.append(f"{name} has a value on one prompt only in {cells}, which gives no interval to judge by: add prompts, or write by: mean")
    if undefined := sum(math.isnan(miss.mean) for miss in misses):
        cells = "1 setting, which" if undefined == 1 else f"{counted(undefined, 'setting')}, each of which"
        notes.append(f"{name} has no value in {cells} therefore does not keep to its bound")
    return notes


def _ends(values: Floats) -> tuple[float, float, float]:
    one = t_interval(values)
    return one.mean, one.low, one.high


def constraint_of(name: str, one: Requirement, misses: Sequence[Miss], provable: bool) -> Constraint:
    """The constraint as it was used."""
    missing = {miss.cell_index for miss in misses if miss.metric == name}
    others = {miss.cell_index for miss in misses if miss.metric != name}
    return Constraint(
        metric=name,
        min=one.min,
        max=one.max,
        by=one.by if provable else "mean",
        excludes=len(missing),
        excludes_alone=len(missing - others),
        because=one.because,
        provable=provable,
    )


def nearest_of(misses: Sequence[Miss], require: Mapping[str, Requirement], scores: Scores, reference: int) -> int | None:
    """The cell whose worst miss is the smallest, in units of the metric's margin."""
    measured = {metric.name: metric for metric in scores.metrics}
    margins = scores.plan.experiment.margins
    worst: dict[int, float] = {}
    for one in misses:
        if one.metric not in measured or math.isnan(one.judged):
            size = math.inf
        else:
            margin = margin_of(measured[one.metric], t_interval(scores.by_metric[one.metric].value[reference]).mean, margins).value
            size = abs(one.judged - one.bound) / (margin if margin > 0 else 1.0)
        worst[one.cell_index] = max(worst.get(one.cell_index, 0.0), size)
    known = {index: size for index, size in worst.items() if not math.isinf(size)}
    return min(known, key=lambda index: (known[index], index)) if known and require else None
