"""A sweep by batches comes to what a sweep comes to; killed anywhere, it starts nothing twice and loses nothing."""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import Answer, Asked, serving
from support.local import Port, api, in_thread
from support.process import ROOT
from support.sweeps import sweep

from evalkit.collect.allowance import Budget
from evalkit.errors import AuthError, EndpointError, ExperimentError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.local.rehearsal import check as rehearse
from evalkit.local.server import app
from evalkit.plan.requests import Plan
from evalkit.run import Run
from evalkit.store.batches import FILE, FOLDER, underway
from evalkit.store.merge import merge_runs
from evalkit.store.records import Completion, read
from evalkit.sweeping.batching import Waiting, run_batches
from evalkit.sweeping.by_hand import read_batches, write_batches
from evalkit.sweeping.hooks import Hooks
from evalkit.sweeping.options import Options
from evalkit.sweeping.part import Part

QUICK = Waiting(settles_s=0.0)
STAY = Waiting(wait=True, settles_s=0.0)
PROMPTS = [{"id": word, "user": f"How do I use {word} in Python?"} for word in ("lists", "sets")]


def experiment(base_url: str = "http://127.0.0.1:9/v1", batch: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    endpoint = {"base_url": base_url, "model": "babbler", "batch": {"poll_s": 0.02} | (batch or {}), **changes.pop("endpoint", {})}
    data: dict[str, Any] = {
        "name": "batched",
        "endpoint": endpoint,
        "prompts": PROMPTS,
        "parameters": {"temperature": [0.3, 1.0]},
        "request": {"max_tokens": 12, "seed": "per_replicate"},
        "replicates": 2,
        "anchor": {"every": 0},
    }
    return check(data | changes)


@contextmanager
def endpoint(*faults: dict[str, Any], **more: Any) -> Iterator[tuple[Port, str]]:
    with in_thread(app(api(), rehearsal=rehearse({"seed": 1, "batches": list(faults)} | more))) as server:
        yield server, f"http://127.0.0.1:{server.port}/v1"


def batches_of(server: Port) -> list[dict[str, Any]]:
    return server.ask("GET", "/v1/batches?limit=100").json["data"]


def through(server: Port) -> None:
    """Wait until all batches have ended."""
    until = time.monotonic() + 20
    while any(one["status"] in ("validating", "in_progress", "cancelling") for one in batches_of(server)):
        assert time.monotonic() < until
        time.sleep(0.01)


def texts(folder: Path) -> dict[str, str]:
    return {one.key: one.outcome.text for one in read(folder) if isinstance(one.outcome, Completion)}


def told_by(notes: list[str]) -> Hooks:
    return Hooks(note=lambda one: notes.append(str(one)))


@pytest.mark.slow
def test_batches_bring_what_a_sweep_brings_at_the_price_of_batches(tmp_path: Path) -> None:
    prices = {"prices": {"input": 2, "output": 8, "batch": {"input": 1, "output": 4}}}
    with endpoint({"fault": "late", "seconds": 0.2}, {"fault": "out_of_order"}, {"fault": "line_twice", "share": 0.5}) as (server, url):
        made = experiment(url, {"max_requests": 3}, endpoint=prices)
        notes: list[str] = []
        part = run_batches(made, tmp_path / "run", hooks=told_by(notes), waiting=QUICK)
        assert isinstance(part, Part)
        assert (part.answered, part.planned, part.underway) == (0, 8, 8)
        assert {path.name for path in (tmp_path / "run").iterdir()} - {".lock"} == {"run.json", "responses.jsonl", FILE, FOLDER}
        again = run_batches(made, tmp_path / "run", waiting=QUICK)
        assert isinstance(again, Part)
        assert (again.answered, again.underway) == (0, 8)
        through(server)
        found = run_batches(made, tmp_path / "run", waiting=QUICK)
        one = sweep(made, tmp_path / "one")
        assert [row["request_counts"]["total"] for row in batches_of(server)] == [2, 3, 3]
    assert isinstance(found, Run)
    assert one is not None
    assert found.complete
    assert texts(tmp_path / "run") == texts(tmp_path / "one")
    assert not (tmp_path / "run" / FOLDER).exists()
    records = list(read(tmp_path / "run"))
    assert len(records) == 8
    assert all(isinstance(record.outcome, Completion) and record.outcome.batched and record.outcome.latency_s is None for record in records)
    costs = [next(row.mean for row in run.analysis.by_cell if row.metric == "cost") for run in (found, one)]
    assert costs[0] == pytest.approx(costs[1] / 2)
    assert found.sent is not None
    assert found.sent.spent.cost == pytest.approx(one.sent.spent.cost / 2)
    assert not any(row.metric == "latency_s" for row in found.analysis.by_cell if row.mean == row.mean)


class Killed(BaseException):
    """What ends a command without a chance to do anything more."""


def killing(monkeypatch: pytest.MonkeyPatch, folder: Path, rng: random.Random) -> Callable[[], None]:
    """From each call on, one of the next writes to the run's journals is the last thing that happens, or does not happen any more."""
    write = os.write
    left = [0, False]

    def written(fd: int, content: bytes) -> int:
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        if not path.startswith(str(folder)) or not path.endswith(".jsonl"):
            return write(fd, content)
        left[0] -= 1
        if left[0] == 0 and not left[1]:
            raise Killed
        count = write(fd, content)
        if left[0] == 0:
            raise Killed
        return count

    def load() -> None:
        left[:] = [rng.randint(1, 4), rng.random() < 0.5]

    monkeypatch.setattr(os, "write", written)
    return load


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="tells files by /proc")
def test_killed_anywhere_again_and_again_nothing_is_started_twice_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = killing(monkeypatch, tmp_path / "run", random.Random(3))  # noqa: S311
    kills = 0
    with endpoint({"fault": "line_twice", "share": 0.3}) as (server, url):
        made = experiment(url, {"max_requests": 3})
        while True:
            load()
            try:
                found = run_batches(made, tmp_path / "run", waiting=QUICK)
            except Killed:
                kills += 1
                assert kills < 100
                continue
            if isinstance(found, Run):
                break
            through(server)
        assert sorted(row["request_counts"]["total"] for row in batches_of(server)) == [2, 3, 3]
    assert kills > 8
    assert found.complete
    assert Counter(one.key for one in read(tmp_path / "run")) == Counter(request.key for request in Plan(made))
    assert underway(tmp_path / "run") == []


