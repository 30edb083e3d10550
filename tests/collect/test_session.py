"""One sweep's sending: the look before it is as polite as the sweep, and a signal is heeded once, and twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.process import environment
from support.sweeps import sweep

from evalkit.collect.allowance import Budget
from evalkit.errors import EndpointError, ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.sweeping.hooks import Pending

FINE = Answer(200, JSON, completion("fine"))


def experiment(url: str, **changes: object) -> Experiment:
    data = {
        "name": "small",
        "endpoint": {"base_url": url, "model": "m", "concurrency": 4},
        "prompts": [{"id": "a", "user": "Say it."}],
        "parameters": {"temperature": [0.2, 0.8]},
        "replicates": 10,
    }
    return check(data | changes)


@pytest.mark.parametrize("look", [True, False], ids=["a look", "no look"])
def test_a_404_asks_whether_v1_was_forgotten_where_nothing_answers_there_either(tmp_path: Path, look: bool) -> None:
    nowhere = Answer(404, JSON, b'{"detail": "Not Found"}')
    with serving(lambda _: nowhere) as server, pytest.raises(EndpointError, match=r"\(HTTP 404\): Not Found.* Did you forget /v1 at the end\?$"):
        sweep(experiment(server.url.removesuffix("/v1"), request={"max_tokens": 20}), tmp_path / "run", look=look)


@pytest.mark.parametrize("look", [True, False], ids=["a look", "no look"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (Answer(404, JSON, b'{"detail": "Not Found"}'), "the endpoint knows no such model or address (HTTP 404): Not Found. "),
        (Answer(405, {"Content-Type": "text/html"}, b"<h1>Not Allowed</h1>"), "the endpoint knows no such model or address (HTTP 405): "),
        (Answer(200, JSON, b'{"error": "Unexpected endpoint or method."}'), "endpoint.base_url leads to no chat API: Unexpected endpoint"),
        (Answer(200, {"Content-Type": "text/plain"}, b"Ollama is running"), "endpoint.base_url leads to no chat API: not a chat completion: Oll"),
    ],
    ids=["404", "405", "an error in a 200", "a word"],
)
def test_an_address_without_its_v1_is_told_with_the_one_that_answers(tmp_path: Path, wrong: Answer, told: str, look: bool) -> None:
    with serving(lambda asked: FINE if asked.path.startswith("/v1/") else wrong) as server, pytest.raises(EndpointError) as ended:
        sweep(experiment(server.url.removesuffix("/v1"), request={"max_tokens": 20}), tmp_path / "run", look=look)
    assert str(ended.value).startswith(told)
    assert str(ended.value).endswith(f"A chat API answers at {server.url}: set endpoint.base_url to it")
    assert len(server.seen) <= 13
    assert not (tmp_path / "run/responses.jsonl").exists() or not (tmp_path / "run/responses.jsonl").read_bytes()


def too_many(wait: str) -> Answer:
    return Answer(429, JSON | {"Retry-After": wait}, b'{"error": {"message": "one too many"}}')


def test_a_wait_that_the_endpoint_asks_for_holds_back_the_look_and_the_sweep_after_it(tmp_path: Path) -> None:
    """A level whose look is refused thrice counts as taken; the sweep still keeps the last wait."""
    refused: list[float] = []

    def answer(asked: Asked) -> Answer:
        if asked.body.get("temperature") == 0.8 and len(refused) < 3:
            refused.append(asked.at)
            return too_many("1")
        return FINE

    with serving(answer) as server:
        result = sweep(experiment(server.url, request={"max_tokens": 20}), tmp_path / "run")
        starts = [asked.at for asked in server.seen]
    assert result is not None
    assert result.complete
    assert len(refused) == 3
    under_way_s = 0.1
    assert not [start for start in starts for at in refused if at + under_way_s < start < at + 1]


def test_a_look_that_is_to_wait_for_longer_than_patience_ends_with_the_words_of_the_endpoint(tmp_path: Path) -> None:
    with serving(lambda _: too_many("3600")) as server:
        with pytest.raises(EndpointError, match="asks to wait 3600 s, longer than patience_s, 60 s: one too many"):
            sweep(experiment(server.url), tmp_path / "run", patience_s=60)
        assert len(server.seen) == 1


def test_a_look_waits_no_longer_than_there_is_time(tmp_path: Path) -> None:
    with serving(lambda _: too_many("3600")) as server:
        with pytest.raises(ExperimentError, match=r"budget\.seconds is used up, by the wait that the endpoint asks for"):
            sweep(experiment(server.url), tmp_path / "run", patience_s=7200, budget=Budget(seconds=1000))
        assert len(server.seen) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: int) -> None:
    """Of calls that never end."""
    (tmp_path / "x.json").write_text(json.dumps(experiment("http://127.0.0.1:9/v1").resolved()))
    stalled = threading.Event()

    def answer(asked: Asked) -> Answer:
        if asked.number < 3:
            return FINE
        stalled.set()
        return Answer(fault="stall")

    with serving(answer) as server:
        command = [sys.executable, "-m", "evalkit", "sweep", "x.json", "--set", f"endpoint.base_url={server.url}"]
        child = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        assert stalled.wait(60)
        os.kill(child.pid, number)
        assert child.stderr.readline().startswith("interrupted: waiting for the answers under way (")
        os.kill(child.pid, number)
        said = child.communicate(timeout=30)[1]
    assert child.returncode == 130
    assert said == "interrupted: what arrived is kept in results/small; run the same command again to go on\n"
    assert len((tmp_path / "results/small/responses.jsonl").read_text().splitlines()) == 3


def test_progress_is_told_while_nothing_arrives(tmp_path: Path) -> None:
    """A fault of whoever shows it ends the run, with what had arrived recorded."""
    told: list[int] = []

    def answer(asked: Asked) -> Answer:
        return FINE if asked.number < 3 else Answer(fault="stall")

    class EnoughError(Exception):
        pass

    def progress(tally: object) -> None:
        told.append(tally.done)
        if told.count(3) == 3:  # as it arrived, and twice since
            raise EnoughError

    with serving(answer) as server:
        one = experiment(server.url)
        with pytest.raises(EnoughError):
            sweep(one, tmp_path / "run", progress=progress)
    assert told == sorted(told)
    assert len((tmp_path / "run/responses.jsonl").read_text().splitlines()) >= 3


def test_asked_first_it_sends_nothing_where_the_answer_is_no(tmp_path: Path) -> None:
    seen: list[Pending] = []

    def no(pending: Pending) -> bool:
        seen.append(pending)
        return False

    with serving(lambda _: FINE) as server:
        assert sweep(experiment(server.url), tmp_path / "run", confirm=no) is None
        assert not server.seen
    assert (seen[0].requests, seen[0].planned, seen[0].local) == (20, 20, False)
