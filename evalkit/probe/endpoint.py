"""The endpoint that is probed: calls within a budget, what it is asked about, and its own noise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from evalkit.client.reply import Reply
from evalkit.collect.pace import backoff
from evalkit.errors import EndpointError
from evalkit.store.records import Completion

_TRIES = 3
_LONGEST_WAIT_S = 60.0
_PAIRS = 5
SHORT, LONG = 48, 120
"""Tokens of an answer."""

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


class OutOfCallsError(Exception):
    """The budget of calls is used up."""


class RejectedError(Exception):
    """The endpoint refuses what is being probed, with its own words."""


class Endpoint:
    """Calls within a budget, and what is known of the endpoint so far."""

    def __init__(self, caller: Caller, model: str, most_calls: int, at_once: int, rng: np.random.Generator) -> None:
        self._caller, self._model, self._most = caller, model, most_calls
        self._gate = asyncio.Semaphore(at_once)
        self.calls = 0
        self.rng = rng
        self.unusable: set[str] = set()
        self.limit_field = "max_tokens"
        self.sample = ""
        self.seeds = [int(seed) for seed in rng.choice(10**6, _PAIRS, replace=False)]
        self.by_seed: tuple[int, int] | None = None
        self.greedy: tuple[int, int] | None = None

    @property
    def seeded(self) -> bool:
        """Answers repeat under one seed."""
        return self.by_seed is not None and self.by_seed[0] == 0

    @property
    def repeats_greedily(self) -> bool:
        """Answers repeat at temperature 0."""
        return self.greedy is not None and self.greedy[0] == 0

    def body(self, **fields: Any) -> dict[str, Any]:
        """A request with the fields that the endpoint takes, `tokens` its limit; None leaves a field out."""
        out = {"model": self._model, self.limit_field: fields.pop("tokens", SHORT)} | fields
        return {name: value for name, value in out.items() if value is not None and name not in self.unusable}

    async def ask(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """One answer, tried again where the trouble passes; raises `RejectedError` with its words, `EndpointError` where it cannot be used."""
        async with self._gate:
            for tries in range(_TRIES):
                if self.calls >= self._most:
                    raise OutOfCallsError
                self.calls += 1
                reply = await self._caller.call(body, messages, stream=stream)
                if not reply.again or tries == _TRIES - 1:
                    break
                await asyncio.sleep(min(backoff(tries + 1, 0.2, reply.wait_s), _LONGEST_WAIT_S))
        failure = reply.failure
        if failure is None:
            return reply
        if failure.kind == "auth":
            raise EndpointError(f"the endpoint refuses the key: {failure.message}")
        if failure.kind == "rejected":
            raise RejectedError(f"HTTP {failure.status}: {failure.message}")
        return reply

    async def texts(self, bodies: Sequence[tuple[Mapping[str, Any], int]]) -> list[str | None]:
        """What came of requests, each with the number of its topic: visible text and calls as one string; None for a failure."""
        replies = await gathered([self.ask(body, about(topic)) for body, topic in bodies])
        return [visible(reply.completions[0]) if reply.completions else None for reply in replies]

    async def pairs(self, **fields: Any) -> list[str | None]:
        """The answers to the standing pairs of topic and seed, with `fields`."""
        return await self.texts([(self.body(**{"seed": seed, **fields}), number % len(_TOPICS)) for number, seed in enumerate(self.seeds)])


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


async def measure_noise(endpoint: Endpoint) -> None:
    """A/A: how often the same request gives another text, at temperature 0 and under one seed."""
    # A refusal or an ignored field is told where that parameter is probed.
    for fields, note in (({"temperature": 0}, "greedy"), ({"temperature": 1.0, "seed": True}, "by_seed")):
        bodies = []
        for number in range(3):
            seed = {"seed": endpoint.seeds[number]} if fields.get("seed") else {}
            body = endpoint.body(**{**fields, "seed": None, **seed})
            bodies += [(body, number)] * 3
        try:
            texts = await endpoint.texts(bodies)
        except RejectedError:
            continue
        pairs = [(texts[3 * n], texts[3 * n + m]) for n in range(3) for m in (1, 2)]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if known:
            setattr(endpoint, note, (sum(a != b for a, b in known), len(known)))
