from __future__ import annotations

import math

import numpy as np
import pytest

from evalkit.stats.equivalence import tost

# The data are those of statsmodels' documentation of ttost_paired; the values are what statsmodels 0.14 gives for them.
FIRST = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SECOND = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])


def test_known_values() -> None:
    narrow = tost(FIRST - SECOND, -0.5, 0.5)
    assert narrow.p == pytest.approx(0.9892407566216127, abs=1e-9)
    assert narrow.p_low == pytest.approx(0.9892407566216127, abs=1e-9)
    assert tost(FIRST - SECOND, -2.5, 2.5).p == pytest.approx(0.021116860246500745, abs=1e-9)


def test_a_planted_difference_beyond_the_margin_is_called_equivalent_in_five_percent_at_most() -> None:
    rng = np.random.default_rng(1)
    wrong = np.mean([tost(rng.normal(0.5, 1, 20), -0.5, 0.5).p < 0.05 for _ in range(2000)])
    assert wrong <= 0.065


def test_differences_that_do_not_vary() -> None:
    assert tost([0.1] * 5, -0.2, 0.2).p == 0
    assert tost([0.3] * 5, -0.2, 0.2).p == 1
    assert math.isnan(tost([0.1], -1, 1).p)
