"""Journals of several runs put together into one: each line once, of each key one settled outcome, in flat memory and about the time to copy them."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

import msgspec
import numpy as np

from evalkit.errors import RecordError
from evalkit.store import journal
from evalkit.store.blocks import Block, Numbers, blocks, keys_of, many
from evalkit.store.journal import Form

_SYNC_AFTER = 32 << 20
_MOST_OPEN = 64

T = TypeVar("T", bound=journal.Keyed)


class Kind(NamedTuple, Generic[T]):
    """A journal as it is put together.

    Attributes:
        file: its name in a results folder.
        form: of its lines.
        brief: reads of many lines what tells whether they are sound; ``v`` and ``key`` at least.
        said: what a line settles its key with; None where it settles nothing, like a failure.
        at: when it came, as text that sorts; empty where a line does not say.
    """

    file: str
    form: Form[T]
    brief: msgspec.json.Decoder[Any]
    said: Callable[[T], Any]
    at: Callable[[T], str]


@dataclass
class Joined:
    """What was put together.

    Attributes:
        lines: written.
        settled: keys with an outcome that settles them.
        dropped: lines that others say too.
        conflicts: settled lines that say something else than the one that counts.
        mended: what was done about torn ends, a sentence each.
    """

    lines: int = 0
    settled: int = 0
    dropped: int = 0
    conflicts: int = 0
    mended: tuple[str, ...] = ()


class _Line(NamedTuple, Generic[T]):
    """One of several lines of a key: of which file, and where there."""

    file: int
    at: int
    raw: bytes
    one: T


class _Place(NamedTuple):
    """Where lines of contested keys stand, an element each."""

    numbers: Numbers
    files: Any
    starts: Any
    ends: Any


def join(kind: Kind[T], folders: Sequence[Path], into: Path, conflict: Callable[[str, bytes, bytes], None]) -> Joined | None:
    """Write the journal `kind` of all `folders` into the folder `into`; None where none has one.

    Of each key the earliest settled line counts, by when it came; within one file the first. Lines of a key with more than one line come at the end,
    what settles nothing before what does, so that whoever reads the file finds what counts.

    Args:
        conflict: is given a key, the line that counts and one that says something else.

    Raises:
        RecordError: a file cannot be read, holds a line that is none of its form, or the new one cannot be written.
    """
    paths = [folder / kind.file for folder in folders]
    if not any(path.exists() for path in paths):
        return None
    sources = [_Source(path, kind.form) for path in paths]
    numbers = [[keys_of(block.lines)[2] for block in source.blocks()] for source in sources]
    contested = many([one for of_file in numbers for one in of_file])
    out = Joined(mended=tuple(source.mended for source in sources if source.mended))
    found: list[_Place] = []
    with _Output(into / kind.file) as output:
        for file, (source, of_file) in enumerate(zip(sources, numbers, strict=True)):
            for block, its in zip(source.blocks(), of_file, strict=True):
                lines = _sound(kind, source.path, block)
                hit = _among(its, contested)
                if not hit.any():
                    output.write(block.lines)
                    out.lines += len(lines)
                    out.settled += _settled(lines)
                    continue
                starts, ends, _ = keys_of(block.lines)
                found.append(_Place(its[hit], np.full(int(hit.sum()), file), block.at + starts[hit], block.at + ends[hit]))
                output.write(b"".join(block.lines[start:end] for start, end in zip(starts[~hit].tolist(), ends[~hit].tolist(), strict=True)))
                out.lines += int((~hit).sum())
                out.settled += _settled([lines[at] for at in np.flatnonzero(~hit).tolist()])
        for group in _groups(kind, sources, found):
            _settle(kind, group, output, out, conflict)
    return out


class _Source(Generic[T]):
    """A journal that is read twice; `mended` tells what becomes of a torn end."""

    def __init__(self, path: Path, form: Form[T]) -> None:
        self.path = path
        self.whole, self.mended = journal.tail_of(path, form) if path.exists() else (b"", "")

    def blocks(self) -> Iterator[Block]:
        """Its whole lines, a last one without a line end among them."""
        end = 0
        for block in blocks(self.path):
            yield block
            end = block.at + len(block.lines)
        if self.whole:
            yield Block(end, self.whole + b"\n")


def _among(numbers: Numbers, contested: Numbers) -> Any:
    if not len(contested):
        return np.zeros(len(numbers), dtype=bool)
    at = np.minimum(np.searchsorted(contested, numbers), len(contested) - 1)
    return contested[at] == numbers


def _sound(kind: Kind[T], path: Path, block: Block) -> list[Any]:
    """The lines of a block in brief; raises `RecordError` where one is none of its form, with its number."""
    try:
        lines = kind.brief.decode_lines(block.lines)
        if not lines or max({line.v for line in lines}) <= kind.form.version:
            return lines
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # told below, with the line's number
    for _ in journal.read(path, kind.form):
        pass
    raise RecordError(f"{path}: holds a line that is not {kind.form.one} of evalkit; nothing was changed")


def _settled(lines: Sequence[Any]) -> int:
    """How many of these lines settle their key."""
    if not lines or not hasattr(lines[0], "outcome"):
        return len(lines)
    return [line.outcome.type for line in lines].count("completion")


def _groups(kind: Kind[T], sources: Sequence[_Source[T]], found: Sequence[_Place]) -> Iterator[list[_Line[T]]]:
    """The lines of each contested key, in the order of files and of lines in them."""
    if not found:
        return
    numbers, files, starts, ends = (np.concatenate(one) for one in zip(*found, strict=True))
    order = np.lexsort((starts, files, numbers))
    with _Files([source.path for source in sources]) as reading:
        number: int | None = None
        group: dict[str, list[_Line[T]]] = {}
        for at in order.tolist():
            if int(numbers[at]) != number:
                yield from group.values()
                number, group = int(numbers[at]), {}
            file, start = int(files[at]), int(starts[at])
            raw = reading.read(file, start, int(ends[at]) - start).strip()
            try:
                one = kind.form.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                for _ in journal.read(sources[file].path, kind.form):
                    pass
                raise RecordError(f"{sources[file].path}: was changed meanwhile; merge again") from None
            group.setdefault(one.key, []).append(_Line(file, start, raw, one))
        yield from group.values()


def _settle(kind: Kind[T], group: list[_Line[T]], output: _Output, out: Joined, conflict: Callable[[str, bytes, bytes], None]) -> None:
    """Write what is kept of the lines of one key."""
    settled: list[_Line[T]] = []
    others: dict[bytes, _Line[T]] = {}
    for line in group:
        if kind.said(line.one) is None:
            others.setdefault(line.raw, line)
        else:
            settled.append(line)
    kept = sorted(others.values(), key=lambda line: (kind.at(line.one), line.raw))
    if settled:
        firsts: dict[int, _Line[T]] = {}
        for line in settled:
            firsts.setdefault(line.file, line)
        counts = min(firsts.values(), key=lambda line: (kind.at(line.one), line.raw))
        kept.append(counts)
        out.settled += 1
        differing = {line.raw for line in settled if kind.said(line.one) != kind.said(counts.one)}
        for raw in sorted(differing):
            conflict(counts.one.key, counts.raw, raw)
        out.conflicts += len(differing)
    out.lines += len(kept)
    out.dropped += len(group) - len(kept)
    output.write(b"".join(line.raw + b"\n" for line in kept))


class _Output:
    """A new file that the disk keeps up with while it is written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unsynced = 0
        self._syncing: Future[None] | None = None
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        try:
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise self._fault(fault) from None
        return self

    def write(self, content: bytes) -> None:
        """Add to it; raises `RecordError` where the disk refuses."""
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(self._fd, view) :]
            self._unsynced += len(content)
            if self._unsynced >= _SYNC_AFTER and (self._syncing is None or self._syncing.done()):
                if self._syncing is not None:
                    self._syncing.result()
                self._unsynced = 0
                self._syncing = self._thread.submit(os.fsync, self._fd)
        except OSError as fault:
            raise self._fault(fault) from None

    def _fault(self, fault: OSError) -> RecordError:
        return RecordError(f"{self._path}: cannot be written: {fault.strerror}; what is merged stays as it is")

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()
        try:
            if kind is None:
                if self._syncing is not None:
                    self._syncing.result()
                os.fsync(self._fd)
        except OSError as fault:
            raise self._fault(fault) from None
        finally:
            os.close(self._fd)


class _Files:
    """Files of which pieces are read here and there, few of them open at once."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, int] = OrderedDict()

    def __enter__(self) -> Self:
        return self

    def read(self, file: int, at: int, length: int) -> bytes:
        """So many bytes of a file; fewer where it ends."""
        try:
            fd = self._open.pop(file, None)
            if fd is None:
                fd = os.open(self._paths[file], os.O_RDONLY | os.O_CLOEXEC)
            self._open[file] = fd
            if len(self._open) > _MOST_OPEN:
                os.close(self._open.popitem(last=False)[1])
            return os.pread(fd, length, at)
        except OSError as fault:
            raise RecordError(f"{self._paths[file]}: cannot be read: {fault.strerror}") from None

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for fd in self._open.values():
            os.close(fd)
