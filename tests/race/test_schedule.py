"""The course of a race keeps to its budget, and asks as many as that allows."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.race.schedule import first_look, least_budget, looks_of, schedule

sizes = st.tuples(st.integers(4, 200), st.integers(3, 80))


def asked(cells: int, looks: tuple[int, ...], most: tuple[int, ...]) -> int:
    return cells * looks[0] + sum(many * (later - sooner) for many, (sooner, later) in zip(most, pairwise(looks), strict=True))


@given(sizes, st.floats(0.05, 0.95), st.integers(2, 5))
def test_it_never_asks_more_than_its_budget_with_the_reference_and_who_is_recalled(size: tuple[int, int], budget: float, finalists: int) -> None:
    cells, prompts = size
    found = schedule(cells, prompts, budget, None, finalists)
    if found is None:
        assert least_budget(cells, prompts, None, finalists) > budget - 1e-9
        return
    assert found.worst <= budget * cells * prompts + 1e-6
    assert asked(cells, found.looks, found.most) <= found.worst
    leaves = next((look for look, many in zip(found.looks, found.most, strict=False) if many < cells), prompts)
    assert asked(cells, found.looks, found.most) + prompts - leaves <= found.worst  # the reference is asked all, whoever else leaves
    assert list(found.looks) == sorted(set(found.looks))
    assert found.looks[-1] == prompts
    assert all(sooner >= later for sooner, later in pairwise((cells, *found.most)))
    assert all(many >= min(finalists, cells) for many in found.most)


def test_the_reference_counts_where_the_first_look_sends_nobody_away() -> None:
    found = schedule(8, 8, 0.8, first=1, finalists=2)
    assert found is not None
    assert found.most[0] == 8
    assert found.worst >= asked(8, found.looks, found.most) + 4


@given(sizes)
def test_the_least_budget_is_enough_and_less_is_not(size: tuple[int, int]) -> None:
    cells, prompts = size
    least = least_budget(cells, prompts)
    if least < 1:
        assert schedule(cells, prompts, least + 1e-6) is not None
        assert schedule(cells, prompts, least - 1 / (cells * prompts)) is None


@given(sizes)
def test_a_proof_lets_everybody_stay(size: tuple[int, int]) -> None:
    cells, prompts = size
    found = schedule(cells, prompts, None)
    assert found is not None
    assert set(found.most) <= {cells}
    assert found.worst == cells * prompts


@pytest.mark.parametrize(
    ("first", "prompts", "step", "looks"),
    [(3, 20, 2, (3, 6, 12, 20)), (2, 10, 2, (2, 4, 10)), (5, 50, 2, (5, 10, 20, 50)), (6, 50, 1.5, (6, 9, 14, 21, 32, 50)), (7, 7, 2, (7,))],
)
def test_looks_come_at_a_growing_number_of_prompts(first: int, prompts: int, step: float, looks: tuple[int, ...]) -> None:
    assert looks_of(first, prompts, step) == looks


def test_the_first_look_is_early_where_prompts_are_few() -> None:
    assert [first_look(prompts) for prompts in (1, 10, 12, 13, 30, 31)] == [1, 2, 2, 3, 3, 5]
    assert [first_look(prompts, proof=True) for prompts in (4, 12, 30, 31)] == [4, 5, 5, 6]
