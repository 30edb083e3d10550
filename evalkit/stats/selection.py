"""Choosing the best of several options that were each seen on the same prompts, and saying how sure the choice is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.claims import sure
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.stats.desirability import maximize, minimize, overall, target
from evalkit.stats.intervals import t_interval
from evalkit.stats.multiple import max_t
from evalkit.stats.precision import minus

Floats = NDArray[np.float64]

_RESAMPLES = 2_000
_SAME = 1e-12  # of a desirability: what arithmetic makes of equals
_FLOOR = 0.05
"""Desirability of an aim below which its logarithm would make too much of what little is left."""


class Aim(NamedTuple):
    """Which way values are better: desirability 0 at `worst`, 1 at `best`; with a target 1 there and 0 at `worst` and at `best` around it.

    Attributes:
        beyond: whether a value better than `best` is better still, for `best` is only the best mean that was seen; else it is as good as `best`.
    """

    goal: Literal["maximize", "minimize", "target"]
    worst: float
    best: float
    weight: float = 1.0
    target: float = math.nan
    beyond: bool = False

    def of(self, values: Floats) -> Floats:
        """Desirability of `values`, the same shape: from 0 to 1, above 1 where `beyond` counts."""
        if self.goal == "target":
            return target(values, self.worst, self.target, self.best)
        if self.beyond:
            return np.maximum((np.asarray(values) - self.worst) / (self.best - self.worst), 0.0)
        return maximize(values, self.worst, self.best) if self.goal == "maximize" else minimize(values, self.best, self.worst)

    def slope(self, values: Floats) -> Floats:
        """How desirability changes with a value at `values`, the same shape; at an end as it does inside, for a mean there is known no better."""
        if self.goal == "target":
            below, above = self.target - self.worst, self.best - self.target
            return np.where(np.asarray(values) <= self.target, 1 / (below if below > 0 else above), -1 / (above if above > 0 else below))
        return np.full(np.shape(values), 1 / (self.best - self.worst))


class Selection(NamedTuple):
    """The best option and its rivals; each array has shape (options,).

    Attributes:
        desirability: of the means over prompts, NaN where an option lacks a metric.
        best: index of the most desirable option.
        resample_share: in how many of the resampled prompt sets each option is the best, means being drawn to each other as far as noise alone
            spreads them: the best as measured owes a part of its lead to luck.
        tied: which options cannot be told from the best: those over which its lead in desirability, paired by prompt, is not `sure`. Below six
            prompts that is all of them.
    """

    desirability: Floats
    best: int
    resample_share: Floats
    tied: NDArray[np.bool_]


def desirability(means: Floats, aims: Sequence[Aim]) -> Floats:
    """Overall desirability of `means`, shape (aims, ...), by the weighted geometric mean."""
    each = np.array([aim.of(one) for aim, one in zip(aims, means, strict=True)])
    return overall(each, np.array([aim.weight for aim in aims]))


def select(values: Floats, aims: Sequence[Aim], rng: np.random.Generator) -> Selection:
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
    others = np.array([index for index in range(len(found)) if index != best], dtype=np.int64)
    tied = np.zeros(len(found), dtype=np.bool_)
    tied[best] = True
    if len(others):
        by_prompt = parts(values, means, aims)
        tied[others] = ~_beaten(minus(by_prompt[best], by_prompt[others]), rng) & ~np.isnan(found[others])
        tied[others] |= found[others] == found[best]  # both are past what is wanted, and so as good as each other
    return Selection(found, best, _shares(filled, present, means, aims, rng), tied)


def _beaten(leads: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which options the best is surely ahead of, by its `leads` over them, shape (options, prompts)."""
    tests = max_t(leads.T, rng, one_sided=True)  # of the best as measured it is asked by how much it is better, never whether it is worse
    out = np.zeros(len(leads), dtype=np.bool_)
    for place, (lead, p) in enumerate(zip(leads, tests.p_adjusted, strict=True)):
        one = t_interval(lead)
        out[place] = one.n >= FEWEST_PROMPTS and one.mean > 0 and sure(one.low, one.high, min(2 * float(p), 1.0))
    return out


