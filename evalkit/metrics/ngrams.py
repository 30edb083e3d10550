"""N-gram counts: the one thing that distinct-n and seq-rep-n are made of. N-grams never cross from one text into another."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence


def ngrams(tokens: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    """The n-grams of one text, in order; none where it has fewer than `n` tokens."""
    return zip(*(tokens[start:] for start in range(n)), strict=False)


def distinct(texts: Iterable[Sequence[str]], n: int) -> float:
    """Distinct-n of texts pooled: unique n-grams / n-grams, in (0, 1]; NaN where there is no n-gram.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    unique: set[tuple[str, ...]] = set()
    total = 0
    for tokens in texts:
        unique.update(ngrams(tokens, n))
        total += max(0, len(tokens) - n + 1)
    return len(unique) / total if total else math.nan


def repeated(tokens: Sequence[str], n: int) -> float:
    """Seq-rep-n of one text: 1 - unique n-grams / n-grams, in [0, 1); NaN where it has fewer than `n` tokens.

    Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training".
    """
    return 1.0 - distinct([tokens], n)
