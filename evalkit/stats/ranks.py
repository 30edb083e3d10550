"""Comparing settings by their ranks within each prompt, for metrics whose scale means little."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Friedman(NamedTuple):
    """Friedman's test: mean rank of each setting (1 is the best), χ² without correction for ties, and Iman and Davenport's F with its p."""

    ranks: NDArray[np.float64]
    chi2: float
    f: float
    p: float


def friedman(values: NDArray[np.float64]) -> Friedman:
    """Whether settings rank alike over prompts; `values` of shape (settings, prompts), larger better, none missing.

    Friedman 1937; Iman & Davenport 1980; as in Demšar 2006, "Statistical Comparisons of Classifiers over Multiple Data Sets".
    """
    from scipy.special import fdtrc
    from scipy.stats import rankdata

    k, n = values.shape
    ranks = rankdata(-values, axis=0).mean(axis=1)
    chi2 = 12 * n / (k * (k + 1)) * (float((ranks**2).sum()) - k * (k + 1) ** 2 / 4)
    below = n * (k - 1) - chi2
    f = (n - 1) * chi2 / below if below > 0 else math.inf
    return Friedman(ranks, chi2, f, float(fdtrc(k - 1, (k - 1) * (n - 1), f)))


def critical_difference(settings: int, prompts: int, alpha: float = 0.05) -> float:
    """Mean ranks that differ by more are told apart, all pairs together. Nemenyi 1963; Demšar 2006, section 3.2.2."""
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - alpha, settings, math.inf)) / math.sqrt(2) * math.sqrt(settings * (settings + 1) / (6 * prompts))
