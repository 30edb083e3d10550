"""Parameters: their names, their values, and which of them are the same."""

from __future__ import annotations

import json
import math

import jsonschema
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from evalkit.experiment import parameters as known
from evalkit.experiment.levels import levels_of
from evalkit.experiment.parameters import (
    DEFAULT,
    KNOWN,
    canonical,
    fault_of_fixed,
    fault_of_level,
    fault_of_name,
    fault_of_value,
    json_schema,
    level_key,
    same_level,
    settled,
)
from evalkit.experiment.problems import Faults

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


# Names


@pytest.mark.parametrize("section", ["parameters", "request"])
def test_every_known_name_may_stand_but_the_model_is_swept_or_stands_under_endpoint(section):
    assert [name for name in KNOWN if fault_of_name(name, section)] == ([] if section == "parameters" else ["model"])
    assert fault_of_name("model", "request") == "the model stands under endpoint.model (or under 'parameters', to sweep it)"


@pytest.mark.parametrize("section", ["parameters", "request"])
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("n", "evalkit sends one answer a request; use 'replicates' at the top level"),
        ("messages", "messages come from the prompt set; write them under 'prompts'"),
        ("stream", "evalkit decides how an answer is fetched; leave it out"),
        ("stream_options", "evalkit decides how an answer is fetched; leave it out"),
        ("replicates", "this is a key of the top level; move it there"),
        ("concurrency", "this is a key of 'endpoint'; move it there"),
        ("extra_body", "write the fields themselves here, without extra_body"),
        ("extra_headers", "only fields of the request's body can stand here; leave it out"),
        ("api_key", known.NO_KEY_HERE),
        ("Authorization", known.NO_KEY_HERE),
        ("api-key", known.NO_KEY_HERE),
        ("temprature", "unknown parameter; did you mean 'temperature'?"),
        ("Temperature", "unknown parameter; did you mean 'temperature'?"),
        ("top-p", "unknown parameter; did you mean 'top_p'?"),
        ("maxtokens", "unknown parameter; did you mean 'max_tokens'?"),
        ("max_token", "unknown parameter; did you mean 'max_tokens'?"),
        ("sede", "unknown parameter; did you mean 'seed'?"),
        ("N", "unknown parameter; did you mean 'n'?"),
        ("", "this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("9lives", "this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("some field", "this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("a\nb", "this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("x" * 101, "this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("mirostat", None),
        ("typical_p", None),
        ("k", None),
        ("xtc.threshold", None),
    ],
)
def test_a_name_is_refused_with_the_reason_or_sent(name, section, fault):
    assert fault_of_name(name, section) == fault


@given(st.sampled_from(sorted(KNOWN)), st.integers(0, 20), st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=2))
def test_a_name_within_two_edits_of_a_known_one_is_taken_for_a_slip(name, at, letters):
    slip = name[: at % len(name)] + letters + name[at % len(name) + 1 :]
    assume(slip not in KNOWN and slip not in known.never("parameters") and OSA.distance(slip, name) <= 2)
    fault = fault_of_name(slip, "parameters")
    assert fault is not None
    assert "did you mean" in fault


def test_openai_s_own_are_told_from_those_of_other_servers():
    assert {"temperature", "top_p", "stop", "seed", "logit_bias", "function_call"} <= known.OF_OPENAI
    assert not {"top_k", "min_p", "repetition_penalty", "guided_json"} & known.OF_OPENAI
    assert set(KNOWN) >= known.OF_OPENAI


# Values


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("temperature", [0, 2, 0.0, 1.5, -0.0]),
        ("top_p", [0, 1, 0.5]),
        ("frequency_penalty", [-2, 2]),
        ("presence_penalty", [-2.0, 2.0]),
        ("max_tokens", [1, 10**9, 200.0]),
        ("max_completion_tokens", [1]),
        ("stop", ["x", "\n\n", ["a"], ["a", "b", "c", "d"]]),
        ("seed", [0, -1, 2**63 - 1, -(2**63), 3.0]),
        ("model", ["m", "org/model:tag"]),
        ("logit_bias", [{}, {"50256": -100}]),
        ("logprobs", [True, False]),
        ("top_logprobs", [0, 20]),
        ("tools", [[], [{"type": "function"}], {}]),
        ("tool_choice", ["auto", {"type": "function"}]),
        ("top_k", [-1, 0, 50]),
        ("repetition_penalty", [0, 1.3]),
        ("length_penalty", [-5, 5, 1.7e308]),
        ("response_format", [{"type": "json_object"}, {"a": {"b": [None, True, 1, "x"]}}]),
        ("reasoning_effort", ["low", "something new"]),
        ("unheard_of", [0, "x", True, [], {}, [None], {"a": None}]),
    ],
)
def test_what_a_parameter_takes(name, values):
    assert [fault_of_value(name, value) for value in values] == [None] * len(values)


