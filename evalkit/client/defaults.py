"""What a server itself says is on where a request names nothing: llama.cpp's, under ``/props``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

_NAMES = ("temperature", "top_p", "top_k", "min_p")
_DIGITS = 4  # they are told as 32-bit numbers: 0.95 comes as 0.949999988079071


class OwnDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Values by parameter, and whether the server says that it cuts with top_p before it applies the temperature; None where it does not say."""

    values: dict[str, float]
    cuts_first: bool | None = None


def defaults_of(told: Any) -> OwnDefaults | None:
    """The defaults in the body of ``/props``, of newer servers and of older ones; None where it holds none."""
    settings = told.get("default_generation_settings") if isinstance(told, dict) else None
    if not isinstance(settings, dict):
        return None
    inner = settings.get("params")
    found = inner if isinstance(inner, dict) else settings
    values = {name: round(float(found[name]), _DIGITS) for name in _NAMES if _is_number(found.get(name))}
    order = found.get("samplers")
    cuts_first = None
    if isinstance(order, list) and "temperature" in order and "top_p" in order:
        cuts_first = order.index("top_p") < order.index("temperature")
    return OwnDefaults(values=values, cuts_first=cuts_first) if values else None


def defaults_in(run: Mapping[str, Any] | None, name: str = "") -> OwnDefaults | None:
    """What the last look of a run was told, by its ``run.json``; of several endpoints the one of this `name`. None where it was told nothing."""
    look = (run or {}).get("preflight")
    if name:
        look = (look.get("of") or {}).get(name) if isinstance(look, dict) else None
    try:
        return msgspec.convert(look.get("defaults") if isinstance(look, dict) else None, OwnDefaults | None)
    except msgspec.ValidationError:
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
