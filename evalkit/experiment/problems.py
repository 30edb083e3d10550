"""Faults of a file the user wrote: gathered, so that all are told at once, in words of our own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

Path = tuple[str | int, ...]
Marks = Mapping[Path, int | str]
"""Where each node of a document stands, by its path: a line, counted from 1, or words for a value that stands in no file."""

_MOST_TOLD = 50


class Faults(ValueError):  # noqa: N818 (several of them, as the name says)
    """Several faults of one document.

    Attributes:
        found: (path, message) pairs; a path is relative to where the check began.
    """

    def __init__(self, found: Iterable[tuple[Path, str]]) -> None:
        self.found = tuple(found)
        super().__init__("; ".join(message for _, message in self.found))


def told(found: Iterable[tuple[Path, str]], source: str, marks: Marks) -> str:
    """One line a fault: ``file: path: message (line n)``; past the first fifty only how many more there are."""
    lines = [_line(path, message, source, marks) for path, message in found]
    more = len(lines) - _MOST_TOLD
    if more > 1:
        lines[_MOST_TOLD:] = [f"{source}: and {more:,} more faults like these" if source else f"and {more:,} more faults like these"]
    return "\n".join(lines)


def _line(path: Path, message: str, source: str, marks: Marks) -> str:
    known = next((marks[path[:n]] for n in range(len(path), 0, -1) if path[:n] in marks), None)
    parts = [part for part in (source, spelled(path), message) if part]
    where = "" if known is None else f" (line {known})" if isinstance(known, int) else f" ({known})"
    return ": ".join(parts) + where


def spelled(path: Path) -> str:
    """``endpoint.base_url``, ``prompts[2].id``; a key that is long or no plain word stands in quotes."""
    out = ""
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            word = step if 0 < len(step) <= 60 and step.isprintable() and step.strip() == step else shown(step)
            out += f".{word}" if out else word
    return out


def from_pydantic(
    error: ValidationError, fields: Mapping[str, Iterable[str]], reason: Callable[[Path], str | None] = lambda _: None
) -> list[tuple[Path, str]]:
    """The faults pydantic found.

    Args:
        fields: for the path of each table, every index in it written ``[]``, its keys, to tell what was meant.
        reason: why the unknown key at a path cannot stand there, where that is known.
    """
    found: list[tuple[Path, str]] = []
    for one in error.errors(include_url=False):
        path = tuple(one["loc"])
        cause = one.get("ctx", {}).get("error")
        if isinstance(cause, Faults):
            found += [((*path, *below), message) for below, message in cause.found]
        elif one["type"] == "extra_forbidden":
            table = re.sub(r"\[\d+\]", "[]", spelled(path[:-1]))
            found.append((path, reason(path) or unknown("key", str(path[-1]), fields.get(table, ()))))
        else:
            found.append((path, _message(one)))
    return found


def _message(one: Any) -> str:
    context, value = one.get("ctx", {}), one["input"]
    match one["type"]:
        case "missing":
            return "is missing; add it"
        case "value_error" | "assertion_error":
            return str(context.get("error", one["msg"]))
        case "string_too_short":
            return f"found {shown(value)}; expected a text that is not empty"
        case "too_short":
            return f"found {shown(value)}; expected {'a text that is not empty' if isinstance(value, str) else 'at least one entry'}"
        case "string_too_long" | "too_long":
            return f"found {shown(value)}; expected at most {context.get('max_length')} characters"
        case "string_unicode":
            return HALF_A_CHARACTER
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal" as kind:
            return f"found {shown(value)}; expected a number {_BOUNDS[kind]} {next(iter(context.values()))}"
        case _:
            words = re.sub(r"^a valid dictionary or instance of \w+$", "a mapping", one["msg"].removeprefix("Input should be "))
            hint = number_hint(value) if "int" in one["type"] or "float" in one["type"] else ""
            return f"found {shown(value)}; expected {_PLAIN.get(words, words)}{hint}"


HALF_A_CHARACTER = "holds half a character (a lone \\ud800 to \\udfff), which cannot be sent; write the character itself"


def half_a_character(text: str) -> bool:
    """Whether `text` cannot be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


_BOUNDS = {"greater_than": "above", "greater_than_equal": "of at least", "less_than": "below", "less_than_equal": "of at most"}

_PLAIN = {
    "a valid string": "a string",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid boolean": "true or false",
    "a valid list": "a list",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping",
    "a valid mapping": "a mapping",
}


def number_hint(value: object) -> str:
    """What to do where a number was expected and a text holds one, a percentage or several."""
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if _NUMBER.fullmatch(text):
        return "; write it without quotes"
    if (share := share_of(text)) is not None:
        return f"; write {share:g} for {text.removesuffix('%').strip()} %"
    several = [part.strip() for part in text.split(",")]
    return f"; write [{', '.join(several)}]" if len(several) > 1 and all(_NUMBER.fullmatch(part) for part in several) else ""


def share_of(text: str) -> float | None:
    """The share that a percentage like ``5%`` stands for; None for another text."""
    number = text.strip().removesuffix("%").strip()
    return round(float(number) / 100, 12) if text.strip().endswith("%") and _NUMBER.fullmatch(number) else None


_NUMBER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?")


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """``unknown key; did you mean 'x'?``, or the list of what there is."""
    known = list(known)
    near = nearest(name, known)
    if near:
        return f"unknown {kind}; did you mean '{near}'?"
    return f"unknown {kind}; expected one of {', '.join(sorted(known))}" if known else f"unknown {kind}"


def nearest(name: str, known: Iterable[str], limit: int = 2) -> str | None:
    """The known name within `limit` edits (Damerau: a swap of neighbours is one) of `name`, the nearest first; None if none is.

    Of a short name less may differ: one edit of two or three letters, none of a single one.
    """
    from rapidfuzz.distance import OSA  # takes as long to load as all else here, and is wanted for a slip alone

    candidates = []
    for one in known:
        most = min(limit, max(len(one) - 2, len(one) > 1))
        if abs(len(name) - len(one)) <= most and (distance := OSA.distance(name.lower(), one.lower())) <= most:
            candidates.append((distance, -SequenceMatcher(None, name, one).ratio(), one))
    return min(candidates)[2] if candidates else None


def shown(value: object) -> str:
    """A value as a message shows it: its kind where the kind is the news, never more than 62 characters, never control characters."""
    match value:
        case None:
            return "nothing (null)"
        case bool():
            return "true" if value else "false"
        case float() if math.isnan(value) or math.isinf(value):
            return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
        case int() | float():
            return f"{value!r}" if abs(value) < 1e30 else "a huge number"
        case str():
            text = repr(value[:61])
            return text if len(text) <= 62 else f"{text[:58]}...{text[0]}"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case _:
            return f"a {type(value).__name__}"
