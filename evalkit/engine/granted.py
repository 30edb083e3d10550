"""The pace of one worker: what its hub has granted it. It tells the hub what happens, and stops by itself where it hears nothing any more."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from evalkit.client.headers import Limits
from evalkit.engine.messages import Answered, Event, Faulted, Orders, Throttled, Woken

UNHEARD_S = 15.0
"""A worker whose hub is silent for so long sends nothing more: its lease may have been given to another."""

_STALE_S = 0.25
"""How late a place may be used: several of them at one moment would be faster than the endpoint takes."""
_LOST_S = 2.0
"""A place that was taken is used at once or not at all."""
_UNTOLD_WAIT_S = 0.5
"""For how long a worker holds by itself after a 429 that names no time; its hub says more."""


class Granted:
    """A share of a hub's pace, as `evalkit.collect.pacing.Pacing`; times in seconds of the worker's own monotonic clock.

    Args:
        stir: called where something happened that the hub is to hear of; True where at once.

    Attributes:
        received: places ever given.
    """

    def __init__(self, now: float, stir: Callable[[bool], None]) -> None:
        self.generation = 0
        self.received = 0
        self._stir = stir
        self._heard_at = now
        self._not_before = -math.inf
        self._share = 0
        self._timed = True
        self._anew = 0
        self._places: deque[float] = deque()
        self._taken: deque[float] = deque()
        self._calls = 0
        self._events: list[Event] = []

    @property
    def limit(self) -> int:
        """Calls that may be in flight at once, at least 1; `reserve` gives no place where there is no share."""
        return max(1, self._share)

    def take(self, orders: Orders, now: float) -> None:
        """Go by the hub's word from now on."""
        self._heard_at = now
        self._share, self._timed = orders.share, orders.timed
        if orders.anew != self._anew:
            self._anew = orders.anew
            self.generation += 1
            self._places.clear()
        if orders.hold_s > 0:
            self._not_before = max(self._not_before, now + orders.hold_s)
        self.received += len(orders.places)
        self._places.extend(now + one for one in orders.places)

    def free(self, now: float) -> int:
        """How many calls may start now or soon, beside those that have their place."""
        if self._share == 0 or self.wait_s(now) > 0 or now - self._heard_at > UNHEARD_S:
            return 0
        return len(self._places) if self._timed else self._share

    def places(self, now: float) -> int:
        """Places that may still be used."""
        while self._places and self._places[0] < now - _STALE_S:
            self._places.popleft()
        while self._taken and self._taken[0] < now - _LOST_S:
            self._taken.popleft()
        return len(self._places) + len(self._taken)

    def events(self) -> tuple[Event, ...]:
        """What happened since this was last asked, in seconds of this clock."""
        out, self._events = tuple(self._events), []
        return out

    # --- what a run asks and tells

    def reserve(self, now: float) -> float | None:
        """Take the next place; None while there is none, or the endpoint asked to wait."""
        if self._share == 0 or self.wait_s(now) > 0 or now - self._heard_at > UNHEARD_S:
            return None
        if not self._timed:
            return now
        while self._places:
            place = self._places.popleft()
            if place >= max(now - _STALE_S, self._not_before - _STALE_S):
                at = max(now, place)
                self._taken.append(at)
                return at
        return None

    def held(self, now: float) -> bool:
        """Whether no call may start now."""
        return self.wait_s(now) > 0

    def wait_s(self, now: float) -> float:
        """For how long no call may start, since the endpoint has asked for it."""
        return max(0.0, self._not_before - now)

    def started(self, now: float) -> int:  # noqa: ARG002 (a pace of one's own wants to know)
        """A call goes out; gives its number."""
        if self._taken:
            self._taken.popleft()
        self._calls += 1
        return self._calls

    def since(self, number: int) -> int:
        """How many calls of this worker went out after the one of that number."""
        return self._calls - number

    def answered(
        self, now: float, started: float, in_flight: int, took_s: float, tokens: float | None, limits: Limits | None, uncounted: int = 0
    ) -> None:
        """A call was answered."""
        self._events.append(Answered(started, now, in_flight >= self.limit, took_s, tokens, limits, uncounted))
        self._stir(False)

    def faulted(self) -> None:
        """A call met a fault of the server."""
        self._events.append(Faulted(1))
        self._stir(False)

    def throttle(self, now: float, started: float, wait_s: float | None) -> None:
        """A call was answered 429: this worker holds at once, and the hub is to tell the others."""
        self._events.append(Throttled(started, now, wait_s))
        self._not_before = max(self._not_before, now + (_UNTOLD_WAIT_S if wait_s is None else wait_s))
        self._stir(True)

    def wake(self, now: float) -> None:
        """The endpoint is back after an outage."""
        self._events.append(Woken(now))
        self._stir(True)
