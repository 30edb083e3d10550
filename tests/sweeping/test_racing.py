"""A race in a results folder: its requests are the grid's own, it goes on wherever it was killed, and says what it did not ask."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from support.endpoints import completion, serving
from support.process import ROOT, environment
from support.sweeps import sweep

from evalkit.collect.interruption import Interruption
from evalkit.comparison.pairing import Contrast, paired
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.present import plots
from evalkit.present.html.report import page
from evalkit.present.markdown.report import document
from evalkit.present.terminal.screen import screen
from evalkit.present.terminal.tables import by_cell
from evalkit.present.text.comments import comments
from evalkit.run import load
from evalkit.store.race import read
from evalkit.summary import summarise
from evalkit.sweeping.outlook import pending, planned, race_lines
from evalkit.sweeping.rescoring import rescore

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def answer(request: object) -> tuple[int, dict[str, str], bytes]:
    """The warmer, the more different words; no two alike, and the same for the same request."""
    body = request.body
    rng = random.Random(json.dumps([body["messages"], body.get("temperature"), body.get("top_p"), body.get("seed")]))  # noqa: S311
    many = 2 + round(8 * body.get("temperature", 0)) + rng.randrange(2)
    return 200, {}, completion(" ".join(rng.choice(WORDS[:many]) for _ in range(20)))


def experiment(base_url: str, **changes: object) -> Experiment:
    data: dict[str, object] = {
        "name": "raced",
        "endpoint": {"base_url": base_url, "model": "m", "concurrency": 4},
        "prompts": [{"id": f"p{number}", "user": f"Say {number}."} for number in range(10)],
        "parameters": {"temperature": [0.1, 0.3, 0.5, 0.7, 0.9, 1], "top_p": [0.8, 0.9]},
        "request": {"seed": "per_replicate"},
        "replicates": 2,
        "seed": 3,
        "anchor": {"every": 0},
        "choose": {"prefer": {"distinct_1": {"goal": "maximize"}}},
        "search": {"method": "race", "budget": 0.6},
    }
    return check({name: value for name, value in (data | changes).items() if value is not None})


def keys(folder: Path) -> Counter[str]:
    lines = (json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines())
    return Counter(str(line["key"]) for line in lines if line["outcome"]["type"] == "completion")


def test_a_race_asks_less_by_the_grids_own_requests_and_without_it_the_grid_asks_the_rest(tmp_path: Path) -> None:
    with serving(answer) as server:
        raced = experiment(server.url)
        result = sweep(raced, tmp_path / "run")
        assert result is not None
        assert result.complete
        race = result.analysis.race
        there = keys(tmp_path / "run")
        assert sum(there.values()) == len(there) == race.asked <= race.most <= 0.6 * race.grid
        assert set(there) < {request.key for request in Plan(raced)}
        assert race.over
        assert len(race.finished) + len(race.left) == 12
        assert result.choice.chosen in race.finished
        before = (tmp_path / "run/scores.parquet").stat().st_mtime_ns
        again = sweep(raced, tmp_path / "run")
        assert keys(tmp_path / "run") == there
        assert again.choice == result.choice
        assert summarise(again).raced == summarise(result).raced
        assert (tmp_path / "run/scores.parquet").stat().st_mtime_ns == before  # nothing was new, so that nothing was scored
        grid = sweep(experiment(server.url, search=None), tmp_path / "run")
        assert set(keys(tmp_path / "run").values()) == {1}
        assert grid.analysis.counts.completions == 240
        assert grid.analysis.replayed.requests < race.grid
        assert "would have asked" in summarise(grid).replayed


@pytest.mark.slow
def test_a_race_is_compared_with_a_grid_on_what_both_asked(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "race")
        sweep(experiment(server.url, search=None), tmp_path / "grid")
    found = paired(tmp_path / "grid", tmp_path / "race")
    blocks = {(one.cell_index, one.prompt_index) for one in found.baseline.plan}
    assert len(found.baseline.plan) == len(found.candidate.plan) == sum(keys(tmp_path / "race").values()) == 2 * len(blocks)
    assert any("compared are the" in text for text in found.notes)
    assert Contrast(what="search", baseline="not set", candidate="a race, budget 0.6") in found.differs
    assert not found.whole


def test_what_is_said_names_both_kinds_of_leaving_and_withholds_effects_that_nobody_could_tell(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "run")
    run = load(tmp_path / "run")
    found = summarise(run)
    said = " ".join(found.raced)
    assert "set aside unfinished (not shown worse)" in said
    assert f"{len(run.analysis.race.finished)} finished" in said
    assert "first: 6" in said
    assert run.analysis.verdicts == []
    assert any("Found by a race" in line for line in comments(found, "x"))
    assert "Found by a race" in (tmp_path / "run/recommended.yaml").read_text()
    by = {row.cell_index: row.n_prompts for row in run.analysis.by_cell if row.metric == "distinct_1"}
    assert {by[one.cell_index] for one in run.analysis.race.left if one.cell_index != run.analysis.reference} == {
        one.prompts for one in run.analysis.race.left if one.cell_index != run.analysis.reference
    }
    assert by[run.analysis.reference] == 10
    console = Console(width=80, file=StringIO(), force_terminal=True)
    lines = screen(found, console).plain.splitlines()
    assert len(lines) <= 30
    assert max(len(line) for line in lines if "evalkit " not in line) <= 80  # a command stays whole
    assert "(not shown worse)" in " ".join(" ".join(lines).split())
    assert "set aside unfinished" in page(run)
    assert "set aside unfinished (not shown worse)" in document(run)
    table = Console(width=120, file=StringIO())
    table.print(by_cell(run.analysis, table))
    assert "mean over the n prompts that each was asked" in table.file.getvalue()
    axes = plots.race(run)
    assert {round(bar.get_width()) for bar in axes.patches} >= {2, 10}
    assert {text.get_text() for text in axes.get_legend().get_texts()} >= {"finished", "set aside, not shown worse"}
    before = run.choice
    assert rescore(tmp_path / "run").choice == before


@pytest.mark.slow
def test_effects_come_from_the_prompts_that_every_setting_was_asked(tmp_path: Path) -> None:
    with serving(answer) as server:
        raced = experiment(server.url, search={"method": "race", "budget": 0.9, "first": 6})
        result = sweep(raced, tmp_path / "run")
    assert result is not None
    assert {one.n_prompts for one in result.analysis.verdicts} == {6}
    assert "first: 6" not in " ".join(summarise(result).raced)


@pytest.mark.slow
def test_more_prompts_and_levels_go_on_with_who_is_in(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "run")
        first = len(keys(tmp_path / "run"))
        prompts = [{"id": f"p{number}", "user": f"Say {number}."} for number in range(20)]
        result = sweep(experiment(server.url, prompts=prompts), tmp_path / "run")
        assert result is not None
        finished = result.analysis.race.finished
        assert result.complete
        assert len(finished) <= 3
        assert len(keys(tmp_path / "run")) - first <= 4 * 10 * 2
        levels = {"temperature": [0.1, 0.3, 0.5, 0.7, 0.9, 1], "top_p": [0.8, 0.9, 1]}
        wider = sweep(experiment(server.url, prompts=prompts, parameters=levels), tmp_path / "run")
    assert wider is not None
    assert wider.complete
    starts = [entry.start for entry in read(tmp_path / "run") if entry.start is not None]
    assert [len(start.contestants) for start in starts] == [12, len(finished), 6 + len(finished)]
    assert [start.looks[-1] for start in starts] == [10, 20, 20]


def test_an_answer_that_never_came_holds_the_race_up_by_nothing(tmp_path: Path) -> None:
    def broken(request: object) -> tuple[int, dict[str, str], bytes]:
        return (400, {}, b'{"error": {"message": "no"}}') if "Say 4." in str(request.body["messages"]) else answer(request)

    with serving(broken) as server:
        result = sweep(experiment(server.url, endpoint={"base_url": server.url, "model": "m"}), tmp_path / "run", look=False)
    assert result is not None
    assert result.analysis.race.over
    assert not result.complete


@pytest.mark.slow
def test_other_goals_are_another_race(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "run")
        with pytest.raises(RecordError, match=r"race.jsonl: is of a race with another choose; give those again"):
            sweep(experiment(server.url, choose={"profile": "brief"}), tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": {"method": "race", "budget": 0.1}}, "the least that works is 0."),
        ({"search": {"method": "race", "first": 11}}, r"search.first: found 11, and there are 10 prompts"),
        ({"parameters": {"temperature": [0, 1]}}, "there are 2 settings, and 3 are finalists anyway"),
        ({"prompts": [{"id": "a", "user": "b"}, {"id": "c", "user": "d"}]}, "a race is no cheaper than the full grid"),
    ],
)
def test_a_race_that_cannot_be_is_refused_before_anything_is_sent(changes: dict[str, object], said: str, tmp_path: Path) -> None:
    with serving(answer) as server:
        with pytest.raises(ExperimentError, match=said):
            sweep(experiment(server.url, **changes), tmp_path / "run")
        with pytest.raises(ExperimentError, match=said):
            planned(experiment(server.url, **changes), tmp_path / "other")
        assert server.seen == []


@pytest.mark.slow
def test_a_budget_in_requests_stops_a_race_and_it_goes_on_as_the_same(tmp_path: Path) -> None:
    from evalkit.collect.allowance import Budget

    with serving(answer) as server:
        whole = sweep(experiment(server.url), tmp_path / "whole")
        for _ in range(12):
            result = sweep(experiment(server.url), tmp_path / "parts", budget=Budget(requests=30))
            if result.complete:
                break
        assert result.complete
    assert (tmp_path / "parts/race.jsonl").read_bytes() == (tmp_path / "whole/race.jsonl").read_bytes()
    assert result.choice == whole.choice


def test_the_plan_tells_the_course_and_its_worst_case(tmp_path: Path) -> None:
    raced = experiment("local", endpoint={"base_url": "local", "model": "babbler"})
    found = planned(raced, tmp_path / "run")
    assert found.race is not None
    assert found.race.requests <= 0.6 * found.race.grid == 144
    assert found.asked[0].requests == found.race.requests == pending(raced, tmp_path / "run").requests
    (first, *_) = race_lines(raced, tmp_path / "run")
    course = f"12 → {found.race.settings[1]} → 3 settings over 2, 4, 10 prompts"
    assert first == f"race (settings that fall behind are asked no more): {course}: at most {found.race.requests} of 240 requests"


KILLED = """
import sys
from pathlib import Path
from evalkit.experiment.experiment import load
from evalkit.sweeping.options import DEFAULTS
from evalkit.sweeping.sweeping import run_sweep
run_sweep(load(sys.argv[1]), Path(sys.argv[2]), DEFAULTS.changed(look=False))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_the_same_race(tmp_path: Path) -> None:
    with serving(answer) as server:
        raced = experiment(server.url)
        sweep(raced, tmp_path / "whole", look=False)
        file = tmp_path / "raced.yaml"
        file.write_text(json.dumps(raced.resolved()))
        rng = random.Random(2)  # noqa: S311
        for _ in range(4):
            child = subprocess.Popen([sys.executable, "-c", KILLED, str(file), str(tmp_path / "killed")], cwd=ROOT, env=environment())
            try:
                child.wait(timeout=1.0 + 1.5 * rng.random())
            except subprocess.TimeoutExpired:
                os.kill(child.pid, signal.SIGKILL)
                child.wait()
        sweep(raced, tmp_path / "killed", look=False)
    assert (tmp_path / "killed/race.jsonl").read_bytes() == (tmp_path / "whole/race.jsonl").read_bytes()
    assert keys(tmp_path / "killed") == keys(tmp_path / "whole")


