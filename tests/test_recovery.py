"""What is said of the embedded endpoint's parameters is what its sampler does by definition; and what it ignores is called no effect."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.local import in_thread, real_model
from support.process import ROOT
from support.sweeps import sweep

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.effects import Verdict
from evalkit.experiment.experiment import check
from evalkit.experiment.files.reading import read_prompts
from evalkit.local.api import Api, Chat
from evalkit.local.rehearsal import check as rehearse
from evalkit.local.server import app

pytestmark = pytest.mark.slow

PROMPTS = [prompt.plain() for prompt in read_prompts(ROOT / "experiments/prompts/quickstart.yaml").prompts]


DRAW = 1
"""Any will do, but for one in twenty or so: what is asserted holds for most draws, as statistics do, not for all."""


def analysed(
    folder: Path,
    parameters: dict[str, Any],
    replicates: int,
    prompts: int = 10,
    quirks: tuple[dict[str, Any], ...] = (),
    kind: type[Api] = Api,
    **more: Any,
) -> Analysis:
    # One draw after the other, so that the answers are those of an endpoint without seeds, and the same at each run.
    seeded = kind(real_model(), draw=random.Random(DRAW).getrandbits)  # noqa: S311
    with in_thread(app(seeded, rehearsal=rehearse({"seed": 1, "faults": [], "quirks": list(quirks)}))) as server:
        data = {
            "name": "recovery",
            "endpoint": {"base_url": f"http://127.0.0.1:{server.port}/v1", "model": "babbler", "concurrency": 1},
            "prompts": PROMPTS[:prompts],
            "parameters": parameters,
            "replicates": replicates,
        }
        result = sweep(check(data | more), folder)
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
    assert all(one.sure for one in (by_place["temperature", "distinct_2"], by_place["frequency_penalty", "rep_w_16"], length, cut))
    # Longer answers are more varied by what stands in them, not by their length: all are taken as if of one length.
    for name in ("distinct_1", "distinct_2", "vendi_ngram"):
        assert next(one for one in found.metrics if one.name == name).on == "sample"
        assert abs(by_place["max_tokens", name].difference) < abs(by_place["temperature", name].difference) / 2, name


class Thinking(Api):
    """An endpoint that does more with max_tokens than cut answers off: where there is room, it goes about them otherwise."""

    def chat(self, body: object, *manners: Any) -> Chat:
        assert isinstance(body, dict)
        return super().chat(body | {"temperature": 0.2 if body["max_tokens"] <= 40 else 1.0}, *manners)


def test_a_limit_that_does_more_than_cut_answers_off_is_found_out(tmp_path: Path) -> None:
    found = analysed(tmp_path / "run", {"max_tokens": [40, 80]}, 6, kind=Thinking)
    (control,) = found.controls
    assert "distinct_2" in control.failed
    assert any(one.startswith("Warning: max_tokens changes ") and "a hidden reasoning budget, say" in one for one in found.answers)
    honest = analysed(tmp_path / "honest", {"max_tokens": [40, 80]}, 6)
    (control,) = honest.controls  # a limit cannot move the words before it, and it does not
    assert (control.parameter, control.failed) == ("max_tokens", [])
    assert len(control.passed) + len(control.open) >= 5
    assert not any(one.startswith("Warning") for one in honest.answers)


MOST_FALSE = 0.15
"""Each metric is wrong in one draw of twenty, and metrics of one kind together: in most draws none is, in some a few that say the same."""


def false_alarms(verdicts: Sequence[Verdict]) -> float:
    """The share of verdicts on a parameter that does nothing that are sure of an effect."""
    return sum(one.sure for one in verdicts) / len(verdicts)


IGNORED = ({"quirk": "ignore", "parameter": "presence_penalty"},)


def test_a_parameter_that_the_endpoint_ignores_has_no_effect_where_the_experiment_has_the_power(tmp_path: Path) -> None:
    parameters = {"presence_penalty": [0, 1.5], "frequency_penalty": [0, 0.5]}
    found = analysed(tmp_path / "run", parameters, 24, quirks=IGNORED, request={"max_tokens": 40}, margins={"distinct_2": 0.06})
    by_metric = {one.metric: one for one in found.verdicts if one.parameter == "presence_penalty"}
    assert by_metric["distinct_2"].verdict == "no effect"
    assert by_metric["distinct_2"].p_equivalence <= 0.05
    assert by_metric["distinct_2"].margin == 0.06
    assert by_metric["exact_duplicates"].verdict == "no effect"
    assert false_alarms(list(by_metric.values())) <= MOST_FALSE
    assert found.not_estimated == []


def test_and_is_inconclusive_where_it_has_not(tmp_path: Path) -> None:
    parameters = {"presence_penalty": [0, 1.5]}
    found = analysed(tmp_path / "run", parameters, 2, prompts=6, quirks=IGNORED, request={"max_tokens": 40}, margins={"distinct_2": 0.01})
    by_metric = {one.metric: one for one in found.verdicts}
    for one in (by_metric["distinct_2"], by_metric["length_chars"]):
        assert one.verdict == "inconclusive"
        assert one.prompts_needed is not None
        assert one.prompts_needed > 6
        assert one.detectable > one.margin
    assert false_alarms(found.verdicts) <= MOST_FALSE
