"""Metrics of samples of equal size: what the answers to a prompt would give if from each setting the same amount of text were drawn.

A beginning that all answers have is as short as the shortest allow. Here half of the answers need to be as long as the part that is looked at:
shorter ones take part with all they have, and what a setting has more than another is not drawn. Nothing is drawn by chance: values are expected
ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from evalkit.metrics.group import Floats, Group, Ints
from evalkit.metrics.variety import ngram_kernel

WINDOW = 50
"""Words of the longest stretch that repetition is looked for in."""


class Sample(NamedTuple):
    """How much text of a group a metric is taken on.

    Attributes:
        k: answers.
        words: drawn from the beginnings of all of them together.
        window: words of a beginning; of repetition, those of a stretch, wherever it stands.
    """

    k: int
    words: int
    window: int

    def times(self, factor: float) -> Sample:
        """So many times as much text of as many answers."""
        return Sample(self.k, int(self.words * factor), int(self.window * factor))

    def grams(self, n: int) -> int:
        """N-grams in as many words: each answer loses n - 1 at its end."""
        return self.words - self.k * (n - 1)


def types(counts: Ints, draws: int) -> float:
    """Different things expected among `draws` of those that occur so often, drawn without replacement, ≥ 1; NaN where there are fewer.

    Hurlbert 1971, "The Nonconcept of Species Diversity": what occurs c times of N is missed with the probability C(N - c, m) / C(N, m), which is a
    product of c ratios: the logarithms of factorials would lose nine digits in a text of a million tokens.
    """
    total = int(counts.sum())
    if not 0 < draws <= total:
        return math.nan
    each = np.arange(int(counts.max()))
    missed = np.concatenate(([1.0], np.cumprod(np.maximum(total - draws - each, 0) / (total - each))))
    return math.fsum(1.0 - missed[counts])


def distinct(group: Group, sample: Sample, n: int) -> float:
    """Distinct-n of a sample, in (0, 1]: different n-grams expected among those of `sample.words` words, / their number; NaN where there are fewer.

    Drawn from the first `sample.window` words of all texts together (Hurlbert 1971). Drawn from whole texts, one answer given k times would seem the
    more varied the longer it is.
    """
    draws = sample.grams(n)
    if draws < 1:
        return math.nan
    grams = group.beginning(sample.window).ngrams(n)
    return types(np.bincount(grams.code, weights=grams.times, minlength=grams.types).astype(np.int64), draws) / draws


def gaps(group: Group, n: int) -> tuple[Ints, Ints]:
    """For each n-gram how far back the same one stood last in its text, 0 where it is new there; and how many stand before it. Shape (n-grams,)."""
    code = group.numbered(n)
    counts = np.maximum(group.lengths - n + 1, 0)
    owner = np.repeat(np.arange(len(group)), counts)
    before = np.arange(len(code)) - np.repeat(np.cumsum(counts) - counts, counts)
    order = np.lexsort((before, code, owner))
    again = (code[order][1:] == code[order][:-1]) & (owner[order][1:] == owner[order][:-1])
    back = np.zeros(len(code), dtype=np.int64)
    back[order[1:][again]] = (before[order][1:] - before[order][:-1])[again]
    return back, before


def _new(group: Group, n: int, window: int) -> Floats | None:
    """The probability that an n-gram is not among the 0, 1 ... `window` - 1 before it, shape (window,); None where nobody can look so far back.

    Kaplan & Meier 1958: an n-gram near the beginning of its text tells only of as many as stand before it.
    """
    back, before = gaps(group, n)
    if window < 1 or not len(before) or before.max() < window - 1:
        return None
    seen = np.where(back > 0, back, before)  # the lag at which it comes again, else the farthest that it tells of
    at_risk = len(seen) - np.cumsum(np.bincount(np.minimum(seen, window), minlength=window + 1))[: window - 1]  # of lags 1 ... window - 1
    met = np.bincount(back[(back > 0) & (back < window)], minlength=window)[1:window]
    return np.concatenate(([1.0], np.cumprod(1.0 - met / np.maximum(at_risk, 1))))


def repeated(group: Group, sample: Sample, n: int) -> float:
    """Seq-rep-n of a stretch of `sample.window` words, in [0, 1): 1 - different n-grams expected there / n-grams there.

    Of all stretches of the texts, also of those that a shorter text holds a part of: an n-gram is new in a stretch where it is not among those
    between the beginning and itself, and how often that is follows from how far back the same one stood (Kaplan & Meier 1958). NaN for windows below
    2n words, in which hardly any n-gram can come twice, and where no text has so many.
    """
    window = min(sample.window, WINDOW)
    new = _new(group, n, window - n + 1) if window >= 2 * n else None
    return math.nan if new is None else 1.0 - float(new.mean())


def near(group: Group, sample: Sample, window: int = 16) -> float:
    """Share of words that occur among the `window` words before them, in [0, 1), as far as `sample.window` lets look back. After Fu et al. 2021.

    A word near the beginning of its text counts for the words that stand before it (Kaplan & Meier 1958): short texts do not seem to repeat less.
    """
    new = _new(group, 1, min(window + 1, sample.window)) if sample.window > 1 else None
    return math.nan if new is None else 1.0 - float(new[-1])


def kernel(group: Group, sample: Sample) -> Floats:
    """Similarity of the first `sample.window` words of two texts, of both as many as the shorter has: mean over n of the cosine of n-gram counts.

    Of two texts below n words each is its own one n-gram. Shape (k, k), 1 on the diagonal.
    """
    lengths = np.minimum(group.lengths, sample.window)
    out = np.eye(len(group))
    for size in np.unique(lengths):
        rows = np.flatnonzero(lengths >= size)
        cut = group.take(rows, int(size))
        if size >= 4:
            found = ngram_kernel(cut)
        else:
            alike = [[cut.of(one) == cut.of(other) for other in range(len(rows))] for one in range(len(rows))]
            orders = range(1, int(size) + 1)
            found = (len(orders) * ngram_kernel(cut, orders) + (4 - len(orders)) * np.array(alike, dtype=float)) / 4
        shortest = lengths[rows] == size
        here = shortest[:, None] | shortest[None, :]
        out[np.ix_(rows, rows)] = np.where(here, found, out[np.ix_(rows, rows)])
    return out


def different(group: Group, sample: Sample) -> float:
    """Vendi score of `kernel`, in [1, k]: effective number of different answers, by how their wording begins; NaN for one text alone.

    After Friedman & Dieng 2022, "The Vendi Score". Where texts are of different lengths the kernel can have eigenvalues a little below 0; they are
    left out, and the rest scaled.
    """
    if len(group) < 2 or group.lengths.min() == 0 or sample.window < 1:
        return math.nan
    values = np.linalg.eigvalsh(kernel(group, sample))
    values = values[values > 1e-12]
    shares = values / math.fsum(values)
    return min(float(len(group)), math.exp(-math.fsum(shares * np.log(shares))))
