"""Names for prompts that come without: from what they say, so that they stay where the file is sorted anew or grows."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from evalkit.experiment.files.said import Said

_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS, _MOST_CHARACTERS, _DIGITS = 5, 32, 8
_ASKED = ("messages", "system", "user", "vars", "tools", "tool_choice", "response_format")
"""What of a prompt is sent."""


def with_ids(entries: list[Any], marks: dict[tuple[str | int, ...], Any], said: Said) -> tuple[list[Any], dict[tuple[str | int, ...], Any]]:
    """The entries, those without an id with one from their content; one that stands there twice is taken once, and told.

    Args:
        marks: the lines of the entries, by their numbers; they go along.
    """
    out: list[Any] = []
    lines: dict[tuple[str | int, ...], Any] = {}
    taken: dict[str, list[Any]] = {}
    of_entry: dict[Any, list[tuple[str | int, ...]]] = {}
    for path in marks:
        if path:
            of_entry.setdefault(path[0], []).append(path)
        else:
            lines[path] = marks[path]
    for number, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("id") is None:
            name = _name(entry)
            others = taken.setdefault(name, [])
            if entry in others:
                said.add("left out: {n} that the file holds before, word for word", "prompt")
                continue
            others.append(entry)
            entry = {**entry, "id": name if len(others) == 1 else f"{name}-{len(others)}"}
        for path in of_entry.get(number, ()):
            lines[(len(out), *path[1:])] = marks[path]
        out.append(entry)
    return out, lines


def _name(entry: dict[str, Any]) -> str:
    asked = {key: entry[key] for key in _ASKED if entry.get(key) not in (None, "", [])}
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True, ensure_ascii=True, default=str).encode()).hexdigest()[:_DIGITS]
    words = _WORD.findall(_words(entry).casefold())[:_MOST_WORDS]
    start = "-".join(words)[:_MOST_CHARACTERS].strip("-")
    return f"{start}-{digest}" if start and start.isprintable() else f"prompt-{digest}"


def _words(entry: dict[str, Any]) -> str:
    """What a prompt asks, as far as it can be read."""
    if isinstance(entry.get("user"), str):
        return str(entry["user"])[:400]
    messages = entry.get("messages")
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user" and isinstance(message.get("content"), str):
            return str(message["content"])[:400]
    return ""
