"""What is still to be asked: calls as they are given, and those that failed and wait to be tried again."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterable, Iterator

from evalkit.collect.calls import Call
from evalkit.store.records import Failure


class Job:
    """Calls that are made as one, and what was tried of them so far.

    Attributes:
        batch: those that have no outcome yet; they are of one group.
        together: how many there were in the beginning.
        tries: calls made.
        forgiven: of the tries, those that met what everybody met.
        first: when the first call began.
        before: what the last call met.
        nobodys: sent to see whether anybody is there; its answer is not recorded.
    """

    __slots__ = ("batch", "before", "first", "forgiven", "nobodys", "together", "tries")

    def __init__(self, batch: list[Call], *, nobodys: bool = False) -> None:
        self.batch = batch
        self.nobodys = nobodys
        self.together = len(batch)
        self.tries = 0
        self.forgiven = 0
        self.first: float | None = None
        self.before: Failure | None = None

    @property
    def counted(self) -> int:
        """Tries that are held against it."""
        return self.tries - self.forgiven

    def begin_again(self) -> None:
        """What is left of the batch has not been tried yet."""
        self.tries, self.forgiven, self.first = 0, 0, None


class Jobs:
    """Jobs in the order they are to be asked for; calls are taken from the iterator as they are needed, so that memory is flat.

    Args:
        calls: those that were never made.
        together: neighbours of one group make one job, up to so many.

    Attributes:
        exhausted: the iterator has no more.
    """

    def __init__(self, calls: Iterable[Call], together: int = 1) -> None:
        self._new = batches(calls, together)
        self._waiting: list[tuple[float, int, Job]] = []
        self._number = 0
        self.exhausted = False

    @property
    def waiting(self) -> int:
        """How many wait to be tried again."""
        return len(self._waiting)

    @property
    def next_at(self) -> float | None:
        """When the first of those that wait may be tried; None where none waits."""
        return self._waiting[0][0] if self._waiting else None

    def ready(self, now: float) -> bool:
        """Whether one that waited may be tried."""
        return bool(self._waiting) and self._waiting[0][0] <= now

    def dry(self, now: float) -> bool:  # noqa: ARG002 (for those that are yet to come)
        """Whether none is there now, and more may come."""
        return False

    async def coming(self, wait_s: float) -> None:
        """Wait so long, or until there is something to send and a place to send it at."""
        await asyncio.sleep(wait_s)

    def wake(self) -> None:
        """Let nobody wait any longer."""

    def again(self) -> Job | None:
        """The first of those that wait, be its time come or not; None where none waits."""
        return heapq.heappop(self._waiting)[2] if self._waiting else None

    def new(self) -> Job | None:
        """A job that was never asked for; None where there is none left."""
        batch = next(self._new, None)
        if batch is None:
            self.exhausted = True
            return None
        return Job(batch)

    def put_back(self, job: Job, at: float) -> None:
        """Let it wait until then."""
        self._number += 1
        heapq.heappush(self._waiting, (at, self._number, job))


def batches(calls: Iterable[Call], most: int) -> Iterator[list[Call]]:
    """Neighbours of one group, up to `most` of them; taken from `calls` as they are asked for."""
    batch: list[Call] = []
    for call in calls:
        if batch and (len(batch) == most or call.group is None or call.group != batch[0].group):
            yield batch
            batch = []
        batch.append(call)
        if most == 1:
            yield batch
            batch = []
    if batch:
        yield batch
