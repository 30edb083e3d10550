"""Answers that are put aside come back as they were, and what was put aside or cut twice changes no score."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.records import completion, experiment, record

from evalkit.errors import RecordError
from evalkit.plan.requests import Plan
from evalkit.scoring import answers, groups
from evalkit.scoring.answers import Answers, ScoredAnswer
from evalkit.scoring.scores import Scores, score

NUMBERS = st.floats(allow_nan=False) | st.just(1.0)
ANSWERS = st.builds(ScoredAnswer, st.text(st.characters()), NUMBERS, NUMBERS, st.dictionaries(st.sampled_from("abc"), NUMBERS))
PLACES = st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), ANSWERS, max_size=20)


@given(PLACES, st.integers(1, 40))
def test_every_answer_comes_back_whether_it_was_put_aside_or_not(wanted: dict[tuple[int, int, int], ScoredAnswer], held: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "_HELD", held)
        found = Answers()
        for (cell, prompt, replicate), answer in wanted.items():
            found.put((cell, prompt), replicate, answer)
    back = {(cell, prompt, replicate): answer for (cell, prompt), group in found.items() for replicate, answer in group.items()}
    assert back.keys() == wanted.keys()
    for where, answer in back.items():
        assert answer[:3] == wanted[where][:3]
        assert {name: value for name, value in answer.recorded.items() if not math.isnan(value)} == wanted[where].recorded
    assert all(list(group) == sorted(group) for group in found.values())
    assert found.completion_tokens.tolist() == [one.completion_tokens for one in wanted.values()]
    known = [one.recorded.get("a", math.nan) for one in wanted.values()]
    assert np.array_equal(found.recorded("a"), known, equal_nan=True)


def test_a_full_disk_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def close(self) -> None: ...

        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    monkeypatch.setattr(answers, "_HELD", 1)
    found = Answers()
    found.put((0, 0), 0, ScoredAnswer("text", 0, 1, {}))
    with pytest.raises(RecordError, match=r"cannot be put aside there: No space left on device; make room, or name another folder .* TMPDIR"):
        found.put((0, 0), 1, ScoredAnswer("text", 0, 1, {}))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_was_put_aside_and_cut_twice_changes_no_score(monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    plan = Plan(experiment({"temperature": [0.2, 1.0]}, prompts=["p", "q"], replicates=3))
    there = [record(one, completion(" ".join(f"word{(at * one.replicate) % 7} of" for at in range(20 + one.cell_index)))) for one in plan]

    def scored() -> Scores:
        return score(plan, there, jobs=jobs)

    before = scored()
    monkeypatch.setattr(answers, "_HELD", 10)
    monkeypatch.setattr(groups, "_KEPT", 0)
    after = scored()
    for name, one in before.by_metric.items():
        assert all(a is b is None or np.array_equal(a, b, equal_nan=True) for a, b in zip(one, after.by_metric[name], strict=True)), name
    assert [one.lengths.tolist() for one in before.lengths] == [one.lengths.tolist() for one in after.lengths]
