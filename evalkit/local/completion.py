"""One answer, token by token: where it starts, what stops it, and what may be shown of it so far."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from evalkit.local.logprobs import score
from evalkit.local.model import BREAK, END, Conditioned
from evalkit.local.sampler import Sampler, Settings

FinishReason = Literal["stop", "length", "tool_calls"]


class Answer:
    """An answer being written: iterate for its text in pieces, then read `finish_reason` and `tokens`.

    Each step of the iteration draws one token and gives the text that became certain with it, often empty: text that may
    yet turn out to be the beginning of a stop sequence is held back, so no part of a stop sequence is ever shown.

    Attributes:
        scores: with `logprobs`, an entry for each token whose whole text was shown so far, beside that many of the likeliest.
    """

    def __init__(
        self,
        model: Conditioned,
        settings: Settings,
        rng: np.random.Generator,
        *,
        limit: int,
        stop: Sequence[str] = (),
        logprobs: int | None = None,
        heard: Sequence[int] = (),
    ) -> None:
        self._sampler = Sampler(model, settings, rng, heard)
        self._manners = settings.manners
        self._vocabulary = model.model.vocabulary
        self._limit = limit
        self._stop = tuple(stop)
        self._logprobs = logprobs
        self.tokens = 0
        self.finish_reason: FinishReason = "length"
        self.scores: list[dict[str, Any]] = []

    def __iter__(self) -> Iterator[str]:
        context: tuple[int, ...] = (BREAK,)
        held = ""
        begins_at: list[int] = []  # where in `held` tokens begin
        scored = _Scores(self.scores)
        begins = frozenset(stop[0] for stop in self._stop if stop)  # where none of these stands, no stop sequence begins
        while self.tokens < self._limit:
            probs = None if self._logprobs is None else self._sampler.probabilities(context)
            token = self._sampler.draw(context)
            if token == END:
                self.finish_reason = "stop"
                self.tokens += self._manners.counts_end
                break
            self.tokens += 1
            context = (*context[-2:], token)
            held += self._vocabulary[token]
            begins_at.append(len(held) - len(self._vocabulary[token]))
            if probs is not None and self._logprobs is not None:
                scored.wait(score(probs, token, self._logprobs, self._vocabulary), len(self._vocabulary[token]))
            sure = len(held)
            if not begins.isdisjoint(held):
                cut = self._cut(held, begins_at)
                if cut is not None:
                    self.finish_reason = "stop"
                    if not self._manners.counts_trimmed:
                        self.tokens -= sum(begin >= cut for begin in begins_at)
                    held = held[:cut]
                    break
                sure -= _overlap(held, self._stop)
            if probs is not None:
                scored.show(sure)
            yield held[:sure]
            held = held[sure:]
            begins_at = [begin - sure for begin in begins_at if begin >= sure]
        scored.show(len(held))
        yield held

    def _cut(self, held: str, begins_at: Sequence[int]) -> int | None:
        """Where a stop sequence ends what is `held`, with tokens that begin there; None where none does."""
        places = [(at, at + len(stop)) for stop in self._stop for at in _all(stop, held)]
        if self._manners.stops == "missed":
            edges = {*begins_at, len(held)}
            places = [place for place in places if not edges.isdisjoint(place)]
        if not places:
            return None
        return len(held) if self._manners.stops == "kept" else min(places)[0]


def _all(stop: str, held: str) -> Iterator[int]:
    """Where `stop` begins in `held`."""
    at = held.find(stop)
    while at >= 0:
        yield at
        at = held.find(stop, at + 1)


class _Scores:
    """Entries that wait until the text of their token is shown."""

    def __init__(self, shown: list[dict[str, Any]]) -> None:
        self._shown = shown
        self._waiting: deque[tuple[int, dict[str, Any]]] = deque()
        self._drawn = self._visible = 0

    def wait(self, entry: dict[str, Any], length: int) -> None:
        self._drawn += length
        self._waiting.append((self._drawn, entry))

    def show(self, length: int) -> None:
        self._visible += length
        while self._waiting and self._waiting[0][0] <= self._visible:
            self._shown.append(self._waiting.popleft()[1])


def _overlap(text: str, stop: Sequence[str]) -> int:
    """Length of the longest end of `text` that is the beginning of a stop sequence."""
    longest = 0
    for one in stop:
        for length in range(min(len(one) - 1, len(text)), longest, -1):
            if text.endswith(one[:length]):
                longest = length
                break
    return longest
