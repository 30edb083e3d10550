"""Before a sweep spends much: is the endpoint a chat API at all, and does it take the extreme levels of each parameter?

The look sends requests of the plan itself, whole and with their own limits, and their answers are kept: what it finds out is true of the experiment,
and nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec

from evalkit.client.defaults import OwnDefaults
from evalkit.client.outcome import Fault
from evalkit.client.reply import Reply
from evalkit.collect.health import unusable
from evalkit.collect.pace import backoff
from evalkit.errors import EndpointError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT, ENDPOINT, level_key, same_level
from evalkit.experiment.problems import nearest
from evalkit.plan.design import Cell
from evalkit.plan.requests import Plan, Request
from evalkit.store.records import Failure, Outcome, Standing
from evalkit.text.notes import Tell, note, warning

_TRIES = 3
_PROMPTS_TRIED = 5
_LOADING = frozenset({429, 502, 503, 504, 529})
"""Statuses of an endpoint that is not there yet, and is waited for."""
_LONGEST_PAUSE_S = 5.0


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """One call: what it tried, and the failure that came of it, if one did."""

    parameter: str | None
    level: Any
    failure: Failure | None


class Preflight(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried.

    Attributes:
        listed: whether the endpoint lists the models; None where it has no list.
        answered: whether it answered anything; a look without an answer proves nothing.
        defaults: what the server says is on where a request names nothing.
    """

    listed: bool | None
    calls: list[Checked]
    answered: bool = True
    defaults: OwnDefaults | None = None

    @property
    def rejected(self) -> list[Checked]:
        """The levels that the endpoint does not take."""
        return [one for one in self.calls if one.parameter is not None and one.failure is not None]


class Onlooker(Protocol):
    """What a look asks by."""

    tell: Tell

    @property
    def patience_s(self) -> float:
        """How long an endpoint that is not there yet is waited for."""
        ...

    async def models(self) -> frozenset[str] | None:
        """The names of the models, None where there is no list."""
        ...

    async def own_defaults(self) -> OwnDefaults | None:
        """What the server says is on where a request names nothing, None where it says nothing; after `models`."""
        ...

    async def send(self, request: Request, choices: int) -> Reply | None:
        """One call for so many choices, not before the endpoint's own time where it has asked to wait; None where nothing more may be spent."""
        ...


class _Tried(NamedTuple):
    """What came of one request of the look: taken, refused with a failure and its fault, or neither."""

    taken: bool
    failure: Failure | None = None
    fault: Fault | None = None


async def look(caller: Onlooker, plan: Plan, there: Standing, keep: Callable[[Request, Outcome, int], None]) -> Preflight:
    """Ask the endpoint; what it does not answer for a passing reason counts as taken.

    Args:
        there: what has its answer already is not asked again, and proves what it proves.
        keep: takes the answers, and refusals that are about one prompt; and how many were asked for in one call.

    Raises:
        AuthError: it refuses the key.
        EndpointError: it cannot be reached, is no chat API, or refuses everything that it is asked.
    """
    listed = await caller.models()
    _tell_of_models(plan, listed, caller.tell)
    work = _Look(caller, plan, there, keep)
    base, cells = _base(plan), _cells_to_try(plan)
    first = await work.first(base)
    if listed is None:  # a server that was still loading its model lists it now
        listed = await caller.models()
        _tell_of_models(plan, listed, caller.tell)
    defaults = await caller.own_defaults()
    others = list(dict.fromkeys(cell for cell in cells.values() if cell != base))
    found = dict(zip(others, await asyncio.gather(*(work.of(cell) for cell in others)), strict=True)) | {base: first}
    taken = [plan.cells[cell] for cell, tried in found.items() if tried.taken]
    calls = [Checked(parameter=None, level=None, failure=None if taken else first.failure)]
    for (name, _), cell in cells.items():
        tried, level = found[cell], plan.cells[cell][name]
        calls.append(Checked(parameter=name, level=level, failure=tried.failure if _refuses(tried, name, level, taken) else None))
    explained = any(one.failure is not None for one in calls[1:]) and any(one.failure is None for one in found.values())
    if len(work.unread) == len(found):
        raise _refusal(_Tried(False, work.unread[0], "address"))
    if not taken and first.failure is not None and not explained:
        raise _refusal(first)
    return Preflight(listed=None if listed is None else _lists(plan, listed), calls=calls, answered=bool(taken), defaults=defaults)


def _cells_to_try(plan: Plan) -> dict[tuple[str, Any], int]:
    """For each extreme level that a cell has, by its parameter and key, the cell to try it in."""
    base = _base(plan)
    swept = {name: levels for name, levels in plan.experiment.parameters.items() if name != ENDPOINT}  # each has a look of its own
    wanted = [(name, level) for name, levels in swept.items() for level in _extremes(name, levels)]
    cells = {(name, level_key(level)): _cell_with(plan, name, level, base) for name, level in wanted}
    return {where: cell for where, cell in cells.items() if cell is not None}


