"""Power and sample sizes: equal to published tables, to statsmodels, and to what simulation finds."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support.process import ROOT

from evalkit.stats.equivalence import tost
from evalkit.stats.power import detectable, normal_prompts, power_paired, prompts_to_detect, prompts_to_settle

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}


def test_cohens_table() -> None:
    paired = GOLDEN["power n paired t"]
    assert prompts_to_detect(0.5, 1.0) == pytest.approx(paired["expected"], rel=paired["tolerance"])  # their root was found to six digits


def test_millers_sample_sizes() -> None:
    case = GOLDEN["sample size, paired eval"]
    given = case["inputs"]
    assert normal_prompts(given["omega2"], 0, 0, 1, 1, given["delta"]) == pytest.approx(case["expected"], abs=case["tolerance"])
    case = GOLDEN["sample size, paired eval with replicates"]
    given = case["inputs"]
    found = [normal_prompts(given["omega2"], given["sigmaA2"], given["sigmaB2"], k, k, given["delta"]) for k in given["K"]]
    assert found == pytest.approx(case["expected"], abs=case["tolerance"])


@pytest.mark.parametrize(
    ("n", "effect"), [(2, 0.01), (2, 0.5), (2, 1.5), (3, 0.5), (3, 1.5), (8, 0.01), (8, 0.5), (8, 1.5), (40, 0.01), (40, 0.5), (5000, 0.01)]
)
def test_power_is_that_of_statsmodels(n: int, effect: float) -> None:
    from statsmodels.stats.power import TTestPower

    assert power_paired(n, effect) == pytest.approx(TTestPower().power(effect, n, 0.05), abs=1e-6)


@pytest.mark.parametrize("n", [3, 8, 20, 200])
def test_what_is_detectable_is_found_with_the_power_said(n: int) -> None:
    smallest = detectable(n, 2.0)
    assert power_paired(n, smallest / 2.0) == pytest.approx(0.8)
    assert prompts_to_detect(smallest, 2.0) == pytest.approx(n, abs=0.01)


def test_the_edges_of_power() -> None:
    assert math.isnan(detectable(1, 1.0))
    assert detectable(5, 0.0) == 0.0
    assert prompts_to_detect(1.0, 0.0) == 2.0
    assert math.isinf(prompts_to_detect(1e-6, 1.0))
    assert power_paired(1, 9.0) == 0.0
    assert prompts_to_settle(0.0, 0.1) is None
    assert prompts_to_settle(1.0, 0.0) is None
    assert prompts_to_settle(1.0, 1e-9) is None


@pytest.mark.parametrize(("sd", "margin"), [(1.0, 0.5), (0.3, 0.25), (1.0, 2.0)])
def test_as_many_prompts_as_said_settle_the_question(sd: float, margin: float) -> None:
    n = prompts_to_settle(sd, margin)
    assert n is not None
    rng = np.random.default_rng(6)
    passed = np.mean([tost(rng.normal(0, sd, n), -margin, margin).p <= 0.05 for _ in range(1500)])
    assert passed >= 0.77
    assert power_paired(n, margin / sd) >= 0.78
    assert n <= 3 or np.mean([tost(rng.normal(0, sd, n // 2), -margin, margin).p <= 0.05 for _ in range(800)]) < 0.78
