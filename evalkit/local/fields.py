"""Checks of single fields of a request; each gives the value with its type, or raises `ApiError` in OpenAI's words."""

from __future__ import annotations

import math
import re
from typing import Any

from evalkit.local.errors import ApiError, missing, wrong_type

MOST_CHOICES = 128
DIMENSIONS = 256
"""Of an embedding, at the most."""

# name: (type, lowest, highest)
NUMBERS: dict[str, tuple[type, float, float]] = {
    "temperature": (float, 0, 2),
    "top_p": (float, 0, 1),
    "frequency_penalty": (float, -2, 2),
    "presence_penalty": (float, -2, 2),
    "max_tokens": (int, 1, math.inf),
    "max_completion_tokens": (int, 1, math.inf),
    "n": (int, 1, MOST_CHOICES),
    "seed": (int, -(2**63), 2**64 - 1),
    "top_logprobs": (int, 0, 20),
    "dimensions": (int, 1, DIMENSIONS),
}

FILTERS: dict[str, tuple[type, float, float]] = {"top_k": (int, -1, math.inf), "min_p": (float, 0, 1)}
"""What other servers take beside; in the form of `NUMBERS`."""

_MOST_DIGITS = 30
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def number(name: str, value: object, *, low: float | None = None, high: float | None = None) -> float:
    """`value`, in the range that `NUMBERS` or `FILTERS` gives for `name`, or from or to another bound."""
    kind, lowest, highest = NUMBERS.get(name) or FILTERS[name]
    low, high = lowest if low is None else low, highest if high is None else high
    article = "an integer" if kind is int else "a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, value, article)
    if isinstance(value, float) and (not math.isfinite(value) or (kind is int and not value.is_integer())):
        raise wrong_type(name, value, article)
    if low <= value <= high:
        return value
    sort = "integer" if kind is int else "decimal"
    side, bound = ("below minimum", f">= {low}") if value < low else ("above maximum", f"<= {high}")
    found = value if abs(value) < 10**_MOST_DIGITS else f"one of more than {_MOST_DIGITS} digits"
    raise ApiError(
        400,
        f"Invalid '{name}': {sort} {side} value. Expected a value {bound}, but got {found} instead.",
        param=name,
        code=f"{sort}_{'below_min' if value < low else 'above_max'}_value",
    )


def string(name: str, value: object) -> str:
    """`value`, a string."""
    if not isinstance(value, str):
        raise wrong_type(name, value, "a string")
    return value


def boolean(name: str, value: object) -> bool:
    """`value`, a boolean."""
    if not isinstance(value, bool):
        raise wrong_type(name, value, "a boolean")
    return value


def mapping(name: str, value: object) -> dict[str, Any]:
    """`value`, an object."""
    if not isinstance(value, dict):
        raise wrong_type(name, value, "an object")
    return value


def only(where: str, value: dict[str, Any], known: frozenset[str]) -> None:
    """Raises where `value` holds another key than those `known`."""
    for key in value:
        if key not in known:
            name = f"{where}.{key[:100]}"
            raise ApiError(400, f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")


def identifier(name: str, value: object) -> str:
    """`value`, a name of a function or of a schema."""
    if value is None:
        raise missing(name)
    text = string(name, value)
    if not _NAME.fullmatch(text):
        raise ApiError(
            400,
            f"Invalid '{name}': expected 1 to 64 letters (a-z, A-Z), digits, underscores and dashes, but got '{text[:80]}' instead.",
            param=name,
            code="invalid_value",
        )
    return text


def at_most(name: str, value: list[Any], most: int) -> None:
    """Raises where the array `value` is longer than `most`."""
    if len(value) > most:
        raise ApiError(
            400,
            f"Invalid '{name}': array too long. Expected an array with maximum length {most}, but got an array with length {len(value)} instead.",
            param=name,
            code="array_above_max_length",
        )
