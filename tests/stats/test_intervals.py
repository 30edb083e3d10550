"""Student's t interval: equal to scipy's and to printed tables, and as often right as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import stdtrit

from evalkit.stats.intervals import Interval, bootstrap_t, share_interval, t_interval, t_intervals, within_range, within_ranges
from evalkit.stats.precision import spread

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(lambda values: np.ptp(values) > 1e-6 * max(map(abs, values)))


@given(numbers, st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_it_is_the_interval_of_the_one_sample_t_test(values: list[float], confidence: float) -> None:
    found = t_interval(values, confidence)
    oracle = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.se == pytest.approx(stats.sem(values))
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9, abs=1e-9 * max(map(abs, values)))
    assert found.n == len(values)


@given(st.integers(0, 40), st.integers(0, 30), st.booleans(), st.integers(0, 2**32 - 1))
def test_of_many_rows_each_is_what_it_is_by_itself_to_the_last_digit(rows: int, n: int, gaps: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.choice([0.0, 1.0, 0.3, *rng.normal(0.4, 0.3, 40)], size=(rows, n))
    if gaps:
        values[rng.random(values.shape) < rng.choice([0.05, 0.5, 1.0])] = math.nan
    one_by_one = [[within_range(row, low, high) for row in values] for low, high in ((0.0, 1.0), (-math.inf, math.inf), (0.0, math.inf))]
    at_once = [within_ranges(values, low, high) for low, high in ((0.0, 1.0), (-math.inf, math.inf), (0.0, math.inf))]
    assert repr(at_once) == repr(one_by_one)
    assert repr(t_intervals(values)) == repr([_by_the_book(row[~np.isnan(row)]) for row in values])


def _by_the_book(values: np.ndarray) -> Interval:
    n = len(values)
    if n < 2:
        return Interval(float(values.mean()) if n else math.nan, math.nan, math.nan, math.nan, n)
    mean, se = float(values.mean()), spread(values) / math.sqrt(n)
    half = float(stdtrit(n - 1, 0.975)) * se
    return Interval(mean, se, mean - half, mean + half, n)


def test_it_agrees_with_the_first_published_example() -> None:
    # Student 1908: hours of sleep gained, ten patients, the second drug over the first; interval as R prints it for `sleep`.
    gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]
    found = t_interval(gained)
    assert found.mean == pytest.approx(1.58)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=5e-8)


@pytest.mark.parametrize(
    ("n", "confidence", "quantile"),
    [  # two-sided points of the t distribution, n - 1 degrees of freedom, as tables print them (Fisher and Yates)
        (2, 0.95, 12.706),
        (3, 0.95, 4.303),
        (5, 0.95, 2.776),
        (10, 0.95, 2.262),
        (30, 0.95, 2.045),
        (121, 0.95, 1.980),
        (5, 0.90, 2.132),
        (5, 0.99, 4.604),
    ],
)
def test_its_half_width_is_the_tables_quantile_times_the_standard_error(n: int, confidence: float, quantile: float) -> None:
    found = t_interval(np.arange(n, dtype=float), confidence)
    assert (found.high - found.mean) / found.se == pytest.approx(quantile, abs=5e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


@given(numbers, st.integers(0, 5))
def test_missing_values_are_left_out(values: list[float], missing: int) -> None:
    assert t_interval([math.nan] * missing + values + [math.nan]) == t_interval(values)


@pytest.mark.parametrize("values", [[], [math.nan, math.nan], np.array([])])
def test_without_values_there_is_no_mean(values: list[float]) -> None:
    found = t_interval(values)
    assert all(math.isnan(one) for one in found[:4])
    assert found.n == 0


def test_one_value_has_a_mean_and_no_interval() -> None:
    found = t_interval([math.nan, 0.25])
    assert found.mean == 0.25
    assert all(math.isnan(one) for one in (found.se, found.low, found.high))
    assert found.n == 1


def test_equal_values_have_an_interval_without_width() -> None:
    assert t_interval([0.5] * 8) == Interval(0.5, 0.0, 0.5, 0.5, 8)


def test_the_values_given_are_left_as_they_are() -> None:
    values = np.array([1.0, math.nan, 3.0])
    t_interval(values)
    np.testing.assert_array_equal(values, [1.0, math.nan, 3.0])


@pytest.mark.parametrize("n", [3, 8, 20])
def test_it_covers_the_true_mean_as_often_as_it_says(n: int) -> None:
    experiments = 20_000  # standard error of the coverage: 0.15 points
    draws = np.random.default_rng(1908).normal(3.0, 2.0, (experiments, n))
    # The half-width is a standard error times a constant, so one call gives it for all experiments.
    one = t_interval(draws[0])
    quantile = (one.high - one.mean) / one.se
    covered = np.abs(draws.mean(axis=1) - 3.0) <= quantile * draws.std(axis=1, ddof=1) / math.sqrt(n)
    assert covered.mean() == pytest.approx(0.95, abs=0.01)
    for row, expected in zip(draws[:200], covered, strict=False):
        found = t_interval(row)
        assert (found.low <= 3.0 <= found.high) == expected


# Beyond Student


def test_bootstrap_t_holds_on_skewed_values_better_than_student() -> None:
    rng = np.random.default_rng(11)
    truth = math.exp(0.5)
    held = np.array(
        [[one.low <= truth <= one.high for one in (t_interval(v), bootstrap_t(v, rng, resamples=999))] for v in rng.lognormal(size=(400, 15))]
    )
    student, boot = held.mean(axis=0)
    assert boot >= 0.88
    assert boot > student + 0.02


def test_bootstrap_t_is_students_where_it_has_nothing_to_go_by() -> None:
    rng = np.random.default_rng(0)
    for values in ([1.0, 2.0, 4.0, 9.0], [3.0] * 8, [math.nan, 1.0]):
        assert str(bootstrap_t(values, rng)) == str(t_interval(values))


def test_wilsons_interval_of_a_share() -> None:
    # Newcombe 1998, "Two-Sided Confidence Intervals for the Single Proportion", table I: 0 of 20 and 1 of 29 by the score method.
    none = share_interval([0.0] * 20)
    assert (none.low, none.high) == pytest.approx((0.0, 0.1611), abs=5e-5)
    one = share_interval([1.0] * 20)
    assert (one.low, one.high) == pytest.approx((0.8389, 1.0), abs=5e-5)
    assert 0.05 <= share_interval([0.0] * 10).high <= 0.3


@given(st.lists(st.integers(0, 64).map(lambda whole: whole / 64), min_size=2, max_size=30), st.floats(-5, 5), st.floats(0.1, 10))
def test_an_interval_of_shares_holds_the_mean_and_keeps_to_the_range(values: list[float], low: float, span: float) -> None:
    found = share_interval(values)
    assert 0 <= found.low <= found.mean <= found.high <= 1
    turned = share_interval(1 - np.array(values))
    assert (turned.low, turned.high) == pytest.approx((1 - found.high, 1 - found.low), abs=1e-6)
    scaled = within_range(low + span * np.array(values), low, low + span)
    assert low - 1e-9 <= scaled.low <= scaled.mean <= scaled.high <= low + span + 1e-9


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_all_at_one_end_is_no_certainty(end: float) -> None:
    widths = [np.ptp(share_interval([end] * n)[2:4]) for n in (2, 8, 20, 40)]
    assert widths == sorted(widths, reverse=True)
    assert min(widths) > 0.05
    assert np.ptp(within_range([end] * 8, 0.0, 1.0, rng=np.random.default_rng(1))[2:4]) == widths[1]


def test_far_from_the_ends_it_is_students() -> None:
    values = np.random.default_rng(1).normal(0.5, 0.03, 12)
    plain, found = t_interval(values), share_interval(values)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-3)
    assert share_interval([0.4] * 9) == t_interval([0.4] * 9)


def test_what_has_one_end_keeps_to_it() -> None:
    assert within_range([1.0, 1.0, 1.0, 9.0], 1.0, math.inf).low == 1.0
    assert within_range([1.0, 1.0, 1.0, 9.0], -math.inf, math.inf) == t_interval([1.0, 1.0, 1.0, 9.0])
    assert within_range([], 0.0, 1.0).n == 0
    assert math.isnan(within_range([0.5], 0.0, 1.0).high)
    off = within_range([1.2, 1.3, 1.4], 0.0, 1.0)  # outside what it declares
    assert off == t_interval([1.2, 1.3, 1.4])


@pytest.mark.parametrize("true", [0.02, 0.3, 0.95])
def test_intervals_of_shares_are_right_as_often_as_they_say(true: float) -> None:
    """Prompts unequally hard, eight answers each; Student's hold a share of 0.02 in 0.4 to 0.7 of cases."""
    rng = np.random.default_rng(4)
    held = []
    for _ in range(300):
        one = share_interval(rng.binomial(8, rng.beta(4 * true, 4 * (1 - true), size=12)) / 8)
        held.append(one.low <= true <= one.high)
    assert np.mean(held) >= 0.9
