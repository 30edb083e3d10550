"""Servers that answer alike: each is called at a pace of its own, and one that fails leaves what it was asked to the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from evalkit.collect.health import Health
from evalkit.collect.pacing import Pacing
from evalkit.collect.queue import Job
from evalkit.text.notes import Tell, warning

if TYPE_CHECKING:
    from evalkit.client.client import Client


class Replica:
    """One server, and the workers that call it.

    Attributes:
        name: its address, as messages show it.
        workers: tasks that call it.
        in_flight: calls under way.
        checker: the call that finds out whether it is back, where it is down.
        gone: it is called no more.
        heard: it has answered a call of this run.
    """

    __slots__ = ("checker", "client", "gone", "health", "heard", "in_flight", "name", "pace", "workers")

    def __init__(self, client: Client, pace: Pacing, health: Health) -> None:
        self.client, self.pace, self.health = client, pace, health
        self.name = client.address
        self.workers = self.in_flight = 0
        self.checker: Job | None = None
        self.gone = self.heard = False

    @property
    def up(self) -> bool:
        """Whether it takes calls."""
        return not self.gone and self.health.down_since is None


class Replicas:
    """All of them; most often one."""

    def __init__(self, every: Sequence[Replica], tell: Tell) -> None:
        self._every, self._tell = every, tell

    def __iter__(self) -> Iterator[Replica]:
        return (one for one in self._every if not one.gone)

    @property
    def several(self) -> bool:
        """Whether there were more than one in the beginning."""
        return len(self._every) > 1

    @property
    def count(self) -> int:
        """How many there were in the beginning."""
        return len(self._every)

    def beside(self, one: Replica) -> bool:
        """Whether others take calls."""
        return any(other.up for other in self._every if other is not one)

    def lose(self, one: Replica, why: str) -> bool:
        """Call it no more, where others are left, and tell; False where it is the last."""
        if one.gone:
            return True
        if all(other.gone for other in self._every if other is not one):
            return False
        one.gone = True
        self._tell(warning(f"{one.name} is called no more: {why}; the others go on"))
        return True

    @property
    def at_once(self) -> int:
        """Calls that may be in flight, at all of them together."""
        return sum(one.pace.limit for one in self if one.up) or sum(one.pace.limit for one in self)

    def held_until(self, now: float) -> float:
        """When the first of them may be called again."""
        return now + min((one.pace.wait_s(now) for one in self), default=0.0)
