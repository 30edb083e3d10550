"""What the local model reads: prose that every Python installation carries.

The text is Python's own reference manual as `pydoc` ships it. Where a distribution leaves that module out, docstrings of
the standard library take its place, and where those are stripped too (``python -OO``), a page of our own.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_DOCSTRING_MODULES = (  # noqa: SIM905 (a list would fill a page)
    "argparse asyncio collections contextlib dataclasses datetime decimal difflib email enum fractions functools heapq "
    "inspect itertools json logging pathlib pickle random re shutil statistics string subprocess tempfile textwrap "
    "threading typing unittest urllib.parse"
).split()

_OWN_PAGE = """\
A list holds values in order. You can add a value to the end of a list, take one away, or ask for the value at a position.

A slice of a list is a new list with the values between two positions. The first position is part of the slice and the last
position is not part of the slice.

A function takes values, works on the values, and gives a value back. A function that calls a function waits until the
function gives a value back.

An exception stops the work of a function. The exception goes to the function that called it, until a handler takes the
exception, and when no handler takes the exception the program ends and the exception is printed.

A dictionary holds values under keys. A key is found without looking at the other keys, and a key stands in a dictionary
once.
"""

_HEADING_RULE = re.compile(r"^([*=\-^~#])\1{2,}\s*$")
_BULLET = re.compile(r"^(?:[*•-]|\d+\.|\[\d+\])\s+")
_WORD = re.compile(r"[^\W\d_]{2,}")


class Section(NamedTuple):
    """Paragraphs that stand under one heading, each a single line of prose."""

    title: str
    paragraphs: tuple[str, ...]


def sections() -> list[Section]:
    """The sections of the best text this Python has, never empty."""
    for source in (_reference_manual, _docstrings):
        found = [section for section in source() if section.paragraphs]
        if sum(len(section.paragraphs) for section in found) >= 100:
            return found
    return list(_sections("lists, functions and exceptions", _OWN_PAGE))


def _reference_manual() -> Iterator[Section]:
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except ImportError:
        return
    for name in sorted(topics):
        yield from _sections(name, topics[name])


def _docstrings() -> Iterator[Section]:
    read: set[str] = set()
    for name in _DOCSTRING_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for attribute in ["", *sorted(vars(module))]:
            thing = vars(module)[attribute] if attribute else module
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is deprecated says so when it is touched
                text = getattr(thing, "__doc__", None)
            # a constant carries the docstring of its type, over and over
            if isinstance(text, str) and text not in read and not attribute.startswith("_"):
                read.add(text)
                yield from _sections(f"{name} {attribute}", text)


def _sections(topic: str, text: str) -> Iterator[Section]:
    """Cut `text` at its underlined headings; keep only what reads as prose."""
    title, paragraphs = topic, list[str]()
    for block in re.split(r"\n\s*\n", text):
        lines = block.strip("\n").splitlines()
        if len(lines) >= 2 and _HEADING_RULE.match(lines[1]):
            if paragraphs:
                yield Section(title, tuple(paragraphs))
            title, paragraphs = f"{topic} {lines[0].strip()}", []
            lines = lines[2:]
        prose = _prose(lines)
        if prose:
            paragraphs.append(prose)
    if paragraphs:
        yield Section(title, tuple(paragraphs))


def _prose(lines: Iterable[str]) -> str:
    """The block as one line, or an empty string where it is code, grammar, a signature or a heading."""
    text = " ".join(" ".join(lines).split())
    text = _BULLET.sub("", text)
    if "::=" in text or ">>>" in text or text.startswith(("Changed in version", "Added in version", "New in version")):
        return ""
    pieces = text.split(" ")
    if len(pieces) < 12 or not text.endswith((".", ":", "!", "?", ")", ";")):
        return ""
    plain = sum(1 for piece in pieces if _WORD.fullmatch(piece.strip("\"'“”‘’.,:;()!?*")))
    return text if plain >= 0.7 * len(pieces) else ""
