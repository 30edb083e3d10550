"""Numbers as people read them: known ones, and laws that hold for every number."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evalkit.text import numbers

finite = st.floats(-1e9, 1e9, allow_nan=False)
sizes = st.floats(0, 1e9, allow_nan=False)


def _read(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize(
    ("value", "sentence", "table", "signed_table"),
    [
        (0.0, "+0.000", "0.000", "+0.000"),
        (1e-15, "+1e-15", "0.000", "+0.000"),
        (-0.00012, "-0.0001", "-1.2e-04", "-1.2e-04"),
        (0.1234, "+0.123", "0.123", "+0.123"),
        (0.996, "+1.00", "0.996", "+0.996"),
        (-12.345, "-12.3", "-12.35", "-12.35"),
        (123.45, "+123.5", "123.5", "+123.5"),
        (12345.6, "+12,346", "12,346", "+12,346"),
        (math.nan, "+nan", "-", "-"),
    ],
)
def test_a_number_in_a_sentence_and_in_a_table(value: float, sentence: str, table: str, signed_table: str) -> None:
    assert (numbers.signed(value), numbers.figure(value), numbers.signed_figure(value)) == (sentence, table, signed_table)


@given(finite)
@pytest.mark.parametrize("form", [numbers.signed, numbers.signed_figure])
def test_a_difference_has_its_sign_and_its_opposite_the_other(form: Callable[[float], str], value: float) -> None:
    text, other = form(value), form(-value)
    if _read(text):
        assert text[0] == ("-" if value < 0 else "+")
        assert text[1:] == other[1:]
        assert {text[0], other[0]} == {"-", "+"}
    else:
        assert abs(value) < 1e-12


@given(finite)
@pytest.mark.parametrize("form", [numbers.figure, numbers.signed, numbers.signed_figure, numbers.three_digits])
def test_a_number_is_shown_near_what_it_is(form: Callable[[float], str], value: float) -> None:
    assert _read(form(value)) == pytest.approx(value, rel=0.06 if form is numbers.signed and abs(value) < 0.0005 else 0.006, abs=0.0005)


@given(finite, finite)
@pytest.mark.parametrize("form", [numbers.figure, numbers.signed, numbers.signed_figure, numbers.three_digits])
def test_order_is_kept(form: Callable[[float], str], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert _read(form(low)) <= _read(form(high))


@given(finite, st.integers(0, 6))
@example(0.5, 0)
@example(-5e-07, 6)
def test_what_is_not_0_is_not_rounded_to_0(value: float, digits: int) -> None:
    shown = numbers.rounded(value, digits)
    assert (float(shown) == 0) == (abs(value) <= 1e-12)
    assert float(shown) == pytest.approx(value, rel=0.06, abs=0.5 * 10**-digits)


@given(finite, finite)
def test_an_interval_holds_its_ends_in_the_form_asked_for(low: float, high: float) -> None:
    assert numbers.interval(low, high) == f"[{numbers.signed(low)}, {numbers.signed(high)}]"
    assert numbers.interval(low, high, numbers.figure) == f"[{numbers.figure(low)}, {numbers.figure(high)}]"
    assert numbers.interval(math.nan, high) == numbers.interval(low, math.nan) == "-"


@given(sizes)
def test_roughly_has_at_most_two_digits_that_count_behind_a_point(value: float) -> None:
    shown = numbers.roughly(value)
    assert _read(shown) == pytest.approx(value, rel=0.06, abs=1e-300)
    assert "." not in shown or value < 10


@given(st.integers(0, 10**12))
def test_a_noun_is_in_the_plural_where_it_is_not_one(number: int) -> None:
    count, noun = numbers.counted(number, "cell").split(" ")
    assert int(count.replace(",", "")) == number
    assert noun == ("cell" if number == 1 else "cells")


@pytest.mark.parametrize(("p", "shown"), [(None, "-"), (math.nan, "-"), (0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000")])
def test_a_p_value(p: float | None, shown: str) -> None:
    assert numbers.p_value(p) == shown


def test_money_is_unknown_where_the_sum_or_its_currency_is() -> None:
    assert numbers.money(None, "EUR") == numbers.money(1.0, None) == "unknown"
    assert numbers.money(0.0025, "EUR") == "0.0025 EUR"
    assert numbers.money(0.0, "EUR") == "0 EUR"
    assert numbers.money(0.00003217, "EUR") == "0.000032 EUR"
    assert numbers.money(1234.5, "EUR") == "1,234.50 EUR"
    assert numbers.money(1234.5, "", digits=4) == "1,234.5000"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.2, "0 s"), (89.4, "89 s"), (90, "2 min"), (600, "10 min"), (5399, "90 min"), (5400, "1.5 h"), (36_000, "10.0 h")]
)
def test_a_duration(seconds: float, shown: str) -> None:
    assert numbers.duration(seconds) == shown
