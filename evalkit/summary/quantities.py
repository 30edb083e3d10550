"""Numbers of metrics as people read them: shares in percent, money of 1,000 answers, digits by what the interval supports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from evalkit.choice import Constraint, bounds_in_words
from evalkit.metrics import CATALOGUE, digits, label_of
from evalkit.summary.summary import Row, Summary, Unmet
from evalkit.text.numbers import signed

_MOST_DIGITS = 4
_MOST_OF_MONEY = 9
"""Digits behind the point: of a cheap model 1,000 answers cost less than a thousandth."""
_ANSWERS = 1_000.0
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


def is_money(metric: str) -> bool:
    """Whether the numbers of a metric are money of one answer."""
    return metric in CATALOGUE and CATALOGUE[metric].unit == "money"


def factor(metric: str) -> float:
    """What numbers of a metric are multiplied by in tables and figures: money is told of 1,000 answers, all else as it is."""
    return _ANSWERS if is_money(metric) else 1.0


def headed(metric: str, currency: str = "") -> str:
    """What stands above a metric's numbers in a table: its name; of money what it is of, in its currency where that is known."""
    if not is_money(metric):
        return metric
    return f"{named(label_of(metric), 'money')}{f', {currency}' if currency else ''}"


def explained(metrics: Sequence[str], currency: str = "") -> list[str]:
    """What stands below a table of some metrics where there is money among them."""
    return [f"{name}: of 1,000 answers{f', in {currency}' if currency else ''}." for name in metrics if is_money(name)]


def digits_among(metric: str, values: Iterable[float]) -> int:
    """Digits behind the point for numbers of a metric in one column: of money so many that the largest shows three digits and all show two.

    Args:
        values: as they are measured, of one answer; what is undefined or 0 does not count.
    """
    if not is_money(metric):
        return digits(metric)
    sizes = [abs(value) * _ANSWERS for value in values if value and math.isfinite(value)]
    if not sizes:
        return 2
    return min(_MOST_OF_MONEY, max(2, 2 - _exponent(max(sizes)), 1 - _exponent(min(sizes))))


def plain_size(value: float, keep: int = 2) -> str:
    """A size to so many significant digits, never as a power of ten: ``0.00032``."""
    return f"{value:,.{0 if value == 0 else max(0, keep - 1 - _exponent(value))}f}"


def sized(metric: str, value: float) -> str:
    """A number of a metric in a sentence, to three significant digits, of money that of 1,000 answers."""
    return plain_size(value * _ANSWERS, keep=3) if is_money(metric) else f"{value:.3g}"


def bounds_of(one: Constraint) -> str:
    """The bounds of a constraint in its metric's unit, of money those of 1,000 answers."""
    low, high = (None if end is None else end * factor(one.metric) for end in (one.min, one.max))
    return bounds_in_words(low, high)


def signed_of(metric: str, difference: float) -> str:
    """A difference in a metric as tables and sentences have it, of money that of 1,000 answers."""
    if not is_money(metric):
        return signed(difference)
    return f"{'-' if difference < 0 else '+'}{plain_size(abs(difference) * _ANSWERS)}"


def _exponent(size: float) -> int:
    return math.floor(math.log10(abs(size)))


def _scale(unit: str) -> float:
    return {"share": 100.0, "money": _ANSWERS}.get(unit, 1.0)


def _most(unit: str, value: float) -> int:
    """Digits behind the point that are shown at most: of money so many that two of its own are among them."""
    return min(_MOST_OF_MONEY, max(_MOST_DIGITS, 1 - _exponent(value))) if unit == "money" and value else _MOST_DIGITS


def digits_for(half: float, value: float, unit: str = "number") -> int:
    """Digits behind the point that an interval of this half width supports: its first digit, or its second where that is a 1.

    Without an interval two, or fewer where the value is large; more where it is money that would show as none.
    """
    if not half > 0:
        size = abs(value)
        if unit == "money" and 0 < size < 0.1:
            return min(_MOST_OF_MONEY, 1 - _exponent(size))
        return 0 if size >= 100 or value == round(value) else 1 if size >= 10 else 2
    exponent = math.floor(math.log10(half))
    leading_one = half < 2 * 10.0**exponent
    return min(_most(unit, value), max(0, leading_one - exponent))


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
        return f"{_plain(value, max(0, digits_for(0.0, value, unit) - fewer))}{suffix}"
    down, up = (mean - low) * scale, (high - mean) * scale
    behind = digits_for(max(down, up), value, unit)
    if max(down, up) <= 0:
        return f"{_plain(value, behind)}{suffix}"
    shown_down, shown_up = _plain(down, behind), _plain(up, behind)
    if shown_down == shown_up:
        return f"{_plain(value, behind)}{suffix} ±{shown_up}"
    return f"{_plain(value, behind)}{suffix} [{_plain(low * scale, behind)}, {_plain(high * scale, behind)}]"


def changed(row: Row) -> str:
    """The change against the reference with its 95 % interval, in the unit of the row (shares in points of a percent); empty where there is none."""
    if row.change is None or row.verdict == "same":
        return ""
    scale = _scale(row.unit)
    value = row.change * scale
    if row.change_low is None or row.change_high is None:
        return _signed(value, digits_for(0.0, value, row.unit))
    low, high = row.change_low * scale, row.change_high * scale
    behind = digits_for((high - low) / 2, value, row.unit)
    while behind < _most(row.unit, value) and any(end and float(f"{end:.{behind}f}") == 0 for end in (low, high)):
        behind += 1  # an end that is not 0 does not look like 0, for that is what tells whether there is a change
    return f"{_signed(value, behind)} [{_plain(low, behind)}, {_plain(high, behind)}]"


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
