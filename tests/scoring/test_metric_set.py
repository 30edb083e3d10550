"""What a run is measured by: all that its experiment brings along, or what is asked for by name."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.records import experiment

from evalkit.errors import ExperimentError
from evalkit.metrics import METRICS
from evalkit.scoring.metric_set import MEASURED, measures

Command = Callable[..., subprocess.CompletedProcess[str]]
ENDPOINT = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
OWN: dict[str, Any] = {
    "checks": ["is_json", {"contains": "a"}],
    "scorers": ["own_measures:size", {"call": "own_measures:parts", "better": "lower"}],
    "judges": [{"name": "good", "rubric": "Is it?", "scale": {"min": 1, "max": 5}, "endpoint": ENDPOINT}],
    "embeddings": ENDPOINT,
}
MODULE = "def size(text): return len(text)\ndef parts(texts): return {'k': len(texts), 'first': len(texts[0])}\n"


@pytest.fixture
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_measures.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


def named(names: list[str], **own: Any) -> tuple[list[str], list[str], list[str], bool]:
    found = measures(experiment(**own), names)
    return [one.name for one in found.metrics], [one.name for one in found.scorers], [one.name for one in found.judges], found.embeddings is not None


@pytest.mark.usefixtures("_module")
def test_names_pick_from_all_that_there_is() -> None:
    every = [one.name for one in MEASURED]
    assert named([]) == (every, [], [], False)
    assert named([], **OWN) == ([*every, "is_json", "contains", "vendi_embedding", "embedding_distance"], ["size", "parts"], ["good"], True)
    assert named(["mtld", "cost"], **OWN) == (["mtld", "cost"], [], [], False)
    assert named(["good", "contains"], **OWN) == (["contains"], [], ["good"], False)
    assert named(["parts", "embedding_distance"], **OWN) == (["embedding_distance"], ["parts"], [], True)
    assert named(["default"], **OWN)[0] == [one.name for one in METRICS]


@pytest.mark.usefixtures("_module")
@pytest.mark.parametrize(
    ("names", "own", "words"),
    [
        (["nice"], OWN, "of this experiment itself: is_json, contains, size, parts, good"),
        (["nice"], {}, "no metric is called 'nice'"),
        (["vendi_embedding"], {}, "needs an endpoint for embeddings"),
        (["good"], {}, "no metric is called 'good'"),
        ([], {"scorers": ["own_measures:none"]}, "cannot be imported"),
    ],
)
def test_a_name_that_nothing_has_is_told(names: list[str], own: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        measures(experiment(**own), names)


def test_score_makes_all_of_it_again_from_the_recorded_lines_alone(tmp_path: Path, evalkit: Command) -> None:
    def answer(asked: Asked) -> Any:
        if asked.path.endswith("/embeddings"):
            rows = [{"index": at, "embedding": [1, len(text)]} for at, text in enumerate(asked.body["input"])]
            return Answer(200, JSON, json.dumps({"data": rows}).encode())
        return 200, JSON, completion("4" if asked.body["model"] == "judge" else f'"a {asked.number}"')

    (tmp_path / "own_measures.py").write_text(MODULE)
    with serving(answer) as server:
        endpoint = {"base_url": server.url, "model": "judge"}
        data = {
            "name": "x",
            "endpoint": {"base_url": server.url, "model": "tiny", "prices": {"input": 1, "output": 1}},
            "prompts": [{"id": "p", "user": "Say p."}, {"id": "q", "user": "Say q.", "expect": "a"}],
            "parameters": {"temperature": [0.5, 1]},
            "replicates": 2,
            **OWN,
            "judges": [OWN["judges"][0] | {"endpoint": endpoint}],
            "embeddings": endpoint,
            "choose": {"prefer": {"good": {"goal": "maximize"}, "cost": {"goal": "minimize"}, "parts.k": {"goal": "minimize"}}},
        }
        (tmp_path / "x.yaml").write_text(json.dumps(data))
        done = evalkit("sweep", "x.yaml")
        assert done.returncode == 0, done.stderr
        folder = tmp_path / "results/x"
        whole = {name: (folder / name).read_bytes() for name in ("summary.csv", "analysis.json", "choice.json", "recommended.yaml")}
        kept = {"responses.jsonl", "judgements.jsonl", "embeddings.jsonl", "run.json"}
        sweeps = json.loads((folder / "run.json").read_text())["sweeps"]
        assert [(one.get("of"), one["requests"]) for one in sweeps] == [(None, 8), ("judge good", 8), ("embeddings", 1)]
        for path in folder.iterdir():
            if path.name not in kept:
                path.unlink()
        sent = len(server.seen)
        again = evalkit("score", "results/x")
        assert again.returncode == 0, again.stderr
        assert len(server.seen) == sent
    assert {name: (folder / name).read_bytes() for name in whole} == whole
    names = "good,is_json,contains:2,size,parts,vendi_embedding,cost,rep_2"
    assert evalkit("score", "results/x", "--metrics", f"{names},contains:3").returncode == 2
    picked = evalkit("score", "results/x", "--metrics", names, "--tokenizer", "whitespace")
    assert picked.returncode == 0, picked.stderr
    measured = {line.split(",")[2] for line in (folder / "summary.csv").read_text().splitlines()[1:]}
    assert measured == {"good", "is_json", "contains:2", "size", "parts.k", "parts.first", "vendi_embedding", "cost", "rep_2"}
