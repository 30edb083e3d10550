"""What is known of how an endpoint samples stands beside the decision where it bears on it, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.comparing import run
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.records import experiment

from evalkit.comparison.rules import other_rules
from evalkit.experiment.experiment import check
from evalkit.present.text.method import lines
from evalkit.run import load
from evalkit.store.folder import PROBE_FILE, write_run
from evalkit.store.meanings import Corner, Meaning
from evalkit.summary import summarise
from evalkit.sweeping import rescoring
from evalkit.sweeping.rules import rules
from evalkit.sweeping.sweeping import run_sweep

PROPS = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "samplers": ["top_k", "top_p", "min_p", "temperature"]}
LOOK = {"listed": True, "calls": [], "defaults": {"values": {"temperature": 0.8, "top_p": 0.95, "top_k": 40, "min_p": 0.05}, "cuts_first": True}}
BOTH = {"temperature": [0.5, 2.0], "top_p": [0.5, 1.0]}


def told(folder: Path, parameters: dict[str, Any], look: Any = None, found: list[Meaning] | None = None, **more: Any) -> list[str]:
    made = experiment(parameters, ("p0",), **more)
    folder.mkdir(exist_ok=True)
    write_run(folder, made, preflight=look)
    if found is not None:
        (folder / PROBE_FILE).write_bytes(msgspec.json.encode({"v": 2, "meaning": found}))
    return [one.text for one in rules(folder, made)]


def own(question: str, answer: str, says: str) -> Meaning:
    return Meaning(question=question, standing="own", answer=answer, says=says, evidence="seen", calls=3)


def test_the_servers_own_defaults_are_told_where_nothing_is_sent_and_how_to_switch_them_off(tmp_path: Path) -> None:
    first, second = told(tmp_path, BOTH, LOOK)
    assert "has top_k 40 and min_p 0.05 on" in first
    assert "request: {top_k: 0, min_p: 0} switches them off" in first
    assert "top_p before the temperature" in second
    assert told(tmp_path / "a", BOTH, LOOK, request={"top_k": 0, "min_p": 0}) == [second]
    (only,) = told(tmp_path / "b", {"frequency_penalty": [0, 1]}, LOOK, request={"top_k": 0, "min_p": 0, "top_p": 1})
    assert "has temperature 0.8 on" in only
    assert "put it under request" in only
    assert told(tmp_path / "c", BOTH) == []
    assert told(tmp_path / "d", BOTH, {"defaults": {"values": 3}}) == []


@pytest.mark.parametrize(
    ("question", "answer", "parameters", "bears"),
    [
        ("order_top_p", "top_p first", BOTH, True),
        ("order_top_p", "top_p first", {"temperature": [0.5, 1.0]}, False),
        ("hidden_top_k", "40", BOTH, True),
        ("hidden_top_p", "0.9", BOTH, False),
        ("temperature_ceiling", "1", BOTH, True),
        ("temperature_ceiling", "refused", BOTH, True),
        ("temperature_ceiling", "1", {"temperature": [0.5, 1.0]}, False),
        ("penalties_count", "prompt too", {"presence_penalty": [0, 1]}, True),
        ("penalties_count", "prompt too", BOTH, False),
        ("temperature_0", "not greedy", BOTH, False),
        ("temperature_0", "not greedy", {"temperature": [0, 1]}, True),
        ("a question of tomorrow", "yes", BOTH, False),
    ],
)
def test_what_a_probe_found_is_told_where_it_bears_on_the_experiment(
    tmp_path: Path, question: str, answer: str, parameters: Any, bears: bool
) -> None:
    assert told(tmp_path, parameters, found=[own(question, answer, "so it is here")]) == (["So it is here (evalkit probe)"] if bears else [])


def test_a_distance_from_the_definition_is_told_where_the_experiment_has_that_setting(tmp_path: Path) -> None:
    far = Corner(temperature=2, top_p=0.5, standing="own", says="at that corner first tokens are far away", evidence="seen", calls=40, by="samples")
    for number, (levels, bears) in enumerate([(BOTH, True), ({"temperature": [0.5, 2]}, False), ({"temperature": [0.5, 1], "top_p": [0.5]}, False)]):
        folder = tmp_path / str(number)
        assert told(folder, levels) == []
        (folder / PROBE_FILE).write_bytes(msgspec.json.encode({"v": 3, "corners": [far]}))
        said = [one.text for one in rules(folder, experiment(levels, ("p0",)))]
        assert bool(said) == bears
        assert all(text.startswith("At that corner first tokens are far away") for text in said)


@pytest.mark.parametrize("loading", [False, True], ids=["ready", "that first loads its model"])
def test_a_sweep_on_llama_cpp_says_in_its_first_screen_what_was_on(tmp_path: Path, loading: bool) -> None:
    lists = 0

    def answer(asked: Asked) -> Answer:
        nonlocal lists
        if asked.path.endswith("/models"):
            lists += 1
            if loading and lists == 1:
                return Answer(503, JSON, b'{"error": {"message": "Loading model"}}')
            return Answer(body=b'{"data": [{"id": "tiny", "owned_by": "llamacpp"}]}')
        if asked.path == "/props":
            return Answer(body=json.dumps({"default_generation_settings": {"params": PROPS}}).encode())
        return Answer(200, JSON, completion(f"a list of {asked.number}"))

    prompts = [{"id": "a", "user": "What is a list?"}, {"id": "b", "user": "What is a loop?"}]
    with serving(answer, lists_models=True) as endpoint:
        data = {"name": "x", "endpoint": {"base_url": endpoint.url, "model": "tiny"}, "prompts": prompts, "parameters": {"temperature": [0.5, 2]}}
        done = run_sweep(check({**data, "replicates": 2}), tmp_path / "run")
    assert done is not None
    shown = [one.text for one in summarise(done).mind]
    assert any("has top_p 0.95, top_k 40 and min_p 0.05 on" in text for text in shown)
    (tmp_path / "run" / PROBE_FILE).write_bytes(
        msgspec.json.encode({"v": 2, "meaning": [own("hidden_top_k", "40", "top_k 40 is on where none is sent")]})
    )
    again = rescoring.rescore(tmp_path / "run")
    assert any("top_k 40 is on where none is sent (evalkit probe)" in one.text for one in summarise(again).mind)
    assert any("How the endpoint samples, by a probe, where that is its own manner: top_k 40 is on" in text for text in lines(load(tmp_path / "run")))


def test_two_runs_that_were_sampled_by_different_rules_are_told_apart(tmp_path: Path) -> None:
    one, other = run(tmp_path / "one"), run(tmp_path / "other")
    assert list(other_rules(one, other)) == []
    first, second = (
        own("order_top_p", "top_p first", "top_p acts before temperature"),
        own("order_top_p", "temperature first", "temperature acts first"),
    )
    for folder, meaning in ((one, first), (other, second)):
        (folder / PROBE_FILE).write_bytes(msgspec.json.encode({"v": 2, "meaning": [meaning]}))
    (said,) = other_rules(one, other)
    assert said == "The two were sampled by different rules: in the baseline top_p acts before temperature, there temperature acts first"
    assert list(other_rules(one, one)) == []
