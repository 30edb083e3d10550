"""Rounding is no difference: what is equal but for the last digits is found equal, whatever is asked of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.analysis.estimation import against_reference, effects
from evalkit.stats.equivalence import tost
from evalkit.stats.intervals import t_interval
from evalkit.stats.precision import largest, minus, settled, spread
from evalkit.stats.selection import Aim, select

CELLS = [{"a": a, "b": b} for a in (0, 1, 2) for b in (0, 1)]
LEVELS = {"a": [0, 1, 2], "b": [0, 1]}
by_prompt = st.lists(st.floats(0, 1000), min_size=8, max_size=12)


@given(by_prompt, st.integers(0, 1000), st.booleans())
def test_noise_of_the_last_digits_on_equal_values_finds_nothing(values: list[float], seed: int, missing: bool) -> None:
    rng = np.random.default_rng(seed)
    grid = np.array(values) + 1e-12 * rng.normal(size=(len(CELLS), len(values)))
    if missing:
        grid[1, 0] = grid[3, 2] = math.nan
    found = effects({"m": grid}, CELLS, LEVELS, {"m": (0.02, "")}, seed)
    assert {one.verdict for one in found.verdicts} == {"no effect"}
    assert not any(one.beside_zero or one.sure for one in found.verdicts)
    assert {one.p for one in found.verdicts} | {one.p_adjusted for one in found.interactions} == {1.0}
    assert {(one.difference, one.ci_low, one.ci_high) for one in found.levels} == {(0.0, 0.0, 0.0)}
    assert {one.share for one in found.shares} <= {0.0}
    assert {one.left_over for one in found.left_over} == {0.0}
    assert {(one.difference, one.p_adjusted) for one in against_reference({"m": grid}, 0, seed)} == {(0.0, 1.0)}
    low = float(np.nanmin(grid))
    assert select(grid[None], [Aim("maximize", low - 0.02, low + 1, beyond=True)], rng).tied.all()


def test_a_design_that_needs_least_squares_finds_nothing_in_rounding_either() -> None:
    cells = [{"a": a, "b": b, "c": c} for a, b, c in ((0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1))]
    grid = np.linspace(0.1, 1, 10) + 1e-12 * np.random.default_rng(1).normal(size=(4, 10))
    found = effects({"m": grid}, cells, {"a": [0, 1], "b": [0, 1], "c": [0, 1]}, {"m": (0.02, "")}, 1)
    assert all(one.by_regression for one in found.verdicts)
    assert [(one.verdict, one.difference, one.p) for one in found.verdicts] == [("no effect", 0.0, 1.0)] * 3


@given(st.floats(1e-3, 1e6), st.floats(1e-6, 1.0))
def test_a_difference_that_a_metric_can_tell_stays(value: float, share: float) -> None:
    one, other = np.array([value * (1 + share)]), np.array([value])
    assert minus(one, other)[0] == one[0] - other[0] != 0


@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=8))
def test_what_is_settled_is_0_or_as_it_was(values: list[float]) -> None:
    array = np.array(values)
    found = settled(array, np.ones(1))
    assert ((found == 0) | (found == array) | np.isnan(array)).all()
    assert np.isnan(found).sum() == np.isnan(array).sum()
    assert largest(array).shape == (1,)


@given(st.floats(0.01, 1000), st.integers(3, 20))
def test_values_that_are_alike_but_for_rounding_have_no_spread(value: float, count: int) -> None:
    array = value * (1 + 1e-16 * np.arange(count) * (-1) ** np.arange(count))
    assert spread(array) == 0.0
    found = t_interval(array)
    assert found.low == found.mean == found.high


@pytest.mark.parametrize("rounding", [0.0, 1e-17, -1e-17])
def test_a_difference_of_the_margin_is_not_within_it(rounding: float) -> None:
    assert tost([0.02 + rounding] * 8, -0.02, 0.02).p == 1
    assert tost([-0.02 + rounding] * 8, -0.02, 0.02).p == 1
    assert tost([0.019 + rounding] * 8, -0.02, 0.02).p == 0
