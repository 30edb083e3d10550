from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.stats.claims import clear, sure
from evalkit.stats.intervals import t_interval
from evalkit.stats.selection import Aim, select


@pytest.mark.parametrize(
    ("low", "high", "p", "there", "certain"),
    [
        (0.1, 0.2, 0.05, True, True),
        (-0.2, -0.1, 0.01, True, True),
        (0.1, 0.2, 0.051, True, False),
        (0.1, 0.2, None, True, False),
        (0.1, 0.2, math.nan, True, False),
        (-0.1, 0.2, 0.01, False, False),
        (0.0, 0.2, 0.01, False, False),
        (math.nan, math.nan, 0.01, False, False),
    ],
)
def test_the_rule(low: float, high: float, p: float | None, there: bool, certain: bool) -> None:
    assert (clear(low, high), sure(low, high, p)) == (there, certain)


@given(st.integers(0, 10_000), st.integers(5, 12), st.floats(0, 3))
def test_what_is_surely_worse_has_an_interval_clear_of_0(seed: int, prompts: int, lead: float) -> None:
    """'Unclear' never stands beside 'better than every other'."""
    values = np.random.default_rng(seed).normal(size=(4, prompts)) + lead * np.arange(4)[:, None]
    found = select(values[None], [Aim("maximize", -20.0, float(values.mean(axis=1).max()), beyond=True)], np.random.default_rng(seed))
    for other in np.flatnonzero(~found.tied):
        one = t_interval(values[found.best] - values[other])
        assert prompts >= 6
        assert clear(one.low, one.high)
