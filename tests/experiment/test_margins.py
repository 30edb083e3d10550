"""What difference is too small to matter, where an experiment says it, the metric, or its range."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.experiment.judges import Judge
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE, Metric, checks
from evalkit.scoring.gather import metric_of

means = st.floats(0.01, 1e6)
OF_THE_USER = metric_of("their_own", "response", None, lambda _: math.nan)


def judge(low: int, high: int) -> Metric:
    return Judge.model_validate(
        {
            "name": "kind",
            "endpoint": {"base_url": "http://127.0.0.1:1/v1", "model": "m", "api_key_env": None},
            "rubric": "Is it kind?",
            "scale": {"min": low, "max": high},
        }
    ).metric()


@pytest.mark.parametrize("name", CATALOGUE)
@settings(max_examples=20)  # of each of forty metrics
@given(means)
def test_a_metric_of_the_catalogue_has_the_margin_of_its_line(name: str, mean: float) -> None:
    margin = margin_of(CATALOGUE[name], mean, {})
    usual = CATALOGUE[name].margin
    if isinstance(usual, str):
        assert margin == (pytest.approx(mean * 0.05), "share of the reference")
    else:
        assert margin == (usual, "0-1 scale")


@given(means)
def test_the_declared_range_tells_the_margin_of_what_is_an_experiments_own(mean: float) -> None:
    on_0_1, relative = (0.02, "0-1 scale"), (pytest.approx(mean * 0.05), "share of the reference")
    assert margin_of(judge(0, 1), mean, {}) == on_0_1
    assert margin_of(judge(0, 5), mean, {}) == relative
    assert margin_of(judge(-1, 1), mean, {}) == relative
    assert margin_of(checks.metric("refusal"), mean, {}) == on_0_1
    assert margin_of(OF_THE_USER, mean, {}) == relative


@given(means, st.floats(0.001, 100))
def test_what_an_experiment_says_goes_before_all_else(mean: float, said: float) -> None:
    for metric in (CATALOGUE["distinct_2"], CATALOGUE["length_words"], OF_THE_USER):
        assert margin_of(metric, mean, {metric.name: said}) == (said, "experiment")
        assert margin_of(metric, mean, {metric.name: "10 %"}) == (pytest.approx(mean / 10), "experiment")


def test_a_share_of_nothing_is_no_margin() -> None:
    assert math.isnan(margin_of(CATALOGUE["length_words"], 0.0, {}).value)
    assert math.isnan(margin_of(CATALOGUE["distinct_2"], 0.0, {"distinct_2": "5 %"}).value)
