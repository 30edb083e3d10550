"""A row of a summary as people read it: shares in percent, digits by what the interval supports."""

from __future__ import annotations

import math

from evalkit.summary import Row, Summary, Unmet

_MOST_DIGITS = 4
_SUFFIX = {"share": " %", "seconds": " s"}


def heading(found: Summary) -> str:
    """What the figures of a summary's rows are of."""
    return "this setting" if found.use is not None else "the nearest" if found.nearest is not None else "the reference"


def named(label: str, unit: str) -> str:
    """A quantity's name beside its figures: money is told of 1,000 answers, for of one it is too small to read, in the currency behind its comma."""
    if unit != "money":
        return label
    _, comma, currency = label.partition(", ")
    return f"cost of 1,000 answers{comma}{currency}"


def _scale(unit: str) -> float:
    return {"share": 100.0, "money": 1_000.0}.get(unit, 1.0)


def digits_for(half: float, value: float) -> int:
    """Digits behind the point that an interval of this half width supports: its first digit, or its second where that is a 1."""
    if not half > 0:
        size = abs(value)
        return 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2
    exponent = math.floor(math.log10(half))
    leading_one = half < 2 * 10.0**exponent
    return min(_MOST_DIGITS, max(0, leading_one - exponent))


def measured(mean: float | None, low: float | None, high: float | None, unit: str) -> str:
    """A mean with how far its 95 % interval reaches: ``6.8 ±0.2``, or ``0 % [0, 8]`` where that is further to one side; ``–`` for no mean.

    Money is that of 1,000 answers, as `named` says.
    """
    if mean is None:
        return "–"
    scale, suffix = _scale(unit), _SUFFIX.get(unit, "")
    value = mean * scale
    if low is None or high is None:
        fewer = unit == "share" and abs(value) >= 1
        return f"{_plain(value, max(0, digits_for(0.0, value) - fewer))}{suffix}"
    down, up = (mean - low) * scale, (high - mean) * scale
    digits = digits_for(max(down, up), value)
    if max(down, up) <= 0:
        return f"{_plain(value, digits)}{suffix}"
    shown_down, shown_up = _plain(down, digits), _plain(up, digits)
    if shown_down == shown_up:
        return f"{_plain(value, digits)}{suffix} ±{shown_up}"
    return f"{_plain(value, digits)}{suffix} [{_plain(low * scale, digits)}, {_plain(high * scale, digits)}]"


def changed(row: Row) -> str:
    """The change against the reference with its 95 % interval, in the unit of the row (shares in points of a percent); empty where there is none."""
    if row.change is None or row.verdict == "same":
        return ""
    scale = _scale(row.unit)
    value = row.change * scale
    if row.change_low is None or row.change_high is None:
        return _signed(value, digits_for(0.0, value))
    low, high = row.change_low * scale, row.change_high * scale
    digits = digits_for((high - low) / 2, value)
    while digits < _MOST_DIGITS and any(end and float(f"{end:.{digits}f}") == 0 for end in (low, high)):
        digits += 1  # an end that is not 0 does not look like 0, for that is what tells whether there is a change
    return f"{_signed(value, digits)} [{_plain(low, digits)}, {_plain(high, digits)}]"


def bound(one: Unmet) -> str:
    """A bound in the metric's unit: ``at most 5 %``."""
    low, high = (None if end is None else measured(end, None, None, one.unit) for end in (one.low, one.high))
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def nearest_in_words(one: Unmet) -> str:
    """What the setting that comes nearest to all bounds has, and where that misses this bound the best of any; empty where nothing does."""
    if one.nearest is None:
        return ""
    keeps = (one.high is None or one.nearest <= one.high) and (one.low is None or one.nearest >= one.low)
    reach = f", its interval reaches {measured(one.judged, None, None, one.unit)}" if keeps and one.judged is not None else ""
    best = "" if keeps or one.best is None or one.best == one.nearest else f", the best of any {measured(one.best, None, None, one.unit)}"
    return f"; the nearest miss has {measured(one.nearest, None, None, one.unit)}{reach}{best}"


def _plain(value: float, digits: int) -> str:
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def _signed(value: float, digits: int) -> str:
    text = _plain(value, digits)
    return text if text.startswith("-") or float(text.replace(",", "")) == 0 else f"+{text}"
