"""Cells as people name them, and finding the one that somebody names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evalkit.errors import ExperimentError
from evalkit.experiment import strict_yaml
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT, PER_REPLICATE, level_text, same_level
from evalkit.experiment.problems import shown
from evalkit.plan.design import Cell, body_of
from evalkit.plan.requests import Plan

_MOST_NAMED = 5
_BETWEEN = re.compile(r",(?=\s*[A-Za-z_][A-Za-z0-9_.]*\s*=)")


def cell_text(plan: Plan, index: int) -> str:
    """A cell as people name it: by its name in a list design, else by the levels of what is swept."""
    if plan.design.names:
        return plan.design.names[index]
    cell = plan.cells[index]
    swept = {name for name, levels in plan.experiment.parameters.items() if len(levels) > 1} or set(cell)
    return ", ".join(f"{name}={level_text(level)}" for name, level in cell.items() if name in swept and level is not None) or "the only setting"


def cell_named(plan: Plan, text: str) -> int:
    """The cell that `text` names: by its name, its number, or by levels that fit no other. Raises `ExperimentError`."""
    named = plan.experiment.cells or {}
    where = f"setting {shown(text)}"
    if text in named:
        return _only(plan, {name: named[text].get(name, DEFAULT) for name in plan.experiment.parameters}, where)
    if text.isdecimal() and len(text) < 10:
        if int(text) < len(plan.cells):
            return int(text)
        raise ExperimentError(f"{where}: this run has the settings 0 to {len(plan.cells) - 1}")
    wanted = {}
    for part in _BETWEEN.split(text):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name not in plan.experiment.parameters:
            names = [*named, *(f"{one}=LEVEL" for one in plan.experiment.parameters)]
            raise ExperimentError(f"{where}: expected a number below {len(plan.cells)}{''.join(', ' + one for one in names[:_MOST_NAMED])}")
        wanted[name] = strict_yaml.parse(value, where).data
    return _only(plan, wanted, where)


def fits(cell: Cell, wanted: Mapping[str, Any]) -> bool:
    """Whether a cell has the levels that are wanted; a void one, where its value does not matter, fits any."""
    return all(cell[name] is None or same_level(cell[name], level) for name, level in wanted.items())


def _only(plan: Plan, wanted: Mapping[str, Any], where: str) -> int:
    # A level that is a text may be written as something else is: model=1 means the model '1'.
    texts = {name: level_text(level) for name, level in wanted.items()}
    found = [
        index
        for index, cell in enumerate(plan.cells)
        if fits(cell, {name: cell[name] if isinstance(cell[name], str) and cell[name] == texts[name] else level for name, level in wanted.items()})
    ]
    if len(found) == 1:
        return found[0]
    fit = "no setting of this run fits" if not found else f"{len(found)} settings of this run fit"
    raise ExperimentError(f"{where}: {fit}; expected one, like {cell_text(plan, found[0] if found else 0)}")


def parameters_of(cell: Cell, experiment: Experiment) -> dict[str, Any]:
    """The request's parameters for a cell, its model among them, without what only a sweep needs."""
    endpoint = experiment.endpoint_of(cell)
    body = body_of(cell, {**endpoint.extra_body, **experiment.request})
    if body.get("seed") == PER_REPLICATE:
        del body["seed"]
    model = body.pop("model", endpoint.model)
    return {"model": model} | {endpoint.max_tokens_field if name == "max_tokens" else name: value for name, value in body.items()}
