"""A part of the prompts of a file, drawn by tags."""

from __future__ import annotations

import random
from collections.abc import Sequence

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
    exact = [size * n / sum(sizes) for size in sizes]
    out = [max(least, int(one)) for one in exact]
    order = sorted(range(len(sizes)), key=lambda at: (out[at] - exact[at], at))
    while sum(out) < n:
        at = next(one for one in order if out[one] < sizes[one])
        out[at] += 1
        order.sort(key=lambda one: (out[one] - exact[one], one))
    while sum(out) > n:
        at = max((one for one in range(len(sizes)) if out[one] > least), key=lambda one: (out[one] - exact[one], -one))
        out[at] -= 1
    return out
