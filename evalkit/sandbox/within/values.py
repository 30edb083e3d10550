"""Plain values that JSON has no form for, and what Python has by a name, as they go over the line."""

from __future__ import annotations

import builtins
import pathlib
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

_TIMES: dict[str, Any] = {"date": date, "datetime": datetime, "time": time}
_FUNCTIONS = (
    "abs", "all", "any", "ascii", "bin", "callable", "chr", "divmod", "format", "hash", "hex", "id", "isinstance", "issubclass", "iter", "len", "max",
    "min", "next", "oct", "ord", "pow", "print", "repr", "round", "sorted", "sum",
)  # fmt: skip
"""Functions of Python's own that may be named to the other side, which then calls its own: none that runs a text or looks into what is there."""
_NAMED = {one: name for name, one in vars(builtins).items() if name[0] != "_" and (isinstance(one, type) or name in _FUNCTIONS)}
_METHODS = {
    getattr(kind, name): f"{kind.__name__}.{name}"
    for kind in (str, list, dict, tuple, set, int, float, bytes)
    for name in dir(kind)
    if name[0] != "_"
}


def packed_plain(value: Any, kind: type) -> Any:
    """A value of one of the other plain types as it goes over the line; None of others."""
    if kind is bytes or kind is bytearray:
        return {"b" if kind is bytes else "B": value.hex()}
    if kind is complex:
        return {"c": [value.real, value.imag]}
    if kind is range:
        return {"g": [value.start, value.stop, value.step]}
    if kind in (date, datetime, time):
        return {"D": [kind.__name__, value.isoformat()]}
    if kind is timedelta:
        return {"e": [value.days, value.seconds, value.microseconds]}
    if kind is Decimal:
        return {"m": str(value)}
    if kind is Fraction:
        return {"q": [value.numerator, value.denominator]}
    if isinstance(value, pathlib.PurePath):
        return {"p": str(value)}
    if value is Ellipsis or value is NotImplemented:
        return {"n": repr(value)}
    try:
        name = _NAMED.get(value) or _METHODS.get(value)
    except TypeError:  # it has no hash
        return None
    return None if name is None else {"n": name}


def unpacked_plain(kind: str, held: Any) -> Any:
    """The value of one of these types that came over the line; raises `ValueError`, `TypeError`, `KeyError` or `ArithmeticError` where it is none."""
    match kind:
        case "i":
            return int(held, 16)
        case "b":
            return bytes.fromhex(held)
        case "B":
            return bytearray.fromhex(held)
        case "c":
            return complex(*held)
        case "g":
            return range(*held)
        case "D":
            return _TIMES[held[0]].fromisoformat(held[1])
        case "e":
            return timedelta(*held)
        case "m":
            return Decimal(held)
        case "q":
            return Fraction(*held)
        case "p":
            return pathlib.Path(held)
        case "n":
            return _builtin(held)
    raise ValueError(kind)


_BY_NAME: dict[str, Any] = {name: value for value, name in (*_NAMED.items(), *_METHODS.items())}


def _builtin(name: str) -> Any:
    return Ellipsis if name == "Ellipsis" else NotImplemented if name == "NotImplemented" else _BY_NAME[name]
