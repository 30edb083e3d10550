"""What comparisons of two come to: strengths, shares of wins, and how far two judges agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.conventions import CONFIDENCE
from evalkit.stats.intervals import Interval, share_interval, students

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PENALTY = 0.25
"""What half a squared strength costs, in log likelihood: as if strengths were drawn with a standard deviation of 2 logits."""

_STEPS = 100
_SMALL = 1e-10


class Compared(NamedTuple):
    """Comparisons, an entry each.

    Attributes:
        one, other: numbers of what was compared, from 0, shape (n,).
        won: 1 where `one` was preferred, 0 where `other` was, 0.5 for a tie, shape (n,).
        prompt: number of the prompt that both answer, shape (n,).
    """

    one: Ints
    other: Ints
    won: Floats
    prompt: Ints

    def of(self, keep: NDArray[np.bool_]) -> Compared:
        """Those that are kept."""
        return Compared(self.one[keep], self.other[keep], self.won[keep], self.prompt[keep])


def compared(entries: Sequence[tuple[int, int, float, int]]) -> Compared:
    """The comparisons (one, other, won, prompt) as arrays."""
    table = np.array(entries, dtype=float).reshape(-1, 4)
    return Compared(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2], table[:, 3].astype(np.int64))


def components(found: Compared, items: int) -> list[list[int]]:
    """The items in groups that comparisons connect, the largest first; strengths say something within a group alone."""
    group = list(range(items))

    def top(item: int) -> int:
        while group[item] != item:
            group[item] = group[group[item]]
            item = group[item]
        return item

    for one, other in zip(found.one.tolist(), found.other.tolist(), strict=True):
        group[top(one)] = top(other)
    out: dict[int, list[int]] = {}
    for item in range(items):
        out.setdefault(top(item), []).append(item)
    return sorted(out.values(), key=lambda one: (-len(one), one))


def bradley_terry(found: Compared, items: int, penalty: float = PENALTY) -> Floats:
    """The strength of each item in logits, shape (items,), summing to 0: one is preferred to another with odds of e to their difference.

    The most likely under a penalty of half `penalty` times the sum of their squares: without it an item that nobody beats has no finite strength.
    A tie is half a win for each. Bradley & Terry 1952, "Rank Analysis of Incomplete Block Designs"; Caron & Doucet 2012, "Efficient Bayesian
    Inference for Generalized Bradley-Terry Models", for the use of a prior.
    """
    wins = np.zeros((items, items))
    np.add.at(wins, (found.one, found.other), found.won)
    np.add.at(wins, (found.other, found.one), 1 - found.won)
    games, strength = wins + wins.T, np.zeros(items)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(strength[None, :] - strength[:, None]))
        slope = (wins - games * chance).sum(axis=1) - penalty * strength
        bend = games * chance * (1 - chance)
        step = np.linalg.solve(np.diag(bend.sum(axis=1) + penalty) - bend, slope)
        strength = strength + step / max(1.0, float(np.abs(step).max(initial=0.0)))  # a step of more than a logit overshoots
        if np.abs(step).max(initial=0.0) < _SMALL:
            break
    out: Floats = strength - strength.mean()
    return out


def strengths(found: Compared, items: int, penalty: float = PENALTY, confidence: float = CONFIDENCE) -> list[Interval]:
    """`bradley_terry` of each item with an interval over prompts: by leaving out each prompt in turn, with Student's quantile.

    Comparisons on one prompt share its luck, so it is prompts that are left out, not comparisons. With fewer than two prompts there is no interval.
    Miller 1974, "The Jackknife: A Review"; Cameron & Miller 2015, "A Practitioner's Guide to Cluster-Robust Inference".
    """
    whole = bradley_terry(found, items, penalty)
    prompts = np.unique(found.prompt)
    n = len(prompts)
    if n < 2:
        return [Interval(float(one), math.nan, math.nan, math.nan, n) for one in whole]
    without = np.array([bradley_terry(found.of(found.prompt != prompt), items, penalty) for prompt in prompts])
    errors = np.sqrt((n - 1) / n * ((without - without.mean(axis=0)) ** 2).sum(axis=0))
    reach = students(n - 1, 0.5 + confidence / 2) * errors
    rows = np.stack([whole, errors, whole - reach, whole + reach], axis=1).tolist()
    return [Interval(mean, error, low, high, n) for mean, error, low, high in rows]


def win_shares(found: Compared, items: int, prompts: int) -> Floats:
    """The share of its comparisons that an item won on a prompt, ties half, NaN where there is none; shape (items, prompts)."""
    won, games = np.zeros((items, prompts)), np.zeros((items, prompts))
    for side, share in ((found.one, found.won), (found.other, 1 - found.won)):
        np.add.at(won, (side, found.prompt), share)
        np.add.at(games, (side, found.prompt), 1.0)
    return np.divide(won, games, out=np.full_like(won, math.nan), where=games > 0)


def win_share(shares: Floats, confidence: float = CONFIDENCE) -> Interval:
    """The mean over prompts of `win_shares` of one item, shape (prompts,), with its interval; as `evalkit.stats.intervals.share_interval`."""
    return share_interval(shares, 0.0, 1.0, confidence)


def weighted_kappa(one: Sequence[int] | Ints, other: Sequence[int] | Ints, low: int, high: int) -> float:
    """How far two raters agree on a scale from `low` to `high` beyond chance, at most 1; disagreement counts by its square. NaN where undefined.

    Cohen 1968, "Weighted Kappa: Nominal Scale Agreement with Provision for Scaled Disagreement or Partial Credit".
    """
    first, second = np.asarray(one, dtype=np.int64) - low, np.asarray(other, dtype=np.int64) - low
    size = high - low + 1
    if not len(first) or size < 2:
        return math.nan
    table = np.zeros((size, size))
    np.add.at(table, (first, second), 1.0)
    weights = (np.arange(size)[:, None] - np.arange(size)[None, :]) ** 2.0
    chance = float((weights * np.outer(table.sum(axis=1), table.sum(axis=0))).sum()) / table.sum()
    return 1.0 - float((weights * table).sum()) / chance if chance > 0 else math.nan


def kappa_interval(
    one: Sequence[int] | Ints, other: Sequence[int] | Ints, prompt: Sequence[int] | Ints, low: int, high: int, confidence: float = CONFIDENCE
) -> Interval:
    """`weighted_kappa` with an interval over prompts, as in `strengths`; it never leaves -1 to 1. None where fewer than three prompts tell."""
    first, second, where = (np.asarray(each, dtype=np.int64) for each in (one, other, prompt))
    whole = weighted_kappa(first, second, low, high)
    prompts = np.unique(where)
    n = len(prompts)
    without = np.array([weighted_kappa(first[where != at], second[where != at], low, high) for at in prompts]) if n > 2 else np.array([math.nan])
    if math.isnan(whole) or np.isnan(without).any():
        return Interval(whole, math.nan, math.nan, math.nan, n)
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    reach = students(n - 1, 0.5 + confidence / 2) * error
    return Interval(whole, error, max(-1.0, whole - reach), min(1.0, whole + reach), n)
