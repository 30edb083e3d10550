"""A comparison for a terminal of any width."""

from __future__ import annotations

from textwrap import wrap

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.comparison.comparison import Comparison, headline
from evalkit.comparison.verdict import Compared
from evalkit.metrics import label_of
from evalkit.present.terminal.lines import LINES, MARKS, fitted, joined, labelled, table
from evalkit.present.text.comparison import basis, ends, not_compared, ordered, sides, verdict_text, where
from evalkit.summary import Row
from evalkit.summary.quantities import changed, measured, named
from evalkit.summary.rows import unit_of
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted, figure, p_value, signed_figure

_WIDE = 110
_STYLE = {"worse": "bold red", "better": "green", "differs": "yellow"}

_MOST_CHANGED, _MOST_OPEN, _MOST_SIDES = 9, 3, 5


def comparison_screen(found: Comparison, console: Console) -> Text:
    """The gate's word, what the two are, what changed, and what must be known: at most thirty lines at eighty columns."""
    width = max(40, console.width)
    head = [Text(line, style="bold" if found.passed else "bold red") for line in wrap(headline(found), width, break_on_hyphens=False)]
    rows = sides(found)[:_MOST_SIDES]
    both = [labelled(name, "; ".join(f"{row[0]} {row[place]}" for row in rows), width) for place, name in ((1, "Baseline"), (2, "Candidate"))]
    blocks = [head, [line for lines in both for line in lines], _changes(found, width)]
    told = [*found.notes, *found.left_out, *not_compared(found), basis(found), *_where(found)]
    room = LINES - 2 - sum(len(block) + 1 for block in blocks if block)
    blocks.append(fitted([(one.replace("→", "->"), "") for one in told], "Keep in mind", width, room))
    lines: list[Text] = []
    for block in filter(None, blocks):
        lines += [*([Text()] if lines else []), *block]
    return joined(lines, console)


def _changes(found: Comparison, width: int) -> list[Text]:
    """The metrics that changed, those that are open, and how many did not; a verdict in brackets is no gate's."""
    every = [*ordered(found.gated), *ordered([one for one in found.metrics if not one.gated])]
    moved = [one for one in every if one.verdict in ("worse", "differs", "better")][:_MOST_CHANGED]
    still_open = [one for one in every if one.verdict == "inconclusive"][:_MOST_OPEN]
    rows = [_row(one) for one in [*moved, *still_open]]
    styles = [["", "", "", "", MARKS[one.verdict] if one.gated else "dim"] for one in [*moved, *still_open]]
    out = table(["", "baseline", "candidate", "change", ""], rows, styles, width) if rows else []
    rest = len(every) - len(rows)
    if rest:
        what = "the same within their margins, or open" if any(one.verdict == "inconclusive" for one in every) else "the same within their margins"
        out.append(Text(f"{'the other' if rows else 'all'} {counted(rest, 'metric')}: {what} (all of them: --all)", style="dim"))
    return out


def _row(one: Compared) -> list[str]:
    unit = unit_of(one.metric)
    row = Row(metric=one.metric, label=label_of(one.metric), unit=unit, mean=one.candidate, low=None, high=None,
              change=one.difference, change_low=one.ci_low, change_high=one.ci_high)  # fmt: skip
    figures = [measured(mean, None, None, unit) for mean in (one.baseline, one.candidate)]
    return [named(row.label, unit), *figures, changed(row), verdict_text(one)]


def _where(found: Comparison) -> list[str]:
    """The settings in which the metrics that got worse most did, a line a metric."""
    return [
        f"{metric.metric} got worse most in: {'; '.join(f'{cell.cell} {signed_figure(cell.difference)}' for cell in cells)}"
        for metric, cells in where(found)
    ]


def comparison_table(found: Comparison, console: Console) -> RenderableType:
    """The gate's word, the table of metrics, what differs, and what must be known."""
    wide = console.width >= _WIDE
    metrics = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    metrics.add_column("metric", overflow="fold", min_width=12)
    for name in ("baseline", "candidate", "difference") if wide else ("baseline", "difference"):
        metrics.add_column(name, justify="right", no_wrap=True)
    metrics.add_column("95 % interval", no_wrap=True)
    if wide:
        metrics.add_column("p", justify="right", no_wrap=True)
    metrics.add_column("margin", justify="right", no_wrap=True)
    metrics.add_column("verdict", no_wrap=True)
    gated = ordered(found.gated)
    rest = ordered([one for one in found.metrics if not one.gated])
    for number, one in enumerate([*gated, *rest]):
        if number == len(gated) and gated:
            metrics.add_section()
        values = [figure(one.baseline), *([figure(one.candidate)] if wide else []), signed_figure(one.difference), ends(one)]
        values += [*([p_value(one.p_adjusted)] if wide else []), figure(one.margin)]
        verdict = Text(verdict_text(one), style=_STYLE.get(one.verdict, "dim") if one.gated else "dim")
        metrics.add_row(Text(harmless(one.metric, console.encoding)), *values, verdict)
    differs = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for overflow in ("fold", "fold", "fold"):
        differs.add_column(overflow=overflow)
    differs.add_row(Text(""), Text("baseline", style="dim"), Text("candidate", style="dim"))
    for row in sides(found):
        differs.add_row(*(Text(harmless(cell, console.encoding)) for cell in row))
    lines = [basis(found), *found.notes, *found.left_out, *not_compared(found), *_where(found)]
    if rest:
        lines.append("(in brackets: shown, not judged; what has seconds in it depends on load, and is judged only where a margin is given)")
    told = (Text(harmless(line.replace("→", "->"), console.encoding), style="dim") for line in lines)
    last = Text(harmless(headline(found), console.encoding), style="bold" if found.passed else "bold red")
    return Group(differs, Text(), metrics, *told, Text(), last)
