"""The manners of real servers: what a parameter means where it does not mean what the definition says.

Each field of `Manners` is one such manner, and its default is the definition. They are seen on servers that are in use (docs/meaning.md).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Counted = Literal["answer", "prompt", "both"]
Kind = Literal["additive", "multiplicative"]
Told = Literal["drawn", "tempered", "raw"]
Winner = Literal["max_completion_tokens", "max_tokens", "smaller"]
OfZero = Literal["refused", "none", "one", "unlimited"]
Stops = Literal["trimmed", "kept", "missed"]


@dataclass(frozen=True)
class Manners:
    """How an endpoint reads its parameters; the defaults are the definition.

    Attributes:
        takes_filters: `top_k` and `min_p` are taken; 0 and less switch them off.
        cuts_first: `top_k`, `top_p` and `min_p` cut the distribution as it is at temperature 1, and the temperature heats what is left.
        counted: whose tokens the penalties count.
        window: how many of the last tokens they count; None for all.
        kind: what a frequency penalty does: it is subtracted from the logit once for each time, or the logit of what has occurred is
            multiplied by it, so that 1 does nothing; then a presence penalty does nothing.
        apart: a frequency penalty counts how often; otherwise it acts as a presence penalty does.
        at_zero: penalties act at temperature 0.
        hottest: the highest temperature that is taken.
        told: of which distribution log probabilities are told: the one that was drawn from, before it was cut, or the model's own.
        copies: all choices of one call are one answer.
        counts_end: `completion_tokens` counts the mark that ends an answer.
        counts_trimmed: it counts the tokens of a stop sequence, which are not shown.
        hidden_tokens: so many more are counted, of what is thought and not shown.
        winner: which of two limits holds where both are sent.
        of_zero: what a limit of 0 means.
        stops: a stop sequence is not shown; is shown to the end of its last token; or is missed where it lies inside one token.
        most_stops: how many stop sequences are taken.
    """

    takes_filters: bool = False
    cuts_first: bool = False
    counted: Counted = "answer"
    window: int | None = None
    kind: Kind = "additive"
    apart: bool = True
    at_zero: bool = True
    hottest: float = 2
    told: Told = "drawn"
    copies: bool = False
    counts_end: bool = False
    counts_trimmed: bool = True
    hidden_tokens: int = 0
    winner: Winner = "max_completion_tokens"
    of_zero: OfZero = "refused"
    stops: Stops = "trimmed"
    most_stops: int = 4

    @property
    def samples_oddly(self) -> bool:
        """Whether tokens are drawn in another way than by definition."""
        mine = (self.cuts_first, self.counted, self.window, self.kind, self.apart, self.at_zero)
        return mine != (False, "answer", None, "additive", True, True)


PLAIN = Manners()
"""The definition."""


class Tokens:
    """How often each token stands among those that the penalties count."""

    def __init__(self, manners: Manners, heard: Iterable[int]) -> None:
        self.counts: Counter[int] = Counter()
        self._last: deque[int] | None = None if manners.window is None else deque()
        self._window = manners.window or 0
        self._of_answer = manners.counted != "prompt"
        if manners.counted != "answer":
            for token in heard:
                self._add(token)

    def say(self, token: int) -> None:
        """A token of the answer has come."""
        # Where the prompt alone is counted, an answer still moves it out of the window.
        self._add(token if self._of_answer else -1)

    def _add(self, token: int) -> None:
        if token >= 0:
            self.counts[token] += 1
        if self._last is None:
            return
        self._last.append(token)
        if len(self._last) > self._window:
            gone = self._last.popleft()
            if gone >= 0:
                self.counts[gone] -= 1
                if not self.counts[gone]:
                    del self.counts[gone]
