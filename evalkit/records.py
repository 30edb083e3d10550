"""``responses.jsonl``: one line for each outcome, appended the moment it exists. All else can be made again from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

import msgspec

from evalkit.errors import RecordError
from evalkit.plan import Request, Role

VERSION = 1
FILE = "responses.jsonl"

Kind = Literal["auth", "rejected", "rate_limited", "server", "timeout", "connection", "interrupted", "malformed", "refused_by_filter"]

NOT_SENT_AGAIN: frozenset[Kind] = frozenset({"rejected", "auth", "refused_by_filter"})
"""Kinds of failure that would come again: their requests are sent again only when asked for."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens as the endpoint counts them; None where it does not say."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None


class Completion(msgspec.Struct, frozen=True, kw_only=True, tag="completion", omit_defaults=True):
    """An answer, as it was sent.

    Attributes:
        text: the content; empty where the answer is a tool's call alone.
        finish_reason: as sent; None where the endpoint says none.
        latency_s: from sending the request to the last byte.
        time_to_first_token_s: to the first visible part, reasoning and tool calls included; None where the answer did not stream.
        tokens_per_s: completion tokens over latency; None where the endpoint does not count tokens.
        usage_shared_by: choices of one call that `usage` counts together.
        tool_calls: in the form of the API, the arguments as the text that was sent.
        reasoning: what a reasoning model thought aloud, which some servers send beside the content.
        logprobs: by token, where they were asked for.
        unmet: what was asked for and not given, a sentence each.
        repaired: characters that no encoding holds were replaced by U+FFFD.
    """

    text: str
    finish_reason: str | None
    usage: Usage | None
    latency_s: float
    tries: int
    model: str | None = None
    system_fingerprint: str | None = None
    id: str | None = None
    time_to_first_token_s: float | None = None
    tokens_per_s: float | None = None
    usage_shared_by: int = 1
    tool_calls: list[dict[str, Any]] | None = None
    reasoning: str | None = None
    refusal: str | None = None
    logprobs: list[Any] | None = None
    unmet: list[str] = []
    repaired: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """A request that got no answer: the kind of trouble, the server's words and its HTTP status, if there was one."""

    kind: Kind
    message: str
    tries: int
    status: int | None = None
    param: str | None = None
    code: str | None = None
    latency_s: float | None = None


Outcome = Completion | Failure


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, and what came of it. `request` is the body as sent, without the messages."""

    v: int = VERSION
    key: str
    role: Role
    prompt_id: str
    cell: Mapping[str, Any]
    replicate: int
    seed: int | None
    model: str
    request: Mapping[str, Any]
    at: str
    outcome: Outcome


def record_of(request: Request, outcome: Outcome, together: int = 1) -> Record:
    """The record of an outcome that has just come; `together` requests were asked for in one call."""
    return Record(
        key=request.key,
        role=request.role,
        prompt_id=request.prompt_id,
        cell=request.cell,
        replicate=request.replicate,
        seed=request.seed,
        model=request.model,
        request=request.body if together == 1 else {**request.body, "n": together},
        at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        outcome=outcome,
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Record)
_NO_RECORD = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Version(msgspec.Struct):
    v: int


class Writer:
    """Appends records; open it under the folder's lock. A torn last line is mended first (`mended` tells what was done)."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
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
            _decoder.decode(tail)
        except _NO_RECORD:
            if _version(tail) > VERSION:
                raise RecordError(_newer(str(self._path), tail)) from None
            os.ftruncate(self._fd, size - len(tail))
            return f"{self._path}: the last line was torn ({len(tail)} bytes without an end); it is cut off and its request is sent again"
        self._write(b"\n")
        return f"{self._path}: the last line lacked its line end; it is whole and kept"

    def append(self, record: Record) -> None:
        """Write one record; raises `RecordError` where the disk refuses, with the file left ending in a whole line."""
        self._write(_encoder.encode(record) + b"\n")

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
            there = self._path.stat()
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

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def read(folder: Path) -> Iterator[Record]:
    """The records of a results folder, in the order they came; a torn last line is passed over.

    Raises:
        RecordError: a line is no record, with its number; nothing is changed.
    """
    return _decoded(folder / FILE, _decoder)


def _decoded(path: Path, decoder: msgspec.json.Decoder[_Versioned]) -> Iterator[_Versioned]:
    """Each line as `decoder` reads it; the rules of `read` hold."""
    for number, line in _lines(path):
        try:
            one = decoder.decode(line)
        except _NO_RECORD:
            if not line.endswith(b"\n") and _version(line) <= VERSION:
                return  # torn: the writer mends it, a reader must not
            raise _no_record(path, number, line) from None
        if one.v > VERSION:
            raise RecordError(_newer(f"{path}: line {number}", line))
        yield one


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    with file:
        for number, line in enumerate(file, 1):
            if not line.isspace():  # an editor's
                yield number, line


def _no_record(path: Path, number: int, line: bytes) -> RecordError:
    if _version(line) > VERSION:
        return RecordError(_newer(f"{path}: line {number}", line))
    return RecordError(
        f"{path}: line {number}: not a record of evalkit; nothing was changed. "
        "Mend or remove that line, or start over with --fresh (which keeps the old folder)"
    )


def _newer(where: str, line: bytes) -> str:
    return f"{where}: written by a newer evalkit (format {_version(line)}, this one reads {VERSION}); update evalkit"


def _version(line: bytes) -> int:
    """The format that a line says it has; 0 where it says none."""
    try:
        return msgspec.json.decode(line, type=_Version).v
    except _NO_RECORD:
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


class _Outcome(msgspec.Struct):
    type: str
    kind: Kind | None = None


class _Brief(msgspec.Struct):
    v: int
    key: str
    outcome: _Outcome


_Versioned = TypeVar("_Versioned", Record, _Brief)
_brief_decoder = msgspec.json.Decoder(_Brief)


class Standing:
    """Which requests have their answer, and how the others failed last; a hundred bytes a request, whatever the answers hold."""

    def __init__(self) -> None:
        self._done: set[bytes] = set()
        self._failed: dict[bytes, Kind] = {}

    def add(self, key: str, kind: Kind | None) -> None:
        """Note an outcome: None for a completion, else the kind of the failure. A completion counts for ever, of failures the last."""
        packed = _packed(key)
        if kind is None:
            self._done.add(packed)
            self._failed.pop(packed, None)
        elif packed not in self._done:
            self._failed[packed] = kind

    def wants(self, key: str, retry_failed: bool) -> bool:
        """Whether a request is to be sent: it has no answer, and did not fail in a way that would come again."""
        packed = _packed(key)
        if packed in self._done:
            return False
        return retry_failed or self._failed.get(packed) not in NOT_SENT_AGAIN

    def __len__(self) -> int:
        return len(self._done) + len(self._failed)


def _packed(key: str) -> bytes:
    try:
        return bytes.fromhex(key)
    except ValueError:
        return key.encode("utf-8", "surrogatepass")


def standing(folder: Path) -> Standing:
    """What stands in a results folder, read without the answers. Raises `RecordError` as `read` does."""
    out = Standing()
    for brief in _decoded(folder / FILE, _brief_decoder):
        out.add(brief.key, None if brief.outcome.type == "completion" else brief.outcome.kind or "malformed")
    return out
