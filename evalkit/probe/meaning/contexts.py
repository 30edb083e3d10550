"""The prompt on which orders are told apart: one whose likeliest first token is likely at temperature 1, and not at 2."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from evalkit.probe.meaning.asking import Asking, Messages, prompts
from evalkit.probe.meaning.definition import rest_at
from evalkit.stats.sequential import share_bounds

_BATCH, _MOST_HOT = 20, 60
_WARM, _FIRST_LOOK = 24, 4
_APART = 0.8
_ERROR = 0.025
_PROMPTS = 6


@dataclass
class Context:
    """A prompt, and what is known of its first token.

    Attributes:
        told: probabilities of the likeliest at temperature 1, as far as log probabilities tell.
        bound: a probability that the likeliest has at most at the highest temperature, as far as that is told.
        warm, hot: first tokens that came at temperature 1, and at the highest one that is taken, with nothing cut.
    """

    messages: Messages
    told: dict[str, float] = field(default_factory=dict)
    warm: Counter[str] = field(default_factory=Counter)
    hot: Counter[str] = field(default_factory=Counter)
    bound: float = 1.0

    @property
    def top(self) -> str:
        """The likeliest first token at temperature 1."""
        return next(iter(self.told)) if self.told else self.warm.most_common(1)[0][0]

    @property
    def share(self) -> float:
        """About how probable the likeliest one is at temperature 1."""
        if self.told:
            return self.told[self.top]
        return self.warm[self.top] / max(1, self.warm.total())

    @property
    def hot_share(self) -> float:
        """A probability that it has at most at the highest temperature."""
        return min(self.bound, share_bounds(self.hot[self.top], self.hot.total(), _ERROR)[1])

    def heats(self, hottest: float) -> None:
        """It is known that the highest temperature acts, so log probabilities bound what the likeliest token has there."""
        if self.told:
            listed = np.array(list(self.told.values()))
            raised = listed ** (1 / hottest)
            self.bound = float(raised.max() / (raised.sum() + rest_at(listed, hottest).low))

    def ratio(self) -> float:
        """How likely the second likeliest is beside the first, in (0, 1]."""
        if self.told:
            first, second, *_ = [*self.told.values(), 0.0, 0.0]
            return second / first
        first, second = [*(count for _, count in self.warm.most_common(2)), 0, 0][:2]
        return second / max(1, first)


async def contexts(asking: Asking) -> list[Context]:
    """Prompts with what is known of each, the one with the likeliest first token first; not yet sampled enough to tell orders apart."""
    found = [Context(messages) for messages in prompts()]
    for one in found if asking.logprobs else found[-_PROMPTS:]:
        if asking.logprobs:
            told = await asking.likely(one.messages, {"temperature": 1, **asking.off})
            one.told = {token: math.exp(value) for token, value in told.items()}
        if not one.told:
            one.warm += await asking.tokens(one.messages, _FIRST_LOOK, {"temperature": 1, **asking.off})
    known = sorted((one for one in found if one.told or one.warm), key=lambda one: -one.share)
    if known and not known[0].told:
        known[0].warm += await asking.tokens(known[0].messages, _WARM, {"temperature": 1, **asking.off})
    return known


async def cooled(asking: Asking, context: Context, top_p: float) -> bool:
    """Sample first tokens at the highest temperature until the likeliest is known to be rarer there than `top_p`; whether it is."""
    while context.hot_share >= _APART * top_p:
        if context.hot.total() >= _MOST_HOT:
            return False
        drawn = await asking.tokens(context.messages, _BATCH, {"temperature": asking.hottest, **asking.off})
        if not drawn:
            return False
        context.hot += drawn
    return True
