"""JSON and JSON lines as entries, with what people's files have beside: comments, commas, one list over several lines."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Faults, Path, shown
from evalkit.experiment.prompts import Unread
from evalkit.experiment.strict_yaml import Document

_MOST_DIGITS = 40
_BLANK = re.compile(r"\s*")
_LAST_COMMA = re.compile(r",\s*$")


def read_json(text: str, source: str, said: Said) -> Document:
    """What a JSON text holds, or the entries of one a line.

    Raises:
        PromptError: it is no JSON, with line and column.
    """
    try:
        return Document(_value(text), {})
    except Faults as fault:
        raise PromptError(f"{source}: {fault}") from None
    except json.JSONDecodeError as fault:
        if fault.msg == "Extra data" and (several := _one_behind_the_other(text)) is not None:
            said.add("each line is an entry of its own")
            return several
        words = _words(fault)
        raise PromptError(f"{source}: line {fault.lineno}: not valid JSON at column {fault.colno}: {words}; expected a list of prompts") from None
    except RecursionError:
        raise PromptError(f"{source}: nested too deeply to read; expected a list of prompts") from None


def read_json_lines(text: str, said: Said) -> Document:
    """The entries of a text that has one a line; one that has them over several lines each, or one list of them, is told and read too."""
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), "").strip()
    if first in ("{", "[") or (first.startswith("[") and isinstance(_entry(first, None), Unread)):
        whole = _whole(text)
        if whole is not None:
            said.add("an entry stands over several lines here" if first == "{" else "it is one list, as in a .json file")
            return whole
    data: list[Any] = []
    marks: dict[Path, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        if line.lstrip().startswith(("#", "//")):
            said.add("left out as comments: {n}", "line")
            continue
        marks[(len(data),)] = number
        data.append(_entry(line, said))
    if data and all(isinstance(one, str) for one in data):
        said.add("each line is a prompt")
        data = [{"user": one} for one in data]
    return Document(data, marks)


def _whole(text: str) -> Document | None:
    try:
        value = _value(text)
        return Document(value if isinstance(value, list) else [value], {})
    except json.JSONDecodeError as fault:
        return _one_behind_the_other(text) if fault.msg == "Extra data" else None
    except (Faults, RecursionError):
        return None


def _one_behind_the_other(text: str) -> Document | None:
    """Entries of which each follows the last on a line of its own; None where something else stands between."""
    decoder = json.JSONDecoder(object_pairs_hook=_once, parse_int=_short_int)
    data: list[Any] = []
    marks: dict[Path, int] = {}
    at, line, counted_to = 0, 1, 0
    try:
        while at < len(text):
            start = _BLANK.match(text, at).end()  # type: ignore[union-attr]
            if start >= len(text):
                break
            if data and "\n" not in text[at:start]:
                return None
            line, counted_to = line + text.count("\n", counted_to, start), start
            value, at = decoder.raw_decode(text, start)
            if not isinstance(value, dict):
                return None
            marks[(len(data),)] = line
            data.append(value)
    except (ValueError, RecursionError):
        return None
    return Document(data, marks)


def _value(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_once, parse_int=_short_int)


def _words(fault: json.JSONDecodeError) -> str:
    if fault.doc[fault.pos : fault.pos + 1] in ("]", "}") and _LAST_COMMA.search(fault.doc[max(0, fault.pos - 200) : fault.pos]):
        return "a comma stands before it, behind which nothing comes; remove the comma"
    return f"{fault.msg[:1].lower()}{fault.msg[1:]}"


def _entry(line: str, said: Said | None) -> Any:
    try:
        return _value(line)
    except Faults as fault:
        return Unread(str(fault))
    except json.JSONDecodeError as fault:
        if said is not None and fault.msg == "Extra data" and fault.doc[fault.pos :].strip() == ",":
            said.add("left out: the comma at the end of {n}", "line")
            return _value(line[: fault.pos])
        return Unread(f"not valid JSON at column {fault.colno}: {_words(fault)}; expected one JSON object a line")
    except RecursionError:
        return Unread("nested too deeply to read; expected one prompt as a JSON object")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in pairs:
        if key in out:
            raise Faults([((), f"the key {shown(key)} stands twice; keep one")])
        out[key] = value
    return out


def _short_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise Faults([((), f"found a number of {len(digits):,} digits; expected at most {_MOST_DIGITS}")])
    return int(digits)
