"""The chat completions API, dict in and dict out: what it answers, and in which words it refuses."""

from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import BODY, api, in_child, real_model, say, streamed_texts

from evalkit.local.api import CONTEXT_WINDOW, Api, ApiError
from evalkit.local.model import tokenize


def refused(**changes):
    """The error that `BODY` with `changes` gets; what is None is left out."""
    with pytest.raises(ApiError) as caught:
        api().chat({name: value for name, value in {**BODY, **changes}.items() if value is not None})
    _has_the_form_of_openai(caught.value)
    return caught.value.status, caught.value.body["error"]


def _has_the_form_of_openai(error):
    assert list(error.body) == ["error"]
    inner = error.body["error"]
    assert list(inner) == ["message", "type", "param", "code"]
    assert isinstance(inner["message"], str)
    assert inner["message"]
    assert inner["type"] == ("invalid_request_error" if error.status < 500 else "server_error")
    assert all(value is None or isinstance(value, str) for value in (inner["param"], inner["code"]))
    json.dumps(error.body, ensure_ascii=False, allow_nan=False).encode()


def user(text):
    return {"role": "user", "content": text}


# What is refused


RANGES = {
    "temperature": ("decimal", 0, 2),
    "top_p": ("decimal", 0, 1),
    "frequency_penalty": ("decimal", -2, 2),
    "presence_penalty": ("decimal", -2, 2),
    "max_tokens": ("integer", 1, None),
    "max_completion_tokens": ("integer", 1, None),
    "n": ("integer", 1, 128),
    "seed": ("integer", -(2**63), 2**64 - 1),
}


@pytest.mark.parametrize("name", RANGES)
def test_numbers_out_of_range_are_refused_and_the_ends_are_not(name):
    kind, low, high = RANGES[name]
    below = low - (1 if kind == "integer" else 0.01)
    assert refused(**{name: below}) == (
        400,
        {
            "message": f"Invalid '{name}': {kind} below minimum value. Expected a value >= {low}, but got {below} instead.",
            "type": "invalid_request_error",
            "param": name,
            "code": f"{kind}_below_min_value",
        },
    )
    api().chat({**BODY, name: low})
    if high is not None:
        above = high + (1 if kind == "integer" else 0.01)
        status, error = refused(**{name: above})
        assert (status, error["param"], error["code"]) == (400, name, f"{kind}_above_max_value")
        assert error["message"].endswith(f"Expected a value <= {high}, but got {above} instead.")
        api().chat({**BODY, name: high})


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "a boolean"),
        (False, "a boolean"),
        ("1", "a string"),
        ([1], "an array"),
        ([], "an empty array"),
        ({}, "an object"),
        (math.nan, "no finite number"),
        (math.inf, "no finite number"),
        (-math.inf, "no finite number"),
    ],
)
def test_what_is_no_number_is_refused(name, value, said):
    status, error = refused(**{name: value})
    expected = "an integer" if RANGES[name][0] == "integer" else "a number"
    assert status == 400
    assert error["message"] == f"Invalid type for '{name}': expected {expected}, but got {said} instead."
    assert (error["param"], error["code"]) == (name, "invalid_type")


@pytest.mark.parametrize("name", [name for name in RANGES if RANGES[name][0] == "integer"])
def test_integers_may_be_written_as_decimals_only_where_they_are_whole(name):
    assert refused(**{name: 1.5})[1]["code"] == "invalid_type"
    assert api().chat({**BODY, name: 2.0}) == api().chat({**BODY, name: 2})


@pytest.mark.parametrize("value", [10**40, -(10**40), 10**400, -(10**400), 10**5000, -(10**5000)], ids=lambda value: f"{value.bit_length()} bits")
@pytest.mark.parametrize("name", RANGES)
def test_huge_integers_are_refused_or_cut_to_the_room_there_is(name, value):
    if value > 0 and RANGES[name][2] is None:
        assert api().chat({**BODY, name: value}).limit < CONTEXT_WINDOW
    else:
        status, error = refused(**{name: value})
        assert (status, error["param"]) == (400, name)
        assert error["message"].endswith("but got one of more than 30 digits instead.")


