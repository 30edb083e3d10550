"""Send what has no completion yet, a fixed number at a time, and record each outcome the moment it exists."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import msgspec

from evalkit.errors import AuthError, EndpointError
from evalkit.plan import Request
from evalkit.records import Completion, Failure, Outcome, Record

if TYPE_CHECKING:
    from evalkit.client import Reply

TRIES = 3
"""Attempts at one request before it counts as failed."""

_LONGEST_WAIT_S = 600.0
_ALL_ALIKE = 8
"""Requests the endpoint may refuse, before it has answered any, until the run is given up."""


class Sender(Protocol):
    """What makes one attempt at a request."""

    async def send(self, request: Request, choices: int = 1) -> Reply:
        """One attempt, for so many choices; never raises for what endpoint or network do."""
        ...


@dataclass
class Tally:
    """How far a run has come; `failed` counts by kind."""

    planned: int
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    tokens: int = 0

    @property
    def done(self) -> int:
        """Outcomes recorded."""
        return self.completed + self.failed.total()

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Completion):
            self.completed += 1
            self.tokens += (outcome.usage.completion_tokens or 0) if outcome.usage else 0
        else:
            self.failed[outcome.kind] += 1


async def run(
    requests: Iterable[Request],
    sender: Sender,
    record: Callable[[Record], None],
    tally: Tally,
    *,
    concurrency: int,
    progress: Callable[[Tally], None] = lambda _: None,
    pause_s: float = 0.5,
    together: int = 1,
    proven: bool = False,
) -> str | None:
    """Send `requests`, `concurrency` at a time; gives the reason where it stopped before all were sent, else None.

    Args:
        record: called with each outcome as it arrives, from one task at a time.
        tally: counted up as outcomes arrive.
        together: neighbours in `requests` that differ in their replicate alone are asked for in one call, up to so many.
        proven: the endpoint has answered before, so that no single failure can mean that it is of no use at all.
        pause_s: mean wait before the second try; doubles with each further one. A server's own ``Retry-After`` is obeyed.

    Raises:
        AuthError: the endpoint refuses the key; nothing more is sent.
        EndpointError: it cannot be reached, or refuses every request, before it has answered any.
        Exception: whatever `record` or `progress` raises, as it is; what was recorded stays.
    """
    queue = batches(requests, together)
    stopped: str | None = None
    stop, answered = asyncio.Event(), asyncio.Event()
    sending = 0
    refusal: Failure | None = None

    async def work() -> None:
        nonlocal stopped, sending, refusal
        for batch in queue:
            sending += 1
            async for request, outcome in _outcomes(batch, sender, pause_s, stop):
                if not proven and isinstance(outcome, Failure) and (error := _useless(outcome, tally)):
                    raise error
                record(_record(request, outcome, len(batch)))
                tally.add(outcome)
                progress(tally)
                if isinstance(outcome, Completion):
                    answered.set()
                elif outcome.kind == "rejected":
                    refusal = outcome
                elif outcome.kind == "auth":
                    stopped = f"the endpoint refuses the key since it has answered (HTTP {outcome.status}): {outcome.message}"
                    stop.set()
            sending -= 1
            if stopped:
                return
            if refusal and (error := _all_refused(refusal, tally)):
                if not sending:
                    raise error
                await answered.wait()  # a refusal comes faster than an answer: what is still under way decides

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from None  # the first; others may have come of it
    return stopped


async def _outcomes(batch: Sequence[Request], sender: Sender, pause_s: float, stop: asyncio.Event) -> AsyncIterator[tuple[Request, Outcome]]:
    """What comes of requests that differ in their replicate alone, as it comes: one call for all, and again for what it did not give."""
    left = list(batch)
    while left:
        reply, tries = await _reply(left[0], len(left), sender, pause_s, stop)
        given: Sequence[Outcome] = reply.completions[: len(left)] or [reply.outcome] * len(left)
        for outcome in given:
            yield left.pop(0), _after(outcome, tries)


async def _reply(request: Request, choices: int, sender: Sender, pause_s: float, stop: asyncio.Event) -> tuple[Reply, int]:
    before: Failure | None = None
    for tries in range(1, TRIES + 1):
        reply = await (sender.send(request) if choices == 1 else sender.send(request, choices))
        if not reply.again or tries == TRIES or (reply.wait_s is None and _alike(before, reply.failure)):
            break
        before = reply.failure
        pause = random.uniform(0.5, 1.5) * pause_s * 2 ** (tries - 1)  # noqa: S311 (jitter)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(pause, reply.wait_s or 0.0), _LONGEST_WAIT_S)):
                await stop.wait()
        if stop.is_set():
            break
    return reply, tries


def _alike(one: Failure | None, other: Failure | None) -> bool:
    """A plain 500 twice in the same words: some servers answer so to a request that they cannot take, and will for ever."""
    return one is not None and other is not None and one.status == other.status == 500 and bool(other.message) and one.message == other.message


def _after(outcome: Outcome, tries: int) -> Outcome:
    """`outcome` as the result of that many attempts."""
    return outcome if tries == 1 else msgspec.structs.replace(outcome, tries=tries)


def _useless(failure: Failure, tally: Tally) -> EndpointError | None:
    """Where nothing was ever answered, trouble that would meet every request alike: the error to end the run with, unrecorded."""
    said = f" (HTTP {failure.status})" if failure.status else ""
    match failure.kind:
        case _ if tally.completed:
            return None
        case "auth":
            return AuthError(f"the endpoint refuses the key{said}: {failure.message}")
        case "connection":
            return EndpointError(f"the endpoint cannot be reached after {failure.tries} tries: {failure.message}")
        case "rejected" if failure.status == 404:
            return EndpointError(f"the endpoint knows no such model or address{said}: {failure.message}")
    return None


def _all_refused(failure: Failure, tally: Tally) -> EndpointError | None:
    """Where the endpoint answered none of the first requests and refused many, the last of them with `failure`: the error to end the run with."""
    refused = tally.failed["rejected"]
    if tally.completed or refused < min(_ALL_ALIKE, tally.planned):
        return None
    them = f"the first {refused} requests, all it was sent" if refused == tally.done else f"{refused} of {tally.done} requests and answered none"
    return EndpointError(
        f"the endpoint refused {them} (HTTP {failure.status}): {failure.message}. "
        "Change the experiment; if the endpoint was at fault, run again with --retry-failed"
    )


def batches(requests: Iterable[Request], most: int) -> Iterator[list[Request]]:
    """Neighbours that differ in their replicate alone, up to `most` of them; taken from `requests` as they are asked for."""
    batch: list[Request] = []
    for request in requests:
        if batch and (len(batch) == most or (request.cell_index, request.prompt_index) != (batch[0].cell_index, batch[0].prompt_index)):
            yield batch
            batch = []
        batch.append(request)
        if most == 1:
            yield batch
            batch = []
    if batch:
        yield batch


def _record(request: Request, outcome: Outcome, together: int) -> Record:
    return Record(
        key=request.key,
        role=request.role,
        prompt_id=request.prompt_id,
        cell=request.cell,
        replicate=request.replicate,
        seed=request.seed,
        model=request.model,
        request=request.body if together == 1 else {**request.body, "n": together},
        at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        outcome=outcome,
    )
