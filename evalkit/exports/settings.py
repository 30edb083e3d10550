"""The settings that an export is about: the one that was chosen and those tied with it, or what somebody names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.choice.recommendation import plain
from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import Endpoint
from evalkit.plan.cells import cell_named, cell_text, parameters_of
from evalkit.plan.requests import Plan
from evalkit.run import Run


@dataclass(frozen=True)
class Exported:
    """A setting as it is exported.

    Attributes:
        index: its number in the run.
        name: as people name it.
        model: the one that it is asked of.
        parameters: of a request, without the model and without what only a sweep needs.
        endpoint: where it is asked.
    """

    index: int
    name: str
    model: str
    parameters: Mapping[str, Any]
    endpoint: Endpoint

    @property
    def slug(self) -> str:
        """The name in letters, digits, dots and dashes."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.name).strip("-.")[:80] or "setting"


def exported(run: Run, named: Sequence[str] = ()) -> list[Exported]:
    """The settings that `named` says, or the chosen one first and behind it those tied with it.

    Raises:
        ExperimentError: nothing was chosen and nothing is named, or there is no such setting.
    """
    plan = Plan(run.experiment)
    if named:
        return [_exported(run, plan, cell_named(plan, one)) for one in named]
    choice = run.choice
    if choice is None or choice.chosen is None:
        why = (
            "the experiment has no 'choose:'"
            if choice is None
            else "no setting keeps to all bounds"
            if not choice.satisfying
            else "nothing ranks them"
        )
        raise ExperimentError(f"{run.folder}: no setting was chosen ({why}); name one: --cell 0, or --cell temperature=0.7")
    return [_exported(run, plan, one) for one in dict.fromkeys((choice.chosen, *choice.tied))]


def _exported(run: Run, plan: Plan, index: int) -> Exported:
    cell = plan.cells[index]
    fields = plain(parameters_of(cell, run.experiment))
    return Exported(index, cell_text(plan, index), fields.pop("model"), fields, run.experiment.endpoint_of(cell))


def without_place(endpoint: Endpoint) -> list[str]:
    """What a call needs and no format has a place for, without its value: all but the first address, the key's variable and the setting."""
    out = [f"the header {name}" for name in endpoint.headers]
    out += ["the organization"] * (endpoint.organization is not None) + ["the project"] * (endpoint.project is not None)
    out += ["the command that prints the key"] * (endpoint.api_key_command is not None)
    out += ["the certificates to trust"] * (endpoint.verify is not None)
    further = len(endpoint.addresses) - 1
    return out + ([f"{further} further address{'es' if further > 1 else ''}"] if further else [])


def all_of(run: Run) -> list[Exported]:
    """Every setting of a run."""
    plan = Plan(run.experiment)
    return [_exported(run, plan, index) for index in range(len(plan.cells))]
