"""What difference is too small to matter, where an experiment says it, the catalogue, or nobody."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE

means = st.floats(0.01, 1e6)
values = st.lists(st.floats(0, 1e6), max_size=5).map(lambda found: np.array(found, dtype=float))


@pytest.mark.parametrize("name", CATALOGUE)
@given(values, means)
def test_a_metric_of_the_catalogue_has_its_margin_whatever_its_values_are(name: str, found: np.ndarray, mean: float) -> None:
    margin = margin_of(name, found, mean, {})
    usual = CATALOGUE[name].margin
    if isinstance(usual, str):
        assert margin == (pytest.approx(mean * 0.05), "share of the reference")
    else:
        assert margin == (usual, "0-1 scale")


@given(values, means)
def test_the_values_tell_the_scale_of_what_the_catalogue_does_not_know(found: np.ndarray, mean: float) -> None:
    margin = margin_of("length_of_their_own", found, mean, {})
    assert margin == ((0.02, "0-1 scale") if not len(found) or found.max() <= 1 else (pytest.approx(mean * 0.05), "share of the reference"))


@given(values, means, st.floats(0.001, 100))
def test_what_an_experiment_says_goes_before_all_else(found: np.ndarray, mean: float, said: float) -> None:
    for name in ("distinct_2", "length_words", "their_own"):
        assert margin_of(name, found, mean, {name: said}) == (said, "experiment")
        assert margin_of(name, found, mean, {name: "10 %"}) == (pytest.approx(mean / 10), "experiment")


def test_a_share_of_nothing_is_no_margin() -> None:
    assert math.isnan(margin_of("length_words", np.array([]), 0.0, {}).value)
    assert math.isnan(margin_of("distinct_2", np.array([]), 0.0, {"distinct_2": "5 %"}).value)
