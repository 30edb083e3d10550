"""Lengths under a limit: the numbers of the literature, and what a limit hides."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
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
