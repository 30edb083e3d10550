"""Scorers: what functions of the user's own may give, and what goes wrong in them without stopping anything."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.records import experiment, records

from evalkit.errors import ExperimentError
from evalkit.metrics.custom import Scorer, fault, load, name_of
from evalkit.plan.requests import Plan
from evalkit.scoring.scores import score
from evalkit.store.records import Record


def test_scorers_of_texts_records_and_groups_stand_beside_the_metrics() -> None:
    def letters(text: str) -> dict[str, float]:
        return {"all": len(text), "a": text.count("a")}

    def tries(record: Record) -> int:
        return record.outcome.tries

    def longest(texts: Sequence[str]) -> int:
        return max(map(len, texts))

    def span(texts: Sequence[str]) -> dict[str, float]:
        return {"longest": max(map(len, texts)), "shortest": min(map(len, texts))}

    plan = Plan(experiment(prompts=["p"]))
    own = [
        Scorer("letters", "text", letters, None),
        Scorer("tries", "record", tries, "lower"),
        Scorer("longest", "texts", longest, "higher"),
        Scorer("span", "texts", span, "lower"),
    ]
    found = score(plan, records(plan, lambda request: ["a", "abaa"][request.replicate]), (), scorers=own)
    assert {name: one.value[0, 0] for name, one in found.by_metric.items()} == {
        "letters.all": 2.5,
        "letters.a": 2,
        "tries": 1,
        "longest": 4,
        "span.longest": 4,
        "span.shortest": 1,
    }
    assert {one.name: (one.level, one.better) for one in found.metrics}["span.shortest"] == ("group", "lower")
    assert {name: int(one.n_eligible[0, 0]) for name, one in found.by_metric.items()} == dict.fromkeys(found.by_metric, 2)
    assert found.complaints == ()


def test_a_scorer_that_fails_is_told_with_its_record_and_stops_nothing() -> None:
    def picky(text: str) -> Any:
        if text == "bad":
            raise KeyError("no")
        return "seven" if text == "word" else 7

    plan = Plan(experiment(prompts=["p"], replicates=3))
    found = score(plan, records(plan, lambda request: ["bad", "word", "good"][request.replicate]), (), scorers=[Scorer("picky", "text", picky, None)])
    assert found.by_metric["picky"].value[0, 0] == 7
    assert found.by_metric["picky"].n_eligible[0, 0] == 1
    keys = {request.replicate: request.key for request in plan}
    assert len(found.complaints) == 2
    told = list(map(str, found.complaints))
    assert any("KeyError: 'no' (prompt p, replicate 0" in one and keys[0] in one for one in told)
    assert any("gave str 'seven'; expected a number" in one and keys[1] in one for one in told)


def test_a_scorer_of_groups_that_fails_is_told_with_its_group() -> None:
    def picky(texts: Sequence[str]) -> Any:
        return {"first": 1.0} if texts[0].startswith("p") else 1 / 0

    plan = Plan(experiment(prompts=["p", "q"]))
    found = score(plan, records(plan, lambda request: request.prompt_id), (), scorers=[Scorer("picky", "texts", picky, None)])
    assert found.by_metric["picky.first"].value[0].tolist()[0] == 1
    assert math.isnan(found.by_metric["picky.first"].value[0, 1])
    assert found.by_metric["picky.first"].n_texts.tolist() == [[2, 2]]
    assert found.by_metric["picky.first"].n_eligible.tolist() == [[2, 0]]
    assert found.complaints == (("picky: ZeroDivisionError: division by zero", 1, "prompt q, the only setting"),)


def test_the_setting_of_a_group_is_named_as_people_read_it() -> None:
    def failing(texts: Sequence[str]) -> Any:
        return len(texts) / 0

    swept = Plan(experiment({"temperature": [0.2, 1], "top_p": [0.5, 0.9], "max_tokens": [9]}, prompts=["p"]))
    found = score(swept, records(swept, lambda _: "a"), (), scorers=[Scorer("failing", "texts", failing, None)])
    (complaint,) = found.complaints
    assert str(complaint) == "failing: ZeroDivisionError: division by zero (4 times, first at prompt p, temperature=0.2, top_p=0.5)"


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("not even this")


class AwkwardError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize("given", [True, np.True_, "7", b"7", None, [7], math.nan, math.inf, -math.inf, np.float32("nan"), 7j, 10**400, Awkward()])
@pytest.mark.parametrize("takes", ["text", "texts"])
def test_what_is_no_number_is_refused_and_told(given: Any, takes: Any) -> None:
    for gives, numbers in ((lambda _: given, {}), (lambda _: {"bad": given, "good": 2}, {"s.good": 2.0})):
        found = Scorer("s", takes, gives, None).found("a text")
        assert found.numbers == numbers
        assert len(found.faults) == 1


@pytest.mark.parametrize("given", [0, -3, 2.5, np.float32(2.5), np.int64(7), Fraction(1, 2)])
def test_every_kind_of_number_will_do(given: Any) -> None:
    assert Scorer("s", "text", lambda _: given, None).found("").numbers == {"s": float(given)}


@pytest.mark.parametrize("key", ["", "a b", "a\x1b[2J", "é", 3, None, "a" * 61, "a.b", "=1"])
def test_a_name_that_no_table_should_hold_is_refused(key: Any) -> None:
    found = Scorer("s", "text", lambda _: {key: 1, "good": 2}, None).found("")
    assert found.numbers.get("s.good") == 2
    assert set(found.numbers) <= {"s.good", "s"}
    assert (len(found.faults) == 1) == (key != "")


def test_a_scorer_that_counts_words_makes_no_thousand_metrics() -> None:
    found = Scorer("s", "text", lambda text: dict.fromkeys(text.split(), 1), None).found(" ".join(f"w{number}" for number in range(1000)))
    assert found.numbers == {}
    assert "gave 1,000 numbers; expected at most 50" in found.faults[0]


@pytest.mark.parametrize("error", [SystemExit(3), AwkwardError(), RecursionError(), GeneratorExit(), ValueError("x" * 10_000)])
def test_no_error_of_a_scorer_comes_through(error: BaseException) -> None:
    def raising(_: str) -> Any:
        raise error

    found = Scorer("s", "text", raising, None).found("")
    assert found.numbers == {}
    assert type(error).__name__ in found.faults[0]
    assert len(found.faults[0]) < 300


def test_an_interrupt_of_the_user_comes_through() -> None:
    def raising(_: str) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Scorer("s", "text", raising, None).found("")


def test_a_scorer_is_imported_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scorers_of_mine.py").write_text("def size(text):\n    return len(text)\n\ndef odd(x):\n    return 1\n")
    (tmp_path / "scorer_that_ends.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = load({"call": "scorers_of_mine:size", "better": "higher"})
    assert (found.name, found.takes, found.better, found.found("abc").numbers) == ("size", "text", "higher", {"size": 3.0})
    wrong = (
        "scorers_of_mine:odd",
        "scorers_of_mine:none",
        "no_such_module:f",
        "scorer_that_ends:f",
        "size",
        {"call": "scorers_of_mine:size", "best": 1},
        3,
    )
    for spec in wrong:
        with pytest.raises(ExperimentError, match="scorers"):
            load(spec)


@pytest.mark.parametrize(
    "spec", ["size", "a:b:c", "a b:c", ":f", "m:", {"call": "m:f", "best": 1}, {"call": "m:f", "better": "up"}, {"better": "higher"}]
)
def test_what_is_no_scorer_is_refused_before_anything_is_sent(spec: Any) -> None:
    assert fault(spec)
    with pytest.raises(ExperimentError, match=r"scorers\[0\]"):
        experiment(scorers=[spec])


def test_a_scorer_named_like_another_metric_is_refused() -> None:
    assert name_of({"call": "m:rep_2"}) == "rep_2"
    for more in ({"scorers": ["m:rep_2"]}, {"scorers": ["m:f", "n:f"]}, {"scorers": ["m:is_json"], "checks": ["is_json"]}):
        with pytest.raises(ExperimentError, match="another metric is called"):
            experiment(**more)


def test_a_choice_may_rest_on_what_the_experiment_brings_along() -> None:
    own = {"checks": ["is_json", {"contains": "x"}], "scorers": ["m:f"]}
    choose = {"require": {"is_json": {"min": 0.9}, "f": {"min": 1}}, "prefer": {"f.part": {"goal": "maximize"}, "cost": {"goal": "minimize"}}}
    assert experiment(**own, choose=choose, margins={"f": 0.1}).choose is not None
    with pytest.raises(ExperimentError) as told:
        experiment(**own, choose={"prefer": {"g": {"goal": "maximize"}}, "require": {"is_jso": {"min": 1}}}, margins={"fx": 1})
    for words in ("choose.prefer.g: unknown metric", "did you mean 'is_json'", "margins.fx: unknown metric"):
        assert words in str(told.value)


def test_scorers_that_end_the_process_lose_nothing(tmp_path: Path, evalkit: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "mine.py").write_text("import os, sys\ndef ends(text): sys.exit(5)\ndef both(texts): return {'n': len(texts), 'bad': float('nan')}\n")
    data = {
        "name": "x",
        "endpoint": {"base_url": "local", "model": "babbler"},
        "prompts": [{"id": "a", "user": "What is a list?"}],
        "parameters": {"temperature": [0.5, 1]},
        "request": {"max_tokens": 20},
        "replicates": 2,
        "scorers": ["mine:ends", "mine:both"],
    }
    (tmp_path / "x.yaml").write_text(json.dumps(data))
    done = evalkit("sweep", "x.yaml")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "a scorer gave no number for any answer: ends: SystemExit: 5 (4 times, first at prompt a, replicate" in said
    assert "a scorer failed, which leaves its value out: both.bad: ValueError: gave nan" in said
    assert "Traceback" not in done.stderr
    assert "both.n" in (tmp_path / "results/x/summary.csv").read_text()
    (tmp_path / "mine.py").write_text("import sys\nsys.exit(0)\n")
    before = (tmp_path / "results/x/responses.jsonl").read_bytes()
    done = evalkit("score", "results/x")
    assert done.returncode == 2
    assert "error: scorers: mine:ends: cannot be imported: SystemExit: 0" in done.stderr
    assert (tmp_path / "results/x/responses.jsonl").read_bytes() == before
