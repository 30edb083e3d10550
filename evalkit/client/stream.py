"""The bytes of a reply to one answer a choice, be it an event stream, as the network delivered it, or a body by itself.

Reads are kept with their times and decoded once, when the stream has ended: decoding each event as it arrives would make the client
measure itself. However the bytes were cut into reads, the answers are the same; only the time of the first token comes from the reads.

Events are decoded by a schema, which is fast. What does not fit it is read field by field: an odd field costs that field, never the answer.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from evalkit.client.answered import Answered, Chunk, word
from evalkit.client.lenient import chunk_of, mended
from evalkit.client.outcome import says_error
from evalkit.client.usage import merged
from evalkit.store.records import Usage

_DONE = b"[DONE]"
_BETWEEN = b"\n\ndata:"
_MOST_CHOICES = 1_000


class Whole(NamedTuple):
    """A reply, read to its end.

    Attributes:
        choices: by index.
        done: it said ``[DONE]``.
        ended: it said that it was over: by a finish reason for every choice, or by ``[DONE]`` where no error came.
        error: the body of an error that came instead of answers, or in mid-stream.
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


def decode(reads: Sequence[bytes], choices: int = 1) -> Whole:
    """The answers in a whole event stream. Raises `BrokenStreamError` where an event is not a chunk.

    Args:
        choices: how many were asked for; of one, all parts belong together however they are numbered.
    """
    raw = b"".join(reads)
    usual = _usual(raw)
    if usual is None:
        return _decode_any(reads, raw, choices)
    chunks, repaired, done = usual
    found, first_event, error = _gather(chunks, choices)
    return _whole(chunks, found, done, _ended(found, done, error), error, _read_of(reads, raw, first_event), repaired)


def _decode_any(reads: Sequence[bytes], raw: bytes, choices: int) -> Whole:
    """As `decode`, event by event."""
    events = list(_events(raw))
    done = any(one.data == _DONE for one in events)
    kept = [one for one in events if one.data not in (_DONE, b"") and (one.whole or _is_json(one.data))]
    chunks, repaired = _chunks([one.data for one in kept], [one.name for one in kept])
    found, first_event, error = _gather(chunks, choices)
    error = error or next(("an event named error without a word" for one in events if one.name == b"error" and not one.data), None)
    first = None if first_event is None else bisect_left(list(accumulate(map(len, reads))), kept[first_event].end)
    return _whole(chunks, found, done, _ended(found, done, error), error, first, repaired)


def _ended(found: dict[int, Answered], done: bool, error: Any) -> bool:
    return (bool(found) and all(one.finish_reason for one in found.values())) or (done and error is None)


def _usual(raw: bytes) -> tuple[list[Chunk], bool, bool] | None:
    """The chunks of a stream in the form that nearly all have, a line and a blank line each, and as `_chunks` and `Whole.done`; None for another."""
    if not raw.startswith(b"data:") or not raw.endswith(b"\n\n") or b"\r" in raw:
        return None
    payloads = raw[5:-2].split(_BETWEEN)
    if raw.count(b"\n") != 2 * len(payloads):
        return None  # events of several lines, named ones, comments
    done = payloads[-1].strip(b" ") == _DONE
    if done:
        payloads.pop()
    try:
        chunks = _all.decode(b"[" + b",".join(payloads) + b"]")
        if len(chunks) != len(payloads):
            return None
        repaired = False
        for number, chunk in enumerate(chunks):
            if not chunk.choices or chunk.error:
                chunks[number], changed = _odd(payloads[number], b"")
                repaired = repaired or changed
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BrokenStreamError):
        return None
    return chunks, repaired, done


def _read_of(reads: Sequence[bytes], raw: bytes, event: int | None) -> int | None:
    """The number of the read with which that event of a usual stream was complete, its line end included."""
    if event is None:
        return None
    end = -1
    for _ in range(event + 1):
        end = raw.index(b"\n\n", end + 1)
    return bisect_left(list(accumulate(map(len, reads))), end + 1)


def read_body(raw: bytes, choices: int = 1) -> Whole | None:
    """The answers in a body that came whole, or the error in it; None where it is neither."""
    try:
        chunks, repaired = _chunks([raw.removeprefix(b"\xef\xbb\xbf").strip()], [b""])
    except BrokenStreamError:
        return None
    found, _, error = _gather(chunks, choices)
    for position, choice in enumerate(chunks[0].choices or ()):
        one = found.get(position)
        if one is not None and one.finish_reason is None:
            one.finish_reason = word(choice.finish_reason)  # as sent, be it empty
    if error is None and not any(one.present or one.finish_reason for one in found.values()):
        return None
    return _whole(chunks, found, True, True, error, None, repaired)


