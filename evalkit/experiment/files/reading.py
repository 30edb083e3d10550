"""A file of prompts, whatever its form, read into prompts that are checked, with what was made of it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import PromptFile, Sample
from evalkit.experiment.files.identity import with_ids
from evalkit.experiment.files.promptfoo import from_promptfoo, is_promptfoo
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.shapes import Shapes
from evalkit.experiment.files.tables import from_csv, from_parquet
from evalkit.experiment.images import with_images
from evalkit.experiment.problems import Faults, Marks, Path, shown
from evalkit.experiment.prompts import Prompt, Unread, check_prompts
from evalkit.experiment.strict_yaml import Document, check_file, named, parse, read_bytes, read_text, text_in

ENDINGS = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet")
_MOST_BYTES = 500_000_000
_MOST_DIGITS = 40
_LISTS = ("prompts", "data", "examples", "samples", "questions", "rows", "items", "instances", "conversations")
"""Keys under which a document keeps its list."""
_BETWEEN = re.compile(r"^-{3,}\s*$", re.MULTILINE)


class Read(NamedTuple):
    """Prompts, and what was made of their file, a sentence each."""

    prompts: tuple[Prompt, ...]
    told: tuple[str, ...]


def read_prompts(path: FilePath, how: PromptFile | None = None) -> Read:
    """The prompts of a file.

    Args:
        how: which columns hold what; by their usual names where None.

    Raises:
        PromptError: with every fault of the file.
    """
    how = how or PromptFile(file=str(path))
    source, ending = named(path), path.suffix.lower()
    if ending not in ENDINGS:
        raise PromptError(f"{source}: found {_ending(path)}; expected a prompt set in a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file")
    said = Said()
    document, strict = _document(path, ending, source, said)
    if not isinstance(document.data, list):
        return Read(check_prompts(document.data, source, document.marks), ())
    shapes = Shapes(how, source, said, table=ending in (".csv", ".tsv", ".parquet"))
    of = shapes.own if strict and not how.names() and how.template is None else shapes.prompt
    prompts = _checked([_shaped(of, one, path.parent) for one in document.data], source, document.marks, (), said)
    if how.sample is not None:
        prompts = drawn(prompts, how.sample, said)
    return Read(prompts, tuple(f"{source}: {one}" for one in said.told()))


def _ending(path: FilePath) -> str:
    if path.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers"):
        return "a spreadsheet; save it as CSV"
    return f"a name that ends in {shown(path.suffix)}" if path.suffix else "a name without an ending"


def listed_prompts(entries: list[Any], source: str, marks: Marks, at: Path, folder: FilePath | None = None) -> Read:
    """Prompts that stand in an experiment itself; `at` is their path in it, `folder` where its file is. Raises `PromptError` with all faults."""
    said = Said()
    own = Shapes(PromptFile(file=source or "-"), source, said, table=False).own
    prompts = _checked([_shaped(own, one, folder) for one in entries], source, marks, at, said)
    return Read(prompts, tuple(f"prompts: {one}" for one in said.told()))


def _checked(entries: list[Any], source: str, marks: Marks, at: Path, said: Said) -> tuple[Prompt, ...]:
    """The entries with their ids, checked; `at` is their path in the document whose lines `marks` holds."""
    within = {path[len(at) :]: line for path, line in marks.items() if path[: len(at)] == at}
    rest = {path: line for path, line in marks.items() if path[: len(at)] != at}
    entries, lines = with_ids(entries, within, said)
    return check_prompts(entries, source, rest | {(*at, *path): line for path, line in lines.items()}, at)


def _shaped(of: Callable[[Mapping[str, Any]], dict[str, Any]], entry: Any, folder: FilePath | None) -> Any:
    if not isinstance(entry, dict):
        return entry
    try:
        return with_images(of(entry), folder)
    except Faults as fault:
        path, message = fault.found[0]
        return Unread(message, path)


def _document(path: FilePath, ending: str, source: str, said: Said) -> tuple[Document, bool]:
    """The entries of a file, and whether they are evalkit's own, whose keys must be known ones."""
    if ending == ".parquet":
        check_file(path, PromptError, _MOST_BYTES)
        return from_parquet(path, source), False
    if ending in (".csv", ".tsv", ".txt"):
        text = text_in(read_bytes(path, PromptError, _MOST_BYTES), source, PromptError, said.add)
        return (_from_text(text, said) if ending == ".txt" else from_csv(text, source, said)), False
    if ending in (".yaml", ".yml"):
        return _from_yaml(read_text(path, PromptError), source, said)
    text = read_text(path, PromptError, _MOST_BYTES)
    return (_from_json(text, source, said) if ending == ".json" else _from_jsonl(text)), False


def _from_yaml(text: str, source: str, said: Said) -> tuple[Document, bool]:
    document = parse(text, source, PromptError)
    data = document.data
    if data is None:
        return Document([], {}), True
    if is_promptfoo(data):
        return Document(from_promptfoo(data, source, said), {}), True
    if isinstance(data, dict) and "endpoint" in data:
        raise PromptError(f"{source}: this is an experiment, which holds or names a prompt set; give the set itself")
    if isinstance(data, dict) and len(key := [one for one in _LISTS if isinstance(data.get(one), list)]) == 1:
        marks = {path[1:]: line for path, line in document.marks.items() if path[:1] == (key[0],) and len(path) > 1}
        return Document(data[key[0]], marks), True
    return document, True


