"""Variety across the answers to one prompt: each gives one number for a group of k texts, NaN where undefined."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np

from evalkit.metrics.group import Floats, Group, Ints

LONGEST = 20_000
"""Tokens (or code points) above which a text is not aligned with others, which would take the product of two lengths."""

FEWEST_BYTES = 200
VOCABULARY = 50_257
"""Tokens that a model could have chosen from, as EAD wants it; that of GPT-2, as in the paper's code."""


def exact_duplicates(group: Group) -> float:
    """1 - unique texts / k, in [0, 1)."""
    return 1.0 - len(set(group.texts)) / len(group)


def distinct(group: Group, n: int) -> float:
    """Distinct-n of the texts pooled: unique n-grams / n-grams, in (0, 1]; NaN where there is none.

    Li et al. 2016, "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    grams = group.ngrams(n)
    total = int(grams.total.sum())
    return grams.types / total if total else math.nan


def ead(group: Group, vocabulary: int = VOCABULARY) -> float:
    """Expectation-adjusted distinct-1, > 0: unique tokens over those that as many draws from `vocabulary` tokens would give.

    Liu et al. 2022, "Rethinking and Refining the Distinct Metric". With a vocabulary of 50,257 it is distinct-1 in disguise.
    """
    total = len(group.ids)
    return group.ngrams(1).types / (vocabulary * -math.expm1(total * math.log1p(-1 / vocabulary))) if total else math.nan


def self_bleu(group: Group, epsilon: float = 0.1) -> Floats:
    """BLEU-4 of each text against the k - 1 others, in [0, 1], shape (k,); NaN for a text below 4 tokens, and for one text alone.

    Zhu et al. 2018, "Texygen"; uniform weights, the brevity penalty by the closest reference, of two the shorter one; smoothing by method 1 of
    Chen & Cherry 2014: no match counts as `epsilon`. No common token at all is 0.
    """
    k = len(group)
    lengths = group.lengths
    out = np.full(k, np.nan)
    defined = lengths >= 4
    if k < 2 or not defined.any():
        return out
    logs = np.zeros(k)
    nothing = np.zeros(k, dtype=bool)
    for n in (1, 2, 3, 4):
        matched = group.ngrams(n).clipped()
        if n == 1:
            nothing = matched == 0
        logs += np.log(np.where(matched > 0, matched, epsilon) / np.maximum(lengths - n + 1, 1))
    penalties = _brevity(lengths)
    for number in np.flatnonzero(defined).tolist():
        out[number] = 0.0 if nothing[number] else penalties[lengths[number]] * math.exp(logs[number] / 4)
    return out


def _brevity(lengths: Ints) -> dict[int, float]:
    """The brevity penalty of a text of each length, by the length of the closest other text, of two the shorter one."""
    sizes, counts = (one.tolist() for one in np.unique(lengths, return_counts=True))
    out = {}
    for at, (size, many) in enumerate(zip(sizes, counts, strict=True)):
        near = [size] if many > 1 else [*sizes[max(0, at - 1) : at], *sizes[at + 1 : at + 2]]
        closest = min(near, key=lambda one: abs(one - size))  # ascending, so of two the shorter
        out[size] = 1.0 if size > closest else math.exp(1 - closest / size) if size else 0.0
    return out


def self_bleu_4(group: Group) -> float:
    """Mean of `self_bleu` over the texts of at least 4 tokens, in [0, 1]; NaN where there is none."""
    each = self_bleu(group)
    each = each[~np.isnan(each)]
    return math.fsum(each) / len(each) if len(each) else math.nan


def self_rouge_l(group: Group) -> float:
    """Mean over pairs of texts of 2 LCS / (m + n), in [0, 1]: ROUGE-L between them, by their longest common subsequence of tokens.

    Padmakumar & He 2023, "Does Writing with Language Models Reduce Content Diversity?". NaN for one text alone, for a text without tokens and for one
    above `LONGEST` tokens.
    """
    if len(group) < 2 or group.lengths.min() == 0 or group.lengths.max() > LONGEST:
        return math.nan
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    texts = _as_strings(group, _in_common(group))
    common = cdist(texts, texts, scorer=LCSseq.similarity, dtype=np.int32)
    above = _pairs(len(group))
    return float(np.mean(2 * common[above] / (group.lengths[above[0]] + group.lengths[above[1]])))


def edit_distance_tokens(group: Group) -> float:
    """Mean over pairs of texts of the Levenshtein distance in tokens / the longer one's tokens, in [0, 1]; NaN as in `self_rouge_l`."""
    if len(group) < 2 or group.lengths.min() == 0 or group.lengths.max() > LONGEST:
        return math.nan
    return _edit_distance(_as_strings(group, group.ids))


def edit_distance_chars(group: Group) -> float:
    """As `edit_distance_tokens`, in code points."""
    sizes = list(map(len, group.texts))
    return _edit_distance(group.texts) if len(group) > 1 and min(sizes) > 0 and max(sizes) <= LONGEST else math.nan


def _edit_distance(texts: Sequence[str]) -> float:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    found = cdist(texts, texts, scorer=Levenshtein.normalized_distance, dtype=np.float64)
    return float(np.mean(found[_pairs(len(texts))]))


@lru_cache(maxsize=8)
def _pairs(k: int) -> tuple[Ints, Ints]:
    """Each pair of `k` texts once."""
    first, second = np.triu_indices(k, 1)
    return first, second


