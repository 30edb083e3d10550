"""The messages of a request: whether they are ones, and what each says with how much weight."""

from __future__ import annotations

from typing import NamedTuple

from evalkit.local.errors import ApiError, missing, wrong_type

_IMPORTANCE = {"system": 0.3, "developer": 0.3, "assistant": 0.4, "tool": 0.7, "user": 0.5}
_LAST_USER = 1.0


class Talk(NamedTuple):
    """Messages, read.

    Attributes:
        queries: the text of each with its importance.
        asked: what the user said last; empty where nothing was.
        answered: a tool's result is the last message.
    """

    queries: tuple[tuple[str, float], ...]
    asked: str
    answered: bool


def read(messages: object) -> Talk:
    """The messages of a request; raises `ApiError` where they are none."""
    if messages is None:
        raise missing("messages")
    if not isinstance(messages, list) or not messages:
        raise wrong_type("messages", messages, "an array with at least one message")
    last_user = max((at for at, message in enumerate(messages) if isinstance(message, dict) and message.get("role") == "user"), default=-1)
    calls: set[str] = set()
    queries: list[tuple[str, float]] = []
    for at, message in enumerate(messages):
        where = f"messages[{at}]"
        if not isinstance(message, dict):
            raise wrong_type(where, message, "an object")
        role = message.get("role")
        if not isinstance(role, str):
            raise wrong_type(f"{where}.role", role, "a string")
        if role not in _IMPORTANCE:
            raise ApiError(
                400,
                f"Invalid value: '{role[:40]}'. Supported values are: 'system', 'developer', 'assistant', 'user', and 'tool'.",
                param=f"{where}.role",
            )
        calling = message.get("tool_calls") or []
        if calling:
            if role != "assistant" or not isinstance(calling, list):
                raise wrong_type(f"{where}.tool_calls", calling, "an array, in an assistant message")
            calls |= {call["id"] for call in calling if isinstance(call, dict) and isinstance(call.get("id"), str)}
        answered = message.get("tool_call_id")
        if role == "tool" and not (isinstance(answered, str) and answered in calls):
            raise ApiError(
                400,
                "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'.",
                param=f"{where}.role",
            )
        text = _content(f"{where}.content", message.get("content"), optional=bool(calling))
        queries.append((text, _LAST_USER if at == last_user else _IMPORTANCE[role]))
    return Talk(tuple(queries), queries[last_user][0] if last_user >= 0 else "", messages[-1]["role"] == "tool")


def _content(where: str, content: object, *, optional: bool) -> str:
    if content is None and optional:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    ):
        return "\n".join(part["text"] for part in content)
    raise wrong_type(where, content, "a string or an array of text parts")
