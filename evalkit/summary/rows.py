"""What the setting buys: a row for each metric that decided, and for those that are told in any case."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from evalkit.analysis.analysis import Analysis, CellMean, MetricInfo
from evalkit.choice import Choice, Consequence
from evalkit.metrics import CATALOGUE, label_of
from evalkit.run import Run
from evalkit.summary.deciding import deciding, wanted
from evalkit.summary.summary import Row, Unmet, Verdict

_ALWAYS = [one.name for one in sorted(CATALOGUE.values(), key=lambda one: one.told) if one.told]
_MOST_PERCENT = 1_000
_OF_K = "vendi_ngram"  # an effective number of answers, at most all there are
_CLEAR: dict[str, Verdict] = {"unchanged": "same", "unclear": "unclear"}


def unit_of(metric: str, measured: Sequence[MetricInfo] = ()) -> str:
    """What a metric's numbers count; of an experiment's own as it was `measured`, where that is known."""
    known = CATALOGUE.get(metric)
    return known.unit if known is not None else next((one.unit for one in measured if one.name == metric), "number")


def rows(run: Run, choice: Choice | None, cell: int) -> list[Row]:
    """The rows of a cell, those of the metrics that decided first, by their weight."""
    analysis = run.analysis
    decisive = deciding(choice)
    measured = [one.name for one in analysis.metrics]
    names = [name for name in dict.fromkeys([*decisive, *_ALWAYS]) if name in measured]
    by = {(row.cell_index, row.metric): row for row in analysis.by_cell}
    changes = {one.metric: one for one in choice.changes} if choice is not None and cell == choice.chosen else {}
    found = [_row(name, by, cell, analysis, changes.get(name), choice, name in decisive) for name in names if (cell, name) in by]
    shown = [row for row in found if row.decides or row.mean is not None or row.reference is not None]
    return [_changed(row, label=_label(row.label, row.unit, run)) for row in shown]


def _label(label: str, unit: str, run: Run) -> str:
    """A metric's label; of money with the currency behind a comma, where it is known."""
    currency = currency_of(run)
    return label if unit != "money" or not currency else f"{label}, {currency}"


def currency_of(run: Run) -> str:
    """The currency of the run's prices; empty where it has none."""
    prices = run.experiment.priced
    return "" if prices is None else prices.currency


def _row(
    name: str,
    by: dict[tuple[int, str], CellMean],
    cell: int,
    analysis: Analysis,
    change: Consequence | None,
    choice: Choice | None,
    decides: bool,
) -> Row:
    here, base = by[cell, name], by.get((analysis.reference, name))
    row = Row(
        metric=name,
        label=f"{label_of(name)} of {analysis.counts.k}" if name == _OF_K and analysis.counts.k else label_of(name),
        unit=unit_of(name, analysis.metrics),
        mean=_known(here.mean),
        low=_known(here.ci_low),
        high=_known(here.ci_high),
        decides=decides,
    )
    if cell == analysis.reference or base is None:
        return row
    row = _changed(row, reference=_known(base.mean), reference_low=_known(base.ci_low), reference_high=_known(base.ci_high))
    if change is None:
        return row
    # On the prompts that both have a value on, so that the change is what lies between the two.
    row = _changed(row, mean=change.chosen, low=_known(change.chosen_low), high=_known(change.chosen_high))
    row = _changed(row, reference=change.reference, reference_low=_known(change.reference_low), reference_high=_known(change.reference_high))
    row = _changed(row, change=change.difference, change_low=_known(change.ci_low), change_high=_known(change.ci_high))
    low, high = change.percent_low, change.percent_high
    # Of a reference near 0 a percentage tells nothing: its interval would reach below -100 %.
    if low is not None and high is not None and low >= -100 and high < _MOST_PERCENT:
        row = _changed(row, percent=change.percent, percent_low=low, percent_high=high)
    return _changed(row, verdict=_verdict(change, wanted(name, choice, analysis.metrics)))


def _changed(row: Row, **fields: object) -> Row:
    return msgspec.structs.replace(row, **fields)


def _verdict(change: Consequence, wanted: str | None) -> Verdict:
    if change.clear in _CLEAR:
        return _CLEAR[change.clear]
    if wanted is None:
        return "differs"
    return "better" if (change.difference > 0) == (wanted == "higher") else "worse"


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)


def unmet(choice: Choice, run: Run) -> list[Unmet]:
    """The bounds that no setting keeps to all of, with what the setting that comes nearest to all has, and the best of any by each alone."""
    analysis = run.analysis
    missed, measured = {one.metric: one for one in choice.misses}, analysis.metrics
    means: dict[str, list[float]] = {}
    for row in analysis.by_cell:
        if not math.isnan(row.mean):
            means.setdefault(row.metric, []).append(row.mean)
    found: Sequence[Unmet] = [
        Unmet(
            metric=one.metric,
            label=_label(label_of(one.metric), unit_of(one.metric, measured), run),
            unit=unit_of(one.metric, measured),
            low=one.min,
            high=one.max,
            excludes=one.excludes,
            nearest=_known(missed[one.metric].mean) if one.metric in missed else None,
            judged=_known(missed[one.metric].judged) if one.metric in missed else None,
            best=(max if one.max is None else min)(means[one.metric]) if one.metric in means else None,
        )
        for one in choice.constraints
        if one.excludes
    ]
    return sorted(found, key=lambda one: -one.excludes)
