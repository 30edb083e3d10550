"""Calls of functions and JSON answers: valid under their schemas by an independent validator, and in the form of OpenAI."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import BODY, Served, api, say

from evalkit.local.errors import ApiError
from evalkit.local.model import pieces, tokenize

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather at a place in the coming days.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 14},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["place", "days"],
            "additionalProperties": False,
        },
    },
}
EMAIL = {
    "type": "function",
    "function": {
        "name": "sendEmail",
        "description": "Writes to somebody.",
        "parameters": {"type": "object", "properties": {"to": {"type": "string", "format": "email"}}, "required": ["to"]},
    },
}
TREE = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["name", "children"],
    "additionalProperties": False,
}
CHAIN = {
    "type": "object",
    "properties": {"value": {"type": "number"}, "next": {"anyOf": [{"$ref": "#/$defs/chain"}, {"type": "null"}]}},
    "required": ["value", "next"],
}
DEFS = {"tree": TREE, "chain": CHAIN}


def user(text):
    return [{"role": "user", "content": text}]


def function(parameters, name="f"):
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def choice(**changes):
    return say({**BODY, "seed": 1, **changes})[1]["choices"][0]


def calls(**changes):
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in choice(**changes)["message"].get("tool_calls", ())]


def arguments(schema, **changes):
    [(_, value)] = calls(tools=[function(schema)], tool_choice="required", **changes)
    return value


def refused(**changes):
    with pytest.raises(ApiError) as caught:
        api().answers(api().chat({**BODY, **changes}))
    assert caught.value.status == 400
    return caught.value.body["error"]


# Values under schemas


def bounded(draw, low_name, high_name, values):
    low, high = sorted((draw(values), draw(values)))
    return draw(st.sampled_from([{}, {low_name: low}, {high_name: high}, {low_name: low, high_name: high}]))


@st.composite
def strings(draw):
    return {"type": "string"} | bounded(draw, "minLength", "maxLength", st.integers(0, 40))


@st.composite
def integers(draw):
    schema = {"type": "integer"} | bounded(draw, "minimum", "maximum", st.integers(-(10**20), 10**20) | st.integers(-3, 3))
    if "minimum" in schema and draw(st.booleans()):
        schema["exclusiveMinimum"] = schema.pop("minimum") - 1
    if "maximum" in schema and draw(st.booleans()):
        schema["exclusiveMaximum"] = schema.pop("maximum") + 0.5
    return schema


@st.composite
def decimals(draw):
    schema = {"type": "number"} | bounded(draw, "minimum", "maximum", st.floats(-1e300, 1e300) | st.integers(-3, 3))
    if schema.get("minimum", 0) < schema.get("maximum", 1) - 1 and draw(st.booleans()):
        schema = {{"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}.get(name, name): value for name, value in schema.items()}
    return schema


literals = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, "a", "", "é", '"', "\ud800", "\n"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)
names = st.sampled_from(["place", "days", "a b", "ß", "\ud83d", "$ref", "type", "enum", ""])


@st.composite
def arrays(draw, inner):
    return {"type": "array", "items": draw(inner)} | bounded(draw, "minItems", "maxItems", st.integers(0, 4))


@st.composite
def objects(draw, inner):
    properties = draw(st.dictionaries(names, inner, max_size=4))
    schema = {"type": "object", "properties": properties, "required": draw(st.lists(st.sampled_from([*properties, "x"]), unique=True, max_size=3))}
    rest = draw(st.sampled_from([None, True, False, {"type": "integer"}]))
    if rest is not None:
        schema["additionalProperties"] = rest
    if rest is False:
        schema["required"] = [name for name in schema["required"] if name in properties]
    return schema


schemas = st.recursive(
    strings()
    | integers()
    | decimals()
    | st.sampled_from(
        [{}, True, {"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"$ref": "#/$defs/tree"}, {"$ref": "#/$defs/chain"}]
    )
    | st.builds(lambda values: {"enum": values}, st.lists(literals, min_size=1, max_size=4))
    | st.builds(lambda value: {"const": value}, literals),
    lambda inner: arrays(inner) | objects(inner) | st.builds(lambda some: {"anyOf": some}, st.lists(inner, min_size=1, max_size=3)),
    max_leaves=8,
)


def valid(schema, value):
    return not list(jsonschema.Draft202012Validator(schema).iter_errors(value))


@settings(max_examples=300, deadline=None)
@given(objects(schemas), st.integers(0, 99), st.sampled_from([0, 0.7, 1.5]))
def test_arguments_are_valid_under_any_schema_that_something_fits(schema, seed, temperature):
    schema = {**schema, "$defs": DEFS}
    assert valid(schema, arguments(schema, seed=seed, temperature=temperature))


@pytest.mark.parametrize(
    "bounds",
    [
        {"exclusiveMinimum": -1.1529215046068472e18},
        {"exclusiveMinimum": 1e300},
        {"exclusiveMaximum": -1e300},
        {"minimum": -1e300, "maximum": 1e300},
        {"exclusiveMinimum": 0, "exclusiveMaximum": 5e-324 * 2},
        {"exclusiveMinimum": 1e18, "maximum": 1e18 + 128},
    ],
)
def test_a_number_is_found_at_the_edges_of_what_a_float_can_be(bounds):
    schema = {"type": "object", "properties": {"x": {"type": "number", **bounds}}, "required": ["x"]}
    assert valid(schema, arguments(schema, seed=0, temperature=0))


@settings(max_examples=150, deadline=None)
@given(schemas, st.integers(0, 99))
def test_so_is_the_content_of_a_json_answer(schema, seed):
    schema = {**schema, "$defs": DEFS} if isinstance(schema, dict) else {"anyOf": [schema]}
    message = choice(seed=seed, response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": schema}})["message"]
    assert valid(schema, json.loads(message["content"]))


@st.composite
def tangles(draw):
    """Schemas that may contradict themselves: every keyword beside every other."""
    parts = draw(st.lists(schemas, min_size=1, max_size=3))
    merged = {}
    for part in parts:
        merged |= part if isinstance(part, dict) else {}
    if draw(st.booleans()):
        merged["anyOf"] = draw(st.lists(schemas | st.just(False), min_size=1, max_size=3))
    return {"$defs": DEFS, **merged}


@settings(max_examples=300, deadline=None)
@given(tangles(), st.integers(0, 9))
def test_what_contradicts_itself_is_refused_and_never_answered_wrongly(schema, seed):
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    message, refusal = None, None
    try:
        message = choice(seed=seed, response_format=wanted)["message"]
    except ApiError as error:
        refusal = error
    if refusal:
        assert refusal.status == 400
        assert re.search("no value|over 20000 parts", str(refusal))
    else:
        assert valid(schema, json.loads(message["content"]))


def test_keywords_beside_alternatives_and_references_count():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/short", "minLength": 3}, "c": {"type": "number"}},
        "required": ["b"],
        "anyOf": [{"required": ["a"]}, {"required": ["c"], "properties": {"c": {"enum": [7, "seven"]}}}],
        "additionalProperties": False,
        "$defs": {"short": {"type": "string", "maxLength": 5}},
    }
    seen = set()
    for seed in range(30):
        value = arguments(schema, seed=seed)
        assert valid(schema, value)
        seen |= set(value)
    assert seen == {"a", "b", "c"}


def test_recursion_ends():
    for defined in DEFS:
        for seed in range(20):
            value = arguments({"type": "object", "properties": {"x": {"$ref": f"#/$defs/{defined}"}}, "required": ["x"], "$defs": DEFS}, seed=seed)
            assert json.dumps(value).count("{") < 2000
    pairs = {f"l{n}": {"type": "array", "items": {"$ref": f"#/$defs/l{n + 1}"}, "minItems": 10} for n in range(9)} | {"l9": {"type": "string"}}
    error = refused(
        tools=[function({"type": "object", "properties": {"x": {"$ref": "#/$defs/l0"}}, "required": ["x"], "$defs": pairs})], tool_choice="required"
    )
    assert "over 20000 parts" in error["message"]


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"type": "string", "pattern": "^a"}, "'pattern' is not supported"),
        ({"oneOf": [{}]}, "'oneOf' is not supported"),
        ({"allOf": [{}]}, "'allOf' is not supported"),
        ({"not": {}}, "'not' is not supported"),
        ({"if": {}}, "'if' is not supported"),
        ({"type": "number", "multipleOf": 2}, "'multipleOf' is not supported"),
        ({"type": "array", "uniqueItems": True}, "'uniqueItems' is not supported"),
        ({"type": "array", "prefixItems": []}, "'prefixItems' is not supported"),
        ({"patternProperties": {}}, "'patternProperties' is not supported"),
        ({"\ud800": 1}, "'\\ud800' is not supported"),
        ({"type": "string", "format": "regex"}, "expected one of date"),
        ({"type": "text"}, "expected one of object"),
        ({"type": []}, "expected one of object"),
        ({"type": ["string", ["null"]]}, "expected one of object"),
        ({"enum": []}, "expected an array of values"),
        ({"enum": "a"}, "expected an array of values"),
        ({"const": float("inf")}, "expected a value"),
        ({"minimum": "1"}, "expected a number"),
        ({"minimum": True}, "expected a number"),
        ({"minimum": float("nan")}, "expected a number"),
        ({"maximum": 10**400}, "expected a number"),
        ({"minLength": -1}, "expected a whole number"),
        ({"minLength": 1.5}, "expected a whole number"),
        ({"properties": []}, "expected an object"),
        ({"properties": {"a": 1}}, "a schema must be an object or a boolean"),
        ({"items": [{}]}, "a schema must be an object or a boolean"),
        ({"anyOf": []}, "expected an array of schemas"),
        ({"required": "a"}, "expected an array of strings"),
        ({"required": [1]}, "expected an array of strings"),
        ({"$ref": "http://example.com"}, "expected a reference within the schema"),
        ({"$ref": "#name"}, "expected a reference within the schema"),
        ({"$ref": 1}, "expected a reference within the schema"),
        ({"$ref": "#/$defs/nobody"}, "leads nowhere"),
        ({"$ref": "#/properties/x"}, "in a circle"),
        ({"anyOf": [{"$ref": "#/properties/x"}, {"type": "string"}]}, "in a circle"),
        ({"$ref": "#/required"}, "a schema must be an object or a boolean"),
        ({"type": "object", "properties": {"x": {"$ref": "#/properties/x"}}, "required": ["x"]}, "no value fits"),
        ({"type": "array", "items": {"$ref": "#/properties/x"}, "minItems": 1}, "no value fits"),
        (False, "no value fits"),
        ({"type": "object", "required": ["y"], "additionalProperties": False}, "no value fits"),
    ],
    ids=ascii,
)
def test_what_no_value_can_be_made_from_is_refused_with_its_name(node, said):
    error = refused(tools=[function({"type": "object", "properties": {"x": node}, "required": ["x"]}, "lookup")])
    assert error["message"].startswith("Invalid schema for function 'lookup': In context=(")
    assert said in error["message"]
    assert (error["param"], error["code"]) == ("tools[0].function.parameters", "invalid_function_parameters")
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object", "properties": {"x": node}, "required": ["x"]}}}
    error = refused(response_format=wanted)
    assert error["message"].startswith("Invalid schema for response_format 's': In context=(")
    assert error["param"] == "response_format"


@pytest.mark.parametrize(
    "node", [{"minimum": 3, "maximum": 2}, {"minLength": 3, "maxLength": 2}, {"minItems": 3, "maxItems": 2}, {"const": 1, "enum": [2]}]
)
def test_what_nothing_fits_is_refused(node):
    error = refused(tools=[function({"type": "object", "properties": {"x": node}, "required": ["x"]})], tool_choice="required")
    assert "no value was found that fits" in error["message"]


@pytest.mark.parametrize("node", [{"minLength": 10**9}, {"minItems": 10**9}, {"minItems": 10**250, "items": {"const": 1}}, {"minLength": 1e30}])
def test_what_would_be_huge_is_refused(node):
    error = refused(tools=[function({"type": "object", "properties": {"x": node}, "required": ["x"]})], tool_choice="required")
    assert "over 20000 parts" in error["message"]


def test_schemas_may_be_large_and_deep_only_so_far():
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(3000)}}
    assert choice(tools=[function(wide)], tool_choice="required")["finish_reason"] == "length"  # a long answer, cut like any other
    assert "over 5000" in refused(tools=[function(wide), function(wide, "g")])["message"]
    deep = {"type": "string"}
    for _ in range(2000):
        deep = {"type": "array", "items": deep}
    assert "deep" in refused(tools=[function({"type": "object", "properties": {"x": deep}})])["message"]
    chain = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(4000)} | {"d4000": {"type": "string"}}
    assert "lead over" in refused(tools=[function({"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": chain})])["message"]


# Which functions are called


@pytest.mark.parametrize("seed", range(5))
def test_arguments_speak_of_what_the_user_said(seed):
    [(name, value)] = calls(messages=user("What will the weather be in Paris for the next 5 days?"), tools=[WEATHER], seed=seed)
    assert name == "get_weather"
    assert value["days"] == 5
    assert value["place"] in ("Paris", "next")


def test_auto_calls_where_the_words_meet_and_else_answers():
    def called(text, tools=(WEATHER, EMAIL), **changes):
        return [name for name, _ in calls(messages=user(text), tools=list(tools), **changes)]

    assert called("What is the weather in Rome?") == ["get_weather"]
    assert called("Send somebody an email.") == ["sendEmail"]
    assert called("How do I take a slice of a list?") == []
    assert called("Which place, in which days?") == ["get_weather"]
    assert called("Which place?") == []
    assert called("What is the weather in Rome?", tool_choice="none") == []
    both = "Send an email about the weather in the coming days."
    assert set(called(both)) == {"get_weather", "sendEmail"}
    assert len(called(both, parallel_tool_calls=False)) == 1
    assert called("How do I take a slice of a list?", tool_choice="required") == ["get_weather"]
    assert called("Send an email.", tool_choice="required") == ["sendEmail"]
    forced = {"type": "function", "function": {"name": "sendEmail"}}
    assert called("What is the weather in Rome?", tool_choice=forced) == ["sendEmail"]


def test_after_a_tools_result_the_model_answers_unless_it_must_call():
    talk = [
        *user("What is the weather in Rome?"),
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "It rains."},
    ]
    assert choice(messages=talk, tools=[WEATHER], max_tokens=20)["message"]["content"]
    assert calls(messages=talk, tools=[WEATHER], tool_choice="required")
    assert calls(messages=[*talk, *user("And the weather in Paris?")], tools=[WEATHER])


def test_a_call_has_the_form_of_openai():
    answer = say({**BODY, "messages": user("What is the weather in Rome?"), "tools": [WEATHER], "seed": 1})[1]
    (only,) = answer["choices"]
    assert (only["finish_reason"], only["logprobs"]) == ("tool_calls", None)
    assert list(only["message"]) == ["role", "content", "refusal", "tool_calls"]
    assert only["message"]["content"] is None
    (call,) = only["message"]["tool_calls"]
    assert list(call) == ["id", "type", "function"]
    assert re.fullmatch(r"call_[0-9a-f]{24}", call["id"])
    assert call["type"] == "function"
    spoken = call["function"]["arguments"]
    assert answer["usage"]["completion_tokens"] == len(tokenize("get_weather")) + len(pieces(spoken))


def test_seeds_and_temperature_zero_decide_the_arguments():
    schema = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "string", "minLength": 20}}, "required": ["x", "y"]}
    assert arguments(schema, seed=5) == arguments(schema, seed=5) != arguments(schema, seed=6)
    assert arguments(schema, seed=5, temperature=0) == arguments(schema, seed=6, temperature=0)
    several = say({**BODY, "seed": 1, "n": 4, "tools": [function(schema)], "tool_choice": "required"})[1]["choices"]
    assert len({one["message"]["tool_calls"][0]["function"]["arguments"] for one in several}) == 4


@pytest.mark.parametrize("limit", [1, 2, 6, 500])
def test_the_limit_cuts_arguments(limit):
    whole = choice(tools=[WEATHER], tool_choice="required")
    cut = choice(tools=[WEATHER], tool_choice="required", max_tokens=limit)
    spoken, all_of_it = (one["message"]["tool_calls"][0]["function"]["arguments"] for one in (cut, whole))
    assert spoken == "".join(pieces(all_of_it)[: limit - 1])
    assert cut["finish_reason"] == ("tool_calls" if spoken == all_of_it else "length")


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": [None]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "custom"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [function({}, "")]}, "tools[0].function.name"),
        ({"tools": [function({}, "a b")]}, "tools[0].function.name"),
        ({"tools": [function({}, "a" * 65)]}, "tools[0].function.name"),
        ({"tools": [function([])]}, "tools[0].function.parameters"),
        ({"tools": [function({"type": "string"})]}, "tools[0].function.parameters"),
        ({"tools": [{**function({}), "more": 1}]}, "tools[0].more"),
        ({"tools": [{"type": "function", "function": {"name": "f", "strict": 1}}]}, "tools[0].function.strict"),
        ({"tools": [function({})] * 129}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "always"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": 1}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
        ({"tools": [WEATHER], "parallel_tool_calls": "yes"}, "parallel_tool_calls"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.name"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": []}}}, "response_format.json_schema.schema"),
        ({"response_format": {"type": "json_object"}}, "messages"),
    ],
)
def test_wrong_tools_and_formats_are_refused_where_they_are_wrong(changes, param):
    assert refused(**changes)["param"] == param


# JSON answers


def test_a_json_object_is_one_about_the_prompt():
    texts, answer = say({**BODY, "messages": user("Describe a slice as json."), "response_format": {"type": "json_object"}, "n": 5, "seed": 2})
    for text, one in zip(texts, answer["choices"], strict=True):
        assert isinstance(json.loads(text), dict)
        assert one["finish_reason"] == "stop"
    assert re.search("slice|json", " ".join(texts).lower())
    assert answer["usage"]["completion_tokens"] == sum(len(pieces(text)) for text in texts)


def test_the_limit_and_stops_cut_json_like_any_text():
    body = {**BODY, "messages": user("Describe a slice as JSON."), "response_format": {"type": "json_object"}, "seed": 2}
    (whole,), _ = say(body)
    (cut,), answer = say({**body, "max_tokens": 5})
    assert cut == "".join(pieces(whole)[:5])
    assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 5)
    (stopped,), answer = say({**body, "stop": ['"text"']})
    assert stopped == whole.split('"text"')[0]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_plain_text_stays_plain():
    assert say({**BODY, "seed": 1, "response_format": {"type": "text"}})[0] == say({**BODY, "seed": 1})[0]


def test_tools_come_before_the_format():
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": TREE | {"$defs": DEFS}, "strict": True}}
    assert calls(messages=user("What is the weather?"), tools=[WEATHER], response_format=wanted)
    assert json.loads(choice(tools=[WEATHER], response_format=wanted)["message"]["content"])["children"] is not None


# Streams, and the official client


@pytest.mark.parametrize("changes", [{}, {"max_tokens": 9}, {"n": 3}])
def test_a_streamed_call_is_the_plain_one_in_pieces(changes):
    body = {**BODY, "messages": user("Send an email about the weather in the coming days."), "tools": [WEATHER, EMAIL], "seed": 3, **changes}
    _, plain = say(body)
    chat = api().chat({**body, "stream": True, "stream_options": {"include_usage": True}})
    *chunks, last = [chunk for chunk in api().chunks(chat, api().answers(chat)) if chunk]
    built = {}
    for chunk in chunks:
        (one,) = chunk["choices"]
        own = built.setdefault(one["index"], {"calls": [], "reason": None, "deltas": []})
        own["deltas"].append(one["delta"])
        own["reason"] = own["reason"] or one["finish_reason"]
        for part in one["delta"].get("tool_calls", ()):
            if "id" in part:
                assert part["index"] == len(own["calls"])
                assert (part["type"], part["function"]["arguments"]) == ("function", "")
                own["calls"].append([part["function"]["name"], ""])
            else:
                own["calls"][part["index"]][1] += part["function"]["arguments"]
    for one in plain["choices"]:
        own = built[one["index"]]
        assert own["deltas"][0] == {"role": "assistant", "content": None, "refusal": None}
        assert own["deltas"][-1] == {}
        assert own["calls"] == [[call["function"]["name"], call["function"]["arguments"]] for call in one["message"]["tool_calls"]]
        assert own["reason"] == one["finish_reason"]
    assert last["usage"] == plain["usage"]


def test_a_streamed_json_answer_is_the_plain_one_in_pieces():
    body = {**BODY, "messages": user("Describe a slice as JSON."), "response_format": {"type": "json_object"}, "seed": 2}
    (whole,), _ = say(body)
    chat = api().chat({**body, "stream": True})
    parts = [chunk["choices"][0]["delta"].get("content") for chunk in api().chunks(chat, api().answers(chat))]
    assert parts == ["", *pieces(whole), None]


def test_the_official_client_parses_calls_and_formats(monkeypatch):
    import openai
    from pydantic import BaseModel

    class Trip(BaseModel):
        """A trip, as the client would describe it."""

        place: str
        days: int
        notes: list[str]
        guide: Trip | None = None

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked = {"model": "babbler", "messages": user("What is the weather in Rome for 3 days?"), "tools": [WEATHER], "seed": 4}
    with Served() as server, openai.OpenAI(api_key="any", base_url=server.url, max_retries=0) as client:
        plain = client.chat.completions.create(**asked).choices[0]
        (call,) = plain.message.tool_calls
        assert (plain.finish_reason, plain.message.content, call.function.name) == ("tool_calls", None, "get_weather")
        assert valid(WEATHER["function"]["parameters"], json.loads(call.function.arguments))
        with client.chat.completions.stream(**asked) as stream:
            for _ in stream:
                pass
            streamed = stream.get_final_completion().choices[0]
        assert streamed.finish_reason == "tool_calls"
        assert streamed.message.tool_calls[0].function.arguments == call.function.arguments
        assert streamed.message.tool_calls[0].id.startswith("call_")
        parsed = client.chat.completions.parse(model="babbler", messages=user("Plan a trip."), response_format=Trip, seed=1)
        assert isinstance(parsed.choices[0].message.parsed, Trip)
        tool = openai.pydantic_function_tool(Trip)
        parsed = client.chat.completions.parse(model="babbler", messages=user("Plan."), tools=[tool], tool_choice="required", seed=1)
        assert isinstance(parsed.choices[0].message.tool_calls[0].function.parsed_arguments, Trip)
        assert server.end() == ""