def test_what_an_expired_batch_did_not_get_to_is_asked_the_next_time(tmp_path: Path) -> None:
    notes: list[str] = []
    with endpoint({"fault": "expired", "share": 0.5}) as (server, url):
        made = experiment(url)
        assert isinstance(run_batches(made, tmp_path / "run", waiting=QUICK), Part)
        through(server)
        run_batches(made, tmp_path / "run", hooks=told_by(notes), waiting=QUICK)
        assert len(batches_of(server)) == 1
        assert len(texts(tmp_path / "run")) == 4
        assert any("expired; what it brought is recorded, the rest is to be asked" in one for one in notes)
        part = run_batches(made, tmp_path / "run", waiting=QUICK)
        assert isinstance(part, Part)
        assert part.underway == 4
    assert len(list(read(tmp_path / "run"))) == 4


def test_a_cancelled_batch_gives_back_what_it_has(tmp_path: Path) -> None:
    with endpoint({"fault": "late", "seconds": 0.1}) as (server, url):
        made = experiment(url)
        run_batches(made, tmp_path / "run", waiting=QUICK)
        (row,) = batches_of(server)
        assert server.ask("POST", f"/v1/batches/{row['id']}/cancel").json["status"] == "cancelling"
        through(server)
        notes: list[str] = []
        run_batches(made, tmp_path / "run", hooks=told_by(notes), waiting=QUICK)
        assert len(batches_of(server)) == 1
    assert any("cancelled; what it brought" in one for one in notes)
    assert underway(tmp_path / "run") == []


def test_requests_that_fail_are_recorded_and_asked_again(tmp_path: Path) -> None:
    with endpoint({"fault": "failed", "share": 0.5}) as (server, url):
        made = experiment(url)
        run_batches(made, tmp_path / "run", waiting=QUICK)
        through(server)
        part = run_batches(made, tmp_path / "run", waiting=QUICK)
        assert isinstance(part, Part)
        failed = part.planned - part.answered
        assert 0 < failed < 8
        assert part.underway == failed
    kinds = Counter(getattr(one.outcome, "kind", "") for one in read(tmp_path / "run"))
    assert kinds == {"": 8 - failed, "server": failed}


def test_a_batch_that_is_refused_as_a_whole_is_told_and_not_started_again_at_once(tmp_path: Path) -> None:
    notes: list[str] = []
    with endpoint({"fault": "refused"}) as (server, url):
        made = experiment(url)
        run_batches(made, tmp_path / "run", waiting=QUICK)
        through(server)
        run_batches(made, tmp_path / "run", hooks=told_by(notes), waiting=QUICK)
        assert len(batches_of(server)) == 1
    assert any("failed (Enqueued token limit reached.)" in one for one in notes)


