"""Asking a sweep to stop from another thread than the one it runs in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interruption:
    """What stands for Ctrl-C where a sweep runs in a thread that gets no signals: asked once, it ends in good order, asked again, at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0
        self._tell: Callable[[], None] | None = None

    def ask(self) -> None:
        """Ask the sweep to stop; from any thread, also before it sends anything."""
        with self._lock:
            self._asked += 1
            tell = self._tell
        if tell is not None:
            tell()

    @property
    def asked(self) -> bool:
        """Whether it was asked to stop."""
        return self._asked > 0

    @contextmanager
    def heeded(self, interrupted: Callable[[], None]) -> Iterator[None]:
        """In a running loop: `interrupted` is called in it for each time that a stop is asked for, those before included."""
        loop = asyncio.get_running_loop()

        def tell() -> None:
            loop.call_soon_threadsafe(interrupted)

        with self._lock:
            self._tell = tell
            before = self._asked
        for _ in range(before):
            tell()
        try:
            yield
        finally:
            with self._lock:
                self._tell = None
