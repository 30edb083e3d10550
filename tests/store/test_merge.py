"""Runs made into one: nothing is lost, no order of them matters, a second time changes nothing; and what does not fit is refused."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import completion, experiment, failure, record

from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard
from evalkit.store import blocks, embeddings
from evalkit.store.embeddings import Embedding, Embeddings, key_of, packed
from evalkit.store.folder import is_merged, locked, make, read_experiment, read_run, write_run
from evalkit.store.journal import Journal
from evalkit.store.judgements import FILE, FORM, Judgement, load
from evalkit.store.merge import CONFLICTS, Merged, merge_runs
from evalkit.store.race import RACE
from evalkit.store.records import RESPONSES, Completion, Record, RecordWriter, latest, read

MADE = experiment({"temperature": [0.5]}, ("p",), 6)
REQUESTS = list(Plan(MADE))
Said = tuple[int, str | None, int]
"""Of a record the number of its request, its text (None of a failure), and when it came."""


def run(folder: Path, made: Experiment, records: Sequence[Record] = (), torn: bytes = b"", **said: Any) -> Path:
    make(folder)
    with RecordWriter(folder) as writer:
        for one in records:
            writer.append(one)
    write_run(folder, made, **said)
    with (folder / RESPONSES).open("ab") as file:
        file.write(torn)
    return folder


def made_of(said: Sequence[Said]) -> list[Record]:
    return [record(REQUESTS[number], failure() if text is None else completion(text), at=f"2026-01-31T12:00:0{at}.000Z") for number, text, at in said]


def joined(folder: Path, *folders: Path) -> Path:
    merge_runs(folders, folder)
    return folder


def lines(folder: Path, name: str = RESPONSES) -> set[bytes]:
    path = folder / name
    found = [line for line in path.read_bytes().splitlines() if line.strip()] if path.exists() else []
    assert len(found) == len(set(found))
    return set(found)


one_record = st.tuples(st.integers(0, 5), st.none() | st.sampled_from("abc"), st.integers(0, 3))
runs = st.lists(st.tuples(st.lists(one_record, max_size=6), st.sampled_from([b"", b'{"v":1,"key":"0', b'{"v":1}', b"\n"])), min_size=1, max_size=3)


@settings(max_examples=25)
@given(runs, st.randoms(use_true_random=False))
def test_merging_is_a_union(given_runs: list[tuple[list[Said], bytes]], rng: Any) -> None:
    with tempfile.TemporaryDirectory() as place:
        at = Path(place)
        every = [made_of(said) for said, _ in given_runs]
        folders = [run(at / f"r{number}", MADE, records, torn) for number, (records, (_, torn)) in enumerate(zip(every, given_runs, strict=True))]
        before = [(folder / RESPONSES).read_bytes() for folder in folders]
        whole = joined(at / "whole", *folders)
        assert [(folder / RESPONSES).read_bytes() for folder in folders] == before
        kept = list(read(whole))

        # Nothing is lost: a failure is there, an answer is there or beside the one that counts.
        texts = {(one.key, one.outcome.text) for one in kept if isinstance(one.outcome, Completion)}
        beside = {(one["key"], one[which]["outcome"]["text"]) for one in map(json.loads, lines(whole, CONFLICTS)) for which in ("kept", "other")}
        for one in (one for records in every for one in records):
            if isinstance(one.outcome, Completion):
                assert (one.key, one.outcome.text) in texts | beside
            else:
                assert one in kept

        # One answer a request, the earliest of those that counted.
        answered = [one.key for one in kept if isinstance(one.outcome, Completion)]
        assert len(answered) == len(set(answered))
        wanted = {request.key for request in REQUESTS}
        firsts = [latest(records, wanted) for records in every]
        for key, one in latest(kept, wanted).items():
            counted = [first[key] for first in firsts if key in first and isinstance(first[key].outcome, Completion)]
            assert isinstance(one.outcome, Completion) == bool(counted)
            if counted:
                assert one.at == min(other.at for other in counted)
            else:
                assert one.at == max(first[key].at for first in firsts if key in first) or any(
                    other.at > one.at for records in every for other in records
                )

        # No order matters, and a second time changes nothing.
        shuffled = folders.copy()
        rng.shuffle(shuffled)
        other = joined(at / "other", *shuffled)
        assert (lines(other), lines(other, CONFLICTS)) == (lines(whole), lines(whole, CONFLICTS))
        again = joined(at / "again", whole, *shuffled[:1])
        assert lines(again) == lines(whole)
        assert lines(joined(at / "alone", whole)) == lines(whole)


def test_a_block_ends_where_it_may_and_no_line_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 64)
    records = made_of([(number % 6, None if number % 3 else "ab" * number, number % 10) for number in range(40)])
    folder = run(tmp_path / "one", MADE, records)
    (folder / RESPONSES).write_bytes((folder / RESPONSES).read_bytes().replace(b"\n", b"\n\r\n \n", 5))
    found = joined(tmp_path / "whole", folder, run(tmp_path / "two", MADE, records[:7]))
    assert lines(found) == {msgspec.json.encode(one) for one in records} - {
        msgspec.json.encode(one) for one in records if isinstance(one.outcome, Completion) and one not in latest(records, {one.key}).values()
    }


def test_keys_are_found_however_a_line_is_written() -> None:
    usual, blank, spaced, other = (
        b'{"v":1,"key":"' + b"0a" * 16 + b'","x":1}',
        b"  ",
        b'{"key": "' + b"0a" * 16 + b'", "v": 1}',
        b'{"v":1,"key":"name"}',
    )
    starts, ends, numbers = blocks.keys_of(b"\n".join([usual, blank, spaced, other, b"nothing", usual.replace(b"0", b"1"), b""]))
    assert numbers[0] == numbers[1] == 0x0A0A0A0A0A0A0A0A
    assert len(set(numbers.tolist())) == 4
    assert len(starts) == len(ends) == 5
    assert blocks.many([numbers]).tolist() == [0x0A0A0A0A0A0A0A0A]


def test_levels_prompts_and_replicates_of_all_are_planned(tmp_path: Path) -> None:
    one = experiment({"temperature": [0.5, 1]}, ("p", "q"), 2)
    two = experiment({"temperature": [0, 0.5]}, ("q", "r"), 3, choose={"profile": "balanced"})
    folders = [run(tmp_path / "one", one), run(tmp_path / "two", two)]
    told: list[str] = []
    found = merge_runs(folders, tmp_path / "whole", lambda note: told.append(note.text))
    assert found.experiment == read_experiment(tmp_path / "whole")
    assert found.experiment.parameters == {"temperature": (0, 0.5, 1)}
    assert [prompt.id for prompt in found.experiment.prompts] == ["p", "q", "r"]
    assert found.experiment.replicates == 3
    keys = {request.key for request in Plan(found.experiment)}
    assert keys >= {request.key for made in (one, two) for request in Plan(made)}
    assert any("choose" in one and "which count" in one for one in told)
    assert set((read_run(tmp_path / "whole") or {})["prompts"]) == {"p", "q", "r"}


def test_named_settings_of_all_are_planned(tmp_path: Path) -> None:
    cells = [{"warm": {"temperature": 1}, "cold": {"temperature": 0}}, {"cold": {"temperature": 0}, "cut": {"temperature": 0, "top_p": 0.5}}]
    folders = [run(tmp_path / str(at), experiment(None, cells=cell, design="list", **more)) for at, (cell, more) in enumerate([(cells[0], {})] * 1)]
    with pytest.raises(ExperimentError, match="the parameters are"):
        merge_runs([*folders, run(tmp_path / "other", experiment(None, cells=cells[1], design="list"))], tmp_path / "whole")
    third = run(tmp_path / "third", experiment(None, cells={"cold": {"temperature": 0}, "mild": {"temperature": 0.5}}, design="list"))
    assert list(merge_runs([*folders, third], tmp_path / "whole").experiment.cells or {}) == ["warm", "cold", "mild"]


CHANGED: list[tuple[dict[str, Any], str]] = [
    ({"name": "other"}, "name is other"),
    ({"endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "other"}}, "endpoint.model is other"),
    ({"endpoint": {"base_url": "http://127.0.0.1:8/v1", "model": "none"}}, "endpoint.base_url is http"),
    ({"request": {"max_tokens": 7}}, "request is"),
    ({"seed": 3}, "seed is 3"),
    ({"parameters": {"top_p": [0.5]}}, "the parameters are top_p"),
    ({"design": "one_at_a_time"}, "design is one_at_a_time"),
    ({"prompts": [{"id": "p", "user": "something else"}]}, "the prompt 'p' asks something else"),
]


@pytest.mark.parametrize(("changes", "words"), CHANGED, ids=[words for _, words in CHANGED])
def test_experiments_that_do_not_fit_are_refused_with_what_differs(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    changed = {name: given for name, given in MADE.resolved().items() if name != "parameters"} | {"parameters": {"temperature": [0.5]}} | changes
    one, two = run(tmp_path / "one", MADE), run(tmp_path / "two", check(changed))
    with pytest.raises(ExperimentError) as told:
        merge_runs([one, two], tmp_path / "whole")
    assert words in str(told.value)
    assert not (tmp_path / "whole").exists()
    assert not list(tmp_path.glob(".*"))


def refusals() -> dict[str, tuple[Callable[[Path, Path], Sequence[Path]], str]]:
    def race(one: Path, two: Path) -> Sequence[Path]:
        (two / RACE).write_text("")
        return [one, two]

    def lines_of_others(one: Path, two: Path) -> Sequence[Path]:
        (two / RESPONSES).write_text('{"v":1,"key":"0","outcome":{"type":"failure"}}\n{"v":1}\n')
        return [one, two]

    def newer(one: Path, two: Path) -> Sequence[Path]:
        (two / RESPONSES).write_text('{"v":99,"key":"0","outcome":{"type":"failure"}}\n')
        return [one, two]

    def empty(one: Path, two: Path) -> Sequence[Path]:
        (two.parent / "empty").mkdir()
        return [one, two.parent / "empty"]

    return {
        "itself": (lambda one, _: [one, one], "not merged with itself"),
        "itself by another way": (lambda one, two: [one, two.parent / "two" / ".." / "one"], "not merged with itself"),
        "nowhere": (lambda one, two: [one, two.parent / "none"], "no such results folder"),
        "no run": (empty, "no run stands in it"),
        "nothing": (lambda _, __: [], "no folder is named"),
        "a race": (race, "holds a race"),
        "another line": (lines_of_others, "line 1: not a record"),
        "a newer line": (newer, "written by a newer evalkit"),
    }


@pytest.mark.parametrize("name", refusals())
def test_what_cannot_be_merged_is_refused_and_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    folders, words = refusals()[name]
    one, two = (run(tmp_path / which, MADE, made_of([(0, "a", 0)])) for which in ("one", "two"))
    with pytest.raises(RecordError, match=words):
        merge_runs(folders(one, two), tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_is_being_written_is_not_merged(tmp_path: Path) -> None:
    folders = [run(tmp_path / name, MADE) for name in ("one", "two")]
    with locked(folders[1]), pytest.raises(RecordError, match=r"another sweep .* is writing into this folder"):
        merge_runs(folders, tmp_path / "whole")


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, MADE, made_of([(0, name, 0)])) for name in ("one", "two"))
    for into, words in [(two, "a run stands there"), (one, "is one of the runs")]:
        with pytest.raises(RecordError, match=words):
            merge_runs([one], into)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("mine")
    with pytest.raises(RecordError, match="holds other files"):
        merge_runs([one], tmp_path / "full")
    with pytest.raises(RecordError, match="is a file"):
        merge_runs([one], tmp_path / "full/notes.txt")


def test_what_a_killed_merge_left_behind_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / ".whole.merging").mkdir()
    (tmp_path / ".whole.merging" / RESPONSES).write_text("half")
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/probe.json").write_text("{}")
    found = merge_runs([run(tmp_path / "one", MADE, made_of([(0, "a", 0)]))], tmp_path / "whole")
    assert (found.records, found.answers, found.planned) == (1, 1, 6)
    assert not (tmp_path / ".whole.merging").exists()
    assert {one.name for one in (tmp_path / "whole").iterdir()} - {".lock"} == {RESPONSES, "run.json", "probe.json"}


def merged(tmp_path: Path, *shards: Shard) -> tuple[Merged, list[str]]:
    told: list[str] = []
    folders = []
    for shard in shards:
        answered = [record(request, completion("a")) for request in Plan(MADE, shard=shard)]
        folders.append(run(tmp_path / f"{shard.number}", MADE, answered, shard=str(shard)))
    return merge_runs(folders, tmp_path / "whole", lambda note: told.append(str(note))), told


def test_shards_that_are_missing_are_told(tmp_path: Path) -> None:
    found, told = merged(tmp_path, Shard(1, 3), Shard(3, 3))
    assert told == ["warning: 1 shard of 3 not among them: 2/3; what falls to them is still to be asked"]
    assert "shard" not in (read_run(found.folder) or {})


def test_a_merged_run_is_known_for_one(tmp_path: Path) -> None:
    found, _ = merged(tmp_path, Shard(1, 1))
    assert is_merged(found.folder)
    assert not is_merged(tmp_path / "1")


def test_judgements_are_merged_too(tmp_path: Path) -> None:
    def judged(score: int, at: int) -> Judgement:
        return Judgement(key="0" * 32, judge="j", prompt_id="p", record="r", attempt=1, at=f"2026-01-0{at}", score=score)

    folders = [run(tmp_path / name, MADE) for name in ("one", "two")]
    for folder, one in zip(folders, (judged(3, 2), judged(4, 1)), strict=True):
        with Journal(folder / FILE, FORM) as writer:
            writer.append(one)
    told: list[str] = []
    merge_runs(folders, tmp_path / "whole", lambda note: told.append(note.text))
    assert load(tmp_path / "whole").scores == {"0" * 32: 4}
    assert told == ["judgements.jsonl: 1 line say something else than the earliest of the same request, which counts; both stand in conflicts.jsonl"]


def test_embeddings_are_merged_too(tmp_path: Path) -> None:
    """Whose lines leave out the version where it is the first."""
    endpoint = Endpoint(base_url="local", model="hashed-tfidf")
    folders = [run(tmp_path / name, MADE) for name in ("one", "two")]
    for folder in folders:
        with Journal(folder / embeddings.FILE, embeddings.FORM) as writer:
            writer.append(Embedding(key=key_of(endpoint, "a text"), vector=packed(np.array([1.0, 2.0]))))
    merge_runs(folders, tmp_path / "whole")
    assert (tmp_path / "whole" / embeddings.FILE).read_bytes().count(b"\n") == 1
    assert Embeddings(tmp_path / "whole", endpoint).of(["a text"]).tolist() == [[1.0, 2.0]]
