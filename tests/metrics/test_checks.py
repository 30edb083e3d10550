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
        ("refusal", "I’m sorry, but no.", 1),
        ("refusal", "Sure. " * 100 + "I can't help", 0),
    ],
)
def test_a_check_passes_or_not(spec: Any, text: str, expected: float) -> None:
    assert values(metric(spec), tokenise([text])).tolist() == [expected]


def test_what_a_prompt_expects_is_the_argument_that_is_left_out() -> None:
    for kind, text, expected in (("contains", "it is 42", 1), ("equals", "it is 42", 0), ("not_contains", "it is 42", 0)):
        assert values(metric(kind), tokenise([text], expect="42")).tolist() == [expected]
        assert math.isnan(values(metric(kind), tokenise([text]))[0])
    assert [one.name for one in metrics([], expects=True)] == ["contains"]
    assert [one.name for one in metrics([{"contains": "x"}, "equals", {"contains": "y"}], expects=True)] == ["contains", "equals", "contains:2"]
    assert metrics([], expects=False) == ()


@pytest.mark.parametrize("spec", ["contain", {"contains": 3}, {"regex": "("}, {"regex": None}, {"is_json": 1}, {"json_schema": {"type": 3}}, {}, 7])
def test_what_is_no_check_is_refused(spec: Any) -> None:
    assert fault(spec)
    assert all(fault(kind) is None for kind in KINDS if kind not in ("regex", "json_schema"))
    if not isinstance(spec, int):
        with pytest.raises(ExperimentError, match="checks"):
            experiment(checks=[spec])


def test_an_experiments_checks_do_not_change_what_is_sent() -> None:
    plain, checked = experiment(), experiment(checks=["is_json"], scorers=["json:loads"])
    assert plain.digest() == checked.digest()
    assert [one.key for one in Plan(plain)] == [one.key for one in Plan(checked)]