NUMBER_OF_64_BITS = "expected a whole number of at most 64 bits"


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("temperature", 5, "found 5; expected a number from 0 to 2"),
        ("temperature", -0.1, "found -0.1; expected a number from 0 to 2"),
        ("temperature", 2.0000001, "found 2.0000001; expected a number from 0 to 2"),
        ("temperature", "hot", "found 'hot'; expected a number from 0 to 2"),
        ("temperature", "0.5", "found '0.5'; expected a number from 0 to 2; write it without quotes"),
        ("temperature", True, "found true; expected a number from 0 to 2"),
        ("temperature", math.nan, "found .nan; expected a number from 0 to 2"),
        ("temperature", math.inf, "found .inf; expected a number from 0 to 2"),
        ("temperature", [0.5], "found a list; expected a number from 0 to 2"),
        ("temperature", {"min": 0}, "found a mapping; expected a number from 0 to 2"),
        pytest.param("temperature", 10**400, "found a huge number; expected a number from 0 to 2", id="400 digits"),
        ("top_p", 1.01, "found 1.01; expected a number from 0 to 1"),
        ("top_p", -1, "found -1; expected a number from 0 to 1"),
        ("frequency_penalty", 2.5, "found 2.5; expected a number from -2 to 2"),
        ("presence_penalty", -3, "found -3; expected a number from -2 to 2"),
        ("max_tokens", 0, "found 0; expected a whole number of at least 1"),
        ("max_tokens", 0.5, "found 0.5; expected a whole number of at least 1"),
        ("max_tokens", 2**63, f"found 9223372036854775808; {NUMBER_OF_64_BITS}"),
        ("max_tokens", 1e19, f"found 10000000000000000000; {NUMBER_OF_64_BITS}"),
        pytest.param("max_tokens", 10**400, f"found a huge number; {NUMBER_OF_64_BITS}", id="400 digits of tokens"),
        ("seed", "per_replicate", "found 'per_replicate'; expected a whole number"),
        ("seed", False, "found false; expected a whole number"),
        ("stop", "", "found ''; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("stop", [], "found an empty list; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("stop", ["a"] * 5, "found a list; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("stop", ["a", 1], "found a list; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("stop", 3, "found 3; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("stop", "\ud800", r"holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself"),
        ("model", "", "found ''; expected a string that is not empty"),
        ("model", 3, "found 3; expected a string that is not empty"),
        ("logit_bias", [], "found an empty list; expected a mapping"),
        ("logprobs", 1, "found 1; expected true or false"),
        ("logprobs", "yes", "found 'yes'; expected true or false"),
        ("top_logprobs", 21, "found 21; expected a whole number from 0 to 20"),
        ("unheard_of", None, "found nothing (null); to leave the parameter out, write default"),
        ("unheard_of", [math.nan], "found .nan; expected a finite number"),
        ("unheard_of", {"a": [math.inf]}, "found .inf; expected a finite number"),
        ("unheard_of", {"a": 2**64}, f"found 18446744073709551616; {NUMBER_OF_64_BITS}"),
        ("unheard_of", {"\ud800": 1}, r"holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself"),
        ("unheard_of", {1, 2}, "found a set; expected a number, a string, a list or a mapping"),
        ("unheard_of", b"x", "found a bytes; expected a number, a string, a list or a mapping"),
        ("response_format", {"a": b"x"}, "found a bytes; expected a number, a string, a list or a mapping"),
    ],
)
def test_what_a_parameter_does_not_take(name, value, fault):
    assert fault_of_value(name, value) == fault


def test_default_is_a_level_of_everything_and_a_fixed_value_of_nothing():
    for name in [*KNOWN, "unheard_of"]:
        assert fault_of_level(name, "default") is None
        assert fault_of_fixed(name, "default") == (
            f"found 'default', which is a level under 'parameters'; to leave {name} out of every request, leave out this line"
        )


def test_null_is_no_value_and_the_way_out_is_told():
    assert fault_of_level("temperature", None) == "found nothing (null); to leave the parameter out, write default"
    assert fault_of_fixed("temperature", None) == "found nothing (null); to leave temperature out of every request, leave out this line"


def test_a_slip_of_default_and_a_seed_in_the_wrong_place_are_told():
    assert fault_of_level("temperature", "defualt") == "found 'defualt'; expected a number from 0 to 2; did you mean default?"
    assert fault_of_level("temperature", "Default") == "found 'Default'; expected a number from 0 to 2; did you mean default?"
    assert fault_of_level("seed", "per_replicate") == "found 'per_replicate'; expected a whole number; per_replicate stands under 'request'"


def test_whole_numbers_are_sent_as_such():
    assert [repr(settled(name, value)) for name, value in (("max_tokens", 200.0), ("temperature", 1.0), ("unheard_of", 1.0), ("seed", 3))] == [
        "200",
        "1.0",
        "1.0",
        "3",
    ]


@given(st.sampled_from([*sorted(KNOWN), "unheard_of"]), JSON)
def test_the_schema_takes_what_the_loader_takes(name, value):
    schema = jsonschema.Draft202012Validator(json_schema(name))
    fault = fault_of_value(name, value)
    assert (fault is None or NUMBER_OF_64_BITS in fault) == schema.is_valid(value)


def test_every_name_that_never_stands_has_its_reason():
    for section in ("parameters", "request"):
        assert all(reason and reason != "None" for reason in known.never(section).values())
        assert "n" in known.never(section)
    assert "model" in known.never("request")
    assert "model" not in known.never("parameters")


# Which are the same


@given(st.integers(-(2**53), 2**53))
def test_numbers_count_by_value(number):
    assert json.dumps(canonical(float(number))) == json.dumps(canonical(number)) == str(number)


@given(JSON)
def test_what_is_canonical_is_equal_and_stays_as_it_is(value):
    once = canonical(value)
    assert once == value
    assert json.dumps(canonical(once)) == json.dumps(once)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=5))
