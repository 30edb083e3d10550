"""A clean prompt set in evalkit's own form."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Any

import yaml

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import PromptFile
from evalkit.experiment.files.reading import Read, read_prompts
from evalkit.experiment.prompts import Prompt
from evalkit.experiment.strict_yaml import MOST_BYTES, MOST_VALUES, named


class _Dumper(yaml.SafeDumper):
    """Texts of several lines as blocks, as a person would write them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (its parent's)
        """No aliases: each prompt stands for itself."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    lines = value.split("\n")
    block = len(lines) > 1 and all(line.isprintable() and line == line.rstrip() for line in lines) and not lines[0].startswith(" ")
    # What does not print, PyYAML would write as it is in a plain text, and read as something else.
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if block else None if value.isprintable() else '"')


_Dumper.add_representer(str, _text)


def write_prompts(how: PromptFile, output: FilePath, *, over: bool = False) -> Read:
    """Read a file of prompts and write them to `output`, a ``.yaml`` or ``.jsonl`` file.

    Args:
        over: write over a file that is there.

    Raises:
        PromptError: the file cannot be read, or `output` not be written, or is YAML and more than is read of that.
    """
    ending = output.suffix.lower()
    if ending not in (".yaml", ".yml", ".jsonl"):
        raise PromptError(f"{named(output)}: found the ending {output.suffix!r}; expected a .yaml or .jsonl file to write to")
    if output.exists() and not over:
        raise PromptError(f"{named(output)}: is there already; give another name, or --force to write over it")
    found = read_prompts(FilePath(how.file), how)
    if ending != ".jsonl" and not fits_yaml(found.prompts):
        raise PromptError(f"{named(output)}: too much for YAML, which would take minutes to read; name a .jsonl file, like {output.stem}.jsonl")
    text = as_jsonl(found.prompts) if ending == ".jsonl" else as_yaml(found.prompts)
    temporary = output.with_name(f"{output.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(output)
    except OSError as fault:
        temporary.unlink(missing_ok=True)
        raise PromptError(f"{named(output)}: cannot be written: {fault.strerror}") from None
    return found


def fits_yaml(prompts: Sequence[Prompt]) -> bool:
    """Whether these are no more than is read of YAML."""
    plain = [_short(prompt) for prompt in prompts]
    return sum(map(_values, plain)) <= MOST_VALUES and sum(len(str(one)) for one in plain) <= MOST_BYTES // 2


def as_jsonl(prompts: Sequence[Prompt]) -> str:
    """The prompts as a ``.jsonl`` file holds them."""
    return "".join(f"{json.dumps(_short(one), ensure_ascii=False)}\n" for one in prompts)


def as_yaml(prompts: Sequence[Prompt]) -> str:
    """The prompts as a ``.yaml`` file holds them."""
    return yaml.dump([_short(one) for one in prompts], Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)


def _values(data: Any) -> int:
    """How many values YAML counts in it, keys too."""
    if isinstance(data, dict):
        return 1 + sum(1 + _values(one) for one in data.values())
    return 1 + sum(map(_values, data)) if isinstance(data, list | tuple) else 1


def _short(prompt: Prompt) -> dict[str, Any]:
    """The prompt as plain data, in the short form where it is one question."""
    out = prompt.plain()
    messages = out.get("messages", [])
    roles = [one["role"] for one in messages]
    if roles in (["user"], ["system", "user"]) and all(set(one) == {"role", "content"} and isinstance(one["content"], str) for one in messages):
        short = {"id": out["id"], **{one["role"]: one["content"] for one in messages}}
        return short | {key: value for key, value in out.items() if key not in ("id", "messages")}
    return out