def _base(plan: Plan) -> int:
    """The plainest cell, or of a part of a plan that does not ask it the one that has most in common with it."""
    plainest = plan.plainest
    if plan.shard is None or plan.asks(plainest):
        return plainest
    return _nearest(plan, [index for index in plan.selected if plan.asks(index)], plainest, default=plainest)


def _nearest(plan: Plan, cells: Sequence[int], base: int, default: int) -> int:
    """Of these cells the one that has most in common with `base`, of several the first; `default` where there are none."""
    plain = plan.cells[base]
    return max(cells, key=lambda index: (sum(same_level(plan.cells[index][one], plain[one]) for one in plain), -index), default=default)


class _Look:
    """The requests of one look.

    Attributes:
        unread: for each request whose every answer was nothing of a chat API's, the last one.
    """

    def __init__(self, caller: Onlooker, plan: Plan, there: Standing, keep: Callable[[Request, Outcome, int], None]) -> None:
        self._caller, self._plan, self._there, self._keep = caller, plan, there, keep
        self._prompt = 0
        self.unread: list[Failure] = []
        self._together = min(plan.endpoint.replicates_per_call, plan.experiment.replicates)  # answers of one call stay together

    async def first(self, cell: int) -> _Tried:
        """The plainest cell on the first prompt that the endpoint does not refuse for what the prompt says."""
        tried = _Tried(False)
        asked = tuple(islice(self._plan.prompts_of(cell), _PROMPTS_TRIED)) if self._plan.shard is not None else self._plan.common_prompts
        for prompt in asked[:_PROMPTS_TRIED] or (0,):
            self._prompt = prompt
            tried = await self.of(cell, waits=True)
            if tried.fault != "prompt":
                return tried
        return tried

    def _prompt_for(self, cell: int) -> int:
        """The prompt that a cell is tried on: the one that the first was, where a part of a plan asks it of this cell too."""
        if self._plan.shard is None or self._plan.has(cell, self._prompt):
            return self._prompt
        return next(self._plan.prompts_of(cell), self._prompt)

    async def of(self, cell: int, *, waits: bool = False) -> _Tried:
        prompt = self._prompt_for(cell)
        request = self._plan.request(cell, prompt, 0)
        if self._there.answered(request.key):
            return _Tried(True)
        reply = await self._answer(request, waits)
        if reply is None:
            return _Tried(False)
        if reply.completions:
            for replicate, completion in enumerate(reply.completions[: self._together]):
                self._keep(self._plan.request(cell, prompt, replicate), completion, self._together)
            return _Tried(True)
        failure = reply.failure
        if failure is not None and reply.fault == "address" and not reply.certain:
            self.unread.append(failure)  # tells together with the others
            return _Tried(False)
        if failure is None or (reply.again and reply.fault != "address"):
            if failure is not None and failure.kind == "connection":
                raise _refusal(_Tried(False, failure, reply.fault))
            return _Tried(False)
        swept = reply.fault == "address" and failure.kind == "rejected" and "model" in self._plan.experiment.parameters
        if reply.fault in ("key", "account", "address") and not swept:
            raise _refusal(_Tried(False, failure, reply.fault))
        if reply.fault == "prompt":
            self._keep(request, failure, self._together)
        return _Tried(False, failure, reply.fault)

    async def _answer(self, request: Request, waits: bool) -> Reply | None:
        """What comes of a request that is tried again while trouble passes; while the endpoint is not there yet, as long as patience lasts."""
        began, tries, told = time.monotonic(), 0, False
        while (reply := await self._caller.send(request, self._together)) is not None:
            tries += 1
            failure = reply.failure
            if failure is None or not reply.again or (reply.fault == "address" and reply.certain and tries >= 2):
                return reply
            loading = waits and failure.status in _LOADING and time.monotonic() - began < self._caller.patience_s
            if tries >= _TRIES and not loading:
                return reply
            if tries >= _TRIES and not told:
                self._caller.tell(
                    note(f"the endpoint is not ready (HTTP {failure.status}: {failure.message}); waiting for it up to {self._caller.patience_s:g} s")
                )
                told = True
            await asyncio.sleep(min(_LONGEST_PAUSE_S, backoff(tries, 0.3)))  # a wait that the endpoint asks for is kept by whoever makes the call
        return None


def _extremes(name: str, levels: Sequence[Any]) -> list[Any]:
    """The levels worth trying first: every model; else the lowest and the highest number, and every level that is none."""
    numbers = [level for level in levels if isinstance(level, int | float) and not isinstance(level, bool)]
    others = [level for level in levels if level != DEFAULT and (isinstance(level, bool) or not isinstance(level, int | float))]
    if name == "model":
        return [level for level in levels if level != DEFAULT]
    return list(dict.fromkeys([min(numbers), max(numbers)] if numbers else [])) + others


