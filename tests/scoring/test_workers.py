"""Groups scored by several processes: the same values, whatever becomes of a process."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.comparing import run as made
from support.records import experiment, records

from evalkit.errors import ExperimentError
from evalkit.metrics.custom import Scorer
from evalkit.plan.requests import Plan
from evalkit.scoring import workers
from evalkit.scoring.scores import score
from evalkit.scoring.workers import check_jobs, spread
from evalkit.sweeping.rescoring import rescore


def text(request: object) -> str:
    rng = np.random.default_rng([request.cell_index, request.prompt_index, request.replicate])  # type: ignore[attr-defined]
    return " ".join(rng.choice(list("abcdefgh"), size=30))


@pytest.mark.parametrize("jobs", [2, 3, 40])
def test_no_value_depends_on_the_number_of_processes(jobs: int) -> None:
    def odd(texts: Sequence[str]) -> object:
        return {texts[0][0]: 1.0} if texts[0] < "d" else len(texts) / 0

    plan = Plan(experiment({"temperature": [0.2, 0.5, 1]}, prompts=["p", "q", "r"], replicates=3))
    alone, together = (score(plan, records(plan, text), scorers=[Scorer("odd", "texts", odd, None)], sizes=True, jobs=one) for one in (1, jobs))
    assert together.complaints == alone.complaints
    assert list(together.by_metric) == list(alone.by_metric)
    for name, one in alone.by_metric.items():
        for field, its, other in zip(one._fields, one, together.by_metric[name], strict=True):
            assert its is other is None or np.array_equal(its, other, equal_nan=True), (name, field)


def test_each_item_comes_once() -> None:
    assert sorted(spread(range(10), lambda one: (one, os.getpid() != parent), 3, str)) == [(one, (one, True)) for one in range(10)]
    assert list(spread([], lambda one: one, 3, str)) == []


parent = os.getpid()


def test_what_a_process_that_died_left_is_done_again(tmp_path: Path) -> None:
    def fragile(one: int) -> int:
        if one == 5 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return one * one

    assert sorted(spread(range(9), fragile, 2, str)) == [(one, one * one) for one in range(9)]


def test_what_makes_a_process_die_twice_is_named() -> None:
    def deadly(one: int) -> int:
        if one == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return one

    with pytest.raises(ExperimentError, match=r"scored group 4 died twice \(signal SIGKILL\), 3 groups left; if memory was short, give fewer jobs"):
        list(spread(range(9), deadly, 2, lambda one: f"group {one}"))


class OddError(Exception):
    def __init__(self, one: int, other: int) -> None:  # which pickle cannot make again
        super().__init__(f"{one} and {other}")


def test_what_the_work_raises_is_raised_here() -> None:
    def failing(one: int) -> int:
        if one == 3:
            raise OddError(one, 4)
        return {0: 1}[one % 2 - one % 2]

    with pytest.raises(RuntimeError, match="OddError: 3 and 4"):
        list(spread(range(9), failing, 2, str))
    with pytest.raises(KeyError, match="7"):
        list(spread(range(9), lambda one: {}[7] if one else one, 2, str))


@pytest.mark.parametrize("jobs", [0, -3, 257, 10**9])
def test_what_is_no_number_of_processes_is_refused(jobs: int, tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match=rf"^jobs: found {jobs}; expected a number of processes from 1 to 256$"):
        check_jobs(jobs)
    with pytest.raises(ExperimentError, match="expected a number of processes"):
        rescore(made(tmp_path / "run"), jobs=jobs)


def test_more_than_there_is_memory_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_memory", lambda: (300.0 * 2**20, 500.0 * 2**20))
    check_jobs(3)
    with pytest.raises(ExperimentError, match=re.escape("each of which comes to need 150 MB, do not fit into the 300 MB that are free; give 3")):
        check_jobs(4)
    monkeypatch.setattr(workers, "_memory", lambda: (None, 0.0))
    check_jobs(200)
