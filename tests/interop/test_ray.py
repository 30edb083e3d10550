"""The Ray engine on real clusters of this machine, as the command line runs it. Ray is no part of what the suite needs: .ci/interop runs this."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.process import environment

from evalkit.store.records import Completion, read

pytest.importorskip("ray", reason="THE RAY ENGINE IS NOT TESTED HERE: ray is not installed; .ci/interop tests it in an environment of its own")
pytestmark = pytest.mark.slow

WAITS_S = 150


def experiment(folder: Path, url: str, replicates: int = 4, **endpoint: Any) -> Path:
    made = {
        "name": "spread",
        "endpoint": {"base_url": url, "model": "tiny", "concurrency": 16, **endpoint},
        "prompts": [{"id": f"p{number}", "user": f"What is the {number}th question?"} for number in range(25)],
        "parameters": {"temperature": [0.2, 0.7]},
        "request": {"seed": "per_replicate"},
        "replicates": replicates,
        "anchor": {"every": 0},
    }
    file = folder / "experiment.yaml"
    file.write_text(json.dumps(made))
    return file


def begun(*arguments: object, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "evalkit", *map(str, arguments)],
        env=environment(env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=WAITS_S)
    return process.returncode, out, err


def answer(asked: Asked) -> Answer:
    words = f"an answer to {asked.body['messages'][0]['content']} with seed {asked.body['seed']}, at {asked.body['temperature']}"
    return Answer(200, JSON, completion(words), delay_s=0.1)


def working(process: subprocess.Popen[str]) -> list[int]:
    """The ids of the workers that stand below a process."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                if b"_Actor" in (place / "cmdline").read_bytes() and os.getsid(int(place.name)) == process.pid:
                    found.append(int(place.name))
            except OSError:
                continue
    return found


def lines(folder: Path) -> int:
    file = folder / "responses.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def wait_for(folder: Path, count: int) -> None:
    until = time.monotonic() + WAITS_S
    while lines(folder) < count:
        assert time.monotonic() < until
        time.sleep(0.05)


def answers(folder: Path) -> Counter[str]:
    return Counter(one.key for one in read(folder) if isinstance(one.outcome, Completion))


def tables(folder: Path) -> list[Any]:
    return [duckdb.sql(f"SELECT * FROM '{folder}/{name}.parquet'").fetchall().__repr__() for name in ("scores", "responses")]  # noqa: S608


def test_a_worker_that_is_killed_loses_nothing_and_scores_are_the_same(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving(answer) as server:
        process = begun("sweep", experiment(tmp_path, server.url, 6), "-o", run, "--engine", "ray", "--workers", 2)
        wait_for(run, 60)
        os.kill(working(process)[0], signal.SIGKILL)
        status, out, err = ended(process)
    assert status == 0, err
    assert "is lost" in err
    assert "A worker died" not in out + err
    assert answers(run) == Counter(dict.fromkeys(answers(run), 1))
    assert len(answers(run)) == 300
    assert len(server.seen) - 300 <= 16 + 1
    assert {path.name for path in run.iterdir()} >= {"responses.jsonl", "scores.parquet"}
    assert not (run / "segments").exists()
    before = tables(run)
    (run / "scores.parquet").unlink()
    status, _, err = ended(begun("score", run, "--engine", "ray", "--workers", 2))
    assert status == 0, err
    assert tables(run) == before


def test_interrupted_it_waits_for_what_is_under_way_and_killed_it_leaves_a_run_to_go_on_with(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with serving(answer) as server:
        file = experiment(tmp_path, server.url, 12)
        command = ("sweep", file, "-o", run, "--engine", "ray", "--workers", 2)
        process = begun(*command)
        wait_for(run, 60)
        os.killpg(process.pid, signal.SIGINT)
        status, _, err = ended(process)
        assert (status, "run the same command again" in err) == (130, True), err
        stopped = answers(run)
        assert len(server.seen) == sum(stopped.values()) < 600
        process = begun(*command)
        wait_for(run, len(stopped) + 60)
        process.kill()
        ended(process)
        killed_at = time.monotonic()
        while working(process) and time.monotonic() < killed_at + 20:
            time.sleep(0.1)
        assert not working(process)
        status, _, err = ended(begun("sweep", file, "-o", run))
    assert status == 0, err
    assert len(answers(run)) == 600
    assert set(answers(run).values()) == {1}
    assert len(server.seen) - 600 <= 16 + 1
    assert not (run / "segments").exists()


@contextmanager
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()
        kept = []

        def take() -> None:
            server.settimeout(0.2)
            while not over.is_set():
                try:
                    kept.append(server.accept()[0])
                except TimeoutError:
                    continue

        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()
            for one in kept:
                one.close()


def test_an_address_that_nobody_answers_at_is_told_soon(tmp_path: Path) -> None:
    file = experiment(tmp_path, "http://127.0.0.1:9/v1")
    with silent() as port:
        for address, words in ((f"127.0.0.1:{port}", "no Ray cluster answers"), ("127.0.0.1:9", "nobody answers at"), ("here", "expected the host")):
            began = time.monotonic()
            status, _, err = ended(begun("sweep", file, "-o", tmp_path / "run", "--engine", "ray", "--address", address))
            assert status == 2
            assert words in err
            assert len(err.strip().splitlines()) == 1, err
            assert time.monotonic() - began < 20


def test_a_cluster_without_the_key_is_told_of_before_anything_is_sent(tmp_path: Path) -> None:
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = environment({"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"})
    options = ["--head", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", "--object-store-memory=100000000", "--block"]
    head = subprocess.Popen([*ray, "start", *options], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        time.sleep(5)
        with serving(answer) as server:
            file = experiment(tmp_path, server.url, api_key_env="SOME_KEY")
            command = ("sweep", file, "-o", tmp_path / "run", "--engine", "ray", "--workers", 2, "--address", f"127.0.0.1:{port}")
            status, _, err = ended(begun(*command, env={"SOME_KEY": "sk-here-alone"}))
        assert status == 2, err
        assert "asks for no authentication" in err
        assert "the environment variable SOME_KEY is not set" in err
        assert not server.seen
    finally:
        os.killpg(head.pid, signal.SIGKILL)
        head.wait(30)
