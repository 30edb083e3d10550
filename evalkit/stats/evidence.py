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

    t, n, flat = _studentized(np.asarray(values, dtype=float) - bound)
    found: Floats = np.where(n < 2, 1.0, np.where(flat, np.where(t > 0, 0.5**n, 1.0), stdtr(np.maximum(n - 1, 1), -t)))
    return found


def p_best(leads: Floats, rivals: int) -> Floats:
    """One-sided p of an option being as good as the best, by the `leads` that the best as measured of its `rivals` has over it; shape (rows,).

    Whoever leads was picked for its mean and not for its t, so that what counts is how far the first of so many equals is ahead in standard errors:
    Dunnett's one-sided distribution. An option that is the best in truth is rejected at a level no more often than that says, however many others are
    tested too. For normal values with one variance; Gupta 1965, "On Some Multiple Decision (Selection and Ranking) Rules"; Dunnett 1955.

    Args:
        leads: shape (rows, n), an option each, NaN where there is no pair; all alike and above 0 they are judged by their signs, ``rivals`` 2^-n.
        rivals: options that the leader was picked from.
    """
    t, n, flat = _studentized(leads)
    found = np.ones(len(t))
    for number in np.unique(n[n >= 2]):
        here = (n == number) & ~flat & (t > 0)
        found[here] = _dunnett(t[here], rivals, int(number) - 1)
    alike = flat & (t > 0) & (n >= 2)
    found[alike] = np.minimum(1.0, rivals * 0.5 ** n[alike])
    return found


def _dunnett(t: Floats, rivals: int, df: int) -> Floats:
    """The chance that the largest of `rivals` normal values less another one is more than `t` times its standard deviation, estimated with `df`."""
    from scipy.special import ndtr

    reached = 23 / df  # so far a density has fallen to 1e-10 of its height, or further
    log_s = np.linspace(-reached - math.sqrt(reached), min(2.0, math.sqrt(reached)), 64)
    weights = np.exp(df * (log_s - np.exp(2 * log_s) / 2 + 0.5))
    z, of_z = np.polynomial.hermite_e.hermegauss(32)
    reach = z[None, None] + math.sqrt(2) * t[:, None, None] * np.exp(log_s)[None, :, None]
    below = (ndtr(reach) ** rivals * of_z).sum(axis=2) / of_z.sum()
    found: Floats = np.clip(1 - (below * weights).sum(axis=1) / weights.sum(), 0.0, 1.0)
    return found


def _studentized(values: Floats) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """The mean of each row in its standard errors, its count, and whether all its values are alike, where it is the mean as it stands."""
    array = np.atleast_2d(np.asarray(values, dtype=float))
    n = (~np.isnan(array)).sum(axis=1)
    filled = np.where(np.isnan(array), 0.0, array)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=1) / n
        left = np.where(np.isnan(array), 0.0, array - mean[:, None])
        se = np.sqrt((left**2).sum(axis=1) / (n - 1) / n)
        flat = se <= 1e-13 * np.abs(filled).max(axis=1, initial=0.0)
        return np.where(flat, mean, mean / np.where(flat, 1.0, se)), n, flat
