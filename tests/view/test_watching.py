"""A sweep seen from outside: what is added to its file is told once, whatever is in it, and a file begun anew is a new run."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from support.records import experiment, failure, record

from evalkit.plan.requests import Plan
from evalkit.store.folder import HOLDER_FILE, write_run
from evalkit.store.records import RESPONSES, Completion, RecordWriter, Usage, moment
from evalkit.view.runs import is_running
from evalkit.view.watching import Watching


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    prices = {"input": 1.0, "output": 2.0, "currency": "USD"}
    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "prices": prices}
    made = experiment({"temperature": [0, 1]}, prompts=("a", "b", "c"), replicates=2, endpoint=endpoint)
    write_run(tmp_path, made)
    return Plan(made)


def add(folder: Path, plan: Plan, begin: int, end: int, **changes: Any) -> None:
    usage = Usage(prompt_tokens=1_000_000, completion_tokens=500_000, total_tokens=1_500_000)
    with RecordWriter(folder) as writer:
        for number, request in enumerate(plan):
            if begin <= number < end:
                text = "one two three " * (1 + request.cell_index)
                answer = Completion(text=text, finish_reason="stop", usage=usage, latency_s=0.1, tries=1)
                writer.append(record(request, changes.get("outcome", answer), at=moment()))


def test_progress_failures_cost_and_answers_follow_the_file(tmp_path: Path, plan: Plan) -> None:
    watching = Watching(tmp_path)
    assert (watching.state()["done"], watching.state()["planned"]) == (0, 12)
    add(tmp_path, plan, 0, 4)
    add(tmp_path, plan, 4, 6, outcome=failure("timeout"))
    first = watching.state()
    assert first["done"] == 4
    assert first["failed"] == [["timeout", 2]]
    assert first["cost"][0].startswith("8.00")
    assert len(first["latest"]) == 4
    assert float(first["rate"]) > 0
    add(tmp_path, plan, 4, 12)
    whole = watching.state()
    assert (whole["done"], whole["failed"]) == (12, [])
    assert whole["latest"][0]["prompt"] in "abc"
    (levels,) = whole["metrics"]
    assert [one[:2] for one in levels["levels"]] == [["0", 3.0], ["1", 6.0]]
    assert [one[4] for one in levels["levels"]] == [6, 6]
    assert watching.state() == whole | {name: watching.state()[name] for name in ("rate", "left")}


def test_a_line_that_is_not_whole_waits_and_one_that_is_none_is_passed_over(tmp_path: Path, plan: Plan) -> None:
    add(tmp_path, plan, 0, 3)
    file = tmp_path / RESPONSES
    whole = file.read_bytes()
    file.write_bytes(b"{}\nnot json\n" + whole[:-20])
    watching = Watching(tmp_path)
    assert watching.state()["done"] == 2
    with file.open("ab") as more:
        more.write(whole[-20:])
    assert watching.state()["done"] == 3


def test_a_file_begun_anew_is_counted_anew(tmp_path: Path, plan: Plan) -> None:
    add(tmp_path, plan, 0, 8)
    watching = Watching(tmp_path)
    assert watching.state()["done"] == 8
    (tmp_path / RESPONSES).unlink()
    add(tmp_path, plan, 0, 2)
    assert watching.state()["done"] == 2


def test_who_writes_is_told_by_the_folder_and_its_lock_is_not_touched(tmp_path: Path, plan: Plan) -> None:  # noqa: ARG001 (makes the folder)
    assert not is_running(tmp_path)
    holder = tmp_path / HOLDER_FILE
    holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since 2026-01-31T12:00:00Z")
    assert is_running(tmp_path)
    holder.write_text(f"process {2**22 + 1} on {socket.gethostname()} since 2026-01-31T12:00:00Z")
    assert not is_running(tmp_path)
    holder.write_text("somebody")
    assert not is_running(tmp_path)
