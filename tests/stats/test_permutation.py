from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalkit.stats.permutation import energy, more_often


def _distances(values: np.ndarray) -> np.ndarray:
    return np.abs(values[:, None] - values[None, :])


def _brute(distances: np.ndarray, first: list[int]) -> float:
    second = [i for i in range(len(distances)) if i not in first]

    def mean(a: list[int], b: list[int]) -> float:
        return sum(distances[i, j] for i in a for j in b) / (len(a) * len(b))

    return 2 * mean(first, second) - mean(first, first) - mean(second, second)


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=9), st.integers(1, 3))
def test_the_energy_statistic_is_its_definition(values: list[float], first: int) -> None:
    distances = _distances(np.array(values))
    statistic, p = energy(distances, first, np.random.default_rng(0))
    assert statistic == pytest.approx(_brute(distances, list(range(first))), abs=1e-9)
    assert statistic >= -1e-9
    assert 0 < p <= 1


def test_the_square_of_scipys_energy_distance_is_the_statistic() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=6), rng.normal(1, size=7)
    statistic, _ = energy(_distances(np.concatenate([a, b])), 6, rng)
    assert statistic == pytest.approx(stats.energy_distance(a, b) ** 2)


def test_separate_samples_have_the_smallest_p_there_is() -> None:
    values = np.array([0, 0.1, 0.2, 0.3, 9, 9.1, 9.2, 9.3])
    assert energy(_distances(values), 4, np.random.default_rng(0))[1] == 2 / math.comb(8, 4)


def test_the_sampled_p_agrees_with_the_exact_one() -> None:
    rng = np.random.default_rng(5)
    distances = _distances(np.concatenate([rng.normal(size=11), rng.normal(0.9, size=11)]))  # 705,432 rearrangements
    sampled = energy(distances, 11, np.random.default_rng(1))[1]
    again = energy(distances, 11, np.random.default_rng(2))[1]
    assert sampled == pytest.approx(again, abs=0.02)


def test_under_the_null_p_is_uniform() -> None:
    rng = np.random.default_rng(7)
    ps = np.array([energy(_distances(rng.normal(size=10)), 5, rng)[1] for _ in range(600)])
    assert np.mean(ps <= 0.05) <= 0.08
    assert abs(ps.mean() - 0.5) < 0.06


@given(st.integers(0, 12), st.integers(1, 12), st.integers(0, 12), st.integers(1, 12))
def test_more_often_is_fishers_exact_test(hits: int, of: int, other: int, other_of: int) -> None:
    hits, other = min(hits, of), min(other, other_of)
    expected = stats.fisher_exact([[hits, of - hits], [other, other_of - other]], alternative="greater").pvalue
    assert more_often(hits, of, other, other_of) == pytest.approx(expected, abs=1e-9)
