"""Tables of prompts as spreadsheets and programs write them, in CSV; a row a prompt."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import is_usual, placed, plain
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Path, shown
from evalkit.experiment.prompts import Unread
from evalkit.experiment.strict_yaml import Document
from evalkit.text.numbers import counted

_SIGNS = {",": "commas", ";": "';'", "\t": "tabs", "|": "'|'"}
_MOST_COLUMNS = 2_000
_LOOKED_AT = 6
"""Rows among which the names of the columns are looked for, below a title or a comment."""


class _Row(NamedTuple):
    """A row and the line it begins on; without cells, what is wrong with it."""

    line: int
    cells: list[str]
    fault: str = ""


def from_csv(text: str, source: str, said: Said, names: Collection[str] = ()) -> Document:
    """The rows of a CSV text, parted by commas, ``;``, tabs or ``|``, as mappings by the names of its columns.

    Args:
        names: columns that its user named.
    """
    sign, rest = _sign(text, names)
    if sign != ",":
        said.add(f"its columns are parted by {_SIGNS[sign]}")
    first = 1 + text.count("\n", 0, len(text) - len(rest))
    rows = _rows(rest, sign, first, quoted=not (sign == "\t" and _is_unquoted(rest, said)))
    head = list(islice(rows, _LOOKED_AT))
    at = _header_at([one.cells for one in head], names)
    if at:
        said.add("left out: {n} above the names of the columns", "row", at)
    data: list[Any] = []
    marks: dict[Path, int] = {}
    header: list[str | None] | None = None
    for row in chain(head[at:], rows):
        if row.fault:
            marks[(len(data),)] = row.line
            data.append(Unread(row.fault))
        elif header is None:
            header = _header(row.cells, f"{source}: line {row.line}", said, names)
        else:
            marks[(len(data),)] = row.line
            data.append(_row(header, row.cells, sign, said))
    return Document(data, marks)


def _rows(text: str, sign: str, line: int, *, quoted: bool = True) -> Iterator[_Row]:
    """The rows that are not empty; the last one is at fault where the text is."""
    how = {} if quoted else {"quoting": csv.QUOTE_NONE}
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=sign, **how)  # type: ignore[arg-type]
    before = line
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield _Row(line, cells)
            line = before + reader.line_num
    except csv.Error as fault:
        yield _Row(line, [], _words(str(fault)))


def _is_unquoted(text: str, said: Said) -> bool:
    """Whether quotes are part of the texts, as databases write tables: read so, all rows have as many cells as the first, and read else one fails."""
    if not any(one.fault for one in _rows(text, "\t", 1)):
        return False
    rows = list(_rows(text, "\t", 1, quoted=False))
    whole = all(not one.fault and len(one.cells) == len(rows[0].cells) for one in rows)
    if whole:
        said.add("its quotes are part of the texts")
    return whole


def _sign(text: str, names: Collection[str]) -> tuple[str, str]:
    """What parts the columns, and the text without a first line ``sep=;`` that only says so."""
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and first[4:5] in _SIGNS:
        return first[4:5], rest
    found = {}
    for sign in _SIGNS:
        rows = [one.cells for one in islice(_rows(text, sign, 1), _LOOKED_AT) if not one.fault]
        worths = [_worth(row, names) for row in rows]
        found[sign] = max([*worths[:1], *(one for one in worths[1:] if one[0] and one[1] > 1)], default=(0, 0, 0))
    best = max(found, key=lambda sign: found[sign], default=",")
    return (best if found[best][1] > 1 else ","), text


def _worth(row: Sequence[str], names: Collection[str]) -> tuple[int, int, int]:
    """How well a row serves as the names of columns: whether some are known, how many columns it has, how many are known."""
    known = len(_known(row, names)) if len(set(map(plain, row))) == len(row) else 0
    return min(known, 1), len(row), known


def _known(row: Sequence[str], names: Collection[str]) -> set[str]:
    """What of a prompt the columns of that row hold, by usual names and those that its user gave."""
    cells = [cell.strip() for cell in row]
    there = {plain(cell) for cell in cells if cell}
    return set(placed(cells, {}, "").values()) | {name for name in names if plain(name) in there}


def _header_at(rows: Sequence[Sequence[str]], names: Collection[str]) -> int:
    """Which row names the columns: the first, or one below a title or a comment."""

    def serves(row: Sequence[str]) -> bool:
        known = _known(row, names)
        return "user" in known or bool(known & set(names))

    if not rows or serves(rows[0]):
        return 0
    filled = sum(bool(cell.strip()) for cell in rows[0])
    below = (at for at, row in enumerate(rows) if at and serves(row) and len(row) > 1 and sum(map(bool, map(str.strip, row))) > filled)
    return next(below, 0)


def _words(fault: str) -> str:
    if "field larger" in fault:
        return f"a cell is longer than {csv.field_size_limit():,} characters; put texts this long into a .jsonl file"
    if "unexpected end of data" in fault:
        return "not valid CSV: a quote in this row is never closed"
    return f"not valid CSV: {fault}; write a '\"' within quotes twice"


def _header(row: list[str], where: str, said: Said, names: Collection[str]) -> list[str | None]:
    """The columns' names: None for one without, and a number behind one that stands there before and holds nothing of a prompt."""
    cells = [name.strip() for name in row]
    while cells and not cells[-1]:  # a comma at each line's end
        cells.pop()
    if len(cells) > _MOST_COLUMNS:
        raise PromptError(f"{where}: found {len(cells):,} columns; expected at most {_MOST_COLUMNS:,}: are the ends of its lines lost?")
    header: list[str | None] = []
    before: Counter[str] = Counter()
    for name in cells:
        before[name] += 1
        twice = name and before[name] > 1
        if twice and (is_usual(name) or plain(name) in map(plain, names)):
            raise PromptError(f"{where}: the column {shown(name)} stands twice; rename one")
        header.append(f"{name} ({before[name]})" if twice else name or None)
    if without := header.count(None):
        said.add("left out: {n} without a name", "column", without)
    return header


def _row(header: Sequence[str | None], row: list[str], sign: str, said: Said) -> Any:
    if len(row) > len(header) and not any(cell.strip() for cell in row[len(header) :]):
        row = row[: len(header)]
    if len(header) == 1 and len(row) > 1:
        said.add(f"the file has one column, so what stands between {_SIGNS[sign]} is taken whole, in {{n}}", "row")
        row = [sign.join(row)]
    if len(row) != len(header):
        what = {",": "a comma", "\t": "a tab"}.get(sign, shown(sign))
        return Unread(f"found {counted(len(row), 'column')}; expected {len(header)}; put a text that holds {what} in double quotes")
    return {name: cell for name, cell in zip(header, row, strict=True) if name is not None}
