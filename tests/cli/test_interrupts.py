"""An interrupt ends in one word and its status, wherever it comes, and what is told of time meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.process import environment

from evalkit import cli
from evalkit.cli import _interrupted, terminal
from evalkit.cli.terminal import Report
from evalkit.collect.tally import Tally
from evalkit.store.records import Completion


class InterruptException(Exception):  # noqa: N818 (as duckdb names it)
    """Stands for duckdb's."""


def test_an_interrupt_is_known_under_whatever_a_library_makes_of_it() -> None:
    outer = ValueError("in a callback")
    outer.__cause__ = KeyboardInterrupt()
    assert _interrupted(outer)
    assert _interrupted(InterruptException("INTERRUPT Error: Interrupted!"))
    assert _interrupted(RuntimeError("Query interrupted"))
    assert not _interrupted(RuntimeError("anything else"))


@pytest.mark.parametrize("fault", [InterruptException("Interrupted!"), RuntimeError("Query interrupted")])
def test_the_command_line_says_interrupted_and_ends_with_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Exception
) -> None:
    def app(**_: object) -> int:
        raise fault

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    ("command", "number"), [(["report", "run"], signal.SIGINT), (["compare", "run", "run"], signal.SIGTERM)], ids=["report", "compare"]
)
def test_a_command_that_is_interrupted_says_so_in_one_line(tmp_path: Path, command: list[str], number: signal.Signals) -> None:
    """Its run is a pipe that nothing comes out of, so that it is at work when the signal comes."""
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run/run.json")
    arguments = [sys.executable, "-m", "evalkit", *command]  # with -W error, a file just being opened would be complained of
    with subprocess.Popen(arguments, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        writer = (tmp_path / "run/run.json").open("wb")  # waits until it reads
        child.send_signal(number)
        out, err = child.communicate(timeout=60)
        writer.close()
    assert (child.returncode, out, err) == (130, "", "interrupted\n")


def test_the_time_that_is_left_is_told_only_once_it_means_something(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 1000.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    report, tally = Report(quiet=False), Tally(100)
    tally.completed = 2
    now += 12.0
    report(tally)
    assert "left" not in capsys.readouterr().err, "two answers tell nothing"
    tally.completed = 50
    now += 12.0
    report(tally)
    assert "24 s left" in capsys.readouterr().err


def test_the_time_of_sending_ends_with_the_last_outcome() -> None:
    tally = Tally(2)
    assert tally.took_s == 0
    tally.began = time.monotonic() - 5
    tally.add(Completion(text="x", finish_reason="stop", usage=None, latency_s=0.1, tries=1))
    took_s = tally.took_s
    assert took_s == pytest.approx(5, abs=1)
    time.sleep(0.01)
    assert tally.took_s == took_s
