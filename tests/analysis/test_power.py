"""Planning ahead: variances that were planted are found again, and what is foretold is what a sweep then sees."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from evalkit.analysis.power import Variances, given, of_pilot, outlook, told, wanted
from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import check
from evalkit.experiment.goals import Own
from evalkit.metrics import checks
from evalkit.plan.requests import Plan
from evalkit.stats.power import detectable
from evalkit.store.records import Completion, Record, Usage


def experiment(prompts: int = 30, replicates: int = 8):
    return check(
        {
            "name": "pilot",
            "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
            "prompts": [{"id": f"p{number}", "user": "say"} for number in range(prompts)],
            "parameters": {"temperature": [0.5, 1.0, 1.5]},
            "replicates": replicates,
        }
    )


def records(pilot, between: float, within: float):
    rng = np.random.default_rng(4)
    shift = rng.normal(0, math.sqrt(between / 2), (3, len(pilot.prompts)))
    for request in Plan(pilot):
        length = round(1000 + 100 * (shift[request.cell_index, request.prompt_index] + rng.normal(0, math.sqrt(within))))
        done = Completion(text="a b c", finish_reason="stop", usage=Usage(completion_tokens=length), latency_s=0.1, tries=1)
        yield Record(
            key=request.key, role="sweep", prompt_id=request.prompt_id, cell=request.cell, replicate=request.replicate, seed=None, model="m",
            request={}, at="2026-01-01T00:00:00Z", outcome=done,
        )  # fmt: skip


def test_a_pilots_variances_are_those_planted() -> None:
    pilot = experiment(prompts=300, replicates=4)
    all_records = list(records(pilot, between=2.0, within=4.0))
    found = of_pilot(pilot, lambda: iter(all_records))
    seen = found["length_tokens"]
    assert seen.between == pytest.approx(2.0 * 100**2, rel=0.15)
    assert seen.within == pytest.approx(4.0 * 100**2, rel=0.15)
    assert seen.sd(8) == pytest.approx(math.sqrt(2.0 + 2 * 4.0 / 8) * 100, rel=0.1)
    assert math.isnan(found["exact_duplicates"].within)


def test_a_pilot_tells_of_metrics_beside_the_usual_ones_first() -> None:
    pilot = experiment(prompts=60, replicates=4)
    rng = np.random.default_rng(5)
    some = [
        msgspec.structs.replace(one, outcome=msgspec.structs.replace(one.outcome, text=rng.choice(["yes", "no"]))) for one in records(pilot, 0, 1)
    ]
    found = of_pilot(pilot, lambda: iter(some), [checks.metric({"contains": "yes"}), checks.metric({"regex": "."})])
    assert list(found)[:2] == ["contains", "regex"]
    assert found["contains"].within == pytest.approx(0.25, rel=0.2), "of a fair coin"
    assert (found["regex"].between, found["regex"].within) == (0, 0)
    contains, regex = outlook(pilot, {name: found[name] for name in ("contains", "regex")}, {})
    assert contains.prompts
    assert not regex.prompts, "what did not vary tells nothing"
    assert "regex                  unknown: it did not vary" in "\n".join(told(pilot, [contains, regex]))


def test_the_outlook_is_the_detectable_effect_and_prompts_fall_with_replicates() -> None:
    (row,) = outlook(experiment(), {"rep_2": Variances(0.01, 0.04, 0, 0.02)}, {"rep_2": 0.05})
    assert row.detectable == pytest.approx(detectable(30, math.sqrt(0.01 + 2 * 0.04 / 8)))
    prompts = [count for _, count in row.prompts]
    assert prompts == sorted(prompts, reverse=True)
    assert dict(row.prompts)[8] == pytest.approx(2.8**2 * 0.02 / 0.05**2, abs=4)
    text = "\n".join(told(experiment(), [row]))
    assert "With 30 prompts and 8 replicates" in text
    assert "a difference of 0.05 takes prompts × replicates" in text


def test_one_prompt_sees_nothing() -> None:
    (row,) = outlook(experiment(prompts=1), {"rep_2": Variances(0.01, 0.04, 0, math.nan)}, {})
    assert "not at all" in "\n".join(told(experiment(prompts=1), [row]))
    assert row.prompts == []


def test_given_variances_and_effects() -> None:
    assert given(["rep_2=0.01,0.04"], 8) == {"rep_2": (0.01, 0.04, 0, pytest.approx(math.nan, nan_ok=True))}
    assert math.isnan(given(["distinct_2=0.01,0"], 8)["distinct_2"].within)
    assert wanted(["rep_2=0.1"]) == {"rep_2": 0.1}
    own = Own(checks=frozenset(["facts"]))
    assert wanted(["facts=0.1", "facts:2=0.2"], own) == {"facts": 0.1, "facts:2": 0.2}
    assert given(["facts=0.1,0.2"], 8, own)["facts"].within == 0.2


@pytest.mark.parametrize("text", ["rep_2", "repp=1,2", "rep_2=a,b", "rep_2=1", "rep_2=-1,2", "rep_2=inf,1"])
def test_variances_that_make_no_sense_are_told(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"^variance"):
        given([text], 8)


@pytest.mark.parametrize("text", ["rep_2=0", "rep_2=1,2", "rep=1"])
def test_effects_that_make_no_sense_are_told(text: str) -> None:
    with pytest.raises(ExperimentError, match=r"^effect"):
        wanted([text])
