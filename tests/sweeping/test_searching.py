"""A search in a results folder: settings are proposed and race, whatever happens the same ones; and it says how its setting was found."""

from __future__ import annotations

import builtins
import json
import random
from collections import Counter
from pathlib import Path

import pytest
from support.endpoints import completion, serving
from support.sweeps import sweep

from evalkit.collect.allowance import Budget
from evalkit.errors import ExperimentError, MissingExtraError
from evalkit.experiment.experiment import Experiment, check
from evalkit.run import load
from evalkit.store.race import read
from evalkit.summary import summarise
from evalkit.sweeping.outlook import planned, race_lines

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def answer(request: object) -> tuple[int, dict[str, str], bytes]:
    """The nearer to a temperature of 0.7 and a top_p of 0.8, the more different words; the same for the same request."""
    body = request.body
    rng = random.Random(json.dumps([body["messages"], body["temperature"], body["top_p"], body.get("seed")]))  # noqa: S311
    many = 12 - round(9 * abs(body["temperature"] - 0.7) + 9 * abs(body["top_p"] - 0.8)) - rng.randrange(2)
    return 200, {}, completion(" ".join(rng.choice(WORDS[: max(2, many)]) for _ in range(20)))


def experiment(base_url: str, **changes: object) -> Experiment:
    data: dict[str, object] = {
        "name": "searched",
        "endpoint": {"base_url": base_url, "model": "m", "concurrency": 4},
        "prompts": [{"id": f"p{number}", "user": f"Say {number}."} for number in range(6)],
        "parameters": {"temperature": {"min": 0, "max": 1}, "top_p": {"min": 0.5, "max": 1}},
        "request": {"seed": "per_replicate"},
        "replicates": 2,
        "seed": 3,
        "anchor": {"every": 0},
        "design": {"kind": "sobol", "points": 12},
        "choose": {"prefer": {"distinct_1": {"goal": "maximize"}}, "among": "best"},
        "search": {"method": "bayes", "budget": 0.6, "rounds": 2, "proposals": 4},
    }
    return check({name: value for name, value in (data | changes).items() if value is not None})


def keys(folder: Path) -> Counter[str]:
    lines = (json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines())
    return Counter(str(line["key"]) for line in lines if line["outcome"]["type"] == "completion")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nobody disturbed. Its endpoint's address is in its records, which are not to be sent again."""
    folder = tmp_path_factory.mktemp("searched") / "run"
    with serving(answer) as server:
        assert sweep(experiment(server.url), folder, look=False) is not None
    return folder


def test_it_proposes_asks_no_more_than_it_said_and_tells_how_it_found(whole: Path) -> None:
    run = load(whole)
    race, found = run.analysis.race, summarise(run)
    assert (race.method, race.rounds, len(race.proposed), race.over) == ("bayes", 2, 8, True)
    assert race.by.startswith("optuna 5")
    assert race.asked == sum(keys(whole).values()) == len(keys(whole)) <= planned(experiment("http://127.0.0.1:1/v1")).race.requests
    assert len(run.analysis.cells) == len(run.experiment.cells) == 20
    assert set(race.finished) & set(race.proposed)
    assert found.raced[0] == "12 settings were drawn, 8 proposed from what was seen in 2 rounds; all of them raced."
    assert found.raced[-1].startswith("Whoever wins among many owes part of its figures to luck")
    recommended = (whole / "recommended.yaml").read_text()
    assert "Found by a search: 12 settings were drawn, 8 proposed" in recommended
    assert f"temperature: {run.choice.parameters['temperature']}" in recommended


def test_the_plan_tells_the_rounds_and_their_worst_case() -> None:
    asked = experiment("http://127.0.0.1:1/v1")
    (line,) = race_lines(asked, Path("nowhere"))
    race = planned(asked).race
    assert "; then 2 rounds of proposals, each 4 → " in line
    assert line.endswith(f"at most {race.requests} of 240 requests that asking all of them everything takes")
    assert race.requests <= 0.6 * 240 == 0.6 * race.grid


