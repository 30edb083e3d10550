"""What goes with an engine and what does not, and what workers left behind that were cut off; without a cluster."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import completion, serving
from support.sweeps import sweep

from evalkit.errors import ExperimentError, MissingExtraError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard
from evalkit.store.journal import line_of
from evalkit.store.merge import merge_runs
from evalkit.store.records import Completion, read, record_of
from evalkit.store.segments import SEGMENTS
from evalkit.sweeping.batching import run_batches
from evalkit.sweeping.options import Options
from evalkit.sweeping.rescoring import rescore
from evalkit.sweeping.sweeping import run_shard, run_sweep


def experiment(base_url: str = "http://127.0.0.1:9/v1", **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "spread",
        "endpoint": {"base_url": base_url, "model": "tiny", "concurrency": 2},
        "prompts": [{"id": f"p{number}", "user": f"What is {number}?"} for number in range(4)],
        "parameters": {"temperature": [0.2, 0.7]},
        "anchor": {"every": 0},
    }
    return check(data | changes)


RAY = Options(engine="ray")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(engine="dask"), "engine: found 'dask'; expected ray"),
        (Options(workers=2), "workers: is about an engine; give engine ray with it"),
        (Options(address="auto"), "address: is about an engine"),
        (Options(engine="ray", race=True), "engine: a race looks at all answers"),
        (Options(engine="ray", confirm=2), "engine: confirm asks a few requests anew"),
    ],
)
def test_what_does_not_go_with_an_engine_is_told_in_one_message(options: Options, words: str, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=words):
        run_sweep(experiment(choose={"profile": "balanced"}), tmp_path / "run", options)


def test_shards_batches_and_the_embedded_endpoint_elsewhere_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="engine: does not go with shard"):
        run_shard(experiment(), Shard(1, 2), tmp_path / "part", RAY)
    with pytest.raises(ExperimentError, match="engine: batches are sent by one process"):
        run_batches(experiment(), tmp_path / "run", RAY)
    local = experiment(endpoint={"base_url": "local", "model": "babbler"})
    with pytest.raises(ExperimentError, match="base_url local is served on this machine"):
        run_sweep(local, tmp_path / "run", Options(engine="ray", address="10.0.0.1:6379"))


@pytest.mark.skipif(find_spec("ray") is not None, reason="ray is installed here")
def test_without_ray_it_says_which_extra(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"ray is not installed \(the extra ray\); run: pip install 'ray>=2.50'"):
        run_sweep(experiment(), tmp_path / "run", RAY)


def left_over(folder: Path, made: Experiment) -> set[str]:
    """Three answers that a worker recorded and nobody else, and one more that was cut off."""
    requests = list(Plan(made))[:4]
    answer = Completion(text="paid for", finish_reason="stop", usage=None, latency_s=0.1, tries=1)
    lines = [line_of(record_of(one, answer)) for one in requests]
    segment = folder / SEGMENTS / "w1"
    segment.mkdir(parents=True)
    (segment / "responses.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:40])
    return {one.key for one in requests[:3]}


def test_what_workers_recorded_is_kept_and_not_asked_again(tmp_path: Path) -> None:
    notes: list[str] = []
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        made, folder = experiment(server.url), tmp_path / "run"
        sweep(made, folder, limit=1)
        before, seen = [one.key for one in read(folder)], len(server.seen)
        kept = left_over(folder, made)
        with pytest.raises(RecordError, match="holds answers in segments/ that a sweep was cut off from"):
            merge_runs([folder], tmp_path / "merged")
        sweep(made, folder, note=notes.append)
        assert len(server.seen) - seen == 8 - len({*before, *kept})
    keys = Counter(one.key for one in read(folder))
    assert keys == Counter({one.key: 1 for one in Plan(made)})
    assert any("that workers had recorded before they were cut off: kept" in one for one in notes)
    assert not (folder / SEGMENTS).exists()


def test_a_scoring_joins_them_too(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        made, folder = experiment(server.url), tmp_path / "run"
        sweep(made, folder, limit=1)
    there = {one.key for one in read(folder)}
    kept = left_over(folder, made)
    rescore(folder)
    assert {one.key for one in read(folder)} == there | kept
    assert not (folder / SEGMENTS).exists()
