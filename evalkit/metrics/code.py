"""Python in answers: where it stands, whether it parses, and what a check is to run of it. Nothing here runs anything."""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

FENCED = re.compile(r"(?s)```[A-Za-z0-9]*[ \t]*\n(.*?)(?:\n```|$)")
_FENCE = re.compile(r"[ \t]{0,3}(`{3,}|~{3,})[ \t]*([^`\s]*)[^`]*")
_PYTHON = ("", "python", "py", "python3")
_TOO_DEEP = re.compile(r"(?:[-+~(\[{]\s*|not\s+|lambda\s*:\s*){100}")
_LONGEST = 50_000
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_MOST_SECONDS, _LEAST_MB, _MOST_MB = 600.0, 64, 8192


def parses(code: str) -> float:
    """1 where a text is Python by its grammar, 0 where not or where it is empty; NaN of what might overcome the parser."""
    if not code.strip():
        return 0.0
    if len(code) > _LONGEST or _TOO_DEEP.search(code):
        return math.nan  # nested so deeply that the parser itself might give way
    return float(fault_of(code) is None)


def fault_of(code: str) -> str | None:
    """What is wrong with a text as Python, with its line; None where nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except SyntaxError as fault:
            return f"line {fault.lineno}: {fault.msg}"
        except (ValueError, RecursionError, MemoryError) as fault:
            return str(fault) or type(fault).__name__
    return None


def code_in(text: str) -> str:
    """The code of an answer: its first fenced block in Python or in no language that is named, else the whole where it parses; empty where neither.

    A block that is not closed, as of an answer that was cut off, goes to the end.
    """
    for language, code in _blocks(text):
        if language in _PYTHON and code.strip():
            return code
    return text if parses(text) == 1 else ""


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a text: language in lower case, and what stands in it."""
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        found = _FENCE.fullmatch(line.rstrip("\r"))
        if not fence:
            if found:
                fence, language, lines = found[1], found[2].strip("{}.").lower(), []
        elif found and found[1].startswith(fence) and not found[2]:
            yield language, "\n".join(lines)
            fence = ""
        else:
            lines.append(line)
    if fence:
        yield language, "\n".join(lines)


class Runs(NamedTuple):
    """What the check ``runs`` runs after an answer's code, and what both may use.

    Attributes:
        then: tests of all prompts, in which ``{{name}}`` stands for a variable of the prompt; None for each prompt's own ``tests``.
        seconds: from the start to the end.
        memory_mb: for each process.
    """

    then: str | None = None
    seconds: float = 10.0
    memory_mb: int = 512

    def tests(self, own: str | None, values: Mapping[str, str]) -> str | None:
        """The tests of a prompt, given its own and its variables; None where it has none, or lacks a variable."""
        if self.then is None:
            return own if own is not None and own.strip() else None
        if any(name not in values for name in _VARIABLE.findall(self.then)):
            return None
        return _VARIABLE.sub(lambda match: values[match[1]], self.then)


def runs(argument: Any) -> Runs:
    """The argument of the check ``runs`` as an experiment writes it, or None. Raises `ValueError`."""
    wrong = "runs takes nothing, for the tests of each prompt, or any of {then: code for all prompts, seconds: 10, memory_mb: 512}"
    if argument is None:
        return Runs()
    if not isinstance(argument, Mapping) or set(argument) - set(Runs._fields):
        raise ValueError(wrong)
    found = Runs(**argument)
    if found.then is not None and (not isinstance(found.then, str) or not found.then.strip()):
        raise ValueError(wrong)
    if found.then is not None and not _VARIABLE.search(found.then) and (fault := fault_of(found.then)):
        raise ValueError(f"runs: then is not Python: {fault}")
    if not _is_number(found.seconds) or not 0 < found.seconds <= _MOST_SECONDS:
        raise ValueError(f"runs: seconds is above 0 and at most {_MOST_SECONDS:g}")
    if not _is_number(found.memory_mb) or found.memory_mb != int(found.memory_mb) or not _LEAST_MB <= found.memory_mb <= _MOST_MB:
        raise ValueError(f"runs: memory_mb is a whole number from {_LEAST_MB} to {_MOST_MB}")
    return found._replace(seconds=float(found.seconds), memory_mb=int(found.memory_mb))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
