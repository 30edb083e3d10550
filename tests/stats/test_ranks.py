from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from support.process import ROOT

from evalkit.stats.ranks import critical_difference, friedman

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}


def test_demsars_example() -> None:
    case = GOLDEN["Friedman test"]
    found = friedman(np.array(case["inputs"]))
    assert found.ranks == pytest.approx(case["expected"]["avg_ranks"])
    assert found.chi2 == pytest.approx(case["expected"]["chi2_no_tie"])
    assert found.f == pytest.approx(case["expected"]["F_F"])
    assert found.p == pytest.approx(stats.f.sf(found.f, 3, 39))
    assert critical_difference(4, 14) == pytest.approx(case["expected"]["nemenyi_CD_05"], abs=2e-5)  # from a table of three digits


def test_the_same_order_everywhere_is_beyond_doubt() -> None:
    found = friedman(np.array([[1.0] * 5, [2.0] * 5, [3.0] * 5]))
    assert found.ranks.tolist() == [3, 2, 1]
    assert found.p == 0
