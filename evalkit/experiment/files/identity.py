"""Names for prompts that come without: from what they say, so that they stay where the file is sorted anew or grows."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from evalkit.experiment.files.said import Said

_WORD = re.compile(r"[^\W_]+")
_MOST_WORDS, _MOST_CHARACTERS, _DIGITS = 5, 32, 8
_MARK = 16
_TWICE = "left out: {n} that the file holds before, word for word"
_ASKED = ("messages", "system", "user", "vars", "tools", "tool_choice", "response_format")
"""What of a prompt is sent."""


Place = tuple[str | int, ...]


def with_ids(entries: Iterable[Any], marks: Mapping[Place, Any], said: Said, made: Callable[[Any], Any]) -> tuple[list[Any], Mapping[Place, Any]]:
    """The entries, those without an id with one from their content; one that stands there twice, word for word, is taken once, and told.

    Args:
        marks: the lines of the entries, by their numbers; they go along.
        made: what is kept of an entry that has its id.
    """
    out: list[Any] = []
    numbers: list[int] = []
    taken: dict[str, bytes] = {}
    with_id: dict[str, bytes] = {}
    read = 0
    for number, entry in enumerate(entries):
        read += 1
        if isinstance(entry, dict) and entry.get("id") is None:
            name, mark = _name(entry), _mark_of(entry)
            others = taken.get(name, b"")
            before = len(others) // _MARK
            if any(others[at * _MARK : (at + 1) * _MARK] == mark for at in range(before)):
                said.add(_TWICE, "prompt")
                continue
            taken[name] = others + mark
            if before:
                said.add("asking the same as another, with something else expected or beside it: {n}; look whether each is meant", "prompt")
            entry = {**entry, "id": name if not before else f"{name}-{before + 1}"}
        elif isinstance(entry, dict) and isinstance(entry["id"], str | int):
            mark = _mark_of(entry)
            first = with_id.get(str(entry["id"]))
            if first == mark:
                said.add(_TWICE, "prompt")
                continue
            if first is None:
                with_id[str(entry["id"])] = mark
        numbers.append(number)
        out.append(made(entry))
    return out, marks if len(out) == read else _moved(marks, numbers)


def _moved(marks: Mapping[Place, Any], numbers: Sequence[int]) -> dict[Place, Any]:
    """The lines of the entries of those numbers, by their places in what is left."""
    places = {number: at for at, number in enumerate(numbers)}
    out = {(places[path[0]], *path[1:]): line for path, line in marks.items() if path and isinstance(path[0], int) and path[0] in places}
    return {(): marks[()], **out} if () in marks else out


def _mark_of(entry: dict[str, Any]) -> bytes:
    """What tells an entry from another that differs anywhere."""
    return hashlib.blake2b(repr(sorted(entry.items())).encode(errors="surrogatepass"), digest_size=_MARK).digest()


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
