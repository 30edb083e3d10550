"""Costs and budgets: known numbers, unknown ones that stay unknown, and bounds that hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent, cost_of, least_cost, most_cost, priced
from evalkit.experiment.endpoint import BatchPrices, Prices
from evalkit.experiment.known_prices import known
from evalkit.store.records import Usage

PRICES = Prices(input=0.5, output=1.5, currency="EUR")
counts, shares, sums = st.integers(0, 10**9), st.floats(0, 1), st.floats(0, 1e4)
prices = st.builds(Prices, input=sums, output=sums, cached_input=st.none() | sums, reasoning=st.none() | sums)


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


APART = Prices(input=2.0, output=8.0, cached_input=0.5, reasoning=4.0)


def test_tokens_read_before_and_tokens_thought_cost_what_they_cost() -> None:
    """Of 1,000 tokens of a prompt 800 were cached; of 500 of an answer 300 are hidden."""
    spent = Spent(APART)
    told = Usage(prompt_tokens=1000, completion_tokens=500, cached_tokens=800, reasoning_tokens=300)
    spent.add(told, answered=True)
    assert (spent.cached, spent.thought) == (800, 300)
    assert spent.cost == pytest.approx((200 * 2 + 800 * 0.5 + 200 * 8 + 300 * 4) / 1e6)
    plain = Spent(Prices(input=2.0, output=8.0))
    plain.add(told, answered=True)
    assert plain.cost == pytest.approx((1000 * 2 + 500 * 8) / 1e6), "without prices of their own they cost what all cost"


def test_more_cached_or_thought_than_there_is_counts_as_all() -> None:
    spent = Spent(APART)
    spent.add(Usage(prompt_tokens=10, completion_tokens=5, cached_tokens=99, reasoning_tokens=99), answered=True)
    assert spent.cost == pytest.approx((10 * 0.5 + 5 * 4) / 1e6)


@given(tokens_in=counts, tokens_out=counts, cached=shares, thought=shares, prices=prices)
def test_what_a_run_may_cost_holds_what_it_costs(tokens_in: int, tokens_out: int, cached: float, thought: float, prices: Prices) -> None:
    cost = cost_of(prices, tokens_in, tokens_out, cached=cached * tokens_in, thought=thought * tokens_out)
    slack = 1e-9 * (1 + cost)
    assert least_cost(prices, tokens_in, tokens_out) - slack <= cost <= most_cost(prices, tokens_in, tokens_out) + slack


def test_a_batch_costs_what_it_costs_whatever_was_cached() -> None:
    halved = Prices(input=2.0, output=8.0, cached_input=0.5, batch=BatchPrices(input=1.0, output=4.0)).of_batches()
    assert cost_of(halved, 1000, 500, cached=1000) == pytest.approx((1000 * 1.0 + 500 * 4.0) / 1e6)


def test_prices_that_are_known_tell_what_cached_tokens_cost() -> None:
    """OpenAI's gpt-4.1-mini: 0.40, 1.60 and for cached input 0.10 USD a million tokens (its price list of 2025)."""
    found, table = known("https://api.openai.com/v1", "gpt-4.1-mini")
    assert found == pytest.approx({"input": 0.4, "output": 1.6, "cached_input": 0.1})
    assert table.startswith("genai-prices ")


@given(st.lists(st.tuples(counts, counts, counts, counts, st.booleans()), max_size=8), st.integers(0, 8))
def test_what_is_counted_elsewhere_costs_what_it_costs_here(calls: list[tuple[int, int, int, int, bool]], cut: int) -> None:
    """As where workers count, and tell by and by."""
    here, there, told = Spent(APART), Spent(APART), Spent(APART)
    before = there.used
    for number, (prompt, completion, cached, thought, known_usage) in enumerate(calls):
        usage_of = Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached, reasoning_tokens=thought)
        for one in (here, there):
            one.requests += 1
            one.add(usage_of if known_usage else None, answered=True)
        if number == cut:
            told.take(there.used.since(before))
            before = there.used
    told.take(there.used.since(before))
    assert told.used == here.used
    assert told.cost == here.cost
