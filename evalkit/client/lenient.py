"""Replies that are not of the usual form, read field by field: an odd field costs that field, never the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalkit.client.answered import ChoicePart, Chunk, Delta, ToolCallPiece, word
from evalkit.client.outcome import says_error

_DEEPEST = 8
"""Levels of parts within parts that are looked into for text."""


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


def chunk_of(data: Any) -> Chunk:
    """Any JSON value as a chunk: what is not of the usual form is read as far as it can be."""
    if says_error(data):
        found = chunk_of({**data, "error": None}) if isinstance(data, dict) and data.get("choices") else Chunk()
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
