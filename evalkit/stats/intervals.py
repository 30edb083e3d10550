"""Intervals for the mean of one value a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import CONFIDENCE
from evalkit.stats.precision import spreads

_AT_END = 1e-12  # of a range: a mean as near to its end is there, but for rounding


class Interval(NamedTuple):
    """A mean with its standard error and two-sided confidence interval; all NaN where `n` leaves them undefined."""

    mean: float
    se: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float] | NDArray[np.float64], confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval of the mean of independent `values`, shape (n,); NaN entries are left out.

    One value gives a mean and no interval; none gives no mean. Student 1908, "The Probable Error of a Mean".
    """
    return t_intervals(np.asarray(values, dtype=float)[None, :], confidence)[0]


def t_intervals(rows: NDArray[np.float64], confidence: float = CONFIDENCE) -> list[Interval]:
    """`t_interval` of each row of `rows`, shape (intervals, n): what each gives by itself, to the last digit."""
    present = ~np.isnan(rows)
    if present.all():
        return _of_whole_rows(rows, confidence)
    out = [Interval(math.nan, math.nan, math.nan, math.nan, 0)] * len(rows)
    alike: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(present):
        alike.setdefault(pattern.tobytes(), []).append(number)
    for numbers in alike.values():
        for number, one in zip(numbers, _of_whole_rows(rows[numbers][:, present[numbers[0]]], confidence), strict=True):
            out[number] = one
    return out


def _of_whole_rows(rows: NDArray[np.float64], confidence: float) -> list[Interval]:
    rows = np.ascontiguousarray(rows)
    n = rows.shape[1]
    if n == 0:
        return [Interval(math.nan, math.nan, math.nan, math.nan, 0)] * len(rows)
    means = rows.mean(axis=1).tolist()
    if n == 1:
        return [Interval(mean, math.nan, math.nan, math.nan, 1) for mean in means]
    quantile, root = students(n - 1, 0.5 + confidence / 2), math.sqrt(n)
    errors = [one / root for one in spreads(rows).tolist()]
    return [Interval(mean, se, mean - quantile * se, mean + quantile * se, n) for mean, se in zip(means, errors, strict=True)]


@lru_cache(maxsize=1024)
def students(degrees: int, probability: float) -> float:
    """The quantile of Student's t with so many `degrees` of freedom. Hill 1970, "Student's t-Quantiles"."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def bootstrap_t(
    values: Sequence[float] | NDArray[np.float64], rng: np.random.Generator, confidence: float = CONFIDENCE, resamples: int = 4999
) -> Interval:
    """Studentised bootstrap interval of the mean of independent `values`, shape (n,): for skewed ones; NaN entries are left out.

    It follows the skew that Student's t leaves out of account, at the price of wider intervals. Below five values, or where they do
    not vary, it is Student's t. Hall 1988, "Theoretical Comparison of Bootstrap Confidence Intervals".
    """
    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    plain = t_interval(array, confidence)
    n = len(array)
    if n < 5 or plain.se == 0:
        return plain
    drawn = array[rng.integers(0, n, (resamples, n))]
    sd = drawn.std(axis=1, ddof=1)
    usable = sd > 1e-12 * float(np.abs(array).max())
    t = (drawn.mean(axis=1)[usable] - plain.mean) / (sd[usable] / math.sqrt(n))
    low, high = np.quantile(t, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(plain.mean, plain.se, plain.mean - float(high) * plain.se, plain.mean - float(low) * plain.se, n)


def share_interval(values: Sequence[float] | NDArray[np.float64], low: float = 0.0, high: float = 1.0, confidence: float = CONFIDENCE) -> Interval:
    """Interval of the mean of `values`, shape (n,), that lie between two finite ends, and within them; NaN entries are left out.

    Wilson's for a share, of as many independent trials as would leave the mean as uncertain as its standard error says, with the quantile of
    Student's t: unlike an interval that is as long to both sides it stays within the ends, and it is wider on the side where there is room. Where
    all values are at one end no standard error says anything, and each value counts for one trial: of ten prompts without a single loop the share may
    be up to 0.28. Values that are alike between the ends give an interval without width, as Student's does.
    Wilson 1927, "Probable Inference"; Korn & Graubard 1998, "Confidence Intervals for Proportions with Small Expected Number of Positive Counts
    Estimated from Survey Data"; Franco, Little, Louis & Slud 2019, "Comparative Study of Confidence Intervals for Proportions in Complex Sample
    Surveys".
    """
    return _of_share(t_interval(values, confidence), low, high, confidence)


def _of_share(plain: Interval, low: float, high: float, confidence: float) -> Interval:
    """`share_interval` of the values whose `t_interval` is `plain`."""
    span = high - low
    share, se = (plain.mean - low) / span, plain.se / span
    at_end = min(abs(share), abs(1 - share)) <= _AT_END
    if plain.n < 2 or (plain.se == 0 and not at_end):
        return plain
    share = float(round(share)) if at_end else share
    if not 0 <= share <= 1:  # it does not keep to the ends that it declares
        return plain
    upper = 0.5 + confidence / 2
    trials = float(plain.n) if at_end else share * (1 - share) / se**2
    quantile = _normal(upper) if at_end else students(plain.n - 1, upper)
    shrunk = quantile**2 / trials
    middle = (share + shrunk / 2) / (1 + shrunk)
    half = math.sqrt(shrunk * (share * (1 - share) + shrunk / 4)) / (1 + shrunk)
    bottom, top = max(0.0, middle - half), min(1.0, middle + half)
    return Interval(plain.mean, plain.se, min(plain.mean, low + span * bottom), max(plain.mean, low + span * top), plain.n)


@lru_cache(maxsize=64)
def _normal(probability: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(probability))


def within_range(
    values: Sequence[float] | NDArray[np.float64],
    low: float,
    high: float,
    confidence: float = CONFIDENCE,
    rng: np.random.Generator | None = None,
) -> Interval:
    """Interval of the mean of `values`, shape (n,), that keeps to the range they can have: `share_interval` between two finite ends, else Student's.

    Args:
        low, high: ends of the range, infinite where nothing bounds it.
        rng: for `bootstrap_t` in place of both, but where all values are at one end.
    """
    return within_ranges(np.asarray(values, dtype=float)[None, :], low, high, confidence, rng)[0]


def within_ranges(
    rows: NDArray[np.float64], low: float, high: float, confidence: float = CONFIDENCE, rng: np.random.Generator | None = None
) -> list[Interval]:
    """`within_range` of each row of `rows`, shape (intervals, n), in their order: what each gives by itself, to the last digit."""
    plain = t_intervals(rows, confidence)
    finite = math.isfinite(low) and math.isfinite(high)
    return [
        _of_share(own, low, high, confidence) if finite and (rng is None or one.se == 0) else _kept(one, low, high)
        for own, one in zip(plain, plain if rng is None else (bootstrap_t(row, rng, confidence) for row in rows), strict=True)
    ]


def _kept(one: Interval, low: float, high: float) -> Interval:
    # A mean outside the declared range stays within its interval all the same.
    return one._replace(low=max(one.low, min(low, one.mean)), high=min(one.high, max(high, one.mean)))
