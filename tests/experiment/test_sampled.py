"""Settings drawn from levels and ranges: by the seed alone, within their ends, and told as a list of settings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import check
from evalkit.plan.design import design_of
from evalkit.plan.requests import Plan

RANGES = {"temperature": {"min": 0.1, "max": 1.5}, "top_p": {"min": 0.5, "max": 1}, "max_tokens": {"min": 20, "max": 200}, "n_best": ["a", "b"]}


def drawn(kind: str = "sobol", points: int = 16, **changes: object) -> object:
    data = {
        "name": "drawn",
        "endpoint": {"base_url": "local", "model": "babbler"},
        "prompts": [{"id": "a", "user": "b"}],
        "parameters": RANGES,
        "design": {"kind": kind, "points": points},
    }
    return check({name: value for name, value in (data | changes).items() if value is not None})


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["random", "sobol", "lhs"]), st.integers(2, 40), st.integers(0, 1000))
def test_every_point_lies_within_its_ranges_and_reads_back_as_it_was(kind: str, points: int, seed: int) -> None:
    found = drawn(kind, points, seed=seed)
    cells = design_of(found).cells
    assert len(cells) == points
    assert all(0.1 <= cell["temperature"] <= 1.5 and 0.5 <= cell["top_p"] <= 1 for cell in cells)
    assert all(isinstance(cell["max_tokens"], int) and 20 <= cell["max_tokens"] <= 200 for cell in cells)
    assert {cell["n_best"] for cell in cells} <= {"a", "b"}
    again = check(found.resolved())
    assert [request.key for request in Plan(again)] == [request.key for request in Plan(found)]
    assert drawn(kind, points, seed=seed) == found


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_more_points_leave_those_there_are(kind: str) -> None:
    few, many = (design_of(drawn(kind, points)).cells for points in (9, 30))
    assert many[:9] == few


def test_sobol_points_are_spread_more_evenly_than_random_ones() -> None:
    def spread(kind: str) -> float:
        cells = design_of(drawn(kind, 32, parameters={name: RANGES[name] for name in ("temperature", "top_p")})).cells
        return float(qmc.discrepancy(np.array([[(cell["temperature"] - 0.1) / 1.4, (cell["top_p"] - 0.5) / 0.5] for cell in cells])))

    assert spread("sobol") < spread("random")
    assert spread("lhs") < spread("random")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"design": {"kind": "sobl", "points": 8}}, r"design.kind: found 'sobl'; unknown kind; did you mean 'sobol'"),
        ({"design": {"kind": "sobol"}}, r"design.points: found nothing \(null\); expected how many settings to draw"),
        ({"design": {"kind": "sobol", "points": 8, "seed": 1}}, r"design.seed: unknown key"),
        ({"design": "grid"}, r"this range has no step; .* or draw from it: design: \{kind: sobol, points: 24\}"),
        ({"parameters": {"temperature": {"min": 1, "max": 1}}}, r"found min 1, max 1; expected max above min"),
        ({"parameters": {"temperature": {"min": 0, "max": 5}}}, r"parameters.temperature: found 5"),
        ({"parameters": {"temperature": {"min": 0, "max": 1, "step": 0.5}}}, r"take the step out"),
        ({"parameters": None}, r"nothing to draw from"),
        ({"cells": {"one": {"temperature": 1}}}, r"keep one of the two"),
    ],
)
def test_what_cannot_be_drawn_is_told(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        drawn(**changes)
