"""Trouble on the way: answers that come late, in part, broken, or not at all.

Which request meets which fault follows from the seed of the rehearsal and the request's number, in order of arrival.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from evalkit.local.draws import share_of
from evalkit.local.errors import ApiError
from evalkit.local.quirks import Twisted, twist
from evalkit.local.rehearsal import Fault, Rehearsal

_EVENTS_AHEAD = 6
"""Read of a stream before the first is sent, so that even a short one breaks in its middle."""

_PAGE = "<!DOCTYPE html>\n<html><head><title>Bad gateway</title></head><body><h1>The upstream server did not answer.</h1></body></html>\n"


class Trouble:
    """A rehearsal under way: numbers the requests, and counts what was done to them."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal
        self._requests = self._inside = 0
        self._struck: Counter[str] = Counter()
        self._twisted: Counter[str] = Counter()

    def next(self) -> int:
        """The number of a request that has come in, from 0."""
        self._requests += 1
        return self._requests - 1

    @property
    def batches(self) -> bool:
        """Whether it makes a difference to a request what is answered beside it."""
        return any(quirk.name == "seeding" and quirk.value["value"] == "alone" for quirk in self._rehearsal.quirks)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """While a request is answered, others are answered beside it."""
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    def draw(self, number: int) -> Fault | None:
        """The fault that strikes request `number`, if any does."""
        if not self._rehearsal.faults:
            return None
        left = share_of(self._rehearsal.seed, f"fault/{number}")
        for fault in self._rehearsal.faults:
            left -= fault.share
            if left < 0:
                self._struck[fault.name] += 1
                return fault
        return None

    def twist(self, body: object, route: str, number: int) -> Twisted:
        """What request `number` of `route` is answered for, after the quirks."""
        twisted = twist(body, self._rehearsal.quirks, route, self._rehearsal.seed, number, max(0, self._inside - 1))
        self._twisted.update(map(str, twisted.by))
        return twisted

    def told(self) -> dict[str, Any]:
        """What was done so far, by name."""
        return {
            "requests": self._requests,
            "answered": self._requests - self._struck.total(),
            "faults": {fault.name: self._struck[fault.name] for fault in self._rehearsal.faults},
            "quirks": {str(quirk): self._twisted[str(quirk)] for quirk in self._rehearsal.quirks},
        }


async def strike(fault: Fault, answer: Callable[[], Awaitable[Response]]) -> Response:
    """The response to a request that meets `fault`; `answer` gives the one that it would have had."""
    match fault.name:
        case "rate_limited":
            error = ApiError(429, "Rate limit reached for requests. Try again later.", code="rate_limit_exceeded", kind="requests")
            wait = {"retry-after": str(math.ceil(fault.retry_after_s)), "retry-after-ms": str(round(1000 * fault.retry_after_s))}
            return JSONResponse(error.body, error.status, wait)
        case "server_error":
            error = ApiError(500, "The server had an error while processing your request. Sorry about that!")
            return JSONResponse(error.body, error.status)
        case "wrong_content_type":
            return HTMLResponse(_PAGE)
    response = await answer()
    match fault.name, response:
        case "slow_first_token", StreamingResponse():
            response.body_iterator = _late(_events_of(response), fault.seconds)
        case "slow_first_token", _:
            await asyncio.sleep(fault.seconds)
        case "malformed_json", StreamingResponse():
            response.body_iterator = _with_a_broken_event(_events_of(response))
        case "malformed_json", _:
            return Response(_half(bytes(response.body)), response.status_code, media_type=response.media_type)
        case _:
            return _Unfinished(response, fault.seconds)
    return response


class _Unfinished(Response):
    """The first part of another response; then silence, and the connection is closed."""

    def __init__(self, whole: Response, silence: float) -> None:
        self._whole, self._silence = whole, silence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (the form of an ASGI application)
        await send({"type": "http.response.start", "status": self._whole.status_code, "headers": self._whole.raw_headers})
        if isinstance(self._whole, StreamingResponse):
            ahead, _ = await _halves(_events_of(self._whole))
            *first, broken = ahead
            part = b"".join(first) + _half(broken)
        else:
            part = _half(bytes(self._whole.body))
        await send({"type": "http.response.body", "body": part, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(self._silence):
                while (await receive())["type"] != "http.disconnect":
                    pass
        # An application that returns before its response is complete makes the server close the connection.


def _events_of(response: StreamingResponse) -> AsyncIterator[bytes]:
    async def events() -> AsyncIterator[bytes]:
        async for event in response_events:
            yield event if isinstance(event, bytes) else bytes(str(event), "utf-8")

    response_events = response.body_iterator
    return events()


async def _halves(events: AsyncIterator[bytes]) -> tuple[list[bytes], list[bytes]]:
    """The events up to one near the middle of the stream, or of its beginning, and those that were read beyond."""
    ahead = []
    async for event in events:
        ahead.append(event)
        if len(ahead) == _EVENTS_AHEAD:
            break
    middle = max(1, len(ahead) // 2)
    return ahead[: middle + 1], ahead[middle + 1 :]


async def _late(events: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    first = True
    async for event in events:
        yield event
        if first:  # the one that only tells the role
            await asyncio.sleep(seconds)
        first = False


async def _with_a_broken_event(events: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    ahead, beyond = await _halves(events)
    for event in ahead[:-1]:
        yield event
    yield _half(ahead[-1]) + b"\n\n"
    for event in beyond:
        yield event
    async for event in events:
        yield event


def _half(content: bytes) -> bytes:
    return content[: max(1, len(content) // 2)]
