"""Many tests at once: p values adjusted so that the error rate holds over the whole family."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import CONFIDENCE
from evalkit.stats.intervals import students
from evalkit.stats.permutation import signs
from evalkit.stats.precision import spreads

Floats = NDArray[np.float64]

_CHUNK = 1_000_000  # numbers held at once
_SAME = 1e-9  # of a value in [-1, 1]: far above what rounding moves, far below what one flipped sign of a value that counts does


def holm(p: Sequence[float] | Floats) -> Floats:
    """Holm's step-down adjusted p values, shape (m,): they hold the family-wise error under any dependence; NaN entries are no members.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".
    """
    array = np.asarray(p, dtype=float)
    out = np.full(array.shape, math.nan)
    (members,) = np.nonzero(~np.isnan(array))
    order = members[np.argsort(array[members], kind="stable")]
    out[order] = np.minimum(np.maximum.accumulate(array[order] * np.arange(len(order), 0, -1)), 1.0)
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

    Exact where the flips are few enough to go through; no p is then below 2 / 2^n (one-sided: 1 / 2^n), n the values of its contrast. The
    family-wise error holds whatever the dependence among contrasts. Flips that differ from the observed signs by no more than rounding count
    as the same: the order of summation, a factor, or noise of 10^-13 of the values moves no p.
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
    t[known] = _students_t(values[:, known])
    filled = np.where(present, values, 0.0)[:, known]
    n = n[known]
    largest = np.abs(filled).max(axis=0)
    filled = filled / np.where(largest > 0, largest, 1.0)  # a factor moves nothing, and no square over- or underflows
    lengths = np.sqrt(n * (filled**2).sum(axis=0))
    unit = filled / np.where(lengths > 0, lengths, 1.0)
    flips, exact = signs(len(values), rng, two_sided=not one_sided)
    observed = _evidence(np.ones((1, len(values))) @ unit, n, one_sided)[0]
    order = np.argsort(observed, kind="stable")  # the smallest first, so that a running maximum is over the contrasts not yet rejected
    edge = observed[order] - _SAME
    alone, together = np.zeros(len(n), dtype=np.int64), np.zeros(len(n), dtype=np.int64)
    across, counts = np.ascontiguousarray(unit[:, order].T), n[order][:, None]
    step = max(1, 4 * _CHUNK // max(len(n), len(values)))
    for start in range(0, len(flips), step):
        flipped = _evidence(across @ flips[start : start + step].T.astype(np.float64), counts, one_sided)
        highest = np.full(flipped.shape[1], -math.inf)
        for place, row in enumerate(flipped):  # row by row they stay near the processor
            alone[place] += np.count_nonzero(row >= edge[place])
            np.maximum(highest, row, out=highest)
            together[place] += np.count_nonzero(highest >= edge[place])
    total = len(flips) if exact else len(flips) + 1
    family = (together + (not exact)) / total
    found = np.empty((2, len(n)))
    found[0, order] = (alone + (not exact)) / total
    found[1, order] = np.maximum.accumulate(family[::-1])[::-1]
    p[known], adjusted[known] = found
    return MaxT(t, p, adjusted)


def _evidence(cosines: Floats, n: NDArray[np.int64], one_sided: bool) -> Floats:
    """What orders flips as Student's t does, within [-1, 1], and which rounding hardly moves.

    With r the sum over its largest possible value, t is r * sqrt((n - 1) / (1 - r^2)): near r = 1, where values are nearly all alike, a rounding
    of r is blown up without bound. t / sqrt(t^2 + N - 1) with one N for all contrasts orders the same and is r itself where n = N.

    Args:
        cosines: r of each flip and contrast; of any shape, written over.
        n: values of each contrast; of a shape that broadcasts to that.
    """
    r = cosines if one_sided else np.abs(cosines, out=cosines)
    most = n.max()
    if (n == most).all():
        return r
    own, others = (n - 1) * r**2, (most - 1) * np.maximum(1.0 - r**2, 0.0)
    total = own + others
    return np.asarray(np.copysign(np.sqrt(own / np.where(total > 0, total, 1.0)), r), dtype=np.float64)


def _students_t(values: Floats) -> Floats:
    """Student's t of each contrast, NaN values left out; `values` of shape (prompts, m) with at least two of each."""
    out = np.empty(values.shape[1])
    present = ~np.isnan(values)
    alike: dict[bytes, list[int]] = {}
    for number, pattern in enumerate(present.T):
        alike.setdefault(pattern.tobytes(), []).append(number)
    for numbers in alike.values():
        rows = np.ascontiguousarray(values[present[:, numbers[0]]][:, numbers].T)
        scale = np.abs(rows).max(axis=1)
        scaled = rows / np.where(scale > 0, scale, 1.0)[:, None]
        means, sd = scaled.mean(axis=1), spreads(scaled)
        with np.errstate(divide="ignore", invalid="ignore"):
            t = means / (sd / math.sqrt(rows.shape[1]))
        out[numbers] = np.where(scale == 0, 0.0, np.where(sd > 0, t, np.copysign(math.inf, means)))
    return out


