"""Asks an endpoint for the embeddings that a run lacks, and records each vector the moment it exists."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from evalkit.collect.budget import Besides, Spent
from evalkit.collect.calls import Call
from evalkit.collect.session import Terms, asked
from evalkit.experiment.endpoint import Endpoint
from evalkit.metrics.group import Floats
from evalkit.plan.requests import Plan
from evalkit.scoring.gather import texts_of
from evalkit.store.embeddings import FILE, FORM, Embedding, Embeddings, key_of, packed
from evalkit.store.journal import Journal
from evalkit.store.records import Failure, Outcome, Usage
from evalkit.text.notes import note, warning
from evalkit.text.numbers import counted

if TYPE_CHECKING:
    from evalkit.client.client import Client
    from evalkit.client.reply import Reply

_MOST_TEXTS, _MOST_CHARS = 64, 100_000
_MOST_NUMBERS = 100_000


def embed(folder: Path, plan: Plan, endpoint: Endpoint, terms: Terms, earlier: tuple[Spent, ...] = ()) -> Besides:
    """Ask for the vector of each text in `folder` that has none, many in one call; tells how many stay without.

    Args:
        plan: the answers that it asks for are embedded, and fresh replicates.
        earlier: what was spent before, of the same budget.

    Raises:
        RecordError: the records cannot be read, or the vectors cannot be written.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    spent = Spent(endpoint.prices, earlier=earlier)
    work = _Batches(folder, plan, endpoint)
    stopped = work.ask(terms, spent, together=True)
    if work.alone:  # a call is refused whole where one of its texts is too long
        stopped = work.ask(terms, spent, together=False)
    if stopped:
        terms.tell(warning(f"embeddings stopped: {stopped}; run again to go on"))
    if told := work.lacking():
        terms.tell(warning(told))
    return Besides("embeddings", spent)


def unembedded(folder: Path, plan: Plan, endpoint: Endpoint) -> int:
    """How many different texts in `folder` are still to be asked a vector for. Raises `RecordError`."""
    return sum(map(len, _Batches(folder, plan, endpoint).waiting()))


class _Batches:
    """What is to be embedded in one folder: each text is taken once, and kept only as long as it has no vector.

    Attributes:
        alone: keys of texts whose call was refused, which are then sent one by one.
    """

    def __init__(self, folder: Path, plan: Plan, endpoint: Endpoint) -> None:
        self._folder, self._endpoint = folder, endpoint
        self._found = Embeddings(folder, endpoint)
        self.alone: set[str] = set()
        self._width = self._found.width
        self._counts: Counter[str] = Counter()
        self._texts: dict[str, str] = {}
        for _, text in texts_of(folder, plan, frozenset(request.key for request in plan)):
            if text.strip():
                key = key_of(endpoint, text)
                self._counts[key] += 1
                if key not in self._texts and self._found.wants(key, True):
                    self._texts[key] = text

    def _batched(self, retry_failed: bool, together: bool) -> list[list[str]]:
        """The keys of the texts that are to be sent, a list for each call."""
        out: list[list[str]] = []
        chars = 0
        for key, text in self._texts.items():
            if not (self._found.wants(key, retry_failed) if together else key in self.alone):
                continue
            if not out or not together or len(out[-1]) == _MOST_TEXTS or chars + len(text) > _MOST_CHARS:
                out.append([])
                chars = 0
            out[-1].append(key)
            chars += len(text)
        return out

    def waiting(self) -> list[list[str]]:
        """The keys of the texts that have no vector and none refused, a list for each call."""
        return self._batched(retry_failed=False, together=True)

    def ask(self, terms: Terms, spent: Spent, *, together: bool) -> str | None:
        """Make the calls; the reason where it stopped before all were made."""
        batches = self._batched(terms.retry_failed, together)
        if not batches:
            return None
        terms.tell(note(f"embeddings: {counted(len(batches), 'call')} to make{'' if together else ', a text each'}"))
        with Journal(self._folder / FILE, FORM) as journal:
            if journal.mended:
                terms.tell(note(journal.mended))
            calls = (self._call(keys, together, journal.append) for keys in batches)
            stopped = asked(self._endpoint, calls, len(batches), terms, spent, journal.sync)
        self._found = Embeddings(self._folder, self._endpoint)
        return stopped

    def _call(self, keys: list[str], together: bool, append: Callable[[Embedding], None]) -> Call:
        texts = [self._texts[key] for key in keys]
        body = {"model": self._endpoint.model, **self._endpoint.extra_body, "input": texts}
        came: list[Embedding] = []

        def read(raw: bytes) -> Usage | None:
            came[:], usage = self._read(keys, raw)
            return usage

        def send(client: Client, _: int) -> Awaitable[Reply]:
            return client.post("/embeddings", body, read)

        def keep(outcome: Outcome, _: int) -> None:
            if not isinstance(outcome, Failure):
                for embedding in came:
                    append(embedding)
            elif together and len(keys) > 1 and outcome.kind == "rejected":
                self.alone.update(keys)
            else:
                for key in keys:
                    append(Embedding(key=key, failure=outcome))

        return Call(keys[0], send, keep, size=sum(map(len, texts)) / 4)

    def _read(self, keys: list[str], raw: bytes) -> tuple[list[Embedding], Usage | None]:
        """The vectors that an answer holds, and its usage; raises ValueError where it is no answer to the request."""
        answer = _decoded(raw)
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list) or not all(isinstance(one, dict) for one in rows):
            raise ValueError(f"not an answer with embeddings: {raw[:200].decode('utf-8', 'replace')}")
        if len(rows) != len(keys):
            raise ValueError(f"{len(rows)} embeddings for {len(keys)} texts")
        places = [one.get("index", number) for number, one in enumerate(rows)]
        if sorted(map(repr, places)) != sorted(map(repr, range(len(keys)))):
            raise ValueError(f"the embeddings are numbered {str(places)[:60]}; expected each number from 0 to {len(keys) - 1} once")
        found = [self._embedding(keys[place], one.get("embedding")) for place, one in zip(places, rows, strict=True)]
        return found, _usage(answer.get("usage"))

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
        for key, count in self._counts.items():
            if self._found.wants(key, True):
                failure = self._found.failed(key)
                why[f"{failure.kind} ({failure.message})" if failure else "not asked"] += count
        if not why:
            return ""
        reasons = ", ".join(f"{count} {kind}" for kind, count in why.most_common(5))
        return f"embeddings: {why.total():,} of {self._counts.total():,} answers have none, and their groups are left out: {reasons}"


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
