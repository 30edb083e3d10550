"""One look of a race: which settings are shown out by a bound, which are shown to be worse, and which are set aside unfinished."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.evidence import evidence_above, p_above, p_best
from evalkit.stats.precision import minus
from evalkit.stats.selection import Aim, desirability, parts

Floats = NDArray[np.float64]
Why = Literal["bound", "worse", "aside"]

LEAST_TESTED = 5
"""Prompts from which means are tested by Student's t: with fewer, unequal noise raised the error to twice what it may be."""
_OF_BOUNDS = 0.2
"""The share of the error that is spent on bounds, where there are any; the rest on comparisons with the leader."""
_LATER = 0.3
"""The share of what error is left that each look leaves to all that follow: the first one saves the most, for every setting is still asked then."""


class Bound(NamedTuple):
    """One side of a constraint on a metric's mean.

    Attributes:
        upper: whether the mean may be at most `at`; else at least.
        low, high: the range of the metric, infinite where it has no end.
    """

    metric: str
    at: float
    upper: bool
    low: float
    high: float

    def risen(self, values: Floats) -> Floats:
        """`values` turned and moved so that the mean may be at most the bound, in [0, 1] where the range is finite; with `edge` as the bound."""
        turned = values if self.upper else -values
        return (turned - self._floor) / self._span

    @property
    def edge(self) -> float:
        """The bound in the numbers of `risen`."""
        return ((self.at if self.upper else -self.at) - self._floor) / self._span

    @property
    def finite(self) -> bool:
        """Whether the metric's range has both ends."""
        return math.isfinite(self.low) and math.isfinite(self.high) and self.high > self.low

    @property
    def _floor(self) -> float:
        return (self.low if self.upper else -self.high) if self.finite else 0.0

    @property
    def _span(self) -> float:
        return self.high - self.low if self.finite else 1.0


class Seen(NamedTuple):
    """The values so far, in the order in which prompts are asked, NaN where there are none.

    Attributes:
        wanted: of what is preferred; shape (aims, settings, prompts).
        bounded: of what has a bound; shape (bounds, settings, prompts).
    """

    wanted: Floats
    bounded: Floats


class Leaving(NamedTuple):
    """A setting that leaves.

    Attributes:
        why: ``bound``: shown to miss a bound; ``worse``: shown to be worse than the leader; ``aside``: ranked low, which
            shows nothing.
        metric: whose bound; else None.
        p: of the test, which allows for the leader's having been picked where it is against that; None where nothing was tested.
        level: what p is held against; None where nothing was tested.
    """

    setting: int
    why: Why
    metric: str | None = None
    p: float | None = None
    level: float | None = None


class Look(NamedTuple):
    """What a look comes to.

    Attributes:
        leader: the most desirable setting of those that keep to the bounds as measured; None where none does.
        leaving: in the order of the settings.
        staying: settings that go on.
        worth: how each setting was ranked, NaN for those that had left before; shape (settings,).
    """

    leader: int | None
    leaving: tuple[Leaving, ...]
    staying: tuple[int, ...]
    worth: Floats


def keep_as_measured(seen: Seen, bounds: Sequence[Bound]) -> NDArray[np.bool_]:
    """Which settings' means keep to every bound; what is unknown keeps to none. Shape (settings,)."""
    kept = np.ones(seen.wanted.shape[1], dtype=np.bool_)
    for bound, values in zip(bounds, seen.bounded, strict=True):
        means = _means(values)
        kept &= np.where(np.isnan(means), False, means <= bound.at if bound.upper else means >= bound.at)
    return kept