def test_an_unknown_model_is_not_found():
    status, error = refused(model="gpt-4o")
    assert status == 404
    assert error == {
        "message": "The model 'gpt-4o' does not exist. This endpoint serves: babbler.",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_a_request_without_a_model_is_refused():
    status, error = refused(model=None)
    assert (status, error["param"], error["code"]) == (400, "model", "missing_required_parameter")
    assert refused(model=7)[1]["code"] == "invalid_type"


@pytest.mark.parametrize("name", ["temprature", "top_k", "min_p", "best_of", ""])
def test_an_unknown_parameter_is_refused_by_name(name):
    status, error = refused(**{name: 1})
    assert status == 400
    assert error["message"] == f"Unrecognized request argument supplied: {name}"
    assert (error["param"], error["code"]) == (name, "unknown_parameter")


@pytest.mark.parametrize(("name", "value"), [("reasoning_effort", "low"), ("store", True), ("prediction", {"type": "content", "content": "a"})])
def test_what_the_model_cannot_do_is_refused_by_name(name, value):
    status, error = refused(**{name: value})
    assert (status, error["param"], error["code"]) == (400, name, "unsupported_parameter")


@pytest.mark.parametrize(("name", "value"), [("logprobs", False), ("response_format", {"type": "text"}), ("store", False), ("user", "somebody")])
def test_what_asks_for_nothing_is_taken(name, value):
    assert api().chat({**BODY, name: value}) == api().chat(BODY)


@pytest.mark.parametrize("name", [*RANGES, "stop", "stream", "stream_options", "logit_bias", "user", "tools", "logprobs", "no_such_thing"])
def test_null_is_as_good_as_left_out(name):
    assert api().chat({**BODY, name: None}) == api().chat(BODY)


@pytest.mark.parametrize("body", [None, [], "text", 1, True, 1.5, [BODY]])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(ApiError, match="must be a JSON object") as caught:
        api().chat(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        (None, "messages", "missing_required_parameter"),
        ([], "messages", "invalid_type"),
        ("hello", "messages", "invalid_type"),
        ({"role": "user", "content": "hello"}, "messages", "invalid_type"),
        (["hello"], "messages[0]", "invalid_type"),
        ([user("a"), None], "messages[1]", "invalid_type"),
        ([{"content": "a"}], "messages[0].role", "invalid_type"),
        ([{"role": ["user"], "content": "a"}], "messages[0].role", "invalid_type"),
        ([{"role": {}, "content": "a"}], "messages[0].role", "invalid_type"),
        ([{"role": 1, "content": "a"}], "messages[0].role", "invalid_type"),
        ([{"role": "user"}], "messages[0].content", "invalid_type"),
        ([user(None)], "messages[0].content", "invalid_type"),
        ([user(3)], "messages[0].content", "invalid_type"),
        ([user({"text": "a"})], "messages[0].content", "invalid_type"),
        ([user(["a"])], "messages[0].content", "invalid_type"),
        ([user([{"type": "image_url", "image_url": {"url": "x"}}])], "messages[0].content", "invalid_type"),
        ([user([{"type": "text", "text": 5}])], "messages[0].content", "invalid_type"),
        ([{"role": "assistant", "content": None}], "messages[0].content", "invalid_type"),
        ([{"role": "assistant", "tool_calls": "call"}], "messages[0].tool_calls", "invalid_type"),
        ([{"role": "user", "content": "a", "tool_calls": [{"id": "1"}]}], "messages[0].tool_calls", "invalid_type"),
    ],
)
def test_bad_messages_are_refused_where_they_are_bad(messages, param, code):
    status, error = refused(messages=messages)
    assert (status, error["param"], error["code"]) == (400, param, code)


