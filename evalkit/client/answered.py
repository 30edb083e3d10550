"""The parts of a reply, as servers send them, and what comes of one choice.

They hold what JSON holds, which has no cycles, so the garbage collector need not walk them: a stream makes three of them an event.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


def word(value: Any) -> str | None:
    """A string, and nothing else."""
    return value if isinstance(value, str) else None


class ToolCallPiece(msgspec.Struct, gc=False):
    """Part of a tool call; parts of one call share their index, or their id."""

    index: int | None = None
    id: str | None = None
    function: dict[str, Any] | None = None


class Delta(msgspec.Struct, gc=False):
    """What one chunk adds to a choice. Plain answers carry the same fields in their message."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    thinking: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCallPiece] | None = None
    function_call: dict[str, Any] | None = None


class ChoicePart(msgspec.Struct, gc=False):
    """One choice of one chunk, or of a whole answer, which has a message in place of a delta."""

    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    text: str | None = None
    finish_reason: Any = None
    logprobs: dict[str, Any] | None = None
    usage: Any = None
    error: Any = None


class Chunk(msgspec.Struct, gc=False):
    """One event, or a whole answer. What stands beside the choices may be of any type."""

    choices: list[ChoicePart] | None = None
    usage: Any = None
    x_groq: Any = None
    model: Any = None
    system_fingerprint: Any = None
    id: Any = None
    error: Any = None


class ToolUse(msgspec.Struct):
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
        self.calls: list[ToolUse] = []
        self._logprobs: list[Any] = []
        self.finish_reason: str | None = None
        self.error: Any = None
        self.present = False

    def add(self, choice: ChoicePart) -> bool:
        """Take one chunk's part; tells whether it held anything a reader would see."""
        delta = choice.delta
        if (
            delta is not None
            and delta.content
            and choice.finish_reason is None
            and choice.message is None
            and choice.logprobs is None
            and choice.error is None
            and delta.reasoning_content is None
            and delta.reasoning is None
            and delta.thinking is None
            and delta.refusal is None
            and delta.tool_calls is None
            and delta.function_call is None
        ):  # a text and nothing else, as in nearly every chunk of a stream
            self.present = True
            self.texts.append(delta.content)
            return True
        return self._add_all(choice)

    def _add_all(self, choice: ChoicePart) -> bool:
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
        call = self._going_on(piece, name, position if piece.index is None else piece.index, before)
        call.id, call.name = call.id or piece.id or "", call.name or name
        arguments = function.get("arguments")
        if arguments:
            call.arguments.append(arguments if isinstance(arguments, str) else json.dumps(arguments))

    def _going_on(self, piece: ToolCallPiece, name: str, number: int, before: int) -> ToolUse:
        """The call that a piece goes on with, or a new one: two ids are two calls, as are two names in one message, though both are numbered 0."""
        for one in self.calls:
            if piece.id and one.id == piece.id:
                return one
        call = next((one for one in reversed(self.calls) if one.number == number), None)
        begins = bool(name) and call is not None and (bool(piece.id and call.id) or any(one is call for one in self.calls[before:]))
        if call is None or begins:
            call = ToolUse(number, arguments=[])
            self.calls.append(call)
        return call

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
