"""The answers of a run that are scored, put aside: numbers in columns, texts in a temporary file once there are many."""

from __future__ import annotations

import math
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping
from typing import IO, NamedTuple

import numpy as np

from evalkit.errors import RecordError
from evalkit.metrics.group import Floats

_HELD = 32 * 2**20
"""Bytes of text from which on they go into the file."""

Where = tuple[int, int]
"""The numbers of a cell and a prompt."""


class ScoredAnswer(NamedTuple):
    """What is scored of one completion, with what the record tells beside the text."""

    text: str
    truncated: float
    completion_tokens: float
    recorded: dict[str, float]


class Numbers(NamedTuple):
    """What is known of the answers to a prompt in a cell beside their texts, by replicate; each of shape (k,), NaN where unknown."""

    truncated: Floats
    completion_tokens: Floats


class Answers(Mapping[Where, dict[int, ScoredAnswer]]):
    """(cell, prompt) → replicate → answer, read anew each time: some hundred bytes an answer are held, whatever it says."""

    def __init__(self) -> None:
        self._rows: dict[Where, array[int]] = {}
        self._replicates = array("q")
        self._begins, self._sizes = array("q"), array("q")
        self._truncated, self._tokens = array("d"), array("d")
        self._recorded: dict[str, array[float]] = {}
        self._texts = _Texts()

    def put(self, where: Where, replicate: int, answer: ScoredAnswer) -> None:
        """Add an answer; there is none of its place yet. Raises `RecordError` where the temporary file cannot be written."""
        row = len(self._replicates)
        begin, size = self._texts.add(answer.text)
        self._rows.setdefault(where, array("q")).append(row)
        self._replicates.append(replicate)
        self._begins.append(begin)
        self._sizes.append(size)
        self._truncated.append(answer.truncated)
        self._tokens.append(answer.completion_tokens)
        for name, value in answer.recorded.items():
            column = self._recorded.get(name)
            if column is None:
                column = self._recorded[name] = array("d")
            if len(column) < row:  # the answers before had no such number
                column.extend([math.nan] * (row - len(column)))
            column.append(value)

    def __getitem__(self, where: Where) -> dict[int, ScoredAnswer]:
        found = {}
        for row in self._in_order(where):
            recorded = {name: column[row] for name, column in self._recorded.items() if row < len(column)}
            text = self._texts.get(self._begins[row], self._sizes[row])
            found[self._replicates[row]] = ScoredAnswer(text, self._truncated[row], self._tokens[row], recorded)
        return found

    def __iter__(self) -> Iterator[Where]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _in_order(self, where: Where) -> list[int]:
        return sorted(self._rows[where], key=self._replicates.__getitem__)

    def numbers(self, where: Where) -> Numbers:
        """What is known of some answers beside their texts, which are not read."""
        rows = self._in_order(where)
        return Numbers(np.array([self._truncated[row] for row in rows]), np.array([self._tokens[row] for row in rows]))

    @property
    def completion_tokens(self) -> Floats:
        """Of every answer, in the order they came, NaN where nobody counts them; shape (answers,)."""
        return np.array(self._tokens)

    def recorded(self, name: str) -> Floats:
        """What else is known of every answer under that name, NaN where it is not; shape (answers,)."""
        out = np.full(len(self._replicates), math.nan)
        known = self._recorded.get(name, array("d"))
        out[: len(known)] = known
        return out


class _Texts:
    """Texts one behind the other, the first ones in a temporary file without a name; forked processes may read them at the same time."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._written = 0
        self._file: IO[bytes] | None = None

    def add(self, text: str) -> tuple[int, int]:
        """Where it begins, and its size in bytes."""
        if len(self._held) >= _HELD:
            self._put_aside()
        written = text.encode("utf-8", "surrogatepass")
        begin = self._written + len(self._held)
        self._held += written
        return begin, len(written)

    def get(self, begin: int, size: int) -> str:
        """The text that begins there."""
        if begin >= self._written:
            data = bytes(self._held[begin - self._written : begin - self._written + size])
        elif self._file is None:
            raise AssertionError(begin)
        else:
            data = os.pread(self._file.fileno(), size, begin)
        return data.decode("utf-8", "surrogatepass")

    def _put_aside(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it lives as long as this)
                weakref.finalize(self, self._file.close)
            rest = memoryview(self._held)
            while rest:
                rest = rest[self._file.write(rest) :]
            rest.release()
        except OSError as fault:
            where = f"{tempfile.gettempdir()}: the answers to be scored, more than memory should hold, cannot be put aside there"
            raise RecordError(f"{where}: {fault.strerror}; make room, or name another folder in the variable TMPDIR") from None
        self._written += len(self._held)
        self._held = bytearray()
