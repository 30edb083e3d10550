"""One sweep's sending: the look before it, the run itself, and what must go on beside it: the disk kept up, signals heeded."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from evalkit.access import Access
from evalkit.budget import Budget, Spent
from evalkit.errors import EndpointError, ExperimentError
from evalkit.experiment import Experiment
from evalkit.pace import Pace
from evalkit.parameters import level_text
from evalkit.plan import Plan, Request
from evalkit.records import Writer
from evalkit.runner import INTERRUPTED, Policy, Tally, run

if TYPE_CHECKING:
    from evalkit.client import Client, Reply
    from evalkit.preflight import Checked, Preflight

_SYNC_EVERY_S = 0.5


class _Counted:
    """A client whose calls are counted, and refused beyond the budget."""

    def __init__(self, client: Client, spent: Spent, budget: Budget, needed: int) -> None:
        self._client, self._spent, self._budget, self._needed = client, spent, budget, needed

    async def models(self) -> frozenset[str] | None:
        return await self._client.models()

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any]) -> Reply:
        if why := self._spent.over(self._budget, 0.0):
            raise ExperimentError(f"{why}, by the look at the endpoint before the sweep ({self._needed} calls or more); allow more")
        self._spent.requests += 1
        reply = await self._client.call(body, messages)
        if reply.completions:
            self._spent.add(reply.completions[0])
        return reply


async def looked(experiment: Experiment, access: Access, spent: Spent, budget: Budget) -> Preflight:
    """What the endpoint takes; its calls are counted in `spent`. Raises `EndpointError`, and `ExperimentError` where the budget is too small."""
    from evalkit.preflight import check, needed

    calls = needed(experiment)
    if budget.requests is not None and budget.requests <= calls:
        raise ExperimentError(
            f"--max-requests {budget.requests}: the look at the endpoint before a sweep takes {calls} calls or more; allow at least {calls + 1}"
        )
    async with access.client(experiment.endpoint) as client:
        return await check(_Counted(client, spent, budget, calls), experiment)


def without_rejected(experiment: Experiment, rejected: list[Checked], skip: bool, tell: Callable[[str], None]) -> Experiment:
    """The experiment without the levels that the endpoint rejects; raises `EndpointError` with its words where they are not to be skipped."""
    from evalkit.preflight import advice, without

    told = []
    for one in rejected:
        failure = one.failure
        if failure is not None:
            told.append(f"{one.parameter}={level_text(one.level)} is rejected (HTTP {failure.status}): {failure.message}{advice(failure)}")
    if not skip:
        raise EndpointError(
            "the endpoint does not take every level of this experiment; nothing was sent of it.\n"
            + "\n".join(told)
            + "\nTake these levels out, or run with --skip-rejected to leave them out this time"
        )
    for line in told:
        tell(f"left out: {line}")
    return without(experiment, rejected)


async def sent(
    plan: Plan,
    requests: Iterator[Request],
    access: Access,
    writer: Writer,
    tally: Tally,
    *,
    pace: Pace,
    policy: Policy,
    progress: Callable[[Tally], None],
    note: Callable[[str], None],
) -> str | None:
    """Send `requests`; the reason where it stopped before all were sent. Asked by a signal, it ends when what is in flight has arrived."""
    stop = asyncio.Event()
    endpoint = plan.experiment.endpoint
    async with access.client(endpoint) as client:
        work = asyncio.ensure_future(
            run(
                requests,
                client,
                writer.append,
                tally,
                pace=pace,
                policy=policy,
                together=endpoint.replicates_per_call,
                progress=progress,
                note=note,
                proven=True,  # the look before it was answered
                stop=stop,
            )
        )
        keeper = asyncio.ensure_future(_keep(writer))
        keeper.add_done_callback(lambda _: stop.set())

        def interrupted() -> None:
            if stop.is_set():
                work.cancel()
                return
            stop.set()
            if tally.in_flight:
                note(f"interrupted: waiting for the answers under way ({tally.in_flight}); interrupt again to end at once")

        with _heeded(interrupted):
            try:
                return await work
            except asyncio.CancelledError:
                if not stop.is_set():
                    raise
                return INTERRUPTED
            finally:
                failed = keeper.done()
                keeper.cancel()
                with suppress(asyncio.CancelledError):
                    await keeper
                if failed:
                    keeper.result()


async def _keep(writer: Writer) -> None:
    """The disk is never further behind than a second."""
    while True:
        await asyncio.sleep(_SYNC_EVERY_S)
        await asyncio.to_thread(writer.sync)


@contextmanager
def _heeded(interrupted: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM call `interrupted` meanwhile; elsewhere than in the main thread, where signals cannot be had, nothing changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
