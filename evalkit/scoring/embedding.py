"""Asks an endpoint for the embeddings that a run lacks, and records each vector the moment it exists."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from evalkit.collect.budget import Asked, Spent
from evalkit.collect.session import Terms, asked
from evalkit.experiment.endpoint import Endpoint
from evalkit.metrics.group import Floats
from evalkit.plan.requests import Plan, Request
from evalkit.scoring.gather import texts_of
from evalkit.store.embeddings import FILE, FORM, Embedding, Embeddings, key_of, packed
from evalkit.store.journal import Journal
from evalkit.store.records import Failure, Record, Usage

if TYPE_CHECKING:
    from evalkit.client.client import Client
from evalkit.client.reply import Reply

_MOST_TEXTS, _MOST_CHARS = 64, 100_000
_MOST_NUMBERS = 100_000


def embed(folder: Path, plan: Plan, endpoint: Endpoint, terms: Terms, earlier: tuple[Spent, ...] = ()) -> Asked:
    """Ask for the vector of each text in `folder` that has none, many in one call; tells how many stay without.

    Args:
        plan: the answers that it asks for are embedded, and fresh replicates.
        earlier: what was spent before, of the same budget.

    Raises:
        RecordError: the records cannot be read, or the vectors cannot be written.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    wanted = frozenset(request.key for request in plan)
    spent = Spent(endpoint.prices, earlier=earlier)
    work = _Work(folder, plan, wanted, endpoint)
    stopped = work.ask(terms, spent, together=True)
    if work.alone:  # a call is refused whole where one of its texts is too long
        stopped = work.ask(terms, spent, together=False)
    if stopped:
        terms.tell(f"warning: embeddings stopped: {stopped}; run again to go on")
    if told := work.lacking():
        terms.tell(told)
    return Asked("embeddings", spent)


