"""Event streams as real servers send them, each with what comes of it."""

from __future__ import annotations

import json
from typing import Any


def chunk(content: Any = None, *, index: int = 0, finish: Any = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c1", "model": "m", "choices": [{"index": index, "delta": delta | more, "finish_reason": finish}]}


def event(body: Any, end: str = "\n\n") -> bytes:
    return f"data: {body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)}{end}".encode()


def stream(*bodies: Any, end: str = "\n\n") -> bytes:
    return b"".join(event(body, end) for body in bodies)


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
