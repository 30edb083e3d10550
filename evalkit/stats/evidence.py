"""Evidence that a mean lies beyond a bound, which may be looked at again and again as values arrive."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BETS = (0.1, 0.25, 0.5, 0.75, 0.95)
"""Shares of what may be lost that are bet on each value; the wealths of all bets are averaged."""

_LARGEST = 700.0  # of a logarithm, beyond which its exponential overflows


def evidence_above(values: Floats, bound: float) -> Floats:
    """How strongly each row of `values`, numbers in [0, 1] in the order they came, speaks for a mean above `bound`; shape (rows,), at least 1.

    The running maximum of an e-process: where the mean is at most `bound`, the chance that it ever reaches 1/a is at most a, however often it is
    looked at. NaN entries are left out. At a bound of 0 a value above it is proof, infinite; from a bound of 1 on there is none.
    Waudby-Smith & Ramdas 2024, "Estimating Means of Bounded Random Variables by Betting"; Ville 1939.

    Args:
        values: shape (rows, n).
    """
    array = np.atleast_2d(np.asarray(values, dtype=float))
    if bound >= 1 or not array.shape[1]:
        return np.ones(len(array))
    if bound <= 0:
        return np.where((np.nan_to_num(array) > 0).any(axis=1), math.inf, 1.0)
    clipped = np.clip(np.where(np.isnan(array), bound, array), 0.0, 1.0)
    bets = np.array(BETS)[:, None, None]
    wealth = np.cumsum(np.log1p(bets / bound * (clipped[None] - bound)), axis=2)
    mixed = np.exp(np.minimum(wealth, _LARGEST)).mean(axis=0)
    found: Floats = np.maximum(mixed.max(axis=1), 1.0)
    return found


def p_above(values: Floats, bound: float) -> Floats:
    """One-sided p of a mean above `bound` by Student's t, a row each; shape (rows,), 1 where fewer than two values are there.

    Where all values of a row are alike and above the bound, it is that of their signs alone, 2^-n.
    """
    from scipy.special import stdtr

    array = np.atleast_2d(np.asarray(values, dtype=float)) - bound
    n = (~np.isnan(array)).sum(axis=1)
    filled = np.where(np.isnan(array), 0.0, array)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / n
        left = np.where(np.isnan(array), 0.0, array - mean[:, None])
        se = np.sqrt((left**2).sum(axis=1) / (n - 1) / n)
        largest = np.abs(filled).max(axis=1, initial=0.0)
        flat = se <= 1e-13 * largest
        t = np.where(flat, 0.0, mean / np.where(flat, 1.0, se))
        p = np.where(flat, np.where(mean > 0, 0.5**n, 1.0), stdtr(np.maximum(n - 1, 1), -t))
    found: Floats = np.where(n >= 2, p, 1.0)
    return found
