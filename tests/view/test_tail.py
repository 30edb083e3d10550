"""A file that another process adds to: each line once, whole, and anew where another file stands under its name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import RecordError
from evalkit.view.tail import Tail, line_at


@settings(max_examples=30)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=12), st.lists(st.integers(1, 60), max_size=20))
def test_however_it_is_written_each_line_comes_once_and_whole(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], steps: list[int]) -> None:
    file = tmp_path_factory.mktemp("tail") / "lines"
    lines = [part.replace(b"\n", b" ") + b"\n" for part in parts]
    whole, at, found = b"".join(lines), 0, list[tuple[int, bytes]]()
    tail = Tail(file)
    for step in (*steps, len(whole)):
        with file.open("ab") as writer:
            writer.write(whole[at : at + step])
        at += step
        found += tail.lines()
    assert [line for _, line in found] == lines
    assert all(line_at(file, at) == line for at, line in found)
    assert tail.begun == 1


def test_a_file_that_is_cut_or_replaced_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    tail = Tail(file)
    assert list(tail.lines()) == []
    file.write_bytes(b"one\ntwo\n")
    assert [line for _, line in tail.lines()] == [b"one\n", b"two\n"]
    file.write_bytes(b"1\n")
    assert [line for _, line in tail.lines()] == [b"1\n"]
    assert tail.begun == 2
    (tmp_path / "other").write_bytes(b"one\ntwo\nthree\n")
    (tmp_path / "other").replace(file)
    assert len(list(tail.lines())) == 3
    assert tail.begun == 3


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(b"secret\n")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with pytest.raises(RecordError, match="cannot be read"):
        Tail(tmp_path / "link").lines()
    with pytest.raises(RecordError, match="cannot be read"):
        line_at(tmp_path / "link", 0)
