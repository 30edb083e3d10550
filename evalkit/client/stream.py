"""The bytes of a reply to one answer a choice, be it an event stream, as the network delivered it, or a body by itself.

Reads are kept with their times and decoded once, when the stream has ended: decoding each event as it arrives would make the client
measure itself. However the bytes were cut into reads, the answers are the same; only the time of the first token comes from the reads.

Events are decoded by a schema, which is fast. What does not fit it is read field by field: an odd field costs that field, never the answer.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import msgspec

from evalkit.client.outcome import says_error
from evalkit.client.usage import merged
from evalkit.store.records import Usage

_DONE = b"[DONE]"
_MOST_CHOICES = 1_000
_DEEPEST = 8
"""Levels of parts within parts that are looked into for text."""


class ToolCallPiece(msgspec.Struct):
    """Part of a tool call; parts of one call share their index, or their id."""

    index: int | None = None
    id: str | None = None
    function: dict[str, Any] | None = None


class Delta(msgspec.Struct):
    """What one chunk adds to a choice. Plain answers carry the same fields in their message."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    thinking: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: dict[str, Any] | None = None


class ChoicePart(msgspec.Struct):
    """One choice of one chunk, or of a whole answer, which has a message in place of a delta."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: Any = None
    logprobs: dict[str, Any] | None = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct):
    """One event, or a whole answer. What stands beside the choices may be of any type."""

    choices: list[ChoicePart] | None = None
    usage: Any = None
    x_groq: Any = None
    model: Any = None
    system_fingerprint: Any = None
    id: Any = None
    error: Any = None


class Call(msgspec.Struct):
    """A call of a tool as it comes together; `number` is the server's, or its place in the message."""

    number: int
    id: str = ""
    name: str = ""
    arguments: list[str] = []


class Answered:
    """What has come of one choice, put together from its parts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.refusals: list[str] = []
        self.calls: list[Call] = []
        self._logprobs: list[Any] = []
        self.finish_reason: str | None = None
        self.error: Any = None
        self.present = False

    def add(self, choice: ChoicePart) -> bool:
        """Take one chunk's part; tells whether it held anything a reader would see."""
        self.finish_reason = word(choice.finish_reason) or self.finish_reason
        self.error = self.error or choice.error
        if choice.logprobs and isinstance(choice.logprobs.get("content"), list):
            self._logprobs += choice.logprobs["content"]
        parts = [one for one in (choice.delta, choice.message) if one is not None]
        if not parts and choice.text:  # of the older completions
            parts = [Delta(content=choice.text)]
        self.present = self.present or bool(parts)
        visible = [self._add(part) for part in parts]  # all of them, not only until one is
        return any(visible)

    def _add(self, delta: Delta) -> bool:
        reasoning = delta.reasoning or delta.reasoning_content or delta.thinking
        for text, parts in ((delta.content, self.texts), (reasoning, self.thoughts), (delta.refusal, self.refusals)):
            if text:
                parts.append(text)
        pieces = delta.tool_calls or ([ToolCallPiece(0, None, delta.function_call)] if delta.function_call else [])
        before = len(self.calls)
        for position, piece in enumerate(pieces):
            self._add_call(piece, position, before)
        return bool(delta.content or reasoning or delta.refusal or pieces)

    def _add_call(self, piece: ToolCallPiece, position: int, before: int) -> None:
        """Take a piece of a call; the first `before` calls were there before this message or delta."""
        function = piece.function or {}
        name = word(function.get("name")) or ""
        number = position if piece.index is None else piece.index
        call = next((one for one in self.calls if piece.id and one.id == piece.id), None)
        if call is None:
            call = next((one for one in reversed(self.calls) if one.number == number), None)
            # Two ids are two calls, and so are two names in one message, though a server numbers both 0.
            begins = bool(name) and call is not None and (bool(piece.id and call.id) or any(one is call for one in self.calls[before:]))
            if call is None or begins:
                call = Call(number, arguments=[])
                self.calls.append(call)
        call.id, call.name = call.id or piece.id or "", call.name or name
        arguments = function.get("arguments")
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    @property
    def text(self) -> str:
        """The content."""
        return "".join(self.texts)

    @property
    def reasoning(self) -> str | None:
        """What a reasoning model thought aloud."""
        return "".join(self.thoughts) or None

    @property
    def refusal(self) -> str | None:
        """The model's own words of refusal."""
        return "".join(self.refusals) or None

    @property
    def logprobs(self) -> list[Any] | None:
        """Log probabilities by token, as sent."""
        return self._logprobs or None

    def forget_logprobs(self) -> None:
        """Drop the log probabilities, which spell the text."""
        self._logprobs = []

    @property
    def tool_calls(self) -> list[dict[str, Any]] | None:
        """The calls by number, in the form of the API, arguments as the text that was sent."""
        calls = [
            {"id": one.id or None, "type": "function", "function": {"name": one.name, "arguments": "".join(one.arguments)}}
            for one in sorted(self.calls, key=lambda one: one.number)
        ]
        return calls or None


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