def _cell_with(plan: Plan, name: str, level: Any, base: int) -> int | None:
    """The cell with a level that has most else in common with the plainest one; None where no cell has it."""
    having = [index for index in plan.selected if same_level(plan.cells[index].get(name), level)]
    if plan.shard is not None:  # what falls to others is not asked here
        having = [index for index in having if plan.asks(index)]
    return _nearest(plan, having, base, default=base) if having else None


def _refuses(tried: _Tried, name: str, level: Any, taken: Sequence[Cell]) -> bool:
    """Whether a refusal is about this level: the endpoint names its parameter, or nothing that was taken has the level."""
    failure = tried.failure
    if failure is None or tried.fault == "prompt":
        return False
    if failure.param is not None and tried.fault == "setting":
        return failure.param.split(".")[0].split("[")[0] == name or (name == "max_tokens" and failure.param == "max_completion_tokens")
    return bool(taken) and not any(same_level(cell.get(name), level) for cell in taken)


def _tell_of_models(plan: Plan, listed: frozenset[str] | None, tell: Tell) -> None:
    """A list of models is no proof of what an endpoint takes: names of deployments, suffixes, wildcards stand in none."""
    absent = [] if not listed else [name for name in _models(plan) if name not in listed]
    if absent and listed is not None:
        known = ", ".join(name[:60] for name in sorted(listed)[:10]) + (f" and {len(listed) - 10} more" if len(listed) > 10 else "")
        lacks = f"the endpoint's list of models lacks {', '.join(map(repr, absent[:5]))}"
        meant = nearest(absent[0], listed)
        hint = f"; did you mean {meant!r}?" if meant else ""
        tell(warning(f"{lacks}{hint}; it lists: {known}. It is asked all the same"))


def _models(plan: Plan) -> list[str]:
    """The names of the models that the endpoint is asked for."""
    levels = [plan.cells[index].get("model") for index in plan.selected]
    return list(dict.fromkeys(plan.endpoint.model if level is None or level == DEFAULT else str(level) for level in levels))


def _lists(plan: Plan, listed: frozenset[str]) -> bool:
    return all(name in listed for name in _models(plan))


def without(experiment: Experiment, rejected: Mapping[str, Sequence[Checked]]) -> Experiment:
    """The experiment without the rejected levels; a parameter left without any is left out of the requests.

    What some of several endpoints reject and others take is excluded for those alone.

    Args:
        rejected: by the name of each endpoint that rejects any; the one there is has the name ``""``.

    Raises:
        EndpointError: nothing is left, or the design cannot do without.
    """
    found = {name: [(one.parameter, one.level) for one in checked if one.parameter is not None] for name, checked in rejected.items()}
    every = len(found) == len(experiment.asked)
    by_all = [one for one in next(iter(found.values()), []) if every and all(_among(one, others) for others in found.values())]
    parameters = {
        name: tuple(level for level in levels if not _among((name, level), by_all)) or (DEFAULT,) for name, levels in experiment.parameters.items()
    }
    named = experiment.cells
    if named is not None:

        def refused(cell: Mapping[str, Any]) -> bool:
            wanted = found.get(str(cell[ENDPOINT]) if experiment.endpoints is not None else "", [])
            return any(_among((name, level), wanted) for name, level in cell.items())

        named = {label: cell for label, cell in named.items() if not refused(cell)}
        if not named:
            raise EndpointError("the endpoint rejects a level of every setting under 'cells', so nothing is left to sweep; change 'cells'")
        return experiment.model_copy(update={"parameters": parameters, "cells": named})
    apart = [{ENDPOINT: name, one[0]: one[1]} for name, wanted in found.items() for one in wanted if name and not _among(one, by_all)]
    if apart and experiment.design == "fractional":
        raise EndpointError("a fraction cannot do without levels that some endpoints alone reject; write design: grid, or take them out")
    exclude = (*(one for one in experiment.exclude if not any(_among(item, by_all) for item in one.items())), *apart)
    return experiment.model_copy(update={"parameters": parameters, "exclude": exclude})


def _among(one: tuple[str, Any], levels: Sequence[tuple[str, Any]]) -> bool:
    return any(one[0] == name and same_level(one[1], level) for name, level in levels)


def _refusal(tried: _Tried) -> EndpointError:
    failure = tried.failure
    if failure is None:
        return EndpointError("the endpoint gives no answer")
    found = unusable(failure, tried.fault, _TRIES)
    if found is not None:
        return found
    said = f" (HTTP {failure.status})" if failure.status else ""
    return EndpointError(f"the endpoint refuses a request of the experiment{said}: {failure.message}{advice(failure)}")


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
