"""The bytes of an event stream, as the network delivered them, to one answer a choice.

Reads are kept with their times and decoded once, when the stream has ended: decoding each event as it arrives would make the client
measure itself. However the bytes were cut into reads, the answers are the same; only the time of the first token comes from the reads.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from evalkit.store.records import Usage

MASK = "[key]"
"""What stands where a secret stood."""

_DONE = b"[DONE]"


class ToolCallPiece(msgspec.Struct):
    """Part of a tool call; parts of one call share their index."""

    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: dict[str, Any] | None = None


class Delta(msgspec.Struct):
    """What one chunk adds to a choice. Plain answers carry the same fields in their message."""

    content: str | list[Any] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None


class StreamedChoice(msgspec.Struct):
    """One choice of one chunk."""

    index: int | None = None
    delta: Delta | None = None
    finish_reason: Any = None
    logprobs: dict[str, Any] | None = None


class Chunk(msgspec.Struct):
    """One event. Everything may be missing, and what stands beside the choices of any type: no answer is lost for it."""

    choices: list[StreamedChoice] | None = None
    usage: Any = None
    model: Any = None
    system_fingerprint: Any = None
    id: Any = None
    error: Any = None


class Answered:
    """What has come of one choice, put together from its deltas."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._logprobs: list[Any] = []
        self.finish_reason: str | None = None

    def add(self, choice: StreamedChoice) -> bool:
        """Take one chunk's part; tells whether it held anything a reader would see."""
        self.finish_reason = word(choice.finish_reason) or self.finish_reason
        if choice.logprobs and isinstance(choice.logprobs.get("content"), list):
            self._logprobs += choice.logprobs["content"]
        delta = choice.delta
        if delta is None:
            return False
        text = text_of(delta.content)
        reasoning = delta.reasoning or delta.reasoning_content
        if text:
            self._text.append(text)
        if reasoning:
            self._reasoning.append(reasoning)
        if delta.refusal:
            self._refusal.append(delta.refusal)
        for position, piece in enumerate(delta.tool_calls or ()):
            self._add_call(piece, position)
        return bool(text or reasoning or delta.refusal or delta.tool_calls)

    def _add_call(self, piece: ToolCallPiece, position: int) -> None:
        call = self._calls.setdefault(position if piece.index is None else piece.index, {"id": None, "name": "", "arguments": []})
        call["id"] = call["id"] or piece.id
        function = piece.function or {}
        if isinstance(function.get("name"), str):
            call["name"] = call["name"] or function["name"]
        arguments = function.get("arguments")
        if arguments:
            call["arguments"].append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def mask(self, secrets: Iterable[str]) -> bool:
        """Put `MASK` for each of the secrets wherever the answer quotes it; tells whether it did. Log probabilities, which spell it, go."""
        found = False
        texts = (self._text, self._reasoning, self._refusal, *(call["arguments"] for call in self._calls.values()))
        for parts in texts:
            whole = "".join(parts)
            for secret in secrets if whole else ():
                if secret in whole:
                    whole = whole.replace(secret, MASK)
                    parts[:] = [whole]
                    found = True
        for secret in secrets if self._calls else ():
            for call in self._calls.values():
                for name in ("id", "name"):
                    if secret in (call[name] or ""):
                        call[name] = call[name].replace(secret, MASK)
                        found = True
        if found:
            self._logprobs = []
        return found

    @property
    def text(self) -> str:
        """The content."""
        return "".join(self._text)

    @property
    def reasoning(self) -> str | None:
        """What a reasoning model thought aloud."""
        return "".join(self._reasoning) or None

    @property
    def refusal(self) -> str | None:
        """The model's own words of refusal."""
        return "".join(self._refusal) or None

    @property
    def logprobs(self) -> list[Any] | None:
        """Log probabilities by token, as sent."""
        return self._logprobs or None

    @property
    def tool_calls(self) -> list[dict[str, Any]] | None:
        """The calls, in the form of the API, arguments as the text that was sent."""
        calls = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": "".join(call["arguments"])}}
            for _, call in sorted(self._calls.items())
        ]
        return calls or None


class Streamed(NamedTuple):
    """A stream, read to its end.

    Attributes:
        choices: by index.
        done: it said ``[DONE]``.
        ended: it said that it was over, by ``[DONE]`` or by a finish reason for every choice.
        error: the body of an error that came in mid-stream.
        first: index of the read with which the first visible part was complete; None where none came.
        repaired: characters that no encoding holds were replaced.
    """

    choices: dict[int, Answered]
    usage: Usage | None
    model: str | None
    system_fingerprint: str | None
    id: str | None
    done: bool
    ended: bool
    error: Any
    first: int | None
    repaired: bool


