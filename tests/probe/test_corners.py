"""How far first tokens are from the definition: what the definition says, which corners, and what is found at endpoints with manners."""

from __future__ import annotations

import asyncio
import importlib.util
import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.local import real_model
from support.process import ROOT

from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.sampler import Settings, shape
from evalkit.probe.endpoint import Probed
from evalkit.probe.meaning.corners import FIXED, corners_of
from evalkit.probe.meaning.definition import categories, defined, gathered_by, rest_at, sampled_rest
from evalkit.probe.meaning.survey import Found, ask_meaning


def _worlds() -> ModuleType:
    spec = importlib.util.spec_from_file_location("meaning_worlds", ROOT / "benchmarks" / "meaning_worlds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORLDS = _worlds()


@given(
    st.lists(st.integers(1, 500), min_size=25, max_size=60, unique=True),
    st.sampled_from([0.3, 0.5, 1.0, 1.5, 2.0]),
    st.sampled_from([0.1, 0.5, 0.9, 1.0]),
)
def test_one_of_the_rows_is_what_the_definition_gives_over_the_whole_vocabulary(weights: list[int], heat: float, cut: float) -> None:
    whole = np.sort(np.array(weights, dtype=float))[::-1] / sum(weights)
    expected = shape(whole, {}, Settings(temperature=heat, top_p=cut))
    listed = whole[:20]
    exact = float((whole[20:] ** (1 / heat)).sum())
    bounds = rest_at(listed, heat)
    assert bounds.low - 1e-9 <= exact <= bounds.high + 1e-9
    rows = defined(listed, heat, cut, type(bounds)(exact, exact))
    assert np.allclose(rows.sum(axis=-1), 1)
    apart = 0.5 * np.abs(rows - np.append(expected[:20], expected[20:].sum())).sum(axis=-1)
    assert apart.min() < 0.06  # a token of the rest may stand on the edge of top_p; all else is exact
    if cut == 1 or expected[20:].sum() == 0:
        assert apart.min() < 1e-9


def test_at_temperature_1_the_rest_is_what_is_left_and_samples_narrow_it_elsewhere() -> None:
    listed = np.array([0.5, 0.3, 0.1])
    assert rest_at(listed, 1) == pytest.approx((0.1, 0.1))
    open_ = rest_at(listed, 2)
    narrow = sampled_rest(open_, listed, 2, (0.2, 0.4))
    assert open_.low <= narrow.low < narrow.high < open_.high
    assert sampled_rest(open_, listed, 2, (0.0, 0.001)) == open_  # which cannot be, so the samples are not believed


def test_likely_tokens_have_a_category_each_and_equals_share_one() -> None:
    listed = np.array([0.4, 0.2, 0.2, 0.01, 0.005])
    rows = defined(listed, 1, 0.85, rest_at(listed, 1))
    category = categories(listed, rows)
    assert category[1] == category[2] != category[0]
    assert gathered_by(category, rows).sum() == pytest.approx(len(rows))


@pytest.mark.parametrize(
    ("levels", "corners"),
    [
        ({}, [{}]),
        ({"temperature": [0, 0.5, 2], "top_p": [0.5, 1]}, [(2, 0.5), (2, 1), (0.5, 0.5)]),
        ({"temperature": ["default", 1.5]}, [(1.5, None), (None, None)]),
        ({"temperature": [0]}, []),
        ({"temperature": [1], "top_k": [0], "presence_penalty": [0.5]}, [{"temperature": 1, "top_k": 0, "presence_penalty": 0.5}]),
        ({"temperature": [1], "top_k": [40], "presence_penalty": [0.5, 1]}, [(1, None)]),
    ],
)
def test_corners_are_the_extremes_of_the_levels(levels: dict[str, list[Any]], corners: list[Any]) -> None:
    pairs = [
        {name: value for name, value in zip(("temperature", "top_p"), one, strict=True) if value is not None} if isinstance(one, tuple) else one
        for one in corners
    ]
    assert corners_of(levels) == pairs


def found_at(quirks: list[Mapping[str, Any]], seed: int, sampled: bool = False, most_calls: int = 460) -> tuple[Found, Probed]:
    api = Api(real_model(), draw=random.Random(seed).getrandbits)  # noqa: S311 (to be the same each time)
    endpoint = Probed(WORLDS.InProcess(api, quirks, seed), MODEL_NAME, most_calls, 8, np.random.default_rng(seed))
    return asyncio.run(ask_meaning(endpoint, corners=FIXED, sampled=sampled)), endpoint


def test_a_plain_endpoint_is_as_the_definition_says_and_one_that_cuts_first_is_not() -> None:
    plain, calls = found_at([], 1)
    assert "own" not in [one.standing for one in plain.corners]
    assert plain.corners[1].standing == "defined"
    assert calls.calls <= 460
    first, _ = found_at([{"quirk": "order", "value": "top_p_first"}], 1)
    hot = first.corners[0]
    assert (hot.temperature, hot.top_p, hot.standing, hot.by) == (1.5, 0.5, "own", "log probabilities")
    assert hot.low is not None
    assert hot.high is not None
    assert 0.1 < hot.low < hot.high
    assert "away from the definition" in hot.says


@pytest.mark.slow
def test_without_log_probabilities_corners_are_asked_only_where_that_is_wanted() -> None:
    quirks = [WORLDS.NO_LOGPROBS, {"quirk": "order", "value": "top_p_first"}]
    none, _ = found_at(quirks, 2)
    assert none.corners == []
    some, calls = found_at(quirks, 2, sampled=True, most_calls=840)
    assert some.corners[0].by == "samples"
    assert some.corners[0].standing in ("own", "inconclusive")  # 120 answers tell less than log probabilities do
    assert calls.calls <= 840
