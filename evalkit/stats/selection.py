"""Choosing the best of several options that were each seen on the same prompts, and saying how sure the choice is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import ALPHA
from evalkit.stats.desirability import maximize, minimize, overall, target
from evalkit.stats.multiple import max_t

Floats = NDArray[np.float64]

_RESAMPLES = 2_000


class Aim(NamedTuple):
    """Which way values are better: desirability 0 at `worst`, 1 at `best`; with a target 1 there and 0 at `worst` and at `best` around it."""

    goal: Literal["maximize", "minimize", "target"]
    worst: float
    best: float
    weight: float = 1.0
    target: float = math.nan

    def of(self, values: Floats) -> Floats:
        """Desirability of `values`, the same shape, in [0, 1]."""
        if self.goal == "maximize":
            return maximize(values, self.worst, self.best)
        if self.goal == "minimize":
            return minimize(values, self.best, self.worst)
        return target(values, self.worst, self.target, self.best)


class Selection(NamedTuple):
    """The best option and its rivals; each array has shape (options,).

    Attributes:
        desirability: of the means over prompts, NaN where an option lacks a metric.
        best: index of the most desirable option.
        resample_share: in how many of the resampled prompt sets each option is the best.
        tied: which options cannot be told from the best: one-sided sign-flip tests of the paired differences of desirability,
            family-wise at 5 %. Below five prompts that is all of them.
    """

    desirability: Floats
    best: int
    resample_share: Floats
    tied: NDArray[np.bool_]


def desirability(means: Floats, aims: Sequence[Aim]) -> Floats:
    """Overall desirability of `means`, shape (aims, ...), by the weighted geometric mean."""
    each = np.array([aim.of(one) for aim, one in zip(aims, means, strict=True)])
    return overall(each, np.array([aim.weight for aim in aims]))


def select(values: Floats, aims: Sequence[Aim], rng: np.random.Generator, alpha: float = ALPHA) -> Selection:
    """The most desirable option.

    Args:
        values: shape (aims, options, prompts), NaN where missing.
        aims: one for each metric, limits fixed beforehand, so that they do not move with a resample.

    Raises:
        ValueError: no option has a value in every aim.
    """
    present = ~np.isnan(values)
    filled = np.where(present, values, 0.0)
    counts = present.sum(axis=2)
    with np.errstate(invalid="ignore"):
        means = filled.sum(axis=2) / counts
        found = desirability(means, aims)
        if np.isnan(found).all():
            raise ValueError("no option has a value in every aim")
        best = int(np.nanargmax(found))
        pseudo = _pseudo_values(filled, present, aims, found)
    others = np.array([index for index in range(len(found)) if index != best], dtype=np.int64)
    tied = np.zeros(len(found), dtype=np.bool_)
    tied[best] = True
    if len(others):
        p = max_t((pseudo[best] - pseudo[others]).T, rng, one_sided=True).p_adjusted
        tied[others] = ~(p <= alpha) & ~np.isnan(found[others])
    return Selection(found, best, _shares(filled, present, means, aims, rng), tied)


def _pseudo_values(filled: Floats, present: NDArray[np.bool_], aims: Sequence[Aim], found: Floats) -> Floats:
    """What each prompt contributes to each option's desirability (jackknife), shape (options, prompts); NaN where it has no value."""
    n = present.sum(axis=2, keepdims=True)
    without = (filled.sum(axis=2, keepdims=True) - filled) / np.where(n > 1, n - 1, 1)
    left_out = desirability(without, aims)
    size = n[0]
    pseudo = size * found[:, None] - (size - 1) * left_out
    return np.where(present.all(axis=0) & (size > 1), pseudo, np.nan)


def _shares(filled: Floats, present: NDArray[np.bool_], means: Floats, aims: Sequence[Aim], rng: np.random.Generator) -> Floats:
    """In how many resamples of the prompts each option is the best."""
    prompts = filled.shape[2]
    weights = rng.multinomial(prompts, np.full(prompts, 1 / prompts), _RESAMPLES).astype(np.float64)
    wins = np.zeros(filled.shape[1])
    for start in range(0, _RESAMPLES, 200):
        part = weights[start : start + 200].T
        counts = present.astype(np.float64) @ part
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = np.where(counts > 0, filled @ part / counts, means[:, :, None])
        scores = desirability(resampled, aims)
        ranked = np.where(np.isnan(scores), -1.0, scores)
        top = ranked == ranked.max(axis=0)
        wins += (top / top.sum(axis=0)).sum(axis=1)  # equals share a win
    shares: Floats = wins / _RESAMPLES
    return shares
