"""The plan: which requests there are, what identifies each for ever, and in what order they are sent."""

from __future__ import annotations

import hashlib
import itertools
import json
import tracemalloc

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.process import ROOT

from evalkit.experiment.experiment import check, load
from evalkit.plan.requests import Plan, key_of, seed_of

VALUES = {
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "top_p": st.floats(0, 1) | st.integers(0, 1),
    "frequency_penalty": st.floats(-2, 2),
    "max_tokens": st.integers(1, 5000),
    "stop": st.text(min_size=1, max_size=4).filter(lambda text: text != "default")
    | st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=4),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "logit_bias": st.dictionaries(st.integers(0, 99).map(str), st.integers(-100, 100), max_size=3),
    "tools": st.just([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "minimum": 1.0}}}]),
    "some_field": st.booleans() | st.dictionaries(st.sampled_from("abc"), st.floats(-9, 9), max_size=3),
}
FIELDS = st.fixed_dictionaries({}, optional=VALUES)


def experiment(**changes):
    data = {
        "name": "x",
        "endpoint": {"base_url": "local", "model": "babbler"},
        "prompts": [{"id": "p", "user": "Hello"}],
    }
    return check(data | changes)


def only_key(**changes):
    (request,) = Plan(experiment(**changes))
    return request.key


def endpoint(**changes):
    return {"base_url": "local", "model": "babbler"} | changes


def many(**changes):
    """An experiment of 3 cells, 5 prompts and 4 replicates."""
    prompts = [{"id": f"p{n}", "user": f"Tell {n}"} for n in range(5)]
    return experiment(**{"prompts": prompts, "parameters": {"temperature": [0, 1, "default"]}, "replicates": 4, "seed": 7} | changes)


# What identifies a request


def test_a_key_is_frozen_for_ever():
    # These literals never change: with another key, everything that was ever recorded would be sent again.
    text = (
        '{"base_url":"local","messages":[{"content":"Be brief.","role":"system"},{"content":"Grüße 😀","role":"user"}],"model":"babbler",'
        '"parameters":{"max_tokens":200,"stop":["\\n\\n"],"temperature":0.5},"prompt_id":"p","replicate":1,"role":"sweep","seed":34053817,"tools":null,"v":1}'
    )
    asked = experiment(
        prompts=[{"id": "p", "system": "Be brief.", "user": "Grüße 😀"}],
        parameters={"temperature": [0.5], "max_tokens": 200.0, "top_p": "default"},
        request={"stop": ["\n\n"], "seed": "per_replicate"},
        replicates=2,
        seed=7,
    )
    keys = {request.replicate: request.key for request in Plan(asked.with_seeds("consecutive"))}
    assert keys[1] == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert keys == {0: "9627abb7bcdd989c192b4c8b9ac3dd9e", 1: "db3f9eca4fe70a7ed719b3db7d95c306"}
    keys = {request.replicate: request.key for request in Plan(asked)}
    assert keys[1] == hashlib.sha256(text.replace("34053817", "1637469998").encode()).hexdigest()[:32]
    assert keys == {0: "68e1c7e3249a4710743a8633749dc1ac", 1: "38f0d80bcc084f21dd24e2f1da633885"}


