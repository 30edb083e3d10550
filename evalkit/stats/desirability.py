"""Several aims at once: which options no other beats in everything, and one number for how well an option meets them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def maximize(values: Floats, low: float, high: float, exponent: float = 1.0) -> Floats:
    """Desirability 0 at `low` and below, 1 at `high` and above, rising as a power between; NaN stays.

    Derringer & Suich 1980, "Simultaneous Optimization of Several Response Variables", equation 1.
    """
    if high <= low:
        return np.where(np.isnan(values), np.nan, (values >= high).astype(float))
    risen: Floats = np.clip((values - low) / (high - low), 0.0, 1.0) ** exponent
    return risen


def minimize(values: Floats, low: float, high: float, exponent: float = 1.0) -> Floats:
    """Desirability 1 at `low` and below, 0 at `high` and above."""
    return maximize(-np.asarray(values), -high, -low, exponent)


def target(values: Floats, low: float, aim: float, high: float, exponent: float = 1.0) -> Floats:
    """Desirability 1 at `aim`, falling to 0 at `low` and at `high`. Derringer & Suich 1980, equation 3."""
    array = np.asarray(values, dtype=float)
    return np.where(array <= aim, maximize(array, low, aim, exponent), minimize(array, aim, high, exponent))


def overall(each: Floats, weights: Floats) -> Floats:
    """Weighted geometric mean over the first axis of `each`, shape (aims, ...): 0 as soon as one aim is missed altogether.

    Derringer 1994, "A Balancing Act"; NaN where any is NaN.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(each)
    shares = weights / weights.sum()
    out: Floats = np.exp(np.tensordot(shares, logs, axes=1))
    return out


def pareto(points: Floats) -> NDArray[np.bool_]:
    """Which of the `points`, shape (options, aims), larger being better, no other point beats: at least as good in all, better in one.

    A point with a NaN is beaten.
    """
    points = np.asarray(points, dtype=float)
    known = np.array([not np.isnan(point).any() for point in points], dtype=np.bool_)
    out = known.copy()
    for index in np.flatnonzero(known):
        others = points[known]
        out[index] = not np.any(np.all(others >= points[index], axis=1) & np.any(others > points[index], axis=1))
    return out


def clearly_beaten(differences_low: Floats) -> NDArray[np.bool_]:
    """Which options some other beats beyond doubt.

    Args:
        differences_low: lower ends of the intervals of (other - option) for each aim, larger being better; shape (others, options, aims).
            An option is clearly beaten where for one other every lower end is at least 0 and one is above.
    """
    beaten: NDArray[np.bool_] = np.any(np.all(differences_low >= 0, axis=2) & np.any(differences_low > 0, axis=2), axis=0)
    return beaten
