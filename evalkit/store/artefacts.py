"""Results as JSON files: numbers that are undefined stand there as null, and come back as NaN."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, TypeVar, get_args, get_origin

import msgspec

Kind = TypeVar("Kind", bound=msgspec.Struct)


def encode(value: msgspec.Struct) -> bytes:
    """The text of a file, NaN as null."""
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


def decode(content: bytes, kind: type[Kind]) -> Kind:
    """What `encode` wrote of a `kind`, null as NaN again; raises `msgspec.MsgspecError` where it is something else."""
    return msgspec.convert(_restored(msgspec.json.decode(content), kind), kind)


def _restored(data: Any, kind: Any) -> Any:
    """`data` with NaN for each null where `kind` takes a number alone, which can only mean that."""
    if data is None:
        return math.nan if kind is float else None
    if not _holds_numbers(kind):
        return data
    if isinstance(data, dict):
        fields = _fields(kind)
        return {name: _restored(value, fields[name]) if name in fields else value for name, value in data.items()}
    if isinstance(data, list):
        (row, *_) = get_args(kind) if get_origin(kind) is list else (None,)
        return [_restored(value, row) for value in data]
    return data


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """The types of a struct's fields, or of that struct's which `kind` is where it is not None."""
    struct = next((one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, msgspec.Struct)), None)
    return {} if struct is None or get_origin(kind) is list else {field.name: field.type for field in msgspec.structs.fields(struct)}


@cache
def _holds_numbers(kind: Any) -> bool:
    if get_origin(kind) is list:
        return any(one is float or _holds_numbers(one) for one in get_args(kind))
    return any(one is float or _holds_numbers(one) for one in _fields(kind).values())
