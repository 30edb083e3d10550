"""The beginning that answers are compared on where no sample of them will do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PREFIXES = (10, 25, 50, 100, 200, 400)
"""Tokens that answers may be compared on."""
ENOUGH_ANSWERS = 0.9
ENOUGH_CELLS = 0.8
FAR_APART = 0.05

_ENOUGH_GROUPS = 0.9

Lengths = Mapping[tuple[int, int], NDArray[np.int64]]
"""Tokens of the answers of each cell to each prompt, by the numbers of both."""


class Prefix(NamedTuple):
    """The beginning of the answers that metrics biased by length are compared on.

    Attributes:
        tokens: its length T.
        eligible: the share of each cell's answers that have so many tokens, NaN for a cell without answers; shape (cells,).
        left_out: cells that too few answers of reach it, which are then not compared.
        k: replicates that group metrics are taken over there, on the prompt with most.
    """

    tokens: int
    eligible: NDArray[np.float64]
    left_out: tuple[int, ...]
    k: int

    @property
    def biased(self) -> tuple[int, ...]:
        """Cells whose share of eligible answers is more than five points below the highest: what is left of them is a selection."""
        highest = np.nanmax(self.eligible)
        return tuple(int(cell) for cell in np.flatnonzero(self.eligible < highest - FAR_APART - 1e-9))


def enough(sizes: Sequence[int]) -> int:
    """The largest size that at least nine tenths of `sizes` reach; 0 where there are none."""
    return sorted(sizes, reverse=True)[math.ceil(_ENOUGH_GROUPS * len(sizes)) - 1] if sizes else 0


def common_prefix(groups: Lengths, cells: int, fixed: int | None) -> Prefix | None:
    """The longest prefix that nine tenths of every cell's answers have; else of four fifths of the cells, the others left out; else None.

    Its k is not known here.
    """
    joined = _lengths(groups, cells)
    answered = [cell for cell in range(cells) if len(joined[cell])]
    if not answered:
        return None
    tried = []
    for tokens in sorted(PREFIXES, reverse=True) if fixed is None else (fixed,):
        eligible = np.array([np.mean(one >= tokens) if len(one) else math.nan for one in joined])
        short = tuple(cell for cell in answered if eligible[cell] < ENOUGH_ANSWERS - 1e-9)
        tried.append((tokens, eligible, short))
    whole = [one for one in tried if not one[2]]
    most = [one for one in tried if len(answered) - len(one[2]) >= ENOUGH_CELLS * len(answered)]
    if not whole and not most:
        return None
    tokens, eligible, short = (whole or most)[0]
    return Prefix(tokens, eligible, short, 0)


def _lengths(groups: Lengths, cells: int) -> list[NDArray[np.float64]]:
    """The lengths of each cell's answers."""
    found: list[list[NDArray[np.int64]]] = [[] for _ in range(cells)]
    for (cell, _), lengths in groups.items():
        found[cell].append(lengths)
    return [np.concatenate(one).astype(float) if one else np.zeros(0) for one in found]


def beginnings(prefix: Prefix) -> tuple[int, int, int]:
    """Tokens of the prefix, of half of it, and of twice."""
    return prefix.tokens, max(1, prefix.tokens // 2), 2 * prefix.tokens
