"""Checks: what passes, what does not, and what cannot be said."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.records import experiment

from evalkit.errors import ExperimentError
from evalkit.metrics import tokenise, values
from evalkit.metrics.checks import KINDS, fault, metric, metrics
from evalkit.plan.requests import Plan


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ({"contains": "cat"}, "a cat", 1),
        ({"contains": "cat"}, "a Cat", 0),
        ({"contains": "cat"}, "", 0),
        ({"not_contains": "cat"}, "", 1),
        ({"equals": "42"}, " 42\n", 1),
        ({"equals": "42"}, "421", 0),
        ({"regex": "^[0-9]+$"}, "42", 1),
        ({"regex": "^[0-9]+$"}, "x42", 0),
        ("is_json", '{"a": [1, null]}', 1),
        ("is_json", "{a: 1}", 0),
        ("is_json", "NaN", 0),
        ("is_json", "[" * 100_000, 0),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', 1),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', 0),
        ({"json_schema": {"type": "object"}}, "no json", 0),
        ({"words": {"min": 2, "max": 3}}, "one two  three", 1),
        ({"words": {"min": 2}}, "one", 0),
        ({"words": {"max": 1}}, "", 1),
        ({"facts": ["Paris", "2.1 million", "the Seine"]}, "PARIS, on the\nSeine, has 2.1 million people.", 1),
        ({"facts": ["Paris", "12"]}, "Parisians in 2012", 0),
        ({"facts": ["one", "two", "three", "four"]}, "Three. One!", 0.5),
        ("python", "Here:\n```python\ndef f(x):\n    return x\n```\nDone.", 1),
        ("python", "```\ndef f(x)\n    return x\n```", 0),
        ("python", "def f(x): return '\\d'", 1),
        ("python", "That is easy.", 0),
        ("python", "", 0),
        ("python", "x = \0", 0),
        ("refusal", "I’m sorry, but no.", 1),
        ("refusal", "Sure. " * 100 + "I can't help", 0),
    ],
)
def test_a_check_passes_or_not(spec: Any, text: str, expected: float) -> None:
    assert values(metric(spec), tokenise([text])).tolist() == [expected]


@pytest.mark.parametrize("code", ["(" * 5_000, "-" * 5_000 + "1", "x = 1\n" * 10_000, "not " * 5_000 + "x"])
def test_of_code_that_might_overcome_the_parser_nothing_is_said(code: str) -> None:
    assert math.isnan(values(metric("python"), tokenise([code]))[0])


def test_facts_are_the_lines_of_what_a_prompt_expects() -> None:
    assert values(metric("facts"), tokenise(["Ten of them in May."], expect="ten\n\nMay\nJune\n")).tolist() == [2 / 3]
    assert math.isnan(values(metric("facts"), tokenise(["Ten"]))[0])
    assert [one.name for one in metrics(["facts"], expects=True)] == ["facts"]


def test_what_a_prompt_expects_is_the_argument_that_is_left_out() -> None:
    for kind, text, expected in (("contains", "it is 42", 1), ("equals", "it is 42", 0), ("not_contains", "it is 42", 0)):
        assert values(metric(kind), tokenise([text], expect="42")).tolist() == [expected]
        assert math.isnan(values(metric(kind), tokenise([text]))[0])
    assert [one.name for one in metrics([], expects=True)] == ["contains"]
    assert [one.name for one in metrics([{"contains": "x"}, "equals", {"contains": "y"}], expects=True)] == ["contains", "equals", "contains:2"]
    assert metrics([], expects=False) == ()


@pytest.mark.parametrize(
    "spec",
    [
        "contain",
        {"contains": 3},
        {"regex": "("},
        {"regex": None},
        {"is_json": 1},
        {"json_schema": {"type": 3}},
        {"words": {}},
        {"words": {"min": 3, "max": 2}},
        {"words": {"least": 3}},
        {"words": 3},
        {"facts": []},
        {"facts": "x"},
        {"python": "x"},
        {},
        7,
    ],
)
def test_what_is_no_check_is_refused(spec: Any) -> None:
    assert fault(spec)
    assert all(fault(kind) is None for kind in KINDS if kind not in ("regex", "json_schema", "words"))
    if not isinstance(spec, int):
        with pytest.raises(ExperimentError, match="checks"):
            experiment(checks=[spec])


def test_an_experiments_checks_do_not_change_what_is_sent() -> None:
    plain, checked = experiment(), experiment(checks=["is_json"], scorers=["json:loads"])
    assert plain.digest() == checked.digest()
    assert [one.key for one in Plan(plain)] == [one.key for one in Plan(checked)]
