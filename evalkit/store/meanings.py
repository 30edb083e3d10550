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


class _Part(msgspec.Struct):
    meaning: list[Meaning] = []


def read_meanings(path: Path) -> Mapping[str, Meaning]:
    """What the ``probe.json`` at `path` holds of meaning, by question; empty where there is none, or it cannot be read."""
    try:
        part = msgspec.json.decode(path.read_bytes(), type=_Part)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return {one.question: one for one in part.meaning}
