"""What a person is shown next: evenly, sides at random, soon connected, never the same twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.records import experiment, records

from evalkit.plan.requests import Plan
from evalkit.store.folder import write_run
from evalkit.store.ratings import Rating
from evalkit.store.records import RecordWriter
from evalkit.view.desk import Desk
from evalkit.view.opened import Opened

PROMPTS = tuple("abcdef")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    made = experiment({"temperature": [0, 0.3, 0.6, 0.9, 1.2]}, prompts=PROMPTS, replicates=3)
    write_run(tmp_path, made)
    with RecordWriter(tmp_path) as writer:
        for one in records(Plan(made), lambda request: f"{request.cell_index} {request.prompt_id} {request.replicate}"):
            writer.append(one)
    found = Desk(Opened(tmp_path))
    found.refresh()
    return found


def rate(desk: Desk, count: int, rater: str = "ann") -> list[tuple[str, str]]:
    out = []
    for _ in range(count):
        drawn = desk.pair(rater)
        assert drawn is not None
        _, what = drawn
        assert what.right is not None
        desk.take(Rating(at="x", rater=rater, prompt_id=what.prompt_id, left=what.left, right=what.right, verdict="left"))
        out.append((what.left, what.right))
    return out


def test_settings_hang_together_after_as_few_comparisons_as_can_be(desk: Desk) -> None:
    assert desk.connected() == (1, 5)
    rate(desk, 4)
    assert desk.connected() == (5, 5)


def test_prompts_and_settings_are_rated_evenly_and_both_sides_alike(desk: Desk) -> None:
    pairs = rate(desk, 60)
    on = Counter(one.prompt_id for one in desk.rated)
    assert set(on.values()) == {10}
    games = Counter(frozenset(desk.answers[key].cell for key in pair) for pair in pairs)
    assert set(games.values()) <= {5, 6, 7}
    lower = sum(desk.answers[left].cell < desk.answers[right].cell for left, right in pairs)
    assert 12 <= lower <= 48
    assert len({frozenset(pair) for pair in pairs}) == 60


def test_what_is_shown_tells_nothing_of_settings(desk: Desk) -> None:
    drawn = desk.pair("ann")
    assert drawn is not None
    name, what = drawn
    shown = desk.shown(what)
    assert set(shown) == {"prompt", "texts"}
    assert desk.dealt[name] == what
    assert what.left not in str(shown)


def test_when_all_is_rated_nothing_is_left(tmp_path: Path) -> None:
    made = experiment({"temperature": [0, 1]}, prompts=("a",), replicates=1)
    write_run(tmp_path, made)
    with RecordWriter(tmp_path) as writer:
        for one in records(Plan(made), lambda request: f"answer {request.cell_index}"):
            writer.append(one)
    desk = Desk(Opened(tmp_path))
    desk.refresh()
    rate(desk, 1)
    assert desk.pair("ann") is None
    assert desk.pair("bob") is not None


def test_answers_that_are_alike_are_not_compared(tmp_path: Path) -> None:
    made = experiment({"temperature": [0, 1]}, prompts=("a",), replicates=2)
    write_run(tmp_path, made)
    with RecordWriter(tmp_path) as writer:
        for one in records(Plan(made), lambda _: "the same"):
            writer.append(one)
    desk = Desk(Opened(tmp_path))
    desk.refresh()
    assert desk.pair("ann") is None


def test_single_answers_are_rated_on_a_judges_scale_each_once(tmp_path: Path) -> None:
    judge = {"name": "kind", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "j"}, "rubric": "How kind?", "scale": {"min": 1, "max": 5}}
    made = experiment({"temperature": [0, 1]}, prompts=("a", "b"), replicates=1, judges=[judge])
    write_run(tmp_path, made)
    with RecordWriter(tmp_path) as writer:
        for one in records(Plan(made), lambda request: f"answer {request.cell_index} {request.prompt_id}"):
            writer.append(one)
    desk = Desk(Opened(tmp_path))
    desk.refresh()
    (kind,) = made.judges
    for number in range(4):
        drawn = desk.single("ann", kind)
        assert drawn is not None
        _, what = drawn
        assert (what.right, what.judge, len(desk.shown(what)["texts"])) == (None, "kind", 1)
        desk.take(Rating(at="x", rater="ann", prompt_id=what.prompt_id, left=what.left, judge="kind", score=1 + number))
    assert desk.single("ann", kind) is None
    assert desk.count("ann", "kind") == 4
    assert desk.connected() == (1, 2)
