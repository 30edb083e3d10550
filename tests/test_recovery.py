"""What is said of the embedded endpoint's parameters is what its sampler does by definition; and what it ignores is called no effect."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from local_support import in_thread, real_model

from evalkit import run as runs
from evalkit.analysis import Analysis
from evalkit.experiment import check
from evalkit.local.api import Api
from evalkit.local.rehearsal import check as rehearse
from evalkit.local.server import app
from evalkit.prompts import load

pytestmark = pytest.mark.slow

PROMPTS = [prompt.plain() for prompt in load(ROOT / "experiments/prompts/quickstart.yaml")]


def analysed(
    folder: Path, parameters: dict[str, Any], replicates: int, prompts: int = 10, quirks: tuple[dict[str, Any], ...] = (), **more: Any
) -> Analysis:
    # One draw after the other, from a seed: the answers are those of an endpoint without seeds, and the same at each run.
    seeded = Api(real_model(), draw=random.Random(1).getrandbits)  # noqa: S311
    with in_thread(app(seeded, rehearsal=rehearse({"seed": 1, "faults": [], "quirks": list(quirks)}))) as server:
        data = {
            "name": "recovery",
            "endpoint": {"base_url": f"http://127.0.0.1:{server.port}/v1", "model": "babbler", "concurrency": 1},
            "prompts": PROMPTS[:prompts],
            "parameters": parameters,
            "replicates": replicates,
        }
        result = runs.sweep(check(data | more), folder)
    assert result is not None
    assert result.complete
    return result.analysis


def test_each_parameter_gets_the_verdict_that_the_samplers_definition_implies(tmp_path: Path) -> None:
    parameters = {
        "temperature": [0.5, 1.2],
        "top_p": [0.5, "default"],
        "frequency_penalty": [0, 1.5],
        "presence_penalty": [0, 1.5],
        "max_tokens": [20, 80],
    }
    found = analysed(tmp_path / "run", parameters, 6, design="fractional", request={"stop": ["\n\n"]})
    assert len(found.cells) == 16
    by_place = {(one.parameter, one.metric): one for one in found.verdicts}
    # More heat, a wider nucleus, and penalties of either kind make answers more varied; more room makes them longer.
    for name in ("temperature", "top_p"):
        assert (by_place[name, "distinct_2"].verdict, by_place[name, "distinct_2"].difference > 0) == ("effect", True)
    for name in ("frequency_penalty", "presence_penalty"):
        assert (by_place[name, "rep_w_16"].verdict, by_place[name, "rep_w_16"].difference < 0) == ("effect", True)
    length, cut = by_place["max_tokens", "length_tokens"], by_place["max_tokens", "truncation_rate"]
    assert (length.verdict, length.difference > 0) == ("effect", True)
    assert (cut.verdict, cut.difference < 0) == ("effect", True)


IGNORED = ({"quirk": "ignore", "parameter": "presence_penalty"},)


def test_a_parameter_that_the_endpoint_ignores_has_no_effect_where_the_experiment_has_the_power(tmp_path: Path) -> None:
    parameters = {"presence_penalty": [0, 1.5], "frequency_penalty": [0, 0.5]}
    found = analysed(tmp_path / "run", parameters, 24, quirks=IGNORED, request={"max_tokens": 40}, margins={"distinct_2": 0.06})
    by_metric = {one.metric: one for one in found.verdicts if one.parameter == "presence_penalty"}
    assert by_metric["distinct_2"].verdict == "no effect"
    assert by_metric["distinct_2"].p_equivalence <= 0.05
    assert by_metric["exact_duplicates"].verdict == "no effect"
    assert found.not_estimated == []


def test_and_is_inconclusive_where_it_has_not(tmp_path: Path) -> None:
    found = analysed(tmp_path / "run", {"presence_penalty": [0, 1.5]}, 2, prompts=6, quirks=IGNORED, request={"max_tokens": 25})
    (one,) = [one for one in found.verdicts if one.metric == "length_chars"]
    assert one.verdict == "inconclusive"
    assert one.prompts_needed is not None
    assert one.prompts_needed > 6
