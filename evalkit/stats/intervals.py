"""Intervals for the mean of one value a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import CONFIDENCE
from evalkit.stats.precision import spread


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
    from scipy.special import stdtrit

    array = np.asarray(values, dtype=float)
    array = array[~np.isnan(array)]
    n = len(array)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, math.nan, 0)
    mean = float(array.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, math.nan, 1)
    se = spread(array) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * se
    return Interval(mean, se, mean - half, mean + half, n)


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
