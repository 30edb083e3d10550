"""Tests that may stop as soon as they are sure: a likelihood ratio that grows call by call, and exact bounds of a share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

SURE = 500.0
"""A likelihood ratio that decides: by Wald's bound it favours the wrong side at most once in so many cases (Wald 1945, "Sequential Tests")."""


@dataclass
class Ratio:
    """The likelihood ratio of a first hypothesis over a second one, as observations come in; it decides at `sure` and at 1 / `sure`."""

    sure: float = SURE
    log: float = field(default=0.0, init=False)

    def add(self, first: float, second: float) -> None:
        """An observation that has these probabilities, in (0, 1], under the one and the other."""
        self.log += math.log(first) - math.log(second)

    @property
    def value(self) -> float:
        """The ratio itself, at most 1e12 and at least 1e-12, for more is no more evidence than the model of it is right."""
        return math.exp(min(max(self.log, math.log(1e-12)), math.log(1e12)))

    @property
    def decided(self) -> bool | None:
        """True for the first hypothesis, False for the second, None while neither is sure."""
        if abs(self.log) < math.log(self.sure):
            return None
        return self.log > 0


def share_bounds(hits: int, of: int, error: float = 0.025) -> tuple[float, float]:
    """The lowest and the highest share that `hits` of `of` leave possible, each wrong with probability `error` at most; (0, 1) of nothing.

    Clopper and Pearson 1934, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial".
    """
    if of == 0:
        return 0.0, 1.0
    low = 0.0 if hits == 0 else _root(lambda share: at_least(hits, of, share) - error)
    high = 1.0 if hits == of else _root(lambda share: error - 1 + at_least(hits + 1, of, share))
    return low, high


def at_least(hits: int, of: int, share: float) -> float:
    """The probability of at least `hits` in `of` independent trials that succeed with probability `share`."""
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(hits, of + 1))


def noise_again(differ: int, of: int, moved: int, repeats: int) -> float:
    """The probability that noise alone makes at least `differ` of `of` pairs differ, and both sides of each come again so.

    Where an answer is another one with probability e, a pair does so with 2 * e ** 2 at the most. e is averaged over what `moved` of `repeats` plain
    repeats leave of it (Jeffreys 1946, "An Invariant Form for the Prior Probability in Estimation Problems").
    """
    steps = [(step + 0.5) / _STEPS for step in range(_STEPS)]
    weights = [e ** (moved - 0.5) * (1 - e) ** (repeats - moved - 0.5) for e in steps]
    chances = [at_least(differ, of, min(1.0, 2 * e * e)) for e in steps]
    return math.fsum(w * c for w, c in zip(weights, chances, strict=True)) / math.fsum(weights)


_STEPS = 200


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
