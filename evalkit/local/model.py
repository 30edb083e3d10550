"""A word-level n-gram language model that is conditioned on a prompt by weighting what it has read.

Every position of the corpus carries a weight: how well the paragraph around it matches the prompt. With ``h_k`` the last
``k - 1`` tokens, the model interpolates the orders 0 to 4 (Witten-Bell in shape, with weights in the place of counts):

    p_k(w | h_k) = (weight of positions that follow h_k and hold w + STRENGTH * p_{k-1}(w)) / (weight of positions that follow h_k + STRENGTH)

and ``p_0`` is uniform over the vocabulary. Because the interpolation weight of an order depends on the context alone, all
tokens that were never seen after the last token share one factor: ``p(w | h) = tail * p_1(w)``. A step therefore handles the
few seen tokens one by one and the rest in closed form (`Step`).
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.local.corpus import Section

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

STRENGTH = 2.0
"""Pseudo-weight that each order lends to the one below it (the lambda of the module's formula)."""

END = 0
"""Id of the token that ends an answer; its text is empty."""
BREAK = 1
"""Id of the paragraph break; its text is two newlines."""
NOTHING = -1
"""What stands in a context before its first token; matches no position."""

_MOST_KEPT = 3_000_000
"""Numbers that are remembered of the steps of one prompt."""
_FLOOR = 0.02
_SHARPNESS = 3.0
_PEAK = 6.0
_TOKEN = re.compile(r" ?(?:\w+(?:[._'’\-]\w+)*|[^\w\s])|\n+")
_TERM = re.compile(r"[^\W_]+")
_STOP_TERMS = frozenset(
    (  # noqa: SIM905 (a list would fill a page)
        "a an and answer are as at be been but by can could did do does each every explain few for from give had has have how i if in "
        "into is it its line list may me more most must my no not of on one or other please say sentence should so some such tell than "
        "that the their them then there these they thing this those to two up us was we were what when where which while who why will "
        "with word would write you your"
    ).split()
)


def tokenize(text: str) -> list[str]:
    """Cut `text` into the model's tokens; a word carries the space before it, so joining restores single-spaced text."""
    return _TOKEN.findall(text)


def pieces(text: str) -> list[str]:
    """Cut `text` where `tokenize` does, losing nothing: what lies between two tokens goes with the second."""
    ends = [match.end() for match in _TOKEN.finditer(text)][:-1]
    return [text[first:last] for first, last in zip([0, *ends], [*ends, len(text)], strict=True) if first < last]


def terms(text: str) -> list[str]:
    """The words of `text` that can tell what it is about, lower-cased, plurals folded into singulars."""
    words = (word.casefold() for word in _TERM.findall(text))
    return [_singular(word) for word in words if word not in _STOP_TERMS and len(word) > 1]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


class Step(NamedTuple):
    """The next token's distribution: `probs` of the tokens `ids` (ascending), and ``tail * unigram`` for each of the others."""

    ids: Ints
    probs: Floats
    tail: float


class Raised:
    """A step's distribution to a power, not normalised, with what is made of it once and used by every answer that comes by.

    Attributes:
        ids, probs: as in `Step`.
        after: the tokens `ids` as a set.
        values: `probs` to the power.
        tail: ``tail * unigram ** exponent`` belongs to each of the others.
        taken: the sum of ``unigram ** exponent`` over `ids`.
    """

    __slots__ = ("_falling", "_running", "after", "ids", "probs", "tail", "taken", "values")

    def __init__(self, ids: Ints, probs: Floats, after: frozenset[int], values: Floats, tail: float, taken: float) -> None:
        self.ids, self.probs, self.after, self.values, self.tail, self.taken = ids, probs, after, values, tail, taken
        self._running: Floats | None = None
        self._falling: tuple[Ints, Floats] | None = None

    @property
    def running(self) -> Floats:
        """The running sum of `values`."""
        if self._running is None:
            self._running = self.values.cumsum()
        return self._running

    @property
    def falling(self) -> tuple[Ints, Floats]:
        """Places among `ids`, the greatest value first and equals by their id, and the running sum of the values in that order."""
        if self._falling is None:
            order = (-self.values).argsort(kind="stable")
            self._falling = order, self.values[order].cumsum()
        return self._falling


class _Followers(NamedTuple):
    ids: Ints
    probs: Floats
    tail: float
    first: int
    last: int


class Model:
    """The trained model: the corpus in the order of its contexts. Immutable; `condition` makes it usable.

    Attributes:
        vocabulary: the text of each token id; `END` and `BREAK` come first.
    """

    def __init__(self, sections: Sequence[Section]) -> None:
        stream, paragraph_of = self._read(sections)
        self.vocabulary: tuple[str, ...] = tuple(self._ids)
        before = [np.concatenate([np.full(n, NOTHING), stream[:-n]]) for n in (1, 2, 3)]
        order = np.lexsort((before[2], before[1], before[0]))
        self._next = stream[order]
        self._paragraph = paragraph_of[order]
        last, second, third = (column[order] for column in before)
        # bisect on a list beats searchsorted on an array for the short ranges met here
        self._second: list[int] = second.tolist()
        self._third: list[int] = third.tolist()
        edges = np.searchsorted(last, np.arange(len(self.vocabulary) + 1))
        self._edges: list[int] = edges.tolist()
        self._index_followers(last)
        self._after: dict[int, frozenset[int]] = {}
        self._index_terms(sections)

    def _read(self, sections: Sequence[Section]) -> tuple[Ints, Ints]:
        self._ids: dict[str, int] = {"": END, "\n\n": BREAK}
        stream: list[int] = []
        paragraph_of: list[int] = []
        paragraph = 0
        for section in sections:
            for text in section.paragraphs:
                ids = [BREAK, *(self._ids.setdefault(token, len(self._ids)) for token in tokenize(text))]
                stream += ids
                paragraph_of += [paragraph] * len(ids)
                paragraph += 1
            stream.append(END)
            paragraph_of.append(paragraph - 1)
        return np.array(stream, dtype=np.int64), np.array(paragraph_of, dtype=np.int64)

    def _index_followers(self, last: Ints) -> None:
        """For each last token its distinct next tokens, ascending, and each position's place among them."""
        size = len(self.vocabulary)
        pairs, place = np.unique((last + 1) * size + self._next, return_inverse=True)
        owner, self._distinct = pairs // size - 1, pairs % size
        starts = np.searchsorted(owner, np.arange(size + 1))
        self._starts: list[int] = starts.tolist()
        self._place: Ints = place - np.where(last >= 0, starts[last], 0)

    def _index_terms(self, sections: Sequence[Section]) -> None:
        """Postings for matching: for each term the paragraphs that hold it and how much it says there (BM25's saturation)."""
        bags: list[Counter[str]] = []
        for section in sections:
            title = terms(section.title)
            bags += [Counter(terms(text)) + Counter(title) for text in section.paragraphs]
        self._paragraphs = len(bags)
        mean = sum(map(len, bags)) / max(1, len(bags))
        postings: dict[str, tuple[list[int], list[float]]] = {}
        for number, bag in enumerate(bags):
            length = 0.4 + 0.6 * len(bag) / mean
            for term, count in bag.items():
                where, what = postings.setdefault(term, ([], []))
                where.append(number)
                what.append(count * 2.2 / (count + 1.2 * length))
        self._postings = {term: (np.array(where), np.array(what) * math.log(1 + len(bags) / len(where))) for term, (where, what) in postings.items()}

    @property
    def positions(self) -> bytes:
        """The corpus as the model holds it, for telling one training from another."""
        return self._next.tobytes() + self._place.tobytes()

    def followers(self, token: int) -> frozenset[int]:
        """The tokens that were ever seen after `token`."""
        found = self._after.get(token)
        if found is None:
            ids = () if token == NOTHING else self._distinct[self._starts[token] : self._starts[token + 1]].tolist()
            found = self._after[token] = frozenset(ids)
        return found

    def ids(self, text: str) -> list[int]:
        """Token ids of `text`; tokens outside the vocabulary are left out."""
        return [self._ids[token] for token in tokenize(text) if token in self._ids]

    def heard(self, text: str) -> list[int]:
        """Token ids of `text`, each token in its place; `NOTHING` for one outside the vocabulary."""
        return [self._ids.get(token, NOTHING) for token in tokenize(text)]

    def relevance(self, queries: Iterable[tuple[str, float]]) -> Floats:
        """Weight of each paragraph, in (0, 6.02], for texts with their importance; alike for all where nothing matches."""
        importance: dict[str, float] = {}
        for text, weight in queries:
            for term in terms(text):
                importance[term] = max(importance.get(term, 0.0), weight)
        score = np.zeros(self._paragraphs)
        for term, weight in importance.items():
            if term in self._postings:
                where, what = self._postings[term]
                score[where] += weight * what
        best = score.max(initial=0.0)
        if best <= 0:
            return np.ones(self._paragraphs)
        relevance: Floats = _FLOOR + _PEAK * (score / best) ** _SHARPNESS
        return relevance

    def condition(self, queries: Iterable[tuple[str, float]]) -> Conditioned:
        """The model as the messages `queries`, each with its importance, make it speak."""
        return Conditioned(self, self.relevance(queries)[self._paragraph])


class Conditioned:
    """The model under one prompt. Not for several threads at once: it remembers what it has worked out.

    Attributes:
        unigram: probabilities ``p_1`` over the vocabulary, shape (V,).
    """

    def __init__(self, model: Model, weights: Floats) -> None:
        self.model = model
        self._weights = weights
        size = len(model.vocabulary)
        # Weights of ranges come as differences of this running sum, right to about 1e-11 of the range's own weight.
        self._running = np.concatenate([[0.0], np.cumsum(weights)])
        total = float(self._running[-1])
        self.unigram: Floats = (np.bincount(model._next, weights, size).astype(np.float64) + STRENGTH / size) / (total + STRENGTH)
        self._by_unigram: list[int] | None = None
        self._highest: dict[int, float] = {}
        self._followers: dict[int, _Followers] = {}
        self._steps: dict[tuple[int, ...], Step] = {}
        self._raised: dict[float, dict[tuple[int, ...], Raised]] = {}
        self._kept = 0
        self._powers: dict[float, tuple[Floats, float, Floats]] = {}

    def step(self, context: Sequence[int]) -> Step:
        """Distribution of the token after `context`, of which the last three ids count."""
        key = tuple(context[-3:])
        found = self._steps.get(key)
        if found is None:
            found = self._step(context)
            self._remember(len(found.ids))
            self._steps[key] = found
        return found

    def raised(self, context: Sequence[int], exponent: float) -> Raised:
        """The step after `context` to the power of `exponent`."""
        table = self._raised.setdefault(exponent, {})
        key = tuple(context[-3:])
        found = table.get(key)
        if found is None:
            ids, probs, tail = self.step(context)
            unigram = self.powers(exponent)[0]
            taken = float(np.add.reduce(unigram[ids]))
            values, tail = (probs, tail) if exponent == 1 else (probs**exponent, tail**exponent)
            found = Raised(ids, probs, self.model.followers(context[-1]), values, tail, taken)
            self._remember(4 * len(ids))  # with all that is made of it
            table[key] = found
        return found

    def _remember(self, numbers: int) -> None:
        """Forget everything where these would be too many."""
        self._kept += numbers
        if self._kept > _MOST_KEPT:
            self._steps.clear()
            for table in self._raised.values():
                table.clear()
            self._kept = numbers

    def _step(self, context: Sequence[int]) -> Step:
        model, weights = self.model, self._weights
        one = context[-1]
        known = self._followers.get(one)
        if known is None:
            known = self._followers[one] = self._first_order(one)
        ids, probs, tail, first, last = known
        if len(context) < 2 or first == last:
            return Step(ids, probs, tail)
        place, running = model._place, self._running
        for column, token in ((model._second, context[-2]), (model._third, context[-3] if len(context) > 2 else NOTHING)):
            if token == NOTHING:
                break
            first = bisect_left(column, token, first, last)
            last = bisect_right(column, token, first, last)
            if first == last:
                break
            if last - first == 1:
                share = STRENGTH / (float(weights[first]) + STRENGTH)
                probs = probs * share
                probs[place[first]] += 1 - share
            else:
                here = float(running[last] - running[first]) + STRENGTH
                share = STRENGTH / here
                probs = probs * share
                probs += np.bincount(place[first:last], weights[first:last] / here, len(ids))
            tail *= share
        return Step(ids, probs, tail)

    def _first_order(self, token: int) -> _Followers:
        model = self.model
        if token == NOTHING:
            return _Followers(np.zeros(0, np.int64), np.zeros(0), 1.0, 0, 0)
        first, last = model._edges[token], model._edges[token + 1]
        ids = model._distinct[model._starts[token] : model._starts[token + 1]]
        here = float(self._running[last] - self._running[first]) + STRENGTH
        seen = np.bincount(model._place[first:last], self._weights[first:last], len(ids))
        probs = (seen + STRENGTH * self.unigram[ids]) / here
        return _Followers(ids, probs, STRENGTH / here, first, last)

    def highest_elsewhere(self, token: int) -> float:
        """The greatest unigram probability among the tokens never seen after `token`; 0 where there is none."""
        known = self._highest.get(token)
        if known is None:
            if self._by_unigram is None:
                self._by_unigram = np.argsort(-self.unigram, kind="stable").tolist()
            among = set(self.step((token,)).ids.tolist())
            other = next((word for word in self._by_unigram if word not in among), None)
            known = self._highest[token] = 0.0 if other is None else float(self.unigram[other])
        return known

    def probabilities(self, context: Sequence[int]) -> Floats:
        """Distribution of the next token over the whole vocabulary, shape (V,), summing to 1."""
        step = self.step(context)
        dense = step.tail * self.unigram
        dense[step.ids] = step.probs
        return dense

    def powers(self, exponent: float) -> tuple[Floats, float, Floats]:
        """``unigram ** exponent``, its sum, and its running sum: what the tail needs at a temperature of 1 / exponent."""
        known = self._powers.get(exponent)
        if known is None:
            if len(self._powers) >= 16:
                self._powers.clear()
            raised = self.unigram**exponent
            running = raised.cumsum()
            known = self._powers[exponent] = (raised, float(running[-1]), running)
        return known
