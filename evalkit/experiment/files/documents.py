"""A document of YAML or JSON as a list of entries: where the list stands in it, and which way its table lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import placed
from evalkit.experiment.files.promptfoo import from_promptfoo, is_promptfoo, stands_elsewhere
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Path, shown
from evalkit.experiment.strict_yaml import Document

_LISTS = ("prompts", "data", "examples", "samples", "questions", "rows", "items", "instances", "conversations", "tests")
"""Keys under which a document keeps its list."""
_OF_ALL = ("system", "template", "sample", "keep_last", "messages", "user")
"""Keys that beside a list would hold for all of it; none does."""
_OF_ONE = frozenset(("user", "id", "prompt", "question", "instruction", "input", "messages", "query", "text", "conversations", "system"))
"""Keys that one prompt has, where a document is one."""
_BY_ID = "each key is an id, and what stands there its prompt"


def entries_of(document: Document, source: str, said: Said) -> Document:
    """The document's entries as a list, with their lines; as it is where no list can be found in it.

    Raises:
        PromptError: beside the list stands what cannot hold for all its prompts, or a configuration of promptfoo names what is elsewhere.
    """
    data = document.data
    if is_promptfoo(data):
        return Document(from_promptfoo(data, source, said), {})
    if isinstance(data, dict):
        return _of_mapping(data, document.marks, source, said)
    if isinstance(data, list):
        return Document(_of_list(data, source, said), document.marks)
    return document


def _of_mapping(data: dict[str, Any], marks: dict[Path, int], source: str, said: Said) -> Document:
    if (rows := _turned(data)) is not None:
        said.add("its columns stand one beside the other; each row of them is a prompt")
        return Document(rows, {})
    keys = [one for one in _LISTS if _is_list_of_entries(data.get(one))]
    if len(keys) == 1 and not {"messages", "user"} & data.keys():
        return _under(keys[0], data, marks, source, said)
    if data and not _OF_ONE & data.keys():
        if all(isinstance(one, str) for one in data.values()):
            said.add(_BY_ID)
            return Document([{"id": key, "user": value} for key, value in data.items()], _by_number(data, marks))
        if all(isinstance(one, dict) and "user" in _held(one) for one in data.values()):
            said.add(_BY_ID)
            return Document([{"id": key} | value for key, value in data.items()], _by_number(data, marks))
    return Document(data, marks)


def _under(key: str, data: dict[str, Any], marks: Mapping[Path, int], source: str, said: Said) -> Document:
    """The list under a key of the document; what stands beside it is told."""
    if there := [one for one in _OF_ALL if one in data]:
        raise PromptError(f"{source}: {shown(there[0])} stands beside the list, and is no part of a prompt there; write it into each")
    if key != "prompts":
        said.add(f"the prompts are those under {shown(key)}")
    if left := [shown(one) for one in data if one != key]:
        said.add(f"left out: {', '.join(left[:8])}{' and more' if len(left) > 8 else ''} beside the list")
    within = {path[1:]: line for path, line in marks.items() if path[:1] == (key,) and len(path) > 1}
    return Document(_asked_once(_of_list(data[key], source, said), said), within)


def _held(entry: Mapping[str, Any]) -> set[str]:
    """What the keys of an entry hold of a prompt."""
    return set(placed(tuple(map(str, entry)), {}, "").values()) | ({"user"} if "messages" in entry else set())


def _by_number(data: Mapping[str, Any], marks: Mapping[Path, int]) -> dict[Path, int]:
    order = {key: number for number, key in enumerate(data)}
    return {(order[str(path[0])], *path[1:]): line for path, line in marks.items() if path and path[0] in order}


def _is_list_of_entries(value: Any) -> bool:
    """Whether it is a list of mappings or of texts, and no conversation."""
    if not isinstance(value, list):
        return False
    if not all(isinstance(one, dict) for one in value):
        return bool(value) and all(isinstance(one, str) for one in value)
    return not any(("from" in one and "value" in one) or ("role" in one and "content" in one) for one in value)


def _of_list(data: list[Any], source: str, said: Said) -> list[Any]:
    if data and all(isinstance(one, str) for one in data):
        if there := next((one for one in data if stands_elsewhere(one)), None):
            raise PromptError(f"{source}: {shown(there)} stands elsewhere, which is neither read nor run; write the prompt itself there")
        return [{"user": one} for one in data]
    if len(data) > 1 and all(isinstance(one, list) and len(one) == len(data[0]) for one in data) and _is_header(data[0]):
        said.add("the first list holds the names of the columns")
        return _rows(data[0], data[1:])
    if data and all(isinstance(one, dict) and isinstance(one.get("row"), dict) and "row_idx" in one for one in data):
        return [one["row"] for one in data]  # as Hugging Face's viewer of data sets gives them
    return data


def _is_header(names: Sequence[Any]) -> bool:
    return bool(names) and all(isinstance(one, str) for one in names) and "user" in placed(list(names), {}, "").values()


def _rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _turned(data: Mapping[str, Any]) -> list[Any] | None:
    """The rows of a table that pandas or a person wrote by columns: as lists, as mappings from the index, or split from its names."""
    names, body = data.get("columns"), data.get("data")
    if isinstance(names, list) and isinstance(body, list) and _is_header(names):
        return _rows(names, body) if all(isinstance(one, list) and len(one) == len(names) for one in body) else None
    if not _is_header(list(data)):
        return None
    columns = list(data.values())
    if all(isinstance(one, list) and len(one) == len(columns[0]) for one in columns):
        if not all(isinstance(one, str) for name, column in data.items() if name in _user_of(data) for one in column):
            return None
        return _rows(list(data), list(zip(*columns, strict=True)))
    if all(isinstance(one, dict) and one.keys() == columns[0].keys() for one in columns):
        return [{name: column[at] for name, column in data.items()} for at in columns[0]]
    return None


def _user_of(data: Mapping[str, Any]) -> list[str]:
    return [name for name, what in placed(list(data), {}, "").items() if what == "user"]


def _asked_once(entries: list[Any], said: Said) -> list[Any]:
    """The samples of an Inspect log without those of later epochs, which ask the same again."""
    first = [one for one in entries if not (isinstance(one, dict) and "target" in one and isinstance(one.get("epoch"), int) and one["epoch"] > 1)]
    if len(first) < len(entries):
        said.add("left out: {n} of epochs after the first, which ask the same again", "sample", len(entries) - len(first))
    return first