@pytest.mark.slow
def test_judges_are_asked_about_survivors_alone_and_nobody_is_dropped_by_what_one_has_not_said(tmp_path: Path) -> None:
    silent = True

    def both(request: object) -> tuple[int, dict[str, str], bytes]:
        if request.body["model"] != "j":
            return answer(request)
        if silent:
            return 500, {"retry-after-ms": "1"}, b'{"error": {"message": "out of order"}}'
        words = str(request.body["messages"]).split()
        return 200, {}, completion(json.dumps({"score": 1 + len(set(words)) % 5, "reason": "so"}))

    with serving(both) as server:
        judge = {
            "name": "liked",
            "endpoint": {"base_url": server.url, "model": "j", "max_tries": 1},
            "rubric": "How good is it?",
            "scale": {"min": 1, "max": 5},
        }
        raced = experiment(server.url, judges=[judge], choose={"prefer": {"liked": {"goal": "maximize"}}}, replicates=1)
        first = sweep(raced, tmp_path / "run")
        assert first is not None
        assert not first.complete
        assert [entry for entry in read(tmp_path / "run") if entry.look is not None] == []
        silent, before = False, len(server.seen)
        second = sweep(raced, tmp_path / "run", retry_failed=True)
        asked = [one for one in server.seen[before:] if one.body["model"] == "j"]
    assert second is not None
    assert second.analysis.race.over
    assert len(asked) <= second.analysis.race.asked < 120