def test_an_unknown_role_is_refused_with_those_that_are_known():
    status, error = refused(messages=[{"role": "robot", "content": "a"}])
    assert (status, error["param"]) == (400, "messages[0].role")
    assert error["message"] == "Invalid value: 'robot'. Supported values are: 'system', 'developer', 'assistant', 'user', and 'tool'."


def test_text_parts_are_read_as_text():
    parts = [{"type": "text", "text": "What is a slice?"}, {"type": "text", "text": "And a list?"}]
    assert api().chat({**BODY, "messages": [user(parts)]}).queries == (("What is a slice?\nAnd a list?", 1.0),)


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}


def test_a_tool_message_answers_a_call_before_it():
    result = {"role": "tool", "tool_call_id": "call_1", "content": "A slice is a list."}
    chat = api().chat({**BODY, "messages": [user("What is a slice?"), CALL, result]})
    assert chat.queries == (("What is a slice?", 1.0), ("", 0.4), ("A slice is a list.", 0.7))
    for messages in (
        [user("a"), result],
        [user("a"), result, CALL],
        [user("a"), CALL, {**result, "tool_call_id": "call_2"}],
        [user("a"), CALL, {"role": "tool", "content": "a"}],
        [user("a"), CALL, {**result, "tool_call_id": ["call_1"]}],
        [user("a"), {**CALL, "tool_calls": [{"id": None}, {}, "x", {"id": ["call_1"]}]}, {**result, "tool_call_id": "None"}],
    ):
        status, error = refused(messages=messages)
        assert status == 400
        assert "must be a response to a preceding message with 'tool_calls'" in error["message"]
        assert re.fullmatch(r"messages\[\d\]\.role", error["param"])


def test_the_last_question_counts_most():
    messages = [
        {"role": "system", "content": "s"},
        user("u"),
        {"role": "assistant", "content": "a"},
        user("v"),
        {"role": "assistant", "content": "w"},
    ]
    assert [weight for _, weight in api().chat({**BODY, "messages": messages}).queries] == [0.3, 0.5, 0.4, 1.0, 0.4]


@pytest.mark.parametrize("stop", [5, True, {}, [5], [""], "", ["a", None], [["a"]]])
def test_bad_stops_are_refused(stop):
    status, error = refused(stop=stop)
    assert (status, error["param"], error["code"]) == (400, "stop", "invalid_type")


def test_four_stops_are_taken_and_five_are_not():
    assert api().chat({**BODY, "stop": list("abcd")}).stop == tuple("abcd")
    assert api().chat({**BODY, "stop": "abcde"}).stop == ("abcde",)
    assert refused(stop=list("abcde"))[1]["code"] == "array_above_max_length"


@pytest.mark.parametrize(
    "bias",
    [
        [1],
        "1",
        {"1": True},
        {"1": "2"},
        {"1": None},
        {"1": 101},
        {"1": -100.5},
        {"1": math.nan},
        {"1": 10**400},
        {"-1": 1},
        {"1.0": 1},
        {" 1": 1},
        {"x": 1},
        {"": 1},
        {"²": 1},
        {"1000000000": 1},
        {"9" * 5000: 1},
        {"\ud800": 1},
    ],
    ids=lambda bias: ascii(bias)[:20],
)
def test_bad_biases_are_refused(bias):
    status, error = refused(logit_bias=bias)
    assert (status, error["param"]) == (400, "logit_bias")


def test_biases_are_taken_for_every_token_and_for_no_other():
    size = len(real_model().vocabulary)
    assert api().chat({**BODY, "logit_bias": {"0": -100, str(size - 1): 2.5}}).settings.logit_bias == {0: -100.0, size - 1: 2.5}
    assert f"from 0 to {size - 1}" in refused(logit_bias={str(size): 1})[1]["message"]


@pytest.mark.parametrize(("name", "value"), [("stream", 1), ("stream", "true"), ("stream_options", []), ("stream_options", True)])
def test_switches_are_booleans_and_options_an_object(name, value):
    assert refused(**{name: value})[1]["code"] == "invalid_type"


