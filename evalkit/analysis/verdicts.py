"""One parameter and one metric: the intervals of all pairs of levels, the trend, and the verdict that they bear out."""

from __future__ import annotations

import math
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.effects import LevelDifference, Verdict, known
from evalkit.stats.claims import clear
from evalkit.stats.conventions import ALPHA, FEWEST_PROMPTS, POWER
from evalkit.stats.equivalence import tost_of
from evalkit.stats.factorial import Contrasts
from evalkit.stats.intervals import Interval, students, t_interval, t_intervals
from evalkit.stats.multiple import max_t, simultaneous
from evalkit.stats.power import prompts_to_settle
from evalkit.stats.precision import largest, settled

Floats = NDArray[np.float64]

_DRAWS = 4_000
MOST_TESTED = 24
"""Levels of a parameter between which all differences are tested; of more, so many spread evenly."""


def generator(seed: int, *names: str) -> np.random.Generator:
    """One generator for each question, so that a further metric does not move the numbers of another."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def verdict_of(
    name: str, levels: list[Any], metric: str, contrasts: Contrasts, margin: tuple[float, str], share: float, seed: int
) -> tuple[Verdict | None, list[LevelDifference]]:
    """What a parameter does to a metric, and the differences between its levels that say so; None where no pair has two prompts."""
    every = t_intervals(contrasts.values.T)
    usable = [column for column, one in enumerate(every) if one.n >= 2]
    if not usable:
        return None, []
    reach, source = margin
    values = contrasts.values[:, usable]
    rng = generator(seed, metric, name)
    wide = simultaneous(values, rng, draws=_DRAWS)
    p = max_t(values, rng).p_adjusted
    rows = [_difference(name, levels, metric, contrasts.pairs[column], every[column], wide, p[place]) for place, column in enumerate(usable)]
    apart = [row for row in rows if clear(row.ci_low, row.ci_high) and not _alike(row)]
    n = min(row.n_prompts for row in rows)
    equivalent = math.nan if math.isnan(reach) else max(tost_of(*every[column][:2], every[column].n, -reach, reach).p for column in usable)
    tested = min(len(levels), MOST_TESTED)
    whole = len(usable) == tested * (tested - 1) // 2
    spread = max(row.se * math.sqrt(row.n_prompts) for row in rows)
    thin = all(map(_alike, rows))
    verdict: Literal["effect", "no effect", "inconclusive"]
    verdict = "no effect" if equivalent <= ALPHA and whole and not thin else "effect" if apart else "inconclusive"
    most = max(apart if verdict == "effect" else rows, key=lambda row: abs(row.difference))
    needed = FEWEST_PROMPTS if thin else _more_than(n, prompts_to_settle(spread, reach))
    slope = t_interval(_slopes(levels, contrasts))
    one = Verdict(
        parameter=name,
        metric=metric,
        verdict=verdict,
        from_level=most.from_level,
        to_level=most.to_level,
        difference=most.difference,
        ci_low=most.ci_low,
        ci_high=most.ci_high,
        per_step=known(slope.mean),
        per_step_low=known(slope.low),
        per_step_high=known(slope.high),
        p=known(np.min(p)) if n >= FEWEST_PROMPTS else None,
        p_adjusted=None,
        margin=known(reach),
        margin_source=source,
        p_equivalence=known(equivalent),
        beside_zero=verdict == "no effect" and bool(apart),
        n_prompts=n,
        prompts_needed=needed if verdict == "inconclusive" else None,
        detectable=_detectable(n, spread, wide) if spread > 0 else None,
        share=known(share),
        by_regression=contrasts.by_regression,
    )
    return one, rows


def _difference(name: str, levels: list[Any], metric: str, pair: tuple[int, int], one: Interval, wide: float, p: float) -> LevelDifference:
    # Where no prompt has all pairs, each interval stands by itself.
    reach = one.high - one.mean if math.isnan(wide) else wide * one.se
    return LevelDifference(
        parameter=name,
        from_level=levels[pair[0]],
        to_level=levels[pair[1]],
        metric=metric,
        difference=one.mean,
        se=one.se,
        ci_low=one.mean - reach,
        ci_high=one.mean + reach,
        n_prompts=one.n,
        p=known(p) if one.n >= FEWEST_PROMPTS else None,
    )


def _alike(row: LevelDifference) -> bool:
    """Whether a handful of prompts all differ by the same: their variance is not 0 for that, and no interval is a point."""
    return row.n_prompts < FEWEST_PROMPTS and row.se == 0


def _detectable(n: int, spread: float, wide: float) -> float:
    """The difference for which an interval of `wide` standard errors is clear of 0 with 80 % power, by the quantiles of t."""
    reach = students(n - 1, 1 - ALPHA / 2) if math.isnan(wide) else wide
    return (reach + students(n - 1, POWER)) * spread / math.sqrt(n)


def _more_than(n: int, needed: int | None) -> int | None:
    """A number of prompts that is more than there are: the variance seen is an estimate, and this one was not enough."""
    return None if needed is None else max(needed, n + 1)


def _slopes(levels: list[Any], contrasts: Contrasts) -> Floats:
    """Slope per step over the numeric levels in rising order, one a prompt; empty where they are fewer than three."""
    numeric = [number for number, level in enumerate(levels) if isinstance(level, int | float) and not isinstance(level, bool)]
    numeric.sort(key=lambda number: levels[number])
    if len(numeric) < 3:
        return np.array([])
    column = {pair: place for place, pair in enumerate(contrasts.pairs)}
    first = numeric[0]
    steps = np.arange(len(numeric)) - (len(numeric) - 1) / 2
    total = np.zeros(len(contrasts.values))
    for step, number in zip(steps[1:], numeric[1:], strict=True):
        place = column.get((min(first, number), max(first, number)))
        if place is None:
            return np.array([])
        total += step * contrasts.values[:, place] * (1 if first < number else -1)
    return settled(total / (steps**2).sum(), largest(contrasts.values, axis=1)[:, 0])
