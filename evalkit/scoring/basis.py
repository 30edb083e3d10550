"""What groups of one run or of several are compared on, so that neither their size nor the length of their answers counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

from evalkit.scoring.gather import Gathered
from evalkit.scoring.prefix import Prefix, beginnings, common_k, common_prefix, k_of


class Basis(NamedTuple):
    """What runs that are compared have in common: the replicates of group metrics, and the prefix with the replicates on each of its lengths."""

    k: int
    prefix: Prefix | None
    ks: tuple[int, ...] = ()


def basis(runs: Sequence[Gathered], fixed: int | None = None) -> list[Basis]:
    """What all `runs` can be compared on together, as seen from each: one k and one length of the prefix, the cells of each counted by itself.

    Args:
        fixed: the length of the prefix; chosen from `evalkit.scoring.prefix.PREFIXES` where None.
    """
    starts = [0, *accumulate(len(run.plan.cells) for run in runs)]
    joined = {(start + cell, prompt): group for start, run in zip(starts, runs, strict=False) for (cell, prompt), group in run.groups.items()}
    k = common_k([int(np.count_nonzero(group.lengths)) for group in joined.values()])
    prefix = common_prefix(joined, starts[-1], fixed)
    if prefix is None:
        return [Basis(k, None) for _ in runs]
    ks = tuple(k_of(joined, tokens, prefix.left_out) for tokens in beginnings(prefix))
    return [
        Basis(
            k,
            prefix._replace(eligible=prefix.eligible[first:end], left_out=tuple(cell - first for cell in prefix.left_out if first <= cell < end)),
            ks,
        )
        for first, end in pairwise(starts)
    ]
