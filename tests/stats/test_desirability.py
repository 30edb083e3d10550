from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from support.process import ROOT

from evalkit.stats.desirability import clearly_beaten, maximize, minimize, overall, pareto, target

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}


def test_derringer_and_suichs_tire_tread() -> None:
    case = GOLDEN["desirability (Derringer-Suich tire tread)"]
    limits, y = case["params"]["limits"], np.array(case["expected"]["y"])
    each = np.array([maximize(y[0], *limits[0][:2]), maximize(y[1], *limits[1][:2]), target(y[2], *limits[2][:3]), target(y[3], *limits[3][:3])])
    assert each == pytest.approx(case["expected"]["d"], abs=case["tolerance"])
    assert overall(each, np.ones(4)) == pytest.approx(case["expected"]["D"], abs=case["tolerance"])


def test_weights_and_exponents_by_hand() -> None:
    assert maximize(np.array([0.0, 0.25, 1.0, 2.0]), 0, 1, 2).tolist() == [0, 0.0625, 1, 1]
    assert minimize(np.array([1.0, 3.0, 5.0]), 1, 5).tolist() == [1, 0.5, 0]
    assert maximize(np.array([1.0, 2.0]), 2, 2).tolist() == [0, 1]  # no room between
    assert overall(np.array([[0.25], [1.0]]), np.array([2.0, 1.0])) == pytest.approx([0.25 ** (2 / 3)])
    assert overall(np.array([[0.0], [1.0]]), np.array([1.0, 1.0])).tolist() == [0.0]
    assert np.isnan(maximize(np.array([np.nan]), 0, 1)).all()


@given(arrays(float, (7, 2), elements=st.integers(0, 4).map(float)))
def test_the_pareto_set_is_what_no_other_beats(points: np.ndarray) -> None:
    expected = [not any((b >= a).all() and (b > a).any() for b in points) for a in points]
    assert pareto(points).tolist() == expected
    assert any(expected)


def test_the_unknown_is_beaten() -> None:
    assert pareto(np.array([[1.0, np.nan], [0.5, 0.5]])).tolist() == [False, True]


def test_clearly_beaten_needs_every_aim() -> None:
    low = np.zeros((2, 2, 2))
    low[0, 1] = [0.1, 0.0]  # option 0 over option 1
    low[1, 0] = [0.2, -0.1]
    assert clearly_beaten(low).tolist() == [False, True]
