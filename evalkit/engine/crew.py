"""The workers of a sweep, kept at work: each is asked for its reports, told what is new, and replaced where it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from evalkit.collect.runner import INTERRUPTED
from evalkit.engine.hub import EXPIRES_S, Hub
from evalkit.engine.messages import Orders, Report
from evalkit.errors import EndpointError
from evalkit.text.notes import Tell, note, warning
from evalkit.text.numbers import counted

_TICK_S = 0.05
_PUSH_S = 10.0
_HIRE_S = 60.0
_AGAIN_S = 0.5
_MOST_LOST = 5
"""Workers that may be lost one after the other, without one outcome between them, until there is no use in another."""


class WorkerLostError(Exception):
    """A worker is gone; says how."""


class Port(Protocol):
    """A worker, as far as its crew has to do with it. Each call raises `WorkerLostError` where it is gone."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    async def exchange(self, orders: Orders) -> Report:
        """Tell it what to do, and wait for its next report."""
        ...

    async def push(self, orders: Orders) -> None:
        """Tell it something meanwhile."""
        ...

    async def left(self) -> bytes:
        """What its segment holds after it is gone, at least what it has not told; empty where there is nothing."""
        ...

    async def forget(self) -> None:
        """All that it recorded is kept elsewhere: it may take its segment away."""
        ...

    def kill(self) -> None:
        """End it at once, if it is still there."""
        ...


Hire = Callable[[int], Awaitable[Port]]
"""Starts the worker of that number; raises `WorkerLostError` where it does not start."""


class Crew:
    """The workers of one hub.

    Args:
        count: how many there are to be.

    Attributes:
        unread: those who were lost and whose segments nobody could read.
        working: those who have not told all that they recorded.
    """

    def __init__(self, hub: Hub, hire: Hire, count: int, tell: Tell) -> None:
        self._hub, self._hire, self._count, self._tell = hub, hire, count, tell
        self._ports: dict[str, Port] = {}
        self.unread: set[str] = set()
        self.working: set[str] = set()
        self._number = 0
        self._lost_in_a_row = 0
        self._done_before = -1
        self._ended = asyncio.Event()
        self._pushes: set[asyncio.Task[None]] = set()

    async def work(self, stop: asyncio.Event) -> str | None:
        """Let all work until everything has its outcome; the reason where it stopped before.

        Args:
            stop: once set, nothing more is sent, and it ends when what is under way has arrived.

        Raises:
            EndpointError: the endpoint is of no use, or no worker stays alive.
            Exception: whatever the hub's `write` raises.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._count):
                    group.create_task(self._place())
                group.create_task(self._tick(stop))
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None
        finally:
            for one in self._ports.values():
                one.kill()
        if self._hub.error is not None:
            raise self._hub.error
        return self._hub.stopped

    @property
    def _over(self) -> bool:
        return self._hub.finished or (self._hub.stopped is not None and not self._hub.members)

    async def _place(self) -> None:
        """One worker after the other at one place, until nothing is left to do."""
        while not self._over and self._hub.stopped is None and self._hub.error is None:
            self._number += 1
            try:
                port = await self._hired(self._number)
            except WorkerLostError as fault:
                self._count_lost(f"does not start: {fault}")
                await asyncio.sleep(_AGAIN_S)
                continue
            if port is None:
                return
            self._ports[port.name] = port
            self.working.add(port.name)
            self._hub.join(port.name, time.monotonic())
            try:
                await self._ask(port)
                return
            except WorkerLostError as fault:
                await self._bury(port, str(fault))

    async def _hired(self, number: int) -> Port | None:
        """A worker; None where all is over before it has started. Raises `WorkerLostError`."""
        hiring, over = asyncio.ensure_future(self._hire(number)), asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait((hiring, over), timeout=_HIRE_S, return_when=asyncio.FIRST_COMPLETED)
            if hiring.done():
                return hiring.result()
            if over.done():
                return None
            raise WorkerLostError(f"not within {_HIRE_S:g} s")
        finally:
            hiring.cancel()
            over.cancel()

    async def _ask(self, port: Port) -> None:
        """Report after report, until the worker has ended."""
        while True:
            orders = self._hub.orders(port.name, time.monotonic())
            try:
                async with asyncio.timeout(EXPIRES_S):
                    report = await port.exchange(orders)
            except TimeoutError:
                raise WorkerLostError(f"silent for {EXPIRES_S:g} s") from None
            urgent = self._hub.heard(port.name, report, time.monotonic())
            if urgent:
                self._spread()
            if report.ended is not None:
                self.working.discard(port.name)
                with suppress(WorkerLostError, TimeoutError):
                    async with asyncio.timeout(_PUSH_S):
                        await port.forget()
                return

    async def _bury(self, port: Port, how: str) -> None:
        """Take what a lost worker leaves."""
        port.kill()
        self._ports.pop(port.name, None)
        left = b""
        try:
            async with asyncio.timeout(EXPIRES_S):
                left = await port.left()
        except (WorkerLostError, TimeoutError):
            self.unread.add(port.name)
        self.working.discard(port.name)
        again = self._hub.lost(port.name, left, time.monotonic())
        self._tell(note(f"worker {port.name} is lost ({how}); {counted(again, 'request')} of its lease go to others"))
        self._count_lost(how)

    def _count_lost(self, how: str) -> None:
        done = self._hub.tally.done
        self._lost_in_a_row = 1 if done != self._done_before else self._lost_in_a_row + 1
        self._done_before = done
        if self._lost_in_a_row >= _MOST_LOST + self._count:
            raise EndpointError(
                f"workers are lost as soon as they start ({self._lost_in_a_row} in a row, the last one {how}); "
                "what was recorded is kept, run again to go on"
            )

    async def _tick(self, stop: asyncio.Event) -> None:
        """What no report brings about: a stop, the end, places as time goes on."""
        warned = False
        while not self._over:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await stop.wait()
            if stop.is_set():
                self._hub.stop(INTERRUPTED)
                await asyncio.sleep(_TICK_S)
            self._spread()
            if self._hub.twice and not warned:
                warned = True
                self._tell(warning("a request was answered twice, since a worker that was taken to be lost was not; one answer of each is kept"))
        self._spread()
        self._ended.set()

    def _spread(self) -> None:
        """Push to those who must hear of something now."""
        now = time.monotonic()
        for name in self._hub.waiting(now):
            port = self._ports.get(name)
            if port is not None:
                task = asyncio.ensure_future(self._pushed(port, self._hub.orders(name, now)))
                self._pushes.add(task)
                task.add_done_callback(self._pushes.discard)

    async def _pushed(self, port: Port, orders: Orders) -> None:
        with suppress(WorkerLostError, TimeoutError):  # whoever waits for its report finds out
            async with asyncio.timeout(_PUSH_S):
                await port.push(orders)
