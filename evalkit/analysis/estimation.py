"""All effects of a run: contrasts paired by prompt, shares of the variance, interactions, and what the design cannot tell."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.effects import CellDifference, Effects, Interaction, LeftOver, SimpleEffect, VarianceShare, Verdict, known, within
from evalkit.analysis.verdicts import MOST_TESTED, generator, verdict_of
from evalkit.experiment.parameters import level_key
from evalkit.plan.design import Cell
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.stats.factorial import Codes, Contrasts, Decomposition, at_level, contexts, difference, differences, interactions
from evalkit.stats.intervals import t_intervals
from evalkit.stats.multiple import holm, max_t
from evalkit.stats.precision import minus

Floats = NDArray[np.float64]


def codes_of(cells: Sequence[Cell], parameters: Mapping[str, Sequence[Any]]) -> Codes:
    """The number of each cell's level of each parameter, from 0; -1 where void. Shape (cells, parameters)."""
    places = {name: {level_key(level): number for number, level in enumerate(levels)} for name, levels in parameters.items()}
    rows = [[-1 if cell[name] is None else places[name][level_key(cell[name])] for name in parameters] for cell in cells]
    return np.array(rows, dtype=np.int64).reshape(len(cells), len(parameters))


def against_reference(values: Mapping[str, Floats], reference: int, seed: int, spans: Mapping[str, float] | None = None) -> list[CellDifference]:
    """Each cell of each metric minus the reference cell; `values` of shape (cells, prompts), `spans` as in `effects`."""
    out = []
    for metric, grid in values.items():
        others = [index for index in range(len(grid)) if index != reference]
        if not others:
            continue
        paired = minus(grid[others], grid[reference]).T
        tests = max_t(paired, generator(seed, metric, "reference"))
        for column, (index, one) in enumerate(zip(others, t_intervals(paired.T), strict=True)):
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
    return [within(one, spans) for one in out]


