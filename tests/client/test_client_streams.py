"""The client on event streams over a real socket: each habit and fault of servers, and the record that comes of it."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.streams import CALLS, ROLE, SHAPES, USAGE, chunk, event, stream

from evalkit.client.client import Client
from evalkit.client.reply import Reply
from evalkit.store.records import Completion, Failure
from evalkit.store.records import Usage as Counts

EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}
MESSAGES = [{"role": "user", "content": "Say it."}]
BODY = {"model": "tiny", "stream": True, "stream_options": {"include_usage": True}}


class Wire:
    """One client on one endpoint for the whole table, so that each fault also shows that the client outlives it."""

    def __init__(self, runner: asyncio.Runner, client: Client) -> None:
        self.answer = Answer()
        self._runner, self._client = runner, client

    def call(self, answer: Answer, body: Mapping[str, Any] = BODY) -> Reply:
        self.answer = answer
        return self._runner.run(self._client.call(body, MESSAGES))


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    def answer(_: Asked) -> Answer:
        return wire.answer

    with asyncio.Runner() as runner, serving(answer) as endpoint:

        async def opened() -> Client:
            return await Client(endpoint.url, "sk-key-of-the-test", concurrency=1, loopback=True, timeout_s=1.0).__aenter__()

        client = runner.run(opened())
        wire = Wire(runner, client)
        yield wire
        runner.run(client.__aexit__(None, None, None))


def pieces(raw: bytes, size: int = 37) -> tuple[bytes, ...]:
    """Cut so that events, lines and characters fall apart."""
    return tuple(raw[at : at + size] for at in range(0, len(raw), size))


def streamed(*bodies: Any, **more: Any) -> Answer:
    return Answer(200, EVENTS, pieces=pieces(stream(*bodies)), **more)


@pytest.mark.parametrize("size", [7, 10**6], ids=["in small reads", "at once"])
@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_gives_its_record(wire: Wire, name: str, size: int) -> None:
    raw, texts, finish, ended = SHAPES[name]
    reply = wire.call(Answer(200, EVENTS, pieces=pieces(raw, size)) if raw else Answer(200, EVENTS))
    if ended and texts:
        assert reply.failure is None
        assert [one.text for one in reply.completions] == list(texts.values())
        assert reply.completions[0].finish_reason == finish
        assert reply.completions[0].usage_shared_by == len(texts)
        assert reply.streamed
        return
    assert isinstance(reply.failure, Failure)
    assert (reply.failure.kind, reply.again) == ("interrupted" if texts else "malformed", True)


def test_everything_that_is_asked_for_stands_in_the_record(wire: Wire) -> None:
    first = chunk("a")
    first["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}]}
    parts = (chunk(reasoning_content="hm"), first, *CALLS, {"system_fingerprint": "fp"}, USAGE, "[DONE]")
    (one,) = wire.call(streamed(*parts), {**BODY, "logprobs": True}).completions
    assert (one.text, one.reasoning, one.finish_reason) == ("a", "hm", "tool_calls")
    assert one.logprobs == [{"token": "a", "logprob": -0.5}]
    assert [call["function"]["arguments"] for call in one.tool_calls or ()] == ['{"topic": "x"}', "{}"]
    assert one.usage == Counts(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    assert (one.id, one.model, one.system_fingerprint, one.tries) == ("c1", "m", "fp", 1)
    assert one.unmet == []
    assert one.time_to_first_token_s is not None
    assert 0 < one.time_to_first_token_s < one.latency_s
    assert one.tokens_per_s == pytest.approx(2 / one.latency_s, abs=0.001)


ENDED = (chunk("a"), chunk(finish="stop"))

# name: (answer, kind, whether it is tried again, what its message begins with)
FAULTS: dict[str, tuple[Answer, str, bool, str]] = {
    "cut in the middle of the text": (streamed(ROLE, chunk("a"), fault="cut"), "interrupted", True, "the stream broke off"),
    "cut before anything came": (Answer(200, EVENTS | {"Content-Length": "100"}, fault="cut"), "interrupted", True, "the stream broke off"),
    "stalled in the middle": (streamed(chunk("a"), fault="stall"), "timeout", True, "no whole answer within 1 s"),
    "stalled before the first byte": (Answer(200, EVENTS, fault="stall"), "timeout", True, "no whole answer within 1 s"),
    "stalled after the role": (streamed(ROLE, fault="stall"), "timeout", True, "no whole answer within 1 s"),
    "ended without an end": (streamed(chunk("a")), "interrupted", True, "the stream ended without a finish reason"),
    "comments and nothing else": (Answer(200, EVENTS, pieces=(b": hold on\n\n",)), "malformed", True, "not a chat completion"),
    "done and nothing else": (streamed("[DONE]"), "malformed", True, "not a chat completion"),
    "no bytes": (Answer(200, EVENTS), "malformed", True, "an empty body"),
    "broken JSON in the middle": (streamed(chunk("a"), '{"choices": [', chunk("b")), "malformed", True, "not a chunk of a stream"),
    "choices of another type": (streamed({"choices": 5}), "malformed", True, "not a chat completion"),
    "an error in the middle": (streamed(chunk("a"), {"error": {"message": "out of memory"}}), "server", True, "in mid-stream: out of memory"),
    "an error as a string": (streamed(chunk("a"), {"error": "gone"}), "server", True, "in mid-stream: gone"),
    "throttled in the middle": (streamed({"error": {"message": "slow", "code": 429}}), "rate_limited", True, "in mid-stream: slow"),
    "an error after the end": (streamed(*ENDED, {"error": {"message": "late"}}, "[DONE]"), "server", True, "in mid-stream: late"),
    "filtered in the middle": (
        streamed(chunk("a"), {"error": {"message": "no", "code": "content_filter"}}), "refused_by_filter", False, "in mid-stream: no"
    ),
    "filtered by its finish reason": (streamed(chunk("a"), chunk(finish="content_filter"), "[DONE]"), "refused_by_filter", False, "a content filter"),
    "a page of a proxy": (Answer(200, {"Content-Type": "text/html"}, b"<h1>Hello</h1>"), "malformed", True, "not a chat completion: <h1>Hello"),
    "no such parameter": (
        Answer(400, JSON, b'{"error": {"message": "Unknown: stream_options", "param": "stream_options"}}'), "rejected", False, "Unknown: "
    ),
    "detail instead of error": (Answer(422, JSON, b'{"detail": "no stream"}'), "rejected", False, "no stream"),
    "throttled at once": (Answer(429, JSON | {"Retry-After": "2"}, b'{"error": "slow down"}'), "rate_limited", True, "slow down"),
    "a fault as an event stream": (Answer(500, EVENTS, event({"error": {"message": "dead"}})), "server", True, "data: "),
    "the key is wrong": (Answer(401, JSON, b'{"error": {"message": "bad key sk-key-of-the-test"}}'), "auth", False, "bad key [key]"),
    "broken gzip": (Answer(200, EVENTS | {"Content-Encoding": "gzip"}, b"no gzip at all"), "malformed", True, ""),
    "gzip cut short": (
        Answer(200, EVENTS | {"Content-Encoding": "gzip"}, gzip.compress(stream(*ENDED))[:30]), "malformed", True, ""
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_gives_its_kind(wire: Wire, name: str) -> None:
    answer, kind, again, words = FAULTS[name]
    reply = wire.call(answer)
    assert isinstance(reply.failure, Failure)
    assert (reply.failure.kind, reply.again, reply.completions) == (kind, again, ())
    assert reply.failure.message.startswith(words)
    assert reply.failure.message
    assert reply.failure.latency_s is not None


def plain(**more: Any) -> Answer:
    return Answer(200, JSON, completion("fine", **more))


SHORT_BODY = {"model": "tiny"}

# name: (answer, body asked with, texts, what is unmet)
HABITS: dict[str, tuple[Answer, dict[str, Any], list[str], list[str]]] = {
    "a server that does not stream": (plain(), BODY, ["fine"], []),
    "a server that does not stream, and says it does": (Answer(200, EVENTS, completion("fine")), BODY, ["fine"], []),
    "cut after the end": (streamed(*ENDED, USAGE, fault="cut"), BODY, ["a"], []),
    "gzip": (Answer(200, EVENTS | {"Content-Encoding": "gzip"}, gzip.compress(stream(*ENDED, USAGE))), BODY, ["a"], []),
    "no content type": (Answer(200, {}, stream(*ENDED, USAGE)), BODY, ["a"], []),
    "another content type": (Answer(200, {"Content-Type": "text/plain"}, stream(*ENDED, USAGE)), BODY, ["a"], []),
    "half a character": (Answer(200, EVENTS, stream(*ENDED, USAGE).replace(b'"a"', b'"a\\ud83d"')), BODY, ["a\ufffd"], []),
    "usage never": (streamed(*ENDED, "[DONE]"), BODY, ["a"], ["stream_options.include_usage: no usage given"]),
    "one choice of three": (streamed(*ENDED, USAGE), {**BODY, "n": 3}, ["a"], ["n: 1 of 3 choices given"]),
    "too long": (streamed(*ENDED, USAGE), {**BODY, "max_tokens": 1}, ["a"], ["max_tokens: 2 tokens given where 1 were allowed"]),
    "no log probabilities": (streamed(*ENDED, USAGE), {**BODY, "logprobs": True}, ["a"], ["logprobs: none given"]),
    "one choice of three, plain": (plain(), {**SHORT_BODY, "n": 3}, ["fine"], ["n: 1 of 3 choices given"]),
    "too long, plain": (plain(), {**SHORT_BODY, "max_completion_tokens": 1}, ["fine"], ["max_tokens: 2 tokens given where 1 were allowed"]),
    "no log probabilities, plain": (plain(), {**SHORT_BODY, "logprobs": True}, ["fine"], ["logprobs: none given"]),
    "no usage, plain": (plain(usage=None), SHORT_BODY, ["fine"], []),
}


@pytest.mark.parametrize("name", HABITS)
def test_each_habit_gives_a_record_that_says_what_was_not_given(wire: Wire, name: str) -> None:
    answer, body, texts, unmet = HABITS[name]
    reply = wire.call(answer, body)
    assert reply.failure is None
    assert [one.text for one in reply.completions] == texts
    assert [one.unmet for one in reply.completions] == [unmet]
    assert reply.completions[0].repaired is ("\ufffd" in texts[0])


def test_the_first_token_is_timed_by_its_own_read() -> None:
    """The role comes at once and the first word later: only the word counts."""
    parts = (event(ROLE), *[b": wait\n\n"] * 50, event(chunk("a")), *[event(chunk("b"))] * 50, event(chunk(finish="stop")))

    async def call(url: str) -> Reply:
        async with Client(url, None, concurrency=1, loopback=True) as client:
            return await client.call(BODY, MESSAGES)

    with serving(lambda _: Answer(200, EVENTS, pieces=parts)) as endpoint:
        (one,) = asyncio.run(call(endpoint.url)).completions
    assert isinstance(one, Completion)
    assert one.time_to_first_token_s is not None
    assert 0.05 < one.time_to_first_token_s < one.latency_s - 0.05  # fifty pieces of 2 ms on each side of it
    assert json.loads(json.dumps(one.text)) == "a" + "b" * 50
