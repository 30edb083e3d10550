"""Drift over the anchors: told where it is planted, and not where there is none."""

from __future__ import annotations

import random

from evalkit.analysis.drift import FEWEST, sentence, trends
from evalkit.store.records import Completion, Failure, Record


def anchor(number: int, text: str = "a b c", latency_s: float = 0.1, role: str = "anchor") -> Record:
    outcome = Completion(text=text, finish_reason="stop", usage=None, latency_s=latency_s, tries=1)
    return Record(
        key=f"{number:032x}",
        role=role,
        prompt_id="p",
        cell={},
        replicate=number,
        seed=None,
        model="m",
        request={},
        at=f"{number:06}",
        outcome=outcome,
    )


def test_too_few_anchors_tell_nothing_and_failures_are_none() -> None:
    failure = Failure(kind="timeout", message="slow", tries=1)
    some = [anchor(number) for number in range(FEWEST - 1)]
    assert trends([*some, *[Record(**{**vars_of(anchor(90 + n)), "outcome": failure}) for n in range(9)]]) is None
    assert trends([*some, *[anchor(90 + n, role="sweep") for n in range(9)]]) is None
    assert trends([*some, anchor(90)]) is not None


def vars_of(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_a_planted_drift_is_told_with_its_size_and_nothing_else_is() -> None:
    rng = random.Random(1)  # noqa: S311
    records = [anchor(number, text=" ".join("word" for _ in range(rng.randint(20, 60))), latency_s=1 + number / 20) for number in range(40)]
    found = trends(records)
    assert found is not None
    assert [one.name for one in found if one.shown] == ["latency_s"]
    (latency,) = (one for one in found if one.name == "latency_s")
    assert latency.tau == 1.0
    assert latency.before < 1.4 < 2.5 < latency.after
    assert "the endpoint changed while it was asked" in sentence(found, 40).text
    assert "latency_s from 1.3 to 2.65" in sentence(found, 40).text


def test_a_clock_that_was_set_back_changes_nothing() -> None:
    records = [anchor(number, latency_s=1 + number / 20) for number in range(40)]
    back = [Record(**{**vars_of(one), "at": f"{(number * 17) % 40:06}"}) for number, one in enumerate(records)]
    assert trends(back) == trends(records)


def test_without_a_drift_it_is_told_in_few_runs() -> None:
    """At the one-percent level, adjusted over all numbers, 400 sound runs give few false alarms."""
    alarms = 0
    for seed in range(400):
        rng = random.Random(seed)  # noqa: S311
        records = [anchor(n, " ".join(rng.choice("abcdefgh") for _ in range(rng.randint(5, 40))), rng.lognormvariate(0, 0.3)) for n in range(12)]
        alarms += any(one.shown for one in trends(records) or ())
    assert alarms <= 12
    assert str(sentence([], 12)) == "no drift over 12 anchors"
