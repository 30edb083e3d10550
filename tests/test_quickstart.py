"""What a newcomer is promised: the quickstart shows what sampling parameters do."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path

import pytest
from support.process import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def summary(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    from support.sweeps import sweep

    from evalkit.experiment.experiment import load

    folder = tmp_path_factory.mktemp("quickstart") / "run"
    told = "parameters={temperature: [0, 0.4, 0.8, 1.2], frequency_penalty: [0, 1.0], max_tokens: [60, 200]}"  # its levels of what is asked below
    result = sweep(load(ROOT / "experiments/quickstart.yaml", ["replicates=3", told]), folder)
    assert result is not None
    assert result.complete
    with (folder / "summary.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mean(rows: list[dict[str, str]], metric: str, **levels: str) -> float:
    here = [row["mean"] for row in rows if row["metric"] == metric and all(row[name] == level for name, level in levels.items())]
    chosen = [float(value) for value in here if value]  # cells with too many short answers are not compared
    return sum(chosen) / len(chosen)


def test_variety_rises_with_temperature_at_each_step(summary: list[dict[str, str]]) -> None:
    steps = [mean(summary, "distinct_2", temperature=level) for level in ("0", "0.4", "0.8", "1.2")]
    assert steps == sorted(steps)
    assert len(set(steps)) == 4


def test_a_frequency_penalty_breaks_the_loops_of_greedy_answers(summary: list[dict[str, str]]) -> None:
    assert mean(summary, "rep_4", temperature="0", frequency_penalty="1") < mean(summary, "rep_4", temperature="0", frequency_penalty="0")


def test_more_room_truncates_less(summary: list[dict[str, str]]) -> None:
    assert mean(summary, "truncation_rate", max_tokens="200") < mean(summary, "truncation_rate", max_tokens="60")


def test_every_prompt_gets_answers_at_length_and_about_it(tmp_path: Path) -> None:
    from support.sweeps import sweep

    from evalkit.experiment.experiment import load

    experiment = load(ROOT / "experiments/quickstart.yaml", ["replicates=6", "parameters={temperature: 1.0, max_tokens: 200}"])
    sweep(experiment, tmp_path / "run")
    texts = defaultdict(list)
    for line in (tmp_path / "run/responses.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        texts[record["prompt_id"]].append(record["outcome"]["text"])
    assert len(texts) == 10
    for answers in texts.values():
        assert sum(len(answer.split()) for answer in answers) / len(answers) >= 20
    assert any("slic" in answer for answer in texts["explain-slicing"])
    assert any("exception" in answer.lower() for answer in texts["explain-exceptions"])