def test_stream_options_want_a_stream():
    assert refused(stream_options={"include_usage": True})[1]["param"] == "stream_options"
    assert refused(stream=True, stream_options={"include_usage": 1})[1]["param"] == "stream_options.include_usage"
    assert api().chat({**BODY, "stream": True, "stream_options": {"include_usage": True}}).include_usage


def test_a_prompt_that_fills_the_context_is_refused():
    fits = api().chat({**BODY, "messages": [user("a " * (CONTEXT_WINDOW - 1))]})
    assert (fits.prompt_tokens, fits.limit) == (CONTEXT_WINDOW - 1, 1)
    status, error = refused(messages=[user("a " * CONTEXT_WINDOW)])
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "messages")


def test_what_utf8_cannot_hold_is_escaped_in_errors():
    assert refused(model="\ud83d")[1]["message"].startswith("The model '\\ud83d' does not exist.")
    assert refused(**{"\udc00": 1})[1]["param"] == "\\udc00"
    assert "\\ud800" in refused(messages=[{"role": "\ud800", "content": "a"}])[1]["message"]


# Any body at all


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**6000), 10**6000)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["user", "tool", "assistant", "text", "call_1", "babbler"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "id", "0", "7"]) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)
messages = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["system", "user", "assistant", "tool"]) | anything,
            "content": st.text(max_size=20) | anything,
            "tool_calls": st.lists(st.fixed_dictionaries({"id": anything})) | anything,
            "tool_call_id": anything,
        },
    )
    | anything,
    max_size=3,
)
names = st.sampled_from(
    [*RANGES, "stop", "stream", "stream_options", "logit_bias", "user", "logprobs", "tools", "response_format", "tool_choice", "store"]
)
spoilt = st.builds(
    lambda changes, talk: {**BODY, **changes, **({"messages": talk} if talk is not None else {})},
    st.dictionaries(names, anything | st.integers(-3, 3) | st.floats(-3, 3), max_size=3),
    st.none() | messages,
)


def _taken_or_refused(body):
    try:
        return api().chat(body)
    except ApiError as error:
        return error


@settings(max_examples=600)
@given(anything | st.dictionaries(names | st.just("model") | st.just("messages"), anything, max_size=4) | spoilt)
def test_no_body_gets_anything_but_an_answer_or_an_api_error(body):
    chat = _taken_or_refused(body)
    if isinstance(chat, ApiError):
        assert 400 <= chat.status < 500
        _has_the_form_of_openai(chat)
        return
    short = chat._replace(limit=min(chat.limit, 3), choices=min(chat.choices, 2))
    answers = api().answers(short)
    texts = ["".join(answer) for answer in answers]
    json.dumps(api().completion(short, answers, texts), allow_nan=False).encode()


# What is answered


def test_a_plain_answer_has_the_form_of_openai():
    texts, answer = say({**BODY, "seed": 5, "max_tokens": 20, "n": 2})
    assert list(answer) == ["id", "object", "created", "model", "system_fingerprint", "choices", "usage"]
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "babbler"
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", answer["id"])
    assert re.fullmatch(r"fp_[0-9a-f]{12}", answer["system_fingerprint"])
    assert [choice["index"] for choice in answer["choices"]] == [0, 1]
    for choice, text in zip(answer["choices"], texts, strict=True):
        assert choice["message"] == {"role": "assistant", "content": text, "refusal": None}
        assert choice["finish_reason"] in ("stop", "length")
        assert choice["logprobs"] is None


