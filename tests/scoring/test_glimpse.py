"""What is seen of a sweep while it runs."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from support.records import completion, experiment, failure, record, records

from evalkit.plan.requests import Plan
from evalkit.present.terminal.glimpse import glimpsed
from evalkit.scoring.glimpse import Glimpse

TWO = {"temperature": [0.2, 1.0], "top_p": ["default", 0.5]}


def test_each_level_of_the_first_parameter_has_the_mean_of_its_prompts() -> None:
    its = experiment(TWO, prompts=["p", "q", "r"])
    one = Glimpse(its)
    for got in records(Plan(its), lambda request: "w " * (10 * (request.cell["temperature"] == 1.0) + 2 * request.prompt_index + 1)):
        one.take(got)
    assert (one.parameter, one.metric.name) == ("temperature", "length_words")
    cold, hot = one.seen()
    assert (cold.level, cold.mean, cold.answers) == ("0.2", 3, 3 * 2 * 2)
    assert (hot.level, hot.mean) == ("1", 13)
    # Student's t with two degrees of freedom, 4.303 at 97.5 %; the prompts' means are 1, 3 and 5.
    assert cold.high == pytest.approx(3 + 4.302652730 * 2 / 3**0.5)
    assert cold.low == 0  # no answer has fewer words


def test_what_is_wished_for_an_answer_by_itself_is_shown() -> None:
    its = experiment(TWO, choose={"profile": "balanced"})
    one = Glimpse(its)
    for request in Plan(its):
        one.take(record(request, completion("so so", "length" if request.cell["temperature"] == 1.0 else "stop")))
    assert one.metric.name == "truncation_rate"
    console = Console(file=io.StringIO(), width=80)
    assert str(glimpsed(one, console)) == "answers cut off so far, by temperature  0.2: 0 %, 1: 100 %"


def test_what_is_no_answer_of_the_sweep_is_not_seen() -> None:
    its = experiment(TWO)
    one = Glimpse(its)
    for request in Plan(its):
        one.take(record(request, failure()))
        one.take(record(request, completion("fresh"), role="confirm"))
        one.take(record(request, completion("elsewhere"), cell={"temperature": 0.4}))
    assert one.seen() == []
    assert glimpsed(one, Console(file=io.StringIO())) is None
    nothing_swept = Glimpse(experiment({"temperature": [1]}))
    nothing_swept.take(record(next(iter(Plan(experiment({"temperature": [1]})))), completion("a")))
    assert nothing_swept.seen() == []


@pytest.mark.slow
def test_a_terminal_shows_it_below_the_bar(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(
        "name: watched\nendpoint: {base_url: local, model: babbler}\nprompts: [{id: p, user: Tell}, {id: q, user: More}]\n"
        "parameters: {temperature: [0.2, 1.0]}\nrequest: {max_tokens: 60}\nreplicates: 40\n"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit", "sweep", "e.yaml"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            got = os.read(ours, 65536)
        except OSError:  # the terminal of a process that has ended
            break
        if not got:
            break
        shown += got
    os.close(ours)
    assert process.wait() == 0
    assert re.search(r"words an answer so far, by temperature +0.2: \d", shown.decode())
