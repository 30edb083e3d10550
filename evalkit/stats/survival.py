"""Lengths that a limit has cut off: a truncated answer tells only that it would have been longer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import CONFIDENCE

Floats = NDArray[np.float64]


class Survival(NamedTuple):
    """The share of answers longer than each length, both of shape (n,), lengths ascending; see `kaplan_meier`."""

    lengths: Floats
    survival: Floats

    @property
    def median(self) -> float:
        """The length that half of the answers do not exceed; NaN where more than half were cut off before it."""
        below = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.lengths[below[0]]) if len(below) else math.nan


def kaplan_meier(lengths: Sequence[float] | Floats, truncated: Sequence[bool] | NDArray[np.bool]) -> Survival:
    """How long answers would be by themselves, by Kaplan & Meier 1958, "Nonparametric Estimation from Incomplete Observations".

    Args:
        lengths: of the answers as sent, at least one; shape (n,).
        truncated: which of them a limit has cut off; shape (n,).
    """
    values, cut = np.asarray(lengths, dtype=float), np.asarray(truncated, dtype=bool)
    at, place = np.unique(values, return_inverse=True)
    ended = np.bincount(place[~cut], minlength=len(at)).astype(float)
    risk = np.bincount(place, minlength=len(at))[::-1].cumsum()[::-1].astype(float)
    return Survival(at, np.cumprod((risk - ended) / risk))


def band(
    lengths: Floats,
    truncated: NDArray[np.bool],
    prompts: NDArray[np.int64],
    rng: np.random.Generator,
    resamples: int = 500,
    confidence: float = CONFIDENCE,
) -> tuple[Floats, Floats, Floats]:
    """Pointwise percentile band of `kaplan_meier` over resampled prompts, for the answers to one prompt are no independent evidence.

    Efron 1981, "Censored Data and the Bootstrap", with prompts drawn instead of answers.

    Args:
        lengths, truncated: as in `kaplan_meier`; shape (n,).
        prompts: the number of each answer's prompt; shape (n,).

    Returns:
        ``(lengths ascending, low, high)``, each of shape (different lengths,); NaN with fewer than two prompts.
    """
    at = np.unique(lengths)
    names, prompt = np.unique(prompts, return_inverse=True)
    if len(names) < 2:
        return at, np.full(len(at), math.nan), np.full(len(at), math.nan)
    place = np.searchsorted(at, lengths)
    ended, all_ = np.zeros((len(names), len(at))), np.zeros((len(names), len(at)))
    np.add.at(ended, (prompt[~truncated], place[~truncated]), 1.0)
    np.add.at(all_, (prompt, place), 1.0)
    at_risk = all_[:, ::-1].cumsum(axis=1)[:, ::-1]
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples).astype(float)
    risk = drawn @ at_risk
    curves = np.cumprod(1.0 - np.divide(drawn @ ended, risk, out=np.zeros_like(risk), where=risk > 0), axis=1)
    low, high = np.quantile(curves, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return at, low, high


def log_rank(
    lengths: Sequence[float] | Floats,
    truncated: Sequence[bool] | NDArray[np.bool],
    other_lengths: Sequence[float] | Floats,
    other_truncated: Sequence[bool] | NDArray[np.bool],
) -> tuple[float, float]:
    """Log-rank statistic (normal) and two-sided p that two sets of answers are equally long; NaN where none ended by itself.

    Mantel 1966, "Evaluation of Survival Data". Takes the answers for independent, which replicates of a prompt are not: p is too small where
    prompts differ much.
    """
    if not len(lengths) or not len(other_lengths) or (np.all(truncated) and np.all(other_truncated)):
        return math.nan, math.nan
    one, cut = np.asarray(lengths, dtype=float), np.asarray(truncated, dtype=bool)
    other, other_cut = np.asarray(other_lengths, dtype=float), np.asarray(other_truncated, dtype=bool)
    at = np.unique(np.concatenate([one[~cut], other[~other_cut]]))  # where an answer ended by itself
    ended = np.array([np.sum(one[~cut] == t) for t in at], dtype=float)
    all_ended = ended + np.array([np.sum(other[~other_cut] == t) for t in at], dtype=float)
    risk, other_risk = (np.array([np.sum(values >= t) for t in at], dtype=float) for values in (one, other))
    both = risk + other_risk
    expected = risk * all_ended / both
    several = both > 1  # the last answer has no variance
    variance = (risk * other_risk * all_ended * (both - all_ended))[several] / (both**2 * (both - 1))[several]
    if not variance.sum() > 0:
        return math.nan, math.nan
    statistic = float((ended - expected).sum() / math.sqrt(variance.sum()))
    return statistic, math.erfc(abs(statistic) / math.sqrt(2))
