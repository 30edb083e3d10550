"""Evidence beyond a bound holds its error however often it is looked at, and grows with what speaks for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from evalkit.stats.evidence import BETS, evidence_above, p_above, p_best

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


@pytest.mark.parametrize(("rivals", "df", "critical"), [(1, 5, 2.02), (2, 5, 2.44), (3, 5, 2.68), (2, 10, 2.15), (3, 10, 2.34), (9, 20, 2.60)])
def test_who_is_as_good_as_the_best_is_told_by_dunnetts_table(rivals: int, df: int, critical: float) -> None:
    """Dunnett 1955, table 1a: one-sided critical values at 5 %."""
    wave = np.resize([1.0, -1.0], df + 1) + np.linspace(-0.3, 0.3, df + 1)
    wave -= wave.mean()
    row = wave / (wave.std(ddof=1) / math.sqrt(df + 1)) + critical
    assert p_best(row[None], rivals)[0] == pytest.approx(0.05, abs=0.0006)


@given(arrays(np.float64, (3, 6), elements=st.floats(-5, 5)))
def test_of_one_rival_it_is_the_t_test_and_more_rivals_weaken_it(leads: np.ndarray) -> None:
    leads = leads + np.arange(6) * 0.1
    one, many = p_best(leads, 1), p_best(leads, 20)
    known = leads.mean(axis=1) > 0
    assert one[known] == pytest.approx(p_above(leads, 0.0)[known], abs=1e-6)
    assert (many >= one - 1e-12).all()
    assert (p_best(leads, 20)[~known] == 1).all()


def test_the_best_of_equals_is_seldom_shown_to_be_worse_than_the_one_that_leads() -> None:
    rng = np.random.default_rng(8)
    out = 0
    for _ in range(600):
        values = rng.normal(size=(30, 6))
        leader = values[1:].mean(axis=1).argmax() + 1
        out += p_best((values[leader] - values[0])[None], 29)[0] <= 0.05
    assert out / 600 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 600)


def test_leads_without_any_spread_are_judged_by_their_signs() -> None:
    assert p_best(np.array([[2.0] * 6, [0.0] * 6, [-1.0] * 6, [math.nan] * 6]), 4) == pytest.approx([4 * 2.0**-6, 1, 1, 1])
