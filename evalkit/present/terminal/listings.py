"""The parts of a run for a terminal, each whole: what each parameter does, how the setting was chosen, what failed, what was noticed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.effects import Verdict
from evalkit.choice import Choice, call_of
from evalkit.metrics import label_of
from evalkit.present.terminal.signs import plain
from evalkit.present.text import method, words
from evalkit.present.text.decision import cell_in_words, glossary, labelled, nothing, why
from evalkit.run import Run
from evalkit.summary.deciding import told_first, wanted
from evalkit.summary.quantities import explained, factor, is_money, plain_size, signed_of
from evalkit.summary.summing import mind
from evalkit.text.escaping import harmless
from evalkit.text.numbers import roughly

_ROOMY = 60
_WIDE = 13  # columns of the console for a column of verdicts


def order_of(run: Run, sort: str, top: int) -> list[int] | None:
    """Settings in the order in which they are shown, at most `top` of them, 0 for all; None where the table is to decide.

    Args:
        sort: a metric, whose best mean comes first (the largest, where nobody says which way is better), or ``desirability``; empty for none.
    """
    analysis = run.analysis
    cells = list(range(len(analysis.cells)))
    if sort == "desirability":
        worth = (run.choice.desirability if run.choice is not None else []) or [None] * len(cells)
        cells.sort(key=lambda index: (worth[index] is None, -(worth[index] or 0.0)))
    elif sort:
        means = {row.cell_index: row.mean for row in analysis.by_cell if row.metric == sort}
        down = wanted(sort, run.choice, analysis.metrics) == "lower"
        cells.sort(key=lambda index: (math.isnan(means[index]), means[index] if down else -means[index]))
    elif top == 0 or len(cells) <= top:
        return cells
    else:
        return None
    return cells[: top or None]


def verdicts(
    analysis: Analysis, console: Console, names: Sequence[str] = (), choice: Choice | None = None, currency: str = ""
) -> RenderableType | None:
    """A row a metric, a column a parameter: the largest difference between two levels, ``= 0`` for no effect, ``?`` for inconclusive.

    Beside them the margin, and the smallest difference that the run could find.

    Args:
        names: the metrics to show, all where there are none.
        choice: what was chosen: what it rests on comes first.
        currency: of the prices.
    """
    if not analysis.verdicts:
        lines = _mind(analysis)
        return Group(*(_shown(Text(line, style="dim"), console) for line in lines), Text()) if lines else None
    spoken = {one.metric for one in analysis.verdicts}
    every = dict.fromkeys([*told_first(choice, analysis), *(metric.name for metric in analysis.metrics)])
    measured = [name for name in every if name in spoken and (not names or name in names)]
    columns = _columns(analysis, measured)
    fit = max(1, (console.width - 22) // _WIDE)
    parts: list[RenderableType] = [Text("What each parameter does: largest difference between two of its levels", style="bold")]
    for start in range(0, len(columns), fit):
        table = _table(measured, columns[start : start + fit], console)
        parts += [table, Text()] if start + fit < len(columns) else [table]
    lines = [*explained(measured, currency), *_legend(analysis), *_mind(analysis), f"Made by {analysis.signature}."]
    return Group(*parts, *(_shown(Text(line, style="dim"), console) for line in lines), Text())


class _Column(NamedTuple):
    heading: str
    cells: list[Text]


def _columns(analysis: Analysis, measured: Sequence[str]) -> list[_Column]:
    """A column a parameter with a verdict, then margins and smallest differences the run could find, a cell for each of the metrics `measured`."""
    by_place = {(one.parameter, one.metric): one for one in analysis.verdicts}
    parameters = [name for name in analysis.parameters if any(one.parameter == name for one in analysis.verdicts)]
    columns = [_Column(name.replace("_", "\n", 1), [_verdict(by_place.get((name, metric))) for metric in measured]) for name in parameters]
    of_metric = [[one for one in analysis.verdicts if one.metric == metric] for metric in measured]
    return [
        *columns,
        _Column("margin", [_figure([one.margin for one in found], metric) for metric, found in zip(measured, of_metric, strict=True)]),
        _Column("smallest\nfound", [_figure([one.detectable for one in found], metric) for metric, found in zip(measured, of_metric, strict=True)]),
    ]


def _table(measured: Sequence[str], columns: Sequence[_Column], console: Console) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("metric", no_wrap=True)
    for column in columns:
        text = "\n".join(harmless(line, console.encoding) for line in column.heading.split("\n"))
        table.add_column(Text(text), justify="right", vertical="bottom", overflow="fold", max_width=_WIDE + 2)
    for place, metric in enumerate(measured):
        table.add_row(f"{metric} of 1,000" if is_money(metric) else metric, *(column.cells[place] for column in columns))
    return table


def _mind(analysis: Analysis) -> list[str]:
    return [f"Keep in mind: {one}." for one in analysis.not_estimated]


def _legend(analysis: Analysis) -> list[str]:
    """What the signs in the table of verdicts mean, those that occur."""
    kinds = {one.verdict for one in analysis.verdicts}
    lines = []
    if "no effect" in kinds:
        lines.append("= 0: no effect beyond the margin, shown by an equivalence test.")
    if any(one.beside_zero for one in analysis.verdicts):
        lines.append("~ 0: there is a difference, shown beside it, and the same test shows that it is within the margin: too small to matter.")
    if "inconclusive" in kinds:
        lines.append("?: unclear: this run shows neither an effect nor that there is none.")
    if any(one.verdict == "effect" and not one.sure for one in analysis.verdicts):
        lines.append("(brackets): perhaps an effect: not sure once all metrics and parameters are counted, or on too few prompts.")
    lines.append("metric: docs/metrics.md says what each is. margin: a smaller difference does not matter (margins: in the experiment sets it).")
    lines.append("smallest found: the smallest difference this run could find (80 % of the time), for the parameter seen best..worst;")
    lines.append("where it is above the margin, an effect that matters can be missed: add prompts.")
    unseen = [metric.name for metric in analysis.metrics if not any(one.metric == metric.name for one in analysis.verdicts)]
    if unseen:
        lines.append(f"Not compared, because there are too few values or the answers are too short: {', '.join(unseen)}.")
    return lines


def _verdict(one: Verdict | None) -> Text:
    if one is None:
        return Text("-")
    figure = signed_of(one.metric, one.difference)
    if one.verdict == "inconclusive":
        return Text("?", style="dim")
    if one.verdict == "no effect":
        return Text(f"~ 0 {figure}" if one.beside_zero else "= 0", style="dim")
    return Text(figure if one.sure else f"({figure})", style="bold" if one.sure and (one.share or 0) >= 0.1 else "")


def _figure(values: Sequence[float | None], metric: str) -> Text:
    """The smallest and the largest of several figures that are known; of money to one digit where two are too long for the column."""
    known = [value * factor(metric) for value in values if value is not None]
    forms = (plain_size, partial(plain_size, keep=1)) if is_money(metric) else (roughly,)
    texts = ["..".join(dict.fromkeys(map(form, (min(known), max(known))))) if known else "-" for form in forms]
    return Text(next((text for text in texts if len(text) <= _WIDE + 2), texts[-1]), style="dim")


def answers(analysis: Analysis, console: Console) -> RenderableType | None:
    """The answers in words, a paragraph a parameter."""
    if not analysis.answers:
        return None
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in analysis.answers:
        first, *rest = one.split("; ")
        table.add_row("-", _shown(Text(first + ";" * bool(rest)), console))
        for place, part in enumerate(rest, 1):
            table.add_row("", Padding(_shown(Text(part + ";" * (place < len(rest))), console), (0, 0, 0, 2)))
    return Group(Text("In short", style="bold"), table, Text())


def choice(found: Choice, analysis: Analysis, console: Console) -> RenderableType:
    """What to use, why, how sure, and what else would do."""
    head = f"Recommendation{f' for {found.profile}' if found.profile else ''}"
    parts: list[RenderableType] = [Text(head, style="bold")]
    if found.about:
        parts.append(Text(f"Wanted: {found.about}", style="dim"))
    if found.chosen is None:
        head, *rest = nothing(found, analysis)
        parts += [_shown(Text(head, style="bold red"), console), *(_shown(Text(line), console) for line in rest)]
        parts += [_shown(Text(f"Note: {one}.", style="dim"), console) for one in found.notes]
    else:
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_row(Text("Use", style="bold green"), _shown(Text(cell_in_words(analysis, found.chosen), style="bold green"), console))
        for label, text in labelled(why(found, analysis)):
            table.add_row(Text(label, style="bold"), _shown(Text(text), console))
        parts += [table, _shown(Text(call_of(found.parameters), style="cyan"), console)]
    parts += [_shown(Text(line, style="dim"), console) for line in glossary(found, analysis)]
    return Group(*parts, Text())


def _shown(text: Text, console: Console) -> Text:
    """`text` made harmless, line by line, in signs that the console has."""
    lines = "\n".join(harmless(line, console.encoding) for line in plain(text.plain, console).split("\n"))
    return Text(lines, style=text.style)


def failures(run: Run, console: Console) -> RenderableType:
    """What failed, by kind, with the last message of each."""
    found = words.failures(run)
    if not found:
        return Text("Nothing failed.")
    table = _listed(("kind", "requests", "the last message"), console)
    for row in found:
        table.add_row(_shown(Text(row["kind"]), console), row["count"], _shown(Text(row["message"]), console))
    return table


def notes(run: Run, console: Console) -> RenderableType:
    """All that was noticed, and how it was measured."""
    said = [one.text for one in mind(run)]
    said += [one.text for one in run.analysis.notes if one.text not in said] + [f"{one}." for one in run.analysis.not_estimated]
    parts: list[RenderableType] = [Text("Noticed", style="bold"), *(_bullet(one, console) for one in said)]
    parts += [Text(), Text("How this was measured", style="bold"), *(_bullet(one, console) for one in method.lines(run))]
    return Group(*parts)


def metrics(run: Run, console: Console) -> RenderableType:
    """What each metric of the run is."""
    table = _listed(("metric", "in words", "better", "definition"), console)
    for one in run.analysis.metrics:
        told = (one.name, label_of(one.name), one.better or "-", one.definition)
        table.add_row(*(_shown(Text(word), console) for word in told))
    return table


def _listed(heads: Sequence[str], console: Console) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for place, head in enumerate(heads):
        table.add_column(head, overflow="fold", no_wrap=place == 0 and console.width >= _ROOMY)
    return table


def _bullet(text: str, console: Console) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_row("-", _shown(Text(text), console))
    return table
