"""Texts cut into tokens, as arrays, with what the metrics of one group share: n-gram counts and previous occurrences."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.loops import Loop, loop
from evalkit.metrics.tokens import UAX29, Tokenizer, is_word

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLOCK = 2**21
"""Numbers in one dense block of counts: 16 MB, whatever the size of a group."""


class Ngrams(NamedTuple):
    """N-gram counts of a group: one row for each different n-gram of each text. N-grams never cross from one text into another.

    Attributes:
        code: number of the n-gram, ascending; shape (rows,).
        owner: number of the text, ascending within a code; shape (rows,).
        times: occurrences in that text; shape (rows,).
        total: n-grams of each text; shape (k,).
        types: different n-grams in the group.
    """

    code: Ints
    owner: Ints
    times: Ints
    total: Ints
    types: int

    @property
    def unique(self) -> Ints:
        """Different n-grams of each text, shape (k,)."""
        return np.bincount(self.owner, minlength=len(self.total))

    def overlap(self) -> tuple[Floats, Floats]:
        """Dot products of the texts' count vectors, shape (k, k), and for each text the n-grams it has from the others.

        The latter are clipped as in BLEU: an n-gram counts at most as often as in the other text that has it most often; shape (k,).
        """
        k = len(self.total)
        here = np.concatenate(([True], self.code[1:] != self.code[:-1])) if len(self.code) else np.zeros(0, dtype=bool)
        first = np.flatnonzero(here)
        owners = np.diff(np.append(first, len(self.code)))
        number = np.cumsum(here) - 1
        shared = owners[number] > 1 if len(first) else here
        alone = ~shared
        gram = np.diag(np.bincount(self.owner[alone], weights=self.times[alone].astype(float) ** 2, minlength=k).astype(float))
        clipped = np.zeros(k)
        kept = np.cumsum(owners > 1) - 1
        column, owner, count = kept[number[shared]], self.owner[shared], self.times[shared]
        width = max(1, _BLOCK // k)
        for start in range(0, int(column[-1]) + 1 if len(column) else 0, width):
            begin, end = np.searchsorted(column, (start, start + width))
            block = np.zeros((k, int(column[end - 1]) - start + 1))
            block[owner[begin:end], column[begin:end] - start] = count[begin:end]
            gram += block @ block.T
            highest = np.partition(block, k - 2, axis=0) if k > 2 else np.sort(block, axis=0)
            top, second = highest[k - 2 :].max(axis=0), highest[k - 2]
            clipped += np.minimum(block, np.where(block == top, second, top)).sum(axis=1)
        return gram, clipped


@dataclass(frozen=True, eq=False)
class Group:
    """The answers to one prompt in one setting, or any list of texts, cut into tokens.

    Attributes:
        sources: the texts as they came, k of them.
        vocabulary: the different tokens; token number i stands at i - 1.
        ids: token numbers of all texts, one after another, from 1; shape (tokens,).
        offsets: where each text begins in `ids`, and the end of the last; shape (k + 1,).
        truncated: 1 where a text was cut off by a limit of tokens, 0 where not, NaN where unknown; shape (k,).
        completion_tokens: tokens as an endpoint counts them, NaN where it does not; shape (k,).
        limit: the texts are the first so many tokens of their sources; None where they are whole.
        recorded: what else is known of each text, by name, like ``latency_s``; each of shape (k,).
        expect: what the prompt says the answer should be or hold; None where it does not.
        vectors: embeddings of the whole texts, NaN in the row of a text without one, shape (k, d); None where there are none.
    """

    sources: tuple[str, ...]
    vocabulary: Sequence[str]
    ids: Ints
    offsets: Ints
    truncated: Floats
    completion_tokens: Floats
    limit: int | None = None
    recorded: Mapping[str, Floats] = field(default_factory=dict)
    expect: str | None = None
    vectors: Floats | None = None

    def __len__(self) -> int:
        return len(self.sources)

    @cached_property
    def lengths(self) -> Ints:
        """Tokens of each text, shape (k,)."""
        return np.diff(self.offsets)

    @cached_property
    def owner(self) -> Ints:
        """The number of the text of each token, shape (tokens,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The texts; of a prefix, each as far as its last token reaches."""
        if self.limit is None:
            return self.sources
        return tuple(_beginning(source, [self.vocabulary[at - 1] for at in self.of(number)]) for number, source in enumerate(self.sources))

    def of(self, number: int) -> list[int]:
        """Token numbers of one text."""
        found: list[int] = self.ids[self.offsets[number] : self.offsets[number + 1]].tolist()
        return found

    def take(self, rows: Sequence[int] | Ints, limit: int | None = None) -> Group:
        """The texts of these numbers, each cut to its first `limit` tokens."""
        rows = np.asarray(rows, dtype=np.int64)
        if limit is None and len(rows) == len(self):
            return self
        return self.cut(rows, self.lengths[rows] if limit is None else np.minimum(self.lengths[rows], limit), limit)

    def cut(self, rows: Ints, lengths: Ints, limit: int | None = None) -> Group:
        """The first so many tokens of the texts of these numbers; none may have fewer."""
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        ids = self.ids[np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])]
        sources = tuple(self.sources[row] for row in rows)
        recorded = {name: known[rows] for name, known in self.recorded.items()}
        return Group(
            sources,
            self.vocabulary,
            ids,
            offsets,
            self.truncated[rows],
            self.completion_tokens[rows],
            limit or self.limit,
            recorded,
            self.expect,
            None if self.vectors is None else self.vectors[rows],
        )

    def beginning(self, size: int) -> Group:
        """The first `size` tokens of each text, shorter ones as they are."""
        if size not in self._beginnings:
            self._beginnings[size] = self.take(np.arange(len(self)), size)
        return self._beginnings[size]

    @cached_property
    def _beginnings(self) -> dict[int, Group]:
        return {}

    @cached_property
    def with_text(self) -> Group:
        """The texts that have a token."""
        return self.take(np.flatnonzero(self.lengths))

    @cached_property
    def words(self) -> Ints:
        """Tokens with a letter or digit, of each text; shape (k,)."""
        flags = np.fromiter(map(is_word, self.vocabulary), dtype=float, count=len(self.vocabulary))
        return np.bincount(self.owner, weights=flags[self.ids - 1], minlength=len(self)).astype(np.int64)

    @cached_property
    def plain(self) -> tuple[bytes, ...]:
        """Each text without what does not make another answer: its words, case folded, as numbers; without words all its tokens, negative."""
        folded: dict[str, int] = {}
        number = [folded.setdefault(one.casefold(), len(folded) + 1) if is_word(one) else 0 for one in self.vocabulary]
        words = np.array(number, dtype=np.int64)[self.ids - 1]
        each = [words[begin:end] for begin, end in pairwise(self.offsets)]
        return tuple((found if len(found := one[one > 0]) else -np.array(self.of(at))).tobytes() for at, one in enumerate(each))

    @cached_property
    def positions(self) -> Ints:
        """Place of each token in its text, from 0; shape (tokens,)."""
        return np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths)

    @cached_property
    def previous(self) -> Ints:
        """Place of the last occurrence of each token before it in its text, -1 where there is none; shape (tokens,)."""
        order = _order(self.owner * (len(self.vocabulary) + 1) + self.ids, len(self) * (len(self.vocabulary) + 1))
        ids, owner, positions = self.ids[order], self.owner[order], self.positions[order]
        again = (ids[1:] == ids[:-1]) & (owner[1:] == owner[:-1])
        found = np.full(len(order), -1, dtype=np.int64)
        found[order[1:][again]] = positions[:-1][again]
        return found

    def ngrams(self, n: int) -> Ngrams:
        """N-gram counts, for n from 1 to 4 from one sort."""
        if n not in self._ngrams:
            self._ngrams[n] = self._counted(n)
        return self._ngrams[n]

    def overlaps(self, n: int) -> tuple[Floats, Floats]:
        """`Ngrams.overlap` for n-grams."""
        if n not in self._overlaps:
            self._overlaps[n] = self.ngrams(n).overlap()
        return self._overlaps[n]

    def numbered(self, n: int) -> Ints:
        """A number for each n-gram, alike for alike ones, in the order of the texts; shape (n-grams,)."""
        return self._ranked(n)

    @cached_property
    def loops(self) -> list[Loop]:
        """The loop at the end of each text."""
        return [loop(self.of(number)) for number in range(len(self))]

    @cached_property
    def _overlaps(self) -> dict[int, tuple[Floats, Floats]]:
        return {}

    @cached_property
    def _ngrams(self) -> dict[int, Ngrams]:
        return {}

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints, int] | None:
        """The 4-grams at every token in ascending order, 0 for what would follow a text's end; None where one does not fit into 63 bits.

        Returns:
            ``(the 4-grams, four fields of so many bits each; the text of each; the bits)``.
        """
        bits = max(1, len(self.vocabulary).bit_length())
        if 4 * bits > 63:
            return None
        left = np.repeat(self.offsets[1:], self.lengths) - np.arange(len(self.ids))
        ids = np.append(self.ids, (0, 0, 0))
        packed = self.ids.copy()
        for ahead in (1, 2, 3):
            packed = (packed << bits) | np.where(left > ahead, ids[ahead : len(packed) + ahead], 0)
        order = _order(packed, 1 << (4 * bits))
        return packed[order], self.owner[order], bits

    def _counted(self, n: int) -> Ngrams:
        total = np.maximum(self.lengths - n + 1, 0)
        if n <= 4 and self._sorted is not None:
            packed, owner, bits = self._sorted
            code = packed >> ((4 - n) * bits)
            whole = (code & ((1 << bits) - 1)) != 0
            code, owner = code[whole], owner[whole]
        else:
            code = self._ranked(n)
            owner = np.repeat(np.arange(len(self)), total)
            order = np.argsort(code, kind="stable")
            code, owner = code[order], owner[order]
        if not len(code):
            return Ngrams(code, owner, code, total, 0)
        types = np.cumsum(np.concatenate(([0], code[1:] != code[:-1])))
        rows = np.sort(types * len(self) + owner)  # the sort above has put the same n-gram's texts in the order of what follows it
        first = np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))
        return Ngrams(rows[first] // len(self), rows[first] % len(self), np.diff(np.append(first, len(rows))), total, int(types[-1]) + 1)

    def _ranked(self, n: int) -> Ints:
        """A number for each n-gram in the order of the texts, alike for alike ones: made from two shorter ones, it fits into 64 bits."""
        if n == 1:
            return self.ids
        if n not in self._ranks:
            self._ranks[n] = self._joined(n)
        return self._ranks[n]

    @cached_property
    def _ranks(self) -> dict[int, Ints]:
        return {}

    def _joined(self, n: int) -> Ints:
        half = n // 2
        whole = self.lengths >= n
        ends = self.lengths - n + 1
        front, back = self._ranked(half), self._ranked(n - half)
        fronts, backs = (np.maximum(self.lengths - size + 1, 0) for size in (half, n - half))
        begin_front, begin_back = np.cumsum(fronts) - fronts, np.cumsum(backs) - backs
        counts = np.where(whole, ends, 0)
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        left = front[np.repeat(begin_front, counts) + within]
        right = back[np.repeat(begin_back + half, counts) + within]
        if not len(left):
            return self.ids[:0]
        ranks: Ints = np.unique(left * (int(right.max()) + 1) + right, return_inverse=True)[1].astype(np.int64)
        return ranks


def share(part: Ints | Floats, whole: Ints) -> Floats:
    """`part` / `whole`, NaN where `whole` is 0 or less; shape (k,)."""
    found: Floats = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return found


def _order(keys: Ints, above: int) -> Ints:
    """The stable ascending order of `keys`, all in [0, above)."""
    bits = max(1, len(keys).bit_length())
    if above.bit_length() + bits <= 62:  # sorting the place along with the key is several times as fast as argsort
        places: Ints = np.sort((keys << bits) | np.arange(len(keys))) & ((1 << bits) - 1)
        return places
    order: Ints = np.argsort(keys, kind="stable")
    return order


def _beginning(text: str, tokens: Sequence[str]) -> str:
    """`text` as far as the last of its first `tokens`."""
    text = unicodedata.normalize("NFC", text)
    end = 0
    for token in tokens:
        start = text.find(token, end)
        if start < 0:  # a tokeniser that changes what it cuts
            return " ".join(tokens)
        end = start + len(token)
    return text[:end]


def tokenise(
    texts: Sequence[str],
    tokenizer: Tokenizer = UAX29,
    truncated: Sequence[float] | None = None,
    completion_tokens: Sequence[float] | None = None,
    recorded: Mapping[str, Sequence[float]] | None = None,
    expect: str | None = None,
) -> Group:
    """Cut `texts` into a `Group`; `truncated`, `completion_tokens` and `recorded` as there, unknown where None."""
    vocabulary: dict[str, int] = {}
    number = vocabulary.setdefault
    known: dict[str, list[int]] = {}
    ids: list[int] = []
    lengths = [0]
    for text in texts:
        found = known.get(text)
        if found is None:  # at temperature 0 the same text comes many times
            found = known[text] = [number(token, len(vocabulary) + 1) for token in tokenizer.cut(text)]
        ids += found
        lengths.append(len(found))
    unknown = [math.nan] * len(texts)
    return Group(
        tuple(texts),
        list(vocabulary),
        np.array(ids, dtype=np.int64),
        np.cumsum(lengths),
        np.array(unknown if truncated is None else truncated, dtype=float),
        np.array(unknown if completion_tokens is None else completion_tokens, dtype=float),
        recorded={name: np.array(known, dtype=float) for name, known in (recorded or {}).items()},
        expect=expect,
    )
