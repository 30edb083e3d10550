"""A results folder from beginning to end, against the embedded model and against servers of our own on loopback."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest
from support.endpoints import completion, nobody, serving
from support.local import api, in_thread
from support.process import ROOT, environment
from support.sweeps import sweep

from evalkit.comparison.pairing import paired
from evalkit.errors import AuthError, EndpointError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.local.server import app
from evalkit.plan.requests import Plan, seed_of
from evalkit.store.folder import load_experiment
from evalkit.sweeping import derivation as results
from evalkit.sweeping import rescoring
from evalkit.sweeping.outlook import pending

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    """The embedded endpoint, begun once for the tests that are not about its beginning and end."""
    with in_thread(app(api())) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


def experiment(base_url: str = "local", **changes: object) -> Experiment:
    data: dict[str, object] = {
        "name": "small",
        "endpoint": {"base_url": base_url, "model": "babbler", "concurrency": 4},
        "prompts": [{"id": "slices", "user": "Explain how slicing a list works."}, {"id": "errors", "user": "What is an exception?"}],
        "parameters": {"temperature": [0, 1.0], "top_p": ["default", 0.9]},
        "request": {"max_tokens": 40, "seed": "per_replicate"},
        "replicates": 2,
        "seed": 7,
    }
    return check(data | changes)


def asked(server: object) -> list[object]:
    """The requests of the sweep itself, without those that look before it whether the endpoint takes them."""
    return [one for one in server.seen if one.body["messages"] != [{"role": "user", "content": "Say hello."}]]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "responses.jsonl").read_text(encoding="utf-8").splitlines()]


def completions_by_key(folder: Path) -> Counter[str]:
    return Counter(str(line["key"]) for line in lines(folder) if line["outcome"]["type"] == "completion")


def test_a_sweep_of_the_embedded_model_records_scores_and_shows(tmp_path: Path) -> None:
    result = sweep(experiment(), tmp_path / "run")
    assert result is not None
    assert result.complete
    assert result.sent is not None
    assert result.sent.done == result.sent.planned == 12
    assert {path.name for path in (tmp_path / "run").iterdir()} - {".lock"} == {
        "responses.jsonl",
        "run.json",
        "responses.parquet",
        "scores.parquet",
        "analysis.json",
        "summary.csv",
    }
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    first = lines(tmp_path / "run")[0]
    assert first["role"] == "sweep"
    assert first["seed"] == seed_of(7, first["prompt_id"], first["replicate"])
    assert first["request"]["seed"] == first["seed"]
    assert "messages" not in first["request"]
    assert first["outcome"]["system_fingerprint"].startswith("fp_")
    void = [line for line in lines(tmp_path / "run") if line["cell"]["temperature"] == 0]
    assert all(line["cell"]["top_p"] is None and "top_p" not in line["request"] for line in void)
    rows = duckdb.sql(f"SELECT count(*), count(*) FILTER (planned) FROM '{tmp_path}/run/responses.parquet'").fetchall()  # noqa: S608
    assert rows == [(12, 12)]


def test_the_second_sweep_sends_nothing_and_changes_no_record(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "run")
    before = (tmp_path / "run/responses.jsonl").read_bytes()
    summary = (tmp_path / "run/summary.csv").read_bytes()
    again = sweep(experiment(embedded), tmp_path / "run")
    assert again is not None
    assert again.sent is not None
    assert again.sent.planned == 0
    assert (tmp_path / "run/responses.jsonl").read_bytes() == before
    assert (tmp_path / "run/summary.csv").read_bytes() == summary


def test_more_levels_prompts_and_replicates_send_only_what_is_new_and_fewer_keep_the_records(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        few = experiment(server.url, parameters={"temperature": [0.5]}, replicates=1)
        sweep(few, tmp_path / "run")
        assert len(asked(server)) == 2
        more = experiment(server.url, parameters={"temperature": [0.5, 1]}, replicates=3)
        sweep(more, tmp_path / "run")
        assert len(asked(server)) == 2 * 2 * 3
        result = sweep(few, tmp_path / "run")
        assert len(asked(server)) == 12
    assert result is not None
    assert result.analysis.counts.completions == 2
    assert result.analysis.counts.outside == 10
    assert any("10 recorded requests are not in this plan" in note for note in map(str, result.notes))
    assert len(lines(tmp_path / "run")) == 12


def test_a_changed_prompt_is_asked_again_and_every_version_of_it_stays_in_the_run_file(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        for text in ("first wording", "second wording", "first wording"):
            sweep(experiment(server.url, prompts=[{"id": "one", "user": text}], replicates=1), tmp_path / "run")
        assert len(asked(server)) == 2 * 3
    versions = json.loads((tmp_path / "run/run.json").read_text())["prompts"]["one"]
    assert [version["messages"][0]["content"] for version in versions] == ["first wording", "second wording"]


def test_fresh_moves_the_old_run_aside_and_deletes_nothing(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        one = experiment(server.url, replicates=1)
        sweep(one, tmp_path / "run")
        old = (tmp_path / "run/responses.jsonl").read_bytes()
        result = sweep(one, tmp_path / "run", fresh=True)
        sent = len(asked(server))
    assert result is not None
    assert sent == 2 * 6
    (aside,) = tmp_path.glob("run.*")
    assert (aside / "responses.jsonl").read_bytes() == old
    assert any(str(aside) in note for note in map(str, result.notes))
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


def test_failures_are_recorded_counted_never_scored_and_sent_again(tmp_path: Path) -> None:
    broken = True

    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        if broken and request.body.get("temperature") == 1.0:
            return 500, {"retry-after-ms": "1"}, b'{"error": {"message": "out of order"}}'
        return 200, {}, completion("an answer of some words")

    with serving(answer) as server:
        one = experiment(server.url, parameters={"temperature": [0, 1.0]})
        result = sweep(one, tmp_path / "run")
        assert result is not None
        assert not result.complete
        assert result.analysis.counts.failures == {"server": 4}
        assert result.analysis.counts.completions == 4
        failed = [line for line in lines(tmp_path / "run") if line["outcome"]["type"] == "failure"]
        assert {(line["outcome"]["status"], line["outcome"]["tries"], line["outcome"]["message"]) for line in failed} == {(500, 5, "out of order")}
        broken = False
        before = len(asked(server))
        result = sweep(one, tmp_path / "run")
        assert len(asked(server)) - before == 4
    assert result is not None
    assert result.complete
    assert result.analysis.counts.failures == {}


def _too_hot(request: object) -> tuple[int, dict[str, str], bytes]:
    if request.body.get("temperature") == 1.0:
        return 400, {}, b'{"error": {"message": "too hot", "param": "temperature", "code": "unsupported_value"}}'
    return 200, {}, completion("fine")


def test_a_rejected_level_ends_the_sweep_before_it_costs_anything(tmp_path: Path) -> None:
    with serving(_too_hot) as server:
        one = experiment(server.url, parameters={"temperature": [0, 1.0]})
        with pytest.raises(EndpointError) as caught:
            sweep(one, tmp_path / "run")
        assert len(server.seen) == 2
    assert "temperature=1 is rejected (HTTP 400): too hot" in str(caught.value)
    assert "skip_rejected" in str(caught.value)
    assert [line["cell"] for line in lines(tmp_path / "run")] == [{"temperature": 0}], "what the look brought is kept"


def test_skip_rejected_leaves_the_level_out_and_says_so(tmp_path: Path) -> None:
    with serving(_too_hot) as server:
        result = sweep(experiment(server.url, parameters={"temperature": [0, 1.0]}), tmp_path / "run", skip_rejected=True)
        assert [one.body["temperature"] for one in server.seen].count(1.0) == 1
    assert {line["cell"]["temperature"] for line in lines(tmp_path / "run")} == {0}
    assert result is not None
    assert result.complete
    assert any(note.startswith("warning: left out: temperature=1 is rejected") for note in map(str, result.notes))
    calls = json.loads((tmp_path / "run/run.json").read_text())["preflight"]["calls"]
    assert [(call["parameter"], call["level"], bool(call["failure"])) for call in calls] == [
        (None, None, False),
        ("temperature", 0, False),
        ("temperature", 1.0, True),
    ]


def test_a_model_that_the_endpoint_does_not_know_ends_the_sweep_after_a_warning(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(EndpointError, match=r"the endpoint knows no such model or address \(HTTP 404\)"):
        sweep(experiment(endpoint={"base_url": "local", "model": "gpt-9"}), tmp_path / "run", note=told.append)
    assert any("list of models lacks 'gpt-9'; it lists: babbler" in one for one in told)


def test_what_the_endpoint_rejects_in_the_middle_is_sent_again_only_when_asked_for(tmp_path: Path) -> None:
    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        if "exception" in request.body["messages"][0]["content"]:
            return 400, {}, b'{"error": {"message": "not this prompt", "param": "messages", "code": "bad"}}'
        return 200, {}, completion("fine")

    with serving(answer) as server:
        one = experiment(server.url, parameters={"temperature": [1.0]}, replicates=3)
        sweep(one, tmp_path / "run", concurrency=1)
        assert len(asked(server)) == 6
        sweep(one, tmp_path / "run")
        assert len(asked(server)) == 6
        again = sweep(one, tmp_path / "run", retry_failed=True)
        assert len(asked(server)) == 9
    assert again is not None
    assert (again.complete, again.analysis.counts.completions, again.analysis.counts.failures) == (False, 3, {"rejected": 3})
    rejected = next(line["outcome"] for line in lines(tmp_path / "run") if line["outcome"]["type"] == "failure")
    assert (rejected["kind"], rejected["param"], rejected["code"], rejected["tries"]) == ("rejected", "messages", "bad", 1)


def test_streams_tell_the_first_token_and_give_the_same_answers(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "plain")
    sweep(experiment(endpoint={"base_url": embedded, "model": "babbler", "stream": True}), tmp_path / "streamed")
    plain, streamed = ({line["key"]: line for line in lines(tmp_path / name)} for name in ("plain", "streamed"))
    assert plain.keys() == streamed.keys()
    for key, line in streamed.items():
        outcome = line["outcome"]
        assert outcome["text"] == plain[key]["outcome"]["text"]
        assert outcome["usage"] == plain[key]["outcome"]["usage"]
        assert 0 < outcome["time_to_first_token_s"] <= outcome["latency_s"]
        assert line["request"]["stream"] is True


def test_several_replicates_a_call_give_a_record_each_and_the_rest_is_asked_for_again(tmp_path: Path) -> None:
    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        given = min(request.body.get("n", 1), 2)
        choices = [{"index": n, "message": {"content": f"answer {n}"}, "finish_reason": "stop"} for n in range(given)]
        return 200, {}, completion("", choices=choices)

    with serving(answer) as server:
        one = experiment(
            server.url,
            endpoint={"base_url": server.url, "model": "m", "replicates_per_call": 3},
            parameters={"temperature": [1.0]},
            request={"max_tokens": 20},
            replicates=3,
        )
        result = sweep(one, tmp_path / "run")
        assert [one.body.get("n") for one in asked(server)] in ([3, 3, None, None], [3, None, 3, None])
    assert result is not None
    assert result.complete
    assert len(completions_by_key(tmp_path / "run")) == 6
    assert [line["outcome"].get("usage_shared_by", 1) for line in lines(tmp_path / "run") if line["replicate"] < 2] == [2] * 4


def test_a_probe_before_the_sweep_does_not_stand_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "run/probe.json").write_text("{}")
    (tmp_path / "run/summary.csv.77.tmp").write_text("left by a kill")
    result = sweep(experiment(), tmp_path / "run")
    assert result is not None
    assert result.complete


def test_one_request_that_always_fails_does_not_end_the_others(tmp_path: Path) -> None:
    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        if "exception" in request.body["messages"][0]["content"]:
            return 404, {}, b'{"error": {"message": "no such page"}}'
        return 200, {}, completion("fine")

    with serving(answer) as server:
        result = sweep(experiment(server.url), tmp_path / "run")
    assert result is not None
    assert (result.analysis.counts.completions, result.analysis.counts.failures) == (6, {"rejected": 6})


def test_a_limit_by_its_other_name_is_not_doubled_by_the_look_before(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("fine"))) as server:
        sweep(experiment(server.url, request={"max_completion_tokens": 30}), tmp_path / "run")
        assert not any("max_tokens" in one.body for one in server.seen)


def test_text_that_is_stripped_leaves_the_scores_and_stays_in_the_record(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("<think>hm hm hm</think>one two"))) as server:
        one = experiment(server.url, endpoint={"base_url": server.url, "model": "m", "strip": ["(?s)<think>.*?</think>"]}, replicates=2)
        result = sweep(one, tmp_path / "run")
    assert result is not None
    words = {row.mean for row in result.analysis.by_cell if row.metric == "length_words"}
    assert words == {2.0}
    assert lines(tmp_path / "run")[0]["outcome"]["text"].startswith("<think>")


def test_a_parameter_that_changes_no_answer_is_told(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text("quirks:\n  - {quirk: ignore, parameter: presence_penalty}\n")
    command = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--faults", str(faults)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as child:
        base_url = ""
        while not base_url:
            found = [word for word in child.stdout.readline().split() if word.startswith("http")]
            base_url = found[0] if found else ""
        one = experiment(
            base_url,
            parameters={"presence_penalty": [0, 2.0], "frequency_penalty": [0, 2.0]},
            request={"seed": "per_replicate", "max_tokens": 40},
            replicates=4,
        )
        result = sweep(one, tmp_path / "run")
        child.terminate()
    assert result is not None
    told = [note for note in map(str, result.notes) if "seems to ignore it" in note]
    assert len(told) == 1
    assert "presence_penalty changed no answer in any of 16 pairs" in told[0]


def test_limit_and_set_narrow_what_is_sent_and_scored_and_records_stay(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        one = experiment(server.url)
        sweep(one, tmp_path / "run")
        result = sweep(one, tmp_path / "run", limit=1)
        assert len(asked(server)) == 12
    assert result is not None
    assert result.analysis.counts.planned == 6
    assert len(lines(tmp_path / "run")) == 12


def test_scoring_again_gives_the_same_files_and_sends_nothing(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "run")
    derived = {name: (tmp_path / "run" / name).read_bytes() for name in ("summary.csv", "analysis.json")}
    for name in results.DERIVED:
        (tmp_path / "run" / name).unlink()
    rescoring.rescore(tmp_path / "run")
    assert {name: (tmp_path / "run" / name).read_bytes() for name in derived} == derived
    assert (tmp_path / "run/scores.parquet").exists()


def test_a_torn_last_line_is_cut_told_and_its_request_sent_again(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "run")
    path = tmp_path / "run/responses.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    result = sweep(experiment(embedded), tmp_path / "run")
    assert result is not None
    assert result.sent is not None
    assert result.sent.planned == 1
    assert any("the last line was torn" in note for note in map(str, result.notes))
    assert len(lines(tmp_path / "run")) == 12
    assert path.read_bytes().startswith(whole[: whole[:-1].rindex(b"\n") + 1])


def test_a_garbage_line_in_the_middle_is_refused_with_its_number_and_nothing_is_changed(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "run")
    path = tmp_path / "run/responses.jsonl"
    broken = path.read_bytes().split(b"\n")
    broken[4] = b"not a record"
    path.write_bytes(b"\n".join(broken))
    with pytest.raises(RecordError, match=r"responses\.jsonl: line 5: not a record"):
        sweep(experiment(embedded), tmp_path / "run")
    assert path.read_bytes() == b"\n".join(broken)


def test_two_sweeps_on_one_folder_the_second_is_refused(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("an answer"))) as server:
        refused: list[str] = []

        def second(_: object) -> None:
            if not refused:
                with pytest.raises(RecordError) as caught:
                    sweep(experiment(server.url), tmp_path / "run")
                refused.append(str(caught.value))

        sweep(experiment(server.url), tmp_path / "run", progress=second)
    assert f"another sweep (process {os.getpid()} on " in refused[0]


def test_a_folder_with_other_files_is_not_taken_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(RecordError, match="holds other files and no run"):
        sweep(experiment(), tmp_path)


def test_an_endpoint_that_refuses_the_connection_ends_the_sweep_with_nothing_recorded(tmp_path: Path) -> None:
    with nobody() as gone, pytest.raises(EndpointError, match="cannot be reached after 3 tries"):
        sweep(experiment(gone), tmp_path / "run")
    assert lines(tmp_path / "run") == []


def test_a_wrong_key_ends_the_sweep_at_once_and_the_key_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-planted-0123456789")

    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        return 401, {}, json.dumps({"error": {"message": f"no such key: {request.headers['authorization']}"}}).encode()

    with serving(answer) as server:
        one = experiment(server.url, endpoint={"base_url": server.url, "model": "m", "api_key_env": "SOME_KEY", "concurrency": 4})
        with pytest.raises(AuthError, match="refuses the key") as caught:
            sweep(one, tmp_path / "run")
        assert len(asked(server)) <= 4
    assert "planted" not in str(caught.value)
    assert lines(tmp_path / "run") == []
    assert not [path for path in (tmp_path / "run").iterdir() if b"planted" in path.read_bytes()]


def test_a_key_that_is_not_set_is_told_before_anything_is_made(tmp_path: Path) -> None:
    one = experiment(endpoint={"base_url": "http://127.0.0.1:9/v1", "model": "m", "api_key_env": "NO_SUCH_KEY"})
    with pytest.raises(AuthError, match="the environment variable NO_SUCH_KEY is not set"):
        sweep(one, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_key_refused_in_mid_run_stops_it_and_keeps_what_was_answered(tmp_path: Path) -> None:
    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        return (200, {}, completion("fine")) if request.number < 5 else (403, {}, b'{"error": {"message": "expired"}}')

    with serving(answer) as server:
        result = sweep(experiment(server.url), tmp_path / "run", concurrency=1)
        assert len(asked(server)) == 6
    assert result is not None
    assert not result.complete
    assert any("stopped: the endpoint refuses the key since it has answered" in note for note in map(str, result.notes))
    assert len(completions_by_key(tmp_path / "run")) == 5


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    return [int(child) for child, parent in zip(listed[::2], listed[1::2], strict=True) if int(parent) == pid]


def _alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(state) and not state.startswith("Z")


@pytest.mark.slow
def test_killed_at_random_moments_each_request_ends_with_one_completion_and_no_child_is_left(tmp_path: Path, evalkit: Command) -> None:
    arguments = ["sweep", ROOT / "experiments/quickstart.yaml", "--limit", "2", "--set", "replicates=3"]
    command = [sys.executable, "-m", "evalkit", *map(str, arguments)]
    chance = random.Random(11)  # noqa: S311
    recorded = 0
    for _ in range(5):
        child = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        path = tmp_path / "results/quickstart/responses.jsonl"
        deadline = time.monotonic() + 30
        wanted = recorded + chance.randrange(1, 40)
        while time.monotonic() < deadline and (not path.exists() or path.read_bytes().count(b"\n") < wanted):
            time.sleep(0.01)
        servers = _children(child.pid)
        child.send_signal(signal.SIGKILL)
        child.wait()
        recorded = path.read_bytes().count(b"\n")
        assert servers
        while time.monotonic() < deadline and any(map(_alive, servers)):
            time.sleep(0.05)
        assert not any(map(_alive, servers))
    done = evalkit(*arguments)
    assert done.returncode == 0, done.stderr
    counts = completions_by_key(tmp_path / "results/quickstart")
    assert len(counts) == 2 * 56 * 3
    assert set(counts.values()) == {1}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_arrived_says_how_to_go_on_and_exits_130(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-m", "evalkit", "sweep", str(ROOT / "experiments/quickstart.yaml")]
    child = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    path = tmp_path / "results/quickstart/responses.jsonl"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (not path.exists() or path.read_bytes().count(b"\n") < 20):
        time.sleep(0.01)
    servers = _children(child.pid)
    os.kill(child.pid, number)
    _, said = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "what arrived is kept in results/quickstart; run the same command again to go on" in said
    assert "Traceback" not in said
    assert path.read_bytes().endswith(b"\n")
    assert not any(map(_alive, servers))


def begun_under_the_old_rule(folder: Path, base_url: str) -> Path:
    """A folder as an older evalkit left it: its run.json does not say how seeds were made."""
    sweep(experiment(base_url), folder)
    data = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    rows = lines(folder)
    made = {request.key: request for request in Plan(experiment(base_url))}
    old = {(one.cell_index, one.prompt_index, one.replicate): one for one in Plan(experiment(base_url).with_seeds("consecutive"))}
    for row in rows:
        was = made[str(row["key"])]
        then = old[was.cell_index, was.prompt_index, was.replicate]
        row |= {"key": then.key, "seed": then.seed, "request": {**row["request"], "seed": then.seed}}
    del data["seeds"]
    (folder / "run.json").write_text(json.dumps(data), encoding="utf-8")
    (folder / "responses.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_folder_begun_when_seeds_were_neighbours_keeps_them_and_is_sent_nothing_again(tmp_path: Path, embedded: str) -> None:
    folder = begun_under_the_old_rule(tmp_path / "run", embedded)
    assert pending(experiment(embedded), folder).requests == 0
    assert load_experiment(folder).seeds == "consecutive"
    before = (folder / "responses.jsonl").read_bytes()
    for _ in range(2):  # the second time its run.json says so
        result = sweep(experiment(embedded), folder)
        assert result is not None
        assert result.complete
        assert result.sent is not None
        assert result.sent.done == 0
        assert json.loads((folder / "run.json").read_text(encoding="utf-8"))["seeds"] == "consecutive"
    assert (folder / "responses.jsonl").read_bytes() == before
    assert rescoring.rescore(folder).analysis.counts.completions == 12
    more = sweep(experiment(embedded, replicates=3), folder)
    assert more is not None
    assert more.sent is not None
    assert more.sent.done == 6
    for row in lines(folder):
        assert row["seed"] == seed_of(7, str(row["prompt_id"]), int(str(row["replicate"])), "consecutive")
    again = sweep(more.experiment, tmp_path / "elsewhere")
    assert again is not None
    assert load_experiment(tmp_path / "elsewhere").seeds == "hashed", "a new folder is begun as all are"


def test_a_folder_that_is_begun_anew_has_seeds_that_are_spread(tmp_path: Path, embedded: str) -> None:
    folder = begun_under_the_old_rule(tmp_path / "run", embedded)
    result = sweep(experiment(embedded), folder, fresh=True)
    assert result is not None
    assert result.sent is not None
    assert result.sent.done == 12
    assert load_experiment(folder).seeds == "hashed"


def test_without_seeds_per_replicate_an_old_folder_has_none_to_keep(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded, request={"max_tokens": 40}), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    del data["seeds"]
    path.write_text(json.dumps(data), encoding="utf-8")
    result = sweep(experiment(embedded), tmp_path / "run")
    assert result is not None
    assert result.sent is not None
    assert result.sent.done == 12
    assert load_experiment(tmp_path / "run").seeds == "hashed"


def test_seeds_made_in_a_way_that_is_not_known_are_an_error(tmp_path: Path, embedded: str) -> None:
    sweep(experiment(embedded), tmp_path / "run")
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"seeds": "hashed"', '"seeds": "by the moon"'), encoding="utf-8")
    for use in (load_experiment, lambda folder: sweep(experiment(embedded), folder)):
        with pytest.raises(RecordError, match="seeds are made in a way that this evalkit does not know"):
            use(tmp_path / "run")


def test_comparing_tells_that_two_runs_make_their_seeds_in_other_ways(tmp_path: Path, embedded: str) -> None:
    old, new = begun_under_the_old_rule(tmp_path / "old", embedded), tmp_path / "new"
    sweep(experiment(embedded), new)
    told = {one.what: (one.baseline, one.candidate) for one in paired(old, new).differs}
    assert told["seeds of replicates"] == ("consecutive", "hashed")
    assert "seeds of replicates" not in {one.what for one in paired(old, old).differs}
    sweep(experiment(embedded, request={"max_tokens": 40}), tmp_path / "none")
    assert "seeds of replicates" not in {one.what for one in paired(old, tmp_path / "none").differs}
