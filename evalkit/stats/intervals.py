"""Intervals for the mean of one value a prompt."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
