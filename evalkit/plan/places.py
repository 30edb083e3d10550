"""From a key back to its place in a plan."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from evalkit.plan.requests import KEY_BYTES, Plan


class Place(NamedTuple):
    """Where a request stands, by the numbers of its cell, its prompt and its replicate."""

    cell: int
    prompt: int
    replicate: int


class Places:
    """The places of a plan's requests by their keys, in some thirty bytes a request: a dictionary would take three hundred.

    Attributes:
        plan: whose requests they are.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._keys = plan.keys()
        halves = np.frombuffer(self._keys, dtype=">u8").reshape(-1, 2)
        there = np.flatnonzero(halves.any(axis=1))
        order = np.argsort(halves[there, 0], kind="stable")
        self._numbers = array("q", there[order].astype(np.int64).tobytes())
        self._firsts = array("Q", halves[there[order], 0].astype(np.uint64).tobytes())  # array: bisect reads its items several times as fast

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: str) -> int | None:
        """The number of the request with this key, below `size`; None where the plan has none."""
        try:
            written = bytes.fromhex(key)
        except ValueError:
            return None
        if len(written) != KEY_BYTES:
            return None
        first = int.from_bytes(written[:8])
        at = bisect_left(self._firsts, first)
        while at < len(self._firsts) and self._firsts[at] == first:
            number = self._numbers[at]
            if self._keys[KEY_BYTES * number : KEY_BYTES * (number + 1)] == written:
                return number
            at += 1
        return None

    @property
    def size(self) -> int:
        """A number above that of any request."""
        return len(self._keys) // KEY_BYTES

    def place(self, number: int) -> Place:
        """Where the request of this number stands."""
        rest, cell = divmod(number, len(self.plan.cells))
        replicate, prompt = divmod(rest, len(self.plan.experiment.prompts))
        return Place(cell, prompt, self.plan.first + replicate)
