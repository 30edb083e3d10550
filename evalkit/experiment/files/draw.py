"""A part of the prompts of a file, drawn by tags."""

from __future__ import annotations

import random
from collections.abc import Sequence
from heapq import heapify, heappop, heapreplace

from evalkit.experiment.files.columns import Sample
from evalkit.experiment.files.said import Said
from evalkit.experiment.prompts import Prompt


def drawn(prompts: Sequence[Prompt], sample: Sample, said: Said) -> tuple[Prompt, ...]:
    """A part of the prompts, in their order: the same for the same prompts and seed, and of each set of tags its share."""
    if len(prompts) <= sample.n:
        said.add(f"sample: there are {len(prompts)} prompts, so all are taken")
        return tuple(prompts)
    strata: dict[tuple[str, ...], list[int]] = {}
    for number, prompt in enumerate(prompts):
        strata.setdefault(prompt.tags if sample.by == "tags" else (), []).append(number)
    rng = random.Random(sample.seed)  # noqa: S311 (a draw of prompts, no secret)
    taken: list[int] = []
    for numbers, count in zip(strata.values(), _shares([len(one) for one in strata.values()], sample.n), strict=True):
        taken += rng.sample(numbers, count)
    said.add(f"sample: {len(taken)} of {len(prompts):,} prompts are taken" + (f", of {len(strata)} sets of tags" if sample.by else ""))
    return tuple(prompts[number] for number in sorted(taken))


def _shares(sizes: Sequence[int], n: int) -> list[int]:
    """How many of each size are drawn: by largest remainders, at least one of each while `n` allows it."""
    least = 1 if n >= len(sizes) else 0
    total = sum(sizes)
    exact = [size * n / total for size in sizes]
    out = [max(least, int(one)) for one in exact]
    step = 1 if sum(out) < n else -1
    heap = [(step * (out[at] - exact[at]), at) for at in range(len(sizes)) if (out[at] < sizes[at] if step > 0 else out[at] > least)]
    heapify(heap)
    for _ in range(abs(n - sum(out))):
        _, at = heap[0]
        out[at] += step
        if out[at] < sizes[at] if step > 0 else out[at] > least:
            heapreplace(heap, (step * (out[at] - exact[at]), at))
        else:
            heappop(heap)
    return out
