"""Journals read in blocks of whole lines, and which keys stand in them: fast, and in little memory however long they are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.errors import RecordError

BLOCK = 1 << 20
"""Bytes that are read at a time; a longer line is read whole."""

_BEGINS = b'{"v":1,"key":"'
_DIGITS = 32
_ENDS = len(_BEGINS) + _DIGITS
_HASHED = 16
"""Of the digits of a key those that a number is made of: 64 bits, by which keys are told apart at first, and never in the end."""

_BEGINNING = np.frombuffer(_BEGINS, dtype=np.uint8)
_VALUES = np.full(256, 255, dtype=np.uint8)
_VALUES[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16, dtype=np.uint8)
"""What a digit of a key counts; 255 where it is none."""

Numbers = NDArray[np.uint64]
Places = NDArray[np.int64]


class Block(NamedTuple):
    """Whole lines of a file, and the byte at which they begin."""

    at: int
    lines: bytes


class _Key(msgspec.Struct):
    key: str


def blocks(path: Path) -> Iterator[Block]:
    """The lines of a file that end, in blocks; none of a file that is missing. What follows the last line end is `tail`. Raises `RecordError`."""
    try:
        with path.open("rb") as file:
            at, rest = 0, b""
            while more := file.read(BLOCK):
                end = more.rfind(b"\n") + 1
                if not end:
                    rest += more
                    continue
                whole = rest + more[:end]
                yield Block(at, whole)
                at, rest = at + len(whole), more[end:]
    except FileNotFoundError:
        return
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None


def places(lines: bytes) -> tuple[Places, Places]:
    """Where each line begins, and behind its end; `lines` end with a line end."""
    ends = np.flatnonzero(np.frombuffer(lines, dtype=np.uint8) == ord("\n")) + 1
    return np.concatenate(([0], ends[:-1])), ends


def keys_of(lines: bytes) -> tuple[Places, Places, Numbers]:
    """Of each line that is not blank: where it begins, behind its end, and a number of its key, equal where keys are.

    A line that holds no key has the number of an empty one: whoever reads it whole says what is wrong with it.
    """
    starts, ends = places(lines)
    numbers = np.zeros(len(starts), dtype=np.uint64)
    usual = ends - starts > _ENDS + 1
    if usual.any():
        windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(lines, dtype=np.uint8), _ENDS + 1)
        heads = windows[starts[usual]]
        digits = _VALUES[heads[:, len(_BEGINS) : len(_BEGINS) + _HASHED]]
        plain = (heads[:, : len(_BEGINS)] == _BEGINNING).all(axis=1) & (heads[:, _ENDS] == ord('"')) & (digits.max(axis=1) < 16)
        usual[usual] = plain
        digits = digits[plain]
        numbers[usual] = ((digits[:, ::2] << 4) | digits[:, 1::2]).view(">u8")[:, 0]
    blank = np.zeros(len(starts), dtype=bool)
    for one in np.flatnonzero(~usual):  # written by another program, or changed by hand
        line = lines[starts[one] : ends[one]]
        blank[one] = line.isspace()
        numbers[one] = _number(line)
    return starts[~blank], ends[~blank], numbers[~blank]


def _number(line: bytes) -> int:
    try:
        key = msgspec.json.decode(line, type=_Key).key
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        key = ""
    if len(key) == _DIGITS and all(digit in "0123456789abcdef" for digit in key[:_HASHED]):
        return int(key[:_HASHED], 16)
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8])


def many(numbers: list[Numbers]) -> Numbers:
    """Those that stand more than once in all together, each once, in rising order."""
    whole: Any = np.sort(np.concatenate(numbers)) if numbers else np.zeros(0, dtype=np.uint64)
    return np.unique(whole[1:][whole[1:] == whole[:-1]])
