"""Tables of prompts in Parquet."""

from __future__ import annotations

import math
from pathlib import Path as FilePath
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import shown
from evalkit.experiment.strict_yaml import Document

_AT_ONCE = 10_000
_MOST_CHARACTERS = 500_000_000
_MOST_ROWS = 5_000_000
_OF_PANDAS = "__index_level_0__"


def from_parquet(path: FilePath, source: str, said: Said) -> Document:
    """The rows of a Parquet file as mappings.

    Raises:
        PromptError: it cannot be read, or unpacks to more than memory is for.
    """
    import duckdb

    data: list[Any] = []
    size = 0
    try:
        with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False, "autoload_known_extensions": False}) as database:
            found = database.execute("SELECT * FROM read_parquet(?)", [_literal(path)])
            names = [one[0] for one in found.description or ()]
            while rows := found.fetchmany(_AT_ONCE):
                plain = [[_plain(value) for value in row] for row in rows]
                size += sum(_size(value) for row in plain for value in row)
                if size > _MOST_CHARACTERS or len(data) > _MOST_ROWS:
                    most = f"{_MOST_ROWS:,} rows or {_MOST_CHARACTERS // 1_000_000} MB of text"
                    raise PromptError(f"{source}: unpacks to over {most}; draw a part of its rows into a file of their own")
                data += [{name: value for name, value in zip(names, row, strict=True) if name != _OF_PANDAS} for row in plain]
    except duckdb.Error as fault:
        raise PromptError(f"{source}: not a Parquet file that can be read: {str(fault).splitlines()[0][:200]}") from None
    for name in names:
        _whole_again(data, name, said)
    return Document(data, {})


def _literal(path: FilePath) -> str:
    """The path so that DuckDB, which takes ``*``, ``?`` and ``[`` as signs for any name and ``s3://`` as an address, reads this file alone."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in str(path.absolute()))


def _whole_again(data: list[Any], name: str, said: Said) -> None:
    """Whole numbers that pandas made decimal ones because some are missing, as they were; told."""
    values = [value for row in data if isinstance(value := row.get(name), float)]
    missing = sum(value is None or (isinstance(value, float) and math.isnan(value)) for value in (row.get(name) for row in data))
    numbers = [value for value in values if not math.isnan(value)]
    if not missing or not numbers or not all(value.is_integer() and abs(value) < 2**53 for value in numbers):
        return
    said.add(f"the numbers of {shown(name)} are taken as the whole ones that they are")
    for row in data:
        if isinstance(value := row.get(name), float) and not math.isnan(value):
            row[name] = int(value)


def _size(value: Any) -> int:
    """Roughly how many characters a value holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_size, value))
    return sum(map(_size, value.values())) if isinstance(value, dict) else 8


def _plain(value: Any) -> Any:
    """A value as JSON would hold it: dates and decimals as texts, bytes as the text that they are, else as how many."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"bytes": len(value)}
    return str(value)
