"""A likelihood ratio decides when it is sure and errs as rarely as promised; bounds of a share are the exact ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.sequential import SURE, Ratio, at_least, share_bounds


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    [(0, 10, 0.0, 0.3085), (5, 10, 0.1871, 0.8129), (10, 10, 0.6915, 1.0), (1, 20, 0.0013, 0.2487)],  # R: binom.test(hits, of)$conf.int
)
def test_bounds_of_a_share_are_those_of_clopper_and_pearson(hits: int, of: int, low: float, high: float) -> None:
    assert share_bounds(hits, of) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.001, 0.2))
def test_the_share_that_was_seen_lies_between_its_bounds(hits: int, misses: int, error: float) -> None:
    of = hits + misses
    low, high = share_bounds(hits, of, error)
    assert low <= (hits / of if of else 0.5) <= high
    if hits:
        assert at_least(hits, of, low) == pytest.approx(error, rel=1e-6)


def test_a_ratio_decides_either_way_and_not_before_it_is_sure() -> None:
    ratio = Ratio()
    assert (ratio.decided, ratio.value) == (None, 1.0)
    for _ in range(6):
        ratio.add(0.9, 0.3)
    assert ratio.value == pytest.approx(729)
    assert ratio.decided is True
    for _ in range(12):
        ratio.add(0.3, 0.9)
    assert ratio.decided is False
    for _ in range(200):
        ratio.add(0.3, 0.9)
    assert ratio.value == pytest.approx(1e-12)


def test_a_ratio_favours_the_wrong_side_no_more_often_than_walds_bound() -> None:
    rng = np.random.default_rng(5)
    wrong = 0
    for _ in range(4000):
        ratio = Ratio(sure=20)
        while ratio.decided is None:
            hit = rng.random() < 0.5
            ratio.add(0.5, 0.8 if hit else 0.2)
        wrong += ratio.decided is False
    assert wrong / 4000 <= 1 / 20
    assert SURE > 20
