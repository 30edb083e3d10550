from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.stats.selection import Aim, desirability, select

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
