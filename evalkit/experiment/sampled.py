"""``design: {kind: sobol, points: 24}``: settings drawn from levels and continuous ranges, which then stand in the experiment as its cells."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from evalkit.experiment.levels import levels_of
from evalkit.experiment.parameters import KNOWN, canonical, fault_of_level, fault_of_name
from evalkit.experiment.problems import Faults, Path, shown, unknown

Kind = Literal["random", "sobol", "lhs"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_MOST_POINTS = 10_000
POINTS = 24
"""Settings that a search begins with where its design says nothing."""
_STEPS = 1_000
"""A range is cut into so many steps, so that its values can be written in a few digits."""


def is_range(name: str, given: object) -> bool:
    """Whether levels are written as ``{min, max}``, for a parameter that takes numbers."""
    numeric = name not in KNOWN or KNOWN[name].kind in ("number", "integer")
    return numeric and isinstance(given, Mapping) and set(given) == {"min", "max"} and all(_number(one) for one in given.values())


def _number(one: object) -> bool:
    return isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one)


def schema_of_design() -> dict[str, Any]:
    """JSON Schema of ``design:``."""
    points = {"type": "integer", "minimum": 2, "maximum": _MOST_POINTS}
    drawn = {"kind": {"enum": list(KINDS)}, "points": points}
    return {
        "anyOf": [
            {"enum": ["grid", "list", "one_at_a_time", "fractional"]},
            {"type": "object", "properties": drawn, "required": list(drawn), "additionalProperties": False, "description": "settings that are drawn"},
        ]
    }


def with_sampled(data: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's data with the settings that its ``design:`` draws as a list of cells; raises `Faults` with all that is wrong.

    They depend on the experiment's seed alone. More points of ``random`` and ``sobol`` leave those there are as they were; of ``lhs`` all are new.
    McKay, Beckman & Conover 1979; Sobol' 1967, scrambled as by Owen 1998.
    """
    design, parameters = data["design"], data.get("parameters")
    faults = _faults_of_design(design)
    if data.get("cells") is not None:
        faults.append((("cells",), "stands beside a design that draws its settings; keep one of the two"))
    if not isinstance(parameters, Mapping) or not parameters:
        faults.append((("parameters",), "nothing to draw from; write ranges or levels, like {temperature: {min: 0, max: 1.5}}"))
    axes = {name: _axis(str(name), given, faults) for name, given in (parameters or {}).items()} if isinstance(parameters, Mapping) else {}
    if faults:
        raise Faults(faults)
    seed = data.get("seed", 0)
    drawn = _drawn(design["kind"], design["points"], len(axes), seed if isinstance(seed, int) else 0)
    width = len(str(design["points"]))

    def cell(point: list[float]) -> dict[str, Any]:
        return {name: axis[min(len(axis) - 1, int(one * len(axis)))] for (name, axis), one in zip(axes.items(), point, strict=True)}

    cells = {f"point-{number:0{width}d}": cell(point) for number, point in enumerate(drawn, 1)}
    return {**{name: value for name, value in data.items() if name != "parameters"}, "design": "list", "cells": cells}


def searched(data: Mapping[str, Any]) -> bool:
    """Whether an experiment's data ask for proposals, and what they are made from is not filled in yet."""
    search = data.get("search")
    return isinstance(search, Mapping) and search.get("method") == "bayes" and search.get("over") is None


