"""Families of tests: equal to statsmodels and to counting by hand, and wrong no more often than they say."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.process import ROOT

from evalkit.stats.multiple import holm, max_t, simultaneous
from evalkit.stats.permutation import signs

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}
NAN = math.nan


def p_of(differences: np.ndarray, rng: np.random.Generator) -> float:
    """The p of one contrast by itself."""
    found = max_t(differences[:, None], rng)
    assert found.p_adjusted[0] == found.p[0]  # a family of one
    return float(found.p[0])


def test_the_published_example() -> None:
    case = GOLDEN["Holm adjusted p"]
    found = holm(case["inputs"])
    assert found == pytest.approx(case["expected"]["adjusted"], abs=case["tolerance"])
    assert (found <= 0.05).sum() == case["expected"]["n_reject"]


@settings(max_examples=40)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 3))
def test_adjusted_p_are_those_of_statsmodels(values: list[float], missing: int) -> None:
    from statsmodels.stats.multitest import multipletests

    with_gaps = [NAN] * missing + values
    found = holm(with_gaps)
    assert np.isnan(found[:missing]).all()
    assert found[missing:] == pytest.approx(multipletests(values, method="holm")[1], abs=1e-12)


def test_darwins_maize() -> None:
    case = GOLDEN["paired sign-flip permutation test"]
    differences = np.array(case["inputs"])
    found = max_t(differences[:, None], np.random.default_rng(0))
    assert found.t[0] == pytest.approx(case["expected"]["t"])
    assert found.p[0] == found.p_adjusted[0] == pytest.approx(case["expected"]["p_two_sided"], abs=case["tolerance"])


@given(st.lists(st.integers(-20, 20).map(lambda whole: whole / 4), min_size=2, max_size=8))
def test_the_exact_p_is_scipys(values: list[float]) -> None:
    array = np.array(values)
    oracle = stats.permutation_test((array,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", n_resamples=np.inf)
    assert p_of(array, np.random.default_rng(0)) == pytest.approx(oracle.pvalue, abs=1e-9)


def test_with_many_prompts_the_p_is_sampled_and_near() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.35, 1, 40)
    assert signs(40, rng)[1] is False
    assert p_of(differences, rng) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert p_of(np.full(40, 3.0), rng) == 1 / 10_000  # never 0
    assert p_of(np.zeros(40), rng) == 1.0


def brute_step_down(values: np.ndarray) -> list[float]:
    """Westfall and Young by their definition: go through the contrasts from the largest |t|, maxima over those not yet done."""
    n, m = values.shape
    flips = [np.abs(stats.ttest_1samp(values * np.array(sign)[:, None], 0).statistic) for sign in product([1, -1], repeat=n)]
    observed = flips[0]
    order = sorted(range(m), key=lambda one: -observed[one])
    out, before = [0.0] * m, 0.0
    for place, one in enumerate(order):
        rest = order[place:]
        p = float(np.mean([flip[rest].max() >= observed[one] - 1e-9 for flip in flips]))
        before = max(before, p)
        out[one] = before
    return out


def test_step_down_max_t_by_going_through_all_flips() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal([1.5, 0.4, 0, -0.8], size=(7, 4))
    found = max_t(values, rng)
    assert found.p_adjusted == pytest.approx(brute_step_down(values))
    assert found.t == pytest.approx(stats.ttest_1samp(values, 0).statistic)
    assert found.p == pytest.approx([p_of(values[:, one], rng) for one in range(4)])
    assert (found.p_adjusted >= found.p).all()


def test_one_sided_tests_count_one_side() -> None:
    values = np.array([[1.0, -1.0], [2.0, -2.0], [0.5, -0.5], [1.5, -1.5]])
    found = max_t(values, np.random.default_rng(0), one_sided=True)
    assert found.p.tolist() == [1 / 16, 1.0]
    assert found.t[0] == pytest.approx(-found.t[1])


def test_missing_values_leave_their_contrast_alone() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0.8, 1, size=(9, 3))
    values[[0, 4], 1] = NAN
    values[:, 2] = NAN
    values[0, 2] = 1.0
    found = max_t(values, rng)
    assert found.t[1] == pytest.approx(stats.ttest_1samp(np.delete(values[:, 1], [0, 4]), 0).statistic)
    assert found.p[1] == pytest.approx(p_of(np.delete(values[:, 1], [0, 4]), rng))
    assert math.isnan(found.p[2])
    assert math.isnan(found.p_adjusted[2])


def test_no_difference_at_all_is_no_evidence() -> None:
    found = max_t(np.zeros((8, 2)), np.random.default_rng(0))
    assert found.p.tolist() == [1, 1]
    assert found.t.tolist() == [0, 0]


def test_the_family_wise_error_holds_over_40_contrasts() -> None:
    rng = np.random.default_rng(9)
    wrong = 0
    for _ in range(300):
        values = rng.normal(size=(10, 41))
        wrong += bool((max_t(values[:, 1:] - values[:, :1], rng).p_adjusted <= 0.05).any())
    assert wrong / 300 <= 0.08


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_variances_drawn_are_those_of_the_published_procedure(n: int, m: int, seed: int) -> None:
    """Odell & Feiveson 1966, one draw after the other: squares of a triangle of normal and chi-squared numbers, times the loads of the contrasts."""
    values = np.random.default_rng(seed).normal(size=(n, m))
    values[:, -1] = values[:, 0] - values[:, m // 2]  # not all of them go their own way
    draws, rng = 50, np.random.default_rng(seed)
    scaled = (values - values.mean(axis=0))[:, values.std(axis=0, ddof=1) > 0]
    scaled /= scaled.std(axis=0, ddof=1) * math.sqrt(n - 1)
    single = float(stats.t.ppf(0.975, n - 1))
    expected = single
    if scaled.shape[1] > 1 and m > 1:
        _, size, rows = np.linalg.svd(scaled, full_matrices=False)
        rank = int((size > 1e-9 * size[0]).sum())
        load = size[:rank, None] * rows[:rank]
        means = rng.standard_normal((draws, rank)) @ load
        below = rng.standard_normal((draws, rank * (rank - 1) // 2))
        diagonal = np.sqrt(rng.chisquare(n - 1 - np.arange(rank), (draws, rank)))
        largest = []
        for draw in range(draws):
            root = np.diag(diagonal[draw])
            root[np.tril_indices(rank, -1)] = below[draw]
            sd = [math.sqrt(float(((root.T @ one) ** 2).sum()) / (n - 1)) for one in load.T]
            largest.append(np.abs(means[draw] / sd).max())
        expected = max(single, float(np.quantile(largest, 0.95)))
    assert simultaneous(values, np.random.default_rng(seed), draws=draws) == pytest.approx(expected, rel=1e-9)


def test_simultaneous_intervals_of_one_contrast_are_students() -> None:
    values = np.random.default_rng(1).normal(size=(9, 1))
    assert simultaneous(values, np.random.default_rng(0)) == pytest.approx(stats.t.ppf(0.975, 8))
    twice = np.hstack([values, 3 * values])
    assert simultaneous(twice, np.random.default_rng(0), draws=100_000) == pytest.approx(stats.t.ppf(0.975, 8), rel=0.02)


def test_simultaneous_intervals_of_few_prompts_reach_as_far_as_experiments_need() -> None:
    rng = np.random.default_rng(8)
    pairs = np.array([(one, other) for one in range(5) for other in range(one)])
    levels = rng.normal(size=(8, 5))
    alike, _ = np.linalg.qr(levels - levels.mean(axis=0))  # levels that are uncorrelated in the sample too
    found = simultaneous(alike[:, pairs[:, 0]] - alike[:, pairs[:, 1]], rng, draws=50_000)
    drawn = rng.normal(size=(20_000, 8, 5))
    values = drawn[:, :, pairs[:, 0]] - drawn[:, :, pairs[:, 1]]
    t = np.abs(values.mean(axis=1)) / (values.std(axis=1, ddof=1) / math.sqrt(8))
    assert found == pytest.approx(np.quantile(t.max(axis=1), 0.95), rel=0.02)  # one standard deviation for all pairs would fall short by a tenth


def test_simultaneous_intervals_of_all_pairs_are_near_tukeys() -> None:
    rng = np.random.default_rng(3)
    levels = rng.normal(size=(400, 4))
    pairs = np.array([levels[:, one] - levels[:, other] for one in range(4) for other in range(one)]).T
    tukey = stats.studentized_range.ppf(0.95, 4, np.inf) / math.sqrt(2)
    assert simultaneous(pairs, rng, draws=100_000) == pytest.approx(tukey, rel=0.02)


VALUES = st.lists(st.one_of(st.floats(-3, 3).map(lambda x: round(x, 3)), st.integers(-2, 2).map(float)), min_size=2, max_size=8).filter(
    lambda values: any(values)
)


@settings(max_examples=60)
@given(VALUES, st.integers(0, 2**32), st.booleans())
def test_no_p_is_below_the_smallest_possible_and_rounding_moves_none(values: list[float], seed: int, one_sided: bool) -> None:
    rng = np.random.default_rng(seed)
    one = np.array(values)
    family = np.column_stack([one, rng.normal(0.5, 1, len(one)), 1 + 1e-7 * rng.normal(size=len(one))])

    def found(contrasts: np.ndarray) -> list[list[float]]:
        test = max_t(contrasts, np.random.default_rng(0), one_sided=one_sided)
        assert (test.p >= (1 if one_sided else 2) / 2 ** len(one)).all()
        assert (test.p_adjusted >= test.p).all()
        return [test.p.tolist(), test.p_adjusted.tolist()]

    expected = found(family)
    order = rng.permutation(len(one))
    assert found(family[order]) == expected  # of the prompts, and so of the summands
    for factor in (1e-160, 1 / 3, 7.1, 1e140):
        assert found(family * factor) == expected
    assert found(family * (1 + 1e-13 * rng.uniform(-1, 1, family.shape))) == expected
    if not one_sided:
        assert found(-family) == expected
    columns = rng.permutation(3)
    assert found(family[:, columns]) == [[row[at] for at in columns] for row in expected]


@pytest.mark.parametrize("n", range(2, 13))
@pytest.mark.parametrize("missing", [0, 1])
def test_values_nearly_all_alike_have_the_smallest_p_there_is(n: int, missing: int) -> None:
    """Seven differences of nearly 2 once gave 1/128: one flip that changes nothing was counted or not, as a rounding pleased."""
    rng = np.random.default_rng(n)
    for spread in (0.0, 1e-15, 1e-12, 1e-9, 1e-6):
        alike = -1.9937 + spread * rng.normal(size=(n + missing, 3))
        alike[:missing, 1] = NAN
        found = max_t(alike, rng)
        assert found.p.tolist() == [2 / 2 ** (n + missing), 2 / 2**n, 2 / 2 ** (n + missing)]
        assert (found.p_adjusted >= found.p).all()


def test_t_is_infinite_where_only_rounding_tells_the_values_apart() -> None:
    assert max_t(np.full((7, 1), 0.1), np.random.default_rng(0)).t[0] == math.inf
    assert max_t(np.full((7, 1), -0.1), np.random.default_rng(0)).t[0] == -math.inf


def test_contrasts_of_different_numbers_of_prompts_are_ordered_by_their_t() -> None:
    rng = np.random.default_rng(12)
    values = rng.normal([0.9, 0.3, 1.4], size=(8, 3))
    values[:3, 0] = NAN
    values[6:, 2] = NAN
    flips = []
    for sign in product([1, -1], repeat=8):
        flipped = values * np.array(sign)[:, None]
        flips.append([abs(stats.ttest_1samp(flipped[:, one], 0, nan_policy="omit").statistic) for one in range(3)])
    by_hand = np.array(flips)
    order = sorted(range(3), key=lambda one: -by_hand[0, one])
    expected, before = [0.0] * 3, 0.0
    for place, one in enumerate(order):
        before = max(before, float(np.mean(by_hand[:, order[place:]].max(axis=1) >= by_hand[0, one] - 1e-9)))
        expected[one] = before
    assert max_t(values, rng).p_adjusted == pytest.approx(expected)
