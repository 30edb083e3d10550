"""Numbers as people read them: differences, counts, p values, money and time. Nothing here is read back by a program."""

from __future__ import annotations

import math
from collections.abc import Callable

_NOTHING = 1e-12
"""Below it there is no number, only what is left of rounding."""


def counted(number: int, noun: str) -> str:
    """A number and its noun, in the plural where it is not one."""
    many = f"{noun[:-1]}ies" if noun.endswith("try") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def between(low: int, high: int) -> str:
    """Two whole numbers, or the one that both are: ``230 to 1,330``."""
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def signed(value: float) -> str:
    """A difference in a sentence: its sign, and three significant digits, small ones to three decimals, tiny ones to a digit."""
    if abs(value) >= 1000:
        return f"{value:+,.0f}"
    if 0 < abs(value) < 0.0005:
        return f"{value:+.1g}"
    return f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}" if abs(value) >= 0.995 else f"{value:+.3f}"


def figure(value: float) -> str:
    """A number in a table, to three decimals or four significant digits, tiny ones as a power of ten; ``-`` where it is undefined."""
    size = abs(value)
    if math.isnan(value):
        return "-"
    if size < _NOTHING:
        return "0.000"
    if size < 0.0005:
        return f"{value:.1e}"
    return f"{value:,.{0 if size >= 1_000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def signed_figure(value: float) -> str:
    """A difference in a table: `figure` with its sign."""
    text = figure(value)
    return text if text.startswith("-") or math.isnan(value) else f"+{text}"


def interval(low: float, high: float, form: Callable[[float], str] = signed) -> str:
    """An interval with its two ends, each as `form` has it; ``-`` where it is undefined."""
    return "-" if math.isnan(low) or math.isnan(high) else f"[{form(low)}, {form(high)}]"


def rounded(value: float, digits: int) -> str:
    """A number to so many decimals; what is not 0 never shows as 0, nor what is 0 but for rounding as a power of ten."""
    shown = f"{value:z.{digits}f}"
    return f"{value:.1e}" if abs(value) > _NOTHING and float(shown) == 0 else shown  # a half goes to the even side, which may be 0


def three_digits(value: float) -> str:
    """A number where there is room for three of its digits."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def roughly(value: float) -> str:
    """A size of at least 0 where its order tells enough: two significant digits, none behind the point from 10 on."""
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def p_value(p: float | None) -> str:
    """A p value; ``-`` where none is given."""
    return "-" if p is None or math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def money(amount: float | None, currency: str | None, digits: int | None = None) -> str:
    """A sum; ``unknown`` where it or its currency is, and an empty currency leaves the number alone. No sum that is spent looks like none.

    Args:
        digits: behind the point; None for as many as its size wants.
    """
    if amount is None or currency is None:
        return "unknown"
    if digits is None:
        digits = 0 if amount == 0 else 2 if amount >= 1 else 4 if amount >= 0.001 else 1 - math.floor(math.log10(amount))
    return f"{amount:,.{digits}f} {currency}".rstrip()


def duration(seconds: float) -> str:
    """A time in seconds, minutes or hours, whatever says it shortest."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_bytes(size: int) -> str:
    """A size in bytes, kB or MB, each a thousand of the other: ``12 kB``."""
    if size < 1_000:
        return f"{size} bytes"
    return f"{size / 1_000:.0f} kB" if size < 1_000_000 else f"{size / 1_000_000:.3g} MB"
