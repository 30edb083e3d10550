"""An odd field costs that field, never the answer: replies and streams in which one field holds any JSON value."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import stream

from evalkit.client.outcome import no_answer
from evalkit.client.stream import BrokenStreamError, decode, read_body

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["", "x", "no", "0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "value"]), inner, max_size=3),
    max_leaves=6,
)
TEXT = "The Loire runs to the sea."
REPLY: dict[str, Any] = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": TEXT, "refusal": None, "tool_calls": [], "reasoning": "hm", "annotations": []},
            "logprobs": {"content": [{"token": "The", "logprob": -0.1}]},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 0}},
    "system_fingerprint": "fp",
    "service_tier": None,
}
CHUNKS: list[dict[str, Any]] = [
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None, "logprobs": None}]},
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": "The Loire runs"}, "finish_reason": None}], "usage": None},
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {"content": " to the sea."}, "finish_reason": None}]},
    {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"id": "c1", "model": "m", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 6, "total_tokens": 9}},
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field within a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    at = value
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = new
    return value


def holds_text(path: tuple[Any, ...]) -> bool:
    """Whether the text itself is gone with what stands at the path."""
    return path in {(), ("choices",), ("choices", 0), ("choices", 0, "message"), ("choices", 0, "message", "content")}


@settings(max_examples=300)
@given(st.sampled_from([path for path in places(REPLY) if not holds_text(path)]), ANY)
def test_a_reply_with_one_odd_field_keeps_its_text(path: tuple[Any, ...], new: Any) -> None:
    found = read_body(json.dumps(replaced(REPLY, path, new)).encode())
    assert found is not None
    assert found.error is None
    assert [one.text for one in found.choices.values()] == [TEXT]


def keeps(number: int, path: tuple[Any, ...]) -> str:
    """What is left of the text where that field of that chunk is gone."""
    texts = ["", "The Loire runs", " to the sea.", "", ""]
    if path in {("choices",), ("choices", 0), ("choices", 0, "delta"), ("choices", 0, "delta", "content")}:
        texts[number] = ""
    return "".join(texts)


@settings(max_examples=300)
@given(st.sampled_from([(number, path) for number, one in enumerate(CHUNKS) for path in places(one)]), ANY)
def test_a_stream_with_one_odd_field_keeps_its_text(where: tuple[int, tuple[Any, ...]], new: Any) -> None:
    number, path = where
    chunks = [replaced(one, path, new) if at == number else one for at, one in enumerate(CHUNKS)]
    found = decode([stream(*chunks, "[DONE]")])
    assert found.error is None
    assert found.ended
    whole = "".join(one.text for one in found.choices.values())
    assert keeps(number, path) in (whole, whole.replace(str(new), ""), "") or all(part in whole for part in keeps(number, path).split("runs"))


@given(ANY)
def test_a_content_of_any_kind_is_read_or_costs_itself_alone(content: Any) -> None:
    found = read_body(json.dumps(replaced(REPLY, ("choices", 0, "message", "content"), content)).encode())
    assert found is not None
    (one,) = found.choices.values()
    assert one.finish_reason == "stop"
    assert one.reasoning is not None
    assert one.text == (content if isinstance(content, str) else one.text)


ODD_TEXTS: list[tuple[Any, str, str | None]] = [
    (6, "6", None),
    (False, "", None),
    ({"text": "a"}, "a", None),
    ({"type": "text", "text": {"value": "a"}}, "a", None),
    (["a", {"type": "text", "text": "b"}, {"type": "image_url"}], "ab", None),
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}], "a", "hm"),
    ([{"type": "reasoning", "text": "hm"}, {"text": "a"}], "a", "hm"),
]


@pytest.mark.parametrize(("content", "text", "reasoning"), ODD_TEXTS)
def test_text_in_odd_forms_is_found_in_a_reply_and_in_a_stream(content: Any, text: str, reasoning: str | None) -> None:
    body = json.dumps({"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}).encode()
    events = stream({"choices": [{"delta": {"content": content}}]}, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
    for found in (read_body(body), decode([events])):
        assert found is not None
        assert (found.choices[0].text, found.choices[0].reasoning) == (text, reasoning)


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    "calls",
    [
        [CALL | {"index": 0}, CALL | {"index": 0, "id": "b"}],
        [CALL, CALL | {"id": "b"}],
        [{"function": CALL["function"]}, {"function": CALL["function"]}],
        [{"index": 0, "function": CALL["function"]}, {"index": 0, "function": CALL["function"]}],
    ],
    ids=["one index, two ids", "no index", "nothing but functions", "one index, no ids"],
)
def test_two_calls_of_one_message_stay_two(calls: list[dict[str, Any]]) -> None:
    body = json.dumps({"choices": [{"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}]}).encode()
    found = read_body(body)
    assert found is not None
    assert [one["function"] for one in found.choices[0].tool_calls or ()] == [CALL["function"]] * 2


def piece(number: int, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": number, **more}]}}]}


@pytest.mark.parametrize(
    ("body", "kind", "fault", "certain"),
    [
        ({"statusCode": 429, "message": "Slow down."}, "rate_limited", "nobody", True),
        ({"statusCode": 402, "message": "No."}, "account", "account", True),
        ({"error": {"message": "No.", "statusCode": 401}}, "auth", "key", True),
        ({"message": "Too Many Requests"}, "rate_limited", "nobody", True),
        ({"error": "Rate limit is exceeded. Try again in 5 seconds."}, "rate_limited", "nobody", True),
        ({"detail": "Insufficient credits"}, "account", "account", False),
        ({"error": {"message": "Your balance is too low."}}, "account", "account", False),
        ({"error": {"message": "Backend worker lost"}}, "server", "nobody", True),
    ],
)
def test_an_error_in_a_200_is_read_by_its_words_where_no_field_tells(body: Any, kind: str, fault: str, certain: bool) -> None:
    found = no_answer(json.dumps(body).encode())
    assert (found.kind, found.fault, found.certain) == (kind, fault, certain)


def test_two_calls_of_a_stream_with_one_index_and_two_ids_stay_two() -> None:
    found = decode(
        [
            stream(
                piece(0, id="a", function={"name": "f", "arguments": "{"}),
                piece(0, function={"arguments": "}"}),
                piece(0, id="b", function={"name": "g", "arguments": ""}),
                piece(0, id="b", function={"arguments": "[]"}),
                {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
            )
        ]
    )
    assert [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in found.choices[0].tool_calls or ()] == [
        ("a", "f", "{}"),
        ("b", "g", "[]"),
    ]


LINES = ["a\u2028b", "a\u0085b", "a\x0bb", "a\x1cb", "\ufeffa", "a\u2029"]


@pytest.mark.parametrize("text", LINES)
@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\r\r"])
def test_only_carriage_returns_and_line_feeds_end_a_line(text: str, end: str) -> None:
    raw = stream({"choices": [{"index": 0, "delta": {"content": text}}]}, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, end=end)
    assert decode([raw]).choices[0].text == text


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"{}", b'{"choices": {}}', b'{"choices": [[]]}', b"\xff"])
def test_what_holds_no_answer_is_none(body: bytes) -> None:
    assert read_body(body) is None


def test_a_page_in_a_stream_is_no_chunk() -> None:
    with pytest.raises(BrokenStreamError):
        decode([b"data: <html>\n\n"])
