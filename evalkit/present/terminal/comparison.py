"""A comparison for a terminal of any width."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.comparison.comparison import Comparison, headline
from evalkit.present.text.comparison import basis, ends, not_compared, ordered, sides, verdict_text, where
from evalkit.text.escaping import harmless
from evalkit.text.numbers import figure, p_value, signed_figure

_WIDE = 110
_STYLE = {"worse": "bold red", "better": "green", "differs": "yellow"}


def comparison_table(found: Comparison, console: Console) -> RenderableType:
    """The gate's word, the table of metrics, what differs, and what must be known."""
    wide = console.width >= _WIDE
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("metric", overflow="fold", min_width=12)
    for name in ("baseline", "candidate", "difference") if wide else ("baseline", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    if wide:
        table.add_column("p", justify="right", no_wrap=True)
    table.add_column("margin", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    gated = ordered(found.gated)
    rest = ordered([one for one in found.metrics if not one.gated])
    for number, one in enumerate([*gated, *rest]):
        if number == len(gated) and gated:
            table.add_section()
        values = [figure(one.baseline), *([figure(one.candidate)] if wide else []), signed_figure(one.difference), ends(one)]
        values += [*([p_value(one.p_adjusted)] if wide else []), figure(one.margin)]
        verdict = Text(verdict_text(one), style=_STYLE.get(one.verdict, "dim") if one.gated else "dim")
        table.add_row(Text(harmless(one.metric, console.encoding)), *values, verdict)
    differs = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=False)
    for overflow in ("fold", "fold", "fold"):
        differs.add_column(overflow=overflow)
    differs.add_row(Text(""), Text("baseline", style="dim"), Text("candidate", style="dim"))
    for row in sides(found):
        differs.add_row(*(Text(harmless(cell, console.encoding)) for cell in row))
    lines = [basis(found), *found.notes, *found.left_out, *not_compared(found)]
    for metric, cells in where(found):
        lines.append(f"{metric.metric} got worse most in: " + "; ".join(f"{cell.cell} {signed_figure(cell.difference)}" for cell in cells))
    if rest:
        lines.append("(in brackets: shown, not judged; what has seconds in it depends on load, and is judged only where a margin is given)")
    told = (Text(harmless(line.replace("→", "->"), console.encoding), style="dim") for line in lines)
    last = Text(harmless(headline(found), console.encoding), style="bold" if found.passed else "bold red")
    return Group(differs, Text(), table, *told, Text(), last)
