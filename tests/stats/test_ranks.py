"""Kendall's tau: equal to scipy's, to a published example, and to counting."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalkit.stats.ranks import kendall

series = st.one_of(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60),
    st.lists(st.integers(0, 5).map(float), min_size=2, max_size=60),
    st.integers(34, 60).flatmap(lambda n: st.permutations([float(one) for one in range(n)])),
)


@given(series)
def test_tau_and_p_are_scipys(values: list[float]) -> None:
    found, oracle = kendall(values), stats.kendalltau(range(len(values)), values)
    assert found.tau == pytest.approx(oracle.statistic, nan_ok=True, abs=1e-12)
    assert found.p == pytest.approx(oracle.pvalue, nan_ok=True, rel=1e-9, abs=1e-300)


def test_the_p_of_few_values_counts_all_orders() -> None:
    def falling(order: tuple[int, ...]) -> int:
        return sum(one > other for at, one in enumerate(order) for other in order[at + 1 :])

    orders = list(permutations(range(6)))
    for order in orders[::37]:
        least = min(falling(order), 15 - falling(order))
        expected = min(1.0, sum(2 * (falling(other) <= least) for other in orders) / len(orders))
        assert kendall([float(one) for one in order]).p == pytest.approx(expected)


def test_what_does_not_vary_has_no_trend() -> None:
    assert math.isnan(kendall([2.0, 2.0, 2.0]).tau)
    assert math.isnan(kendall([1.0]).p)
    assert kendall([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx((1.0, 2 / 120))
    assert kendall([float(-one) for one in range(300)]).tau == pytest.approx(-1.0)
