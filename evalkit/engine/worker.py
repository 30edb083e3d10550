"""One worker: runs what it is leased as any run does, records each outcome at once in a segment of its own, and reports to its hub."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from evalkit.client.connection import Access, bearer_key
from evalkit.collect.budget import Used
from evalkit.collect.calls import Call, call_of
from evalkit.collect.queue import Job, Jobs
from evalkit.collect.runner import run
from evalkit.collect.tally import Tally
from evalkit.engine.granted import Granted
from evalkit.engine.messages import Answered, Ended, Event, Orders, Report, Task, Throttled, Woken
from evalkit.errors import EvalkitError, RecordError
from evalkit.plan.requests import Request
from evalkit.store.journal import line_of
from evalkit.store.records import Completion, Kind, Record, RecordWriter
from evalkit.text.notes import Note

LINGER_S = 0.1
"""How long a report waits for more to tell."""
BEAT_S = 1.0
"""A worker that has nothing to tell says so as often."""

_MOST_LINES, _MOST_BYTES = 500, 80_000
"""What makes a report go at once: a message of 100 kB takes another way, by shared memory."""
_UNSYNCED_S = 0.5


class Leased(Jobs):
    """Jobs that come as they are leased; those who find none wait in a queue, so that each that comes wakes one."""

    def __init__(self, pace: Granted) -> None:
        super().__init__(())
        self._pace = pace
        self._leased: deque[list[Call]] = deque()
        self._closed = False
        self._idle: deque[asyncio.Future[None]] = deque()

    @property
    def backlog(self) -> int:
        """Requests that were not begun."""
        return sum(map(len, self._leased))

    @property
    def hungry(self) -> bool:
        """Whether more could be begun than there is."""
        return not self._leased and not self._closed

    def put(self, jobs: Iterable[list[Call]], *, closed: bool) -> None:
        """Add what is leased, and wake whom there is work and a place for."""
        self._leased.extend(jobs)
        self._closed = self._closed or closed
        self.exhausted = self._closed and not self._leased
        if self.exhausted:
            self.wake()
            return
        for _ in range(min(self._pace.free(time.monotonic()), len(self._leased) + self.waiting)):
            self._wake_one()

    def new(self) -> Job | None:
        """The next that was never asked for; None where none is there."""
        job = Job(self._leased.popleft()) if self._leased else None
        self.exhausted = self._closed and not self._leased
        if self.exhausted:
            self.wake()
        return job

    def dry(self, now: float) -> bool:
        """Whether none is there now, and more may come."""
        return not self._leased and not self.ready(now)

    async def coming(self, wait_s: float) -> None:
        """Wait so long, or until there is something to send and a place to send it at."""
        future = asyncio.get_running_loop().create_future()
        self._idle.append(future)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.001, wait_s)):
                await future

    def wake(self) -> None:
        """Let nobody wait any longer."""
        while self._idle:
            self._wake_one()

    def _wake_one(self) -> None:
        while self._idle:
            one = self._idle.popleft()
            if not one.done():
                one.set_result(None)
                return


class Worker:
    """A worker in a running event loop; `begin` it, then ask it for reports until one says that it has ended.

    Raises:
        AuthError, ExperimentError, EndpointError: what the endpoint's settings name is not here: a key's variable, a certificate.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._client = Access(task.base_url, bearer_key(task.endpoint), task.most).client(task.endpoint)
        self._stop, self._stirred, self._full = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._pace = Granted(time.monotonic(), self._stir)
        self._jobs = Leased(self._pace)
        self._tally = Tally(task.planned)
        self._outcomes: list[tuple[str, Kind | None, int]] = []
        self._lines: list[bytes] = []
        self._bytes = 0
        self._notes: list[Note] = []
        self._ended: Ended | None = None
        self._told = Used()
        self._synced = time.monotonic()
        self._syncing: asyncio.Future[bool] | None = None
        self._segment = RecordWriter(Path(task.segment))
        self._work: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start to work; nothing is sent before there is a lease, a share and a place."""
        self._work = asyncio.create_task(self._whole())

    async def _whole(self) -> None:
        task = self._task
        try:
            async with self._client as client:
                stopped = await run(
                    self._jobs,
                    client,
                    self._tally,
                    pace=self._pace,
                    policy=task.policy,
                    tell=self._notes.append,
                    together=task.together,
                    proven=task.proven,
                    stop=self._stop,
                )
            if self._syncing is not None:
                await self._syncing
            self._segment.close()
            self._ended = Ended(stopped)
        except EvalkitError as fault:
            self._ended = Ended(error=fault)
        except Exception as fault:
            self._ended = Ended(error=RecordError(f"a worker failed: {type(fault).__name__}: {fault}; what it recorded is kept"))
        finally:
            self._stir(True)

    def take(self, orders: Orders) -> None:
        """Go by the hub's word."""
        self._pace.take(orders, time.monotonic())
        self._jobs.put([[self._call(one) for one in job] for job in orders.lease], closed=orders.closed)
        if orders.stop:
            self._stop.set()

    def _call(self, request: Request) -> Call:
        return call_of(request, self._record)

    def _record(self, record: Record) -> None:
        """Write it at once, and tell of it soon."""
        line = line_of(record)
        self._segment.append_lines(line)
        if isinstance(record.outcome, Completion):
            usage = record.outcome.usage
            self._outcomes.append((record.key, None, 0 if usage is None else usage.completion_tokens or 0))
        else:
            self._outcomes.append((record.key, record.outcome.kind, 0))
        self._lines.append(line)
        self._bytes += len(line)
        self._stir(len(self._lines) >= _MOST_LINES or self._bytes >= _MOST_BYTES or self._jobs.hungry)

    def _stir(self, urgent: bool) -> None:
        """There is something to tell, soon or at once."""
        self._stirred.set()
        if urgent:
            self._full.set()

    async def report(self, linger_s: float = LINGER_S, beat_s: float = BEAT_S) -> Report:
        """What happened, once there is enough to tell; an empty report after `beat_s`."""
        await _set_within(self._stirred, beat_s)
        if self._stirred.is_set():
            await _set_within(self._full, linger_s)
        self._stirred.clear()
        self._full.clear()
        self._sync()
        return self._drained()

    def _sync(self) -> None:
        """Have the disk keep up, beside all else: what is urgent does not wait for it. Raises `RecordError` where it did not."""
        now = time.monotonic()
        if self._ended is not None or now - self._synced < _UNSYNCED_S or (self._syncing is not None and not self._syncing.done()):
            return
        if self._syncing is not None:
            self._syncing.result()
        self._synced, self._syncing = now, asyncio.ensure_future(asyncio.to_thread(self._segment.sync))

    def _drained(self) -> Report:
        now, used = time.monotonic(), self._tally.spent.used
        outcomes, lines, notes = tuple(self._outcomes), tuple(self._lines), tuple(self._notes)
        self._outcomes, self._lines, self._bytes = [], [], 0
        self._notes.clear()
        since, self._told = used.since(self._told), used
        return Report(
            outcomes=outcomes,
            lines=lines,
            events=tuple(_aged(one, now) for one in self._pace.events()),
            used=since,
            in_flight=self._tally.in_flight,
            waiting=self._jobs.waiting,
            backlog=self._jobs.backlog,
            received=self._pace.received,
            places=self._pace.places(now),
            paused=self._tally.paused,
            notes=notes,
            ended=self._ended,
        )


def _aged(event: Event, now: float) -> Event:
    """The same with its times as seconds before now."""
    if isinstance(event, Answered | Throttled):
        return event._replace(started=now - event.started, ended=now - event.ended)
    return event._replace(ended=now - event.ended) if isinstance(event, Woken) else event


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
