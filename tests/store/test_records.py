"""Records: what is appended is read again, a torn end is mended, and nothing else is ever changed."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import RecordError
from evalkit.store.records import RESPONSES, VERSION, Completion, Failure, Record, RecordWriter, Usage, read, standing

COMPLETION = Completion(
    text="a\u2028é😀\n\0",
    finish_reason="stop",
    usage=Usage(prompt_tokens=3, completion_tokens=2),
    latency_s=0.5,
    tries=1,
    model="tiny",
    system_fingerprint="fp_1",
)
FAILURE = Failure(kind="server", message="down", tries=3, status=503)


def record(number: int = 0, outcome: Completion | Failure = COMPLETION, **changed: Any) -> Record:
    given = {"cell": {"temperature": 0.5}, "replicate": number, "seed": None, "request": {"model": "tiny", "temperature": 0.5}} | changed
    given = {"key": f"{number:032x}", "role": "sweep", "prompt_id": "p", "model": "tiny", "at": "2025-01-01T00:00:00.000Z"} | given
    return Record(outcome=outcome, **given)


def written(folder: Path, *records: Record) -> Path:
    with RecordWriter(folder) as writer:
        for one in records:
            writer.append(one)
    return folder / RESPONSES


words = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | words
tokens = st.none() | st.integers(0, 2**40)
usages = st.builds(Usage, prompt_tokens=tokens, completion_tokens=tokens, total_tokens=tokens)
seconds = st.floats(0, 1e6)
completions = st.builds(
    Completion,
    text=words,
    finish_reason=st.none() | words,
    usage=st.none() | usages,
    latency_s=seconds,
    tries=st.integers(1, 3),
    model=st.none() | words,
    system_fingerprint=st.none() | words,
    id=st.none() | words,
    repaired=st.booleans(),
)
failures = st.builds(
    Failure,
    kind=st.sampled_from(["auth", "rejected", "rate_limited", "server", "timeout", "connection", "interrupted", "malformed", "refused_by_filter"]),
    message=words,
    tries=st.integers(1, 3),
    status=st.none() | st.integers(100, 599),
    param=st.none() | words,
    code=st.none() | words,
    latency_s=st.none() | seconds,
)
records = st.builds(
    Record,
    key=words,
    role=st.sampled_from(["sweep", "anchor", "confirm"]),
    prompt_id=words,
    cell=st.dictionaries(words, plain),
    replicate=st.integers(0, 10**6),
    seed=st.none() | st.integers(-(2**63), 2**63),
    model=words,
    request=st.dictionaries(words, plain | st.lists(plain) | st.dictionaries(words, plain)),
    at=words,
    outcome=completions | failures,
)


@settings(max_examples=50)
@given(st.lists(records, max_size=3), st.lists(records, max_size=2))
def test_what_is_appended_is_read_again_in_order_one_line_each(first: list[Record], later: list[Record]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        assert list(read(folder)) == []
        written(folder, *first)
        path = written(folder, *later)
        assert list(read(folder)) == first + later
        assert path.read_bytes().count(b"\n") == len(first + later)


def test_a_line_has_the_names_that_others_read_it_by(tmp_path: Path) -> None:
    path = written(tmp_path, record(), record(1, FAILURE))
    done, failed = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    names = ["v", "key", "role", "prompt_id", "cell", "replicate", "seed", "model", "request", "at", "outcome"]
    assert list(done) == list(failed) == names
    assert done["v"] == VERSION == 1
    completion = {"type", "text", "finish_reason", "usage", "latency_s", "tries", "model", "system_fingerprint"}
    assert set(done["outcome"]) == completion
    assert done["outcome"]["type"] == "completion"
    assert done["outcome"]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2}
    assert set(failed["outcome"]) == {"type", "kind", "message", "status", "tries"} | {"param", "code", "latency_s", "usage"}
    assert failed["outcome"]["type"] == "failure"


def test_a_last_line_torn_at_any_byte_is_cut_off_and_told_and_nothing_before_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path, record(0), record(1, FAILURE), record(2))
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    before = list(read(tmp_path))[:2]
    for end in range(start + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert list(read(tmp_path)) == before
        assert path.read_bytes() == whole[:end], "a reader changes nothing"
        with RecordWriter(tmp_path) as writer:
            assert writer.mended is not None
            assert f"{path}: the last line was torn ({end - start} bytes" in writer.mended
            assert path.read_bytes() == whole[:start]
            writer.append(record(2))
        assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "torn", [b"\0" * 4096, b"\xff", b"{}", b'{"v":1,"key":"\xff', b"[" * 10**6, b'{"v":' + b"[" * 10**6], ids=lambda torn: str(torn[:9])
)
def test_whatever_a_crash_left_after_the_last_line_end_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    path = written(tmp_path, record())
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert list(read(tmp_path)) == [record()]
    with RecordWriter(tmp_path) as writer:
        assert "torn" in (writer.mended or "")
    assert path.read_bytes() == whole


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path: Path) -> None:
    long = msgspec.structs.replace(COMPLETION, text="x" * 300_000)
    path = written(tmp_path, record(0), record(1, long))
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    assert "torn" in (RecordWriter(tmp_path).mended or "")
    assert list(read(tmp_path)) == [record(0)]


def test_a_whole_last_line_without_its_line_end_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, record(0), record(1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert list(read(tmp_path)) == [record(0), record(1)]
    with RecordWriter(tmp_path) as writer:
        assert "whole and kept" in (writer.mended or "")
    assert path.read_bytes() == whole


def test_a_whole_file_is_not_touched_by_opening_it(tmp_path: Path) -> None:
    path = written(tmp_path, record(0), record(1))
    whole = path.read_bytes()
    with RecordWriter(tmp_path) as writer:
        assert writer.mended is None
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "garbage", [b"{}", b"null", b"\0\0", b'{"v":1}', b'{"key":"\xff"}', b'{"v":' + b"[" * 10**6], ids=lambda garbage: str(garbage[:9])
)
def test_a_garbage_line_in_the_middle_is_refused_with_its_number_and_the_file_is_left_alone(tmp_path: Path, garbage: bytes) -> None:
    path = written(tmp_path, record(0), record(1))
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + garbage + b"\n" + second)
    with RecordWriter(tmp_path) as writer:
        assert writer.mended is None
    with pytest.raises(RecordError, match=r"line 2: not a record of evalkit; nothing was changed\. Mend or remove that line"):
        list(read(tmp_path))
    assert path.read_bytes() == first + garbage + b"\n" + second


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("same_shape", [True, False])
def test_a_line_of_a_newer_version_is_refused_and_never_cut_off(tmp_path: Path, same_shape: bool, ended: bool) -> None:
    path = written(tmp_path, record(0), record(1, v=VERSION + 1))
    first, second = path.read_bytes().splitlines(keepends=True)
    text = first + (second if same_shape else second.replace(b'"outcome":', b'"outcomes":'))
    text = text if ended else text[:-1]
    path.write_bytes(text)
    with pytest.raises(RecordError, match=r"line 2: written by a newer evalkit \(format 2, this one reads 1\); update evalkit"):
        list(read(tmp_path))
    assert path.read_bytes() == text
    if not ended and not same_shape:
        with pytest.raises(RecordError, match="newer evalkit"):
            RecordWriter(tmp_path)
        assert path.read_bytes() == text


def test_a_record_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[bytes] = []
    write = os.write

    def counted(fd: int, line: bytes) -> int:
        lines.append(bytes(line))
        return write(fd, line)

    with RecordWriter(tmp_path) as writer:
        monkeypatch.setattr(os, "write", counted)
        for number in range(3):
            writer.append(record(number))
            assert b"".join(lines) == (tmp_path / RESPONSES).read_bytes(), "it is in the file when append returns"
        monkeypatch.undo()
    assert len(lines) == 3
    assert all(line.endswith(b"\n") for line in lines)


def test_only_the_owner_may_read_what_is_recorded(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        path = written(tmp_path, record())
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


FILLED = """
import json, sys
from pathlib import Path
from evalkit.errors import RecordError
from evalkit.store.records import RESPONSES, Completion, Record, RecordWriter, read
folder, long = Path(sys.argv[1]), Completion(text="é" * 4000, finish_reason=None, usage=None, latency_s=0.0, tries=1)
def record(number):
    more = dict(role="sweep", prompt_id="p", cell={}, replicate=number, seed=None, model="m", request={}, at="")
    return Record(key=str(number), outcome=long, **more)
