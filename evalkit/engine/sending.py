"""One sweep's sending by a crew of workers, as `evalkit.collect.session.sent` is that of this process alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from evalkit.collect.allowance import Budget
from evalkit.collect.interruption import Interruption
from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import Policy
from evalkit.collect.session import attended
from evalkit.collect.tally import Tally
from evalkit.engine.crew import Crew, Hire
from evalkit.engine.hub import Hub
from evalkit.engine.messages import Task
from evalkit.experiment.endpoint import Endpoint
from evalkit.plan.requests import Request
from evalkit.store.records import Record
from evalkit.store.segments import clear, segments_of
from evalkit.text.notes import Tell


class Place(Protocol):
    """Where workers are hired."""

    @property
    def workers(self) -> int:
        """How many there are to be."""
        ...

    def hiring(self, task: Task, folder: Path) -> Hire:
        """What starts the worker of a number, with its segment in `folder`."""
        ...


async def sent_by(
    place: Place,
    endpoint: Endpoint,
    base_url: str,
    requests: Iterable[Request],
    tally: Tally,
    *,
    folder: Path,
    write: Callable[[bytes], None],
    sync: Callable[[], object],
    pace: Pace,
    policy: Policy,
    progress: Callable[[Tally], None],
    tell: Tell,
    interruption: Interruption | None = None,
    together: int = 1,
    proven: bool = False,
    recorded: Callable[[Record], None] | None = None,
) -> str | None:
    """Ask `requests` by the workers of a place; the reason where it stopped before all were asked.

    Args:
        base_url: where the endpoint is this time.
        folder: the results folder; segments of what workers recorded stand there meanwhile, and stay where this is cut off.
        write: takes lines of records; nobody else writes them.
        recorded: is given each record.
        sync, together, proven: as in `evalkit.collect.session.sent`.

    Raises:
        EndpointError: the endpoint is of no use, or no worker stays alive.
        RecordError: what came cannot be written.
    """
    each = MOST_AT_ONCE if pace.adaptive else pace.most
    hub = Hub(requests, pace, policy, tally, write, now=time.monotonic(), together=together, each=each, tell=tell, recorded=recorded)
    task = Task(
        name="",
        endpoint=endpoint,
        base_url=base_url,
        most=each,
        policy=policy._replace(budget=Budget()),
        segment="",
        planned=tally.planned,
        together=together,
        proven=proven,
    )
    stop = asyncio.Event()
    crew = Crew(hub, place.hiring(task, segments_of(folder)), place.workers, tell)
    stopped = await attended(crew.work(stop), stop, tally, sync=sync, progress=progress, tell=tell, interruption=interruption)
    if not crew.working:  # all have told all that they recorded
        sync()
        clear(folder, crew.unread)
    return stopped
