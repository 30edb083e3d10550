"""Answers as people read them: what in one comes again, and which one repeats an earlier one."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple

from evalkit.metrics.loops import loop
from evalkit.metrics.tokens import words
from evalkit.text.escaping import visible

NEAR = 0.8
"""ROUGE-L between two answers from which they count as near-duplicates."""

_SLOW_PAIRS = 3_000  # tokens of an answer beyond which it is compared letter by letter only
_MOST_EARLIER = 64


class Span(NamedTuple):
    """A part of a text, by the places of its characters: four words or more that came before, or a loop at the end after its first turn."""

    begin: int
    end: int
    kind: Literal["again", "loop"]


class Read(NamedTuple):
    """A text made visible, its words, and what in it comes again."""

    text: str
    words: tuple[str, ...]
    spans: tuple[Span, ...]


def read_text(text: str, most: int | None = None) -> Read:
    """`text` in NFC with nothing hidden in it, its first `most` characters."""
    shown = visible(unicodedata.normalize("NFC", text))[:most]
    tokens, starts = cut(shown)
    return Read(shown, tuple(tokens), tuple(_spans(tokens, starts)))


def cut(text: str) -> tuple[list[str], list[int]]:
    """The words of `text`, in NFC already, and where each begins."""
    tokens = words(text)
    starts, at = [], 0
    for token in tokens:
        at = text.index(token, at)
        starts.append(at)
        at += len(token)
    return tokens, starts


def _spans(tokens: Sequence[str], starts: Sequence[int]) -> list[Span]:
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(token, len(numbers)) for token in tokens]
    grams = list(zip(ids, ids[1:], ids[2:], ids[3:], strict=False))
    again = len(set(grams)) < len(grams)
    end = loop(ids)
    if not again and not end.tokens:
        return []
    marks: list[Literal["", "again", "loop"]] = [""] * len(tokens)
    seen: set[tuple[int, ...]] = set()
    for at, gram in enumerate(grams):
        if gram in seen:
            marks[at : at + 4] = ["again"] * 4
        seen.add(gram)
    if end.tokens:
        marks[end.start + end.period :] = ["loop"] * (end.tokens - end.period)
    spans: list[Span] = []
    for at, kind in enumerate(marks):
        if kind == "":
            continue
        stop = starts[at] + len(tokens[at])
        if spans and at and marks[at - 1] == kind:
            spans[-1] = spans[-1]._replace(end=stop)
        else:
            spans.append(Span(starts[at], stop, kind))
    return spans


def in_units(text: str, spans: Sequence[Span]) -> list[list[Any]]:
    """``[begin, end, kind]`` in UTF-16 units, as scripts of a page count."""
    if text.isascii() or max(text, default="") <= "\uffff":
        return [list(one) for one in spans]
    units = [0]
    for char in text:
        units.append(units[-1] + (2 if char > "\uffff" else 1))
    return [[units[one.begin], units[one.end], one.kind] for one in spans]


def repeats(answers: Sequence[Read | None]) -> list[tuple[int, float] | None]:
    """For each answer of a group the earlier one that it repeats, and how closely: 1 letter by letter, else ROUGE-L of at least `NEAR`.

    None where it repeats none, and for what is no answer (None) or has no word.
    """
    from rapidfuzz.distance import Indel

    found: list[tuple[int, float] | None] = []
    earlier: list[int] = []
    for number, one in enumerate(answers):
        if one is None or not one.words:
            found.append(None)
            continue
        same = next((at for at in earlier if (other := answers[at]) is not None and other.text == one.text), None)
        found.append((same, 1.0) if same is not None else _nearest(one, earlier, answers, Indel.normalized_similarity))
        earlier.append(number)
    return found


def _nearest(one: Read, earlier: Iterable[int], answers: Sequence[Read | None], similarity: Any) -> tuple[int, float] | None:
    if len(one.words) > _SLOW_PAIRS:
        return None
    found = [
        (similarity(one.words, other.words, score_cutoff=NEAR), -at)
        for at in islice(earlier, _MOST_EARLIER)
        if (other := answers[at]) is not None and len(other.words) <= _SLOW_PAIRS
    ]
    most, place = max(found, default=(0.0, 0))
    return (-place, round(most, 2)) if most >= NEAR else None
