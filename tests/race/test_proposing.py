"""Proposals: the same for the same arguments, where settings are good, clear of what waits, and within the bounds that were told."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.race.look import Bound, Seen
from evalkit.race.proposing import Axis, Trial, ask, axes_of, measured
from evalkit.race.schedule import joining
from evalkit.stats.selection import Aim

OVER = {"temperature": {"min": 0, "max": 1}, "top_k": [40, 10, 20], "stop": ["a", "b"], "max_tokens": [60]}


def bowl(beyond: bool = False) -> list[Trial]:
    """Settings on a plane that is best at (0.8, 0.2); beyond a bound, where one is told, to the right of 0.6."""
    points = np.random.default_rng(1).random((30, 2))
    worth = 1 - ((points - [0.8, 0.2]) ** 2).sum(axis=1)
    return [Trial(tuple(point), value, (point[0] - 0.6,) if beyond else ()) for point, value in zip(points.tolist(), worth.tolist(), strict=True)]


AXES = axes_of({"temperature": {"min": 0, "max": 1}, "top_p": {"min": 0, "max": 1}})


def test_an_axis_has_its_values_in_order_and_finds_each_again() -> None:
    temperature, top_k, stop = axes_of(OVER)
    assert (top_k.values, top_k.ordered, stop.ordered) == ([10, 20, 40], True, False)
    for axis in (temperature, top_k, stop):
        assert all(axis.level(axis.place(one)) == one for one in axis.values)
    assert temperature.level(0.0) == 0
    assert temperature.level(1.0) == 1
    assert temperature.place(None) == 0.5


def test_proposals_are_the_same_again_and_lie_where_settings_are_good() -> None:
    found = [ask(AXES, bowl(), seed) for seed in range(12)]
    assert found == [ask(AXES, bowl(), seed) for seed in range(12)]
    assert np.linalg.norm(np.array(found) - [0.8, 0.2], axis=1).mean() < 0.35  # of random points it is 0.58


def test_bounds_are_told_to_the_sampler() -> None:
    free, bound = (np.array([ask(AXES, bowl(beyond), seed) for seed in range(12)])[:, 0] for beyond in (False, True))
    assert (bound < 0.6).mean() > 0.7 > (free < 0.6).mean()


def test_levels_without_an_order_are_proposed_by_their_number(caplog: pytest.LogCaptureFixture) -> None:
    axes = axes_of(OVER)
    told = [Trial((0.1 * number, 0.5, number % 2), float(number % 2)) for number in range(10)]
    with caplog.at_level(logging.INFO):
        found = [ask(axes, [*told, Trial((0.5, 0.5, 1.0), None)], seed) for seed in range(8)]
    assert {point[2] for point in found} <= {0.0, 1.0}
    assert np.mean([point[2] for point in found]) > 0.5
    assert not caplog.records


def test_settings_asked_easy_prompts_are_not_held_to_be_better() -> None:
    """The second is as good as the first, seen on the two easy prompts alone; the third is better, on those too."""
    grid = np.array([[0.9, 0.8, 0.2, 0.1], [0.9, 0.8, np.nan, np.nan], [1.0, 0.9, np.nan, np.nan], [np.nan] * 4])
    worth, beyond = measured(Seen(grid[None], grid[None]), [Aim("maximize", 0, 1)], [Bound("m", 0.55, True, 0, 1)], [0])
    assert worth[:3] == pytest.approx([0.5, 0.5, 0.6])
    assert np.isnan(worth[3])
    assert np.sign(beyond[0]).tolist() == [-1, -1, 1, 1]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(2, 60), st.floats(0.05, 0.95))
def test_those_that_join_cost_no_more_than_the_budget_or_than_one_that_finishes(new: int, prompts: int, budget: float) -> None:
    found = joining(new, prompts, budget)
    counts = [new, *found.most]
    cost = sum(many * (later - sooner) for many, sooner, later in zip(counts, (0, *found.looks), found.looks, strict=False))
    assert cost == found.worst <= max(budget * new * prompts, new * found.looks[0] + prompts - found.looks[0]) + 1e-9
    assert list(found.most) == sorted(found.most, reverse=True)
    assert all(many >= 1 for many in found.most)


def test_an_axis_of_text_keeps_its_order() -> None:
    (axis,) = axes_of({"stop": ["b", "a"]})
    assert axis == Axis("stop", ["b", "a"], ordered=False)
