"""The endpoint that is probed: calls within a budget, what it is asked about, and what is known of it so far."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from evalkit.client.outcome import NO_KEY
from evalkit.client.reply import Reply
from evalkit.collect.pace import backoff
from evalkit.errors import AuthError
from evalkit.store.records import Completion, Failure

_TRIES = 3
_LONGEST_WAIT_S = 60.0
_PAIRS = 5
_SHOWN = 120  # characters of a server's words
SHORT, LONG = 48, 120
"""Tokens of an answer."""

GONE = 4
"""Failures in a row after which nothing more is asked."""

NO_MORE = "it answers no more"
"""How the evidence begins of what the endpoint did not live to answer."""

_USED_UP = re.compile(r"the \d+ calls (of more than one token )?were used up")

_TOPICS = (
    "how a program handles errors and exceptions",
    "how lists, slices and sequences work",
    "how classes, instances and their attributes work",
    "how names, scopes and modules work",
    "how functions are defined and called",
)


class Caller(Protocol):
    """What makes one call and reads all choices of its answer."""

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """One call; never raises for what endpoint or network do."""
        ...


def unreached(evidence: str) -> bool:
    """Whether evidence says that a probe did not come to something, or not to its end: no answers, or no calls were left."""
    return evidence.startswith(NO_MORE) or _USED_UP.match(evidence) is not None


class OutOfCallsError(Exception):
    """The budget of calls is used up."""


class RejectedError(Exception):
    """The endpoint refuses what is being probed, with its own words."""


class Repeats(NamedTuple):
    """How often a request that was sent again brought another text: `differ` of `of` times; `together`: the same while other calls ran."""

    differ: int
    of: int
    together: tuple[int, int] | None = None

    @property
    def exact(self) -> bool:
        """Answers repeat."""
        return self.differ == 0

    @property
    def only_alone(self) -> bool:
        """Answers repeat one call at a time, and not while others run."""
        return self.exact and self.together is not None and self.together[0] > 0


class Sent(NamedTuple):
    """A request that was sent, all its tries together: its fields, whether it was to stream, and the failure that came of it."""

    body: Mapping[str, Any]
    stream: bool
    failure: Failure | None

    def carries(self, parameter: str) -> bool:
        """Whether the parameter was sent."""
        return self.stream if parameter == "stream" else parameter.split(".", maxsplit=1)[0] in self.body


class Probed:
    """Calls to an endpoint within a budget, and what is known of it so far."""

    def __init__(self, caller: Caller, model: str, most_calls: int, at_once: int, rng: np.random.Generator) -> None:
        self._caller, self._model, self.most_calls = caller, model, most_calls
        self._at_once = at_once
        self._gate = asyncio.Semaphore(at_once)
        self.alone = False
        self.calls = self.failed_in_a_row = 0
        self.rng = rng
        self.unusable: set[str] = set()
        self.limit_field = "max_tokens"
        self.sample = ""
        # Spread, for on some servers neighbouring seeds give one text.
        self.seeds = [int(seed) for seed in rng.choice(2**31 - 100, _PAIRS, replace=False)]
        self.by_seed: Repeats | None = None
        self.greedy: Repeats | None = None
        self.sent: list[Sent] = []

    @property
    def seeded(self) -> bool:
        """Answers repeat under one seed."""
        return self.by_seed is not None and self.by_seed.exact

    @property
    def repeats_greedily(self) -> bool:
        """Answers repeat at temperature 0."""
        return self.greedy is not None and self.greedy.exact

    def one_at_a_time(self, alone: bool) -> None:
        """Let calls run one after the other from now on, or so many at once as was told first."""
        self.alone = alone
        self._gate = asyncio.Semaphore(1 if alone else self._at_once)

    def body(self, **fields: Any) -> dict[str, Any]:
        """A request with the fields that the endpoint takes, `tokens` its limit; None leaves a field out."""
        out = {"model": self._model, self.limit_field: fields.pop("tokens", SHORT)} | fields
        return {name: value for name, value in out.items() if value is not None and name not in self.unusable}

    async def ask(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """One answer, tried again where the trouble passes; raises `RejectedError` with its words, `EndpointError` where it cannot be used."""
        async with self._gate:
            for tries in range(_TRIES):
                if self.calls >= self.most_calls:
                    raise OutOfCallsError
                self.calls += 1
                reply = await self._caller.call(body, messages, stream=stream)
                if not reply.again or tries == _TRIES - 1:
                    break
                await asyncio.sleep(min(backoff(tries + 1, 0.2, reply.wait_s), _LONGEST_WAIT_S))
        failure = reply.failure
        self.sent.append(Sent(body, stream, failure))
        self.failed_in_a_row = self.failed_in_a_row + 1 if failure is not None and failure.kind != "rejected" else 0
        if failure is None:
            return reply
        if failure.kind == "auth":
            raise AuthError(failure.message if failure.code == NO_KEY else f"the endpoint refuses the key: {failure.message}")
        if failure.kind == "rejected":
            raise RejectedError(said(failure))
        return reply

    async def texts(self, bodies: Sequence[tuple[Mapping[str, Any], int]]) -> list[str | None]:
        """What came of requests, each with the number of its topic: visible text and calls as one string; None for a failure."""
        replies = await gathered([self.ask(body, about(topic)) for body, topic in bodies])
        return [visible(reply.completions[0]) if reply.completions else None for reply in replies]

    async def pairs(self, **fields: Any) -> list[str | None]:
        """The answers to the standing pairs of topic and seed, with `fields`."""
        return await self.texts([self.pair(number, fields) for number in range(_PAIRS)])

    def pair(self, number: int, fields: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
        """The request and the topic of one of the standing pairs of topic and seed."""
        return self.body(**{"seed": self.seeds[number], **fields}), number % len(_TOPICS)

    def why(self) -> str:
        """What the last failure was, in brackets; empty where there was none."""
        failure = next((one.failure for one in reversed(self.sent) if one.failure is not None), None)
        return "" if failure is None else f" ({said(failure, _SHOWN)})"

    async def always_fails(self, parameter: str) -> Failure | None:
        """The server's error with which every request failed that carried the parameter, while one without it is answered; else None."""
        carrying = [one.failure for one in self.sent if one.carries(parameter)]
        failures = [one for one in carrying if one is not None and one.status is not None and one.status >= 500]
        if len(carrying) < 2 or len(failures) < len(carrying):
            return None
        control = await self.ask(self.body(), about(0))
        return failures[-1] if control.completions else None


def said(failure: Failure, most: int | None = None) -> str:
    """A failure as one line: its status, or its kind where it has none, and at most so many characters of its words."""
    words = failure.message if most is None or len(failure.message) <= most else failure.message[: most - 1] + "…"
    return f"HTTP {failure.status}: {words}" if failure.status else f"{failure.kind}: {words}"


async def gathered(calls: Sequence[Any]) -> list[Any]:
    """All results, in order; the first error ends the rest, all of them awaited."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def about(topic: int, extra: str = "") -> list[dict[str, Any]]:
    """The conversation on one of the topics."""
    return [{"role": "user", "content": f"Write a long and detailed text on {_TOPICS[topic]}.{extra}"}]


def visible(completion: Completion) -> str:
    """An answer as one text: content, or what came in its place."""
    return completion.text or completion.reasoning or json.dumps(completion.tool_calls or "")
