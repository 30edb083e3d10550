"""Event streams as real servers send them: whatever the shape and however the bytes are cut, one answer comes of it."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.streams import CALLS, ROLE, SHAPES, USAGE, chunk, stream

from evalkit.client.lenient import text_in
from evalkit.client.stream import BrokenStreamError, Whole, decode
from evalkit.store.records import Usage


def texts(whole: Whole) -> dict[int, str]:
    return {index: one.text for index, one in whole.choices.items()}


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


EVENTS = [
    *(f"data: {json.dumps(one)}\n\n" for one in (ROLE, chunk("a"), chunk("é\u2028"), chunk(reasoning="h"), chunk(finish="stop"), USAGE, *CALLS)),
    *(f"data:{json.dumps(one)} \n\n" for one in ({"error": {"message": "no"}}, {"message": "flat"}, {"choices": []}, {}, [], 5, None)),
    'data: {"choices": [{"index": 7, "text": "old", "usage": {"total_tokens": 3}}], "x_groq": {"usage": {"prompt_tokens": 1}}}\n\n',
    *(f'data: {{"choices": [{{"delta": {{"content": {one}}}}}]}}\n\n' for one in ('"\\ud83d"', "5", '[{"text": "b"}]', "null", '""', "NaN")),
    *("data: [DONE]\n\n", "data:[DONE]\n\n", "data:\n\n", "data: {\n\n", "data: }\n\n", 'data: "\n\n', "data: 1,2\n\n", ": ping\n\n", "id: 5\n"),
    *("event: error\ndata: {}\n\n", "data: {\ndata: }\n\n", "\n", "data: tail"),
]


@settings(max_examples=600)
@given(st.lists(st.sampled_from(EVENTS), max_size=6), st.integers(1, 2))
def test_a_stream_in_the_usual_form_is_read_as_any_other(events: list[str], choices: int) -> None:
    raw = "".join(events).encode()

    def read(bytes_: bytes) -> tuple[object, ...]:
        try:
            whole = decode([bytes_], choices)
        except BrokenStreamError as fault:
            return (str(fault),)
        return ([(at, vars(one)) for at, one in whole.choices.items()], *whole._replace(choices={}))

    assert read(raw) == read(b": a comment, which is not usual\n\n" + raw)


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
    assert whole.error == {"error": {"message": "overloaded", "code": 429}}
    assert not whole.ended


def test_half_a_character_is_replaced_and_told() -> None:
    whole = decode([b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":"stop"}]}\n\n'])
    assert whole.choices[0].text == "a\ufffd"
    assert whole.repaired


@pytest.mark.parametrize("body", ["{broken", "[1]", '"text"', "1,2"])
def test_an_event_that_is_no_chunk_is_refused_with_its_words(body: str) -> None:
    with pytest.raises(BrokenStreamError) as caught:
        decode([stream(chunk("a"), body, chunk("b"))])
    assert body[:5] in str(caught.value)


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_raise_anything_else(reads: list[bytes]) -> None:
    with suppress(BrokenStreamError):
        decode([b"data: " + one + b"\n\n" for one in reads])


def test_the_text_of_odd_contents() -> None:
    assert text_in(None) == ("", "")
    assert text_in("a") == ("a", "")
    assert text_in([{"text": "a"}, {"text": 1}, 5, {"text": "b"}]) == ("ab", "")
    assert text_in(6) == ("6", "")
    assert text_in(False) == ("", "")
    assert text_in({"parts": [{"text": "a"}]}) == ("a", "")
    assert text_in([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}]) == ("a", "hm")