def test_the_order_of_keys_does_not_count(table):
    turned = dict(reversed(table.items()))
    assert json.dumps(canonical(turned)) == json.dumps(canonical(table))


def test_true_is_not_one():
    assert json.dumps(canonical([True, 1, 1.0, "1", 0.5, -0.0, (2.0,)])) == '[true, 1, 1, "1", 0.5, 0, [2]]'


# Levels


@given(JSON, JSON, JSON)
def test_being_one_level_is_an_equivalence_that_the_key_tells(one, other, third):
    assert same_level(one, one)
    assert same_level(one, other) == same_level(other, one) == (level_key(one) == level_key(other))
    if same_level(one, other) and same_level(other, third):
        assert same_level(one, third)


@given(JSON)
def test_a_level_is_the_same_after_a_journey_through_json_and_in_any_order_of_keys(level):
    assert same_level(level, json.loads(json.dumps(level)))

    def turned(value):
        if isinstance(value, dict):
            return {name: turned(value[name]) for name in reversed(value)}
        return tuple(map(turned, value)) if isinstance(value, list) else value

    assert same_level(level, turned(level))


@given(st.integers(-(2**53), 2**53))
def test_levels_that_are_numbers_count_by_value(number):
    assert same_level(number, float(number))
    assert same_level([number], [float(number)])
    assert same_level({"a": number}, {"a": float(number)})
    assert not same_level(number, number + 1)
    assert not same_level(number, str(number))


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (-0.0, 0.0), (-0.0, 0), (200, 2e2), ([1, {"a": 0}], (1.0, {"a": -0.0}))])
def test_levels_that_are_one(one, other):
    assert same_level(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [(True, 1), (False, 0), ([True], [1]), ("1", 1), ([1, 2], [2, 1]), (["a"], "a"), ({}, []), (None, 0), ("", None)]
)
def test_levels_that_are_two(one, other):
    assert not same_level(one, other)


@given(JSON)
def test_default_is_no_value(level):
    assert same_level(level, DEFAULT) == (level == DEFAULT)


@pytest.mark.parametrize(
    ("low", "high", "step", "last"),
    [
        (0.1, 1, 0.4, "0.9"),
        (0, 1, 0.3, "0.9"),
        (0, 2, 0.7, "1.4"),
        (0, 1, 0.3333, "0.9999"),
        (100, 350, 100, "300"),
        (0, 1, 3, "0"),
        (-2, 2, 1.5, "1"),
    ],
)
def test_a_range_that_does_not_end_on_its_max_is_refused_with_two_ways_to_mend_it(low, high, step, last):
    name = "max_tokens" if high > 10 else "frequency_penalty"
    with pytest.raises(Faults) as caught:
        levels_of({name: {"min": low, "max": high, "step": step}})
    ((path, message),) = caught.value.found
    assert path == (name,)
    assert f"lead to {last} and not to max {high}; write max: {last}, or step:" in message
    for mended in ({"max": float(last)}, {"step": float(message.rpartition(" ")[2])}):
        levels = levels_of({name: {"min": low, "max": high, "step": step} | mended})[name]
        assert (levels[0], levels[-1]) == (low, mended.get("max", high))


@given(st.integers(-2000, 2000), st.integers(1, 200), st.integers(0, 40), st.sampled_from([1, 10, 100, 1000]))
def test_a_range_that_ends_on_its_max_has_both_ends_exactly(low, step, count, digits):
    ends = {"min": low / digits, "max": (low + step * count) / digits, "step": step / digits}
    levels = levels_of({"length_penalty": ends})["length_penalty"]
    assert len(levels) == count + 1
    assert (levels[0], levels[-1]) == (ends["min"], ends["max"])