class _Work:
    """What is to be embedded in one folder.

    Attributes:
        alone: keys of texts whose call was refused, which are then sent one by one.
    """

    def __init__(self, folder: Path, plan: Plan, wanted: frozenset[str], endpoint: Endpoint) -> None:
        self._folder, self._plan, self._wanted, self._endpoint = folder, plan, wanted, endpoint
        self._found = Embeddings(folder, endpoint)
        self.alone: set[str] = set()
        self._width = self._found.width
        self._came: dict[str, list[Embedding]] = {}

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Each text that is to have a vector, with its key, as often as it comes."""
        for _, text in texts_of(self._folder, self._plan, self._wanted):
            if text.strip():
                yield key_of(self._endpoint, text), text

    def _batches(self, retry_failed: bool, together: bool) -> Iterator[Request]:
        seen: set[str] = set()
        keys: list[str] = []
        texts: list[str] = []
        chars = 0
        for key, text in self._texts():
            if key in seen or not (self._found.wants(key, retry_failed) if together else key in self.alone):
                continue
            seen.add(key)
            if keys and (not together or len(keys) == _MOST_TEXTS or chars + len(text) > _MOST_CHARS):
                yield self._request(keys, texts)
                keys, texts, chars = [], [], 0
            keys.append(key)
            texts.append(text)
            chars += len(text)
        if keys:
            yield self._request(keys, texts)

    def _request(self, keys: list[str], texts: list[str]) -> Request:
        body = {"model": self._endpoint.model, **self._endpoint.extra_body, "input": texts}
        # What a record says of its cell is here which texts were sent.
        return Request(keys[0], 0, 0, "", {"keys": keys}, 0, None, self._endpoint.model, body, [])

    def ask(self, terms: Terms, spent: Spent, *, together: bool) -> str | None:
        """Make the calls; the reason where it stopped before all were made."""
        count = sum(1 for _ in self._batches(terms.retry_failed, together))
        if not count:
            return None
        terms.tell(f"embeddings: {count:,} calls to make{'' if together else ', a text each'}")
        with Journal(self._folder / FILE, FORM) as journal:
            if journal.mended:
                terms.tell(journal.mended)

            def record(one: Record) -> None:
                for embedding in self._taken(one, together):
                    journal.append(embedding)

            requests = self._batches(terms.retry_failed, together)
            stopped = asked(
                self._endpoint, requests, count, terms, spent, record=record, sync=journal.sync, sender=lambda client: _Sender(client, self)
            )
        self._found = Embeddings(self._folder, self._endpoint)
        return stopped

    def _taken(self, record: Record, together: bool) -> list[Embedding]:
        keys: list[str] = record.cell["keys"]
        if not isinstance(record.outcome, Failure):
            return self._came.pop(record.key)
        if together and len(keys) > 1 and record.outcome.kind == "rejected":
            self.alone.update(keys)
            return []
        return [Embedding(key=key, failure=record.outcome) for key in keys]

    def read(self, request: Request, raw: bytes) -> Usage | None:
        """Keep the vectors that an answer holds; raises ValueError where it is no answer to the request."""
        keys: list[str] = request.cell["keys"]
        answer = _decoded(raw)
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
            raise ValueError(f"not an answer with embeddings: {raw[:200].decode('utf-8', 'replace')}")
        if len(rows) != len(keys):
            raise ValueError(f"{len(rows)} embeddings for {len(keys)} texts")
        places = [one.get("index", number) for number, one in enumerate(rows)]
        if sorted(map(repr, places)) != sorted(map(repr, range(len(keys)))):
            raise ValueError(f"the embeddings are numbered {str(places)[:60]}; expected each number from 0 to {len(keys) - 1} once")
        self._came[request.key] = [self._embedding(keys[place], one.get("embedding")) for place, one in zip(places, rows, strict=True)]
        return _usage(answer.get("usage"))

    def _embedding(self, key: str, given: object) -> Embedding:
        try:
            vector = _vector(given)
            if self._width and len(vector) != self._width:
                raise ValueError(f"a vector of {len(vector)} numbers; expected {self._width} as before")
        except ValueError as fault:  # the same text would bring the same
            return Embedding(key=key, failure=Failure(kind="rejected", message=str(fault), tries=1))
        self._width = len(vector)
        return Embedding(key=key, vector=packed(vector))

    def lacking(self) -> str:
        """How many answers have no vector, and why; empty where all have one."""
        why: Counter[str] = Counter()
        answers = 0
        for key, _ in self._texts():
            answers += 1
            if self._found.wants(key, True):
                failure = self._found.failed(key)
                why[f"{failure.kind} ({failure.message})" if failure else "not asked"] += 1
        if not why:
            return ""
        reasons = ", ".join(f"{count} {kind}" for kind, count in why.most_common(5))
        return f"warning: embeddings: {why.total():,} of {answers:,} answers have none, and their groups are left out: {reasons}"


class _Sender:
    """A client as the runner wants it, whose calls ask for embeddings."""

    def __init__(self, client: Client, work: _Work) -> None:
        self._client, self._work = client, work

    async def send(self, request: Request, choices: int = 1) -> Reply:  # noqa: ARG002 (of chat)
        """One call for one batch of texts."""
        return await self._client.post("/embeddings", request.body, lambda raw: self._work.read(request, raw))


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # NaN is no JSON, and some servers send it
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _vector(given: object) -> Floats:
    """A vector as numbers; raises ValueError where it is none, or has no direction."""
    try:
        if isinstance(given, str):
            vector = np.frombuffer(base64.b64decode(given, validate=True), dtype="<f4")
        elif isinstance(given, list) and all(isinstance(one, int | float) and not isinstance(one, bool) for one in given):
            with np.errstate(over="ignore"):
                vector = np.array(given, dtype=float).astype("<f4")
        else:
            raise ValueError("no list of numbers")
    except (ValueError, OverflowError) as fault:
        raise ValueError(f"not a vector: {fault}") from None
    if not 0 < len(vector) <= _MOST_NUMBERS:
        raise ValueError(f"a vector of {len(vector):,} numbers")
    if not np.isfinite(vector).all():
        raise ValueError("a vector with a number that is not finite")
    if not vector.any():
        raise ValueError("a vector of zeros, which has no direction")
    return vector.astype(float)


def _usage(given: object) -> Usage | None:
    tokens = given.get("prompt_tokens") if isinstance(given, dict) else None
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 0:
        return None
    return Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
