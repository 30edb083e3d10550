"""What a probe found of the meaning of parameters at an endpoint: its part of ``probe.json``, which others read as well."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

Standing = Literal["defined", "own", "inconclusive", "not there"]
"""By the definition of the chat API; in a manner of its own; not found out; or there is nothing to find out, such as of what is refused."""


class Meaning(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one question."""

    question: str
    standing: Standing
    answer: str | None
    """In few words, as in docs/meaning.md; None where there is none."""
    says: str
    """One sentence for people; what has to be known."""
    evidence: str
    calls: int
    p: float | None = None
    """How probable as much would be by chance alone, where a test gives that."""
    ratio: float | None = None
    """How much likelier the observations are by this answer than by its nearest rival, where that can be told."""


class Corner(msgspec.Struct, frozen=True, kw_only=True):
    """How far first tokens are from what the definition says, at one corner of the levels that are wanted."""

    temperature: float | None
    """None where it is left out, which by definition is 1; `top_p` likewise."""
    top_p: float | None
    standing: Standing
    says: str
    evidence: str
    calls: int
    by: Literal["log probabilities", "samples"]
    """From what the definition's distribution was worked out: log probabilities, or answers, both at temperature 1."""
    distance: float | None = None
    """Total variation distance in [0, 1], estimated; None where too little came."""
    low: float | None = None
    high: float | None = None
    """Its 95 % interval. What is not known of rare tokens is in `high`, and not in `low`."""
    p: float | None = None
    """How probable as much would be by chance alone."""


class _Part(msgspec.Struct):
    meaning: list[Meaning] = []
    corners: list[Corner] = []


def read_meanings(path: Path) -> Mapping[str, Meaning]:
    """What the ``probe.json`` at `path` holds of meaning, by question; empty where there is none, or it cannot be read."""
    return {one.question: one for one in _part(path).meaning}


def read_corners(path: Path) -> list[Corner]:
    """What it holds of distances from the definition; empty as `read_meanings`."""
    return _part(path).corners


def _part(path: Path) -> _Part:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Part)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return _Part()