@pytest.mark.slow
def test_stopped_again_and_again_it_proposes_the_same_and_asks_nothing_twice(tmp_path: Path) -> None:
    with serving(answer) as server:
        asked = experiment(server.url)
        first = sweep(asked, tmp_path / "whole", look=False)
        for _ in range(12):
            result = sweep(asked, tmp_path / "parts", look=False, budget=Budget(requests=70))
            if result.complete and result.analysis.race.over:
                break
        lines = (tmp_path / "whole/race.jsonl").read_bytes().splitlines(keepends=True)
        assert (tmp_path / "parts/race.jsonl").read_bytes() == b"".join(lines)
        assert keys(tmp_path / "parts") == keys(tmp_path / "whole")
        # Killed between the proposals and the course that they begin, or in the midst of writing them.
        at = next(number for number, line in enumerate(lines) if b'"proposed"' in line)
        before = len(server.seen)
        for kept in (b"".join(lines[: at + 1]), b"".join(lines[:at]) + lines[at][:40]):
            (tmp_path / "parts/race.jsonl").write_bytes(kept)
            again = sweep(asked, tmp_path / "parts", look=False)
            assert [entry for entry in read(tmp_path / "parts") if entry != read(tmp_path / "whole")] == read(tmp_path / "whole")
            assert again.choice == first.choice
        assert len(server.seen) == before


@pytest.mark.slow
def test_a_further_round_and_further_prompts_go_on_from_there(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "run", look=False)
        first = keys(tmp_path / "run")
        prompts = [{"id": f"p{number}", "user": f"Say {number}."} for number in range(8)]
        search = {"method": "bayes", "budget": 0.6, "rounds": 3, "proposals": 4}
        more = sweep(experiment(server.url, prompts=prompts, search=search), tmp_path / "run", look=False)
    assert more.complete
    assert more.analysis.race.over
    assert (more.analysis.race.rounds, len(more.analysis.cells)) == (3, 24)
    assert set(first) < set(keys(tmp_path / "run"))
    assert set(keys(tmp_path / "run").values()) == {1}
    assert {row.n_prompts for row in more.analysis.by_cell if row.cell_index in more.analysis.race.finished and row.metric == "distinct_1"} == {8}


def test_over_levels_it_proposes_none_twice_and_ends_when_all_are_asked(tmp_path: Path) -> None:
    levels = {"temperature": {"min": 0.2, "max": 1, "step": 0.2}, "top_p": [0.8, 0.9, 1]}
    with serving(answer) as server:
        asked = experiment(
            server.url, parameters=levels, design={"kind": "random", "points": 8}, search={"method": "bayes", "budget": 0.8, "rounds": 4}
        )
        result = sweep(asked, tmp_path / "run", look=False)
    assert result.analysis.race.over
    assert len({json.dumps(cell) for cell in result.analysis.cells}) == len(result.analysis.cells) <= 15
    assert len([entry for entry in read(tmp_path / "run") if entry.proposed is not None]) == 4


def test_without_optuna_one_message_says_what_to_install_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def lacking(name: str, *rest: object) -> object:
        if name.startswith("optuna"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with serving(answer) as server:
        with pytest.raises(MissingExtraError, match=r'^search: \{method: bayes\} needs Optuna; run: pip install -e "\.\[search\]"$'):
            sweep(experiment(server.url), tmp_path / "run")
        assert server.seen == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"choose": None}, "search: a search needs to know what is better; add choose"),
        ({"design": "one_at_a_time"}, r"design: found 'one_at_a_time'; a search draws its settings: take design out"),
        ({"cells": {"one": {"temperature": 1}}}, "cells: a search draws its settings from parameters; take cells out"),
        (
            {"parameters": {"temperature": [0, 1]}},
            r"the levels make 2 combinations, and a search begins with 12 settings; write search: \{method: race\}",
        ),
        ({"parameters": {"temperature": {"min": 0, "max": 1, "step": 0.3}}}, "parameters.temperature: steps of 0.3 from 0 lead to 0.9"),
        ({"search": {"method": "bayes", "rounds": 0}}, "search.rounds: found 0; expected a number of at least 1"),
        ({"search": {"method": "bayes", "proposal": 4}}, "search.proposal: unknown key; did you mean 'proposals'"),
        ({"search": None}, "parameters.temperature: this range has no step.*search: {method: bayes}"),
    ],
)
def test_each_slip_has_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        experiment("local", **({"design": None} if changes == {"search": None} else {}) | changes)
