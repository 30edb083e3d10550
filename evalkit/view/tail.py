"""The new lines of a file that another process adds to: each is read once, the last one when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from evalkit.errors import RecordError


class Tail:
    """Follows a file from its beginning. A file that another was put in place of, or that was cut, is read anew.

    Attributes:
        begun: how often it was begun; where it rises, all that was read before counts no more.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._at, self._file = path, 0, (0, 0)
        self.begun = 0

    def _open(self) -> int | None:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise RecordError(f"{self._path.name}: cannot be read: {fault.strerror}") from None
        found = os.fstat(fd)
        if (found.st_dev, found.st_ino) != self._file or found.st_size < self._at:
            self._file, self._at = (found.st_dev, found.st_ino), 0
            self.begun += 1
        return fd

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines that came since the last time, each with the byte that it begins at; look at `begun` before anything else.

        Raises:
            RecordError: the file cannot be read.
        """
        fd = self._open()
        if fd is None:
            return iter(())
        return self._read(fd)

    def _read(self, fd: int) -> Iterator[tuple[int, bytes]]:
        with os.fdopen(fd, "rb") as file:
            file.seek(self._at)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                at = self._at
                self._at += len(line)
                yield at, line


def line_at(path: Path, at: int) -> bytes:
    """The line that begins at a byte. Raises `RecordError`."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            file.seek(at)
            return file.readline()
    except OSError as fault:
        raise RecordError(f"{path.name}: cannot be read: {fault.strerror}") from None