def test_a_key_with_tools_a_model_level_and_a_conversation_is_frozen_too():
    call = {"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object", "minProperties": 1.0}}}]
    messages = [
        {"role": "user", "content": "1 + 1?"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ]
    key = only_key(
        endpoint=endpoint(base_url="https://Example.org/v1/", concurrency=3),
        prompts=[{"id": 7, "messages": messages}],
        parameters={"model": ["other"], "temperature": 0, "top_p": 0.9, "logit_bias": {"7": 1.0}},
        request={"tools": tools, "some_field": {"b": 1.5, "a": [True, 2.0]}},
    )
    text = (
        '{"base_url":"https://example.org/v1","messages":[{"content":"1 + 1?","role":"user"},{"content":null,"role":"assistant","tool_calls":'
        '[{"function":{"arguments":"{\\"a\\": 1}","name":"add"},"id":"c1","type":"function"}]},{"content":"2","role":"tool","tool_call_id":"c1"}],'
        '"model":"other","parameters":{"logit_bias":{"7":1},"some_field":{"a":[true,2],"b":1.5},"temperature":0},"prompt_id":"7","replicate":0,'
        '"role":"sweep","seed":null,"tools":[{"function":{"name":"add","parameters":{"minProperties":1,"type":"object"}},"type":"function"}],"v":1}'
    )
    assert key == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert key == "7c93e1d96eadafb39e5de285dc28bdd2"


def test_keys_of_prompts_in_plain_text_are_frozen_in_every_form():
    """As they were recorded before messages could hold parts of text."""
    call = {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]}
    result = {"role": "tool", "tool_call_id": "c", "content": "2"}
    chat = [{"role": "user", "content": "One?", "name": "ada"}, {"role": "assistant", "content": "Two."}, {"role": "user", "content": " Grüße\n😀 "}]
    prompts = {
        "211e959217533486efef7fe734cbd2bc": {"id": "short", "system": "Be brief.", "user": "Hello"},
        "fadf9a978dd09e91f83da01d01ba86f9": {"id": "long", "messages": chat},
        "7a877142639c16e36b5ab66ef1401d42": {"id": "filled", "user": "What is {{it}}? {{it}}", "vars": {"it": "a {{list}}"}},
        "260c24178c6e1c109626604d7e9ba92e": {"id": "braces", "user": "{{it}} stays"},
        "c42d0cb92f2fa78e214ce17137a59215": {"id": "called", "messages": [call, result]},
        "1ba6e30da93cd18a69c0fe16c964e665": {"id": "both", "messages": [call | {"content": ""}, result]},
    }
    made = experiment(prompts=list(prompts.values()), parameters={"temperature": [0.5]})
    assert {request.key: request.prompt_id for request in Plan(made)} == {key: prompt["id"] for key, prompt in prompts.items()}


def test_a_text_and_the_same_text_as_a_part_are_two_questions():
    asked = [{"id": "p", "messages": [{"role": "user", "content": content}]} for content in ("Hello", [{"type": "text", "text": "Hello"}])]
    plain, parts = (Plan(experiment(prompts=[one], request={"max_tokens": 9})) for one in asked)
    assert [one.key for one in plain] != [one.key for one in parts]
    assert plain.tokens_in()[0] == parts.tokens_in()[0]
    (request,) = parts
    assert json.loads(json.dumps(request.messages)) == request.messages == asked[1]["messages"]


@given(FIELDS, st.data())
def test_where_a_parameter_stands_swept_or_fixed_is_no_part_of_the_key(fields, data):
    swept = data.draw(st.sets(st.sampled_from(sorted(fields)))) if fields else set()
    moved = only_key(parameters={name: [fields[name]] for name in swept}, request={name: fields[name] for name in fields if name not in swept})
    assert moved == only_key(request=fields)


@given(FIELDS)
def test_numbers_count_by_value_and_the_order_does_not_count(fields):
    def as_floats(value):
        if isinstance(value, dict):
            return {name: as_floats(one) for name, one in reversed(value.items())}
        if isinstance(value, list):
            return [as_floats(one) for one in value]
        exact = isinstance(value, int) and not isinstance(value, bool) and int(float(value)) == value and abs(value) < 2**63
        return float(value) if exact else value

    assert only_key(request=as_floats(fields)) == only_key(request=fields)


@given(FIELDS, st.sampled_from(sorted(VALUES)), st.data())
def test_left_out_differs_from_any_value_and_one_value_from_another(fields, name, data):
    rest = {one: value for one, value in fields.items() if one != name}
    if name == "top_p":
        assume(rest.get("temperature") != 0)
    first, second = data.draw(VALUES[name]), data.draw(VALUES[name])
    left_out = only_key(request=rest)
    assert only_key(request=rest | {name: first}) != left_out
    assert only_key(parameters={name: ["default"]}, request=rest) == left_out
    assert (only_key(request=rest | {name: first}) == only_key(request=rest | {name: second})) == (first == second)


