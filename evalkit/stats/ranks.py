"""Whether a series rises or falls, by the order of its values alone."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

_EXACT = 33  # values up to which all orders are counted
_FACTORIAL = 170  # the largest number whose factorial a float holds


class Kendall(NamedTuple):
    """Rank correlation of a series with its order, in [-1, 1], and the two-sided p of none."""

    tau: float
    p: float


def kendall(series: Sequence[float]) -> Kendall:
    """Kendall's tau-b of `series` with its order; NaN where fewer than two values differ.

    Kendall 1938, "A New Measure of Rank Correlation"; the p counts all orders where there are few and no ties, else it is normal, with the variance
    for ties as in Kendall 1970, "Rank Correlation Methods".
    """
    n = len(series)
    pairs = n * (n - 1) // 2
    ties = Counter(series).values()
    tied = sum(many * (many - 1) // 2 for many in ties)
    if tied == pairs:
        return Kendall(math.nan, math.nan)
    falling, seen = 0, list[float]()
    for value in series:
        falling += len(seen) - bisect_right(seen, value)
        insort(seen, value)
    apart = pairs - tied - 2 * falling
    tau = min(1.0, max(-1.0, apart / math.sqrt(pairs) / math.sqrt(pairs - tied)))
    if not tied and (n <= _EXACT or (n <= _FACTORIAL and min(falling, pairs - falling) <= 1)):
        return Kendall(tau, _exact(n, min(falling, pairs - falling)))
    variance = (n * (n - 1) * (2 * n + 5) - sum(many * (many - 1) * (2 * many + 5) for many in ties)) / 18
    return Kendall(tau, math.erfc(abs(apart) / math.sqrt(variance) / math.sqrt(2)))


def _exact(n: int, falling: int) -> float:
    """Twice the share of all orders of `n` different values in which at most so many pairs fall."""
    if 4 * falling == n * (n - 1):
        return 1.0
    orders = np.zeros(falling + 1)
    orders[0] = 1.0
    for size in range(2, n + 1):  # a further value stands before 0, 1 ... size - 1 of the others
        whole = np.cumsum(orders)
        whole[size:] -= np.cumsum(orders)[: max(0, falling + 1 - size)]
        orders = whole
    return min(1.0, 2 * float(orders.sum()) / math.factorial(n))
