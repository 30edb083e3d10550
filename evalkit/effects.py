"""What each parameter does to each metric: contrasts paired by prompt, shares of the variance, and a verdict."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.design import Cell
from evalkit.parameters import canonical
from evalkit.stats.equivalence import tost
from evalkit.stats.factorial import Codes, Contrasts, Decomposition, differences, interactions
from evalkit.stats.intervals import t_interval
from evalkit.stats.multiple import holm, max_t, simultaneous
from evalkit.stats.power import prompts_to_settle

Floats = NDArray[np.float64]
ALPHA = 0.05
FEWEST_PROMPTS = 6
"""Below, no rearrangement of signs reaches p < .05."""
_DRAWS = 4_000


class CellDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A cell minus the reference cell, paired by prompt: 95 % t interval, sign-flip p, and p over all cells of the metric (max-T)."""

    cell_index: int
    metric: str
    difference: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    p: float | None
    p_adjusted: float | None


class LevelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One level minus another, over all contexts that have both; the interval holds for all pairs of the parameter's levels together."""

    parameter: str
    from_level: Any
    to_level: Any
    metric: str
    difference: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    p: float | None


class SimpleEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The parameter's largest step, at one level of another parameter alone: 95 % t interval."""

    parameter: str
    at_parameter: str
    at_level: Any
    metric: str
    from_level: Any
    to_level: Any
    difference: float
    ci_low: float
    ci_high: float
    n_prompts: int


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the effect of one parameter depends on another; p over all 2 × 2 contrasts (max-T), adjusted over the metric's pairs (Holm)."""

    parameters: tuple[str, str]
    metric: str
    n_prompts: int
    p: float | None
    p_adjusted: float | None


class VarianceShare(msgspec.Struct, frozen=True, kw_only=True):
    """Share of a metric's variance within prompts that a parameter, or a pair beyond its parts, explains (type II)."""

    parameters: tuple[str, ...]
    metric: str
    df: int
    share: float


class LeftOver(msgspec.Struct, frozen=True, kw_only=True):
    """Share that parameters and pairs leave over, and the part of it that cells explain beyond pairs."""

    metric: str
    left_over: float
    higher: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a parameter does to a metric.

    Attributes:
        verdict: ``effect``: the interval of some pair of levels is clear of 0; ``no effect``: every pair lies within the margin (TOST,
            also where an interval is clear of 0, which `beside_zero` then says); else ``inconclusive``.
        difference: of the two levels that differ most, `to_level` minus `from_level`, with the interval for all pairs together.
        per_step: slope per step over three or more numeric levels, with its own 95 % interval; None otherwise.
        p: that no level differs from another (sign flips, largest |t|); None below six prompts.
        p_adjusted: over the parameters of this metric (Holm).
        p_equivalence: the largest TOST p over all pairs.
        prompts_needed: after which the question is settled with 80 % power; None where it is settled, or no number would do.
        share: of the variance within prompts (type II); None where it cannot be told.
    """

    parameter: str
    metric: str
    verdict: Literal["effect", "no effect", "inconclusive"]
    from_level: Any
    to_level: Any
    difference: float
    ci_low: float
    ci_high: float
    per_step: float | None
    per_step_low: float | None
    per_step_high: float | None
    p: float | None
    p_adjusted: float | None
    margin: float | None
    margin_source: str
    p_equivalence: float | None
    beside_zero: bool
    n_prompts: int
    prompts_needed: int | None
    share: float | None
    by_regression: bool


@dataclass(frozen=True)
class Effects:
    """All contrasts of a run, and in words what could not be estimated."""

    verdicts: list[Verdict] = field(default_factory=list)
    levels: list[LevelDifference] = field(default_factory=list)
    simple: list[SimpleEffect] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    shares: list[VarianceShare] = field(default_factory=list)
    left_over: list[LeftOver] = field(default_factory=list)
    not_estimated: list[str] = field(default_factory=list)


def codes_of(cells: Sequence[Cell], parameters: Mapping[str, Sequence[Any]]) -> Codes:
    """The number of each cell's level of each parameter, from 0; -1 where void. Shape (cells, parameters)."""
    places = {name: {repr(canonical(level)): number for number, level in enumerate(levels)} for name, levels in parameters.items()}
    rows = [[-1 if cell[name] is None else places[name][repr(canonical(cell[name]))] for name in parameters] for cell in cells]
    return np.array(rows, dtype=np.int64).reshape(len(cells), len(parameters))


def against_reference(values: Mapping[str, Floats], reference: int, seed: int) -> list[CellDifference]:
    """Each cell of each metric minus the reference cell; `values` of shape (cells, prompts)."""
    out = []
    for metric, grid in values.items():
        others = [index for index in range(len(grid)) if index != reference]
        if not others:
            continue
        paired = (grid[others] - grid[reference]).T
        tests = max_t(paired, _generator(seed, metric, "reference"))
        for column, index in enumerate(others):
            one = t_interval(paired[:, column])
            if one.n < 2:
                continue
            enough = one.n >= FEWEST_PROMPTS
            out.append(
                CellDifference(
                    cell_index=index,
                    metric=metric,
                    difference=one.mean,
                    se=one.se,
                    ci_low=one.low,
                    ci_high=one.high,
                    n_prompts=one.n,
                    p=known(tests.p[column]) if enough else None,
                    p_adjusted=known(tests.p_adjusted[column]) if enough else None,
                )
            )
    return out


