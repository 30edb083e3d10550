"""Student's t interval: equal to scipy's and to printed tables, and as often right as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalkit.stats.intervals import Interval, bootstrap_t, t_interval

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(lambda values: np.ptp(values) > 1e-6 * max(map(abs, values)))


@given(numbers, st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]))
def test_it_is_the_interval_of_the_one_sample_t_test(values: list[float], confidence: float) -> None:
    found = t_interval(values, confidence)
    oracle = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-9)
    assert found.se == pytest.approx(stats.sem(values))
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9, abs=1e-9 * max(map(abs, values)))
    assert found.n == len(values)


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