def test_what_else_identifies_a_request():
    keys = [
        only_key(),
        only_key(endpoint=endpoint(base_url="http://127.0.0.1:1/v1")),
        only_key(endpoint=endpoint(base_url="http://127.0.0.1:2/v1")),
        only_key(endpoint=endpoint(base_url="https://127.0.0.1:1/v1")),
        only_key(endpoint=endpoint(model="other")),
        only_key(prompts=[{"id": "q", "user": "Hello"}]),
        only_key(prompts=[{"id": "p", "user": "Hello "}]),
        only_key(prompts=[{"id": "p", "user": "hello"}]),
        only_key(prompts=[{"id": "p", "system": "Hello", "user": "Hello"}]),
        only_key(prompts=[{"id": "p", "messages": [{"role": "assistant", "content": "Hello"}]}]),
        only_key(prompts=[{"id": "p", "messages": [{"role": "user", "content": "Hello", "name": "ada"}]}]),
        only_key(request={"seed": 0}),
        only_key(request={"seed": 1}),
        only_key(request={"some_field": 1}),
        only_key(request={"some_field": True}),
        only_key(request={"some_field": "1"}),
        only_key(request={"some_field": [1]}),
        only_key(request={"stop": "a"}),
        only_key(request={"stop": ["a"]}),
    ]
    assert len(set(keys)) == len(keys)


def test_replicate_and_role_identify_a_request():
    arguments = {"base_url": "local", "model": "m", "prompt_id": "p", "messages": [], "fields": {}}
    keys = [key_of(**arguments, replicate=replicate, role=role) for replicate in (0, 1) for role in ("sweep", "probe")]
    assert len(set(keys)) == 4
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


def test_what_does_not_decide_the_answer_is_no_part_of_the_key():
    key = only_key()
    assert key == only_key(name="y")
    assert key == only_key(endpoint=endpoint(concurrency=3))
    assert key == only_key(endpoint=endpoint(api_key_env="SOME_KEY"))
    assert key == only_key(prompts=[{"id": "p", "messages": [{"role": "user", "content": "Hello"}], "tags": ["a"]}])
    assert key == only_key(prompts=[{"id": "p", "user": "{{what}}", "vars": {"what": "Hello"}}])
    assert key == only_key(seed=9)
    assert only_key(endpoint=endpoint(base_url="HTTPS://Example.org/V1/")) == only_key(endpoint=endpoint(base_url="https://example.org/V1"))
    assert only_key(endpoint=endpoint(model="other")) == only_key(parameters={"model": "other"}) != key


def test_a_parameter_that_is_void_is_no_part_of_the_key():
    at_0 = only_key(request={"temperature": 0})
    assert at_0 == only_key(request={"temperature": 0.0, "top_p": 0.5})
    assert at_0 == only_key(parameters={"temperature": [0], "top_p": [0.9]})
    assert at_0 == only_key(parameters={"temperature": [0]}, request={"top_p": 0.9, "top_k": 5})
    assert at_0 != only_key(request={"temperature": 0, "max_tokens": 5})


def test_an_experiment_that_grows_keeps_the_keys_of_what_it_has():
    keys = {request.key for request in Plan(many())}
    assert keys < {request.key for request in Plan(many(replicates=5))}
    assert keys < {request.key for request in Plan(many(parameters={"temperature": [0.5, 0, "default", 1.0]}))}
    assert keys < {request.key for request in Plan(many(parameters={"temperature": [0, 1, "default"], "top_p": ["default", 0.5]}))}
    assert keys < {request.key for request in Plan(many(prompts=[{"id": f"p{n}", "user": f"Tell {n}"} for n in reversed(range(6))]))}
    assert keys == {request.key for request in Plan(many(seed=8))}
    seeded = [{request.key for request in Plan(many(request={"seed": "per_replicate"}, replicates=replicates))} for replicates in (2, 3)]
    assert seeded[0] < seeded[1]


# Seeds of replicates


def test_seeds_of_replicates_are_shared_no_more_often_than_chance_would():
    for root in (0, 7, 2**53 - 1):
        seeds = [seed_of(root, f"p{prompt}", replicate) for prompt in range(100) for replicate in range(100)]
        assert all(0 <= seed < 2**31 for seed in seeds)
        assert len(seeds) - len(set(seeds)) <= 1, "of 10,000 random ones a pair is alike once in 43 times"
        assert abs(sum(seeds) / len(seeds) / 2**30 - 1) < 0.05


