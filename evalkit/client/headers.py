"""What an endpoint says in its headers: what it takes, and how long to wait."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Limits(NamedTuple):
    """What an endpoint says is left to use, and in how many seconds it is whole again; None where it does not say."""

    requests: float | None = None
    requests_reset_s: float | None = None
    tokens: float | None = None
    tokens_reset_s: float | None = None


def limits_of(headers: Mapping[str, str]) -> Limits | None:
    """What the ``x-ratelimit-*`` headers say; None where there are none."""
    requests, tokens = headers.get("x-ratelimit-remaining-requests"), headers.get("x-ratelimit-remaining-tokens")
    if requests is None and tokens is None:
        return None
    return Limits(
        _count(requests),
        duration_s(headers.get("x-ratelimit-reset-requests")),
        _count(tokens),
        duration_s(headers.get("x-ratelimit-reset-tokens")),
    )


def _count(said: str | None) -> float | None:
    try:
        count = float(said or "")
    except ValueError:
        return None
    return count if math.isfinite(count) and count >= 0 else None


def duration_s(said: str | None) -> float | None:
    """A duration as OpenAI writes it (``6m0s``, ``1.5s``, ``20ms``), or plain seconds."""
    if said is None:
        return None
    parts = re.findall(r"([0-9.]+)(ms|[smhd])", said)
    if not parts or "".join(number + unit for number, unit in parts) != said.strip():
        return _count(said)
    numbers = [(_count(number), unit) for number, unit in parts]
    return math.fsum(number * _UNITS[unit] for number, unit in numbers if number is not None)


def wait_of(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    milliseconds, said = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    seconds = _number(said) if milliseconds is None else milliseconds / 1000
    if seconds is None and said is not None:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(said: str | None) -> float | None:
    try:
        number = float(said or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
