from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.selection import Aim, desirability, parts, select

UP = Aim("maximize", 0.0, 10.0)


def test_desirability_by_hand() -> None:
    aims = [UP, Aim("minimize", 8.0, 4.0, weight=3.0), Aim("target", 0.0, 4.0, target=2.0)]
    found = desirability(np.array([[5.0], [6.0], [1.0]]), aims)
    assert found == pytest.approx([(0.5 * 0.5**3 * 0.5) ** (1 / 5)])


def test_the_clear_best_is_alone() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(2, 0.2, (1, 6, 10))
    values[0, 3] += 3
    found = select(values, [UP], rng)
    assert found.best == 3
    assert found.tied.tolist() == [False, False, False, True, False, False]
    assert found.resample_share[3] == 1.0
    assert found.resample_share.sum() == pytest.approx(1.0)


def test_equals_are_tied_and_share_the_wins() -> None:
    values = np.repeat(np.random.default_rng(1).normal(5, 1, (1, 1, 8)), 4, axis=1)
    found = select(values, [UP], np.random.default_rng(2))
    assert found.tied.all()
    assert found.resample_share == pytest.approx([0.25] * 4)


def test_four_prompts_tell_nothing_apart() -> None:
    values = np.array([[[1.0, 1.1, 1.2, 0.9], [8.0, 8.1, 8.2, 7.9]]])
    assert select(values, [UP], np.random.default_rng(2)).tied.all()
    assert select(np.repeat(values, 2, axis=2) + np.linspace(0, 0.1, 8), [UP], np.random.default_rng(2)).tied.tolist() == [False, True]


def test_an_option_without_a_value_is_neither_best_nor_tied() -> None:
    values = np.full((2, 3, 8), 5.0)
    values[1, 0] = math.nan
    values[:, 2, 1] = math.nan
    found = select(values, [UP, UP], np.random.default_rng(2))
    assert math.isnan(found.desirability[0])
    assert found.tied.tolist() == [False, True, True]
    with pytest.raises(ValueError, match="no option"):
        select(np.full((1, 2, 3), math.nan), [UP], np.random.default_rng(2))


def worlds(true: list[float], noise: float, prompts: int, count: int):
    """Choices among options with these true means, each from values of its own; ends as an experiment gets them."""
    for number in range(count):
        rng = np.random.default_rng([prompts, number])
        values = np.array(true)[:, None] + noise * rng.normal(size=(len(true), prompts)) + rng.normal(size=prompts)
        low, high = float(values.mean(axis=1).min()), float(values.mean(axis=1).max())
        yield select(values[None], [Aim("maximize", low - 0.25 * (high - low), high, beyond=True)], rng)


@pytest.mark.parametrize("prompts", [8, 12])
def test_the_tied_hold_the_best_and_equals_are_not_left_out(prompts: int) -> None:
    near = list(worlds([0.0, 0.05, 0.1, 0.15, 0.2, 0.25], 0.5, prompts, 30))
    assert np.mean([one.tied[5] for one in near]) >= 0.93
    alike = list(worlds([0.0] * 6, 0.5, prompts, 30))
    assert np.mean([1 - one.tied.mean() for one in alike]) <= 0.1
    # Luck is not told as merit: plain resampling says 0.55 of the first of six equals, which is the best in one case of six.
    assert np.mean([one.resample_share[one.best] for one in alike]) <= 0.35
    graded = list(worlds([0.0, 2.0, 3.0, 4.0], 0.5, prompts, 20))
    assert np.mean([one.tied.tolist() == [False, False, False, True] for one in graded]) >= 0.9


def test_the_best_keeps_its_variance_at_an_end_of_its_scale() -> None:
    rng = np.random.default_rng(3)
    values = np.array([[5.0], [4.9]]) + rng.normal(0, 1, (2, 10))
    values[0] += 5.0 - values[0].mean()
    values[1] += 4.9 - values[1].mean()
    at_the_end, inside = (Aim("maximize", 0.0, best) for best in (5.0, 50.0))
    assert select(values[None], [at_the_end], rng).tied.all()
    assert select(values[None], [inside], rng).tied.all()


def test_beyond_the_best_that_is_wanted_all_are_alike() -> None:
    values = np.array([[9.0], [7.0], [2.0]]) + np.random.default_rng(3).normal(0, 0.01, (3, 10))
    enough = select(values[None], [Aim("maximize", 0.0, 6.0)], np.random.default_rng(1))
    assert enough.tied.tolist() == [True, True, False]
    assert enough.resample_share[:2] == pytest.approx([0.5, 0.5])
    assert select(values[None], [Aim("maximize", 0.0, 6.0, beyond=True)], np.random.default_rng(1)).tied.tolist() == [True, False, False]


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=2), st.integers(0, 1000))
def test_what_prompts_contribute_has_the_desirability_as_its_mean(weights: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(5, 1, (2, 3, 7))
    aims = [Aim("maximize", -5.0, 8.0, weights[0], beyond=True), Aim("target", -20.0, 30.0, weights[1], target=5.0)]
    means = values.mean(axis=2)
    assert parts(values, means, aims).mean(axis=1) == pytest.approx(desirability(means, aims))
