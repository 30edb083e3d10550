"""What a fault reads like: where, what was found, what was expected."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit import errors
from evalkit.experiment.problems import Faults, from_pydantic, half_a_character, nearest, shown, spelled, told, unknown

WORDS = st.text("abcd", max_size=6)


# Where


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("endpoint", "base_url"), "endpoint.base_url"),
        (("prompts", 2, "id"), "prompts[2].id"),
        ((3, "messages", 0), "[3].messages[0]"),
        (("",), "''"),
        (("a", " b"), "a.' b'"),
        (("a\nb",), r"'a\nb'"),
        (("\x1b[2J",), r"'\x1b[2J'"),
    ],
)
def test_a_path_reads_as_people_write_it(path, text):
    assert spelled(path) == text


@given(st.lists(st.text() | st.integers(0, 9), max_size=4))
def test_no_key_of_a_file_can_break_the_line_of_its_message(path):
    line = spelled(tuple(path))
    assert line.isprintable() or line == ""
    assert len(line) <= 66 * max(1, len(path))


def test_a_line_names_the_file_the_path_the_fault_and_the_nearest_known_line():
    marks = {(): 1, ("endpoint",): 3, ("endpoint", "model"): 5, ("seed",): "given by --set"}
    found = [
        (("endpoint", "model"), "is wrong"),
        (("endpoint", "base_url"), "is missing"),
        (("name",), "is missing"),
        (("seed",), "is odd"),
        ((), "no"),
    ]
    assert told(found, "x.yaml", marks).split("\n") == [
        "x.yaml: endpoint.model: is wrong (line 5)",
        "x.yaml: endpoint.base_url: is missing (line 3)",
        "x.yaml: name: is missing",
        "x.yaml: seed: is odd (given by --set)",
        "x.yaml: no",
    ]
    assert told(found[:1], "", {}) == "endpoint.model: is wrong"


def test_past_fifty_faults_only_their_number_is_told():
    lines = told([((index,), "is wrong") for index in range(1234)], "x.yaml", {}).split("\n")
    assert len(lines) == 51
    assert lines[49:] == ["x.yaml: [49]: is wrong", "x.yaml: and 1,184 more faults like these"]
    assert told([((0,), "is wrong")] * 60, "", {}).endswith("\nand 10 more faults like these")
    assert len(told([((index,), "is wrong") for index in range(51)], "x.yaml", {}).split("\n")) == 51


# What was found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "nothing (null)"),
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (-0.5, "-0.5"),
        (math.nan, ".nan"),
        (math.inf, ".inf"),
        (-math.inf, "-.inf"),
        (10**29, "1" + "0" * 29),
        (10**31, "a huge number"),
        pytest.param(-(10**5000), "a huge number", id="5000 digits"),
        (1e300, "a huge number"),
        ("", "''"),
        ("it's", '"it\'s"'),
        ("a\tb\n", r"'a\tb\n'"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("\u202e", r"'\u202e'"),
        ("é😀", "'é😀'"),
        ("x" * 60, "'" + "x" * 60 + "'"),
        ("x" * 61, "'" + "x" * 57 + "...'"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping"),
        ([], "an empty list"),
        ((1,), "a list"),
        ({1}, "a set"),
    ],
)
def test_a_value_is_shown_as_a_reader_can_use_it(value, text):
    assert shown(value) == text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_shown_is_short_and_one_line(value):
    assert len(shown(value)) <= 62
    assert shown(value).isprintable()


def test_half_a_character_is_what_utf_8_cannot_write():
    assert half_a_character("a\ud83d")
    assert not half_a_character("a😀\x00\ufffe")


# What was meant


@cache
def brute_distance(a, b):
    """Optimal string alignment, by its definition."""
    if not a or not b:
        return len(a) + len(b)
    ways = [brute_distance(a[1:], b) + 1, brute_distance(a, b[1:]) + 1, brute_distance(a[1:], b[1:]) + (a[0] != b[0])]
    if len(a) > 1 and len(b) > 1 and a[0] == b[1] and a[1] == b[0]:
        ways.append(brute_distance(a[2:], b[2:]) + 1)
    return min(ways)


@given(st.text("abc", min_size=5, max_size=7), st.text("abc", min_size=5, max_size=7), st.integers(0, 2))
def test_the_distance_is_what_its_definition_says(a, b, limit):
    assert (nearest(a, [b], limit) == b) == (brute_distance(a, b) <= limit)


@pytest.mark.parametrize(("name", "known", "edits"), [("kitten", "sitting", 3), ("tempreature", "temperature", 1), ("caxxxx", "abcxxxx", 3)])
def test_known_distances(name, known, edits):
    # Kukich 1992: kitten and sitting; Damerau 1964: a swap of neighbours is one error.
    assert nearest(name, [known], edits) == known
    assert nearest(name, [known], edits - 1) is None


@given(WORDS, st.lists(WORDS, max_size=5))
def test_what_was_meant_is_the_nearest_name_within_two_edits(name, known):
    near = nearest(name, known)
    distances = [brute_distance(name, one) for one in known if brute_distance(name, one) <= min(2, max(len(one) - 2, len(one) > 1))]
    assert (near is None) == (not distances)
    assert near is None or brute_distance(name, near) == min(distances)


@pytest.mark.parametrize(
    ("name", "known", "meant"),
    [
        ("temprature", ["temperature", "top_p"], "temperature"),
        ("Temperature", ["temperature"], "temperature"),
        ("maxtokens", ["max_tokens", "min_tokens"], "max_tokens"),
        ("temp", ["temperature"], None),
        ("idd", ["id"], "id"),
        ("k", ["n"], None),  # of a single letter nothing is left
        ("N", ["n"], "n"),
        ("", ["n", "id"], None),
        pytest.param("x" * 1_000_000, ["temperature"], None, id="at once, however long"),
    ],
)
def test_short_names_are_not_mistaken_for_others(name, known, meant):
    assert nearest(name, known) == meant


def test_an_unknown_name_is_told_with_what_was_meant_or_what_there_is():
    assert unknown("key", "nmae", ["name", "seed"]) == "unknown key; did you mean 'name'?"
    assert unknown("key", "colour", ["seed", "name"]) == "unknown key; expected one of name, seed"
    assert unknown("key", "colour", []) == "unknown key"


# Pydantic's faults, in words of our own


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = Field(ge=1, lt=9)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    word: str = Field(min_length=1, max_length=5)
    many: list[Inner] = Field(min_length=1)
    low: float = Field(gt=0, le=1, default=1)
    yes: bool = False
    table: dict[str, str] = Field(default_factory=dict)


def messages(data, **more):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(data)
    return [f"{spelled(path)}: {message}" for path, message in from_pydantic(caught.value, {"": ["word", "many"], "many[]": ["size"]}, **more)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"word": 3}, "word: found 3; expected a string"),
        ({"word": ""}, "word: found ''; expected a text that is not empty"),
        ({"word": "longer"}, "word: found 'longer'; expected at most 5 characters"),
        ({"word": "\ud800"}, r"word: holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself"),
        ({"many": []}, "many: found an empty list; expected at least one entry"),
        ({"many": {}}, "many: found an empty mapping; expected a list"),
        ({"many": [3]}, "many[0]: found 3; expected a mapping"),
        ({"many": [{}]}, "many[0].size: is missing; add it"),
        ({"many": [{"size": "3"}]}, "many[0].size: found '3'; expected a whole number; write it without quotes"),
        ({"many": [{"size": "three"}]}, "many[0].size: found 'three'; expected a whole number"),
        ({"many": [{"size": 0.5}]}, "many[0].size: found 0.5; expected a whole number"),
        ({"many": [{"size": True}]}, "many[0].size: found true; expected a whole number"),
        ({"many": [{"size": 0}]}, "many[0].size: found 0; expected a number of at least 1"),
        ({"many": [{"size": 9}]}, "many[0].size: found 9; expected a number below 9"),
        ({"many": [{"size": 1, "sise": 2}]}, "many[0].sise: unknown key; did you mean 'size'?"),
        ({"low": 0.0}, "low: found 0.0; expected a number above 0.0"),
        ({"low": 1.5}, "low: found 1.5; expected a number of at most 1.0"),
        ({"low": "x"}, "low: found 'x'; expected a number"),
        ({"yes": "yes"}, "yes: found 'yes'; expected true or false"),
        ({"table": [1]}, "table: found a list; expected a mapping"),
        ({"wrod": 1}, "wrod: unknown key; did you mean 'word'?"),
        ({"colour": 1}, "colour: unknown key; expected one of many, word"),
    ],
)
def test_each_kind_of_fault_says_what_was_found_and_expected(change, message):
    assert messages({"word": "a", "many": [{"size": 1}]} | change) == [message]


def test_a_reason_goes_before_what_was_meant():
    data = {"word": "a", "many": [{"size": 1, "sise": 2}], "wrod": 1}
    assert messages(data, reason=lambda path: "it stands elsewhere" if len(path) == 1 else None) == [
        "many[0].sise: unknown key; did you mean 'size'?",
        "wrod: it stands elsewhere",
    ]


def test_several_faults_are_one_error_with_a_path_each():
    error = Faults([(("a",), "is odd"), ((), "is empty")])
    assert error.found == ((("a",), "is odd"), ((), "is empty"))
    assert str(error) == "is odd; is empty"


def test_the_tree_of_errors_is_as_its_docstring_draws_it():
    drawn = [name for name in (errors.__doc__ or "").split() if name.endswith("Error")]
    assert sorted(drawn) == sorted(name for name in vars(errors) if name.endswith("Error"))
    assert all(issubclass(getattr(errors, name), errors.EvalkitError) for name in drawn)
    assert issubclass(errors.AuthError, errors.EndpointError)