def effects(
    values: Mapping[str, Floats],
    cells: Sequence[Cell],
    parameters: Mapping[str, Sequence[Any]],
    margins: Mapping[str, tuple[float, str]],
    seed: int,
    spans: Mapping[str, float] | None = None,
    decisive: Collection[str] = (),
) -> Effects:
    """Effects of every swept parameter and pair on every metric.

    Args:
        values: for each metric shape (cells, prompts), NaN where undefined.
        parameters: levels, in order.
        margins: for each metric the margin in its unit and where it comes from.
        seed: root of the randomness of tests and simultaneous intervals.
        spans: for each metric the width of its range, beyond which no difference can be; a metric that is not there has no end.
        decisive: metrics that a choice rests on, a family of tests by themselves; the others are another.
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
    found = {}
    for number, name in enumerate(names):
        here = _tested(codes, number)
        found[name] = differences(stacked[here], codes[here], number)
    pairs = {}
    for one, other in combinations(range(len(names)), 2):
        here = _tested(codes, one, other)
        pairs[names[one], names[other]] = interactions(stacked[here], codes[here], one, other)
    steps = _Steps(codes, swept)
    places = {metric: slice(place * prompts, (place + 1) * prompts) for place, metric in enumerate(metrics)}
    together = {name: _over_metrics(name, contrasts.values, places, decisive, seed) for name, contrasts in found.items()}
    for metric, rows in places.items():
        verdicts = []
        for number, name in enumerate(names):
            contrasts = found[name]._replace(values=found[name].values[rows])
            verdict, rows_of_levels = verdict_of(name, swept[name], metric, contrasts, margins[metric], shares.get((metric, name), math.nan), seed)
            out.levels.extend(rows_of_levels)
            if verdict is None:
                continue
            verdicts.append(verdict)
            out.simple.extend(steps.simple(verdict, number, values[metric]))
        adjusted = holm([math.nan if verdict.p is None else together[verdict.parameter][metric] for verdict in verdicts])
        out.verdicts.extend(msgspec.structs.replace(verdict, p_adjusted=known(p)) for verdict, p in zip(verdicts, adjusted, strict=True))
        _interactions(out, metric, {pair: contrasts.values[rows] for pair, contrasts in pairs.items()}, seed)
    _say_what_is_missing(out, names, swept, codes, found, pairs, cells)
    out.verdicts[:] = [within(one, spans) for one in out.verdicts]
    out.levels[:] = [within(one, spans) for one in out.levels]
    out.simple[:] = [within(one, spans) for one in out.simple]
    return out


def _over_metrics(name: str, contrasts: Floats, places: Mapping[str, slice], decisive: Collection[str], seed: int) -> dict[str, float]:
    """For each metric the p that a parameter does nothing to it, adjusted over the metrics of its family; NaN where nothing was tested.

    Looking at twenty metrics, one in twenty would show an effect of a parameter that is ignored. All metrics of a family have their prompts flipped
    together, so that those which say the same count about once.
    """
    out = dict.fromkeys(places, math.nan)
    for family, members in (("decisive", [one for one in places if one in decisive]), ("others", [one for one in places if one not in decisive])):
        columns = np.hstack([contrasts[places[metric]] for metric in members]) if members else np.empty((0, 0))
        if columns.shape[1]:
            adjusted = max_t(columns, generator(seed, family, name)).p_adjusted.reshape(len(members), -1)
            out |= {metric: float(np.nanmin(row)) for metric, row in zip(members, adjusted, strict=True) if not np.isnan(row).all()}
    return out


def _tested(codes: Codes, *numbers: int) -> NDArray[np.intp]:
    """The cells at one of at most `MOST_TESTED` levels of each parameter, spread evenly: pairs of hundreds are too many to test, or to read."""
    kept = np.ones(len(codes), dtype=bool)
    for number in numbers:
        count = int(codes[:, number].max(initial=-1)) + 1
        if count > MOST_TESTED:
            levels = np.linspace(0, count - 1, MOST_TESTED).round().astype(np.int64)
            kept &= (codes[:, number] < 0) | np.isin(codes[:, number], levels)
    return np.flatnonzero(kept)


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


class _Steps:
    """Steps of a parameter at each level of each other parameter; which cells are held against each other there is found once for all metrics."""

    def __init__(self, codes: Codes, swept: Mapping[str, list[Any]]) -> None:
        self._codes, self._swept = codes, swept
        self._contexts: dict[tuple[int, int, int], Codes] = {}

    def simple(self, verdict: Verdict, number: int, values: Floats) -> Iterator[SimpleEffect]:
        """The largest step of a parameter with an effect, at each level of each other parameter; `values` of shape (cells, prompts)."""
        if verdict.verdict != "effect" or verdict.by_regression:
            return
        levels = self._swept[verdict.parameter]
        pair = (_place(levels, verdict.from_level), _place(levels, verdict.to_level))
        at, steps = [], []
        for other, name in enumerate(self._swept):
            for place, level in enumerate(self._swept[name] if other != number else ()):
                found = difference(values, self._table(number, other, place), *pair)
                if found is not None:
                    at.append((name, level))
                    steps.append(found)
        for (name, level), one in zip(at, t_intervals(np.array(steps)) if steps else (), strict=True):
            if one.n >= 2:
                yield SimpleEffect(
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

    def _table(self, number: int, other: int, place: int) -> Codes:
        """The contexts of a parameter at a level of another."""
        where = (number, other, place)
        if where not in self._contexts:
            tested = _tested(self._codes, number)
            self._contexts[where] = contexts(self._codes, number, tested[at_level(self._codes[tested], other, place)])
        return self._contexts[where]


def _place(levels: Sequence[Any], level: Any) -> int:
    return [level_key(one) for one in levels].index(level_key(level))


def _interactions(out: Effects, metric: str, pairs: Mapping[tuple[str, str], Floats], seed: int) -> None:
    found = []
    for pair, values in pairs.items():
        if values.shape[1] == 0 or not (counts := (~np.isnan(values)).sum(axis=0)).any():
            continue
        tests = max_t(values, generator(seed, metric, *pair))
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
        if len(swept[name]) > MOST_TESTED:
            out.not_estimated.append(f"{name} has {len(swept[name])} levels: differences are tested between {MOST_TESTED} of them, spread evenly")
        elif not found[name].pairs:
            out.not_estimated.append(f"{name}: this design cannot tell its effect from those of other parameters")
        elif len(used) < len(swept[name]):
            lost = ", ".join(str(level) for place, level in enumerate(swept[name]) if place not in used)
            out.not_estimated.append(f"{name} at {lost}: no setting there can be compared with one at another level")
        if found[name].by_regression and found[name].pairs:
            out.not_estimated.append(f"{name}: no two settings differ in it alone; its effect is estimated by least squares beside the others'")
        if (codes[:, number] < 0).any():
            there = sum(cell[name] is None for cell in cells)
            out.not_estimated.append(f"{name} at temperature 0: not applicable there ({there} of {len(cells)} settings), so nothing is said of it")
    unseen = [f"{one} × {other}" for (one, other), contrasts in pairs.items() if not contrasts.pairs]
    if unseen:
        out.not_estimated.append(f"interactions that this design cannot see: {', '.join(unseen)}")