def test_usage_counts_the_tokens_of_prompt_and_answers():
    talk = [{"role": "system", "content": "Be brief."}, user("What is a list?")]
    body = {**BODY, "messages": talk, "n": 3, "max_tokens": 30, "seed": 1}
    assert len(tokenize("Be brief.")) + len(tokenize("What is a list?")) == 8
    assert say({**body, "logit_bias": {"0": -100}})[1]["usage"] == {"prompt_tokens": 8, "completion_tokens": 90, "total_tokens": 98}
    usage = say({**body, "stop": ","})[1]["usage"]
    shown = [chunk for chunk in streamed({**body, "stop": ","}) if chunk["choices"][0]["delta"].get("content")]
    ends = [chunk["choices"][0]["finish_reason"] for chunk in streamed({**body, "stop": ","})].count("stop")
    assert usage == {"prompt_tokens": 8, "completion_tokens": len(shown) + ends, "total_tokens": 8 + len(shown) + ends}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_is_exact_and_said(name):
    _, answer = say({**BODY, name: 7, "seed": 1, "logit_bias": {"0": -100}})
    assert answer["usage"]["completion_tokens"] == 7
    assert answer["choices"][0]["finish_reason"] == "length"


def test_of_two_limits_the_newer_name_counts():
    assert api().chat({**BODY, "max_tokens": 5, "max_completion_tokens": 9}).limit == 9


def test_choices_differ_and_do_not_depend_on_how_many_there_are():
    many, _ = say({**BODY, "n": 5, "seed": 3, "max_tokens": 40})
    assert len(set(many)) == 5
    few, _ = say({**BODY, "n": 2, "seed": 3, "max_tokens": 40})
    assert few == many[:2]


def test_a_seed_gives_the_same_text_and_none_another():
    body = {**BODY, "max_tokens": 40}
    assert say({**body, "seed": 9})[0] == say({**body, "seed": 9})[0]
    assert say({**body, "seed": 9})[0] != say({**body, "seed": 10})[0]
    assert say(body)[0] != say(body)[0]
    assert say({**body, "seed": -1})[0] != say({**body, "seed": 1})[0]


def test_what_was_asked_before_does_not_change_an_answer():
    body = {**BODY, "max_tokens": 30, "seed": 2}
    before, _ = say(body)
    for number in range(40):
        say({**BODY, "messages": [user(f"What is number {number} of a list?")], "max_tokens": 3, "temperature": 0.2 + number / 40})
    assert say(body)[0] == before


SEEDED = """
import json
from evalkit.local.api import Api
from evalkit.local.corpus import sections
from evalkit.local.model import Model
api = Api(Model(sections()))
said = [api.fingerprint]
for settings in ({}, {"temperature": 0}, {"temperature": 1.7, "top_p": 0.9}, {"frequency_penalty": 1}, {"logit_bias": {"5": 3}, "n": 3}):
    body = {"model": "babbler", "messages": [{"role": "user", "content": "How do lists and sets differ?"}], "seed": 11, "max_tokens": 60}
    said.append(["".join(answer) for answer in api.answers(api.chat({**body, **settings}))])
print(json.dumps(said))
"""


def test_a_seed_gives_the_same_text_in_every_process_whatever_its_hash_seed():
    said = {in_child(SEEDED, hash_seed=seed) for seed in ("0", "1", "4711", "random")}
    assert len(said) == 1
    fingerprint, *texts = json.loads(said.pop())
    assert fingerprint == api().fingerprint
    assert all(text for texts_ in texts for text in texts_)


def test_temperature_zero_needs_no_seed():
    body = {**BODY, "temperature": 0, "max_tokens": 50, "n": 3}
    assert len(set(say(body)[0] + say({**body, "top_p": 0.1})[0] + say({**body, "seed": 4})[0])) == 1


def test_biases_ban_and_force_tokens():
    the = real_model().ids(" the")[0]
    free, _ = say({**BODY, "n": 10, "max_tokens": 60, "seed": 1})
    assert any(" the" in tokenize(text) for text in free)
    banned, _ = say({**BODY, "n": 10, "max_tokens": 60, "seed": 1, "logit_bias": {str(the): -100}})
    assert not any(" the" in tokenize(text) for text in banned)
    forced, _ = say({**BODY, "max_tokens": 5, "logit_bias": {str(the): 100}})
    assert forced == [" the the the the the"]


