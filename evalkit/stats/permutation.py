"""Tests by counting rearrangements: exact where they are few enough to go through, by a sample of them otherwise."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_EXHAUSTIVE = 20_000
_SAMPLED = 9_999
_EXHAUSTIVE_SIGNS = 14  # signs that are free


def energy(distances: Floats, first: int, rng: np.random.Generator) -> tuple[float, float]:
    """Energy statistic of two samples and its permutation p: do they come from one distribution?

    Székely & Rizzo 2004, "Testing for Equal Distributions in High Dimension".

    Args:
        distances: between all items of both samples together, the first sample's before the second's; shape (n, n), symmetric,
            zero on the diagonal.
        first: size of the first sample, at least 1 and below n.
        rng: used where the rearrangements are too many to go through.

    Returns:
        ``(statistic >= 0 for a metric of negative type, p in (0, 1])``.
    """
    n = len(distances)
    if not 1 <= first < n:
        raise ValueError("each of the two samples needs at least one item")
    observed = float(_energies(distances, np.arange(first)[None, :])[0])
    edge = observed - 1e-12 * (float(distances.max()) or 1.0)
    if math.comb(n, first) <= _EXHAUSTIVE:
        chosen = np.array(list(combinations(range(n), first)))
        return observed, float(np.mean(_energies(distances, chosen) >= edge))
    shuffled = rng.permuted(np.tile(np.arange(n), (_SAMPLED, 1)), axis=1)[:, :first]
    beyond = int(np.sum(_energies(distances, shuffled) >= edge))
    return observed, (beyond + 1) / (_SAMPLED + 1)


def _energies(distances: Floats, chosen: NDArray[np.int64]) -> Floats:
    """The statistic for each row of indices that make up the first sample."""
    n, first = len(distances), chosen.shape[1]
    second = n - first
    inside = np.zeros((len(chosen), n))
    np.put_along_axis(inside, chosen, 1.0, axis=1)
    towards = inside @ distances
    within_first = np.einsum("ij,ij->i", towards, inside)
    all_to_first = towards.sum(axis=1)
    between = all_to_first - within_first
    within_second = distances.sum() - 2 * between - within_first
    result: Floats = 2 * between / (first * second) - within_first / first**2 - within_second / second**2
    return result


def more_often(hits: int, of: int, other_hits: int, other_of: int) -> float:
    """One-sided Fisher exact p that `hits` of `of` is no larger a share than `other_hits` of `other_of`.

    Fisher 1935, "The Logic of Inductive Inference".
    """
    total, both = of + other_of, hits + other_hits
    ways = sum(math.comb(of, k) * math.comb(other_of, both - k) for k in range(hits, min(of, both) + 1))
    return ways / math.comb(total, both)


def signs(n: int, rng: np.random.Generator, *, two_sided: bool = True) -> tuple[NDArray[np.int8], bool]:
    """Rows of -1 and 1 of length `n`, a byte each: all there are, or a sample of 9,999; and whether it is all.

    For two-sided tests a row and its negative tell the same, so all means one of each such pair.
    """
    free = n - 1 if two_sided else n
    if 0 <= free <= _EXHAUSTIVE_SIGNS:
        bits = (np.arange(2**free)[:, None] >> np.arange(free)[None, :]) & 1
        rows = (1 - 2 * bits).astype(np.int8)
        return np.insert(rows, 0, 1, axis=1) if two_sided else rows, True
    # A bit a sign: numbers drawn one by one would cost more than the test.
    drawn = np.unpackbits(np.frombuffer(rng.bytes((_SAMPLED * n + 7) // 8), dtype=np.uint8), count=_SAMPLED * n)
    return 2 * drawn.reshape(_SAMPLED, n).view(np.int8) - np.int8(1), False