def effects(
    values: Mapping[str, Floats],
    cells: Sequence[Cell],
    parameters: Mapping[str, Sequence[Any]],
    margins: Mapping[str, tuple[float, str]],
    seed: int,
) -> Effects:
    """Effects of every swept parameter and pair on every metric.

    Args:
        values: for each metric shape (cells, prompts), NaN where undefined.
        parameters: levels, in order.
        margins: for each metric the margin in its unit and where it comes from.
        seed: root of the randomness of tests and simultaneous intervals.
    """
    out = Effects()
    swept = {name: list(levels) for name, levels in parameters.items() if len(levels) > 1}
    codes = codes_of(cells, swept)
    if not swept or not values:
        return out
    metrics = list(values)
    prompts = next(iter(values.values())).shape[1]
    stacked = np.hstack([values[metric] for metric in metrics])
    names = list(swept)
    shares = _shares(out, values, codes, names)
    found = {name: differences(stacked, codes, number) for number, name in enumerate(names)}
    pairs = {pair: interactions(stacked, codes, names.index(pair[0]), names.index(pair[1])) for pair in combinations(names, 2)}
    for place, metric in enumerate(metrics):
        rows = slice(place * prompts, (place + 1) * prompts)
        verdicts = []
        for number, name in enumerate(names):
            contrasts = found[name]._replace(values=found[name].values[rows])
            one = _verdict(out, name, swept[name], metric, contrasts, margins[metric], shares.get((metric, name), math.nan), seed)
            if one is None:
                continue
            verdicts.append(one)
            _simple(out, one, swept, names, number, codes, values[metric])
        adjusted = holm([math.nan if one.p is None else one.p for one in verdicts])
        out.verdicts.extend(msgspec.structs.replace(one, p_adjusted=known(p)) for one, p in zip(verdicts, adjusted, strict=True))
        _interactions(out, metric, {pair: one.values[rows] for pair, one in pairs.items()}, seed)
    _say_what_is_missing(out, names, swept, codes, found, pairs, cells)
    return out


def known(value: float) -> float | None:
    """`value` as a file holds it: None where it is NaN."""
    return None if math.isnan(value) else float(value)


