"""What ratings come to: connected or not, shares on each prompt, the metric in a run's tables, and judges beside people."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from support.records import experiment, records

from evalkit.errors import ExperimentError
from evalkit.plan.requests import Plan
from evalkit.run import load
from evalkit.scoring import preference
from evalkit.scoring.preference import Rated
from evalkit.store import journal, judgements, ratings
from evalkit.store.folder import write_run
from evalkit.store.judgements import Judgement, Keys
from evalkit.store.ratings import Rating
from evalkit.store.records import RecordWriter
from evalkit.sweeping.rescoring import rescore

JUDGE = {"name": "kind", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "j"}, "rubric": "How kind?", "scale": {"min": 1, "max": 5}}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    made = Plan(experiment({"temperature": [0, 0.5, 1]}, prompts=("p", "q", "r"), judges=[JUDGE]))
    with RecordWriter(tmp_path) as writer:
        for one in records(made, lambda request: f"{request.cell_index} on {request.prompt_id} for the {request.replicate}th time"):
            writer.append(one)
    return made


def rated(plan: Plan, left: int, right: int | None, prompt: int, **said: Any) -> Rating:
    keys = [None if cell is None else plan.request(cell, prompt, 0).key for cell in (left, right)]
    return Rating(at="2026-01-31T12:00:00.500Z", rater=said.pop("rater", "ann"), prompt_id="pqr"[prompt], left=keys[0], right=keys[1], **said)


def keep(folder: Path, *every: Rating) -> None:
    for one in every:
        ratings.append(folder, one)


def test_no_score_is_told_before_comparisons_connect_the_settings(tmp_path: Path, plan: Plan) -> None:
    keep(tmp_path, rated(plan, 0, 1, 0, verdict="left"), rated(plan, 1, 0, 1, verdict="right"))
    assert preference.rated(tmp_path, plan.experiment).connected
    other = rated(plan, 2, 1, 0, verdict="left")
    answers = preference.answers_rated(tmp_path, plan, [other])
    assert answers[other.left] == Rated(2, 0, "2 on p for the 0th time")
    four = Plan(experiment({"temperature": [0, 0.3, 0.6, 1]}, prompts=("p",)))
    apart = preference.comparisons(
        [rated(four, 0, 1, 0, verdict="left"), rated(four, 2, 3, 0, verdict="tie")],
        {four.request(cell, 0, 0).key: Rated(cell, 0, "") for cell in range(4)},
    )
    assert len(apart[1]) == 4
    people = preference.people(
        tmp_path,
        four.experiment,
        [rated(four, 0, 1, 0, verdict="left"), rated(four, 2, 3, 0, verdict="tie")],
        {four.request(cell, 0, 0).key: Rated(cell, 0, "") for cell in range(4)},
    )
    assert (people.connected, people.settings, people.apart) == (False, [], [[0, 1], [2, 3]])


def test_the_best_comes_first_with_its_share_and_all_its_comparisons(tmp_path: Path, plan: Plan) -> None:
    keep(
        tmp_path,
        *(rated(plan, 2, 0, prompt, verdict="left") for prompt in range(3)),
        *(rated(plan, 0, 1, prompt, verdict="tie") for prompt in range(3)),
        rated(plan, 1, 2, 0, verdict="right", rater="bob"),
    )
    found = preference.rated(tmp_path, plan.experiment)
    assert [one.cell for one in found.settings] == [2, 1, 0]
    assert found.settings[0].comparisons == 4
    assert found.settings[0].share.mean == 1.0
    assert found.settings[2].share.mean == pytest.approx(0.25)
    assert found.raters == {"ann": 6, "bob": 1}
    (column,) = preference.column(tmp_path, plan)
    values = {(one.cell["temperature"], one.prompt_id): column.of(one, "") for one in records(plan, lambda _: "x")}
    assert values[0, "p"] == 0.25
    assert values[1, "r"] == 1.0
    assert values[0.5, "p"] == 0.25


def test_ratings_of_answers_that_are_gone_are_counted_and_left_out(tmp_path: Path, plan: Plan) -> None:
    gone = Rating(at="2026-01-31T12:00:00.500Z", rater="ann", prompt_id="p", left="00" * 16, right="11" * 16, verdict="left")
    keep(tmp_path, gone, rated(plan, 0, 1, 0, verdict="left"))
    found = preference.rated(tmp_path, plan.experiment)
    assert (found.lost, [one.cell for one in found.settings]) == (1, [0, 1])


def test_a_judge_stands_beside_people(tmp_path: Path, plan: Plan) -> None:
    (judge,) = plan.experiment.judges
    keys = Keys(judge, plan.experiment)
    with journal.Journal(tmp_path / judgements.FILE, judgements.FORM) as file:
        for one in records(plan, lambda request: f"{request.cell_index} on {request.prompt_id} for the {request.replicate}th time"):
            text, score = one.outcome.text, 1 + int(one.outcome.text[0]) * 2
            name = keys.of(one.prompt_id, text)
            file.append(Judgement(key=name, judge="kind", prompt_id=one.prompt_id, record=one.key, attempt=1, at=one.at, score=score))
    keep(
        tmp_path,
        rated(plan, 2, 0, 0, verdict="left"),  # as the judge
        rated(plan, 0, 1, 1, verdict="left"),  # against it
        rated(plan, 0, 1, 2, verdict="tie"),  # which orders nothing
        *(rated(plan, cell, None, prompt, judge="kind", score=1 + 2 * cell) for cell in range(3) for prompt in range(3)),
    )
    (found,) = preference.rated(tmp_path, plan.experiment).agreement
    assert (found.judge, found.pairs, found.ordered.mean) == ("kind", 2, 0.5)
    assert (found.singles, found.kappa.mean, found.kappa.low) == (9, 1.0, 1.0)


def test_an_experiment_may_choose_by_it_and_no_judge_may_be_called_so() -> None:
    assert experiment({"temperature": [0, 1]}, choose={"prefer": {"preference": {"goal": "maximize"}}}).choose is not None
    with pytest.raises(ExperimentError, match="another metric is called"):
        experiment(judges=[JUDGE | {"name": "preference"}])
    with pytest.raises(ExperimentError, match="its values go from 0 to 1"):
        experiment({"temperature": [0, 1]}, choose={"require": {"preference": {"min": 50}}})


def test_an_answer_without_ratings_has_no_value(tmp_path: Path, plan: Plan) -> None:
    assert preference.column(tmp_path, plan) == ()
    keep(tmp_path, rated(plan, 0, 1, 0, verdict="left"))
    (column,) = preference.column(tmp_path, plan)
    found = [column.of(one, "") for one in records(plan, lambda _: "x") if one.prompt_id == "q" or one.cell["temperature"] == 1]
    assert all(map(math.isnan, found))


def test_a_setting_is_chosen_by_what_people_prefer_once_the_run_is_scored_again(tmp_path: Path) -> None:
    prompts = tuple("pqrstu")
    made = Plan(experiment({"temperature": [0, 0.5, 1]}, prompts=prompts, choose={"prefer": {"preference": {"goal": "maximize"}}}))
    write_run(tmp_path, made.experiment)
    with RecordWriter(tmp_path) as writer:
        for one in records(made, lambda request: f"{request.cell_index} on {request.prompt_id} for the {request.replicate}th time"):
            writer.append(one)
    before = rescore(tmp_path)
    assert before.choice is not None
    assert before.choice.chosen is None
    for at, prompt in enumerate(prompts):
        for loser in (0, 2):
            keys = [made.request(cell, at, 0).key for cell in (1, loser)]
            ratings.append(tmp_path, Rating(at="x", rater="ann", prompt_id=prompt, left=keys[0], right=keys[1], verdict="left"))
    assert "ratings.jsonl changed after these tables were made" in str(load(tmp_path).notes)
    after = rescore(tmp_path)
    assert after.choice is not None
    assert after.choice.chosen == 1
    assert after.grid("preference")[1].tolist() == [1.0] * 6
    assert load(tmp_path).notes == ()