class Scripted:
    """An endpoint that takes files and starts batches, hangs up on the first start, and lists what it is told to."""

    def __init__(self, *, started: bool, listing: bool) -> None:
        self.started, self.listing = started, listing
        self.starts: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Answer:
        def said(data: Any) -> Answer:
            return Answer(200, {"Content-Type": "application/json"}, json.dumps(data).encode())

        path = asked.path.partition("?")[0]
        if path == "/v1/files" and asked.raw:
            return said({"id": "file-1", "filename": "x"})
        if path == "/v1/batches" and asked.body:
            first = not self.starts
            if self.started or not first:
                self.starts.append(asked.body)
            else:
                self.started = True
            return Answer(fault="hang up") if first else said({"id": f"batch_{len(self.starts)}", "status": "in_progress"})
        if path in ("/v1/files", "/v1/batches") and not self.listing:
            return Answer(404)
        if path == "/v1/files":
            return said({"data": [{"id": "file-1", "filename": "x"}], "has_more": False})
        if path == "/v1/batches":
            rows = [{"id": f"batch_{at + 1}", "status": "in_progress", "metadata": one["metadata"]} for at, one in enumerate(self.starts)]
            return said({"data": rows, "has_more": False})
        return said({"id": path.rpartition("/")[2], "status": "in_progress"})


@pytest.mark.parametrize("started", [True, False])
def test_a_start_that_nobody_answered_is_looked_for_and_made_once(tmp_path: Path, started: bool) -> None:
    script = Scripted(started=started, listing=True)
    with serving(script) as server:
        part = run_batches(experiment(server.url), tmp_path / "run", waiting=QUICK)
        assert isinstance(part, Part)
        assert part.underway == 8
        run_batches(experiment(server.url), tmp_path / "run", waiting=QUICK)
    assert len(script.starts) == 1


def test_where_nothing_is_listed_nothing_more_is_sent_until_the_batch_is_given_up(tmp_path: Path) -> None:
    script = Scripted(started=True, listing=False)
    notes: list[str] = []
    with serving(script) as server:
        made = experiment(server.url)
        for _ in range(2):
            part = run_batches(made, tmp_path / "run", hooks=told_by(notes), waiting=QUICK)
            assert isinstance(part, Part)
            assert part.underway == 8
            assert len(script.starts) == 1
        assert any("unresolved. It was asked for and nobody answered" in one and "the option resubmit" in one for one in notes)
        run_batches(made, tmp_path / "run", waiting=Waiting(resubmit=True, settles_s=0.0))
    assert len(script.starts) == 2
    assert len({one["metadata"]["evalkit"] for one in script.starts}) == 2


def test_answers_that_the_experiment_does_not_plan_stay_at_the_endpoint(tmp_path: Path) -> None:
    notes: list[str] = []
    with endpoint() as (server, url):
        made = experiment(url)
        run_batches(made, tmp_path / "run", waiting=QUICK)
        through(server)
        part = run_batches(made, tmp_path / "run", Options(limit=1), told_by(notes), STAY)
        assert isinstance(part, Part)
        assert any("4 answers to requests that this experiment does not plan" in one for one in notes)
        assert len(texts(tmp_path / "run")) == 4
        run_batches(made, tmp_path / "run", waiting=QUICK)
        assert len(batches_of(server)) == 1
    assert len(list(read(tmp_path / "run"))) == 8


def test_nobody_else_asks_what_stands_in_a_batch_that_is_under_way(tmp_path: Path) -> None:
    with endpoint({"fault": "late", "seconds": 5}) as (_, url):
        made = experiment(url)
        run_batches(made, tmp_path / "run", waiting=QUICK)
        for what in (
            lambda: sweep(made, tmp_path / "run"),
            lambda: write_batches(made, tmp_path / "run"),
            lambda: merge_runs([tmp_path / "run"], tmp_path / "whole"),
        ):
            with pytest.raises(RecordError, match=r"batches of it are under way \(8 requests\), and would be asked twice"):
                what()


def test_a_budget_of_requests_bounds_what_is_started(tmp_path: Path) -> None:
    with endpoint({"fault": "late", "seconds": 5}) as (server, url):
        part = run_batches(experiment(url), tmp_path / "run", Options(budget=Budget(requests=3)), waiting=QUICK)
        assert isinstance(part, Part)
        assert part.underway == 3
        assert len(batches_of(server)) == 1