def with_searched(data: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment's data with the settings that a search begins with as a list of cells; raises `Faults` with all that is wrong.

    They are drawn as its ``design:`` says, 24 Sobol points where it says nothing; what they are drawn from goes to ``search.over``.
    """
    design, parameters = data.get("design", "grid"), data.get("parameters")
    if isinstance(design, str) and design != "grid":
        raise Faults([(("design",), f"found {shown(design)}; a search draws its settings: take design out, or write {{kind: sobol, points: 24}}")])
    if data.get("cells") is not None:
        raise Faults([(("cells",), "a search draws its settings from parameters; take cells out, or write search: {method: race}")])
    if isinstance(parameters, Mapping):
        parameters = {name: _without_step(str(name), given) for name, given in parameters.items()}
    drawn: dict[str, Any] = dict(design) if isinstance(design, Mapping) else {"kind": "sobol", "points": POINTS}
    out = with_sampled({**data, "parameters": parameters, "design": drawn})
    axes = {name: axis_of(name, given) for name, given in (parameters or {}).items()}
    if (combinations := math.prod(map(len, axes.values()))) <= drawn["points"]:
        few = f"the levels make {combinations} combinations, and a search begins with {drawn['points']} settings"
        raise Faults([(("search",), f"{few}; write search: {{method: race}}, which asks all of them")])
    out["search"] = {**data["search"], "over": dict(parameters or {})}
    return out


def _without_step(name: str, given: Any) -> Any:
    """A range with a step as its levels, one value as a list, anything else as it stands."""
    if isinstance(given, Mapping) and set(given) == {"min", "max", "step"}:
        try:
            return list(levels_of({name: given})[name])
        except Faults as fault:
            raise Faults((("parameters", *path), said) for path, said in fault.found) from None
    return given if isinstance(given, Mapping | list | tuple) else [given]


def axis_of(name: str, given: Any) -> Sequence[Any]:
    """The values that a parameter can have, in order: those of a range, or the levels; raises `Faults`."""
    faults: list[tuple[Path, str]] = []
    values = _axis(name, given, faults)
    if faults:
        raise Faults(faults)
    return values


def _faults_of_design(design: Mapping[str, Any]) -> list[tuple[Path, str]]:
    keys = ("kind", "points")
    faults: list[tuple[Path, str]] = [(("design", str(name)), unknown("key", str(name), keys)) for name in design if name not in keys]
    kind, points = design.get("kind"), design.get("points")
    if kind not in KINDS:
        faults.append((("design", "kind"), f"found {shown(kind)}; {unknown('kind', str(kind), KINDS)}"))
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= _MOST_POINTS:
        faults.append((("design", "points"), f"found {shown(points)}; expected how many settings to draw, from 2 to {_MOST_POINTS:,}, like 24"))
    return faults


def _axis(name: str, given: Any, faults: list[tuple[Path, str]]) -> Sequence[Any]:
    """The values that a parameter can have, evenly spread where it is a range."""
    where: Path = ("parameters", name)
    if fault := fault_of_name(name, "parameters"):
        faults.append((where, fault))
        return ()
    if isinstance(given, Mapping) and set(given) == {"min", "max", "step"}:
        faults.append((where, "a range with a step stands beside a design that draws from ranges; take the step out, or list the levels"))
        return ()
    values = _of_range(name, given) if is_range(name, given) else list(given) if isinstance(given, list | tuple) else [given]
    ends = (values[0], values[-1]) if is_range(name, given) and values else values
    if is_range(name, given) and not given["min"] < given["max"]:
        faults.append((where, f"found min {given['min']}, max {given['max']}; expected max above min"))
    if not values:
        faults.append((where, "the list of levels is empty; expected at least one level"))
    faults += [(where, fault) for level in ends if (fault := fault_of_level(name, level))]
    return values


def _of_range(name: str, given: Mapping[str, Any]) -> list[Any]:
    low, high = given["min"], given["max"]
    if KNOWN.get(name) is not None and KNOWN[name].kind == "integer":
        return list(range(math.ceil(low), math.floor(high) + 1))
    digits = max(0, 4 - math.floor(math.log10(high - low))) if high > low else 4
    return [canonical(round(low + (high - low) * step / _STEPS, digits)) for step in range(_STEPS + 1)]


def _drawn(kind: Kind, points: int, axes: int, seed: int) -> list[list[float]]:
    """Points in the unit cube, shape (points, axes)."""
    import numpy as np
    from scipy.stats import qmc

    rng = np.random.default_rng([seed, *b"design"])
    if kind == "random":
        return [list(one) for one in rng.random((points, axes)).tolist()]
    if kind == "lhs":
        return [list(one) for one in qmc.LatinHypercube(axes, rng=rng).random(points).tolist()]
    sobol = qmc.Sobol(axes, scramble=True, rng=rng)
    return [list(one) for one in sobol.random(2 ** math.ceil(math.log2(points)))[:points].tolist()]
