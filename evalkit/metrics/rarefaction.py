"""Metrics of samples of equal size: what the answers to a prompt would give if from each setting the same amount of text were drawn.

A beginning that all answers have is as short as the shortest allow. Here half of the answers need to be as long as the part that is looked at:
shorter ones take part with all they have, and every setting is taken as if it had answers of the same lengths. Nothing is drawn by chance: values are
expected ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.metrics.group import Floats, Group, Ints
from evalkit.metrics.ngrams import Grams, beginnings

WINDOW = 50
"""Words of the longest stretch that repetition is looked for in."""
_WIDEST = 4_000_000  # counts that are held at once
_MANY = 16
"""Texts from which on it pays to lay them out."""
_FARTHEST = 50
"""Lags that the probability of being new is worked out for at once: as far as any metric here looks back."""


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
    return math.fsum((1.0 - missed[counts]).tolist())


def distinct(group: Group, sample: Sample, n: int) -> float:
    """Distinct-n of a sample, in (0, 1]: different n-grams expected, / n-grams; NaN where the texts have not as many.

    Drawn from all texts together (Hurlbert 1971), at each place in them as many as the sample has there. Drawn from anywhere, answers that begin
    alike would seem the more varied the longer they are: later words differ more.
    """
    draws = sample.grams(n)
    if not draws.sum():
        return math.nan
    places = len(draws)
    there = (group.lengths[:, None] >= np.arange(n, places + n)).sum(axis=0)
    if (there < draws).any():
        return math.nan
    code, place, times = _by_place(group, n, places)
    ratios = np.maximum(there - (each := np.arange(int(times.max()))[:, None]) - draws, 0) / np.maximum(there - each, 1)
    missed = np.cumprod(ratios, axis=0)[times - 1, place]  # C(N - c, m) / C(N, m) as a product of c ratios
    return math.fsum((1.0 - np.multiply.reduceat(missed, np.flatnonzero(beginnings(code)))).tolist()) / int(draws.sum())


def _by_place(group: Group, n: int, places: int) -> tuple[Ints, Ints, Ints]:
    """N-grams at each of the first `places`, those of one code together: code, place, and in how many texts; each of shape (pairs,)."""
    if ("by place", n) not in group.memo:
        grams = group.grams(n)
        width = int(grams.place.max(initial=0)) + 1
        pairs = np.sort(grams.code * width + grams.place)
        first = np.flatnonzero(beginnings(pairs))
        code = pairs[first] // width
        group.memo["by place", n] = code, pairs[first] - code * width, np.diff(np.append(first, len(pairs)))
    code, place, times = group.memo["by place", n]
    here = place < places
    return code[here], place[here], times[here]


def matched(group: Group, sample: Sample) -> Group | None:
    """The texts, the longest cut to the first length of the sample, the next to the second, and so on; None where one is shorter."""
    order = np.argsort(-group.lengths, kind="stable")[: sample.k]
    lengths = np.array(sample.lengths)
    if len(order) < sample.k or (group.lengths[order] < lengths).any():
        return None
    return group.cut(order, lengths)


def _new(group: Group, n: int, window: int) -> Floats | None:
    """The probability that an n-gram is not among the 0, 1 ... `window` - 1 before it, shape (window,); None where nobody can look so far back.

    Kaplan & Meier 1958: an n-gram near the beginning of its text tells only of as many as stand before it.
    """
    if ("new", n) not in group.memo:
        back, before = group.gaps(n), group.grams(n).place
        seen = np.where(back > 0, back, before)  # the lag at which it comes again, else the farthest that it tells of
        at_risk = len(seen) - np.cumsum(np.bincount(np.minimum(seen, _FARTHEST), minlength=_FARTHEST + 1))[: _FARTHEST - 1]
        met = np.bincount(back[(back > 0) & (back < _FARTHEST)], minlength=_FARTHEST)[1:]
        curve = np.concatenate(([1.0], np.cumprod(1.0 - met / np.maximum(at_risk, 1))))
        group.memo["new", n] = curve, int(before.max(initial=-1))
    curve, farthest = group.memo["new", n]
    return None if window < 1 or farthest < window - 1 else curve[:window]


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
    order = np.argsort(-group.lengths, kind="stable")
    sizes = group.lengths[order]
    orders = range(1, min(4, int(sizes.max(initial=0))) + 1)
    grams = [group.grams(n) for n in orders]
    rank = np.argsort(order)
    dots = _common(grams, rank, sizes)
    found = np.zeros((len(group), len(group)))
    for n, one, its in zip(orders, grams, dots, strict=True):
        squares = np.zeros((len(group), int(sizes[0]) - n + 1))
        squares[rank[one.owner], one.place] = 2 * group.earlier(n) + 1  # the next of as many adds so much to the square of their number
        norms = np.sqrt(np.cumsum(squares, axis=1)[:, np.maximum(sizes - n, 0)].T)
        product = np.diag(norms)[:, None] * norms
        found += np.divide(its, product, out=np.zeros_like(its), where=(sizes >= n)[:, None] & (product > 0))
    if sizes.min(initial=4) < 4:
        _add_whole(found, group, order, sizes)
    found = np.tril(found, -1) / 4
    found += found.T
    np.fill_diagonal(found, 1.0)
    out = np.empty_like(found)
    out[np.ix_(order, order)] = found
    return out


def _common(grams: Sequence[Grams], rank: Ints, sizes: Ints) -> Floats:
    """Dot products of the counts of n-grams, n from 1 on, of each text with those before it, of both as many words as it has.

    Shape (orders of n, texts, texts); of texts in falling order of their `sizes`, in which `rank` is the place of each.
    """
    k = len(sizes)
    shift = np.cumsum([0, *(one.types for one in grams)])
    code = np.concatenate([one.code + begin for one, begin in zip(grams, shift.tolist(), strict=False)])
    shared = np.bincount(code, minlength=int(shift[-1])) > 1
    kept = shared[code]
    code = (np.cumsum(shared) - 1)[code[kept]]
    owner = rank[np.concatenate([one.owner for one in grams])[kept]]
    end = np.concatenate([one.place + n for n, one in enumerate(grams, 1)])[kept]
    kind = np.repeat(np.arange(len(grams)), [len(one.code) for one in grams])[kept]
    types = int(code.max(initial=-1)) + 1
    own = np.argsort(owner, kind="stable")
    begin = np.searchsorted(owner[own], np.arange(k + 1)).tolist()
    if k <= _MANY:
        first, wide = 0, np.zeros((0, k, k))
    else:  # of so many texts nearly all words are shared: a rectangle of them is read faster than a list
        words = kind == 0
        first, wide = 1, _of_words(code[words], owner[words], end[words] - 1, sizes, types)[None]
        code, owner, end, kind = code[~words], owner[~words], end[~words], kind[~words]
        own = np.argsort(owner, kind="stable")
        begin = np.searchsorted(owner[own], np.arange(k + 1)).tolist()
    order = np.argsort(end, kind="stable")
    ends = np.searchsorted(end[order], sizes, side="right").tolist()
    ordered, target = code[order], ((kind - first) * k + owner)[order]
    rest = len(grams) - first
    out = np.zeros((k, rest * k))
    for row in range(k if rest else 0):
        counts = np.bincount(code[own[begin[row] : begin[row + 1]]], minlength=types).astype(float)
        out[row] = np.bincount(target[: ends[row]], weights=counts[ordered[: ends[row]]], minlength=rest * k)
    return np.concatenate((wide, out.reshape(k, rest, k).transpose(1, 0, 2)))


def _of_words(code: Ints, owner: Ints, place: Ints, sizes: Ints, types: int) -> Floats:
    """`_common` for single words."""
    k = len(sizes)
    out = np.zeros((k, k))
    table = np.full((k, int(sizes[0])), types)
    table[owner, place] = code
    for row, size in enumerate(sizes.tolist()):
        counts = np.bincount(table[row, :size], minlength=types + 1).astype(float)
        counts[types] = 0.0  # what stands for words that nobody shares
        width = max(1, _WIDEST // (row + 1))
        for start in range(0, size, width):
            out[row, : row + 1] += counts[table[: row + 1, start : min(start + width, size)]].sum(axis=1)
    return out


def _add_whole(found: Floats, group: Group, order: Ints, sizes: Ints) -> None:
    """Add to `found` for texts below four words, each its own one n-gram: which of the texts before begin with all of it."""
    for size in range(1, min(4, int(sizes.max(initial=0)) + 1)):
        rows = np.flatnonzero(sizes == size)
        if len(rows):
            grams = group.grams(size)
            begins = np.full(len(group), -1)
            begins[grams.owner[grams.place == 0]] = grams.code[grams.place == 0]
            begins = begins[order]
            found[rows] += (4 - size) * (begins[rows][:, None] == begins[None, :])


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