def test_penalties_thin_out_repeats():
    def repeats(**changes):
        texts, _ = say({**BODY, "n": 8, "max_tokens": 100, "seed": 1, "logit_bias": {"0": -100}, **changes})
        return sum(len(tokenize(text)) - len(set(tokenize(text))) for text in texts)

    assert repeats(frequency_penalty=2, presence_penalty=2) < 0.7 * repeats() < 0.7 * repeats(frequency_penalty=-2)


def test_a_stop_cuts_the_answer_and_is_not_part_of_it():
    whole, _ = say({**BODY, "seed": 1, "n": 10, "max_tokens": 60})
    cut, answer = say({**BODY, "seed": 1, "n": 10, "max_tokens": 60, "stop": [".", " the"]})
    assert cut == [re.split(r"\.| the", text)[0] for text in whole]
    assert {choice["finish_reason"] for choice in answer["choices"]} >= {"stop"}


def test_remembered_prompts_are_limited():
    own = Api(real_model())
    for number in range(50):
        own.answers(own.chat({**BODY, "messages": [user(f"What is {number}?")]}))
    assert len(own._remembered) == 32


# Streams


def streamed(body):
    chat = api().chat({**body, "stream": True})
    answers = api().answers(chat)
    return [chunk for chunk in api().chunks(chat, answers) if chunk is not None]


@pytest.mark.parametrize(
    "changes",
    [{}, {"n": 3}, {"stop": [" the", "."]}, {"temperature": 0}, {"stop": ["zzz", "o"], "n": 2}, {"max_tokens": 1}, {"logit_bias": {"0": 100}}],
    ids=str,
)
def test_the_chunks_of_a_stream_make_up_the_plain_answer(changes):
    body = {**BODY, "seed": 21, "max_tokens": 50, **changes}
    texts, plain = say(body)
    chunks = streamed(body)
    assert streamed_texts(chunks) == dict(enumerate(texts))
    ends = {choice["index"]: choice["finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]}
    assert ends == {choice["index"]: choice["finish_reason"] for choice in plain["choices"]}


def test_a_stream_has_the_form_of_openai():
    chunks = streamed({**BODY, "seed": 2, "max_tokens": 10, "n": 2})
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["system_fingerprint"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(len(chunk["choices"]) == 1 and "usage" not in chunk for chunk in chunks)
    for index in (0, 1):
        own = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
        assert own[-1]["delta"] == {}
        assert own[-1]["finish_reason"] in ("stop", "length")
        assert all(choice["finish_reason"] is None and choice["delta"]["content"] for choice in own[1:-1])


def test_choices_take_turns_in_a_stream():
    chunks = streamed({**BODY, "seed": 2, "max_tokens": 10, "n": 3, "logit_bias": {"0": -100}})
    order = [chunk["choices"][0]["index"] for chunk in chunks]
    assert order == [0, 1, 2] * 12


def test_usage_comes_last_where_it_is_asked_for():
    body = {**BODY, "seed": 2, "max_tokens": 10, "n": 2}
    _, plain = say(body)
    *chunks, last = streamed({**body, "stream_options": {"include_usage": True}})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == plain["usage"]
    assert streamed({**body, "stream_options": {"include_usage": False}})[-1]["choices"]


# Models


def test_models_are_listed_by_every_name():
    both = api("alfred-4", "babbler", "alfred-4")
    listed = both.models()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]][:2] == ["babbler", "alfred-4"]
    assert all(model["object"] == "model" and isinstance(model["created"], int) and model["owned_by"] for model in listed["data"])
    assert both.model("alfred-4") == listed["data"][1]
    with pytest.raises(ApiError) as caught:
        both.model("alfred-5")
    assert (caught.value.status, caught.value.body["error"]["code"]) == (404, "model_not_found")


def test_a_model_answers_by_the_name_it_was_asked_by():
    both = api("alfred-4")
    chat = both.chat({**BODY, "model": "alfred-4", "max_tokens": 3})
    answers = both.answers(chat)
    assert both.completion(chat, answers, ["".join(answer) for answer in answers])["model"] == "alfred-4"