@given(st.integers(0, 2**53 - 2), st.text(min_size=1, max_size=20), st.integers(0, 10**6))
def test_neighbours_have_seeds_that_are_no_neighbours(root, prompt_id, replicate):
    mine = seed_of(root, prompt_id, replicate)
    assert 0 <= mine < 2**31
    assert mine == seed_of(root, prompt_id, replicate)
    near = [seed_of(root, prompt_id, replicate + 1), seed_of(root + 1, prompt_id, replicate), seed_of(root, prompt_id + "1", replicate)]
    assert all(abs(mine - other) > 1000 for other in near), "by chance, once in 700,000 examples"


def test_root_prompt_and_replicate_are_told_apart_wherever_one_ends_and_the_next_begins():
    assert len({seed_of(1, "1 1", 1), seed_of(11, "1", 1), seed_of(1, "1", 11), seed_of(1, "11", 1), seed_of(1, "1", 1)}) == 5


def test_how_seeds_are_made_goes_with_an_experiment_through_its_changes():
    old = many(request={"seed": "per_replicate"}).with_seeds("consecutive")
    assert old.model_copy(update={"replicates": 2}).seeds == "consecutive"
    assert many().seeds == old.with_seeds("hashed").seeds == "hashed"
    assert {request.key for request in Plan(old)}.isdisjoint(request.key for request in Plan(old.with_seeds("hashed")))


# What is sent


def test_a_request_is_its_cell_its_prompt_and_what_is_fixed():
    plan = Plan(
        experiment(
            parameters={"temperature": [0, 1.5], "top_p": [0.9], "model": ["default", "other"]},
            request={"stop": "x", "max_tokens": 9.0},
            replicates=2,
        )
    )
    assert len(plan) == len(list(plan)) == 8
    for request in plan:
        assert request.cell == plan.cells[request.cell_index]
        assert request.model == request.body["model"] == ("other" if request.cell["model"] == "other" else "babbler")
        hot = request.cell["temperature"] == 1.5
        assert request.body == {"model": request.model, "stop": "x", "max_tokens": 9} | (
            {"temperature": 1.5, "top_p": 0.9} if hot else {"temperature": 0}
        )
        assert isinstance(request.body["max_tokens"], int)
        assert request.cell["top_p"] == (0.9 if hot else None)
        assert (request.prompt_id, request.prompt_index, request.seed, request.role) == ("p", 0, None, "sweep")
        assert request.messages == [{"role": "user", "content": "Hello"}]


def test_a_seed_per_replicate_is_alike_in_every_cell_and_another_for_every_prompt_and_replicate():
    seeds: dict[tuple[str, int], set[int]] = {}
    for request in Plan(many(request={"seed": "per_replicate"})):
        assert request.seed == request.body["seed"]
        assert 0 <= request.seed < 2**31
        seeds.setdefault((request.prompt_id, request.replicate), set()).add(request.seed)
    assert all(len(found) == 1 for found in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds) > 2
    assert seed_of(7, "p", 1, "consecutive") == seed_of(7, "p", 0, "consecutive") + 1 == seed_of(8, "p", 0, "consecutive")
    for request in Plan(many(request={"seed": 3})):
        assert request.seed == request.body["seed"] == 3
    for request in Plan(many()):
        assert request.seed is None
        assert "seed" not in request.body
    assert {request.seed for request in Plan(many(parameters={"seed": [1, "default"]}))} == {1, None}