def look(
    seen: Seen,
    aims: Sequence[Aim],
    bounds: Sequence[Bound],
    staying: Sequence[int],
    number: int,
    most: int | None,
    confidence: float = 0.95,
    finished: Collection[int] = (),
    aside: int = 0,
) -> Look:
    """Decide who goes on.

    Where prompts are independent, the chance that the best setting is shown out by a bound or shown to be worse, over all looks however many follow,
    is at most 1 - `confidence`; approximately, for values of one variance are assumed where settings are compared with a leader.

    Args:
        seen: as far as it was asked, for all settings; those that stay have been asked the same prompts.
        aims: with limits that were fixed at the first look.
        staying: settings that are still in.
        number: of looks before this one that could test means; the more there were, the less error is left.
        most: settings that may go on; None for all that nothing was shown of.
        finished: settings that have been asked everything: they go on beside these, unless something is shown of them.
        aside: settings that were set aside before, among which the leader might have been as well as among those that are in.
    """
    alpha = 1 - confidence
    share = (1 - _LATER) * _LATER**number
    prompts = seen.wanted.shape[2]
    leaving = {one.setting: one for one in _beyond_bounds(seen, bounds, staying, prompts, alpha * _OF_BOUNDS, share)}
    left = [one for one in staying if one not in leaving]
    worths = _desirability(seen, aims)
    on_course = [one for one in left if keep_as_measured(seen, bounds)[one] and not math.isnan(worths[one])]
    leader = max(on_course, key=lambda one: (worths[one], -one), default=None)
    if leader is not None and prompts >= LEAST_TESTED:
        of_worse = 1 - _OF_BOUNDS if bounds else 1.0
        leaving |= {one.setting: one for one in _worse(seen, aims, leader, left, aside, alpha * of_worse * share)}
    ranked = np.full(len(worths), math.nan)
    ranked[list(staying)] = (np.where(np.isnan(worths), -1.0, worths) * np.minimum(1.0, 2 * _chance_to_keep(seen, bounds)))[list(staying)]
    left = [one for one in staying if one not in leaving]
    order = sorted((one for one in left if one not in finished), key=lambda one: (one != leader, -ranked[one], one))
    if most is not None and len(order) > most:
        leaving |= {one: Leaving(one, "aside") for one in order[most:]}
        left = [one for one in left if one not in leaving]
    return Look(leader, tuple(leaving[one] for one in sorted(leaving)), tuple(left), ranked)


def _means(values: Floats) -> Floats:
    """Of each row, NaN where it has no value."""
    n = (~np.isnan(values)).sum(axis=1)
    found: Floats = np.where(n > 0, np.nansum(values, axis=1) / np.maximum(n, 1), math.nan)
    return found


def _desirability(seen: Seen, aims: Sequence[Aim]) -> Floats:
    with np.errstate(invalid="ignore"):
        return desirability(np.array([_means(values) for values in seen.wanted]), aims)


def _beyond_bounds(seen: Seen, bounds: Sequence[Bound], staying: Sequence[int], prompts: int, alpha: float, share: float) -> list[Leaving]:
    """Settings whose mean is shown to be beyond a bound, each by the bound that shows it best."""
    found: dict[int, Leaving] = {}
    here = list(staying)
    for bound, values in zip(bounds, seen.bounded, strict=True):
        risen = bound.risen(values[here])
        if bound.finite:
            level = alpha / len(bounds)
            p = 1 / evidence_above(risen, bound.edge)
        elif prompts >= LEAST_TESTED:
            level = alpha / len(bounds) * share
            p = p_above(risen, bound.edge)
        else:
            continue
        for setting, one in zip(here, p.tolist(), strict=True):
            before = found.get(setting)
            if one <= level and (before is None or before.p is None or before.level is None or one / level < before.p / before.level):
                found[setting] = Leaving(setting, "bound", bound.metric, one, level)
    return list(found.values())


def _worse(seen: Seen, aims: Sequence[Aim], leader: int, left: Sequence[int], aside: int, level: float) -> list[Leaving]:
    """Settings that are shown to be less desirable than the leader: paired by prompt, one-sided, allowing for its having been picked."""
    others = [one for one in left if one != leader]
    if not others:
        return []
    values = seen.wanted[:, [leader, *others]]
    means = np.array([_means(one) for one in values])
    with np.errstate(invalid="ignore"):
        by_prompt = parts(values, means, aims)
    # Who was shown out could hardly have led: a test drops equals of the best no more often than the best itself.
    p = p_best(minus(by_prompt[0], by_prompt[1:]), len(others) + aside)
    return [Leaving(setting, "worse", None, float(one), level) for setting, one in zip(others, p, strict=True) if one <= level]


def _chance_to_keep(seen: Seen, bounds: Sequence[Bound]) -> Floats:
    """How likely each setting's mean keeps to every bound, roughly: the product over bounds of Student's t about the mean; shape (settings,)."""
    from scipy.special import stdtr

    chance = np.ones(seen.wanted.shape[1])
    for bound, values in zip(bounds, seen.bounded, strict=True):
        n = (~np.isnan(values)).sum(axis=1)
        means = _means(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.where(np.isnan(values), 0.0, values - means[:, None])
            se = np.sqrt((left**2).sum(axis=1) / np.maximum(n - 1, 1) / np.maximum(n, 1))
            room = (bound.at - means) * (1 if bound.upper else -1)
            t = np.where(se > 0, room / np.where(se > 0, se, 1.0), np.where(room >= 0, math.inf, -math.inf))
        chance *= np.where(np.isnan(means), 0.0, stdtr(np.maximum(n - 1, 1), np.nan_to_num(t, nan=-math.inf, posinf=math.inf, neginf=-math.inf)))
    return chance