def _whole(chunks: Sequence[Chunk], found: dict[int, Answered], done: bool, ended: bool, error: Any, first: int | None, repaired: bool) -> Whole:
    told: list[Any] = []
    for chunk in chunks:
        if chunk.usage is not None:
            told.append(chunk.usage)
        if chunk.x_groq is not None and isinstance(chunk.x_groq, dict):
            told.append(chunk.x_groq.get("usage"))
        if chunk.choices:
            told += [one.usage for one in chunk.choices if one.usage is not None]
    usage = merged(told, visible=any(one.texts or one.thoughts or one.calls for one in found.values())) if told else None
    model = next((chunk.model for chunk in chunks if word(chunk.model)), None)
    fingerprint = next((chunk.system_fingerprint for chunk in chunks if word(chunk.system_fingerprint)), None)
    identity = next((chunk.id for chunk in chunks if word(chunk.id)), None)
    return Whole(found, usage, model, fingerprint, identity, done, ended, error, first, repaired)


def _gather(chunks: Sequence[Chunk], wanted: int) -> tuple[dict[int, Answered], int | None, Any]:
    """The choices by index, the number of the chunk with the first visible part, and what was told of an error."""
    found: dict[int, Answered] = {}
    first, last = None, None
    for number, chunk in enumerate(chunks):
        position = -1
        for choice in chunk.choices or ():
            position += 1
            last, index = choice, choice.index
            if index is None or not 0 <= index < _MOST_CHOICES:
                index = position
            answer = found.get(index)
            if answer is None:
                answer = found[index] = Answered()
            if answer.add(choice) and first is None:
                first = number
    if wanted == 1 and len(found) > 1 and last is not None and last.finish_reason and not all(one.finish_reason for one in found.values()):
        found = {0: _joined(chunks)}  # a number that is wrong costs the number, not a part of the answer
    errors = [chunk.error for chunk in chunks if chunk.error] + [one.error for one in found.values() if one.error]
    return found, first, next(iter(errors), None)


def _joined(chunks: Sequence[Chunk]) -> Answered:
    one = Answered()
    for chunk in chunks:
        for choice in chunk.choices or ():
            one.add(choice)
    return one


class _Event(NamedTuple):
    """The data of an event and its name, the offset of its end, and whether its end was there."""

    data: bytes
    name: bytes
    end: int
    whole: bool


def _events(raw: bytes) -> Iterator[_Event]:
    """The events with data or a name; line ends of all three kinds, and of no other: U+2028 and U+0085 are text."""
    data: list[bytes] = []
    name = b""
    at = end = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
    for line in raw[at:].splitlines(keepends=True):  # of bytes: ends at CR and LF alone
        at += len(line)
        text = line.rstrip(b"\r\n")
        if not text:
            if data or name:
                yield _Event(b"\n".join(data), name, end, True)
            data, name = [], b""
        elif text.startswith(b"data:"):
            data.append(text[5:].strip(b" "))
            end = at
        elif text.startswith(b"event:"):
            name = text[6:].strip().lower()
    if data or name:
        yield _Event(b"\n".join(data), name, end, False)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


_all = msgspec.json.Decoder(list[Chunk])
_any = msgspec.json.Decoder()


def _chunks(payloads: Sequence[bytes], names: Sequence[bytes]) -> tuple[list[Chunk], bool]:
    """Each payload as a chunk, and whether characters were replaced. Raises `BrokenStreamError`."""
    try:
        chunks: list[Chunk | None] = list(_all.decode(b"[" + b",".join(payloads) + b"]"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        chunks = []
    if len(chunks) != len(payloads):
        chunks = [None] * len(payloads)
    out: list[Chunk] = []
    repaired = False
    for chunk, payload, name in zip(chunks, payloads, names, strict=True):
        if chunk is not None and chunk.choices and not chunk.error and name != b"error":
            out.append(chunk)
            continue
        found, changed = _odd(payload, name)  # without choices it may be an error in a form of its own
        out.append(found)
        repaired = repaired or changed
    return out, repaired


def _odd(payload: bytes, name: bytes) -> tuple[Chunk, bool]:
    """An event that is not of the usual form, and whether characters in it were replaced. Raises `BrokenStreamError`."""
    try:
        data, changed = _loaded(payload)
    except (ValueError, RecursionError):
        words = payload[:1000].decode("utf-8", "replace")
        if name == b"error":
            return Chunk(error=words), False
        raise BrokenStreamError(words) from None
    if name == b"error" and not (isinstance(data, dict) and data.get("choices") and not data.get("error")):
        return Chunk(error=data or "an error without a word"), changed
    if not isinstance(data, dict) and data is not None and not says_error(data):
        raise BrokenStreamError(payload[:1000].decode("utf-8", "replace"))
    return chunk_of(data), changed


def _loaded(payload: bytes) -> tuple[Any, bool]:
    """Plain data, and whether lone surrogates in it were replaced; NaN is read as null. Raises ValueError."""
    try:
        return _any.decode(payload), False
    except (msgspec.MsgspecError, UnicodeDecodeError):
        data = json.loads(payload, parse_constant=lambda _: None)
        sound = mended(data)
        return sound, sound != data