def simultaneous(contrasts: Floats, rng: np.random.Generator, confidence: float = CONFIDENCE, draws: int = 10_000) -> float:
    """How many standard errors each side an interval of every contrast must reach, so that all hold together with `confidence`.

    One contrast: the quantile of Student's t. Several: that of the largest |t| of normal contrasts with the correlations seen, each studentised
    by a standard deviation of its own, as the intervals are; one for all of them, as in a multivariate t, would make them too narrow where there
    are many contrasts on few prompts. Rows with a missing value are left out; NaN where fewer than two are left.
    Hothorn, Bretz & Westfall 2008, "Simultaneous Inference in General Parametric Models"; covariances are drawn as by Odell & Feiveson 1966, "A
    Numerical Procedure to Generate a Sample Covariance Matrix".

    Args:
        contrasts: one value a prompt and contrast; shape (prompts, m).
    """
    whole = contrasts[~np.isnan(contrasts).any(axis=1)]
    n, m = whole.shape
    if n < 2 or m == 0:
        return math.nan
    single = students(n - 1, 0.5 + confidence / 2)
    sd = spreads(whole.T)
    varying = sd > 0
    if m == 1 or varying.sum() <= 1:
        return single
    scaled = (whole - whole.mean(axis=0))[:, varying] / (sd[varying] * math.sqrt(n - 1))
    _, size, rows = np.linalg.svd(scaled, full_matrices=False)
    rank = int((size > 1e-9 * size[0]).sum())
    load = size[:rank, None] * rows[:rank]  # load.T @ load are the correlations
    means = rng.standard_normal((draws, rank)) @ load
    roots = np.zeros((draws, rank, rank))  # lower triangles whose squares are Wishart
    below = np.tril_indices(rank, -1)
    roots[:, below[0], below[1]] = rng.standard_normal((draws, len(below[0])))
    roots[:, np.arange(rank), np.arange(rank)] = np.sqrt(rng.chisquare(n - 1 - np.arange(rank), (draws, rank)))
    # A variance is a square form of the contrast's load: it is taken over the products of loads, of which half are the same.
    above = np.triu_indices(rank)
    products = load[above[0]] * load[above[1]] * np.where(above[0] == above[1], 1.0, 2.0)[:, None] / (n - 1)
    largest = np.empty(draws)
    step = max(1, _CHUNK // (rank * rank + load.shape[1]))
    for start in range(0, draws, step):
        part = slice(start, start + step)
        variances = (roots[part] @ roots[part].transpose(0, 2, 1))[:, above[0], above[1]] @ products
        largest[part] = (means[part] ** 2 / variances).max(axis=1)
    largest = np.sqrt(largest)
    return max(single, float(np.quantile(largest, confidence)))