class BrokenStreamError(ValueError):
    """An event holds something other than a chunk; the text is the event's."""


def text_of(content: str | list[Any] | None) -> str:
    """The text of a message's or delta's content, of which servers send strings, lists of parts, or nothing."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(part for part in parts if isinstance(part, str))
    return content or ""


def word(value: Any) -> str | None:
    """A string, and nothing else."""
    return value if isinstance(value, str) else None


_MOST_TOKENS = 2**53


def usage_of(value: Any) -> Usage | None:
    """The token counts, as far as they are counts; None where there are none."""
    if not isinstance(value, dict):
        return None
    counts: dict[str, int | None] = {}
    for name in Usage.__struct_fields__:
        try:
            count = int(value[name])
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
        if 0 <= count < _MOST_TOKENS and not isinstance(value[name], bool):
            counts[name] = count
    return Usage(**counts)


def decode(reads: Sequence[bytes]) -> Streamed:
    """The answers in a whole event stream. Raises `BrokenStreamError` where an event is not a chunk."""
    raw = b"".join(reads)
    payloads, ends, done = _payloads(raw)
    chunks, repaired = _chunks(payloads)
    choices: dict[int, Answered] = {}
    usage = model = fingerprint = identity = error = first_end = None
    for chunk, end in zip(chunks, ends, strict=True):
        usage = usage_of(chunk.usage) or usage
        model, fingerprint = model or word(chunk.model), fingerprint or word(chunk.system_fingerprint)
        identity = identity or word(chunk.id)
        error = error or chunk.error
        for choice in chunk.choices or ():
            if choices.setdefault(choice.index or 0, Answered()).add(choice) and first_end is None:
                first_end = end
    ended = done or (bool(choices) and all(one.finish_reason for one in choices.values()))
    first = None if first_end is None else bisect_left(list(accumulate(map(len, reads))), first_end)
    return Streamed(choices, usage, model, fingerprint, identity, done, ended, error, first, repaired)


def _payloads(raw: bytes) -> tuple[list[bytes], list[int], bool]:
    """The data of each event and the offset where it was complete; whether the end was announced. An event cut off at the very end is left out."""
    payloads: list[bytes] = []
    ends: list[int] = []
    done = False
    for data, end, whole in _events(raw):
        if data == _DONE:
            done = True
        elif whole or _is_json(data):
            payloads.append(data)
            ends.append(end)
    return payloads, ends, done


def _events(raw: bytes) -> Iterator[tuple[bytes, int, bool]]:
    """(data, offset of its end, whether its end was there) of each event with data; line ends of all three kinds."""
    data: list[bytes] = []
    at = end = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
    for line in raw[at:].splitlines(keepends=True):
        at += len(line)
        text = line.rstrip(b"\r\n")
        if not text:
            if data:
                yield b"\n".join(data), end, True
                data = []
        elif text.startswith(b"data:"):
            data.append(text[5:].strip(b" "))
            end = at
    if data:
        yield b"\n".join(data), end, False


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


_all = msgspec.json.Decoder(list[Chunk], strict=False)
_one = msgspec.json.Decoder(Chunk, strict=False)


def _chunks(payloads: Sequence[bytes]) -> tuple[list[Chunk], bool]:
    try:
        together = _all.decode(b"[" + b",".join(payloads) + b"]")
        if len(together) == len(payloads):
            return together, False
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # one by one tells which event is at fault
    chunks: list[Chunk] = []
    repaired = False
    for payload in payloads:
        try:
            chunks.append(_one.decode(payload))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            try:
                data = json.loads(payload, parse_constant=lambda _: None)
                sound = mended(data)
                chunks.append(Chunk() if sound is None else msgspec.convert(sound, Chunk, strict=False))
                repaired = repaired or sound != data
            except (ValueError, RecursionError, msgspec.MsgspecError):
                raise BrokenStreamError(payload[:1000].decode("utf-8", "replace")) from None
    return chunks, repaired


def mended(value: Any) -> Any:
    """Plain data with lone surrogates, which json lets through and no encoding holds, replaced by U+FFFD."""
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [mended(one) for one in value]
        case dict():
            return {mended(key): mended(one) for key, one in value.items()}
        case _:
            return value
