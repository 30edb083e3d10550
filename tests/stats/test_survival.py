"""Lengths under a limit: the numbers of the literature, and what a limit hides."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.process import ROOT

from evalkit.stats.survival import kaplan_meier, log_rank

(CASE,) = [case for case in json.loads((ROOT / "tests/golden/metrics.json").read_text(encoding="utf-8")) if case["metric"].startswith("Kaplan-Meier")]
DRUG = [*CASE["inputs"]["events"], *CASE["inputs"]["censored"]]
CENSORED = [False] * len(CASE["inputs"]["events"]) + [True] * len(CASE["inputs"]["censored"])
PLACEBO = CASE["inputs"]["placebo_events"]


def test_kaplan_meier_holds_to_the_published_remissions() -> None:
    found = kaplan_meier(DRUG, CENSORED)
    assert found.lengths == pytest.approx(CASE["expected"]["t"], abs=CASE["tolerance"])
    assert found.survival == pytest.approx(CASE["expected"]["S"], abs=CASE["tolerance"])
    assert found.median == 23  # Freireich et al. 1963
    assert kaplan_meier(PLACEBO, [False] * len(PLACEBO)).median == 8


def test_log_rank_holds_to_the_published_remissions() -> None:
    statistic, p = log_rank(DRUG, CENSORED, PLACEBO, [False] * len(PLACEBO))
    assert statistic**2 == pytest.approx(16.79, abs=0.005)
    assert p == pytest.approx(4.17e-5, rel=0.01)


def test_a_limit_does_not_move_the_median_that_it_does_not_reach() -> None:
    natural = np.random.default_rng(2).lognormal(4, 0.6, 400).round()
    for limit in (60, 100, 1000):
        cut = natural > limit
        assert kaplan_meier(np.minimum(natural, limit), cut).median == kaplan_meier(natural, natural < 0).median
    assert math.isnan(kaplan_meier(np.minimum(natural, 20), natural > 20).median)


def test_where_nothing_ended_by_itself_there_is_no_test() -> None:
    assert all(map(math.isnan, log_rank([5, 5], [True, True], [9], [True])))
    assert all(map(math.isnan, log_rank([], [], [9], [False])))


SAMPLES = st.lists(st.tuples(st.integers(1, 12).map(float), st.booleans()), min_size=1, max_size=25)


@settings(max_examples=150)
@given(SAMPLES, SAMPLES)
def test_both_are_scipys(one: list[tuple[float, bool]], other: list[tuple[float, bool]]) -> None:
    (lengths, cut), (other_lengths, other_cut) = (map(np.array, zip(*sample, strict=True)) for sample in (one, other))
    found = kaplan_meier(lengths, cut)
    oracle = stats.ecdf(stats.CensoredData(uncensored=lengths[~cut], right=lengths[cut])).sf
    assert found.lengths.tolist() == oracle.quantiles.tolist()
    assert found.survival == pytest.approx(oracle.probabilities, abs=1e-12)
    sides = [stats.CensoredData(uncensored=values[~mark], right=values[mark]) for values, mark in ((lengths, cut), (other_lengths, other_cut))]
    with np.errstate(all="ignore"):
        expected = stats.logrank(*sides) if not (cut.all() and other_cut.all()) else None
    statistic, p = log_rank(lengths, cut, other_lengths, other_cut)
    if expected is None or not math.isfinite(expected.statistic):
        assert math.isnan(statistic)
    else:
        assert statistic == pytest.approx(expected.statistic, abs=1e-9)
        assert p == pytest.approx(expected.pvalue, abs=1e-12)
