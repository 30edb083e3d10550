from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from evalkit.stats.survival import kaplan_meier, log_rank

GOLDEN = {case["metric"]: case for case in json.loads(Path(__file__).with_name("golden_statistics.json").read_text(encoding="utf-8"))}


def test_freireichs_trial() -> None:
    case = GOLDEN["Kaplan-Meier (right-censored length)"]
    given, expected = case["inputs"], case["expected"]
    found = kaplan_meier(np.array(given["events"]), np.array(given["censored"]))
    assert found.times.tolist() == expected["t"]
    assert found.share == pytest.approx(expected["S"], abs=1e-9)
    assert found.median == expected["median"]
    z, p = log_rank(np.array(given["events"]), np.array(given["censored"]), np.array(given["placebo_events"]), np.array([]))
    assert (z, p) == pytest.approx((expected["logrank_z"], expected["p"]), abs=1e-9)
    assert z**2 == pytest.approx(expected["logrank_chi2"])


def test_a_median_that_is_not_reached_is_unknown() -> None:
    assert math.isnan(kaplan_meier(np.array([5.0]), np.array([9.0, 9.0, 9.0])).median)
