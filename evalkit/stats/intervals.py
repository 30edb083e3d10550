"""Intervals for the mean of one value a prompt."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Interval(NamedTuple):
    """A mean with its standard error and two-sided confidence interval; all NaN where `n` leaves them undefined."""

    mean: float
    se: float
    low: float
    high: float
    n: int


def t_interval(values: Sequence[float] | NDArray[np.float64], confidence: float = 0.95) -> Interval:
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
    se = float(array.std(ddof=1)) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.5 + confidence / 2)) * se
    return Interval(mean, se, mean - half, mean + half, n)


def bootstrap_t(values: Sequence[float] | NDArray[np.float64], rng: np.random.Generator, confidence: float = 0.95, resamples: int = 4999) -> Interval:
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
    spread = drawn.std(axis=1, ddof=1)
    usable = spread > 1e-12 * float(np.abs(array).max())
    t = (drawn.mean(axis=1)[usable] - plain.mean) / (spread[usable] / math.sqrt(n))
    low, high = np.quantile(t, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(plain.mean, plain.se, plain.mean - float(high) * plain.se, plain.mean - float(low) * plain.se, n)


def skewness(values: NDArray[np.float64]) -> float:
    """Sample skewness (the adjusted third moment, G1) of `values`, shape (n,); NaN below three values or without spread."""
    array = values[~np.isnan(values)]
    n = len(array)
    if n < 3:
        return math.nan
    centred = array - array.mean()
    variance = float(np.mean(centred**2))
    if variance <= 0:
        return math.nan
    return float(np.mean(centred**3) / variance**1.5) * math.sqrt(n * (n - 1)) / (n - 2)


class Jackknife(NamedTuple):
    """Leaving one row out at a time: the statistic on all rows, its standard error, pseudo-values of shape (n,), and acceleration."""

    value: float
    se: float
    pseudo: NDArray[np.float64]
    acceleration: float


def jackknife(rows: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], float]) -> Jackknife:
    """Jackknife of a `statistic` of the `rows`, shape (n, ...), n at least 2. Efron & Tibshirani 1993, chapters 11 and 14."""
    n = len(rows)
    value = statistic(rows)
    left_out = np.array([statistic(np.delete(rows, index, axis=0)) for index in range(n)])
    deviations = left_out.mean() - left_out
    squares = float((deviations**2).sum())
    acceleration = float((deviations**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    return Jackknife(value, math.sqrt((n - 1) / n * squares), n * value - (n - 1) * left_out, acceleration)


def clustered_se(values: NDArray[np.float64], cluster: NDArray[np.int64]) -> float:
    """Standard error of the mean of `values`, shape (n,), that come in clusters, without small-sample correction.

    Miller 2024, "Adding Error Bars to Evals", section 2.2.
    """
    residuals = values - values.mean()
    sums = np.array([residuals[cluster == one].sum() for one in np.unique(cluster)])
    return math.sqrt(float((sums**2).sum())) / len(values)


def anytime_radius(n: int, sd: float, rho: float, confidence: float = 0.95) -> float:
    """Half the width of an asymptotic confidence sequence for a mean after `n` values: valid however often one looks.

    Args:
        rho: above 0; where the sequence is tightest.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas 2024, "Time-uniform central limit theory", theorem 2.2.
    """
    scaled = n * rho**2 + 1
    return sd * math.sqrt(2 * scaled / (n**2 * rho**2) * math.log(math.sqrt(scaled) / (1 - confidence)))
