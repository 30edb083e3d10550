"""Files of answers, as batches bring them: a line an answer in any order, told apart by the keys of their requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import msgspec

from evalkit.client.reply import Reply
from evalkit.errors import RecordError
from evalkit.plan.requests import Request
from evalkit.store.records import Outcome, Standing, packed

_NOT_DONE = frozenset(("batch_expired", "batch_cancelled", "batch_canceled"))
"""Codes of requests that were not asked before the batch ended."""


class _Response(msgspec.Struct):
    status_code: int
    body: msgspec.Raw


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None
    method: str = ""


class _Place(NamedTuple):
    """Where a line stands; an answer is worth more than an error."""

    file: int
    at: int
    length: int
    worth: int


class Answers:
    """The answers in files, by key: of several of one request the first that is one.

    Args:
        files: open for reading, from their beginning.
        name: what they are called in messages.

    Attributes:
        unread: lines that cannot be read.
        requests: lines that ask, and answer nothing: of a file of requests.
    """

    def __init__(self, files: Sequence[IO[bytes]], name: str) -> None:
        self._files, self._name = files, name
        self._places: dict[bytes, _Place] = {}
        self.unread = self.requests = 0
        decoder = msgspec.json.Decoder(_Line)
        for number, file in enumerate(files):
            at = 0
            for line in file:
                if line.strip():
                    self._note(decoder, number, at, line)
                at += len(line)

    def _note(self, decoder: msgspec.json.Decoder[_Line], number: int, at: int, line: bytes) -> None:
        try:
            one = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.unread += 1
            return
        if one.method and one.response is None and one.error is None:
            self.requests += 1
            return
        worth = 2 if one.response is not None and 200 <= one.response.status_code < 300 else 1 if one.response is not None else 0
        before = self._places.get(packed(one.custom_id))
        if before is None or worth > before.worth:
            self._places[packed(one.custom_id)] = _Place(number, at, len(line), worth)

    def __len__(self) -> int:
        return len(self._places)

    def left(self, there: Standing) -> int:
        """How many answers nobody has taken, of requests that have none yet."""
        return sum(place.worth > 0 and not there.answered(key.hex()) for key, place in self._places.items())

    def take(self, requests: Iterable[Request], read: Callable[[int, bytes, Request], Reply]) -> Iterator[tuple[Request, Outcome]]:
        """What came of those of `requests` that are answered here, each once; what was not asked before a batch ended has no outcome.

        What met an account without money or a key that is refused is nobody's outcome, and stays to be asked.

        Args:
            read: makes a reply of a status and a body.
        """
        decoder = msgspec.json.Decoder(_Line)
        for request in requests:
            place = self._places.pop(packed(request.key), None)
            if place is None:
                continue
            file = self._files[place.file]
            file.seek(place.at)
            line = decoder.decode(file.read(place.length))
            if line.response is not None:
                reply = read(line.response.status_code, bytes(line.response.body), request)
            elif line.error is None or _code(line.error) in _NOT_DONE:
                continue
            else:
                reply = read(0, msgspec.json.encode({"error": line.error}), request)
            if reply.fault not in ("account", "key"):
                yield request, reply.outcome

    def holds(self, key: str) -> bool:
        """Whether a request is answered here."""
        return packed(key) in self._places

    def check(self) -> None:
        """Raise `RecordError` where the files hold no answers at all."""
        if self.requests:
            raise RecordError(
                f"{self._name}: a file of requests, not of answers; hand it to the endpoint's console or to vllm run-batch, and read what comes of it"
            )
        if not self._places:
            raise RecordError(f"{self._name}: holds no answer of a batch; expected lines with custom_id and response")


def _code(error: Any) -> str:
    return str(error.get("code", "")) if isinstance(error, dict) else ""
