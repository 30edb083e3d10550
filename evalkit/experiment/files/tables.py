"""Tables of prompts: CSV as spreadsheets write it, and Parquet; a row a prompt."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path as FilePath
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import placed, plain
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Path, shown
from evalkit.experiment.prompts import Unread
from evalkit.experiment.strict_yaml import Document
from evalkit.text.numbers import counted

_SIGNS = {",": "commas", ";": "';'", "\t": "tabs", "|": "'|'"}
_AT_ONCE = 10_000


def from_csv(text: str, source: str, said: Said) -> Document:
    """The rows of a CSV text, parted by commas, ``;``, tabs or ``|``, as mappings by the names of its first row."""
    sign, rest = _sign(text)
    if sign != ",":
        said.add(f"its columns are parted by {_SIGNS[sign]}")
    reader = csv.reader(io.StringIO(rest, newline=""), strict=True, delimiter=sign)
    data: list[Any] = []
    marks: dict[Path, int] = {}
    header: list[str] | None = None
    before = line = 1 + text.count("\n", 0, len(text) - len(rest))
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                pass
            elif header is None:
                header = _header(row, f"{source}: line {line}")
            else:
                marks[(len(data),)] = line
                data.append(_row(header, row, sign))
            line = before + reader.line_num
    except csv.Error as fault:
        marks[(len(data),)] = line
        data.append(Unread(_words(str(fault))))
    return Document(data, marks)


def _sign(text: str) -> tuple[str, str]:
    """What parts the columns, and the text without a first line ``sep=;`` that only says so."""
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and first[4:5] in _SIGNS:
        return first[4:5], rest
    found = {}
    for sign in _SIGNS:
        try:
            row = next((row for row in csv.reader(io.StringIO(text, newline=""), delimiter=sign) if any(map(str.strip, row))), [])
        except csv.Error:
            continue
        known = len(placed([cell.strip() for cell in row], {}, "")) if len(set(map(plain, row))) == len(row) else 0
        found[sign] = (min(known, 1), len(row), known)
    best = max(found, key=lambda sign: found[sign], default=",")
    return (best if found.get(best, (0, 0, 0))[1] > 1 else ","), text


def _words(fault: str) -> str:
    if "field larger" in fault:
        return f"a cell is longer than {csv.field_size_limit():,} characters; put texts this long into a .jsonl file"
    if "unexpected end of data" in fault:
        return "not valid CSV: a quote in this row is never closed"
    return f"not valid CSV: {fault}; write a '\"' within quotes twice"


def _header(row: list[str], where: str) -> list[str]:
    header = [name.strip() for name in row]
    while header and not header[-1]:  # a comma at each line's end
        header.pop()
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise PromptError(f"{where}: the column {shown(twice)} stands twice; rename one")
    return header


def _row(header: Sequence[str], row: list[str], sign: str) -> Any:
    if len(row) > len(header) and not any(cell.strip() for cell in row[len(header) :]):
        row = row[: len(header)]
    if len(row) != len(header):
        what = {",": "a comma", "\t": "a tab"}.get(sign, shown(sign))
        return Unread(f"found {counted(len(row), 'column')}; expected {len(header)}; put a text that holds {what} in double quotes")
    return dict(zip(header, row, strict=True))


def from_parquet(path: FilePath, source: str) -> Document:
    """The rows of a Parquet file as mappings. Raises `PromptError` where it cannot be read."""
    import duckdb

    data: list[Any] = []
    try:
        with duckdb.connect(config={"threads": 1}) as database:
            found = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [one[0] for one in found.description or ()]
            while rows := found.fetchmany(_AT_ONCE):
                data += [{name: _plain(value) for name, value in zip(names, row, strict=True)} for row in rows]
    except duckdb.Error as fault:
        raise PromptError(f"{source}: not a Parquet file that can be read: {str(fault).splitlines()[0][:200]}") from None
    return Document(data, {})


def _plain(value: Any) -> Any:
    """A value as JSON would hold it: dates and decimals as texts."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value)


Reader = Callable[[str, str, Said], Document]
"""Takes a text, the name of its file for messages, and what is said of it."""