@pytest.mark.slow
def test_a_fresh_race_begins_anew_and_confirms_its_pick_on_fresh_answers(tmp_path: Path) -> None:
    with serving(answer) as server:
        sweep(experiment(server.url), tmp_path / "run")
        before = (tmp_path / "run/race.jsonl").read_bytes()
        again = sweep(experiment(server.url), tmp_path / "run", fresh=True, fresh_replicates=2)
    assert again is not None
    (aside,) = tmp_path.glob("run.*")
    assert (aside / "race.jsonl").read_bytes() == (tmp_path / "run/race.jsonl").read_bytes() == before
    assert {one.replicates for one in again.choice.confirmed} == {2}
    assert again.analysis.race.over


@pytest.mark.slow
def test_survivors_alone_are_embedded_and_nobody_is_dropped_for_want_of_vectors(tmp_path: Path) -> None:
    silent = True

    def both(request: object) -> object:
        if not request.path.endswith("/embeddings"):
            return answer(request)
        if silent:
            return 500, {"retry-after-ms": "1"}, b'{"error": {"message": "out of order"}}'
        vectors = [[float(text.count(word)) for word in WORDS] for text in request.body["input"]]
        data = [{"object": "embedding", "index": at, "embedding": one} for at, one in enumerate(vectors)]
        return 200, {}, json.dumps({"object": "list", "data": data}).encode()

    with serving(both) as server:
        embeddings = {"base_url": server.url, "model": "e", "max_tries": 1}
        raced = experiment(server.url, embeddings=embeddings, choose={"prefer": {"embedding_distance": {"goal": "maximize"}}})
        first = sweep(raced, tmp_path / "run", look=False)
        assert not first.complete
        assert [entry for entry in read(tmp_path / "run") if entry.look is not None] == []
        silent, before = False, len(server.seen)
        second = sweep(raced, tmp_path / "run", look=False, retry_failed=True)
        embedded = [text for one in server.seen[before:] if one.path.endswith("/embeddings") for text in one.body["input"]]
    assert second.analysis.race.over
    assert len(embedded) == len(set(embedded)) <= second.analysis.race.asked < 240
    assert [one.metric for one in read(tmp_path / "run")[1].look.limits] == ["embedding_distance"]


