"""From the levels of each parameter to the cells of the experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from evalkit.parameters import DEFAULT, VOID_AT_TEMPERATURE_0, canonical

Cell = Mapping[str, Any]
"""A level for each swept parameter; None where the parameter is void beside the others."""


class Design(NamedTuple):
    """The cells of an experiment, in grid order, and how many combinations of levels were merged into them."""

    cells: tuple[Cell, ...]
    combinations: int
    merged: tuple[str, ...]
    """One sentence for each reason why levels were merged."""


def grid(levels: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> Design:
    """All combinations of `levels`, those that cannot differ merged into one cell.

    Args:
        levels: levels of each swept parameter; empty: one cell without parameters.
        fixed: what every request holds beside them.
    """
    cells: dict[tuple[str, ...], Cell] = {}
    combinations = 0
    for values in product(*levels.values()):
        combinations += 1
        cell = dict(zip(levels, values, strict=True))
        for name in _void(cell, fixed):
            cell[name] = None
        cells.setdefault(tuple(repr(canonical(value)) for value in cell.values()), cell)
    # A level that is void everywhere tells nothing apart, which is worth a sentence too.
    voided = [name for name in levels if any(cell[name] is None for cell in cells.values())]
    merged = tuple(
        f"at temperature 0 {name} has no effect, so its {len(levels[name])} levels are one cell there" for name in voided if len(levels[name]) > 1
    )
    return Design(tuple(cells.values()), combinations, merged)


def _void(cell: Mapping[str, Any], fixed: Mapping[str, Any]) -> Iterator[str]:
    temperature = cell.get("temperature", fixed.get("temperature"))
    if isinstance(temperature, int | float) and temperature == 0:
        yield from (name for name in VOID_AT_TEMPERATURE_0 if name in cell)


def body_of(cell: Cell, fixed: Mapping[str, Any]) -> dict[str, Any]:
    """The request fields that a cell and the fixed parameters stand for: void and default levels left out.

    A parameter counts alike swept and fixed, so a fixed top_p is left out at temperature 0 too.
    """
    body = dict(fixed) | {name: level for name, level in cell.items() if level is not None and level != DEFAULT}
    for name in list(_void(body, {})):
        del body[name]
    return body
