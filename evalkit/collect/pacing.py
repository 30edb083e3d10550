"""What a run asks of its pace: `evalkit.collect.pace.Pace` where it is alone, a share of one where many runs keep to one."""

from __future__ import annotations

from typing import Protocol

from evalkit.client.headers import Limits


class Pacing(Protocol):
    """When the next call may start, and what it is told; times in seconds of a monotonic clock."""

    @property
    def limit(self) -> int:
        """Calls that may be in flight at once, at least 1."""
        ...

    @property
    def generation(self) -> int:
        """Counts how often places were given anew, those taken before being void."""
        ...

    def reserve(self, now: float) -> float | None:
        """Take the next place: when a call may start, `now` or later; None while none is known."""
        ...

    def held(self, now: float) -> bool:
        """Whether no call may start now, since the endpoint asked to wait after a place was taken."""
        ...

    def wait_s(self, now: float) -> float:
        """For how long no call may start, since the endpoint has asked for it."""
        ...

    def started(self, now: float) -> int:
        """A call goes out; gives its number."""
        ...

    def since(self, number: int) -> int:
        """How many calls went out after the one of that number."""
        ...

    def answered(
        self, now: float, started: float, in_flight: int, took_s: float, tokens: float | None, limits: Limits | None, uncounted: int = 0
    ) -> None:
        """A call was answered; as `evalkit.collect.pace.Pace.answered`."""
        ...

    def faulted(self) -> None:
        """A call met a fault of the server."""
        ...

    def throttle(self, now: float, started: float, wait_s: float | None) -> None:
        """A call was answered 429; `wait_s` is what the endpoint asks to wait."""
        ...

    def wake(self, now: float) -> None:
        """The endpoint is back after an outage."""
        ...
