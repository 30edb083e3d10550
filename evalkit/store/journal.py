"""Files of JSON lines that are only ever added to: what was written stays, whatever happens to the process, the disk or the last line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

import msgspec

from evalkit.errors import RecordError

_OTHER_FORM = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_encoder = msgspec.json.Encoder()


class Versioned(Protocol):
    """What a line holds: a struct that says which version of its form it has."""

    @property
    def v(self) -> int:
        """The version."""
        ...


class Keyed(Versioned, Protocol):
    """What a line holds that is about something which it names."""

    @property
    def key(self) -> str:
        """What names it for ever."""
        ...


T = TypeVar("T", bound=Versioned)


class _Version(msgspec.Struct):
    v: int


class Form(Generic[T]):
    """How the lines of a file are read.

    Args:
        kind: the struct that a line holds.
        version: the newest version of it that can be read.
        name: what a line is, for messages.
        torn: what becomes of a line that was cut off.

    Attributes:
        one: its name with the article.
    """

    def __init__(self, kind: type[T], version: int, name: str = "record", torn: str = "its request is sent again") -> None:
        self.version, self.name, self.torn = version, name, torn
        self.one = f"{'an' if name[0] in 'aeio' else 'a'} {name}"
        self.decode = msgspec.json.Decoder(kind).decode


class Journal(Generic[T]):
    """Appends lines; open it under the folder's lock. A torn last line is mended first (`mended` tells what was done)."""

    def __init__(self, path: Path, form: Form[T]) -> None:
        self._path, self._form, self._name = path, form, os.fspath(path)
        self._unsynced = False
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise RecordError(f"{self._path}: cannot be written: {fault.strerror}") from None
        try:
            self.mended = self._mend()
        except BaseException:
            os.close(self._fd)
            raise

    def _mend(self) -> str | None:
        tail = _tail(self._path)
        if not tail:
            return None
        size = os.fstat(self._fd).st_size
        try:
            self._form.decode(tail)
        except _OTHER_FORM:
            if _version(tail) > self._form.version:
                raise RecordError(_newer(str(self._path), tail, self._form.version)) from None
            os.ftruncate(self._fd, size - len(tail))
            return f"{self._path}: the last line was torn ({len(tail)} bytes without an end); it is cut off and {self._form.torn}"
        self._write(b"\n")
        return f"{self._path}: the last line lacked its line end; it is whole and kept"

    def append(self, one: T) -> None:
        """Write one line; raises `RecordError` where the disk refuses, with the file left ending in a whole line."""
        self._write(line_of(one))

    def append_lines(self, lines: bytes) -> None:
        """As `append`, of lines that are written already, each with its end."""
        self._write(lines)

    def sync(self) -> bool:
        """Make the disk keep what was written since the last time; tells whether there was anything. May run in a thread of its own.

        Raises `RecordError` where the disk did not keep it.
        """
        if not self._unsynced:
            return False
        self._unsynced = False
        try:
            os.fsync(self._fd)
        except OSError as fault:
            raise RecordError(f"{self._path}: what was written may not be on the disk: {fault.strerror}; run again to go on") from None
        return True

    def _follow(self) -> None:
        """Open the file again where an editor or a copying program has put another one under its name: what is written must not be lost."""
        here = os.fstat(self._fd)
        try:
            there = os.stat(self._name)  # noqa: PTH116 (half the time of Path.stat, before every line)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return
        except FileNotFoundError:
            pass  # made again below
        except OSError as fault:
            raise RecordError(f"{self._path}: cannot be written: {fault.strerror}. All before is kept; run again to go on") from None
        try:
            new = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as fault:
            raise RecordError(f"{self._path}: cannot be written: {fault.strerror}. All before is kept; run again to go on") from None
        os.dup2(new, self._fd, inheritable=False)
        os.close(new)
        tail = _tail(self._path)
        if tail:
            os.write(self._fd, b"\n")

    def _write(self, line: bytes) -> None:
        self._follow()
        size = os.fstat(self._fd).st_size
        self._unsynced = True
        try:
            written = os.write(self._fd, line)
            while written < len(line):  # the disk is full, most likely; asking again tells why
                written += os.write(self._fd, line[written:])
        except OSError as fault:
            with suppress(OSError):  # a torn line is mended on opening
                os.ftruncate(self._fd, size)
            raise RecordError(f"{self._path}: cannot be written: {fault.strerror}. All before is kept; make room and run again to go on") from None

    def close(self) -> None:
        """Make sure of what was written, and close; raises `RecordError` where the disk did not keep it."""
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def line_of(one: Versioned) -> bytes:
    """The line that holds something, with its end."""
    return _encoder.encode(one) + b"\n"


def read(path: Path, form: Form[T]) -> Iterator[T]:
    """What the lines hold, in the order they came; a torn last line is passed over, and a file that is missing is an empty one.

    Raises:
        RecordError: a line is of no such form, with its number; nothing is changed.
    """
    return (one for _, one in located(path, form))


def located(path: Path, form: Form[T]) -> Iterator[tuple[int, T]]:
    """As `read`, each with the byte at which its line begins."""
    for number, at, line in _lines(path):
        try:
            one = form.decode(line)
        except _OTHER_FORM:
            if not line.endswith(b"\n") and _version(line) <= form.version:
                return  # torn: the writer mends it, a reader must not
            raise _unreadable(path, number, line, form) from None
        if one.v > form.version:
            raise RecordError(_newer(f"{path}: line {number}", line, form.version))
        yield at, one


def tail_of(path: Path, form: Form[T]) -> tuple[bytes, str]:
    """What follows the last line end of a file where it is a whole line, else nothing; and what becomes of it, empty where nothing follows.

    Raises:
        RecordError: it is of a newer version, or the file cannot be read.
    """
    try:
        tail = _tail(path)
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    if not tail or tail.isspace():
        return b"", ""
    try:
        if form.decode(tail).v <= form.version:
            return tail, f"{path}: the last line lacked its line end; it is whole and kept"
    except _OTHER_FORM:
        pass  # torn, or of a newer version
    if _version(tail) > form.version:
        raise RecordError(_newer(str(path), tail, form.version))
    return b"", f"{path}: the last line was torn ({len(tail)} bytes without an end); it is left out"


def _lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """The lines that are not blank, with their numbers and where they begin."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    with file:
        at = 0
        for number, line in enumerate(file, 1):
            if not line.isspace():  # an editor's
                yield number, at, line
            at += len(line)


def _unreadable(path: Path, number: int, line: bytes, form: Form[T]) -> RecordError:
    """The error that a line of another form is."""
    if _version(line) > form.version:
        return RecordError(_newer(f"{path}: line {number}", line, form.version))
    return RecordError(
        f"{path}: line {number}: not {form.one} of evalkit; nothing was changed. "
        "Mend or remove that line, or start over with the option fresh (which keeps the old folder)"
    )


def _newer(where: str, line: bytes, version: int) -> str:
    return f"{where}: written by a newer evalkit (format {_version(line)}, this one reads {version}); update evalkit"


def _version(line: bytes) -> int:
    """The format that a line says it has; 0 where it says none."""
    try:
        return msgspec.json.decode(line, type=_Version).v
    except _OTHER_FORM:
        return 0


def _tail(path: Path) -> bytes:
    """What follows the last line end."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        tail = b""
        while end and b"\n" not in tail:
            start = max(0, end - 65536)
            file.seek(start)
            tail = file.read(end - start) + tail
            end = start
    return tail[tail.rfind(b"\n") + 1 :]