def test_an_endpoint_without_batches_says_what_to_do(tmp_path: Path) -> None:
    words = r"serves no batches \(HTTP 404: Not Found\).*evalkit batch write EXPERIMENT"
    with serving(lambda _: Answer(404, body=b'{"error": {"message": "Not Found"}}')) as server, pytest.raises(EndpointError, match=words):
        run_batches(experiment(server.url), tmp_path / "run", waiting=QUICK)
    assert underway(tmp_path / "run") == []
    with serving(lambda _: Answer(401, body=b'{"error": {"message": "no"}}')) as server, pytest.raises(AuthError, match="refuses the key"):
        run_batches(experiment(server.url), tmp_path / "run", waiting=QUICK)


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"endpoint": {"stream": True}}, {}, "endpoint.stream is true, and a batch does not stream"),
        ({"endpoint": {"replicates_per_call": 2}, "request": {}}, {}, "take endpoint.replicates_per_call out"),
        ({"search": {"method": "race"}, "choose": {"profile": "balanced"}}, {}, "a race looks at answers"),
        ({}, {"race": True}, "a race looks at answers"),
        ({}, {"confirm": 2}, "confirm asks anew"),
        ({}, {"budget": Budget(cost=1.0)}, "cannot be kept"),
        ({"endpoint": {"base_url": "local"}}, {}, "the embedded endpoint ends with the command"),
    ],
)
def test_what_cannot_be_had_by_batches_is_refused(tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        run_batches(experiment(**changes), tmp_path / "run", Options(**options), waiting=QUICK)
    assert not (tmp_path / "run").exists()


def test_files_that_are_written_and_read_by_hand(tmp_path: Path) -> None:
    made = experiment(batch={"max_requests": 5})
    written = write_batches(made, tmp_path / "run")
    assert (written.requests, len(written.files)) == (8, 2)
    asked = [json.loads(line) for path in written.files for line in path.read_text().splitlines()]
    assert [one["custom_id"] for one in asked] == [request.key for request in Plan(made)]
    assert asked[0].keys() == {"custom_id", "method", "url", "body"}
    assert asked[0]["body"].keys() == {"model", "messages", "temperature", "max_tokens", "seed"}

    def answered(one: dict[str, Any], status: int = 200) -> dict[str, Any]:
        _, body = (status, {"error": {"message": "no", "code": "invalid_value", "param": "seed"}}) if status != 200 else (200, BODY)
        return {"id": "r", "custom_id": one["custom_id"], "response": {"status_code": status, "body": body}, "error": None}

    rows = [answered(one) for one in asked[:6]] + [answered(asked[6], 400)] + [answered({"custom_id": "0" * 32}), answered(asked[0])]
    rows.append({"id": "r", "custom_id": asked[7]["custom_id"], "response": None, "error": {"code": "batch_expired", "message": "late"}})
    output = tmp_path / "output.jsonl"
    output.write_text("".join(json.dumps(row) + "\n" for row in reversed(rows)) + "torn {\n\n")
    notes: list[str] = []
    taken = read_batches(tmp_path / "run", [output], lambda one: notes.append(one.text))
    assert (taken.completions, taken.failures, taken.before, taken.others) == (6, 1, 0, 1)
    assert len(notes) == 2
    before = (tmp_path / "run/responses.jsonl").read_bytes()
    assert read_batches(tmp_path / "run", [output]).before == 6
    assert (tmp_path / "run/responses.jsonl").read_bytes().startswith(before)
    assert len(texts(tmp_path / "run")) == 6
    assert write_batches(made, tmp_path / "run").requests == 1

    for content, words in [
        (written.files[0].read_text(), "a file of requests, not of answers"),
        ("", "holds no answer of a batch"),
        (json.dumps(answered({"custom_id": "1" * 32})), "none of its 1 answer is to a request of"),
    ]:
        output.write_text(content)
        with pytest.raises(RecordError, match=words):
            read_batches(tmp_path / "run", [output])
    with pytest.raises(RecordError, match="cannot be read"):
        read_batches(tmp_path / "run", [tmp_path / "none.jsonl"])
    with pytest.raises(ExperimentError, match=r"take endpoint\.stream out"):
        write_batches(experiment(endpoint={"stream": True}), tmp_path / "other")


BODY = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "babbler",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def test_the_command_line_says_what_goes_together(evalkit: Any) -> None:
    quickstart = ROOT / "experiments/quickstart.yaml"
    for arguments, words in [
        (["sweep", quickstart, "--batch"], "the embedded endpoint ends with the command, and its batches with it; add --wait"),
        (["sweep", quickstart, "--wait"], "--wait: is about batches; give it with --batch"),
        (["sweep", quickstart, "--batch", "--shard", "1/2"], "--batch: does not go with --shard"),
        (["sweep", quickstart, "--shard", "0/2"], "shard: found '0/2'; expected one of 1/2 to 2/2"),
        (["batch", "red", quickstart], "batch: unknown action; did you mean 'read'?"),
        (["batch", "read", "x"], "batch read: no file is named"),
        (["merge", "x", "-o", "y"], "x: no such results folder"),
    ]:
        done = evalkit(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), words
        assert words in done.stderr
