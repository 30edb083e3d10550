from __future__ import annotations

import json
import math

import numpy as np
import pytest
from support.process import ROOT

from evalkit.stats.equivalence import tost

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["TOST paired", "TOST paired (wide margin)"])
def test_students_sleep_data(name: str) -> None:
    case = GOLDEN[name]
    first, second = np.array(case["inputs"]["x1"]), np.array(case["inputs"]["x2"])
    found = tost(first - second, case["params"]["low"], case["params"]["upp"])
    if isinstance(case["expected"], dict):
        expected = [case["expected"][key] for key in ("p", "p_low", "p_upp")]
        assert list(found) == pytest.approx(expected, abs=case["tolerance"])
    else:
        assert found.p == pytest.approx(case["expected"], abs=case["tolerance"])


def test_a_planted_difference_beyond_the_margin_is_called_equivalent_in_five_percent_at_most() -> None:
    rng = np.random.default_rng(1)
    wrong = np.mean([tost(rng.normal(0.5, 1, 20), -0.5, 0.5).p < 0.05 for _ in range(2000)])
    assert wrong <= 0.065


def test_differences_that_do_not_vary() -> None:
    assert tost([0.1] * 5, -0.2, 0.2).p == 0
    assert tost([0.3] * 5, -0.2, 0.2).p == 1
    assert math.isnan(tost([0.1], -1, 1).p)
