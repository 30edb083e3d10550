"""``responses.jsonl``: one line for each outcome, appended the moment it exists. All else can be made again from it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from evalkit.errors import RecordError
from evalkit.plan.requests import Request, Role
from evalkit.store import journal
from evalkit.store.journal import Form, Journal

VERSION = 1
RESPONSES = "responses.jsonl"

Kind = Literal["account", "auth", "rejected", "rate_limited", "server", "timeout", "connection", "interrupted", "malformed", "refused_by_filter"]

Ending = Literal["whole", "cut", "filtered", "refused", "broken", "unknown"]
"""How an answer ended: of itself, by the limit of tokens, by a filter, as the model's refusal, broken off; or nobody says."""

NOT_SENT_AGAIN: frozenset[Kind] = frozenset({"rejected", "refused_by_filter"})
"""Kinds of failure that would come again: their requests are sent again only when asked for. A key can be renewed and an account filled up."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens as the endpoint counts them; None where it does not say.

    Attributes:
        reasoning_tokens: thought and not shown; some endpoints count them in `completion_tokens`, some beside them.
        cached_tokens: of the prompt, which the endpoint had read before.
        cost: what the endpoint says that the call costs, in its own currency.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cost: float | None = None

    @property
    def billed_tokens(self) -> int | None:
        """Tokens that are billed as output: where the total is more than prompt and completion, what is hidden between them is, too."""
        if self.completion_tokens is None or self.prompt_tokens is None or self.total_tokens is None:
            return self.completion_tokens
        return max(self.completion_tokens, self.total_tokens - self.prompt_tokens)


class Completion(msgspec.Struct, frozen=True, kw_only=True, tag="completion", omit_defaults=True):
    """An answer, as it was sent.

    Attributes:
        text: the content; empty where the answer is a tool's call alone.
        finish_reason: as sent; None where the endpoint says none.
        latency_s: from sending the request to the last byte; None where nobody timed it, as in a batch.
        time_to_first_token_s: to the first visible part, reasoning and tool calls included; None where the answer did not stream.
        tokens_per_s: completion tokens over latency; None where the endpoint does not count tokens.
        usage_shared_by: choices of one call that `usage` counts together.
        tool_calls: in the form of the API, the arguments as the text that was sent.
        reasoning: what a reasoning model thought aloud, which some servers send beside the content.
        logprobs: by token, where they were asked for.
        unmet: what was asked for and not given, a sentence each.
        repaired: characters that no encoding holds were replaced by U+FFFD.
        masked: the key stood in it, and ``[key]`` stands in its place.
        ending: how it ended, where something else than the finish reason tells.
        batched: it came by a batch.
    """

    text: str
    finish_reason: str | None
    usage: Usage | None
    latency_s: float | None
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
    masked: bool = False
    ending: Ending | None = None
    batched: bool = False


class Failure(msgspec.Struct, frozen=True, kw_only=True, tag="failure"):
    """A request that got no answer: the kind of trouble, the server's words and its HTTP status, if there was one.

    Attributes:
        usage: what the call used all the same.
    """

    kind: Kind
    message: str
    tries: int
    status: int | None = None
    param: str | None = None
    code: str | None = None
    latency_s: float | None = None
    usage: Usage | None = None


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


FORM = Form(Record, VERSION)


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
        at=moment(),
        outcome=outcome,
    )


def moment() -> str:
    """The time, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RecordWriter(Journal[Record]):
    """Appends records to a results folder; see `Journal`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / RESPONSES, FORM)


def read(folder: Path) -> Iterator[Record]:
    """The records of a results folder, in the order they came; a torn last line is passed over.

    Raises:
        RecordError: a line is no record, with its number; nothing is changed.
    """
    return journal.read(folder / RESPONSES, FORM)


def latest(records: Iterable[Record], wanted: Container[str]) -> dict[str, Record]:
    """By key, the record that counts of those `wanted`: the first completion, which counts for ever, else the last failure."""
    found: dict[str, Record] = {}
    for record in records:
        if record.key in wanted:
            before = found.get(record.key)
            if before is None or not isinstance(before.outcome, Completion):
                found[record.key] = record
    return found


class BriefOutcome(msgspec.Struct, gc=False):
    """Of an outcome whether it is a completion or a failure, and of which kind."""

    type: str
    kind: Kind | None = None


class Brief(msgspec.Struct, gc=False):
    """Of a record what tells whether its request has its answer; read without the answer itself."""

    v: int
    key: str
    outcome: BriefOutcome


_BRIEFS = Form(Brief, VERSION)


class Standing:
    """Which requests have their answer, and how the others failed last; a hundred bytes a request, whatever the answers hold."""

    def __init__(self) -> None:
        self._done: set[bytes] = set()
        self._failed: dict[bytes, Kind] = {}

    def add(self, key: str, kind: Kind | None) -> None:
        """Note an outcome: None for a completion, else the kind of the failure. A completion counts for ever, of failures the last."""
        short = packed(key)
        if kind is None:
            self._done.add(short)
            self._failed.pop(short, None)
        elif short not in self._done:
            self._failed[short] = kind

    def wants(self, key: str, retry_failed: bool) -> bool:
        """Whether a request is to be sent: it has no answer, and did not fail in a way that would come again."""
        short = packed(key)
        if short in self._done:
            return False
        return retry_failed or self._failed.get(short) not in NOT_SENT_AGAIN

    def has(self, key: str) -> bool:
        """Whether a request has an outcome, be it a failure."""
        short = packed(key)
        return short in self._done or short in self._failed

    def answered(self, key: str) -> bool:
        """Whether a request has its answer."""
        return packed(key) in self._done

    def __len__(self) -> int:
        return len(self._done) + len(self._failed)


def answered_lines(stored: Iterable[bytes], lines: Iterable[bytes]) -> dict[bytes, bytes]:
    """Of `lines` the answers whose requests have an answer among the `stored` lines too, each with that one.

    Raises:
        RecordError: a line is no record.
    """
    decoder = msgspec.json.Decoder(Brief)

    def key(line: bytes) -> str | None:
        """Of an answer its key; None of a failure."""
        try:
            brief = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise RecordError(f"{RESPONSES}: holds a line that is no record of evalkit; nothing was changed") from None
        return brief.key if brief.outcome.type == "completion" else None

    wanted = {found: line for line in lines if (found := key(line)) is not None}
    return {wanted[found]: line for line in stored if (found := key(line)) in wanted and found is not None} if wanted else {}


def repeated_answers(lines: Iterable[bytes]) -> list[int]:
    """The places, from 0, of answers to requests that have one in an earlier line; a line that is no record is left to whoever reads it."""
    decoder = msgspec.json.Decoder(Brief)
    seen: set[bytes] = set()
    out = []
    for number, line in enumerate(lines):
        try:
            brief = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
        if brief.outcome.type != "completion":
            continue
        key = packed(brief.key)
        if key in seen:
            out.append(number)
        seen.add(key)
    return out


def packed(key: str) -> bytes:
    """A key in few bytes."""
    try:
        return bytes.fromhex(key)
    except ValueError:
        return key.encode("utf-8", "surrogatepass")


def standing(folder: Path) -> Standing:
    """What stands in a results folder, read without the answers. Raises `RecordError` as `read` does."""
    out = Standing()
    for brief in journal.read(folder / RESPONSES, _BRIEFS):
        out.add(brief.key, None if brief.outcome.type == "completion" else brief.outcome.kind or "malformed")
    return out
