"""The first screen of a page: the summary with its picture, a row a metric, and what else would do."""

from __future__ import annotations

import json
from typing import Any

from evalkit.choice import call_of
from evalkit.choice.constraints import missed
from evalkit.experiment.parameters import level_text
from evalkit.metrics import label_of
from evalkit.present.plots.style import swept
from evalkit.run import Run
from evalkit.summary import Row, Summary, rows
from evalkit.summary.quantities import bound, changed, heading, measured, named, nearest_in_words
from evalkit.summary.racing import race_of
from evalkit.text.escaping import visible

_WIDTH = 300.0
_MARGIN = 8.0
_MOST_TIES = 30
_THIS = "evalkit report "
"""The command that makes the page, which whoever reads it has run."""


def first_screen(run: Run, found: Summary) -> dict[str, Any]:
    """What the page's first section holds, its texts made visible."""
    shown = found.use or found.nearest
    bounds = {one.metric: (one.min, one.max) for one in run.choice.constraints} if run.choice is not None else {}
    return {
        "outcome": found.outcome,
        "purpose": visible(found.purpose),
        "name": visible(shown.name or "") if shown is not None else "",
        "levels": [(visible(name), visible(level_text(level) or "")) for name, level in shown.values.items()] if shown is not None else [],
        "paste": visible(json.dumps(found.parameters, ensure_ascii=False)) if found.parameters else "",
        "call": visible(call_of(found.parameters)) if found.parameters else "",
        "what": heading(found),
        "reference": visible(found.reference.in_words),
        "reference_by": visible(found.reference_by),
        "rows": [_row(row, bounds.get(row.metric, (None, None))) for row in found.rows],
        "unmet": [
            {"label": visible(named(one.label, one.unit)), "bound": bound(one), "excludes": one.excludes, "nearest": nearest_in_words(one)}
            for one in found.unmet
        ],
        "raced_label": found.raced_label,
        "raced": [visible(one) for one in found.raced],
        "sure": [visible(one) for one in found.sure],
        "matters": [visible(one) for one in found.matters],
        "mind": [{"level": one.level, "text": visible(one.text)} for one in found.mind],
        "next": [(visible(one.command), visible(one.what)) for one in found.next if not one.command.startswith(_THIS)],
        "settings": found.settings,
    }


def _row(row: Row, bounds: tuple[float | None, float | None]) -> dict[str, Any]:
    """A row as the page shows it: figures, and marks on a scale of its own from its lowest to its highest end."""
    ends = [one for one in (row.low, row.high, row.mean, row.reference_low, row.reference_high, row.reference, *bounds) if one is not None]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    span = high - low or abs(high) or 1.0

    def place(value: float | None) -> str | None:
        return None if value is None else f"{_MARGIN + (value - low) / span * (_WIDTH - 2 * _MARGIN):.1f}"

    here = measured(row.mean, row.low, row.high, row.unit)
    other = measured(row.reference, row.reference_low, row.reference_high, row.unit) if row.reference is not None else ""
    said = f"{named(row.label, row.unit)}: {here}" + (f", reference {other}" if other else "")
    return {
        "label": visible(named(row.label, row.unit)),
        "metric": visible(row.metric),
        "here": here,
        "reference": other,
        "change": changed(row),
        "verdict": row.verdict or "",
        "decides": row.decides,
        "marks": [
            {"mean": place(mean), "low": place(start), "high": place(end), "y": y, "kind": kind}
            for mean, start, end, y, kind in (
                (row.mean, row.low, row.high, 9, "this"),
                (row.reference, row.reference_low, row.reference_high, 21, "reference"),
            )
            if mean is not None
        ],
        "bounds": [place(one) for one in bounds if one is not None],
        "said": visible(said),
    }


def ties(run: Run) -> dict[str, Any] | None:
    """The settings that cannot be told from the best, in the columns that differ between them; None where there is one alone."""
    choice, analysis = run.choice, run.analysis
    if choice is None or choice.chosen is None or len(choice.tied) < 2:
        return None
    order = sorted(choice.tied, key=lambda index: (index != choice.chosen, -(choice.desirability[index] or 0.0)))
    names = [name for name in swept(run) if len({level_text(analysis.cells[index][name]) for index in order}) > 1]
    same = {name: analysis.cells[choice.chosen][name] for name in swept(run) if name not in names}
    table = [{row.metric: row for row in rows.rows(run, choice, index)} for index in order[:_MOST_TIES]]
    metrics = [one for one in table[0].values() if one.decides]
    return {
        "parameters": [visible(name) for name in names],
        "metrics": [visible(named(one.label, one.unit)) for one in metrics],
        "alike": visible(", ".join(f"{name} {level_text(level)}" for name, level in same.items() if level is not None)),
        "rows": [
            {
                "cell": index,
                "chosen": index == choice.chosen,
                "name": visible(analysis.name_of(index) or ""),
                "levels": ["" if (level := analysis.cells[index][name]) is None else visible(level_text(level) or "") for name in names],
                "numbers": [_number(there, one) for one in metrics],
            }
            for index, there in zip(order, table, strict=False)
        ],
        "more": max(0, len(order) - _MOST_TIES),
    }


def _number(there: dict[str, Row], one: Row) -> str:
    row = there.get(one.metric)
    return "–" if row is None else measured(row.mean, row.low, row.high, row.unit)


def misses(run: Run) -> list[list[str]]:
    """For each setting the metrics whose bound it misses, by their labels; none of those that keep to all, or that a race has not finished."""
    choice = run.choice
    out: list[list[str]] = [[] for _ in run.analysis.cells]
    if choice is None:
        return out
    by, race = {(row.cell_index, row.metric): row for row in run.analysis.by_cell}, race_of(run.analysis)
    for index in range(len(out)):
        if index in choice.satisfying or (race is not None and index not in race.finished):
            continue
        for one in choice.constraints:
            row = by.get((index, one.metric))
            if row is not None and missed(one, row.mean, row.ci_low, row.ci_high, by_mean=one.by == "mean") is not None:
                out[index].append(label_of(one.metric))
    return out