def _from_text(text: str, said: Said) -> Document:
    """A prompt a line, or blocks of lines with ``---`` between them."""
    blocks = _BETWEEN.split(text)
    if len(blocks) > 1:
        said.add("a prompt is what stands between two lines of '---'")
    else:
        said.add("each line is a prompt")
    data: list[Any] = []
    marks: dict[Path, int] = {}
    line = 1
    for block in blocks if len(blocks) > 1 else text.split("\n"):
        if block.strip():
            marks[(len(data),)] = line + len(block[: len(block) - len(block.lstrip())].split("\n")) - 1
            data.append({"user": block.strip()})
        line += block.count("\n") + (len(blocks) == 1)
    return Document(data, marks)


def _from_json(text: str, source: str, said: Said) -> Document:
    if not text.strip():
        return Document([], {})
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_int=_short_int)
    except Faults as fault:
        raise PromptError(f"{source}: {fault}") from None
    except json.JSONDecodeError as fault:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) > 1 and fault.msg == "Extra data" and not any(isinstance(_entry(line), Unread) for line in lines[:3]):
            said.add("each line is an entry of its own")
            return _from_jsonl(text)
        words = f"{fault.msg[:1].lower()}{fault.msg[1:]}"
        raise PromptError(f"{source}: line {fault.lineno}: not valid JSON at column {fault.colno}: {words}; expected a list of prompts") from None
    except RecursionError:
        raise PromptError(f"{source}: nested too deeply to read; expected a list of prompts") from None
    if is_promptfoo(data):
        return Document(from_promptfoo(data, source, said), {})
    if isinstance(data, dict):
        keys = [one for one in _LISTS if isinstance(data.get(one), list) and all(isinstance(entry, dict) for entry in data[one])]
        if len(keys) == 1 and not {"messages", "user"} & data.keys() and keys[0] != "conversations":
            said.add(f"the prompts are those under {shown(keys[0])}")
            return Document(_asked_once(data[keys[0]], said), {})
        if data and all(isinstance(one, str) for one in data.values()) and not {"user", "id", "prompt", "question", "instruction"} & data.keys():
            said.add("each key is an id, and what stands there its prompt")
            return Document([{"id": key, "user": value} for key, value in data.items()], {})
        return Document([data], {})
    if isinstance(data, list) and data and all(isinstance(one, str) for one in data):
        return Document([{"user": one} for one in data], {})
    return Document(data, {})


def _asked_once(entries: list[Any], said: Said) -> list[Any]:
    """The samples of an Inspect log without those of later epochs, which ask the same again."""
    first = [one for one in entries if not ("target" in one and isinstance(one.get("epoch"), int) and one["epoch"] > 1)]
    if len(first) < len(entries):
        said.add("left out: {n} of epochs after the first, which ask the same again", "sample", len(entries) - len(first))
    return first


def _from_jsonl(text: str) -> Document:
    data: list[Any] = []
    marks: dict[Path, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            marks[(len(data),)] = number
            data.append(_entry(line))
    return Document(data, marks)


def _entry(line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_once, parse_int=_short_int)
    except Faults as fault:
        return Unread(str(fault))
    except json.JSONDecodeError as fault:
        return Unread(f"not valid JSON at column {fault.colno}: {fault.msg[:1].lower()}{fault.msg[1:]}; expected one JSON object a line")
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


def drawn(prompts: Sequence[Prompt], sample: Sample, said: Said) -> tuple[Prompt, ...]:
    """A part of the prompts, in their order: the same for the same prompts and seed, and of each set of tags its share."""
    if len(prompts) <= sample.n:
        said.add(f"sample: there are {len(prompts)} prompts, so all are taken")
        return tuple(prompts)
    strata: dict[tuple[str, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        strata.setdefault(prompt.tags if sample.by == "tags" else (), []).append(number)
    rng = random.Random(sample.seed)  # noqa: S311 (a draw of prompts, no secret)
    taken: list[int] = []
    for numbers, count in zip(strata.values(), _shares([len(one) for one in strata.values()], sample.n), strict=True):
        taken += rng.sample(numbers, count)
    said.add(f"sample: {len(taken)} of {len(prompts):,} prompts are taken" + (f", of {len(strata)} sets of tags" if sample.by else ""))
    return tuple(prompts[number] for number in sorted(taken))


def _shares(sizes: Sequence[int], n: int) -> list[int]:
    """How many of each size are drawn: by largest remainders, at least one of each while `n` allows it."""
    least = 1 if n >= len(sizes) else 0
    exact = [size * n / sum(sizes) for size in sizes]
    out = [max(least, int(one)) for one in exact]
    order = sorted(range(len(sizes)), key=lambda at: (out[at] - exact[at], at))
    while sum(out) < n:
        at = next(one for one in order if out[one] < sizes[one])
        out[at] += 1
        order.sort(key=lambda one: (out[one] - exact[one], one))
    while sum(out) > n:
        at = max((one for one in range(len(sizes)) if out[one] > least), key=lambda one: (out[one] - exact[one], -one))
        out[at] -= 1
    return out
