"""Distances of samples from a known distribution: laws, and what they come to where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.stats.distance import distance, variation


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_distance_of_shares_is_half_the_sum_of_what_they_differ_by_from_the_nearest() -> None:
    shares = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])
    candidates = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    assert variation(shares, candidates).tolist() == [0.25, 0.5]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=6).filter(lambda counts: sum(counts) > 0), st.integers(0, 99))
def test_the_estimate_lies_in_its_interval_and_all_between_0_and_1(counts: list[int], seed: int) -> None:
    found = distance(np.array(counts), rng(seed).dirichlet(np.ones(len(counts)), 1), rng(seed))
    assert 0 <= found.low <= found.estimate <= found.high <= 1
    assert 0 < found.p <= 1


def test_what_is_drawn_from_a_candidate_is_not_far_from_it_though_some_distance_is_seen() -> None:
    truth = np.full(10, 0.1)
    found = [distance(rng(seed).multinomial(40, truth), truth[None], rng(seed)) for seed in range(20)]
    assert sum(one.p <= 0.05 for one in found) <= 3
    assert sum(one.low == 0 for one in found) >= 17
    assert np.mean([one.estimate for one in found]) < 0.1  # of shares themselves 0.19 is seen in the mean


def test_a_known_distance_is_found_again() -> None:
    expected, truth = np.array([0.7, 0.2, 0.1]), np.array([0.3, 0.2, 0.5])
    found = [distance(rng(seed).multinomial(60, truth), expected[None], rng(seed)) for seed in range(20)]
    assert np.median([one.estimate for one in found]) == pytest.approx(0.4, abs=0.05)
    assert sum(one.low <= 0.4 <= one.high for one in found) >= 17
    assert all(one.p < 0.01 for one in found)


def test_the_nearest_of_several_candidates_counts() -> None:
    counts = np.array([30, 30])
    candidates = np.array([[0.9, 0.1], [0.5, 0.5]])
    assert distance(counts, candidates, rng()).p == 1.0
    assert distance(counts, candidates[:1], rng()).p < 0.001


def test_where_nothing_fell_elsewhere_so_much_may_as_the_rule_of_zero_events_says() -> None:
    found = distance(np.array([30, 0]), np.array([[1.0, 0.0]]), rng())
    assert (found.low, found.p) == (0, 1.0)
    assert found.high == pytest.approx(1 - 0.02 ** (1 / 30), abs=0.06)


def test_where_the_candidate_was_counted_itself_less_is_sure() -> None:
    counts, candidate = np.array([28, 12]), np.array([[0.5, 0.5]])
    guesses = rng().multinomial(30, [0.5, 0.5], 200)[:, None, :] / 30
    assert distance(counts, candidate, rng(), guesses).p > distance(counts, candidate, rng()).p
