"""A part of a plan: the parts make the whole, each request in one of them, whole groups together, whatever is added later."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import experiment

from evalkit.errors import ExperimentError
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard, shard_of

PROMPTS = tuple(f"p{number}" for number in range(12))


def keys(plan: Plan) -> list[str]:
    return [request.key for request in plan.sequence()]


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 12), st.sampled_from([None, {"every": 0}, {"every": 3}]))
def test_the_parts_together_are_the_whole_and_no_request_is_in_two(of: int, replicates: int, prompts: int, anchor: Any) -> None:
    more = {} if anchor is None else {"anchor": anchor}
    made = experiment({"temperature": [0, 0.5, 1], "top_p": [0.5, 1]}, PROMPTS[:prompts], replicates, **more)
    parts = [Plan(made, shard=Shard(number, of)) for number in range(1, of + 1)]
    found = [key for part in parts for key in keys(part)]
    assert len(found) == len(set(found))
    assert set(found) == set(keys(Plan(made)))
    for part in parts:
        assert len(part) + part.anchor_count == len(keys(part))
        groups = Counter((one.cell_index, one.prompt_index) for one in part)
        assert set(groups.values()) <= {replicates}
        assert all(part.has(*where) for where in groups)
        assert part.tokens()[:4] == part.tokens_of(part.sequence())[:4]


def test_levels_prompts_and_replicates_that_are_added_move_no_request_to_another_part() -> None:
    few = experiment({"temperature": [0.2, 0.7]}, PROMPTS[:4], 2)
    more = experiment({"temperature": [0.1, 0.2, 0.7, 0.9]}, PROMPTS, 3)
    for number in range(1, 6):
        assert set(keys(Plan(few, shard=Shard(number, 5)))) <= set(keys(Plan(more, shard=Shard(number, 5))))


def test_parts_are_even_and_orders_are_those_of_the_whole() -> None:
    made = experiment({"temperature": [level / 100 for level in range(100)]}, PROMPTS, 1, anchor={"every": 0})
    order = {key: at for at, key in enumerate(keys(Plan(made)))}
    sizes = []
    for number in range(1, 9):
        found = keys(Plan(made, shard=Shard(number, 8)))
        sizes.append(len(found))
        assert all(order[one] < order[other] for one, other in pairwise(found))
    assert sum(sizes) == 1200
    assert max(abs(size - 150) for size in sizes) < 4 * (150 * 7 / 8) ** 0.5  # four standard deviations of a binomial


def test_a_shard_is_written_as_its_number_and_how_many_there_are() -> None:
    assert shard_of(" 3/16 ") == Shard(3, 16)
    assert str(Shard(3, 16)) == "3/16"


@pytest.mark.parametrize("text", ["0/4", "5/4", "x/y", "1", "", "1/0", "-1/4", "1/2/3", "1.5/4", "1/9999999"])
def test_what_is_no_shard_is_told(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"^shard: found .*; expected one"):
        shard_of(text)
