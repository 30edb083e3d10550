"""From the levels of each parameter to the cells of the experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT, ENDPOINT, VOID_AT_TEMPERATURE_0, level_key, same_level
from evalkit.stats.factorial import fractional

Cell = Mapping[str, Any]
"""A level for each swept parameter; None where the parameter is void beside the others."""


class Design(NamedTuple):
    """The cells of an experiment, in order, and how many combinations of levels were merged into them.

    Attributes:
        merged: one sentence for each reason why levels were merged.
        beware: what this kind of design cannot tell, a sentence each.
        names: of the cells, where the experiment names them, else none; of cells that were merged the first one's.
    """

    cells: tuple[Cell, ...]
    combinations: int
    merged: tuple[str, ...]
    beware: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def design_of(experiment: Experiment) -> Design:
    """The cells that an experiment's ``design`` makes of its parameters, but for those that it excludes.

    Raises:
        ExperimentError: it excludes all of them.
    """
    found = _of_kind(experiment)
    if not experiment.exclude:
        return found
    cells = tuple(cell for cell in found.cells if not any(_has_all(cell, one) for one in experiment.exclude))
    if not cells:
        raise ExperimentError("exclude leaves out every setting; take entries out of it")
    return found._replace(cells=cells)


def _has_all(cell: Cell, levels: Mapping[str, Any]) -> bool:
    """Whether a cell has all these levels; one that is void, and so never sent, it has not."""
    return all(cell[name] is not None and same_level(cell[name], level) for name, level in levels.items())


def _of_kind(experiment: Experiment) -> Design:
    levels, fixed = experiment.parameters, experiment.request
    match experiment.design:
        case "grid":
            return grid(levels, fixed)
        case "list":
            named = experiment.cells or {}
            found = [{name: cell.get(name, DEFAULT) for name in levels} for cell in named.values()]
            return _merged(found, levels, fixed, tuple(named))
        case "one_at_a_time":
            return _one_at_a_time(levels, fixed, experiment.reference)
        case "fractional":
            return _fraction(levels, fixed)


def _one_at_a_time(levels: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any], reference: Mapping[str, Any] | str | None) -> Design:
    base = {name: nearest_default(name, given) for name, given in levels.items()}
    if isinstance(reference, Mapping):
        # A level that the endpoint rejected is no base any more.
        base |= {name: level for name, level in reference.items() if any(same_level(level, one) for one in levels[name])}
    found = [base, *({**base, name: level} for name, given in levels.items() for level in given if not same_level(level, base[name]))]
    return _merged(found, levels, fixed)._replace(beware=(_ONE_AT_A_TIME,))


def _fraction(levels: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> Design:
    swept = [name for name, given in levels.items() if len(given) == 2]
    constant = {name: given[0] for name, given in levels.items() if len(given) == 1}
    rows = fractional(len(swept)).tolist() if swept else [[]]
    made = [constant | {name: levels[name][at] for name, at in zip(swept, row, strict=True)} for row in rows]
    beware = (_FRACTION,) if len(rows) < 2 ** len(swept) else ()
    return _merged([{name: cell[name] for name in levels} for cell in made], levels, fixed)._replace(beware=beware)


_ONE_AT_A_TIME = "one parameter is changed at a time, so this design cannot see interactions: what two parameters do together stays unknown"
_FRACTION = (
    "a fraction of all combinations: effects and pairs are clear of each other, and aliased with interactions of three and more, taken to be none"
)


def grid(levels: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> Design:
    """All combinations of `levels`, those that cannot differ merged into one cell.

    Args:
        levels: levels of each swept parameter; empty: one cell without parameters.
        fixed: what every request holds beside them.
    """
    return _merged((dict(zip(levels, values, strict=True)) for values in product(*levels.values())), levels, fixed)


def settled(cell: Mapping[str, Any], fixed: Mapping[str, Any]) -> dict[str, Any]:
    """A cell in which levels that have no effect beside the others are None."""
    return dict(cell) | dict.fromkeys(_void(cell, fixed))


def _merged(found: Iterable[dict[str, Any]], levels: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any], named: Sequence[str] = ()) -> Design:
    cells: dict[tuple[str, ...], Cell] = {}
    names: list[str] = []
    combinations = 0
    for cell in found:
        combinations += 1
        cell = settled(cell, fixed)
        key = tuple(map(level_key, cell.values()))
        if key not in cells and named:
            names.append(named[combinations - 1])
        cells.setdefault(key, cell)
    # A level that is void everywhere tells nothing apart, which is worth a sentence too.
    voided = [name for name in levels if any(cell[name] is None for cell in cells.values())]
    merged = tuple(
        f"at temperature 0 {name} has no effect, so its {len(levels[name])} levels are one setting there" for name in voided if len(levels[name]) > 1
    )
    return Design(tuple(cells.values()), combinations, merged, names=tuple(names))


_NEUTRAL = {
    "temperature": 1.0,
    "top_p": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
    "repetition_penalty": 1.0,
    "min_p": 0.0,
    "top_k": -1.0,
}
"""What servers take where a parameter is left out."""


def nearest_default(name: str, levels: Sequence[Any]) -> Any:
    """The level of a parameter that is nearest to leaving it out, the first of several."""
    return min(levels, key=lambda level: _distance(name, level, levels))


def from_defaults(cell: Cell, parameters: Mapping[str, Sequence[Any]]) -> float:
    """How far a cell is from leaving everything out: the sum over parameters of the distance, in units of the span of its levels.

    Of a parameter without a known default the highest level counts as nearest where it bounds the length, else the first.
    """
    return sum(_distance(name, cell[name], levels) for name, levels in parameters.items())


def _distance(name: str, level: Any, levels: Sequence[Any]) -> float:
    if level is None or level == DEFAULT or len(levels) < 2:
        return 0.0
    numbers = [one for one in levels if isinstance(one, int | float) and not isinstance(one, bool)]
    neutral = _NEUTRAL.get(name, max(numbers, default=0) if name in ("max_tokens", "max_completion_tokens") else None)
    if neutral is None or not isinstance(level, int | float) or isinstance(level, bool):
        return float(not same_level(level, levels[0]) or DEFAULT in levels)
    span = max(abs(one - neutral) for one in numbers)
    return 0.0 if span == 0 else abs(level - neutral) / span


def _void(cell: Mapping[str, Any], fixed: Mapping[str, Any]) -> Iterator[str]:
    temperature = cell.get("temperature", fixed.get("temperature"))
    if isinstance(temperature, int | float) and temperature == 0:
        yield from (name for name in VOID_AT_TEMPERATURE_0 if name in cell)


def body_of(cell: Cell, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The request fields that a cell and the fixed parameters stand for: void and default levels left out.

    A parameter counts alike swept and fixed, so a fixed top_p is left out at temperature 0 too. Which endpoint is asked is no field of a request.
    """
    body = dict(fixed) | {name: level for name, level in cell.items() if level is not None and level != DEFAULT and name != ENDPOINT}
    for name in list(_void(body, {})):
        del body[name]
    return body
