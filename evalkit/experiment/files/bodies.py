"""Requests as files of batches hold them, and entries whose question and answer stand one level down: each as a flat entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.experiment.files.columns import placed
from evalkit.experiment.problems import Faults, shown


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
