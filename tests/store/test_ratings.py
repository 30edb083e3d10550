"""Ratings on disk: added to and never changed, mended where a line was torn, the last one of a person counting."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import RecordError
from evalkit.store import ratings
from evalkit.store.ratings import FILE, Rating


def rating(**changes: Any) -> Rating:
    usual = {"at": "2026-01-31T12:00:00.500Z", "rater": "ann", "prompt_id": "p", "left": "aa", "right": "bb", "verdict": "left"}
    return Rating(**usual | changes)


def test_what_was_rated_comes_back_in_order(tmp_path: Path) -> None:
    every = [rating(), rating(right="cc", verdict="tie"), rating(right=None, verdict=None, judge="kind", score=4)]
    for one in every:
        assert ratings.append(tmp_path, one) is None
    assert ratings.load(tmp_path) == every
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_the_last_rating_of_a_person_counts_whichever_side_it_stood_on(tmp_path: Path) -> None:
    for one in (rating(), rating(rater="bob"), rating(left="bb", right="aa", verdict="tie")):
        ratings.append(tmp_path, one)
    assert [(one.rater, one.verdict) for one in ratings.load(tmp_path)] == [("ann", "tie"), ("bob", "left")]
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 3


def test_a_torn_end_is_passed_over_by_readers_and_mended_by_the_next_rating(tmp_path: Path) -> None:
    ratings.append(tmp_path, rating())
    file = tmp_path / FILE
    file.write_bytes(file.read_bytes() + b'{"v":1,"at":"20')
    assert len(ratings.load(tmp_path)) == 1
    told = ratings.append(tmp_path, rating(rater="bob"))
    assert told is not None
    assert "torn (15 bytes without an end); it is cut off and that rating has to be made again" in told
    assert [one.rater for one in ratings.load(tmp_path)] == ["ann", "bob"]


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"v":9,"at":"x","rater":"ann","prompt_id":"p","left":"aa"}\n')
    with pytest.raises(RecordError, match="written by a newer evalkit"):
        ratings.load(tmp_path)


def test_ratings_of_several_runs_are_joined_in_the_order_they_were_made(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two", "none", "joined")]
    for folder in folders:
        folder.mkdir()
    late, early = rating(at="2026-02-01T12:00:00.500Z", verdict="tie"), rating()
    for folder, one in ((folders[0], late), (folders[1], early), (folders[1], late)):
        ratings.append(folder, one)
    assert ratings.join(folders[:3], folders[3]) == 2
    assert (folders[3] / FILE).read_bytes().count(b"\n") == 2
    assert ratings.load(folders[3]) == [late]
    assert ratings.join(folders[2:3], folders[2]) == 0
    assert not (folders[2] / FILE).exists()


def _many(folder: Path, rater: str) -> None:
    for number in range(20):
        ratings.append(folder, rating(rater=rater, left=f"{number:02x}"))


def test_several_viewers_write_side_by_side(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(partial(_many, tmp_path), ("ann", "bob")))
    assert len(ratings.load(tmp_path)) == 40