def test_merged_cells_are_sent_once():
    plan = Plan(experiment(parameters={"temperature": [0, 1], "top_p": ["default", 0.5, 0.9]}))
    assert len(plan) == len(plan.cells) == 4
    assert plan.design.combinations == 6
    assert [request.body.get("top_p") for request in plan if request.body["temperature"] == 0] == [None]


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, None),
        ({"request": {"max_tokens": 100}}, 3 * 5 * 4 * 100),
        ({"parameters": {"max_tokens": [60, 200]}}, 5 * 4 * 260),
        ({"parameters": {"max_tokens": [60, "default"]}}, None),
        ({"request": {"max_tokens": 100, "max_completion_tokens": 30}}, 3 * 5 * 4 * 30),
        ({"parameters": {"max_tokens": ["default", 50]}, "request": {"max_completion_tokens": 70.0}}, 5 * 4 * 120),
    ],
)
def test_the_most_tokens_that_answers_can_have(changes, most):
    assert Plan(many(**changes)).most_tokens() == most


@pytest.mark.parametrize(
    "changes",
    [{}, {"request": {"max_tokens": 100}}, {"anchor": {"every": 10}, "request": {"max_tokens": 30}}, {"parameters": {"max_tokens": [60, 200]}}],
)
def test_bounds_of_tokens_are_those_of_every_request_in_the_sequence_anchors_included(changes):
    plan = Plan(many(**changes))
    assert plan.tokens() == plan.tokens_of(plan.sequence())
    assert (plan.tokens().requests, plan.tokens().anchors) == (len(plan), plan.anchor_count)
    half = list(plan.sequence())[: len(plan) // 2]
    assert plan.tokens_of(half).prompts_most < plan.tokens().prompts_most


# In what order


def places(plan):
    return [(request.cell_index, request.prompt_index, request.replicate) for request in plan]


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**53 - 1))
@settings(max_examples=30)
def test_every_request_is_planned_once(cells, prompts, replicates, seed):
    plan = Plan(
        experiment(
            prompts=[{"id": n, "user": "x"} for n in range(prompts)],
            parameters={"max_tokens": list(range(1, cells + 1))},
            replicates=replicates,
            seed=seed,
        )
    )
    found = list(plan)
    assert sorted(places(found)) == list(itertools.product(range(cells), range(prompts), range(replicates)))
    assert len({request.key for request in found}) == len(found) == len(plan)


def test_blocks_hold_every_cell_once_and_replicates_follow_each_other():
    found = places(Plan(many()))
    blocks = [found[start : start + 3] for start in range(0, len(found), 3)]
    assert all(sorted(cell for cell, _, _ in block) == [0, 1, 2] for block in blocks)
    assert all(len({(prompt, replicate) for _, prompt, replicate in block}) == 1 for block in blocks)
    assert [block[0][2] for block in blocks] == [0] * 5 + [1] * 5 + [2] * 5 + [3] * 5
    assert len({tuple(cell for cell, _, _ in block) for block in blocks}) > 1
    assert len({tuple(prompt for _, prompt, _ in found[start : start + 15 : 3]) for start in range(0, 60, 15)}) > 1


def test_the_order_depends_on_the_seed_alone():
    order = places(Plan(many()))
    assert order == places(Plan(many()))
    same = many(
        name="other",
        endpoint=endpoint(model="other", base_url="http://127.0.0.1:9/v1", concurrency=1),
        prompts=[{"id": f"q{n}", "user": "other"} for n in range(5)],
        parameters={"max_tokens": [5, 6, 7]},
        request={"seed": "per_replicate"},
    )
    assert order == places(Plan(same))
    assert order == places(Plan(many(replicates=9)))[: len(order)]
    assert order != places(Plan(many(seed=8)))


def test_the_plan_is_made_as_it_is_asked_for():
    plan = Plan(many(replicates=1_000_000))
    assert len(plan) == 15_000_000
    tracemalloc.start()
    try:
        walk = iter(plan)
        for _ in range(100):
            next(walk)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(3000):
            next(walk)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 20_000
    assert peak - before < 200_000


def test_a_request_travels_as_plain_json():
    for request in Plan(many(request={"logit_bias": {"1": -1.0}})):
        assert json.loads(json.dumps(request.body)) == request.body
        assert json.loads(json.dumps(request.messages)) == request.messages


def test_the_plan_of_a_file_is_the_plan_of_what_it_resolves_to():
    loaded = load(ROOT / "experiments/quickstart.yaml", ["replicates=1"])
    assert [request.key for request in Plan(loaded)] == [request.key for request in Plan(check(loaded.resolved()))]
