"""Lines of a screen: a label before a text, figures in columns, each at most as wide as the console."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from evalkit.present.terminal.signs import plain
from evalkit.text.escaping import harmless

LINES = 30
"""Of a screen, at eighty columns."""
LABEL = 14
"""Columns of what stands before a text."""
MARKS = {"better": "green", "worse": "bold red", "same": "dim", "equivalent": "dim", "unclear": "yellow", "inconclusive": "yellow", "differs": "cyan"}
"""Styles of verdicts."""
_GAP = 2


def labelled(label: str, text: str, width: int, style: str = "") -> list[Text]:
    """A label before a text that is wrapped beside it; double spaces stay where a line does not break there."""
    room = max(20, width - LABEL)
    return [Text.assemble((f"{'' if number else label:<{LABEL}}", "bold"), (line, style)) for number, line in enumerate(_wrapped(text, room))]


def _wrapped(text: str, room: int) -> list[str]:
    if "  " not in text:
        lines = wrap(text.replace(" %", "\0%"), room, break_on_hyphens=False) or [""]  # a number stays with its sign
        return [line.replace("\0", " ") for line in lines]
    lines = []
    for part in text.split("  "):
        if lines and len(lines[-1]) + 2 + len(part) <= room:
            lines[-1] += f"  {part}"
        else:
            lines += wrap(part, room, break_on_hyphens=False)
    return lines


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[Sequence[str]], width: int) -> list[Text]:
    """Rows of figures below their heads; what is first in a row is wrapped where there is no room for it in one line."""
    widths = [max(len(line[place]) for line in [heads, *rows]) for place in range(1, len(heads))]
    longest = max(len(row[0]) for row in rows)
    gap = _GAP if longest + sum(widths) + _GAP * len(widths) <= width else 1
    room = max(12, width - sum(widths) - gap * len(widths))
    labels = [wrap(row[0], room, break_on_hyphens=False) or [""] for row in rows]
    room = max(len(part) for label in labels for part in label)
    out = [_cells(heads, room, widths, gap, ["dim"] * len(heads))]
    for row, label, own in zip(rows, labels, styles, strict=True):
        out.append(_cells([label[0], *row[1:]], room, widths, gap, own))
        out += [Text(f" {part}") for part in label[1:]]
    return out


def _cells(cells: Sequence[str], room: int, widths: Sequence[int], gap: int, styles: Sequence[str]) -> Text:
    line = Text(f"{cells[0]:<{room}}", style=styles[0])
    for place, (cell, size) in enumerate(zip(cells[1:], widths, strict=True), 1):
        line.append(" " * gap)
        line.append(f"{cell:<{size}}", style=styles[place])
    line.rstrip()
    return line


def cut(lines: Sequence[Text], width: int) -> Text:
    """The first of several lines, marked where more would follow."""
    first = lines[0].copy()
    if len(lines) > 1:
        first.truncate(width - 2)
        first.append(" …")
    return first


def fitted(texts: Sequence[tuple[str, str]], label: str, width: int, room: int, more: str = "") -> list[Text]:
    """Texts with their styles below each other behind one label, whole as far as they fit into `room` lines; the rest is counted in the last.

    Args:
        more: where the rest stands. A first text that does not fit is cut.
    """
    each = [labelled("" if number else label, text, width, style) for number, (text, style) in enumerate(texts)]
    out: list[Text] = []
    for number, lines in enumerate(each):
        rest = len(each) - number
        spare = max(1, room - len(out))
        if len(lines) + (rest > 1) <= spare or (rest == 1 and len(lines) <= spare):
            out += lines
            continue
        if not out:
            out += [*lines[: max(1, spare - 1 - (rest > 1))], *([cut(lines[spare - 1 - (rest > 1) :], width)] if spare > 1 + (rest > 1) else [])]
            rest -= 1
        if rest:
            out += labelled("", f"and {rest} more{f': {more}' if more else ''}", width, "dim")
        break
    return out


def joined(lines: Sequence[Text], console: Console) -> Text:
    """The lines as one text: control characters shown and not obeyed, in signs that the console has, styles kept."""
    return Text("\n").join(_harmless(line, console) for line in lines)


def _harmless(line: Text, console: Console) -> Text:
    out = Text()
    for begin, end, style in _spans(line):
        out.append(harmless(plain(line.plain[begin:end], console), console.encoding), style=style)
    return out


def _spans(line: Text) -> list[tuple[int, int, str]]:
    """The line cut where its style changes."""
    marks = sorted({0, len(line.plain), *(end for span in line.spans for end in (span.start, span.end))})
    return [
        (begin, end, next((str(one.style) for one in line.spans if one.start <= begin < one.end), str(line.style))) for begin, end in pairwise(marks)
    ]
