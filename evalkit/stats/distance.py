"""How far is what was drawn from a distribution that is known, or known but for a remainder? Total variation, with its bias reckoned with."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NULL = 1_999
_EACH = 400
_STEPS = 41
_OUTSIDE = 0.02  # a little less than 0.025, for samples are small


class Distance(NamedTuple):
    """A total variation distance in [0, 1]: an estimate without bias in the median, its 95 % interval, and p of as much by chance alone."""

    estimate: float
    low: float
    high: float
    p: float


def variation(shares: Floats, candidates: Floats) -> Floats:
    """Total variation distance of each row of `shares`, shape (B, K), from the nearest row of `candidates`, shape (C, K) or (B, C, K); shape (B,)."""
    against = candidates if candidates.ndim == 3 else candidates[None]
    nearest: Floats = (0.5 * np.abs(shares[:, None, :] - against).sum(axis=-1)).min(axis=1)
    return nearest


def distance(counts: Ints, candidates: Floats, rng: np.random.Generator, references: Floats | None = None) -> Distance:
    """How far the distribution that `counts` were drawn from is, at the least, from the nearest of several candidates.

    The distance of shares as they were seen is biased upward: with no distance at all some is seen. So it is compared with what is seen of samples of
    the same size, drawn from the nearest candidate (p), and from mixtures of that and of what was seen, or further out on the same line, whose
    distance is known: those that bring as much make the interval, and the one that brings it in the median the estimate. Efron and Tibshirani 1993,
    "An Introduction to the Bootstrap", ch. 12 and 13, on tests turned into intervals.

    Args:
        counts: of each category, shape (K,), at least one in all.
        candidates: distributions over the categories, shape (C, K), each row summing to 1.
        references: where the candidates were estimated themselves: what they might as well have been, shape (B, C, K).
    """
    n, shares = int(counts.sum()), counts / counts.sum()
    nearest = candidates[int(np.argmin(0.5 * np.abs(shares - candidates).sum(axis=1)))]
    seen = float(variation(shares[None], candidates)[0])
    edge = seen - 1e-9

    def drawn(truth: Floats, times: int) -> Floats:
        samples = rng.multinomial(n, truth / truth.sum(), times) / n
        against = candidates if references is None else references[rng.integers(len(references), size=times)]
        return variation(samples, against)

    p = (1 + int((drawn(nearest, _NULL) >= edge).sum())) / (_NULL + 1)
    away = shares if seen > 1e-9 else np.eye(len(shares))[int(np.argmin(nearest))]
    lengths, medians, allowed = [], [], []
    for step in np.linspace(0, 1, _STEPS):
        truth = _along(nearest, away, float(step))
        brought = drawn(truth, _EACH)
        lengths.append(float(variation(truth[None], candidates)[0]))
        medians.append(abs(float(np.median(brought)) - seen))
        allowed.append((brought >= edge).mean() > _OUTSIDE and (brought <= seen + 1e-9).mean() > _OUTSIDE)
    within = [length for length, inside in zip(lengths, allowed, strict=True) if inside]
    estimate = lengths[int(np.argmin(medians))]
    low, high = (min(within), max(within)) if within else (estimate, estimate)
    # Where all fell as it should, so many may have fallen elsewhere by the rule of zero events.
    high = min(1.0, max(high, estimate, 1 - _OUTSIDE ** (1 / n) if seen < 1e-9 else 0.0))
    return Distance(min(max(estimate, low), high), low, high, p)


def _along(nearest: Floats, away: Floats, length: float) -> Floats:
    """The distribution at that total variation distance from `nearest`, on the line through `away`; as far as shares stay positive."""
    reach = 0.5 * float(np.abs(away - nearest).sum())
    truth = np.clip(nearest + (away - nearest) * (length / reach), 0, None)
    return np.asarray(truth / truth.sum())
