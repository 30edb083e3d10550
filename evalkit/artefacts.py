"""Results as JSON files: numbers that are undefined stand there as null, and come back as NaN."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar, get_args

import msgspec

Kind = TypeVar("Kind", bound=msgspec.Struct)


def encode(value: msgspec.Struct) -> bytes:
    """The text of a file, NaN as null."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def decode(content: bytes, kind: type[Kind]) -> Kind:
    """What `encode` wrote of a `kind`, null as NaN again; raises `msgspec.MsgspecError` where it is something else."""
    data = msgspec.json.decode(content)
    if isinstance(data, dict):
        for name, rows in data.items():
            numbers = _numbers(kind).get(name, frozenset())
            for row in rows if isinstance(rows, list) and numbers else ():
                row.update({key: math.nan for key in numbers if row.get(key, 0) is None})
    return msgspec.convert(data, kind)


@cache
def _numbers(kind: type[msgspec.Struct]) -> dict[str, frozenset[str]]:
    """For each list of rows in `kind` the fields that are numbers, where null can only mean NaN."""
    return {field.name: _float_fields(field.type) for field in msgspec.structs.fields(kind)}


def _float_fields(kind: Any) -> frozenset[str]:
    rows = get_args(kind)
    struct = rows[0] if rows and isinstance(rows[0], type) and issubclass(rows[0], msgspec.Struct) else None
    return frozenset(field.name for field in msgspec.structs.fields(struct) if field.type is float) if struct else frozenset()
