"""Texts cut into tokens, as arrays, with what the metrics of one group share: n-gram counts and previous occurrences."""

from __future__ import annotations

import math
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics.loops import Loop, loop
from evalkit.metrics.ngrams import Grams, Ngrams, beginnings, counted
from evalkit.metrics.tokens import UAX29, Tokenizer, is_word

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BLANKS = bytes(one for one in range(128) if chr(one).isspace())
_LETTER = np.array([not chr(one).isspace() for one in range(128)])


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
        whole: the group that these texts were cut out of, and their numbers there: what it has counted is not counted again; None for one that
            was not.
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
    whole: tuple[Group, Ints] | None = None

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
        if self.whole is not None and (ends := self.whole[0].ends) is not None:
            last = self.whole[0].offsets[self.whole[1]] + self.lengths - 1
            reach = np.where(self.lengths > 0, np.append(ends, 0)[last], 0).tolist()
            return tuple(source[:end] for source, end in zip(self.sources, reach, strict=True))
        return tuple(_beginning(source, [self.vocabulary[at - 1] for at in self.of(number)]) for number, source in enumerate(self.sources))

    @cached_property
    def ends(self) -> Ints | None:
        """Where each token ends in its text, shape (tokens,); None where texts are not their tokens and blanks between them, all ASCII."""
        joined = "".join(self.sources)
        if not len(self.ids) or not joined.isascii():
            return None
        written = joined.encode("ascii")
        if "".join(map(self.vocabulary.__getitem__, (self.ids - 1).tolist())).encode("utf-8", "surrogatepass") != written.translate(None, _BLANKS):
            return None
        letters = np.flatnonzero(_LETTER[np.frombuffer(written, dtype=np.uint8)])
        starts = np.concatenate(([0], np.cumsum([len(source) for source in self.sources])))
        sizes = np.fromiter(map(len, self.vocabulary), dtype=np.int64, count=len(self.vocabulary))[self.ids - 1]
        behind = np.cumsum(sizes)
        ends = letters[behind - 1] + 1
        unbroken = np.array_equal(ends - letters[behind - sizes], sizes)
        if not unbroken or not np.array_equal(np.searchsorted(letters, starts), np.concatenate(([0], behind))[self.offsets]):
            return None
        found: Ints = ends - starts[self.owner]
        return found

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
        sources = tuple([self.sources[row] for row in rows.tolist()])
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
            (self, rows) if self.whole is None else (self.whole[0], self.whole[1][rows]),
        )

    @cached_property
    def memo(self) -> dict[Any, Any]:
        """What metrics of this group have worked out and need again, by whatever they call it."""
        return {}

    @property
    def with_text(self) -> Group:
        """The texts that have a token."""
        return self if self.lengths.all() else self._with_text  # were it to hold itself, it would outlive its use

    @cached_property
    def _with_text(self) -> Group:
        return self.take(np.flatnonzero(self.lengths))

    def let_go(self) -> None:
        """Forget the texts that have a token, which hold this group as it holds them: then it goes once nobody needs it."""
        vars(self).pop("_with_text", None)

    @cached_property
    def _are_words(self) -> NDArray[np.bool_]:
        found = np.fromiter(map(str.isalnum, self.vocabulary), dtype=np.bool_, count=len(self.vocabulary))
        for number in np.flatnonzero(~found).tolist():
            found[number] = is_word(self.vocabulary[number])
        return found

    @cached_property
    def words(self) -> Ints:
        """Tokens with a letter or digit, of each text; shape (k,)."""
        return np.bincount(self.owner[self._are_words[self.ids - 1]], minlength=len(self))

    @cached_property
    def plain(self) -> tuple[bytes, ...]:
        """Each text without what does not make another answer: its words, case folded, as numbers; without words all its tokens, negative."""
        folded: dict[str, int] = defaultdict(count(1).__next__)
        folds = map(folded.__getitem__, map(str.casefold, self.vocabulary))
        number = np.fromiter(folds, dtype=np.int64, count=len(self.vocabulary)) * self._are_words
        words = number[self.ids - 1]
        kept = words[words > 0].tobytes()
        ends = (np.concatenate(([0], np.cumsum(self.words))) * words.itemsize).tolist()
        return tuple(kept[begin:end] if end > begin else (-np.array(self.of(at))).tobytes() for at, (begin, end) in enumerate(pairwise(ends)))

    @cached_property
    def positions(self) -> Ints:
        """Place of each token in its text, from 0; shape (tokens,)."""
        return np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths)

    @cached_property
    def previous(self) -> Ints:
        """Place of the last occurrence of each token before it in its text, -1 where there is none; shape (tokens,)."""
        back = self.gaps(1)
        return np.where(back > 0, self.positions - back, -1)

    def ngrams(self, n: int) -> Ngrams:
        """N-gram counts."""
        if ("ngrams", n) not in self.memo:
            grams, total = self.grams(n), np.maximum(self.lengths - n + 1, 0)
            self.memo["ngrams", n] = counted(grams.code, grams.owner, total)
        found: Ngrams = self.memo["ngrams", n]
        return found

    def grams(self, n: int) -> Grams:
        """The n-grams in the order of the texts; for n from 1 to 4 numbered by one sort."""
        if ("grams", n) not in self.memo:
            self.memo["grams", n] = self._numbered(n)
        found: Grams = self.memo["grams", n]
        return found

    def gaps(self, n: int) -> Ints:
        """For each n-gram how far back the same one stood last in its text, 0 where it is new there; shape (n-grams,)."""
        return self._repeats(n)[0]

    def earlier(self, n: int) -> Ints:
        """For each n-gram how often the same one stands before it in its text; shape (n-grams,)."""
        return self._repeats(n)[1]

    def _repeats(self, n: int) -> tuple[Ints, Ints]:
        """`gaps` and `earlier`."""
        if ("repeats", n) not in self.memo:
            if self.whole is not None:
                chosen = self._chosen(n)
                gaps, earlier = self.whole[0]._repeats(n)
                self.memo["repeats", n] = gaps[chosen], earlier[chosen]
            else:
                self.memo["repeats", n] = _repeats(self.grams(n), len(self))
        found: tuple[Ints, Ints] = self.memo["repeats", n]
        return found

    def _chosen(self, n: int) -> Ints:
        """The places of these texts' n-grams among those of `whole`; shape (n-grams,)."""
        if self.whole is None:
            raise ValueError("this group was not cut out of another")
        if ("chosen", n) not in self.memo:
            whole, rows = self.whole
            counts, all_ = np.maximum(self.lengths - n + 1, 0), np.maximum(whole.lengths - n + 1, 0)
            shift = (np.cumsum(all_) - all_)[rows] - (np.cumsum(counts) - counts)
            self.memo["chosen", n] = np.repeat(shift, counts) + np.arange(counts.sum())
        found: Ints = self.memo["chosen", n]
        return found

    @cached_property
    def loops(self) -> list[Loop]:
        """The loop at the end of each text."""
        return [loop(self.of(number)) for number in range(len(self))]

    @cached_property
    def _left(self) -> Ints:
        """Tokens from each to the end of its text, itself included; shape (tokens,)."""
        return np.repeat(self.offsets[1:], self.lengths) - np.arange(len(self.ids))

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints, int] | None:
        """The 4-grams at every token in ascending order, 0 for what would follow a text's end; None where one does not fit into 63 bits.

        Returns:
            ``(the 4-grams, four fields of so many bits each; the place of each among all tokens; the bits)``.
        """
        bits = max(1, len(self.vocabulary).bit_length())
        if 4 * bits > 63:
            return None
        ids = np.append(self.ids, (0, 0, 0))
        packed = self.ids.copy()
        for ahead in (1, 2, 3):
            packed = (packed << bits) | np.where(self._left > ahead, ids[ahead : len(packed) + ahead], 0)
        order = _order(packed, 1 << (4 * bits))
        return packed[order], order, bits

    def _numbered(self, n: int) -> Grams:
        if self.whole is not None:
            chosen, all_ = self._chosen(n), self.whole[0].grams(n)
            owner = np.repeat(np.arange(len(self)), np.maximum(self.lengths - n + 1, 0))
            return Grams(all_.code[chosen], owner, all_.place[chosen], all_.types)
        here = self._left >= n
        owner, place = self.owner[here], self.positions[here]
        if n == 1:
            return Grams(self.ids, owner, place, len(self.vocabulary) + 1)
        if n <= 4 and self._sorted is not None:
            packed, order, bits = self._sorted
            whole = here[order]
            ascending = packed[whole] >> ((4 - n) * bits)
            code = np.empty(len(self.ids), dtype=np.int64)
            code[order[whole]] = np.cumsum(beginnings(ascending)) - 1
            return Grams(code[here], owner, place, len(code))
        code = self._joined(n)
        return Grams(code, owner, place, int(code.max(initial=-1)) + 1)

    def _joined(self, n: int) -> Ints:
        """A number for each n-gram in the order of the texts, alike for alike ones: made from two shorter ones, it fits into 64 bits."""
        half = n // 2
        counts = np.maximum(self.lengths - n + 1, 0)
        front, back = self.grams(half).code, self.grams(n - half).code
        fronts, backs = (np.maximum(self.lengths - size + 1, 0) for size in (half, n - half))
        begin_front, begin_back = np.cumsum(fronts) - fronts, np.cumsum(backs) - backs
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        left = front[np.repeat(begin_front, counts) + within]
        right = back[np.repeat(begin_back + half, counts) + within]
        if not len(left):
            return self.ids[:0]
        ranks: Ints = np.unique(left * (int(right.max()) + 1) + right, return_inverse=True)[1].astype(np.int64)
        return ranks


def _repeats(grams: Grams, texts: int) -> tuple[Ints, Ints]:
    """How far back each n-gram stood last in its text, 0 where it is new, and how often it stands before; each of shape (n-grams,)."""
    keys = grams.code * texts + grams.owner
    order = _order(keys, grams.types * texts)
    new = beginnings(keys[order])
    first = np.flatnonzero(new)
    gaps, earlier = np.zeros(len(keys), dtype=np.int64), np.empty(len(keys), dtype=np.int64)
    place = grams.place[order]
    gaps[order[1:]] = np.where(new[1:], 0, np.diff(place))
    earlier[order] = np.arange(len(keys)) - np.repeat(first, np.diff(np.append(first, len(keys))))
    return gaps, earlier


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
    vocabulary: dict[str, int] = defaultdict(count(1).__next__)
    number = vocabulary.__getitem__
    known: dict[str, list[int]] = {}
    ids: list[int] = []
    lengths = [0]
    for text in texts:
        found = known.get(text)
        if found is None:  # at temperature 0 the same text comes many times
            found = known[text] = list(map(number, tokenizer.cut(text)))
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
