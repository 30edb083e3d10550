"""Prompts in a plain text: a line each, blocks between lines of ``---``, or a table that a spreadsheet wrote as text."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from evalkit.experiment.files.columns import placed
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Path
from evalkit.experiment.strict_yaml import Document

_BETWEEN = re.compile(r"^-{3,}[ \t]*$", re.MULTILINE)
_BULLET = re.compile(r"\s*[-*•–][ \t]+(?=\S)")
_NUMBER = re.compile(r"\s*\(?(\d{1,7})[.):][ \t]+(?=\S)")
_LOOKED_AT = 20


def is_table(text: str) -> bool:
    """Whether the lines are a table's, parted by tabs below the names of columns, as spreadsheets write "Unicode text"."""
    rows = [line.split("\t") for line in text[:100_000].split("\n") if line.strip()][:_LOOKED_AT]
    if len(rows) < 2 or len(rows[0]) < 2 or any(len(row) != len(rows[0]) for row in rows[:-1]):
        return False
    found = placed([cell.strip() for cell in rows[0]], {}, "")
    return "user" in found.values() and len(found) > 1


def from_lines(text: str, said: Said) -> Document:
    """A prompt a line, or blocks of lines with ``---`` between them; the signs of a list before every line are no part of it."""
    blocks = _BETWEEN.split(text)
    if len(blocks) > 1:
        said.add("a prompt is what stands between two lines of '---'")
        return _from_blocks(blocks)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    numbers = [number for number, _ in lines]
    of_several = any(after == before + 1 for before, after in pairwise(numbers)) and any(after > before + 1 for before, after in pairwise(numbers))
    hint = "; for prompts of several lines, put a line of '---' between them" if of_several else ""
    said.add(f"each line is a prompt{hint}")
    sign = _sign_of_list([line for _, line in lines])
    if sign is not None:
        said.add(f"the {'bullets' if sign is _BULLET else 'numbers'} before all lines are left out")
    data = [{"user": (line if sign is None else sign.sub("", line, count=1)).strip()} for _, line in lines]
    return Document(data, {(at,): number for at, (number, _) in enumerate(lines)})


def _sign_of_list(lines: list[str]) -> re.Pattern[str] | None:
    """What every line begins with, where the lines are a list: a bullet, or numbers that count up from 0 or 1."""
    if len(lines) < 2:
        return None
    if all(map(_BULLET.match, lines)):
        return _BULLET
    found = [_NUMBER.match(line) for line in lines]
    numbers = [int(one[1]) for one in found if one is not None]
    counts_up = len(numbers) == len(lines) and numbers[0] in (0, 1) and all(after == before + 1 for before, after in pairwise(numbers))
    return _NUMBER if counts_up else None


def _from_blocks(blocks: list[str]) -> Document:
    data: list[Any] = []
    marks: dict[Path, int] = {}
    line = 1
    for block in blocks:
        if block.strip():
            marks[(len(data),)] = line + len(block[: len(block) - len(block.lstrip())].split("\n")) - 1
            data.append({"user": block.strip()})
        line += block.count("\n")
    return Document(data, marks)