def _in_common(group: Group) -> Ints:
    """A number for each token that two texts have, -1 for others, which no two texts can have in common; the most frequent come first."""
    grams = group.grams(1)
    several = group.ngrams(1).texts(grams.types) > 1
    times = np.bincount(grams.code, minlength=grams.types) * several
    rank = np.empty(grams.types, dtype=np.int64)
    rank[np.argsort(-times, kind="stable")] = np.arange(grams.types)
    return np.where(several, rank, -1)[grams.code]


def _as_strings(group: Group, ids: Ints) -> list[str]:
    """Each text with one character for each token, by its number in `ids`, below 0 left out: the form that rapidfuzz is fastest on."""
    kept = ids >= 0
    ends = np.concatenate(([0], np.cumsum(kept)))[group.offsets].tolist()
    ids = ids[kept]
    if ids.max(initial=0) >= 0x110000:
        ids = np.unique(ids, return_inverse=True)[1] if len(np.unique(ids)) < 0x110000 else ids % 0x110000
    joined = ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")
    return [joined[begin:end] for begin, end in pairwise(ends)]


def self_repetition(group: Group, n: int = 4) -> float:
    """Mean over texts of log(1 + other texts that have an n-gram of it, summed over its n-grams), ≥ 0; texts below `n` tokens leave.

    Salkar et al. 2022, "Self-Repetition in Abstractive Neural Summarizers".
    """
    grams = group.ngrams(n)
    elsewhere = np.bincount(grams.code)[grams.code] - 1
    times = np.bincount(grams.owner, weights=elsewhere, minlength=len(group))[group.lengths >= n]
    return float(np.mean(np.log1p(times))) if len(group) > 1 and len(times) else math.nan


def compression_ratio(group: Group, separator: str = "\n") -> float:
    """Bytes of the texts joined / bytes of that in gzip -9 without a name, about 1 or more; NaN below 200 bytes and for one text alone.

    Shaib et al. 2024, "Standardizing the Measurement of Text Diversity". Depends a little on the version of zlib and on the order of texts.

    Args:
        separator: stands between two texts; a line end, which no word swallows. Reference values are often of texts joined by a space.
    """
    if len(group) < 2:
        return math.nan
    data = separator.join(group.texts).encode("utf-8", "surrogatepass")
    if len(data) < FEWEST_BYTES:
        return math.nan
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return len(data) / (len(packer.compress(data)) + len(packer.flush()))


def vendi(kernel: Floats) -> float:
    """Vendi score: the exponential of the entropy of the eigenvalues of K / k, in [1, k]: the effective number of different items.

    Friedman & Dieng 2022, "The Vendi Score".

    Args:
        kernel: similarities, 1 on the diagonal, symmetric and positive semidefinite; shape (k, k).
    """
    values = np.linalg.eigvalsh(np.asarray(kernel, dtype=float) / len(kernel))
    values = values[values > 0]  # rounding can push a 0 below
    return math.exp(-math.fsum(values * np.log(values)))


def ngram_kernel(group: Group, orders: Sequence[int] = (1, 2, 3, 4)) -> Floats:
    """Mean over n of the cosine between n-gram counts, shape (k, k); NaN in the row of a text that is too short."""
    kernel = np.zeros((len(group), len(group)))
    for n in orders:
        gram = group.ngrams(n).dots()
        size = np.sqrt(np.diag(gram))
        kernel += np.divide(gram, np.outer(size, size), out=np.full(gram.shape, np.nan), where=np.outer(size, size) > 0)
    return kernel / len(orders)


def vendi_ngram(group: Group) -> float:
    """Vendi score with `ngram_kernel`, in [1, k]; NaN for one text alone, and where a text has fewer than 4 tokens."""
    if len(group) < 2 or group.lengths.min() < 4:
        return math.nan
    return vendi(ngram_kernel(group))


def cosine_distance(vectors: Floats) -> float:
    """Mean over pairs of 1 - cosine between rows of `vectors`, shape (k, d), in [0, 2]; NaN for one row, and where a row is 0."""
    vectors = np.asarray(vectors, dtype=float)
    sizes = np.linalg.norm(vectors, axis=1)
    if len(vectors) < 2 or not sizes.all():
        return math.nan
    unit = vectors / sizes[:, None]
    return float(1.0 - np.mean((unit @ unit.T)[np.triu_indices(len(unit), 1)]))


def vendi_embedding(group: Group) -> float:
    """Vendi score with the cosines of the texts' embeddings as kernel, in [1, k]; NaN where a text has none, and for one text alone."""
    unit = _directions(group)
    return math.nan if unit is None else vendi(unit @ unit.T)


def embedding_distance(group: Group) -> float:
    """`cosine_distance` of the texts' embeddings, in [0, 2]; NaN as in `vendi_embedding`."""
    unit = _directions(group)
    return math.nan if unit is None else max(0.0, cosine_distance(unit))  # rounding can push a 0 below


def _directions(group: Group) -> Floats | None:
    """The embeddings scaled to length 1, shape (k, d); None where one is missing or has no direction."""
    if group.vectors is None or len(group) < 2 or not np.isfinite(group.vectors).all():
        return None
    vectors = group.vectors / np.max(np.abs(group.vectors), axis=1, keepdims=True, initial=1e-300)  # so that no square overflows
    sizes = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / sizes if sizes.all() else None
