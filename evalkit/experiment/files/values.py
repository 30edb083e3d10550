"""Values of columns and keys as what a prompt holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from evalkit.experiment.files.columns import tags_of
from evalkit.experiment.problems import Faults, shown

MOST_DEEP = 64


def target(entry: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What an entry expects under `name`, as a prompt says it; nothing where nothing stands there. Raises as `expected` does."""
    value = entry.get(name)
    return {} if missing(value) or value == [] else {"expect": expected(value, name)}


def held(what: str, value: Any, name: str) -> Any:
    """The value of a column called `name` as `what` of a prompt."""
    return tags_of(value) if what == "tags" else expected(value, name) if what == "expect" else value


def missing(value: Any) -> bool:
    """Whether nothing stands there: tables of numbers have no other sign for it than NaN."""
    return value is None or (isinstance(value, str) and not value.strip()) or (isinstance(value, float) and math.isnan(value))


def is_text(content: Any) -> bool:
    """Whether a message's content is a text, or parts of text."""
    if isinstance(content, str):
        return True
    return isinstance(content, list) and all(isinstance(one, Mapping) and isinstance(one.get("text"), str) for one in content)


def chat_in(text: str) -> list[Any] | None:
    """The messages that a text holds as JSON, as harnesses log what they sent to a chat; None where it is no such text."""
    if not text.startswith("[{"):
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    chat = all(isinstance(one, dict) and isinstance(one.get("role"), str) and "content" in one for one in found)
    return [{"role": one["role"], "content": one["content"]} for one in found] if chat else None


def listed(text: Any) -> Any:
    """The list that a cell holds as JSON, as tables keep conversations and tools; another value as it is."""
    if not isinstance(text, str) or not text.lstrip().startswith("["):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) and all(isinstance(one, dict) for one in found) else text


def is_chat(value: Any) -> bool:
    """Whether it is a list of messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) and "role" in one for one in value)


def is_too_deep(entry: Mapping[str, Any]) -> bool:
    """Whether lists and mappings are nested deeper than anything that is sent, and than Python follows."""
    level: list[Any] = [one for one in entry.values() if isinstance(one, dict | list)]
    for _ in range(MOST_DEEP - 1):
        if not level:
            return False
        level = [one for outer in level for one in (outer.values() if isinstance(outer, dict) else outer) if isinstance(one, dict | list)]
    return True


def expected(value: Any, name: str) -> str:
    """What is expected as a text; raises `Faults` where several answers are."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        raise Faults([((name,), f"found {len(value)} answers; expected one text, for checks compare with one")])
    if isinstance(value, float) and not math.isfinite(value):
        raise Faults([((name,), f"found {shown(value)}; expected a text or a number that is finite")])
    return as_text(value)


def as_text(value: Any) -> str:
    """A value as it stands in a question: nothing as no text, lists and mappings as JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
