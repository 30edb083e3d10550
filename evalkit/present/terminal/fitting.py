"""Tables that fit a terminal's width: headings in two lines, names cut, and metrics left over for another table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from evalkit.metrics import CATALOGUE
from evalkit.summary.quantities import is_money

_SHORT = {
    "temperature": "temp",
    "frequency_penalty": "freq\npen.",
    "presence_penalty": "pres\npen.",
    "max_tokens": "max\ntok.",
    "max_completion_tokens": "max\ntok.",
    **{metric.name: metric.heading for metric in CATALOGUE.values() if metric.heading},
    **{metric.name: f"{metric.name} of\n1,000" for metric in CATALOGUE.values() if metric.unit == "money"},
}
"""Names of parameters and metrics where there is little room."""

Row = tuple[list[Text], list[Text]]
"""What stands at the head of a row, and its numbers, one a metric."""


def fitted(
    heads: Sequence[str], metrics: Sequence[str], rows: Sequence[Row], width: int, break_before: Sequence[int] = (), left: int = 0
) -> tuple[Table, list[str]]:
    """The table with as many metrics as fit into `width`, at least one, and those that do not; long headings where all fit with them.

    Args:
        break_before: rows before which there is some room.
        left: heads, from the first, that stand at the left; numbers and levels stand at the right.
    """
    keep = len(metrics)
    titles, cells, widths = _columns(heads, metrics, rows, _long)
    while _needed(widths) > width:
        titles, cells, widths = _columns(heads, metrics[:keep], rows, brief)
        if keep == 1 or _needed(widths) <= width:
            break
        keep -= 1
    table = Table(box=SIMPLE_HEAD, padding=(0, 0), pad_edge=False, show_edge=False)
    for place, (title, wide) in enumerate(zip(titles, widths, strict=True)):
        table.add_column(Text(title), justify="left" if place < left else "right", no_wrap=True, vertical="bottom", min_width=wide)
    for number, row in enumerate(cells):
        if number in break_before:
            table.add_section()
        table.add_row(*row)
    return table, list(metrics[keep:])


def width_of(heads: Sequence[str], metrics: Sequence[str], rows: Sequence[Row]) -> int:
    """Columns of the console that a table with these metrics takes at least."""
    return _needed(_columns(heads, metrics, rows, brief)[2])


def _columns(
    heads: Sequence[str], metrics: Sequence[str], rows: Sequence[Row], name: Callable[[str], str]
) -> tuple[list[str], list[list[Text]], list[int]]:
    """Titles, rows of cells, and the width that each column needs."""
    titles = [name(one) for one in (*heads, *metrics)]
    cells = [[*head, *numbers[: len(metrics)]] for head, numbers in rows]
    widths = [max(_width(title), *(_width(row[n].plain) for row in cells)) for n, title in enumerate(titles)]
    return titles, cells, widths


def _width(text: str) -> int:
    return max(map(cell_len, text.split("\n")))


def _needed(widths: Sequence[int]) -> int:
    """Width of a table with columns of `widths`, one space between them."""
    return sum(widths) + len(widths) - 1


def _long(name: str) -> str:
    """The name, broken where that makes a long one narrower."""
    if is_money(name):
        return brief(name)
    return re.sub(r"_(?=penalty|tokens|words|rate|duplicates|completion)", "\n", name)


def brief(name: str) -> str:
    """The name where there is little room, in two lines at most."""
    return _SHORT.get(name, cut(name, 12))


def stacked(heads: Sequence[str], levels: Sequence[Text]) -> Text:
    """Levels below each other, each with its name."""
    return Text("\n".join(f"{brief(head)}={level.plain}".replace("\n", " ") for head, level in zip(heads, levels, strict=True)))


def cut(text: str, width: int) -> str:
    """`text` in at most `width` columns: where it is wider, its beginning and its end."""
    if cell_len(text) <= width and len(text) <= 4 * width:
        return text
    head, tail = width // 2, width - 1 - width // 2
    begin = next(text[:n] for n in range(head, -1, -1) if cell_len(text[:n]) <= head)
    end = next(text[len(text) - n :] for n in range(tail, -1, -1) if cell_len(text[len(text) - n :]) <= tail)
    return f"{begin}~{end}"
