"""Event streams as real servers send them: whatever the shape and however the bytes are cut, one answer comes of it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.client.stream import BrokenStreamError, Streamed, decode, text_of
from evalkit.store.records import Usage


def chunk(content: Any = None, *, index: int = 0, finish: Any = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c1", "model": "m", "choices": [{"index": index, "delta": delta | more, "finish_reason": finish}]}


def event(body: Any, end: str = "\n\n") -> bytes:
    return f"data: {body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)}{end}".encode()


def stream(*bodies: Any, end: str = "\n\n") -> bytes:
    return b"".join(event(body, end) for body in bodies)


def texts(whole: Streamed) -> dict[int, str]:
    return {index: one.text for index, one in whole.choices.items()}


ROLE = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}
USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
SECOND = {"index": 1, "id": "call_2", "function": {"name": "stop", "arguments": "{}"}}
CALLS = [
    chunk(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": ""}}]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": '{"top'}}, SECOND]),
    chunk(tool_calls=[{"index": 0, "function": {"arguments": 'ic": "x"}'}}]),
    chunk(finish="tool_calls"),
]

# name: (bytes, texts by choice, finish reason of choice 0, ended)
SHAPES: dict[str, tuple[bytes, dict[int, str], str | None, bool]] = {
    "ordinary": (stream(ROLE, chunk("a "), chunk("b"), chunk(finish="stop"), "[DONE]"), {0: "a b"}, "stop", True),
    "no choices first": (stream({"choices": []}, chunk("a"), chunk(finish="stop"), "[DONE]"), {0: "a"}, "stop", True),
    "content null": (stream({"choices": [{"index": 0, "delta": {"content": None}}]}, chunk("a", finish="stop"), "[DONE]"), {0: "a"}, "stop", True),
    "a chunk without delta": (stream({"choices": [{"index": 0}]}, chunk("a"), chunk(finish="stop")), {0: "a"}, "stop", True),
    "usage last": (stream(chunk("a"), chunk(finish="stop"), USAGE, "[DONE]"), {0: "a"}, "stop", True),
    "usage with the finish": (stream(chunk("a"), chunk(finish="stop") | {"usage": USAGE["usage"]}, "[DONE]"), {0: "a"}, "stop", True),
    "usage on every chunk": (stream(*[one | {"usage": USAGE["usage"]} for one in (chunk("a"), chunk(finish="stop"))]), {0: "a"}, "stop", True),
    "text after the finish": (stream(chunk("a", finish="stop"), chunk("b"), "[DONE]"), {0: "ab"}, "stop", True),
    "no finish, but done": (stream(chunk("a"), "[DONE]"), {0: "a"}, None, True),
    "finish empty": (stream(chunk("a", finish=""), "[DONE]"), {0: "a"}, None, True),
    "finish eos": (stream(chunk("a"), chunk(finish="eos")), {0: "a"}, "eos", True),
    "neither finish nor done": (stream(chunk("a"), chunk("b")), {0: "ab"}, None, False),
    "no done": (stream(chunk("a"), chunk(finish="length")), {0: "a"}, "length", True),
    "comments": (b": keep-alive\n\n" + stream(chunk("a")) + b":\n: x\n\n" + stream(chunk(finish="stop"), "[DONE]"), {0: "a"}, "stop", True),
    "CRLF": (stream(chunk("a"), chunk(finish="stop"), "[DONE]", end="\r\n\r\n"), {0: "a"}, "stop", True),
    "CR": (stream(chunk("a"), chunk(finish="stop"), "[DONE]", end="\r\r"), {0: "a"}, "stop", True),
    "no space after data:": (stream(chunk("a"), chunk(finish="stop")).replace(b"data: ", b"data:"), {0: "a"}, "stop", True),
    "event and id lines": (b"event: message\nid: 7\nretry: 10\n" + stream(chunk("a", finish="stop")), {0: "a"}, "stop", True),
    "byte order mark": (b"\xef\xbb\xbf" + stream(chunk("a", finish="stop")), {0: "a"}, "stop", True),
    "last event without its end": (stream(chunk("a")) + event(chunk(finish="stop"), ""), {0: "a"}, "stop", True),
    "last event torn": (stream(chunk("a")) + event(chunk("b"))[:20], {0: "a"}, None, False),
    "two choices in turns": (
        stream(
            chunk("a", index=0), chunk("x", index=1), chunk("b", index=0), chunk("y", index=1), chunk(index=1, finish="stop"), chunk(finish="stop")
        ),
        {0: "ab", 1: "xy"},
        "stop",
        True,
    ),
    "one choice of two unfinished": (stream(chunk("a", finish="stop"), chunk("x", index=1)), {0: "a", 1: "x"}, "stop", False),
    "unknown fields": (stream(chunk("a", finish="stop") | {"obfuscation": "xx", "service_tier": None}), {0: "a"}, "stop", True),
    "content in parts": (stream(chunk([{"type": "text", "text": "a"}]), chunk(finish="stop")), {0: "a"}, "stop", True),
    "multi-byte characters": (stream(chunk("é😀"), chunk("한\u2028"), chunk(finish="stop")), {0: "é😀한\u2028"}, "stop", True),
    "tool calls": (stream(*CALLS, "[DONE]"), {0: ""}, "tool_calls", True),
    "reasoning only": (stream(chunk(reasoning_content="hm"), chunk(finish="length"), "[DONE]"), {0: ""}, "length", True),
    "null beside it": (stream(chunk("a", finish="stop"), "null", {"choices": None, "usage": None}), {0: "a"}, "stop", True),
    "odd things beside it": (stream(chunk("a", finish=5) | {"usage": "many", "model": 5}, chunk(finish="stop")), {0: "a"}, "stop", True),
    "nothing at all": (b"", {}, None, False),
    "done alone": (b"data: [DONE]\n\n", {}, None, True),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_shape_that_servers_send_gives_its_answer(name: str) -> None:
    raw, expected, finish, ended = SHAPES[name]
    whole = decode([raw])
    assert texts(whole) == expected
    assert whole.ended is ended
    if expected:
        assert whole.choices[0].finish_reason == finish


@settings(max_examples=300)
@given(st.sampled_from(sorted(SHAPES)), st.data())
def test_however_the_bytes_are_cut_the_answer_is_the_same(name: str, data: st.DataObject) -> None:
    raw = SHAPES[name][0]
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=12)))
    reads = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    one, other = decode([raw]), decode(reads)
    assert texts(one) == texts(other)
    assert [vars(choice) for choice in one.choices.values()] == [vars(choice) for choice in other.choices.values()]
    assert one._replace(choices={}, first=None) == other._replace(choices={}, first=None)


def test_byte_by_byte_the_first_token_is_the_read_that_completes_its_event() -> None:
    raw = stream(ROLE, chunk("a"), chunk("b"), chunk(finish="stop"))
    first = decode([raw[n : n + 1] for n in range(len(raw))]).first
    assert first is not None
    line_end = raw.index(b"\n", raw.index(b'"content": "a"'))
    assert first == line_end
    assert decode([raw]).first == 0
    assert decode([stream(ROLE, chunk(finish="stop"))]).first is None


def test_tool_calls_are_put_together_by_index() -> None:
    calls = decode([stream(*CALLS)]).choices[0].tool_calls
    assert calls == [
        {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": '{"topic": "x"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "stop", "arguments": "{}"}},
    ]


def test_usage_names_and_reasoning_are_taken_wherever_they_come() -> None:
    whole = decode([stream(chunk(reasoning="h"), chunk(reasoning_content="m"), chunk("a", finish="stop"), USAGE, {"system_fingerprint": "fp"})])
    assert whole.usage == Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    assert (whole.id, whole.model, whole.system_fingerprint) == ("c1", "m", "fp")
    assert whole.choices[0].reasoning == "hm"


def test_log_probabilities_are_joined() -> None:
    one = chunk("a")
    one["choices"][0]["logprobs"] = {"content": [{"token": "a", "logprob": -0.5}]}
    assert decode([stream(one, one)]).choices[0].logprobs == [{"token": "a", "logprob": -0.5}] * 2


def test_an_error_in_mid_stream_is_told_not_taken_for_text() -> None:
    whole = decode([stream(chunk("a"), {"error": {"message": "overloaded", "code": 429}})])
    assert whole.error == {"message": "overloaded", "code": 429}
    assert not whole.ended


def test_half_a_character_is_replaced_and_told() -> None:
    whole = decode([b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":"stop"}]}\n\n'])
    assert whole.choices[0].text == "a\ufffd"
    assert whole.repaired


@pytest.mark.parametrize("body", ["{broken", "[1]", '"text"', '{"choices": 5}', "1,2", '{"choices": [{"index": "x"}]}'])
def test_an_event_that_is_no_chunk_is_refused_with_its_words(body: str) -> None:
    with pytest.raises(BrokenStreamError) as caught:
        decode([stream(chunk("a"), body, chunk("b"))])
    assert body[:5] in str(caught.value)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_raise_anything_else(reads: list[bytes]) -> None:
    with suppress(BrokenStreamError):
        decode([b"data: " + one + b"\n\n" for one in reads])


def test_the_text_of_odd_contents() -> None:
    assert text_of(None) == ""
    assert text_of("a") == "a"
    assert text_of([{"text": "a"}, {"text": 1}, 5, {"text": "b"}]) == "ab"
