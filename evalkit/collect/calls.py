"""What the runner runs: calls, each of which knows what to send and where its outcome belongs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, NamedTuple

from evalkit.plan.requests import Request
from evalkit.store.records import Outcome, Record, record_of

if TYPE_CHECKING:
    from evalkit.client.client import Client
    from evalkit.client.reply import Reply


class Call(NamedTuple):
    """One thing to ask an endpoint.

    Attributes:
        key: what tells it from others.
        send: makes one attempt by a client, for so many choices; never raises for what endpoint or network do.
        keep: takes the outcome, once; beside it how many were asked for in one call.
        group: neighbours of one group may be asked for together, as choices of one call; None stands alone.
        size: about how many tokens it asks for and sends, for the first guess of what a call uses; 0 where nobody knows.
    """

    key: str
    send: Callable[[Client, int], Awaitable[Reply]]
    keep: Callable[[Outcome, int], None]
    group: Hashable = None
    size: float = 0.0


def call_of(request: Request, record: Callable[[Record], None]) -> Call:
    """The call that a planned request makes; its record goes to `record`."""

    def send(client: Client, choices: int) -> Awaitable[Reply]:
        return client.send(request, choices)

    def keep(outcome: Outcome, together: int) -> None:
        record(record_of(request, outcome, together))

    return Call(request.key, send, keep, (request.cell_index, request.prompt_index, request.role))