def word(value: Any) -> str | None:
    """A string, and nothing else."""
    return value if isinstance(value, str) else None


def text_in(value: Any, depth: int = 0) -> tuple[str, str]:
    """The text of a content and the thoughts within it, of which servers send strings, numbers, lists of parts, objects, or nothing."""
    if isinstance(value, str):
        return value, ""
    if isinstance(value, bool) or value is None or depth > _DEEPEST:
        return "", ""
    if isinstance(value, int | float):
        return ("" if depth else json.dumps(value)), ""  # a token that looks like a number
    if isinstance(value, list):
        parts = [text_in(one, depth + 1) for one in value]
        return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)
    if isinstance(value, dict):
        if str(value.get("type", "")).lower() in ("thinking", "reasoning", "reasoning_content", "thought"):
            inner = next((value[name] for name in ("thinking", "reasoning", "text", "content", "summary") if value.get(name)), None)
            return "", "".join(text_in(inner, depth + 1))
        inner = next(
            (value[name] for name in ("text", "content", "value", "parts", "output_text") if value.get(name) not in (None, "", [], {})), None
        )
        return text_in(inner, depth + 1)
    return "", ""


def decode(reads: Sequence[bytes], choices: int = 1) -> Whole:
    """The answers in a whole event stream. Raises `BrokenStreamError` where an event is not a chunk.

    Args:
        choices: how many were asked for; of one, all parts belong together however they are numbered.
    """
    raw = b"".join(reads)
    events = list(_events(raw))
    done = any(one.data == _DONE for one in events)
    kept = [one for one in events if one.data not in (_DONE, b"") and (one.whole or _is_json(one.data))]
    chunks, repaired = _chunks([one.data for one in kept], [one.name for one in kept])
    error: Any = next(("an event named error without a word" for one in events if one.name == b"error" and not one.data), None)
    found, first_event, said = _gather(chunks, choices)
    error = said or error
    ended = bool(found) and all(one.finish_reason for one in found.values())
    first = None if first_event is None else bisect_left(list(accumulate(map(len, reads))), kept[first_event].end)
    return _whole(chunks, found, done, ended or (done and error is None), error, first, repaired)


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
        told += [chunk.usage, chunk.x_groq.get("usage") if isinstance(chunk.x_groq, dict) else None, *(one.usage for one in chunk.choices or ())]
    usage = merged(told, visible=any(one.texts or one.thoughts or one.calls for one in found.values()))
    model = next((chunk.model for chunk in chunks if word(chunk.model)), None)
    fingerprint = next((chunk.system_fingerprint for chunk in chunks if word(chunk.system_fingerprint)), None)
    identity = next((chunk.id for chunk in chunks if word(chunk.id)), None)
    return Whole(found, usage, model, fingerprint, identity, done, ended, error, first, repaired)


