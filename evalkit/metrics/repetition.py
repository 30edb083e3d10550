"""Repetition within one answer: n-grams, near words, loops, lines."""

from __future__ import annotations

import numpy as np

from evalkit.metrics.group import Floats, Group, Ints, share


def rep_n(group: Group, n: int) -> Floats:
    """Seq-rep-n: 1 - unique n-grams / n-grams of each text, in [0, 1), shape (k,); NaN below `n` tokens.

    Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training".
    """
    grams = group.ngrams(n)
    return share(grams.total - grams.unique, grams.total)


def rep_w(group: Group, window: int = 16) -> Floats:
    """Share of tokens that occur among the `window` tokens before them, in [0, 1), shape (k,); NaN without tokens.

    Fu et al. 2021, "A Theoretical Analysis of the Repetition Problem in Text Generation".
    """
    near = (group.previous >= 0) & (group.positions - group.previous <= window)
    again = np.bincount(group.owner[near], minlength=len(group))
    return share(again, group.lengths)


def diversity_product(group: Group) -> Floats:
    """Product of 1 - rep-n for n = 2, 3, 4, in (0, 1], shape (k,); NaN below 4 tokens. Su et al. 2022, "A Contrastive Framework"."""
    found: Floats = np.prod([1.0 - rep_n(group, n) for n in (2, 3, 4)], axis=0)
    return found


def loop_tail(group: Group) -> Floats:
    """Share of a text that is a loop at its end, in [0, 1], shape (k,); NaN without tokens."""
    tokens = np.array([one.tokens for one in group.loops], dtype=float)
    return share(tokens, group.lengths)


def loop_rate(group: Group) -> Floats:
    """1 where a text ends in a loop, 0 where not, shape (k,); NaN without tokens."""
    return np.where(group.lengths > 0, (loop_tail(group) > 0).astype(float), np.nan)


def loop_start(group: Group) -> Floats:
    """The token at which the loop at the end begins, from 0, shape (k,); NaN where there is none."""
    return np.array([one.start if one.tokens else np.nan for one in group.loops])


def loop_wasted(group: Group) -> Floats:
    """Tokens of the loop at the end after its first turn, ≥ 0, shape (k,); 0 where there is none, NaN without tokens."""
    return np.where(group.lengths > 0, np.array([one.wasted for one in group.loops], dtype=float), np.nan)


def duplicate_lines(group: Group) -> Floats:
    """1 - unique lines / lines, blank ones and white space around left out, in [0, 1), shape (k,); NaN without lines.

    After Rae et al. 2021, "Scaling Language Models".
    """
    out = np.full(len(group), np.nan)
    for number, text in enumerate(group.texts):
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        if lines:
            out[number] = 1.0 - len(set(lines)) / len(lines)
    return out


def longest_repeat(group: Group) -> Floats:
    """Code points of the longest string that occurs twice in a text, overlaps allowed, ≥ 0, shape (k,); NaN without tokens."""
    return np.array([_longest_repeat(text) if size else np.nan for text, size in zip(group.texts, group.lengths, strict=True)], dtype=float)


def _longest_repeat(text: str) -> int:
    """By doubling the length and then in halving steps, for what occurs twice has parts that do; n log² n."""
    if len(set(text)) == len(text):
        return 0
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    ranks = [np.unique(points, return_inverse=True)[1].astype(np.int64)]
    while (longer := _joined(ranks[-1], ranks[-1], 1 << (len(ranks) - 1))) is not None:
        ranks.append(longer)
    length, rank = 1 << (len(ranks) - 1), ranks[-1]
    for power in range(len(ranks) - 2, -1, -1):
        longer = _joined(rank, ranks[power], length)
        if longer is not None:
            length, rank = length + (1 << power), longer
    return length


def _joined(front: Ints, back: Ints, shift: int) -> Ints | None:
    """Ranks of the strings made of one and another `shift` further on; None where none occurs twice."""
    size = len(back) - shift
    if size < 2:
        return None
    different, ranks = np.unique(front[:size] * (int(back.max()) + 1) + back[shift:], return_inverse=True)
    return None if len(different) == size else ranks.astype(np.int64)
