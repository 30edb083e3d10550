"""One program run behind walls: started, fed, listened to as far as is bounded, and ended with all that it started."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.sandbox.limits import ROOM, Limits, of_processes
from evalkit.sandbox.seen import interpreter, seen

_MOST_SAID, _LONGEST_REASON = 64 * 2**10, 300
_LONGEST_CODE = 1_000_000
MEMORY = {"MALLOC_ARENA_MAX": "1"}
"""Of the C library: else each thread claims over 64 MB of addresses, which are limited."""
_START_S = 20.0
"""How long the walls themselves may take: on a machine under load that is no fault of the answer's."""
_ROOT = str(Path(__file__).parents[2])
_START = "import sys; sys.path.append({root!r}); from evalkit.sandbox.within.begin import {what}; sys.path.pop(); {what}()"


class WallsError(Exception):
    """There are no walls, so that nothing was run; says why."""


class Outcome(NamedTuple):
    """What came of running an answer: whether it passes, in a few words why not, and how long it took."""

    passed: bool
    why: str
    seconds: float


@dataclass
class Sandbox:
    """A way to have walls; its methods may be called from several threads at once.

    Attributes:
        name: what it is, as people are told.
        front: the command that stands before the interpreter's, for walls that another program makes; none where they are made from inside.
        root: the folder that evalkit's modules are found in, behind those walls.
    """

    name: str
    front: tuple[str, ...] = ()
    root: str = _ROOT
    _idle: list[_Process] = field(default_factory=list)
    _busy: set[_Process] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def anew(self) -> Sandbox:
        """The same way, with nothing running yet."""
        return Sandbox(self.name, self.front, self.root)

    def run(self, code: str, tests: str, limits: Limits) -> Outcome:
        """Run an answer's code and its tests. Raises `WallsError` where they could not be run at all, or `end` was called."""
        if len(code) + len(tests) > _LONGEST_CODE:
            return Outcome(False, f"the code and its tests are longer than {_LONGEST_CODE:,} characters", 0.0)
        begun = time.monotonic()
        said, late = self._said([self._job(limits), {"code": code}, {"tests": tests}], limits.seconds)
        took = time.monotonic() - begun
        found: dict[str, Any] = next((one for one in said if "passed" in one), {})
        if found:
            why = str(found.get("why", "")).encode("utf-8", "backslashreplace").decode()  # halves of characters cannot be written
            return Outcome(found["passed"] is True, why, took)
        return Outcome(False, f"not done after {limits.seconds:g} s" if late else "it ended before the tests did", took)

    def prove(self, given: dict[str, Any], limits: Limits) -> dict[str, bool]:
        """What `evalkit.sandbox.within.proof.found` finds there. Raises `WallsError`."""
        job = self._job(limits) | {"prove": {**given, "limits": of_processes(limits), "room": ROOM}}
        said, _ = self._said([job], limits.seconds)
        if len(said) < 2 or "over" in said[1]:
            raise WallsError("the self-test did not end")
        return {str(name): one is True for name, one in said[1].items()}

    def end(self) -> None:
        """End all that runs, at once; nothing is run any more."""
        with self._lock:
            self._ended = True
            idle = [self._idle.pop() for _ in range(len(self._idle))]
            busy = list(self._busy)
        for one in idle:
            one.end()
        for one in busy:
            one.kill()  # whose threads end them

    def _job(self, limits: Limits) -> dict[str, Any]:
        there = None if self.front else {**seen()._asdict(), "room": ROOM}
        return {"walls": there, "limits": of_processes(limits), "prove": None}

    def _process(self) -> _Process:
        with self._lock:
            if self._ended:
                raise WallsError("stopped")
            one = self._idle.pop() if self._idle else _Process(self.front, self.root)
            self._busy.add(one)
            return one

    def _said(self, messages: Sequence[dict[str, Any]], seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """What was said from behind the walls, the first word that they stand, and whether the time was over before all was said."""
        given = b"".join(map(_framed, messages))
        process = self._process()
        late, whole, why = False, False, ""
        try:
            found, late = process.told(given, seconds)
            whole = not late and "over" in found[-1] and "passed" in found[-2] if len(found) > 1 else False
        finally:
            with self._lock:
                self._busy.discard(process)
                again = whole and not self.front and not self._ended
                if again:
                    self._idle.append(process)
            if not again:
                process.kill()
                why = process.complaint()
                process.end()
        if not found or "begun" not in found[0]:
            raise WallsError("stopped" if self._ended else why or ("no answer in time" if late else "no reason given"))
        if self._ended and not whole:
            raise WallsError("stopped")
        return found, late


class _Process:
    """A process that does jobs behind walls: one after the other where it makes them itself, one alone where another program has made them."""

    def __init__(self, front: Sequence[str], root: str) -> None:
        command = [*front, interpreter(), "-I", "-S", "-c", _START.format(root=root, what="main" if front else "serve")]
        self._process = subprocess.Popen(  # noqa: S603 (the interpreter, or the program that was found for the walls)
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(), cwd="/",
            start_new_session=True,
        )  # fmt: skip
        if self._process.stdin is None or self._process.stdout is None or self._process.stderr is None:
            raise AssertionError(command)
        self._in, self._out, self._err = self._process.stdin.fileno(), self._process.stdout.fileno(), self._process.stderr.fileno()
        os.set_blocking(self._in, False)
        self._lock = threading.Lock()
        self._complaint = bytearray()

    def told(self, given: bytes, seconds: float) -> tuple[list[dict[str, Any]], bool]:
        """What it says, as far as is bounded, until it says that it is over or ends, and whether its time was over before.

        The time begins with its first word, and before that another one, in which walls are made.
        """
        said = bytearray()
        rest = memoryview(given)
        until = time.monotonic() + _START_S
        begun = False
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._out, selectors.EVENT_READ)
            waiting.register(self._err, selectors.EVENT_READ)
            waiting.register(self._in, selectors.EVENT_WRITE)
            while self._out in {key.fd for key in waiting.get_map().values()}:
                if (left := until - time.monotonic()) <= 0:
                    return _unframed(said), True
                for key, _ in waiting.select(left):
                    if key.fd == self._in:
                        rest = self._give(rest)
                        if not rest:
                            waiting.unregister(key.fd)
                        continue
                    some = os.read(key.fd, 2**16)
                    if not some:
                        waiting.unregister(key.fd)
                    into = said if key.fd == self._out else self._complaint
                    into += some[: _MOST_SAID - len(into)]
                if not begun and said:
                    begun, until = True, time.monotonic() + seconds
                if (found := _unframed(said)) and "over" in found[-1]:
                    return found, False
        return _unframed(said), False

    def _give(self, rest: memoryview) -> memoryview:
        try:
            return rest[os.write(self._in, rest) :]
        except OSError:  # it has ended, which its other streams tell
            return rest[:0]

    def complaint(self) -> str:
        """What it said last on its error stream, once it has ended."""
        if not self._complaint:
            with suppress(OSError, ValueError):  # closed, or nothing there
                os.set_blocking(self._err, False)
                self._complaint += os.read(self._err, _MOST_SAID)
        text = bytes(self._complaint).decode(errors="replace").strip().rpartition("\n")[2]
        return str(_reason(text))[:_LONGEST_REASON]

    def kill(self) -> None:
        """End it, and with it all that it started: they are told by Linux, and behind walls nothing outlives the first process."""
        with self._lock:
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def end(self) -> None:
        """As `kill`, where nobody listens to it any more."""
        self.kill()
        for one in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                if one is not None:
                    one.close()


def _environment() -> dict[str, str]:
    """What an interpreter may need to be started, and what keeps its threads from claiming addresses; the answer's process sees none of it."""
    return {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ} | MEMORY


def _reason(text: str) -> Any:
    """What `evalkit.sandbox.within.walls.fail` said, or what another program did."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _framed(message: dict[str, Any]) -> bytes:
    data = json.dumps(message).encode()
    return len(data).to_bytes(4, "big") + data


def _unframed(data: bytearray) -> list[dict[str, Any]]:
    found, at = [], 0
    while len(data) - at >= 4 and len(data) - at - 4 >= (size := int.from_bytes(data[at : at + 4], "big")):
        try:
            one = json.loads(data[at + 4 : at + 4 + size])
        except (ValueError, RecursionError):
            break
        if not isinstance(one, dict):
            break
        found.append(one)
        at += 4 + size
    return found


def version() -> str:
    """The interpreter that answers are run by."""
    return f"{sys.implementation.name} {'.'.join(map(str, sys.version_info[:3]))}"
