"""Variety of the words within one answer, corrected for its length. All give an array of shape (k,), NaN where undefined."""

from __future__ import annotations

import numpy as np

from evalkit.metrics import rarefaction
from evalkit.metrics.group import Floats, Group, Ints, share


def mattr(group: Group, window: int = 50) -> Floats:
    """Moving-average type-token ratio, in (0, 1]; NaN below `window` tokens.

    Covington & McFall 2010, "Cutting the Gordian Knot". A token is a new type in every window that begins after its last occurrence, so
    the sum over windows is counted from the previous occurrences, in time linear in the tokens.
    """
    last_start = group.lengths[group.owner] - window
    first = np.maximum(group.previous + 1, group.positions - window + 1)
    starts = np.minimum(group.positions, last_start) - first + 1
    sums = _sums(group, np.maximum(starts, 0))
    windows = group.lengths - window + 1
    return share(sums, window * windows)


def hdd(group: Group, draws: int = 42) -> Floats:
    """HD-D: mean share of a sample of `draws` tokens that a type adds by occurring in it, summed over types, in (0, 1]; NaN below `draws` tokens.

    McCarthy & Jarvis 2007, "vocd: A Theoretical and Empirical Evaluation", by the hypergeometric distribution.
    """
    unigrams = group.ngrams(1)
    return share(_drawn(unigrams.times, unigrams.owner, group.lengths, draws), np.where(group.lengths >= draws, draws, 0))


def rarefied(group: Group, draws: int = 42) -> float:
    """Distinct-1 of the pooled texts rarefied to `draws` tokens: expected types in such a sample / `draws`; NaN below `draws` tokens.

    Hurlbert 1971, "The Nonconcept of Species Diversity".
    """
    return rarefaction.types(np.bincount(group.ids)[1:], draws) / draws


def _drawn(counts: Ints, owner: Ints, totals: Ints, draws: int) -> Floats:
    """Expected different types among `draws` tokens of each text: the sum over its types of 1 - C(N - c, draws) / C(N, draws)."""
    above = int(totals.max(initial=0)) + 1
    pairs, which = np.unique(totals[owner] * above + counts, return_inverse=True)
    size, count = pairs // above, pairs % above
    drawn = np.arange(draws)
    # A product of ratios: the logarithms of factorials would lose nine digits in a text of a million tokens.
    missed = np.prod(np.maximum(size[:, None] - count[:, None] - drawn, 0) / np.maximum(size[:, None] - drawn, 1), axis=1)
    return np.bincount(owner, weights=(1.0 - missed)[which], minlength=len(totals)).astype(float)


def mtld(group: Group, threshold: float = 0.72, fewest: int = 200) -> Floats:
    """Measure of textual lexical diversity: mean length of a run whose type-token ratio stays above `threshold`, both ways averaged, ≥ 1.

    McCarthy & Jarvis 2010, "MTLD, vocd-D, and HD-D". NaN below `fewest` tokens, where it is unstable, and where no run ever ends.
    """
    out = np.full(len(group), np.nan)
    for number in np.flatnonzero(group.lengths >= max(fewest, 1)):
        ids = group.of(int(number))
        factors = _factors(ids, threshold), _factors(ids[::-1], threshold)
        if all(factors):
            out[number] = (len(ids) / factors[0] + len(ids) / factors[1]) / 2
    return out


def _factors(ids: list[int], threshold: float) -> float:
    seen: set[int] = set()
    start, factors, ratio = 0, 0.0, 1.0
    for at, token in enumerate(ids, 1):
        seen.add(token)
        ratio = len(seen) / (at - start)
        if ratio <= threshold:
            factors += 1
            start, ratio = at, 1.0
            seen.clear()
    return factors + (1.0 - ratio) / (1.0 - threshold) if start < len(ids) else factors


def entropy(group: Group, n: int = 1) -> Floats:
    """Shannon entropy of a text's n-grams, in nats, ≥ 0; NaN below `n` tokens.

    Shannon 1948, "A Mathematical Theory of Communication".
    """
    grams = group.ngrams(n)
    p = grams.times / grams.total[grams.owner]
    return share(np.bincount(grams.owner, weights=-p * np.log(p), minlength=len(group)), np.minimum(grams.total, 1))


def _sums(group: Group, values: Ints) -> Floats:
    """Sum over the tokens of each text; exact, as whole numbers."""
    return np.bincount(group.owner, weights=values, minlength=len(group)).astype(float)
