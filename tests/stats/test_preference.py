"""Strengths, shares of wins and agreement: equal to other implementations, to the laws, and to known numbers; intervals that cover."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from statsmodels.stats.inter_rater import cohens_kappa

from evalkit.stats.preference import (
    Compared,
    bradley_terry,
    compared,
    components,
    kappa_interval,
    strengths,
    weighted_kappa,
    win_share,
    win_shares,
)

Entries = list[tuple[int, int, float, int]]

pairs = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 5)).filter(lambda one: one[0] != one[1]),
    min_size=1,
    max_size=60,
)


def drawn(rng: np.random.Generator, strength: np.ndarray, prompts: int, each: int, spread: float) -> Compared:
    """Comparisons of random pairs, with strengths that differ from prompt to prompt."""
    entries: Entries = []
    for prompt in range(prompts):
        here = strength + rng.normal(0, spread, len(strength))
        for _ in range(each):
            one, other = rng.choice(len(strength), 2, replace=False).tolist()
            entries.append((one, other, float(rng.random() < 1 / (1 + math.exp(here[other] - here[one]))), prompt))
    return compared(entries)


@settings(max_examples=25)
@given(pairs, st.sampled_from([0.05, 0.25, 2.0]))
def test_strengths_are_those_of_a_penalised_logistic_regression(entries: Entries, penalty: float) -> None:
    found = compared(entries)
    rows = np.arange(len(entries))
    design = np.zeros((len(entries), 5))
    design[rows, found.one], design[rows, found.other] = 1.0, -1.0

    def loss(strength: np.ndarray) -> float:
        logits = design @ strength
        return float((np.logaddexp(0, logits) - found.won * logits).sum() + penalty / 2 * (strength**2).sum())

    oracle = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9}).x
    assert bradley_terry(found, 5, penalty) == pytest.approx(oracle - oracle.mean(), abs=1e-4)


@settings(max_examples=25)
@given(pairs)
def test_who_wins_is_told_alike_from_both_sides_and_in_any_order(entries: Entries) -> None:
    turned = [(other, one, 1 - won, prompt) for one, other, won, prompt in reversed(entries)]
    assert bradley_terry(compared(turned), 5) == pytest.approx(bradley_terry(compared(entries), 5), abs=1e-8)
    assert win_shares(compared(turned), 5, 6) == pytest.approx(win_shares(compared(entries), 5, 6), nan_ok=True)


@settings(max_examples=25)
@given(pairs)
def test_strengths_sum_to_nothing_and_one_more_win_never_weakens(entries: Entries) -> None:
    before = bradley_terry(compared(entries), 5)
    assert before.sum() == pytest.approx(0, abs=1e-8)
    after = bradley_terry(compared([*entries, (0, 1, 1.0, 0)]), 5)
    assert after[0] - after[1] >= before[0] - before[1] - 1e-9


def test_who_is_never_beaten_is_finitely_strong_and_stronger_than_who_always_is() -> None:
    """Twenty wins to none: without a penalty no strength is the most likely, and a tool that stops early gives both the same."""
    won, lost = bradley_terry(compared([(0, 1, 1.0, 0)] * 20), 2).tolist()
    assert 1.5 < won < 3
    assert lost == -won
    few, _ = bradley_terry(compared([(0, 1, 1.0, 0)] * 3), 2).tolist()
    assert few < won


def test_the_strengths_of_the_baseball_teams_of_agresti() -> None:
    """Wins in the American League East, 1987, and maximum-likelihood strengths against Baltimore, as in Agresti 2002, table 10.10."""
    teams = ["Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore"]
    wins = [
        [0, 7, 9, 7, 7, 9, 11],
        [6, 0, 7, 5, 11, 9, 9],
        [4, 6, 0, 7, 7, 8, 12],
        [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12],
        [4, 4, 5, 6, 6, 0, 6],
        [2, 4, 1, 3, 1, 7, 0],
    ]
    entries = [(one, other, 1.0, 0) for one in range(7) for other in range(7) for _ in range(wins[one][other])]
    found = bradley_terry(compared(entries), len(teams), penalty=1e-9)
    assert (found - found[6]).tolist() == pytest.approx([1.58, 1.44, 1.29, 1.25, 1.11, 0.68, 0.0], abs=0.006)


def test_what_no_comparison_connects_is_told_apart() -> None:
    found = compared([(0, 1, 1.0, 0), (2, 3, 0.5, 1), (3, 4, 0.0, 1)])
    assert components(found, 6) == [[2, 3, 4], [0, 1], [5]]
    assert components(compared([]), 0) == []
    assert components(compared([(0, 1, 1.0, 0), (1, 2, 1.0, 3)]), 3) == [[0, 1, 2]]


def test_shares_count_ties_half_and_are_undefined_without_a_comparison() -> None:
    shares = win_shares(compared([(0, 1, 1.0, 0), (0, 1, 0.5, 0), (1, 2, 0.0, 1)]), 3, 2)
    assert np.array_equal(shares, [[0.75, math.nan], [0.25, 0.0], [math.nan, 1.0]], equal_nan=True)
    assert win_share(shares[0]).mean == 0.75


def test_intervals_cover_the_truth() -> None:
    """Of four settings on twelve prompts, five comparisons each: nearly 95 % of the intervals hold what a long run comes to."""
    rng = np.random.default_rng(11)
    strength = np.array([-0.8, -0.2, 0.3, 0.7])
    long = drawn(rng, strength, 2_000, 5, 0.7)
    shares, strong = np.nanmean(win_shares(long, 4, 2_000), axis=1), bradley_terry(long, 4, 1e-6)
    held = np.zeros(2)
    for _ in range(40):
        found = drawn(rng, strength, 12, 5, 0.7)
        of_shares = [win_share(one) for one in win_shares(found, 4, 12)]
        held += [
            sum(one.low <= true <= one.high for one, true in zip(each, truth, strict=True))
            for each, truth in ((of_shares, shares), (strengths(found, 4), strong))
        ]
    assert (held / 160 > 0.91).all()
    assert (held / 160 < 0.999).all()


def test_one_prompt_gives_no_interval() -> None:
    found = strengths(compared([(0, 1, 1.0, 3), (1, 0, 0.0, 3)]), 2)
    assert math.isnan(found[0].low)
    assert found[0].n == 1


grades = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=60)


@given(grades)
def test_kappa_is_that_of_statsmodels(given: list[tuple[int, int]]) -> None:
    one, other = zip(*given, strict=True)
    table = np.zeros((5, 5))
    np.add.at(table, (np.array(one) - 1, np.array(other) - 1), 1)
    found = weighted_kappa(one, other, 1, 5)
    if len({*one, *other}) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(cohens_kappa(table, weights=np.arange(5.0), wt="quadratic", return_results=False), abs=1e-9)


def test_kappa_is_1_where_raters_agree_and_its_interval_stays_on_the_scale() -> None:
    assert weighted_kappa([1, 2, 3, 4], [1, 2, 3, 4], 1, 4) == 1.0
    found = kappa_interval([1, 2, 3, 4, 5, 5], [1, 2, 3, 4, 5, 4], [0, 0, 1, 1, 2, 2], 1, 5)
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.n == 3
    assert math.isnan(kappa_interval([1, 2], [2, 1], [0, 1], 1, 5).low)
    assert math.isnan(weighted_kappa([], [], 1, 5))
