"""Code of answers in a results folder: what is run, once and by whoever asks for it alone, and what becomes of it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import JSON, Asked, completion, serving
from support.process import environment
from support.processes import below
from support.sweeps import sweep
from support.tables import values

from evalkit.comparison.comparison import compare
from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.run import load
from evalkit.sandbox.finding import NoSandboxError, sandbox
from evalkit.store.executions import FILE
from evalkit.store.merge import merge_runs
from evalkit.sweeping import reports, rescoring

PROMPTS = [
    {"id": "double", "user": "double", "tests": ["assert double(2) == 4", "assert double('ab') == 'abab'"]},
    {"id": "add", "user": "add", "tests": "assert add(1, 2) == 3"},
    {"id": "talk", "user": "talk"},
]
ANSWERS = {
    "double": "Sure:\n```python\ndef double(x):\n    return x * 2\n```",
    "add": "```python\nimport sys\nsys.exit(0)\n```",
    "talk": "No code at all.",
}
RIGHT = [0, 1, None, 1, 1, None]
"""By setting and prompt, the prompts by their names; one has no tests."""


def experiment(url: str, **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "coded",
        "endpoint": {"base_url": url, "model": "tiny", "concurrency": 4},
        "prompts": PROMPTS,
        "parameters": {"temperature": [0.5, 1]},
        "replicates": 2,
        "checks": [{"runs": {"seconds": 5}}],
        "choose": {"require": {"runs": {"min": 0.1, "by": "mean"}}, "prefer": {"runs": {"goal": "maximize"}}},
    }
    return check(data | changes)


def answer(asked: Asked) -> Any:
    """At the higher temperature a model adds in words."""
    what = asked.body["messages"][-1]["content"]
    right = "```py\ndef add(a, b):\n    return a + b\n```"
    return 200, JSON, completion(right if what == "add" and asked.body["temperature"] == 1 else ANSWERS[what])


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Experiment]]:
    """A run whose code nobody asked to run yet, and its experiment."""
    folder = tmp_path_factory.mktemp("coded") / "run"
    with serving(answer) as server:
        given = experiment(server.url)
        found = sweep(given, folder)
        assert found is not None
        (told,) = {one.text for one in found.notes if "not run" in one.text}
        assert told.startswith("runs: 8 of 8 answers were not run, and left out of it;")
        assert told.endswith(f"evalkit score {folder} --run-code")
        assert not (folder / FILE).exists()
        yield folder, given


@pytest.fixture
def works() -> None:
    try:
        sandbox().end()
    except NoSandboxError as fault:
        pytest.skip(f"NO CODE IS RUN IN THESE TESTS: {fault}")


@pytest.fixture
def folder(asked: tuple[Path, Experiment], tmp_path: Path) -> Path:
    shutil.copytree(asked[0], tmp_path / "run")
    return tmp_path / "run"


def scored(folder: Path) -> list[float | None]:
    return values(folder, "runs")


def test_nothing_runs_code_unless_it_is_asked_to(folder: Path) -> None:
    assert scored(folder) == [None] * 6
    rescoring.rescore(folder)
    load(folder).summary()
    reports.report(load(folder))
    compared = compare(folder, folder, cells=["temperature=0.5", "temperature=1"], metrics=["length_words", "runs"])
    assert compared.not_compared["runs"] == "no prompt has a value on both sides"
    assert not (folder / FILE).exists()
    assert "not run" in (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("works")
def test_what_is_run_once_is_recorded_scored_decided_on_and_not_run_again(folder: Path) -> None:
    found = rescoring.rescore(folder, run_code=True)
    kept = lines(folder)
    assert [(one["prompt_id"], one["passed"]) for one in sorted(kept, key=lambda one: (one["prompt_id"], one["passed"]))] == [
        ("add", False),
        ("add", True),
        ("double", True),
    ]  # of eight answers with tests: the same code once
    assert {one["why"] for one in kept} == {"", "the answer raises SystemExit: 0"}
    assert not [one for one in found.notes if "not run" in one.text]
    assert scored(folder) == RIGHT
    assert found.choice is not None
    assert found.choice.chosen is not None
    assert dict(found.choice.parameters)["temperature"] == 1
    before = (folder / FILE).read_bytes()
    again = rescoring.rescore(folder)
    assert scored(folder) == RIGHT
    assert rescoring.rescore(folder, run_code=True).choice == again.choice
    assert (folder / FILE).read_bytes() == before
    compared = compare(folder, folder, cells=["temperature=0.5", "temperature=1"], metrics=["runs"])
    assert [(one.metric, one.difference) for one in compared.metrics] == [("runs", 0.5)]


@pytest.mark.usefixtures("works")
def test_a_sweep_runs_code_where_it_is_told_to_and_says_what_in(asked: tuple[Path, Experiment], folder: Path) -> None:
    found = sweep(asked[1], folder, run_code=True)
    assert found is not None
    assert len(lines(folder)) == 3
    assert any("3 codes to run, in a sandbox (" in one.text for one in found.notes)
    assert scored(folder) == RIGHT


@pytest.mark.usefixtures("works")
def test_changed_tests_are_run_and_the_old_ones_are_kept(asked: tuple[Path, Experiment], folder: Path) -> None:
    rescoring.rescore(folder, run_code=True)
    prompts = [PROMPTS[0], {**PROMPTS[1], "tests": "assert add(1, 2) == 4"}, PROMPTS[2]]
    changed = experiment(asked[1].endpoint.base_url, prompts=prompts)
    found = sweep(changed, folder)
    assert found is not None
    assert any(one.text.startswith("runs: 4 of 8 answers were not run") for one in found.notes)
    sweep(changed, folder, run_code=True)
    assert len(lines(folder)) == 5
    assert scored(folder) == [0, 1, None, 0, 1, None]


@pytest.mark.usefixtures("works")
def test_runs_that_are_merged_bring_what_was_run(folder: Path, tmp_path: Path) -> None:
    rescoring.rescore(folder, run_code=True)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    merge_runs([folder, other], tmp_path / "both")
    assert len(lines(tmp_path / "both")) == 3
    rescoring.rescore(tmp_path / "both")
    assert scored(tmp_path / "both") == RIGHT


def test_what_cannot_be_run_is_refused_before_anything_is(asked: tuple[Path, Experiment], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExperimentError, match="add runs under checks"):
        rescoring.rescore(folder, metrics=["length_words"], run_code=True)
    raced = asked[1].model_copy(update={"parameters": {"temperature": (0.5, 0.6, 0.7, 0.8, 0.9, 1)}})
    with pytest.raises(ExperimentError, match="decided by runs, for which code must be run; add run_code"):
        sweep(raced, folder.parent / "raced", race_budget="0.95")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ExperimentError, match="run_code: code in answers is run on Linux alone"):
        rescoring.rescore(folder, run_code=True)
    assert not (folder / FILE).exists()


REFUSED = """
import ctypes, sys
from evalkit.cli import main
from evalkit.sandbox.within import calls

ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
calls.refuse()  # namespaces and mounts among them, to this process and all below it
sys.argv = ["evalkit", "score", "run", "--run-code"]
main()
"""


@pytest.mark.usefixtures("works")
def test_where_no_sandbox_can_be_had_nothing_is_run(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED], cwd=folder.parent, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --run-code: no sandbox works on this machine, and without one no code is run (namespaces of Linux: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / FILE).exists()


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose answers do not end."""

    def answer(asked: Asked) -> Any:
        return 200, JSON, completion(f"```python\n# {asked.number}\nimport os\nos.fork()\nwhile True:\n    pass\n```")

    folder = tmp_path_factory.mktemp("endless")
    with serving(answer) as server:
        sweep(experiment(server.url, checks=[{"runs": {"seconds": 60}}]), folder / "run")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("works")
def test_all_that_runs_ends_with_evalkit(endless: Path, number: signal.Signals) -> None:
    """Interrupted, or killed so that it can do nothing about it."""
    command = [sys.executable, "-m", "evalkit", "score", "run", "--run-code"]
    process = subprocess.Popen(command, cwd=endless, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while len(running := below(process.pid)) < 5 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=20)
    assert len(running) >= 5
    assert process.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL), said
    while [one for one in running if Path(f"/proc/{one}").exists()] and time.monotonic() < until:
        time.sleep(0.05)
    assert not [one for one in running if Path(f"/proc/{one}").exists()]
