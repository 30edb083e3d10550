"""What groups of one run or of several are compared on, so that neither their size nor the length of their answers counts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.rarefaction import Sample
from evalkit.scoring.gather import Gathered
from evalkit.scoring.measuring import Basis, Sizes
from evalkit.scoring.prefix import Lengths, beginnings, common_prefix, enough


def basis(runs: Sequence[Gathered], fixed: int | None = None) -> list[Basis]:
    """What all `runs` can be compared on together, as seen from each: alike in all but the prefix, whose cells are each run's own.

    Args:
        fixed: the length of the prefix; chosen from `evalkit.scoring.prefix.PREFIXES` where None.
    """
    starts = [0, *accumulate(len(run.plan.cells) for run in runs)]
    prompts = max(len(run.plan.experiment.prompts) for run in runs)
    joined: Lengths = {
        (start + cell, prompt): lengths
        for start, run in zip(starts, runs, strict=False)
        for (cell, prompt), lengths in run.cut_groups.lengths.items()
    }
    ks = sizes(joined, prompts)
    samples = _samples(joined, ks)
    prefix = common_prefix(joined, starts[-1], fixed)
    if prefix is None:
        return [Basis(ks, None, (), samples) for _ in runs]
    there = tuple(sizes(joined, prompts, tokens, prefix.left_out) for tokens in beginnings(prefix))
    whole = prefix._replace(k=int(there[0].max(initial=0)))
    return [
        Basis(
            ks,
            whole._replace(eligible=whole.eligible[first:end], left_out=tuple(cell - first for cell in whole.left_out if first <= cell < end)),
            there,
            samples,
        )
        for first, end in pairwise(starts)
    ]


def sizes(groups: Lengths, prompts: int, tokens: int = 1, left_out: Sequence[int] = ()) -> Sizes:
    """For each prompt the largest k that nine tenths of its cells have of answers with `tokens`; 0 where that is below 2. Shape (prompts,)."""
    found: list[list[int]] = [[] for _ in range(prompts)]
    for (cell, prompt), lengths in groups.items():
        if cell not in left_out:
            found[prompt].append(int(np.count_nonzero(lengths >= tokens)))
    ks = np.array([enough(one) for one in found], dtype=np.int64)
    return np.where(ks < 2, 0, ks)


def _samples(groups: Lengths, ks: Sizes) -> tuple[Sample | None, ...]:
    """The sample of each prompt: of its cells with k answers (one where k is 0), the first k of these; None where there is none."""
    found: list[list[NDArray[np.int64]]] = [[] for _ in ks]
    for (_, prompt), lengths in groups.items():
        k = max(1, int(ks[prompt]))
        first = lengths[lengths > 0][:k]
        if len(first) == k:
            found[prompt].append(first)
    return tuple(sample_of(one) if one else None for one in found)


def sample_of(lengths: Sequence[NDArray[np.int64]]) -> Sample:
    """The sample of cells whose answers have these `lengths`, of each as many: nine tenths of the cells have it.

    No answer counts for more than the length that half of the answers reach, in nine tenths of the cells; of the cells that then have most words, the
    longest answer of the sample is as long as the longest of each, the second as the second, and so on.
    """
    window = enough([int(np.sort(one)[len(one) // 2]) for one in lengths])
    falling = np.array([-np.sort(-np.minimum(one, window)) for one in lengths])
    words = falling.sum(axis=1)
    return Sample(tuple(falling[words >= enough(words.tolist())].min(axis=0).tolist()))
