"""A part of a plan, for one of several machines: which pairs of a setting and a prompt fall to it."""

from __future__ import annotations

import re
from typing import NamedTuple

from evalkit.errors import ExperimentError

MOST_SHARDS = 100_000


class Shard(NamedTuple):
    """One of `of` parts; `number` counts from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, hashed: bytes) -> bool:
        """Whether what has this hash falls to it: of a setting and a prompt, so that levels that are added fall evenly to all parts."""
        return int.from_bytes(hashed[:8]) % self.of == self.number - 1

    def has_number(self, number: int) -> bool:
        """Whether the anchor of this number falls to it: they go round, so that each part has some from its beginning to its end."""
        return number % self.of == self.number - 1


def shard_of(text: str) -> Shard:
    """The shard that is written ``3/16``; raises `ExperimentError` where it is none."""
    found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*([0-9]{1,9})\s*", text)
    number, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= count <= MOST_SHARDS:
        which = "one like 3/16, the third of 16 parts"
        if 1 <= count <= MOST_SHARDS:
            which = f"one of 1/{count} to {count}/{count}"
        raise ExperimentError(f"shard: found {text[:40]!r}; expected {which}")
    return Shard(number, count)
