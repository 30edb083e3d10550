"""Where a text runs into a loop that it does not leave."""

from __future__ import annotations

from typing import NamedTuple

_FEW_PERIODS = 8


class Loop(NamedTuple):
    """The loop at the end of a text.

    Attributes:
        start: the token at which it begins; the number of tokens where there is none.
        tokens: its length; 0 where there is none.
        period: tokens of one turn; 0 where there is none.
    """

    start: int
    tokens: int
    period: int

    @property
    def wasted(self) -> int:
        """Tokens after the first turn, which say nothing new."""
        return self.tokens - self.period


def loop(ids: list[int], repeats: int = 3, fewest: int = 12) -> Loop:
    """The longest end of `ids` that has a period, with at least `repeats` turns and `fewest` tokens; of several periods the shortest.

    In linear time, by the Z-function of the reversed text (Gusfield 1997, "Algorithms on Strings, Trees and Sequences").
    """
    turned = ids[::-1]
    size = len(turned)
    best = Loop(size, 0, 0)
    if size < fewest:
        return best
    # A period p of three turns has the last token again at p and at 2p; most texts have next to no such p.
    last = turned[0]
    again = [at for at in range(1, size // repeats + 1) if turned[at] == last]
    periods = [at for at in again if (repeats - 1) * at < size and turned[(repeats - 1) * at] == last]
    if len(periods) <= _FEW_PERIODS:
        reaches = ((period, _same(turned, period)) for period in periods)
    else:
        z = _z(turned)
        reaches = ((period, z[period]) for period in periods)
    for period, same in reaches:
        tokens = period + same
        if tokens > best.tokens and tokens >= fewest and tokens >= repeats * period:
            best = Loop(size - tokens, tokens, period)
    return best


def _same(ids: list[int], shift: int) -> int:
    """How far `ids` agrees with itself shifted."""
    for at, (one, other) in enumerate(zip(ids, ids[shift:], strict=False)):
        if one != other:
            return at
    return len(ids) - shift


def _z(ids: list[int]) -> list[int]:
    size = len(ids)
    z = [0] * size
    left = right = 0
    for at in range(1, size):
        reach = min(right - at, z[at - left]) if at < right else 0
        while at + reach < size and ids[reach] == ids[at + reach]:
            reach += 1
        if at + reach > right:
            left, right = at, at + reach
        z[at] = reach
    return z
