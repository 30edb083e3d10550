"""Money is told of 1,000 answers, with digits enough and without powers of ten, whatever its size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.summary.quantities import digits_among, explained, factor, headed, measured, plain_size, signed_of, sized

sizes = st.floats(1e-9, 1e3)


@given(st.lists(sizes, min_size=1, max_size=6))
def test_in_a_column_of_money_nothing_that_is_paid_looks_like_nothing(values: list[float]) -> None:
    behind = digits_among("cost", [*values, 0.0, math.nan])
    for value in values:
        shown = float(f"{value * factor('cost'):.{behind}f}")
        assert shown == pytest.approx(value * 1_000, rel=0.06)


@given(sizes)
def test_a_size_keeps_its_digits_and_has_no_power_of_ten(value: float) -> None:
    for text in (plain_size(value), sized("cost", value), signed_of("cost", -value).removeprefix("-")):
        assert "e" not in text
    assert float(plain_size(value).replace(",", "")) == pytest.approx(value, rel=0.06)


def test_money_has_its_currency_and_all_else_its_name() -> None:
    assert (headed("cost", "EUR"), headed("cost"), headed("rep_4", "EUR")) == ("cost of 1,000 answers, EUR", "cost of 1,000 answers", "rep_4")
    assert explained(["rep_4", "cost"], "EUR") == ["cost: of 1,000 answers, in EUR."]
    assert (factor("cost"), factor("rep_4"), factor("my_scorer")) == (1_000.0, 1.0, 1.0)
    assert digits_among("rep_4", [0.1]) == 3


def test_cheap_answers_are_told_with_two_digits_at_least() -> None:
    assert measured(7.6e-06, 7.28e-06, 7.92e-06, "money") == "0.0076 ±0.0003"
    assert measured(7.6e-08, 7.28e-08, 7.92e-08, "money") == "0.000076 ±0.000003"
    assert measured(2e-07, None, None, "money") == "0.00020"
    assert signed_of("cost", -3.2e-07) == "-0.00032"
    assert signed_of("rep_4", 0.25) == "+0.250"
