"""Short everyday answers of a real model: that they are compared by their variety and repetition, and that choices rest on these.

``tests/golden/short_answers.jsonl`` holds what Gemma 3 270M (4-bit, by llama.cpp's server, one thread, no chat template) wrote on after a list of two
sentences of its kind, up to the end of the line: six prompts, temperature 0.3 and 1.2, at most 16 and 48 tokens, eight answers each.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.process import ROOT
from support.records import experiment, record

from evalkit.analysis.analysis import Analysis, analyse
from evalkit.choice import Choice, choose
from evalkit.metrics import CATALOGUE
from evalkit.plan.requests import Plan
from evalkit.scoring.scores import Scores, score
from evalkit.store.records import Completion, Usage

ROWS = [json.loads(line) for line in (ROOT / "tests/golden/short_answers.jsonl").read_text(encoding="utf-8").splitlines()]
ANSWERS = {(row["prompt"], row["cell"], row["replicate"]): row for row in ROWS}
VARIETY = ("distinct_1", "distinct_2", "vendi_ngram")
REPETITION = ("rep_2", "rep_w_16")


def scored(profile: str) -> Scores:
    levels = {"temperature": [0.3, 1.2], "max_tokens": [16, 48]}
    prompts = sorted({row["prompt"] for row in ROWS})
    plan = Plan(experiment(levels, prompts, replicates=8, choose={"profile": profile}))
    records = []
    for request in plan:
        row = ANSWERS[request.prompt_id, request.cell_index, request.replicate]
        usage = Usage(completion_tokens=row["tokens"])
        records.append(record(request, Completion(text=row["text"], finish_reason=row["finish_reason"], usage=usage, latency_s=0.5, tries=1)))
    return score(plan, records)


@pytest.fixture(scope="module")
def found() -> tuple[Scores, Analysis]:
    scores = scored("balanced")
    return scores, analyse(scores)


def test_the_answers_are_short() -> None:
    lengths = [len(row["text"].split()) for row in ROWS]
    assert len(ROWS) == 6 * 4 * 8
    assert np.quantile(lengths, [0.1, 0.5, 0.9]).tolist() == [pytest.approx(one, abs=3) for one in (5, 10, 15)]


def test_variety_and_repetition_are_compared_in_every_cell(found: tuple[Scores, Analysis]) -> None:
    scores, analysis = found
    assert scores.prefix is None
    for name in (*VARIETY, *REPETITION):
        assert scores.on(CATALOGUE[name]) == "sample", name
        assert (~np.isnan(scores.by_metric[name].value)).sum(axis=1).min() >= 5, name
    compared = {one.metric for one in analysis.verdicts if one.parameter == "temperature"}
    assert {*VARIETY, *REPETITION} <= compared
    assert {one.name for one in analysis.metrics if one.on is None} == {"duplicate_lines", "self_bleu_4", "self_rouge_l", "compression_ratio"}


def test_more_heat_makes_short_answers_more_varied(found: tuple[Scores, Analysis]) -> None:
    by_metric = {one.metric: one for one in found[1].verdicts if one.parameter == "temperature"}
    for name in VARIETY:
        assert (by_metric[name].verdict, by_metric[name].difference > 0) == ("effect", True), name


@pytest.mark.parametrize("profile", ["balanced", "creative", "precise"])
def test_a_choice_rests_on_variety_or_repetition(profile: str) -> None:
    scores = scored(profile)
    choice = choose(scores, analyse(scores))
    assert isinstance(choice, Choice)
    say = {one.metric: one.say for one in choice.weights}
    wanted = {"balanced": {"distinct_2", "rep_2"}, "creative": {"vendi_ngram", "distinct_2"}, "precise": {"vendi_ngram", "distinct_2"}}[profile]
    assert wanted <= say.keys()
    assert sum(say[name] for name in wanted) >= 0.4
    assert not any("too short" in note for note in choice.notes)
