"""What a hub and its workers say to each other. Times are seconds before or from the moment of saying, for clocks of machines differ."""

from __future__ import annotations

from typing import NamedTuple

from evalkit.client.headers import Limits
from evalkit.collect.budget import Used
from evalkit.collect.runner import Policy
from evalkit.errors import EvalkitError
from evalkit.experiment.endpoint import Endpoint
from evalkit.plan.requests import Request
from evalkit.store.records import Kind
from evalkit.text.notes import Note


class Task(NamedTuple):
    """What a worker is to know before it begins. Holds no key: whoever sends finds it where the endpoint's settings say.

    Attributes:
        name: of the worker.
        base_url: where the endpoint is this time.
        most: connections that it may keep open.
        segment: the folder for what it records.
        planned: requests of all workers.
        together, proven: as in `evalkit.collect.runner.run`.
    """

    name: str
    endpoint: Endpoint
    base_url: str
    most: int
    policy: Policy
    segment: str
    planned: int
    together: int = 1
    proven: bool = False


class Answered(NamedTuple):
    """A call that was answered: when it began and ended, and what a pace is told of it."""

    started: float
    ended: float
    filled: bool
    took_s: float
    tokens: float | None
    limits: Limits | None
    uncounted: int


class Throttled(NamedTuple):
    """A call that was answered 429, and what the endpoint asks to wait."""

    started: float
    ended: float
    wait_s: float | None


class Faulted(NamedTuple):
    """Calls, so many, that met a fault of the server."""

    calls: int


class Woken(NamedTuple):
    """An outage is over."""

    ended: float


Event = Answered | Throttled | Faulted | Woken


class Ended(NamedTuple):
    """How a worker's work has ended: the reason where it stopped before its end, or the error that ended it."""

    stopped: str | None = None
    error: EvalkitError | None = None


class Report(NamedTuple):
    """What a worker tells of the time since its last report.

    Attributes:
        outcomes: key, kind of failure (None: a completion) and tokens of each; `lines` are their records.
        events: of calls, in their order.
        used: since the report before.
        in_flight, waiting: calls under way, and requests that will be tried again.
        backlog: leased requests that were not begun.
        received, places: places ever received, and those of them that it may still use.
        paused: why it sends nothing; empty while it does.
    """

    outcomes: tuple[tuple[str, Kind | None, int], ...] = ()
    lines: tuple[bytes, ...] = ()
    events: tuple[Event, ...] = ()
    used: Used = Used()
    in_flight: int = 0
    waiting: int = 0
    backlog: int = 0
    received: int = 0
    places: int = 0
    paused: str = ""
    notes: tuple[Note, ...] = ()
    ended: Ended | None = None


class Orders(NamedTuple):
    """What a hub tells a worker.

    Attributes:
        lease: jobs that are its own from now on, each of requests that may be asked for in one call.
        closed: there will be no more.
        share: calls that it may have in flight.
        timed: no call starts but at one of the `places`.
        hold_s: no call starts for so long.
        anew: counts how often all places were taken back.
        stop: send nothing more, and end when what is under way has arrived.
    """

    lease: tuple[tuple[Request, ...], ...] = ()
    closed: bool = False
    share: int = 0
    timed: bool = False
    places: tuple[float, ...] = ()
    hold_s: float = 0.0
    anew: int = 0
    stop: bool = False
