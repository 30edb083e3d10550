"""The answers for a terminal: what to use, why, how sure, what else would do; and what each parameter does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.effects import Verdict
from evalkit.choice import Choice, call_of
from evalkit.present.terminal.tables import signs
from evalkit.present.text.decision import cell_in_words, glossary, labelled, nothing, why
from evalkit.text.escaping import harmless
from evalkit.text.numbers import roughly, signed

_WIDE = 13  # columns of the console for a column of verdicts


def verdicts(analysis: Analysis, console: Console) -> RenderableType | None:
    """A row a metric, a column a parameter: the largest difference between two levels, ``= 0`` for no effect, ``?`` for inconclusive.

    Beside them the margin, and the smallest difference that the run would find.
    """
    if not analysis.verdicts:
        lines = _mind(analysis)
        return Group(*(_shown(Text(line, style="dim"), console) for line in lines), Text()) if lines else None
    spoken = {one.metric for one in analysis.verdicts}
    measured = [metric.name for metric in analysis.metrics if metric.name in spoken]
    columns = _columns(analysis, measured)
    fit = max(1, (console.width - 22) // _WIDE)
    parts: list[RenderableType] = [Text("What each parameter does: largest difference between two of its levels", style="bold")]
    for start in range(0, len(columns), fit):
        table = _table(measured, columns[start : start + fit], console)
        parts += [table, Text()] if start + fit < len(columns) else [table]
    lines = [*_legend(analysis), *_mind(analysis), f"Made by {analysis.signature}."]
    return Group(*parts, *(_shown(Text(line, style="dim"), console) for line in lines), Text())


class _Column(NamedTuple):
    heading: str
    cells: list[Text]


def _columns(analysis: Analysis, measured: Sequence[str]) -> list[_Column]:
    """A column a parameter with a verdict, then the margins and what the run would find, each with a cell for each of the metrics `measured`."""
    by_place = {(one.parameter, one.metric): one for one in analysis.verdicts}
    parameters = [name for name in analysis.parameters if any(one.parameter == name for one in analysis.verdicts)]
    columns = [_Column(name.replace("_", "\n", 1), [_verdict(by_place.get((name, metric))) for metric in measured]) for name in parameters]
    of_metric = [[one for one in analysis.verdicts if one.metric == metric] for metric in measured]
    return [
        *columns,
        _Column("margin", [_figure([one.margin for one in found]) for found in of_metric]),
        _Column("would\nfind", [_figure([one.detectable for one in found]) for found in of_metric]),
    ]


def _table(measured: Sequence[str], columns: Sequence[_Column], console: Console) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("metric", no_wrap=True)
    for column in columns:
        text = "\n".join(harmless(line, console.encoding) for line in column.heading.split("\n"))
        table.add_column(Text(text), justify="right", vertical="bottom", overflow="fold", max_width=_WIDE + 2)
    for place, metric in enumerate(measured):
        table.add_row(metric, *(column.cells[place] for column in columns))
    return table


def _mind(analysis: Analysis) -> list[str]:
    return [f"Mind: {one}." for one in analysis.not_estimated]


def _legend(analysis: Analysis) -> list[str]:
    """What the signs in the table of verdicts mean, those that occur."""
    kinds = {one.verdict for one in analysis.verdicts}
    lines = []
    if "no effect" in kinds:
        lines.append("= 0: no effect beyond the margin, shown by an equivalence test.")
    if any(one.beside_zero for one in analysis.verdicts):
        lines.append("~ 0: there is a difference, shown beside, and the same test shows it to be within the margin: too small to matter.")
    if "inconclusive" in kinds:
        lines.append("?: inconclusive: neither an effect nor its absence is shown.")
    if any(one.verdict == "effect" and not one.sure for one in analysis.verdicts):
        lines.append("(brackets): an effect by its interval alone, not sure once all parameters are counted, or on too few prompts.")
    lines.append("metric: docs/metrics.md says what each is. margin: a smaller difference does not matter (margins: in the experiment sets it).")
    lines.append("would find: the smallest difference that such a run finds in 80 % of cases, for the parameter seen best..the one seen least well;")
    lines.append("where it is above the margin, an effect that matters can be missed: add prompts.")
    unseen = [metric.name for metric in analysis.metrics if not any(one.metric == metric.name for one in analysis.verdicts)]
    if unseen:
        lines.append(f"Not compared, for want of values or of answers long enough: {', '.join(unseen)}.")
    return lines


def _verdict(one: Verdict | None) -> Text:
    if one is None:
        return Text("-")
    figure = signed(one.difference)
    if one.verdict == "inconclusive":
        return Text("?", style="dim")
    if one.verdict == "no effect":
        return Text(f"~ 0 {figure}" if one.beside_zero else "= 0", style="dim")
    return Text(figure if one.sure else f"({figure})", style="bold" if one.sure and (one.share or 0) >= 0.1 else "")


def _figure(values: Sequence[float | None]) -> Text:
    """The smallest and the largest of several figures that are known."""
    known = [value for value in values if value is not None]
    ends = list(dict.fromkeys(map(roughly, (min(known), max(known))))) if known else ["-"]
    return Text("..".join(ends), style="dim")


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
    lines = "\n".join(harmless(line, console.encoding) for line in _plain(text.plain, console).split("\n"))
    return Text(lines, style=text.style)


def _plain(text: str, console: Console) -> str:
    """`text` in signs that the console has."""
    if (console.encoding or "").lower().startswith("utf"):
        return text
    return text.replace("±", signs(console).give_or_take).replace("×", "x")
