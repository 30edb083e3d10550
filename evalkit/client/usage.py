"""What a reply tells of the tokens it used, wherever it tells it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from evalkit.store.records import Usage

_MOST_TOKENS = 2**53
_NAMES = {
    "prompt_tokens": ("prompt_tokens", "input_tokens"),
    "completion_tokens": ("completion_tokens", "output_tokens"),
    "total_tokens": ("total_tokens",),
}
_WITHIN = {
    "reasoning_tokens": (("completion_tokens_details", "reasoning_tokens"), ("output_tokens_details", "reasoning_tokens"), ("", "reasoning_tokens")),
    "cached_tokens": (("prompt_tokens_details", "cached_tokens"), ("input_tokens_details", "cached_tokens"), ("", "prompt_cache_hit_tokens")),
}


def usage_in(value: Any) -> dict[str, int | float]:
    """The counts in one ``usage``, as far as they are counts; empty where there are none."""
    if type(value) is not dict and not isinstance(value, Mapping):
        return {}
    found: dict[str, int | float] = {}
    for name, others in _NAMES.items():
        counts = [count for other in others if (count := _count(value.get(other))) is not None]
        if counts:
            found[name] = counts[0]
    for name, places in _WITHIN.items():
        for outer, inner in places:
            holder = value.get(outer) if outer else value
            count = None if holder is None or not isinstance(holder, Mapping) else _count(holder.get(inner))
            if count:
                found[name] = count
                break
    cost = value.get("cost")
    if isinstance(cost, int | float) and not isinstance(cost, bool) and math.isfinite(cost) and cost >= 0:
        found["cost"] = float(cost)
    return found


def merged(told: Iterable[Any], *, visible: bool) -> Usage | None:
    """All that a reply told of its usage, later counts before earlier ones; None where it told none.

    What was told is never erased by a later null or zero. Zeros beside an answer that can be seen are no counts, but unknown.

    Args:
        visible: there is a text, or a call of a tool.
    """
    counts: dict[str, int | float] = {}
    every = [usage_in(one) for one in told if type(one) is dict or isinstance(one, Mapping)]
    if not every:
        return None
    for found in every:
        counts.update({name: count for name, count in found.items() if count or not counts.get(name)})
    if visible:
        counts = {name: count for name, count in counts.items() if count or name == "cost"}
    return Usage(**counts)  # type: ignore[arg-type]


def _count(value: Any) -> int | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count < _MOST_TOKENS else None