def _generator(seed: int, *names: str) -> np.random.Generator:
    """One generator for each question, so that a further metric does not move the numbers of another."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


def _shares(out: Effects, values: Mapping[str, Floats], codes: Codes, names: Sequence[str]) -> dict[tuple[str, str], float]:
    by_pattern: dict[bytes, Decomposition] = {}
    main: dict[tuple[str, str], float] = {}
    for metric, grid in values.items():
        present = ~np.isnan(grid)
        if not present.any():
            continue
        pattern = present.tobytes()
        if pattern not in by_pattern:
            by_pattern[pattern] = Decomposition(codes, present)
        found = by_pattern[pattern].of(grid)
        for term in found.terms:
            term_names = tuple(names[one] for one in term.factors)
            out.shares.append(VarianceShare(parameters=term_names, metric=metric, df=term.df, share=term.share))
            if len(term_names) == 1:
                main[metric, term_names[0]] = term.share
        out.left_over.append(LeftOver(metric=metric, left_over=found.left_over, higher=known(found.higher)))
    return main


def _verdict(
    out: Effects, name: str, levels: list[Any], metric: str, contrasts: Contrasts, margin: tuple[float, str], share: float, seed: int
) -> Verdict | None:
    intervals = [t_interval(contrasts.values[:, column]) for column in range(len(contrasts.pairs))]
    usable = [column for column, one in enumerate(intervals) if one.n >= 2]
    if not usable:
        return None
    values = contrasts.values[:, usable]
    rng = _generator(seed, metric, name)
    wide = simultaneous(values, rng, draws=_DRAWS)
    tests = max_t(values, rng)
    n = min(intervals[column].n for column in usable)
    clear, rows = [], []
    for place, column in enumerate(usable):
        one = intervals[column]
        # Where no prompt has all pairs, each interval stands by itself.
        reach = one.high - one.mean if math.isnan(wide) else wide * one.se
        low, high = one.mean - reach, one.mean + reach
        clear.append(low > 0 or high < 0)
        start, end = contrasts.pairs[column]
        rows.append(
            LevelDifference(
                parameter=name,
                from_level=levels[start],
                to_level=levels[end],
                metric=metric,
                difference=one.mean,
                se=one.se,
                ci_low=low,
                ci_high=high,
                n_prompts=one.n,
                p=known(tests.p_adjusted[place]) if one.n >= FEWEST_PROMPTS else None,
            )
        )
    out.levels.extend(rows)
    size, source = margin
    equivalent = math.nan if math.isnan(size) else max(_tost(contrasts.values[:, column], size) for column in usable)
    whole = len(usable) == len(levels) * (len(levels) - 1) // 2
    verdict: Literal["effect", "no effect", "inconclusive"]
    spread = max(row.se * math.sqrt(row.n_prompts) for row in rows)
    thin = spread == 0 and n < FEWEST_PROMPTS  # alike on a handful of prompts: their variance is not 0 for that
    if equivalent <= ALPHA and whole and not thin:
        verdict = "no effect"
    elif any(clear):
        verdict = "effect"
    else:
        verdict = "inconclusive"
    chosen = [row for row, one in zip(rows, clear, strict=True) if one] if verdict == "effect" else rows
    most = max(chosen, key=lambda row: abs(row.difference))
    needed = FEWEST_PROMPTS if thin else _more_than(n, prompts_to_settle(spread, size))
    slope = t_interval(_slopes(levels, contrasts))
    return Verdict(
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
        p=known(np.min(tests.p_adjusted)) if n >= FEWEST_PROMPTS else None,
        p_adjusted=None,
        margin=known(size),
        margin_source=source,
        p_equivalence=known(equivalent),
        beside_zero=verdict == "no effect" and any(clear),
        n_prompts=n,
        prompts_needed=needed if verdict == "inconclusive" else None,
        share=known(share),
        by_regression=contrasts.by_regression,
    )


def _tost(values: Floats, margin: float) -> float:
    return tost(values[~np.isnan(values)], -margin, margin).p


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
    return np.asarray(total / (steps**2).sum(), dtype=np.float64)


def _simple(out: Effects, verdict: Verdict, swept: Mapping[str, list[Any]], names: Sequence[str], number: int, codes: Codes, values: Floats) -> None:
    """The largest step of a parameter with an effect, at each level of each other parameter."""
    if verdict.verdict != "effect" or verdict.by_regression:
        return
    levels = swept[verdict.parameter]
    pair = (_place(levels, verdict.from_level), _place(levels, verdict.to_level))
    for other, name in enumerate(names):
        if other == number:
            continue
        for place, level in enumerate(swept[name]):
            found = differences(values, codes, number, where=(other, place))
            if pair not in found.pairs:
                continue
            one = t_interval(found.values[:, found.pairs.index(pair)])
            if one.n >= 2:
                out.simple.append(
                    SimpleEffect(
                        parameter=verdict.parameter,
                        at_parameter=name,
                        at_level=level,
                        metric=verdict.metric,
                        from_level=verdict.from_level,
                        to_level=verdict.to_level,
                        difference=one.mean,
                        ci_low=one.low,
                        ci_high=one.high,
                        n_prompts=one.n,
                    )
                )


def _place(levels: Sequence[Any], level: Any) -> int:
    return [repr(canonical(one)) for one in levels].index(repr(canonical(level)))


def _interactions(out: Effects, metric: str, pairs: Mapping[tuple[str, str], Floats], seed: int) -> None:
    found = []
    for pair, values in pairs.items():
        if values.shape[1] == 0 or not (counts := (~np.isnan(values)).sum(axis=0)).any():
            continue
        tests = max_t(values, _generator(seed, metric, *pair))
        n = int(counts[counts > 0].min())
        if n >= 2:
            found.append((pair, n, float(np.nanmin(tests.p_adjusted)) if n >= FEWEST_PROMPTS else math.nan))
    adjusted = holm([p for _, _, p in found])
    out.interactions.extend(
        Interaction(parameters=pair, metric=metric, n_prompts=n, p=known(p), p_adjusted=known(q))
        for (pair, n, p), q in zip(found, adjusted, strict=True)
    )


def _say_what_is_missing(
    out: Effects,
    names: Sequence[str],
    swept: Mapping[str, list[Any]],
    codes: Codes,
    found: Mapping[str, Contrasts],
    pairs: Mapping[tuple[str, str], Contrasts],
    cells: Sequence[Cell],
) -> None:
    for number, name in enumerate(names):
        used = {level for pair in found[name].pairs for level in pair}
        if not found[name].pairs:
            out.not_estimated.append(f"{name}: the design does not tell its effect from that of the others")
        elif len(used) < len(swept[name]):
            lost = ", ".join(str(level) for place, level in enumerate(swept[name]) if place not in used)
            out.not_estimated.append(f"{name} at {lost}: no cell there can be compared with one at another level")
        if found[name].by_regression:
            out.not_estimated.append(f"{name}: no two cells differ in it alone; its effect is estimated by least squares beside the others'")
        if (codes[:, number] < 0).any():
            there = sum(cell[name] is None for cell in cells)
            out.not_estimated.append(f"{name} at temperature 0: void there ({there} of {len(cells)} cells), so nothing is said of it")
    unseen = [f"{one} × {other}" for (one, other), contrasts in pairs.items() if not contrasts.pairs]
    if unseen:
        out.not_estimated.append(f"interactions that this design cannot see: {', '.join(unseen)}")
