"""Temperature at its ends, and top_p at its lowest."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalkit.probe.endpoint import RejectedError
from evalkit.probe.meaning.asking import Asking, Fields, prompts, shown
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.found import Answered, nothing, unsure
from evalkit.stats.permutation import more_often

_PROMPTS = 3
_EACH = 5
_CHANCE = 0.001
_CEILING = 1.5
_BEYOND = 2.5


async def greedy(asking: Asking, ranked: Sequence[Context], fields: Fields, yes: str, no: str) -> Answered:
    """Does one token come, again and again, on prompts where others are nearly as likely?"""
    near = sorted(ranked, key=lambda one: abs(one.ratio() - 0.85))[:_PROMPTS]
    if not near:
        return unsure("no prompt was found")
    tokens = [await asking.tokens(one.messages, _EACH, fields) for one in near]
    if sum(one.total() for one in tokens) < _PROMPTS * _EACH / 2:
        return unsure(f"too few answers came{asking.endpoint.why()}")
    other = sum(one.total() - max(one.values(), default=0) for one in tokens)
    if other == 1:  # one stray answer is noise or the edge of something: as many again tell
        tokens = [one + await asking.tokens(context.messages, _EACH, fields) for one, context in zip(tokens, near, strict=True)]
        other = sum(one.total() - max(one.values(), default=0) for one in tokens)
    of = sum(one.total() for one in tokens)
    words = f"on {len(near)} prompts {of - other} of {of} answers began with one token: {'; '.join(shown(one) for one in tokens)}"
    if other >= 3:
        return Answered(no, words)
    chance = math.prod(_as_likely(one) ** (count.total() - 1) for one, count in zip(near, tokens, strict=True) if count)
    return Answered(yes, words, p=chance) if not other and chance <= _CHANCE else unsure(words)


def _as_likely(context: Context) -> float:
    """How often the likeliest token comes at temperature 1."""
    return context.told[context.top] if context.told else min(0.95, (context.warm[context.top] + 1) / (context.warm.total() + 1))


async def zero(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """Temperature 0, and -0, which some read as another number."""
    found = await greedy(asking, ranked, {"temperature": 0}, "greedy", "not greedy")
    if found.answer != "greedy":
        return found
    try:
        minus, plus = [await asking.token(ranked[0].messages, {"temperature": value}) for value in (-0.0, 0)]
    except RejectedError as refusal:
        return found._replace(evidence=f"{found.evidence}; -0 is refused: {refusal}")
    return found._replace(evidence=f"{found.evidence}; -0 gives {'the same' if minus == plus else 'another'}")


async def small(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """A temperature of 0.01."""
    return await greedy(asking, ranked, {"temperature": 0.01}, "as 0", "raised")


async def ceiling(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """Is the highest temperature hotter than lower ones?"""
    if asking.hottest <= 1:
        return Answered("refused", "a temperature above 1 is refused")
    if asking.basis != "seed":
        return _spread(ranked)
    hot = {"temperature": asking.hottest, **asking.off}
    words, highest = [], None
    for below in (_CEILING, 1.0) if asking.hottest > _CEILING else (1.0,):
        same, seen = await asking.alike(hot, {**hot, "temperature": below})
        words.append(f"at {asking.hottest:g} and at {below:g}, {seen}")
        if same.verdict is None:
            return unsure("; ".join(words))
        if not same.verdict:
            break
        highest = below
    return Answered("none to 2" if highest is None else f"{highest:g}", "; ".join(words), p=same.p)


def _spread(ranked: Sequence[Context]) -> Answered:
    """Without seeds: the likeliest token comes more rarely at a high temperature, in what has been sampled already."""
    for context in ranked[:2]:
        if not context.hot:
            continue
        warm, of = (context.warm[context.top], context.warm.total()) if context.warm else (round(100 * context.told[context.top]), 100)
        p = more_often(warm, of, context.hot[context.top], context.hot.total())
        words = f"{context.top!r} came first in {context.hot[context.top]} of {context.hot.total()} at the highest, {warm} of {of} at 1"
        return Answered("none to 2", words, p=p) if p <= _CHANCE else unsure(words)
    return unsure("nothing was sampled at a high temperature")


async def beyond(asking: Asking) -> Answered:
    """A temperature above what the definition allows."""
    if asking.hottest < 2:
        return nothing("2 is refused")
    try:
        if asking.basis != "seed":
            await asking.token(prompts()[0], {"temperature": _BEYOND, **asking.off})
            return unsure("it is accepted, and no answer repeats here that would tell it from 2")
        same, seen = await asking.alike({**asking.off, "temperature": _BEYOND}, {**asking.off, "temperature": 2})
    except RejectedError as refusal:
        return Answered("refused", str(refusal))
    words = f"at 2.5 and at 2, {seen}"
    return unsure(words) if same.verdict is None else Answered("clamped" if same.verdict else "taken", words, p=same.p)


async def lowest_top_p(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """top_p 0: one token, all of them, or a refusal."""
    try:
        return await greedy(asking, ranked, {"temperature": 1, **asking.off, "top_p": 0}, "one token", "off")
    except RejectedError as refusal:
        return Answered("refused", str(refusal))