def test_interrupted_in_the_middle_it_goes_on_as_the_same_race_with_its_anchors(tmp_path: Path) -> None:
    with serving(answer) as server:
        raced = experiment(server.url, anchor={"every": 20})
        whole = sweep(raced, tmp_path / "whole", look=False)
        for at in (30, 50):  # in the first stage and in a later one
            stop, heard = Interruption(), 0

            def progress(_: object, stop: Interruption = stop, at: int = at) -> None:
                nonlocal heard
                heard += 1
                if heard == at:
                    stop.ask()

            with pytest.raises(KeyboardInterrupt):
                sweep(raced, tmp_path / "parts", look=False, progress=progress, interruption=stop)
        parts = sweep(raced, tmp_path / "parts", look=False)
    assert parts.analysis.race.over
    assert (tmp_path / "parts/race.jsonl").read_bytes() == (tmp_path / "whole/race.jsonl").read_bytes()
    assert keys(tmp_path / "parts") == keys(tmp_path / "whole")
    assert set(keys(tmp_path / "parts").values()) == {1}
    assert sum(keys(tmp_path / "parts").values()) - whole.analysis.race.asked == whole.analysis.race.asked // 20


@pytest.mark.slow
def test_more_replicates_are_asked_of_what_was_asked_and_its_decisions_stand(tmp_path: Path) -> None:
    with serving(answer) as server:
        first = sweep(experiment(server.url), tmp_path / "run", look=False)
        before = (tmp_path / "run/race.jsonl").read_bytes()
        more = sweep(experiment(server.url, replicates=3), tmp_path / "run", look=False)
    assert more.complete
    assert (tmp_path / "run/race.jsonl").read_bytes() == before
    assert 2 * len(keys(tmp_path / "run")) == 3 * first.analysis.race.asked == 2 * more.analysis.race.asked
    assert more.analysis.race.finished == first.analysis.race.finished
    assert more.choice.chosen in more.analysis.race.finished
