"""N-grams of a group of texts: in their order, and counted; and how many two texts have in common."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 2**21
"""Numbers in one dense block of counts: 16 MB, whatever the size of a group."""
_GATHERED = 250
"""What looking up a number takes, in multiplications of a matrix product: many texts share few n-grams with most others."""


class Grams(NamedTuple):
    """The n-grams of texts, one after another; none crosses from one text into another.

    Attributes:
        code: a number for each, alike for alike ones, below `types`; shape (n-grams,).
        owner: the number of its text; shape (n-grams,).
        place: how many stand before it in its text; shape (n-grams,).
        types: a number above any code.
    """

    code: Ints
    owner: Ints
    place: Ints
    types: int


class Ngrams(NamedTuple):
    """N-gram counts of a group: one row for each different n-gram of each text.

    Attributes:
        code: number of the n-gram, ascending; shape (rows,).
        owner: number of the text, ascending within a code; shape (rows,).
        times: occurrences in that text; shape (rows,).
        total: n-grams of each text; shape (k,).
        types: different n-grams in the group.
    """

    code: Ints
    owner: Ints
    times: Ints
    total: Ints
    types: int

    @property
    def unique(self) -> Ints:
        """Different n-grams of each text, shape (k,)."""
        return np.bincount(self.owner, minlength=len(self.total))

    def texts(self, codes: int) -> Ints:
        """How many texts have the n-gram of each number below `codes`; shape (codes,)."""
        return np.bincount(self.code, minlength=codes)

    def _shared(self) -> NDArray[np.bool_]:
        """Which rows are of n-grams that two texts or more have; shape (rows,)."""
        same = self.code[1:] == self.code[:-1]
        found = np.zeros(len(self.code), dtype=np.bool_)
        found[1:] = same
        found[:-1] |= same
        return found

    def dots(self) -> Floats:
        """Dot products of the texts' count vectors, shape (k, k)."""
        k = len(self.total)
        shared = self._shared()
        alone = ~shared
        out = np.diag(np.bincount(self.owner[alone], weights=self.times[alone].astype(float) ** 2, minlength=k).astype(float))
        code, owner, times = self.code[shared], self.owner[shared], self.times[shared]
        if not len(code):
            return out
        column = np.cumsum(beginnings(code)) - 1
        columns = int(column[-1]) + 1
        if k * columns > _GATHERED * len(code):
            return out + _looked_up(column, owner, times, k)
        width = max(1, _BLOCK // k)
        for start in range(0, columns, width):
            begin, end = np.searchsorted(column, (start, start + width))
            block = np.zeros((k, min(width, columns - start)))
            block[owner[begin:end], column[begin:end] - start] = times[begin:end]
            out += block @ block.T
        return out

    def clipped(self) -> Floats:
        """The n-grams that each text has from the others, clipped as in BLEU; shape (k,).

        An n-gram counts at most as often as in the other text that has it most often.
        """
        shared, k = self._shared(), len(self.total)
        code, owner, times = self.code[shared], self.owner[shared], self.times[shared]
        if not len(code) or times.max() == 1:
            return np.bincount(owner, minlength=k).astype(float)
        new = beginnings(code)
        first = np.flatnonzero(new)
        number = np.cumsum(new) - 1
        top = np.maximum.reduceat(times, first)[number]
        highest = times == top
        second = np.maximum.reduceat(np.where(highest, 0, times), first)[number]
        only = highest & (np.add.reduceat(highest.astype(np.int64), first)[number] == 1)
        return np.bincount(owner, weights=np.minimum(times, np.where(only, second, top)), minlength=k).astype(float)


def counted(code: Ints, owner: Ints, total: Ints) -> Ngrams:
    """The counts of n-grams of these codes and texts, in any order; `total` as in `Ngrams`."""
    k = max(1, len(total))
    rows = np.sort(code * k + owner)
    first = np.flatnonzero(beginnings(rows))
    codes = rows[first] // k
    types = int(np.count_nonzero(beginnings(codes)))
    return Ngrams(codes, rows[first] - codes * k, np.diff(np.append(first, len(rows))), total, types)


def beginnings(ascending: Ints) -> NDArray[np.bool_]:
    """Where another number begins; the same shape."""
    found = np.ones(len(ascending), dtype=np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=found[1:])
    return found


def _looked_up(column: Ints, owner: Ints, times: Ints, k: int) -> Floats:
    """Dot products of the texts' count vectors, each one's counts looked up for all rows: k times the rows, not k² times the columns."""
    out = np.zeros((k, k))
    counts = np.zeros(int(column[-1]) + 1)
    order = np.argsort(owner, kind="stable")
    column, owner, times = column[order], owner[order], times[order].astype(float)
    ends = np.searchsorted(owner, np.arange(k + 1)).tolist()
    for number, (begin, end) in enumerate(pairwise(ends)):  # with those from it on: the others have met it
        counts[column[begin:end]] = times[begin:end]
        out[number] = np.bincount(owner[begin:], weights=counts[column[begin:]] * times[begin:], minlength=k)
        counts[column[begin:end]] = 0.0
    return np.triu(out) + np.triu(out, 1).T
