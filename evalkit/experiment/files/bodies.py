"""Requests as files of batches hold them, and entries whose question and answer stand one level down: each as a flat entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.experiment.files.columns import placed
from evalkit.experiment.files.values import listed
from evalkit.experiment.problems import Faults, shown

_LISTS = ("messages", "conversations", "tools")
"""Keys whose lists tables keep as JSON."""


def body_of(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    """The chat request in an entry of a batch, of OpenAI's two interfaces or of Anthropic's, with the entry's own name as ``id``.

    None where the entry is none. Raises `Faults` where its conversation has no counterpart.
    """
    found = next((key for key in ("body", "params") if isinstance(entry.get(key), Mapping) and {"messages", "input"} & entry[key].keys()), None)
    if found is None:
        return None
    given = entry[found]
    body = {key: value for key, value in given.items() if key not in ("user", "input", "instructions", "system")}  # `user` says whose request it is
    if "messages" not in given:
        body["messages"] = _turns(given["input"], found)
    for key in ("system", "instructions"):
        if given.get(key):
            body["messages"] = [{"role": "system", "content": given[key]}, *body["messages"]]
    if "custom_id" in entry:
        body["id"] = entry["custom_id"]
    return body


def _turns(given: Any, found: str) -> list[Any]:
    """The messages that ``input`` of OpenAI's Responses holds."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(one, Mapping) and "role" in one and "content" in one for one in given):
        raise Faults([((found, "input"), f"found {shown(given)}; expected a text, or messages with role and content")])
    return [{"role": one["role"], "content": _parts(one["content"])} for one in given]


def _parts(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    return [{**one, "type": "text"} if isinstance(one, Mapping) and one.get("type") in ("input_text", "output_text") else one for one in content]


def with_lists(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry whose conversations and tools are lists, also where a table keeps them as JSON, and a conversation under ``prompt`` as messages."""
    out = {key: listed(value) if key in _LISTS else value for key, value in entry.items()}
    if "tools" in out and not out["tools"]:
        del out["tools"]
    if "messages" not in out and isinstance(out.get("prompt"), list) and all(isinstance(one, Mapping) for one in out["prompt"]):
        out["messages"] = out.pop("prompt")
    return out


def without_nothing(value: Any) -> Any:
    """Parts of a message without the fields that tables give every part, because another one has them."""
    if isinstance(value, list):
        return [without_nothing(one) for one in value]
    return {key: without_nothing(one) for key, one in value.items() if one is not None} if isinstance(value, dict) else value


def unnested(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """An entry whose ``input`` or ``inputs`` is a mapping (a preference set of OpenAI, traces of Langfuse and LangSmith), as one level."""
    key = next((key for key in ("input", "inputs") if isinstance(entry.get(key), Mapping) and not entry.keys() & {"messages", "user"}), None)
    if key is None:
        return entry
    out: dict[str, Any] = {name: value for name, value in entry.items() if name != key and name not in entry[key]}
    for name in ("outputs", "output", "expected_output", "expectedOutput"):
        if isinstance(out.get(name), Mapping) and len(out[name]) == 1:
            out["expected" if "expected" not in out else name] = next(iter(out.pop(name).values()))
    return {**entry[key], **out}


def holds_question(entry: Mapping[str, Any]) -> bool:
    """Whether a question stands in an entry, under a name that other tools or people give it."""
    nested = {"conversations", "conversation", "body", "params", "inputs", "doc", "vars"} & entry.keys()
    return bool(nested) or "user" in placed(tuple(map(str, entry)), {}, "").values()
