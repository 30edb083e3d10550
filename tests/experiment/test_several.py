"""Several endpoints as they are written: which of them a setting is asked of is swept like a parameter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan

A = {"name": "a", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
B = {"name": "b", "base_url": "http://127.0.0.1:2/v1", "model": "n"}


def written(**given: Any) -> Experiment:
    return check({"name": "x", "prompts": [{"id": "a", "user": "hi"}], **given}, "f.yaml")


@pytest.mark.parametrize(
    ("fields", "levels"),
    [
        ({}, {"endpoint": ("a", "b")}),
        ({"parameters": {"temperature": [0, 1]}}, {"endpoint": ("a", "b"), "temperature": (0, 1)}),
        ({"parameters": {"temperature": [0, 1], "endpoint": ["b"]}}, {"temperature": (0, 1), "endpoint": ("b",)}),
        ({"parameters": {"endpoint": "b"}}, {"endpoint": ("b",)}),
        ({"cells": {"w": {"endpoint": "b", "temperature": 1}, "v": {"endpoint": "a"}}}, {"endpoint": ("b", "a"), "temperature": (1, "default")}),
    ],
)
def test_all_are_asked_unless_levels_or_cells_say_which(fields: dict[str, Any], levels: dict[str, Any]) -> None:
    found = written(endpoints=[A, B], **fields)
    assert dict(found.parameters) == levels
    assert [one.model for one in found.asked] == [{"a": "m", "b": "n"}[name] for name in levels["endpoint"]]
    again = check(found.resolved())
    assert again == found
    assert again.digest() == found.digest()


def test_drawn_settings_draw_an_endpoint_too() -> None:
    found = written(endpoints=[A, B], parameters={"temperature": {"min": 0, "max": 1}}, design={"kind": "sobol", "points": 8})
    assert {cell["endpoint"] for cell in (found.cells or {}).values()} == {"a", "b"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"endpoints": []},
            "f.yaml: endpoints: the list is empty; expected endpoints, each with name, base_url and model",
        ),
        (
            {"endpoints": "a"},
            "f.yaml: endpoints: found 'a'; expected a list",
        ),
        (
            {"endpoints": ["sk-abcdefghijklmnopqrstuvwx"]},
            "f.yaml: endpoints[0]: found a text; expected a mapping with base_url and model",
        ),
        (
            {"endpoints": [A, {**B, "name": "a"}]},
            "f.yaml: endpoints[1].name: 'a' stands twice; names must differ",
        ),
        (
            {"endpoints": [A, {"base_url": "local", "modl": 1, "name": "c"}]},
            "f.yaml: endpoints[1].model: is missing; add it\nf.yaml: endpoints[1].modl: unknown key; did you mean 'model'?",
        ),
        (
            {"endpoints": [A, B], "endpoint": {"base_url": "local", "model": "babbler"}},
            "f.yaml: endpoints: stands beside endpoint; keep one of the two",
        ),
        (
            {"endpoints": [A, B], "parameters": {"endpoint": ["a", "bb"]}},
            "f.yaml: parameters.endpoint[1]: found 'bb'; unknown endpoint; expected one of a, b",
        ),
        (
            {"endpoints": [A, B], "parameters": {"endpoint": ["default"]}},
            "f.yaml: parameters.endpoint[0]: found 'default'; expected the name of one of the endpoints",
        ),
        (
            {"endpoints": [A, B], "cells": {"w": {"endpoint": "a"}, "v": {"temperature": 0}}},
            "f.yaml: cells.v.endpoint: is missing: a setting is asked of one endpoint; expected one of a, b",
        ),
        (
            {"endpoints": [A, B], "cells": {"w": {"endpoint": "q"}}},
            "f.yaml: cells.w.endpoint: found 'q'; expected one of a, b",
        ),
        (
            {"endpoints": [A, B], "request": {"endpoint": "a"}},
            "f.yaml: request.endpoint: this is a key of the top level; move it there",
        ),
        (
            {"endpoint": {"base_url": "local", "model": "babbler"}, "parameters": {"endpoint": ["a"]}},
            "f.yaml: parameters.endpoint: names some of several endpoints, and there is one; list them under 'endpoints', each with a name",
        ),
        (
            {"endpoints": [A, {**A, "name": "c"}]},
            "f.yaml: endpoints[1]: asks the same as a: the same model at the same address with the same extra_body, so that "
            "their answers could not be told apart; change one of these, or give it an identity of its own",
        ),
        (
            {"endpoints": [{**A, "prices": {"input": 1, "output": 1}}, {**B, "prices": {"input": 1, "output": 1, "currency": "EUR"}}]},
            "f.yaml: endpoints: prices stand in EUR and USD, which are not added up; give all in one currency",
        ),
        (
            {"endpoints": [A, {**B, "extra_body": {"top_k": 4}}], "parameters": {"top_k": [1, 2]}},
            "f.yaml: endpoints[1].extra_body.top_k: stands under 'parameters' or 'request' too; keep one of them",
        ),
        (
            {"endpoints": [A, B], "exclude": [{"endpoint": "q", "temprature": 1}], "parameters": {"temperature": [0, 1]}},
            "f.yaml: exclude[0].endpoint: found 'q'; expected one of its levels: a, b\nf.yaml: exclude[0].temprature: "
            "unknown swept parameter; did you mean 'temperature'?",
        ),
        (
            {"endpoints": [A, B], "exclude": [{}]},
            "f.yaml: exclude[0]: holds nothing, and would leave out everything; expected levels, like {temperature: 1.5, top_p: 0.5}",
        ),
        (
            {"endpoints": [A, B], "exclude": [{"endpoint": "a"}], "cells": {"w": {"endpoint": "a"}}},
            "f.yaml: exclude: goes with design: grid and one_at_a_time; take the cells out themselves",
        ),
        (
            {},
            "f.yaml: endpoint: is missing; add it",
        ),
    ],
    ids=range(19),
)
def test_what_is_wrong_is_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        written(**fields)
    assert str(caught.value) == message
    assert "sk-" not in str(caught.value)


def test_what_is_excluded_is_no_setting() -> None:
    levels = {"temperature": [0, 1], "top_p": [0.5, 1]}
    found = written(endpoints=[A, B], parameters=levels, exclude=[{"endpoint": "b", "temperature": 1}, {"top_p": 0.5, "temperature": 0}])
    cells = [tuple(cell.values()) for cell in Plan(found).cells]
    assert cells == [("a", 0, None), ("a", 1, 0.5), ("a", 1, 1), ("b", 0, None)], "what is void is not sent, and so not excluded"
    with pytest.raises(ExperimentError, match="exclude leaves out every setting"):
        _ = Plan(written(endpoints=[A, B], exclude=[{"endpoint": "a"}, {"endpoint": "b"}])).cells


@given(st.lists(st.sampled_from([(name, level) for name in "ab" for level in (0, 0.5, 1)]), max_size=5, unique=True))
def test_excluding_takes_away_just_the_requests_that_have_all_of_it(out: list[tuple[str, float]]) -> None:
    whole = written(endpoints=[A, B], parameters={"temperature": [0, 0.5, 1]}, replicates=2)
    less = check({**whole.resolved(), "exclude": [{"endpoint": name, "temperature": level} for name, level in out]})
    kept = {request.key for request in Plan(whole) if (request.cell["endpoint"], request.cell["temperature"]) not in out}
    assert {request.key for request in Plan(less)} == kept