def _gather(chunks: Sequence[Chunk], wanted: int) -> tuple[dict[int, Answered], int | None, Any]:
    """The choices by index, the number of the chunk with the first visible part, and what was told of an error."""
    found: dict[int, Answered] = {}
    first, error, last = None, None, None
    for number, chunk in enumerate(chunks):
        error = error or chunk.error
        for position, choice in enumerate(chunk.choices or ()):
            last = choice
            index = choice.index if choice.index is not None and 0 <= choice.index < _MOST_CHOICES else position
            if found.setdefault(index, Answered()).add(choice) and first is None:
                first = number
    if wanted == 1 and len(found) > 1 and last is not None and last.finish_reason and not all(one.finish_reason for one in found.values()):
        one = found[0] = Answered()  # a number that is wrong costs the number, not a part of the answer
        for chunk in chunks:
            for choice in chunk.choices or ():
                one.add(choice)
        found = {0: one}
    error = error or next((one.error for one in found.values() if one.error), None)
    return found, first, error


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
    return _chunk(data), changed


def _loaded(payload: bytes) -> tuple[Any, bool]:
    """Plain data, and whether lone surrogates in it were replaced; NaN is read as null. Raises ValueError."""
    try:
        return _any.decode(payload), False
    except (msgspec.MsgspecError, UnicodeDecodeError):
        data = json.loads(payload, parse_constant=lambda _: None)
        sound = mended(data)
        return sound, sound != data


def _chunk(data: Any) -> Chunk:
    """Any JSON value as a chunk: what is not of the usual form is read as far as it can be."""
    if says_error(data):
        found = _chunk({**data, "error": None}) if isinstance(data, dict) and data.get("choices") else Chunk()
        found.error = data
        return found
    if not isinstance(data, dict):
        return Chunk()
    choices = data.get("choices")
    if isinstance(choices, dict):
        choices = [choices] if {"message", "delta", "text"} & choices.keys() else list(choices.values())
    if not isinstance(choices, list):
        choices = [data] if isinstance(data.get("message"), dict) or isinstance(data.get("delta"), dict) else []
    return Chunk(
        choices=[_choice(one) for one in choices if isinstance(one, dict)],
        usage=data.get("usage"),
        x_groq=data.get("x_groq"),
        model=data.get("model"),
        system_fingerprint=data.get("system_fingerprint"),
        id=data.get("id"),
    )


def _choice(data: Mapping[str, Any]) -> ChoicePart:
    index, logprobs = data.get("index"), data.get("logprobs")
    delta, message = _delta(data.get("delta")), _delta(data.get("message"))
    if delta is not None and message is not None and (delta.content or delta.reasoning or delta.tool_calls):
        message = None  # the same told twice
    return ChoicePart(
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        delta=delta,
        message=message,
        text=word(data.get("text")),
        finish_reason=data.get("finish_reason"),
        logprobs=logprobs if isinstance(logprobs, dict) else None,
        usage=data.get("usage"),
        error=data.get("error"),
    )


def _delta(data: Any) -> Delta | None:
    if isinstance(data, str):
        return Delta(content=data)
    if not isinstance(data, dict):
        return None
    text, thought = text_in(data.get("content"))
    aloud = next((found for name in ("reasoning", "reasoning_content", "thinking") if (found := "".join(text_in(data.get(name))))), "")
    calls, function = data.get("tool_calls"), data.get("function_call")
    return Delta(
        content=text or None,
        reasoning=(thought + aloud) or None,
        refusal=word(data.get("refusal")),
        tool_calls=[_piece(one) for one in calls if isinstance(one, dict)] if isinstance(calls, list) else None,
        function_call=function if isinstance(function, dict) else None,
    )


def _piece(data: Mapping[str, Any]) -> ToolCallPiece:
    index, function = data.get("index"), data.get("function")
    return ToolCallPiece(
        index=index if isinstance(index, int) and not isinstance(index, bool) else None,
        id=word(data.get("id")) or None,
        function=function if isinstance(function, dict) else None,
    )


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
