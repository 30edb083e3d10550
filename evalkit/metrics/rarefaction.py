"""Metrics of samples of equal size: what the answers to a prompt would give if from each setting the same amount of text were drawn.

A beginning that all answers have is as short as the shortest allow. Here half of the answers need to be as long as the part that is looked at:
shorter ones take part with all they have, and every setting is taken as if it had answers of the same lengths. Nothing is drawn by chance: values are
expected ones.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.group import Floats, Group, Ints

WINDOW = 50
"""Words of the longest stretch that repetition is looked for in."""
_WIDEST = 4_000_000  # counts that are held at once


class Sample(NamedTuple):
    """How much text of a group a metric is taken on, as words of its answers, the longest first: all settings are taken as if of these lengths."""

    lengths: tuple[int, ...]

    @property
    def k(self) -> int:
        """Answers."""
        return len(self.lengths)

    @property
    def words(self) -> int:
        """Words of all of them."""
        return sum(self.lengths)

    @property
    def window(self) -> int:
        """Words that half of the answers have."""
        return self.lengths[(len(self.lengths) - 1) // 2] if self.lengths else 0

    def times(self, factor: float) -> Sample:
        """So many times as much text of as many answers."""
        return Sample(tuple(int(one * factor) for one in self.lengths))

    def grams(self, n: int) -> Ints:
        """N-grams that begin at each place of the answers, from the first that has any; shape (places,)."""
        places = np.arange(n, max(self.lengths, default=0) + 1)
        found: Ints = (np.array(self.lengths)[:, None] >= places).sum(axis=0)
        return found


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
    """Distinct-n of a sample, in (0, 1]: different n-grams expected, / n-grams; NaN where the texts have not as many.

    Drawn from all texts together (Hurlbert 1971), at each place in them as many as the sample has there. Drawn from anywhere, answers that begin
    alike would seem the more varied the longer they are: later words differ more.
    """
    draws = sample.grams(n)
    if not draws.sum():
        return math.nan
    places = len(draws)
    cut = group.beginning(places + n - 1)
    there = (cut.lengths[:, None] >= np.arange(n, places + n)).sum(axis=0)
    if (there < draws).any():
        return math.nan
    grams = _Grams.of(cut, n)
    pairs, times = np.unique(grams.code * places + grams.place, return_counts=True)
    code, place = pairs // places, pairs % places
    missed = np.ones(len(pairs))
    for one in range(int(times.max())):  # C(N - c, m) / C(N, m) as a product of c ratios
        left = there[place] - one
        missed *= np.where(times > one, np.maximum(left - draws[place], 0) / np.maximum(left, 1), 1.0)
    first = np.flatnonzero(np.concatenate(([True], code[1:] != code[:-1])))
    return math.fsum(1.0 - np.multiply.reduceat(missed, first)) / int(draws.sum())


def matched(group: Group, sample: Sample) -> Group | None:
    """The texts, the longest cut to the first length of the sample, the next to the second, and so on; None where one is shorter."""
    order = np.argsort(-group.lengths, kind="stable")[: sample.k]
    lengths = np.array(sample.lengths)
    if len(order) < sample.k or (group.lengths[order] < lengths).any():
        return None
    return group.cut(order, lengths)


def gaps(group: Group, n: int) -> tuple[Ints, Ints]:
    """For each n-gram how far back the same one stood last in its text, 0 where it is new there; and how many stand before it. Shape (n-grams,)."""
    code, owner, before = _Grams.of(group, n)[:3]
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


def kernel(group: Group) -> Floats:
    """Similarity of two texts, of both as many words as the shorter has: mean over n of the cosine of n-gram counts.

    Of two texts below n words each is its own one n-gram. Shape (k, k), 1 on the diagonal.
    """
    k, lengths = len(group), group.lengths
    out = np.eye(k)
    grams = {n: _Grams.of(group, n) for n in range(1, min(4, int(lengths.max(initial=0))) + 1)}
    for size in map(int, np.unique(lengths)):
        whole = lengths >= size
        found = np.zeros((k, k))
        for n in range(1, min(4, size) + 1):
            dots = grams[n].dots(whole, size - n + 1)
            norms = np.sqrt(np.diag(dots))
            found += np.divide(dots, np.outer(norms, norms), out=np.zeros((k, k)), where=np.outer(norms, norms) > 0)
        if size < 4:
            found += (4 - size) * grams[size].dots(whole, 1)  # the one n-gram of so many words is all of the text
        shortest = whole & (lengths == size)
        here = (shortest[:, None] & whole[None, :]) | (whole[:, None] & shortest[None, :])
        out[here] = found[here] / 4
    np.fill_diagonal(out, 1.0)
    return out


class _Grams(NamedTuple):
    """The n-grams of texts: the number of each, alike for alike ones, its text, and its place there; how many numbers there are, and texts."""

    code: Ints
    owner: Ints
    place: Ints
    types: int
    texts: int

    @staticmethod
    def of(group: Group, n: int) -> _Grams:
        code = group.numbered(n)
        counts = np.maximum(group.lengths - n + 1, 0)
        owner = np.repeat(np.arange(len(group)), counts)
        place = np.arange(len(code)) - np.repeat(np.cumsum(counts) - counts, counts)
        return _Grams(code, owner, place, int(code.max(initial=-1)) + 1, len(group))

    def dots(self, texts: NDArray[np.bool_], most: int) -> Floats:
        """Dot products of the counts of the first `most` n-grams of these texts, 0 for the others; shape (texts, texts)."""
        taken = (self.place < most) & texts[self.owner]
        code, owner = self.code[taken], self.owner[taken]
        out = np.zeros((self.texts, self.texts))
        width = max(1, _WIDEST // max(1, self.texts))
        if self.types > width:  # many long texts: a part of the numbers at a time
            order = np.argsort(code, kind="stable")
            code, owner = code[order], owner[order]
        for start in range(0, self.types, width):
            begin, end = (0, len(code)) if self.types <= width else np.searchsorted(code, (start, start + width))
            here = min(width, self.types - start)
            places = owner[begin:end] * here + code[begin:end] - start
            counts = np.bincount(places, minlength=self.texts * here).reshape(self.texts, here).astype(float)
            out += counts @ counts.T
        return out


def different(group: Group, sample: Sample) -> float:
    """Vendi score of the `kernel` of `matched` texts, in [1, k]: effective number of different answers, by how their wording begins.

    After Friedman & Dieng 2022, "The Vendi Score". Where texts are of different lengths the kernel can have eigenvalues a little below 0; they are
    left out, and the rest scaled. NaN for one text alone, and where one is too short.
    """
    cut = matched(group, sample) if sample.k > 1 and min(sample.lengths) > 0 else None
    if cut is None:
        return math.nan
    values = np.linalg.eigvalsh(kernel(cut))
    values = values[values > 1e-12]
    shares = values / math.fsum(values)
    return min(float(len(cut)), math.exp(-math.fsum(shares * np.log(shares))))
