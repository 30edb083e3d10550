"""Parts of a sweep, each sent by itself, come to what one sweep comes to; and nothing is made of a part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.endpoints import completion, serving
from support.local import api, in_thread
from support.sweeps import sweep

from evalkit.collect.allowance import Budget
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.local.server import app
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard
from evalkit.run import Run, load
from evalkit.store.merge import merge_runs
from evalkit.store.records import Completion, read
from evalkit.sweeping.options import Options
from evalkit.sweeping.part import Part
from evalkit.sweeping.rescoring import rescore
from evalkit.sweeping.sweeping import folder_of, run_shard

PROMPTS = [
    {"id": f"p{number}", "user": f"How do I use {word} in Python?"}
    for number, word in enumerate(["lists", "dicts", "sets", "loops", "classes", "files"])
]


def experiment(base_url: str = "http://127.0.0.1:9/v1", **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "parts",
        "endpoint": {"base_url": base_url, "model": "babbler", "concurrency": 4},
        "prompts": PROMPTS,
        "parameters": {"temperature": [0.3, 1.0], "top_p": [0.8, "default"]},
        "request": {"max_tokens": 40, "seed": "per_replicate"},
        "replicates": 2,
        "anchor": {"every": 10},
        "choose": {"profile": "balanced"},
    }
    return check(data | changes)


def texts(folder: Path) -> dict[str, str]:
    return {one.key: one.outcome.text for one in read(folder) if isinstance(one.outcome, Completion)}


def scored(folder: Path) -> list[Any]:
    """The scores, without those of time."""
    timed = "('latency_s', 'time_to_first_token_s', 'tokens_per_s')"
    rows = duckdb.sql(f"SELECT * FROM '{folder}/scores.parquet' WHERE metric NOT IN {timed} ORDER BY ALL").fetchall()  # noqa: S608
    return [tuple(map(repr, row)) for row in rows]


@pytest.mark.slow
def test_shards_that_are_merged_are_the_one_sweep(tmp_path: Path) -> None:
    with in_thread(app(api())) as server:
        made = experiment(f"http://127.0.0.1:{server.port}/v1")
        one = sweep(made, tmp_path / "one")
        for number in range(1, 4):
            place = tmp_path / f"part{number}"
            stopped = run_shard(made, Shard(number, 3), place, Options(budget=Budget(requests=6)))
            assert isinstance(stopped, Part)
            assert (stopped.answered, stopped.complete) == (6, False)
            part = run_shard(made, Shard(number, 3), place)
            assert part is not None
            assert part.complete
            assert {path.name for path in place.iterdir()} - {".lock"} == {"responses.jsonl", "run.json"}
    assert isinstance(one, Run)
    whole = tmp_path / "whole"
    found = merge_runs([tmp_path / f"part{number}" for number in (2, 3, 1)], whole)
    assert (found.records, found.answers, found.planned, found.conflicts) == (52, 52, 52, 0)
    again = rescore(whole)
    assert again.complete
    assert texts(whole) == texts(tmp_path / "one")
    assert scored(whole) == scored(tmp_path / "one")
    assert again.choice is not None
    assert one.choice is not None
    assert (again.choice.chosen, again.choice.tied, again.choice.best) == (one.choice.chosen, one.choice.tied, one.choice.best)
    assert (whole / "choice.json").read_text() == (tmp_path / "one/choice.json").read_text()


def test_nothing_is_made_of_a_part_and_no_part_becomes_another(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        made = experiment(server.url, anchor={"every": 0}, judges=[], checks=[])
        part = run_shard(made, Shard(1, 2), tmp_path / "part")
        assert part is not None
        assert {one.body["seed"] for one in server.seen if one.body} == {request.seed for request in Plan(made, shard=Shard(1, 2))}
        seen = len(server.seen)
        assert seen == len(Plan(made, shard=Shard(1, 2))) == part.answered
        again = run_shard(made, Shard(1, 2), tmp_path / "part")
        assert again is not None
        assert (again.answered, again.sent, len(server.seen)) == (seen, None, seen)
        sweep(made, tmp_path / "whole")
        for what in (load, rescore):
            with pytest.raises(RecordError, match="holds shard 1/2 of an experiment, and a part is neither scored nor decided on"):
                what(tmp_path / "part")
        with pytest.raises(RecordError, match="holds shard 1/2 of an experiment, and the whole is asked for"):
            sweep(made, tmp_path / "part")
        with pytest.raises(RecordError, match="holds shard 1/2 of an experiment, and shard 2/2 is asked for"):
            run_shard(made, Shard(2, 2), tmp_path / "part")
        with pytest.raises(RecordError, match="holds a run that is no shard"):
            run_shard(made, Shard(2, 2), tmp_path / "whole")
    assert json.loads((tmp_path / "part/run.json").read_text())["shard"] == "1/2"
    assert folder_of(made, Shard(1, 2)) == Path("results/parts.1-of-2")


def test_a_part_that_nothing_falls_to_sends_nothing(tmp_path: Path) -> None:
    made = experiment(prompts=PROMPTS[:1], parameters={}, anchor={"every": 0})
    empty = next(shard for number in range(1, 4) if not len(Plan(made, shard=(shard := Shard(number, 3)))))
    part = run_shard(made, empty, tmp_path / "part")  # of an endpoint that nobody answers at
    assert part is not None
    assert part.complete
    assert merge_runs([tmp_path / "part"], tmp_path / "whole").planned == 2


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({"race": True}, {}, "shard: a race decides on all answers together"),
        ({}, {"search": {"method": "race"}}, "shard: a race decides on all answers together"),
        ({"confirm": 3}, {}, "shard: confirm needs a choice"),
    ],
)
def test_what_needs_the_whole_is_refused(tmp_path: Path, options: dict[str, Any], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        run_shard(experiment(**changes), Shard(1, 2), tmp_path / "part", Options(**options))
    assert not (tmp_path / "part").exists()
