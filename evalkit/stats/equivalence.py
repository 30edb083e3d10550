"""Showing that a difference is too small to matter, which a test that finds no difference does not show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.precision import settled, spread


class Equivalence(NamedTuple):
    """Two one-sided tests: `p` is the larger of the two; small p shows that the mean lies within the margin."""

    p: float
    p_low: float
    p_high: float


def tost(differences: Sequence[float] | NDArray[np.float64], low: float, high: float) -> Equivalence:
    """Whether the mean of paired `differences`, shape (n,), lies between `low` and `high`; NaN where n < 2.

    Schuirmann 1987, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach". Differences that do not vary at all
    give p = 0 inside the margin and p = 1 outside and at it, rounding apart.
    """
    array = np.asarray(differences, dtype=float)
    n = len(array)
    if n < 2:
        return Equivalence(math.nan, math.nan, math.nan)
    return tost_of(float(array.mean()), spread(array) / math.sqrt(n), n, low, high)


def tost_of(mean: float, se: float, n: int, low: float, high: float) -> Equivalence:
    """`tost` of `n` differences, two at least, with that mean and standard error."""
    from scipy.special import stdtr

    if se == 0:
        above, below = settled(np.array([mean - low, high - mean]), np.array([mean]))
        p_low, p_high = float(above <= 0), float(below <= 0)
    else:
        p_low = float(1 - stdtr(n - 1, (mean - low) / se))
        p_high = float(stdtr(n - 1, (mean - high) / se))
    return Equivalence(max(p_low, p_high), p_low, p_high)
