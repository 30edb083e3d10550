"""A key leads back to the place of its request, and no other key leads anywhere."""

from __future__ import annotations

import pytest
from support.records import experiment

from evalkit.plan.places import Places
from evalkit.plan.requests import Plan

SWEPT = experiment({"temperature": [0.2, 0.7, 1.2], "top_p": [0.5, 1.0]}, prompts=["p", "q", "r"], replicates=4)
WHOLE = Plan(SWEPT)


@pytest.mark.parametrize(
    "plan",
    [WHOLE, Plan(SWEPT, role="confirm", first=4, count=2), Plan(SWEPT, only=(1, 4)), Plan(SWEPT, blocks=frozenset({(0, 0), (5, 2), (3, 1)}))],
    ids=["whole", "fresh replicates", "some cells", "some pairs"],
)
def test_the_place_of_each_key_is_that_of_its_request(plan: Plan) -> None:
    places = Places(plan)
    numbers = set()
    for request in plan:
        number = places.number(request.key)
        assert number is not None
        assert number < places.size
        assert places.place(number) == (request.cell_index, request.prompt_index, request.replicate)
        numbers.add(number)
    assert len(numbers) == len(places) == len(plan)


def test_other_keys_have_no_place() -> None:
    places = Places(WHOLE)
    key = next(iter(WHOLE)).key
    for other in ("", "no hexadecimal number", "00" * 16, "ff" * 16, key[:-2], f"{key}00", f"{key[:16]}{'0' * 16}", f"{'0' * 16}{key[16:]}"):
        assert places.number(other) is None
    assert all(places.number(one.key) is None for one in Plan(SWEPT, role="confirm"))