with RecordWriter(folder) as writer:
    for number in range(100):
        try:
            writer.append(record(number))
        except RecordError as fault:
            message = str(fault)
            break
raw = (folder / RESPONSES).read_bytes()
print(json.dumps({"message": message, "kept": number, "read": [int(one.key) for one in read(folder)], "end": raw[-1]}))
"""
LIMITED = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
MOUNTED = 'mount -t tmpfs -o size=100k none "$1" && exec "$0" -W error -c "$2" "$1"'


def _limited(folder: Path) -> list[str]:
    return [sys.executable, "-W", "error", "-c", LIMITED + FILLED, str(folder)]


def _mounted(folder: Path) -> list[str]:
    alone = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        subprocess.run([*alone, 'mount -t tmpfs none "$0"', str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system can be mounted here")
    return [*alone, MOUNTED, sys.executable, str(folder), FILLED]


@pytest.mark.parametrize(("command", "words"), [(_limited, "File too large"), (_mounted, "No space left on device")])
def test_a_full_disk_is_told_and_leaves_whole_lines(tmp_path: Path, command: Any, words: str) -> None:
    child = subprocess.run(command(tmp_path), capture_output=True, text=True, timeout=60, check=False)
    assert (child.returncode, child.stderr) == (0, "")
    told = json.loads(child.stdout)
    assert told["message"] == f"{tmp_path / RESPONSES}: cannot be written: {words}. All before is kept; make room and run again to go on"
    assert told["kept"] > 5
    assert told["read"] == list(range(told["kept"]))
    assert told["end"] == ord("\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_does_not_keep_what_was_written_is_told_on_closing(tmp_path: Path) -> None:
    (tmp_path / RESPONSES).symlink_to("/dev/full")
    writer = RecordWriter(tmp_path)
    with pytest.raises(RecordError, match="No space left on device"):
        writer.append(record())
    with pytest.raises(RecordError, match="may not be on the disk"):
        writer.close()


def test_a_place_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be written: No such file or directory"):
        RecordWriter(tmp_path / "missing")
    (tmp_path / RESPONSES).mkdir()
    with pytest.raises(RecordError, match="cannot be written: Is a directory"):
        RecordWriter(tmp_path)
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        list(read(tmp_path))


def test_what_stands_is_the_completion_else_the_last_failure(tmp_path: Path) -> None:
    timeout = Failure(kind="timeout", message="slow", tries=3)
    refused = Failure(kind="rejected", message="no", tries=1)
    rows = [
        record(0, FAILURE),
        record(0),
        record(1),
        record(1, refused),
        record(2, FAILURE),
        record(2, refused),
        record(3, refused),
        record(3, timeout),
    ]
    written(tmp_path, *rows)
    there = standing(tmp_path)
    assert len(there) == 4
    assert [there.wants(record(number).key, False) for number in range(5)] == [False, False, False, True, True]
    assert [there.wants(record(number).key, True) for number in range(5)] == [False, False, True, True, True]


def test_what_stands_is_read_as_strictly_as_the_records(tmp_path: Path) -> None:
    path = written(tmp_path, record(0), record(1))
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"v": 1, "key": "to')
    assert len(standing(tmp_path)) == 2, "a torn last line is passed over"
    path.write_bytes(whole + b"garbage\n" + whole)
    with pytest.raises(RecordError, match="line 3: not a record of evalkit; nothing was changed"):
        standing(tmp_path)
    path.write_bytes(whole.replace(b'"v":1', b'"v":2'))
    with pytest.raises(RecordError, match="written by a newer evalkit"):
        standing(tmp_path)
    assert len(standing(tmp_path / "missing")) == 0


def test_a_blank_line_is_passed_over(tmp_path: Path) -> None:
    path = written(tmp_path, record(0), record(1))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n"))
    assert list(read(tmp_path)) == [record(0), record(1)]


def test_what_is_written_follows_a_file_that_is_put_in_its_place(tmp_path: Path) -> None:
    with RecordWriter(tmp_path) as writer:
        writer.append(record(0))
        path = tmp_path / "responses.jsonl"
        (tmp_path / "copy").write_bytes(path.read_bytes())
        (tmp_path / "copy").replace(path)  # as an editor saves
        writer.append(record(1))
        path.unlink()
        writer.append(record(2))
    assert list(read(tmp_path)) == [record(2)]
    with RecordWriter(tmp_path) as writer:
        writer.append(record(0))
        (tmp_path / "copy").write_bytes(path.read_bytes())
        (tmp_path / "copy").replace(path)
        writer.append(record(1))
    assert list(read(tmp_path)) == [record(2), record(0), record(1)]
