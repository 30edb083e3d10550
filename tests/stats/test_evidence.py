"""Evidence beyond a bound holds its error however often it is looked at, and grows with what speaks for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evalkit.stats.evidence import BETS, evidence_above, p_above

shares = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.floats(0, 1))


def test_one_value_multiplies_each_wealth_as_by_hand() -> None:
    (found,) = evidence_above(np.array([[1.0]]), 0.05)
    assert found == pytest.approx(np.mean([1 + bet / 0.05 * 0.95 for bet in BETS]))


@given(shares, st.floats(0.01, 0.99))
def test_it_is_at_least_one_and_never_falls_as_values_arrive(values: np.ndarray, bound: float) -> None:
    running = np.array([evidence_above(values[:, : n + 1], bound) for n in range(values.shape[1])])
    assert (running >= 1).all()
    assert (np.diff(running, axis=0) >= 0).all()


@given(shares, st.floats(0.01, 0.98))
def test_a_looser_bound_has_no_more_against_it(values: np.ndarray, bound: float) -> None:
    assert (evidence_above(values, bound) >= evidence_above(values, bound + 0.01) - 1e-9).all()


@given(shares)
def test_at_the_ends_it_is_proof_or_nothing(values: np.ndarray) -> None:
    assert ((evidence_above(values, 0.0) == math.inf) == (values > 0).any(axis=1)).all()
    assert (evidence_above(values, 1.0) == 1).all()


@given(shares, st.floats(0.01, 0.99))
def test_what_is_missing_counts_for_nothing(values: np.ndarray, bound: float) -> None:
    wider = np.concatenate([values, np.full((len(values), 2), math.nan)], axis=1)
    assert evidence_above(wider, bound) == pytest.approx(evidence_above(values, bound))


def test_a_mean_at_its_bound_is_seldom_taken_to_be_above_it() -> None:
    rng = np.random.default_rng(4)
    values = rng.binomial(8, 0.05, size=(4000, 50)) / 8
    assert np.mean(evidence_above(values, 0.05) >= 20) <= 0.05


def test_a_mean_far_above_its_bound_is_found() -> None:
    rng = np.random.default_rng(5)
    assert np.mean(evidence_above(rng.binomial(8, 0.4, size=(200, 10)) / 8, 0.05) >= 100) > 0.95


@given(arrays(np.float64, (3, 7), elements=st.floats(-5, 5)), st.floats(-1, 1))
def test_p_is_that_of_the_t_test(values: np.ndarray, bound: float) -> None:
    values = values + np.arange(7) * 0.1
    assert p_above(values, bound) == pytest.approx(stats.ttest_1samp(values, bound, axis=1, alternative="greater").pvalue, abs=1e-9)


def test_values_without_any_spread_are_judged_by_their_signs() -> None:
    assert p_above(np.array([[2.0] * 6, [0.0] * 6, [-1.0] * 6]), 0.0) == pytest.approx([2.0**-6, 1, 1])
    assert p_above(np.array([[math.nan, 3.0], [math.nan, math.nan]]), 0.0).tolist() == [1, 1]
