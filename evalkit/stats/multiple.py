"""Many tests at once: p values adjusted so that the error rate holds over the whole family."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.permutation import signs

Floats = NDArray[np.float64]

_CHUNK = 1_000_000  # numbers held at once


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's step-down adjusted p values, shape (m,): they hold the family-wise error under any dependence; NaN entries are no members.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    return _stepwise(p, lambda sorted_p: np.maximum.accumulate(sorted_p * np.arange(len(sorted_p), 0, -1)))


def benjamini_hochberg(p: Sequence[float] | Floats) -> Floats:
    """Benjamini and Hochberg's adjusted p values, shape (m,), which hold the false discovery rate; NaN entries are no members.

    Benjamini & Hochberg 1995, "Controlling the False Discovery Rate".
    """

    def adjust(sorted_p: Floats) -> Floats:
        m = len(sorted_p)
        return np.minimum.accumulate((sorted_p * m / np.arange(1, m + 1))[::-1])[::-1]

    return _stepwise(p, adjust)


def _stepwise(p: Sequence[float] | Floats, adjust: Callable[[Floats], Floats]) -> Floats:
    array = np.asarray(p, dtype=float)
    out = np.full(array.shape, math.nan)
    (members,) = np.nonzero(~np.isnan(array))
    order = members[np.argsort(array[members], kind="stable")]
    out[order] = np.minimum(adjust(array[order]), 1.0)
    return out


class MaxT(NamedTuple):
    """Sign-flip tests of several paired contrasts; each array has shape (m,), NaN where a contrast has fewer than two values.

    Attributes:
        t: Student's t of each contrast; infinite where its values are all alike and not 0.
        p: of each contrast alone, two-sided.
        p_adjusted: step-down over the family, by the largest |t| of each flip.
    """

    t: Floats
    p: Floats
    p_adjusted: Floats


def max_t(contrasts: Floats, rng: np.random.Generator, *, one_sided: bool = False) -> MaxT:
    """Test that each contrast is symmetric about 0, by flipping the signs of whole prompts.

    Exact where the flips are few enough to go through. The family-wise error holds whatever the dependence among contrasts.
    Westfall & Young 1993, "Resampling-Based Multiple Testing"; Fisher 1935.

    Args:
        contrasts: one value a prompt and contrast, NaN where missing; shape (prompts, m).
        rng: draws the flips where there are too many to go through.
        one_sided: the alternative is a mean above 0 instead of one other than 0.
    """
    values = np.asarray(contrasts, dtype=float)
    present = ~np.isnan(values)
    n = present.sum(axis=0)
    known = n >= 2
    t, p, adjusted = (np.full(values.shape[1], math.nan) for _ in range(3))
    if not known.any():
        return MaxT(t, p, adjusted)
    filled = np.where(present, values, 0.0)[:, known]
    n = n[known]
    squares = np.maximum((filled**2).sum(axis=0), 1e-300)
    observed = _t(filled.sum(axis=0)[None, :], n, squares, one_sided)[0]
    flips, exact = signs(len(values), rng, two_sided=not one_sided)
    order = np.argsort(observed, kind="stable")  # the smallest first, so that a running maximum is over the contrasts not yet rejected
    edge = observed - 1e-9 * (1 + np.abs(observed))
    alone, together = np.zeros(len(n)), np.zeros(len(n))
    step = max(1, _CHUNK // len(n))
    for start in range(0, len(flips), step):
        flipped = _t(flips[start : start + step] @ filled, n, squares, one_sided)
        alone += (flipped >= edge).sum(axis=0)
        together[order] += (np.maximum.accumulate(flipped[:, order], axis=1) >= edge[order]).sum(axis=0)
    total = len(flips) if exact else len(flips) + 1
    p[known] = (alone + (not exact)) / total
    family = (together + (not exact)) / total
    family[order] = np.maximum.accumulate(family[order][::-1])[::-1]
    adjusted[known] = family
    t[known] = observed if one_sided else observed * np.sign(filled.sum(axis=0))
    return MaxT(t, p, adjusted)


def _t(sums: Floats, n: NDArray[np.int64], squares: Floats, one_sided: bool) -> Floats:
    """Student's t from sums alone: a flip of signs leaves the sum of squares as it is."""
    share = sums**2
    share /= n * squares
    left = np.maximum(1.0 - share, 1e-15)
    share *= n - 1
    share /= left
    np.sqrt(share, out=share)
    return np.copysign(share, sums) if one_sided else share


def simultaneous(contrasts: Floats, rng: np.random.Generator, confidence: float = 0.95, draws: int = 10_000) -> float:
    """How many standard errors each side an interval of every contrast must reach, so that all hold together with `confidence`.

    One contrast: the quantile of Student's t. Several: that of the largest |t| of normal contrasts with the correlations seen, each studentised
    by a standard deviation of its own, as the intervals are; one for all of them, as in a multivariate t, would make them too narrow where there
    are many contrasts on few prompts. Rows with a missing value are left out; NaN where fewer than two are left.
    Hothorn, Bretz & Westfall 2008, "Simultaneous Inference in General Parametric Models"; covariances are drawn as by Odell & Feiveson 1966, "A
    Numerical Procedure to Generate a Sample Covariance Matrix".

    Args:
        contrasts: one value a prompt and contrast; shape (prompts, m).
    """
    from scipy.special import stdtrit

    whole = contrasts[~np.isnan(contrasts).any(axis=1)]
    n, m = whole.shape
    if n < 2 or m == 0:
        return math.nan
    single = float(stdtrit(n - 1, 0.5 + confidence / 2))
    spread = whole.std(axis=0, ddof=1)
    varying = spread > 0
    if m == 1 or varying.sum() <= 1:
        return single
    scaled = (whole - whole.mean(axis=0))[:, varying] / (spread[varying] * math.sqrt(n - 1))
    _, size, rows = np.linalg.svd(scaled, full_matrices=False)
    rank = int((size > 1e-9 * size[0]).sum())
    load = size[:rank, None] * rows[:rank]  # load.T @ load are the correlations
    means = rng.standard_normal((draws, rank)) @ load
    roots = np.zeros((draws, rank, rank))  # lower triangles whose squares are Wishart
    below = np.tril_indices(rank, -1)
    roots[:, below[0], below[1]] = rng.standard_normal((draws, len(below[0])))
    roots[:, np.arange(rank), np.arange(rank)] = np.sqrt(rng.chisquare(n - 1 - np.arange(rank), (draws, rank)))
    largest = np.empty(draws)
    step = max(1, _CHUNK // (rank * load.shape[1]))
    for start in range(0, draws, step):
        part = slice(start, start + step)
        variances = ((roots[part].transpose(0, 2, 1) @ load) ** 2).sum(axis=1) / (n - 1)
        largest[part] = (np.abs(means[part]) / np.sqrt(variances)).max(axis=1)
    return max(single, float(np.quantile(largest, confidence)))
