"""Whatever is sent to the endpoint, it answers: never with a fault of its own, never late, and always in a form that a client can read."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.local import BODY, api, events, in_thread

from evalkit.local.rehearsal import check
from evalkit.local.server import LARGEST_BODY, app
from evalkit.local.validation import PARAMETERS

CHAT, EMBEDDINGS = "/v1/chat/completions", "/api/v2/embeddings"
ROUTES = (CHAT, EMBEDDINGS, "/v1/models", "/v1/models/babbler", "/v1/faults", "/faults", "/v1", "/", "/v1/chat", "/api/v2/completions")
MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def server():
    with in_thread(app(api())) as port:
        yield port


@pytest.fixture(scope="module")
def quirky():
    quirks = [
        {"quirk": "ignore", "parameter": "stop"},
        {"quirk": "clamp", "parameter": "temperature", "high": 1},
        {"quirk": "noisy"},
        {"quirk": "no_usage"},
    ]
    with in_thread(app(api(), rehearsal=check({"quirks": quirks}))) as port:
        yield port


def answered(reply):
    """Look at a reply's form; its status."""
    assert reply.status < 500, reply.body
    if reply.headers["content-type"].startswith("text/event-stream"):
        assert events(reply.body)
    elif reply.status >= 400 and reply.body:
        assert reply.error["message"]
    elif reply.body:
        assert reply.json
    return reply.status


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(st.characters(), max_size=6)
    | st.sampled_from(
        ["auto", "function", "json_schema", "json_object", "user", "tool", "text", "babbler", "hashed-tfidf", "JSON", "object", "#", "#/x"]
    )
)
WORDS = (
    *("role", "content", "type", "text", "id", "tool_calls", "tool_call_id", "function", "name", "parameters", "json_schema", "schema"),
    *("properties", "items", "anyOf", "$ref", "enum", "const", "required", "minItems", "minLength", "maximum", "$defs", "include_usage", "0"),
)
keys = st.sampled_from(WORDS) | st.text(max_size=4)
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12)
nodes = st.recursive(
    anything | st.fixed_dictionaries({}, optional={"type": st.sampled_from(["object", "array", "string", "integer", "number", "null"])}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", ["array", "null"]]),
            "properties": st.dictionaries(st.text(max_size=3), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, max_size=3),
            "$ref": st.sampled_from(["#", "#/properties/a", "#/items", "#/anyOf/0"]),
            "required": st.lists(st.sampled_from("ab"), max_size=2),
            "minItems": st.integers(0, 10**9),
            "enum": st.lists(anything, max_size=3),
        },
    ),
    max_leaves=6,
)
tools = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "function": st.fixed_dictionaries({"name": st.just("slice")}, optional={"parameters": nodes})}
    ),
    max_size=3,
)
formats = st.builds(lambda node: {"type": "json_schema", "json_schema": {"name": "a", "schema": node}}, nodes)
values = {
    "messages": st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": anything}) | anything, max_size=3),
    "model": st.sampled_from(["babbler", "hashed-tfidf"]) | anything,
    "tools": tools | anything,
    "tool_choice": st.sampled_from(["none", "auto", "required", {"type": "function", "function": {"name": "slice"}}]) | anything,
    "response_format": formats | anything,
    "stream": st.booleans() | anything,
    "n": st.integers(0, 130) | anything,
    "logit_bias": st.dictionaries(st.integers(-1, 5000).map(str), st.floats(-101, 101), max_size=3) | anything,
}
changes = st.lists(st.sampled_from(sorted(PARAMETERS | {"messages", "model"})), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: values.get(name, scalars | anything) for name in names})
)
chats = changes.map(lambda changed: {**BODY, "max_tokens": 3, **changed})


@MANY
@given(chats)
def test_any_chat_request_is_answered(server, body):
    answered(server.ask("POST", CHAT, body))


@MANY
@given(chats)
def test_so_it_is_under_quirks(quirky, body):
    answered(quirky.ask("POST", CHAT, body))


@MANY
@given(st.fixed_dictionaries({}, optional={
    "model": st.just("hashed-tfidf") | anything,
    "input": st.text(st.characters(), max_size=9) | st.lists(st.text(max_size=9), max_size=4) | anything,
    "dimensions": st.integers(-1, 300) | anything,
    "encoding_format": st.sampled_from(["float", "base64"]) | anything,
    "user": anything,
}) | anything)  # fmt: skip
def test_any_request_for_embeddings_is_answered(server, body):
    answered(server.ask("POST", EMBEDDINGS, body))


@MANY
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]),
    st.sampled_from(ROUTES) | st.builds("{}/{}".format, st.sampled_from(ROUTES), st.text(st.sampled_from("a0/.%~-?&=;:@"), max_size=9)),
    st.binary(max_size=40) | anything.map(lambda body: json.dumps(body).encode()),
)
def test_any_route_and_method_and_any_bytes_are_answered(server, method, path, body):
    reply = server.ask(method, path, body if method not in ("GET", "HEAD") else None)
    status = answered(reply)
    assert method in ("GET", "HEAD") or (method == "POST" and path in (CHAT, EMBEDDINGS)) or status in (404, 405)


@pytest.mark.parametrize("path", [CHAT, EMBEDDINGS])
@pytest.mark.parametrize("name", ["messages", "input", "tools", "response_format", "stop", "logit_bias", "model"])
def test_deep_and_large_values_are_answered(server, path, name):
    start = json.dumps({**BODY, "max_tokens": 1} if path == CHAT else {"model": "hashed-tfidf", "input": "a"})[:-1]
    for value in (
        *("[" * deep + "]" * deep for deep in (50, 900, 20_000)),
        *('{"items":' * deep + "{}" + "}" * deep for deep in (50, 900, 20_000)),
        "[" + "{}," * 200_000 + "{}]",
        '"' + "word " * 200_000 + '"',
        "{" + ",".join(f'"{n}":1' for n in range(50_000)) + "}",
    ):
        assert answered(server.ask("POST", path, f'{start},"{name}":{value}}}'.encode())) in (200, 400, 404)


def test_the_largest_bodies_are_answered(server):
    sentence = "What is the weather? "
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(100_000)}}
    tool = {"type": "function", "function": {"name": "weather", "parameters": schema}}
    for body in (
        {**BODY, "messages": [{"role": "user", "content": sentence * (4_000_000 // len(sentence))}]},
        {**BODY, "messages": [{"role": "user", "content": "x" * 4_000_000}], "max_tokens": 1},
        {**BODY, "messages": [{"role": "user", "content": ""}] * 100_000, "max_tokens": 1},
        {**BODY, "stop": ["a" * 1_000_000] * 4, "max_tokens": 5},
        {**BODY, "tools": [tool], "max_tokens": 1},
        {**BODY, "n": 128, "max_tokens": 10**30},
    ):
        assert len(json.dumps(body)) < LARGEST_BODY
        assert answered(server.ask("POST", CHAT, body)) in (200, 400)