def parts(values: Floats, means: Floats, aims: Sequence[Aim]) -> Floats:
    """What each prompt contributes to each option's desirability, shape (options, prompts), whose mean that is; NaN where it has no value.

    By the infinitesimal jackknife (Efron 1982, "The Jackknife, the Bootstrap and Other Resampling Plans", chapter 6): prompts count by how the
    desirability changes with the means. No end cuts that off, for the mean of an option at an end is as uncertain as any other, and one that is
    taken for certain would seem clearly better than its equals.
    """
    each = np.maximum([aim.of(one) for aim, one in zip(aims, means, strict=True)], _FLOOR)
    weights = np.array([aim.weight for aim in aims])
    whole = overall(each, weights)
    slopes = np.array([aim.slope(one) for aim, one in zip(aims, means, strict=True)])
    rates = (weights / weights.sum())[:, None] * whole / each * slopes
    each_prompt: Floats = whole[:, None] + (rates[:, :, None] * (values - means[:, :, None])).sum(axis=0)
    return each_prompt


def _shares(filled: Floats, present: NDArray[np.bool_], means: Floats, aims: Sequence[Aim], rng: np.random.Generator) -> Floats:
    """In how many resamples of the prompts each option is the best."""
    prompts = filled.shape[2]
    weights = rng.multinomial(prompts, np.full(prompts, 1 / prompts), _RESAMPLES)
    wins = np.zeros(filled.shape[1])
    kept = np.array([_kept(*one) for one in zip(filled, present, means, strict=True)])[:, :, None]
    middle = np.array([one[~np.isnan(one)].mean() if not np.isnan(one).all() else math.nan for one in means])[:, None, None]
    for start in range(0, _RESAMPLES, 200):
        part = weights[start : start + 200].T.astype(np.float64)
        counts = present.astype(np.float64) @ part
        with np.errstate(invalid="ignore", divide="ignore"):
            resampled = np.where(counts > 0, filled @ part / counts, means[:, :, None])
        around = means[:, :, None]
        scores = desirability(middle + kept * (around - middle) + np.sqrt(kept) * (resampled - around), aims)
        ranked = np.where(np.isnan(scores), -1.0, scores)
        top = ranked >= ranked.max(axis=0) - _SAME
        wins += (top / top.sum(axis=0)).sum(axis=1)  # equals share a win
    shares: Floats = wins / _RESAMPLES
    return shares


def _kept(filled: Floats, present: NDArray[np.bool_], means: Floats) -> Floats:
    """How much of its distance from the middle each option's mean keeps, shape (options,), from 0 to 1: the less, the noisier it is.

    Efron & Morris 1973, "Stein's Estimation Rule and Its Competitors"; with variances of their own, as there in section 3. What is common to a
    prompt's values is no noise, for options are compared on the same prompts.

    Args:
        filled, present: values of one metric and where there are any; shape (options, prompts).
        means: of the options, NaN where they have none; shape (options,).
    """
    known = ~np.isnan(means)
    options, counts = int(known.sum()), present.sum(axis=1)
    if options < 2:
        return np.ones(len(means))
    left = np.where(present, filled - np.where(known, means, 0.0)[:, None], 0.0)
    left -= present * (left.sum(axis=0) / np.maximum(present.sum(axis=0), 1))
    noise = (left**2).sum(axis=1) / np.maximum(counts - 1, 1) / np.maximum(counts, 1) * options / (options - 1)
    # Options are one more than is unbiased: what is spread by noise alone must not look like merit whenever it is spread by a little more.
    true = max(0.0, float(means[known].var(ddof=1)) - float(noise[known].mean()) * (options + 1) / options)
    total = true + noise
    kept: Floats = np.where(total > 0, true / np.where(total > 0, total, 1.0), 1.0)
    return kept
