"""Lengths that were cut off: what they would have been, by their distribution up to the cut."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Survival(NamedTuple):
    """Kaplan and Meier's estimate: times in rising order, the share still going after each, and the median (NaN where it is not reached)."""

    times: Floats
    share: Floats
    median: float


def kaplan_meier(ended: Floats, cut: Floats) -> Survival:
    """Distribution of natural lengths from those that `ended` and those that were `cut` off; shapes (n,) and (m,), one length at least.

    Kaplan & Meier 1958, "Nonparametric Estimation from Incomplete Observations".
    """
    from scipy import stats

    fitted = stats.ecdf(_sample(ended, cut)).sf
    times, share = np.asarray(fitted.quantiles, dtype=float), np.asarray(fitted.probabilities, dtype=float)
    reached = np.flatnonzero(share <= 0.5 + 1e-12)
    return Survival(times, share, float(times[reached[0]]) if len(reached) else math.nan)


def log_rank(ended: Floats, cut: Floats, other_ended: Floats, other_cut: Floats) -> tuple[float, float]:
    """Whether two samples of lengths, some cut off, have one distribution: ``(z, two-sided p)``. Mantel 1966."""
    from scipy import stats

    found = stats.logrank(_sample(ended, cut), _sample(other_ended, other_cut))
    return float(found.statistic), float(found.pvalue)


def _sample(ended: Floats, cut: Floats) -> Any:
    from scipy import stats

    return stats.CensoredData(uncensored=np.asarray(ended, dtype=float), right=np.asarray(cut, dtype=float))
