"""The levels of swept parameters, from the ways they are written: lists, ranges, named cells."""

from __future__ import annotations

import math
from collections.abc import Mapping
from math import prod
from typing import Any

from evalkit.experiment.parameters import DEFAULT, ENDPOINT, KNOWN, canonical, fault_of_level, fault_of_name, level_key, same_level, settled
from evalkit.experiment.problems import Faults, Path, shown

_MOST_COMBINATIONS = 100_000
_MOST_STEPS = 1_000


class _OfCells(dict[str, Any]):
    """Levels that named cells hold: nobody crosses them, so that their combinations are not counted."""


def levels_of(value: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """The levels of each parameter under ``parameters:``, as they are sent; raises `Faults` with all that is wrong with them."""
    faults: list[tuple[Path, str]] = []
    levels: dict[str, tuple[Any, ...]] = {}
    for name, given in value.items():
        if fault := fault_of_name(name, "parameters"):
            faults.append(((name,), fault))
            continue
        if _is_range(name, given):
            try:
                given = _steps(given)
            except ValueError as wrong:
                faults.append(((name,), str(wrong)))
                continue
        if fault := _not_a_range(name, given):
            faults.append(((name,), fault))
            continue
        bare = not isinstance(given, list | tuple)
        many = [given] if bare else list(given)
        if not many:
            faults.append(((name,), "the list of levels is empty; expected at least one level"))
        seen: set[str] = set()
        for index, level in enumerate(many):
            where: Path = (name,) if bare else (name, index)
            if fault := fault_of_level(name, level):
                faults.append((where, fault))
                continue
            same = level_key(level)
            if same in seen:
                faults.append((where, f"the level {shown(level)} stands twice; keep one"))
            seen.add(same)
        levels[name] = tuple(settled(name, level) for level in many) if not faults else ()
    combinations = prod(max(1, len(levels.get(name, ())) or (len(given) if isinstance(given, list | tuple) else 1)) for name, given in value.items())
    if combinations > _MOST_COMBINATIONS and not isinstance(value, _OfCells):
        number = f"{combinations:,}" if combinations < 10**15 else "more than 10^15"
        faults.append(((), f"the levels make {number} combinations; expected at most {_MOST_COMBINATIONS:,}: sweep fewer parameters or levels"))
    if faults:
        raise Faults(faults)
    return levels


def with_levels_of_cells(data: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's data with the parameters and levels that its ``cells:`` hold; raises `Faults` with all that is wrong with the cells."""
    cells = data["cells"]
    faults: list[tuple[Path, str]] = []
    if data.get("design", "list") != "list":
        faults.append((("cells",), "cells go with design: list; write design: list, or take cells out"))
    if not cells:
        faults.append((("cells",), "holds no setting; expected names with levels, like {warm: {temperature: 1.2}}"))
    levels: dict[str, list[Any]] = {}
    for label, cell in cells.items():
        if not isinstance(cell, Mapping):
            faults.append((("cells", str(label)), f"found {shown(cell)}; expected a mapping of parameters to levels"))
            continue
        for name, level in cell.items():
            fault = fault_of_name(name, "parameters") or fault_of_level(name, level)
            if fault:
                faults.append((("cells", str(label), str(name)), fault))
            levels.setdefault(name, [])
    if faults:
        raise Faults(faults)
    for name, found in levels.items():
        having = [cell for cell in cells.values() if name in cell or name != ENDPOINT]  # without it a cell is at fault, which is told elsewhere
        for level in (settled(name, cell.get(name, DEFAULT)) for cell in having):
            if not any(same_level(level, one) for one in found):
                found.append(level)
    given = data.get("parameters")
    if given and not same_level(given, levels):
        raise Faults([(("parameters",), "stands beside 'cells', which hold the levels already; keep one of the two")])
    return {**data, "design": "list", "parameters": _OfCells(levels)}


def _is_range(name: str, given: object) -> bool:
    """Whether levels are written as ``{min, max, step}``, where the parameter does not itself take a mapping."""
    return isinstance(given, Mapping) and not _takes_mappings(name) and set(given) == {"min", "max", "step"}


def _takes_mappings(name: str) -> bool:
    return name in KNOWN and KNOWN[name].kind in ("mapping", "any")


def _not_a_range(name: str, given: object) -> str | None:
    """What a mapping lacks to be a range of levels, where the parameter takes numbers and nothing else would make sense; or None."""
    if not isinstance(given, Mapping) or not given or name not in KNOWN or KNOWN[name].kind not in ("number", "integer"):
        return None
    example = {"min": 0, "max": 1, "step": 0.25} | {key: value for key, value in given.items() if isinstance(value, int | float)}
    written = ", ".join(f"{key}: {example[key]}" for key in ("min", "max", "step"))
    if set(given) == {"min", "max"}:
        ends = f"[{given['min']}, {given['max']}]"
        sampled = "or draw from it: design: {kind: sobol, points: 24}, or search: {method: bayes}"
        return f"this range has no step; write how far apart its levels are, like {{{written}}}, list the levels, like {ends}, {sampled}"
    return "found a mapping that is no range; write {min: 0, max: 1, step: 0.25}, or list the levels, like [0, 0.5, 1]"


def _steps(given: Mapping[str, Any]) -> list[Any]:
    """The levels of a range, both ends included; raises ValueError where it makes none, or its steps do not lead to its end."""
    low, high, step = (given[key] for key in ("min", "max", "step"))
    numbers = [one for one in (low, high, step) if isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)]
    if len(numbers) < 3:
        raise ValueError("min, max and step of a range must be numbers, like {min: 0, max: 1, step: 0.25}")
    if step <= 0 or high < low:
        raise ValueError(f"found min {low}, max {high}, step {step}; expected max of at least min, and a step above 0")
    count = math.floor((high - low) / step + 1e-9) + 1
    if count > _MOST_STEPS:
        raise ValueError(f"the range has {count:,} levels; expected at most {_MOST_STEPS}: take a larger step")
    levels = [canonical(round(low + number * step, 12)) for number in range(count)]
    if abs((high - low) / step - (count - 1)) > 1e-6:
        other = canonical(_step_that_ends(low, high, step))
        raise ValueError(f"steps of {step} from {low} lead to {levels[-1]} and not to max {high}; write max: {levels[-1]}, or step: {other}")
    return [*levels[:-1], canonical(high)]


def _step_that_ends(low: float, high: float, step: float) -> float:
    """The step nearest to `step` that leads from `low` to `high` in whole steps and can be written in a few digits."""
    span = high - low
    digits = 0 if all(isinstance(one, int) for one in (low, high, step)) else 4
    near = round(span / step)
    counts = sorted(range(1, 2 * near + 3), key=lambda count: (abs(span / count - step), count))
    return next((short for count in counts if math.isclose((short := round(span / count, digits)) * count, span, rel_tol=1e-9)), span)
