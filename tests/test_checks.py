"""Checks and scorers: what passes, what cannot be said, and what goes wrong without stopping anything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from test_scores import experiment, records

from evalkit.checks import KINDS, Scorer, fault, metric, metrics, scorer
from evalkit.errors import ExperimentError
from evalkit.metrics import tokenise, values
from evalkit.plan import Plan
from evalkit.records import Record
from evalkit.scores import score


@pytest.mark.parametrize(
    ("spec", "text", "expected"),
    [
        ({"contains": "cat"}, "a cat", 1),
        ({"contains": "cat"}, "a Cat", 0),
        ({"contains": "cat"}, "", 0),
        ({"not_contains": "cat"}, "", 1),
        ({"equals": "42"}, " 42\n", 1),
        ({"equals": "42"}, "421", 0),
        ({"regex": "^[0-9]+$"}, "42", 1),
        ({"regex": "^[0-9]+$"}, "x42", 0),
        ("is_json", '{"a": [1, null]}', 1),
        ("is_json", "{a: 1}", 0),
        ("is_json", "NaN", 0),
        ("is_json", "[" * 100_000, 0),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"a": 1}', 1),
        ({"json_schema": {"type": "object", "required": ["a"]}}, '{"b": 1}', 0),
        ({"json_schema": {"type": "object"}}, "no json", 0),
        ("refusal", "I’m sorry, but no.", 1),
        ("refusal", "Sure. " * 100 + "I can't help", 0),
    ],
)
def test_a_check_passes_or_not(spec: Any, text: str, expected: float) -> None:
    assert values(metric(spec), tokenise([text])).tolist() == [expected]


def test_what_a_prompt_expects_is_the_argument_that_is_left_out() -> None:
    for kind, text, expected in (("contains", "it is 42", 1), ("equals", "it is 42", 0), ("not_contains", "it is 42", 0)):
        assert values(metric(kind), tokenise([text], expect="42")).tolist() == [expected]
        assert math.isnan(values(metric(kind), tokenise([text]))[0])
    assert [one.name for one in metrics([], expects=True)] == ["contains"]
    assert [one.name for one in metrics([{"contains": "x"}, "equals", {"contains": "y"}], expects=True)] == ["contains", "equals", "contains:2"]
    assert metrics([], expects=False) == ()


@pytest.mark.parametrize("spec", ["contain", {"contains": 3}, {"regex": "("}, {"regex": None}, {"is_json": 1}, {"json_schema": {"type": 3}}, {}, 7])
def test_what_is_no_check_is_refused(spec: Any) -> None:
    assert fault(spec)
    assert all(fault(kind) is None for kind in KINDS if kind not in ("regex", "json_schema"))
    if not isinstance(spec, int):
        with pytest.raises(ExperimentError, match="checks"):
            experiment(checks=[spec])


def test_an_experiments_checks_do_not_change_what_is_sent() -> None:
    plain, checked = experiment(), experiment(checks=["is_json"], scorers=["json:loads"])
    assert plain.digest() == checked.digest()
    assert [one.key for one in Plan(plain)] == [one.key for one in Plan(checked)]


def test_scorers_of_texts_records_and_groups_stand_beside_the_metrics() -> None:
    def letters(text: str) -> dict[str, float]:
        return {"all": len(text), "a": text.count("a")}

    def tries(record: Record) -> int:
        return record.outcome.tries

    def longest(texts: Sequence[str]) -> int:
        return max(map(len, texts))

    plan = Plan(experiment(prompts=["p"]))
    own = [Scorer("letters", "text", letters, None), Scorer("tries", "record", tries, "lower"), Scorer("longest", "texts", longest, "higher")]
    found = score(plan, records(plan, lambda request: ["a", "abaa"][request.replicate]), (), scorers=own)
    assert {name: one.value[0, 0] for name, one in found.by_metric.items()} == {"letters.all": 2.5, "letters.a": 2, "tries": 1, "longest": 4}
    assert found.complaints == ()


def test_a_scorer_that_fails_is_told_and_stops_nothing() -> None:
    def picky(text: str) -> Any:
        if text == "bad":
            raise KeyError("no")
        return "seven" if text == "word" else 7

    plan = Plan(experiment(prompts=["p"], replicates=3))
    found = score(plan, records(plan, lambda request: ["bad", "word", "good"][request.replicate]), (), scorers=[Scorer("picky", "text", picky, None)])
    assert found.by_metric["picky"].value[0, 0] == 7
    assert found.by_metric["picky"].n_eligible[0, 0] == 1
    assert len(found.complaints) == 2
    assert all("prompt p" in one for one in found.complaints)
    assert "expected a number" in found.complaints[1]


def test_a_scorer_is_imported_by_its_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scorers_of_mine.py").write_text("def size(text):\n    return len(text)\n\ndef odd(x):\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = scorer({"call": "scorers_of_mine:size", "better": "higher"})
    assert (found.name, found.takes, found.better, found.values("abc")) == ("size", "text", "higher", {"size": 3.0})
    for spec in ("scorers_of_mine:odd", "scorers_of_mine:none", "no_such_module:f", "size", {"call": "scorers_of_mine:size", "best": 1}, 3):
        with pytest.raises(ExperimentError, match="scorers"):
            scorer(spec)
