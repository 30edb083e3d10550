"""Before a sweep spends anything: is the model there, and does the endpoint take the extreme levels of each parameter?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from evalkit.client.reply import Reply
from evalkit.collect.pace import backoff
from evalkit.errors import AuthError, EndpointError
from evalkit.experiment.endpoint import as_sent
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT, PER_REPLICATE, same_level
from evalkit.plan.design import body_of, design_of
from evalkit.store.records import Failure

_TOKENS = 16
_TRIES = 3
_MESSAGES = [{"role": "user", "content": "Say hello."}]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what it tried, and the failure that came of it, if one did."""

    parameter: str | None
    level: Any
    failure: Failure | None


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried; `listed` tells whether the endpoint lists the models, None where it has no list."""

    listed: bool | None
    calls: list[Checked]

    @property
    def rejected(self) -> list[Checked]:
        """The levels that the endpoint does not take."""
        return [one for one in self.calls if one.parameter is not None and one.failure is not None]


class Endpoint(Protocol):
    """What a preflight asks."""

    async def models(self) -> frozenset[str] | None:
        """The names of the models, None where there is no list."""
        ...

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any]) -> Reply:
        """One call, not before the endpoint's own time where it has asked to wait."""
        ...


async def check(endpoint: Endpoint, experiment: Experiment) -> Preflight:
    """Ask the endpoint; what it does not answer for a passing reason counts as taken.

    Raises:
        AuthError: it refuses the key.
        EndpointError: it cannot be reached, does not list a model of the experiment, or refuses a request without any swept parameter.
    """
    names = [level for level in experiment.parameters.get("model", ()) if level != DEFAULT] or [experiment.endpoint.model]
    listed = await endpoint.models()
    if listed is not None:
        absent = [name for name in names if name not in listed]
        if absent:
            known = ", ".join(name[:60] for name in sorted(listed)[:20]) or "none"
            raise EndpointError(f"the endpoint does not list the model {absent[0]!r}; it lists: {known}. Change endpoint.model")
    plain = await _answer(endpoint, _body(experiment, {}))
    if plain is not None:
        raise _unusable(plain)
    cells = design_of(experiment).cells
    tried = [(name, level) for name, levels in experiment.parameters.items() if name != "model" for level in extremes(levels)]
    # A level is tried in the first cell that has it: beside it stand the first levels of the others, on which it may depend.
    bodies = [_body(experiment, next((cell for cell in cells if same_level(cell[name], level)), {name: level})) for name, level in tried]
    answers = await asyncio.gather(*(_answer(endpoint, body) for body in bodies))
    calls = [Checked(parameter=None, level=None, failure=None)]
    calls += [Checked(parameter=name, level=level, failure=failure) for (name, level), failure in zip(tried, answers, strict=True)]
    return Preflight(listed=None if listed is None else True, calls=calls)


def needed(experiment: Experiment) -> int:
    """Calls that `check` makes, where none has to be tried again."""
    return 1 + sum(len(extremes(levels)) for name, levels in experiment.parameters.items() if name != "model")


def extremes(levels: Sequence[Any]) -> list[Any]:
    """The levels worth trying first: the lowest and the highest number, and every level that is none."""
    numbers = [level for level in levels if _is_number(level)]
    others = [level for level in levels if level != DEFAULT and not _is_number(level)]
    return list(dict.fromkeys([min(numbers), max(numbers)] if numbers else [])) + others


def _is_number(level: Any) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool)


def without(experiment: Experiment, rejected: Sequence[Checked]) -> Experiment:
    """The experiment without the rejected levels; a parameter left without any is left out of the requests."""
    parameters = {
        name: tuple(level for level in levels if not any(one.parameter == name and same_level(one.level, level) for one in rejected)) or (DEFAULT,)
        for name, levels in experiment.parameters.items()
    }
    named = experiment.cells
    if named is not None:
        refused = [(one.parameter, one.level) for one in rejected]
        named = {
            label: cell
            for label, cell in named.items()
            if not any(name in cell and same_level(cell[name], level) for name, level in refused if name is not None)
        }
        if not named:
            raise EndpointError("the endpoint rejects a level of every named cell, so nothing is left to sweep; change 'cells'")
    return experiment.model_copy(update={"parameters": parameters, "cells": named})


def _body(experiment: Experiment, levels: Mapping[str, Any]) -> dict[str, Any]:
    fixed = {**experiment.endpoint.extra_body, **experiment.request}
    fixed["max_completion_tokens" if "max_completion_tokens" in {**fixed, **levels} else "max_tokens"] = _TOKENS
    body = {"model": experiment.endpoint.model, **as_sent(body_of(levels, fixed), experiment.endpoint)}
    if body.get("seed") == PER_REPLICATE:
        body["seed"] = experiment.seed
    return body


async def _answer(endpoint: Endpoint, body: Mapping[str, Any]) -> Failure | None:
    """The failure that would meet every such request, or None; raises where nothing can be asked at all."""
    for number in range(_TRIES):
        reply = await endpoint.call(body, _MESSAGES)
        if not reply.again or number == _TRIES - 1:
            break
        await asyncio.sleep(backoff(number + 1, 0.3))  # a wait that the endpoint asks for is kept by whoever makes the call
    failure = reply.failure
    if failure is None:
        return None
    if failure.kind in ("auth", "connection"):
        raise _unusable(failure)
    return failure if failure.kind == "rejected" else None


def _unusable(failure: Failure) -> EndpointError:
    said = f" (HTTP {failure.status})" if failure.status else ""
    if failure.kind == "auth":
        return AuthError(f"the endpoint refuses the key{said}: {failure.message}")
    if failure.kind == "connection":
        return EndpointError(f"the endpoint cannot be reached after {_TRIES} tries: {failure.message}")
    if failure.status == 404:
        return EndpointError(f"the endpoint knows no such model or address{said}: {failure.message}")
    return EndpointError(f"the endpoint refuses a plain request{said}: {failure.message}{advice(failure)}")


def advice(failure: Failure) -> str:
    """What a rejection that names its parameter asks for, as the end of a sentence; empty where nothing is known to help."""
    about = f"{failure.param or ''} {failure.message}"
    if "max_completion_tokens" in about and "max_tokens" in about:
        return ". This model wants max_completion_tokens: set endpoint.max_tokens_field: max_completion_tokens"
    if "stream_options" in about:
        return ". This endpoint does not know stream_options: set endpoint.stream: false"
    if failure.param:
        return f". Take {failure.param} out of the experiment, or give it values that this model takes"
    return ""
