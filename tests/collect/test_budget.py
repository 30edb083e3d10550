"""Costs and budgets: known numbers, unknown ones that stay unknown, and bounds that hold."""

from __future__ import annotations

import pytest

from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent, cost_of, priced
from evalkit.experiment.endpoint import Prices
from evalkit.store.records import Usage

PRICES = Prices(input=0.5, output=1.5, currency="EUR")


def usage(tokens_in: int, tokens_out: int | None) -> Usage:
    return Usage(prompt_tokens=tokens_in, completion_tokens=tokens_out)


def test_tokens_cost_what_a_million_of_them_costs() -> None:
    assert cost_of(PRICES, 2_000_000, 1_000_000) == pytest.approx(2.5)
    spent = Spent(PRICES)
    spent.add(usage(1000, 500), answered=True)
    spent.add(usage(1000, 500), answered=True)
    assert (spent.tokens_in, spent.tokens_out, spent.tokens) == (2000, 1000, 3000)
    assert spent.cost == pytest.approx((2000 * 0.5 + 1000 * 1.5) / 1e6)
    assert priced(spent.cost, PRICES) == "0.0025 EUR"
    assert priced(1234.5, PRICES) == "1,234.50 EUR"


@pytest.mark.parametrize("odd", [None, usage(5, None)])
def test_what_is_not_known_is_unknown_and_never_nothing(odd: Usage | None) -> None:
    assert Spent().cost is None
    assert priced(Spent().cost, None) == "unknown"
    spent = Spent(PRICES)
    spent.add(odd, answered=True)
    assert (spent.cost, spent.uncounted) == (None, 1)
    assert "does not tell the tokens" in (spent.over(Budget(cost=1.0), 0) or "")
    assert "does not tell the tokens" in (spent.over(Budget(tokens=10), 0) or "")
    assert spent.over(Budget(requests=10, seconds=5), 0) is None


def test_a_call_without_an_answer_costs_what_it_tells_and_leaves_the_cost_known() -> None:
    spent = Spent(PRICES)
    spent.add(None, answered=False)
    assert (spent.cost, spent.uncounted) == (0, 0)
    spent.add(usage(1000, 0), answered=False)
    assert spent.cost == pytest.approx(1000 * 0.5 / 1e6)


@pytest.mark.parametrize(
    ("budget", "seconds", "why"),
    [
        (Budget(), 1e9, None),
        (Budget(requests=4), 0, None),
        (Budget(requests=3), 0, "3 requests of budget.requests"),
        (Budget(tokens=3001), 0, None),
        (Budget(tokens=3000), 0, "3,000 tokens of budget.tokens"),
        (Budget(cost=0.003), 0, None),
        (Budget(cost=0.0025), 0, "0.0025 EUR of budget.cost"),
        (Budget(seconds=10), 9.9, None),
        (Budget(seconds=10), 10.0, "the time of budget.seconds is used up"),
    ],
)
def test_a_budget_is_used_up_at_its_bound(budget: Budget, seconds: float, why: str | None) -> None:
    spent = Spent(PRICES, requests=3)
    spent.add(usage(2000, 1000), answered=True)
    over = spent.over(budget, seconds)
    assert over is None if why is None else why in (over or "")


def test_what_is_under_way_counts_by_what_a_call_has_used_so_far() -> None:
    spent = Spent(PRICES)
    assert not spent.committed(Budget(tokens=10), 4), "nothing is known of a call yet"
    for _ in range(2):
        spent.requests += 1
        spent.add(usage(600, 400), answered=True)
    spent.requests += 3
    assert spent.committed(Budget(tokens=5000), 3)
    assert not spent.committed(Budget(tokens=5001), 3)
    assert spent.committed(Budget(cost=cost_of(PRICES, 3000, 2000)), 3)
    assert not spent.committed(Budget(requests=1, seconds=1), 3)
