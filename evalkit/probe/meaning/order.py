"""Does temperature act before top_p and min_p, or after? And of which distribution are log probabilities?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.probe.meaning.asking import Asking, Fields, shown
from evalkit.probe.meaning.contexts import Context, cooled
from evalkit.probe.meaning.found import Answered, nothing, unsure
from evalkit.stats.sequential import SURE, Ratio

_STRAY = 0.01
"""Probability that a token comes which a cut should have left out: the noise that is reckoned with."""

_CONTROL, _MOST = 8, 48
_CLOSE = 0.03
_LOW = 0.5


async def of_top_p(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> Answered:
    """A top_p that leaves one token at temperature 1, asked at a high temperature: only if that acts first do others come."""
    if not _heats(known):
        return unsure("no temperature heats more than 1 does, so no order shows")
    said = f"no prompt was found where the two orders keep different tokens, at temperature {asking.hottest:g}"
    for context in ranked[:2]:
        if known["temperature_ceiling"].answer == "none to 2":
            context.heats(asking.hottest)
        top_p, control = await _alone(asking, context)
        if top_p is None:
            said = f"no top_p was found that leaves one token at temperature 1: {control}"
            continue
        seen: Counter[str] = Counter()
        fields = {"temperature": asking.hottest, **asking.off, "top_p": top_p}
        words = f"top_p {top_p:g} leaves {context.top!r} alone at temperature 1; at {asking.hottest:g}"
        while seen.total() < _MOST:
            drawn = await asking.tokens(context.messages, 4, fields)
            if not drawn:
                return unsure(f"too few answers came{asking.endpoint.why()}")
            seen += drawn
            others = _log_of_others(seen, context.top)
            if _log_of_cut(seen, context.top) <= others - math.log(SURE):
                return Answered("temperature first", f"{words} came {shown(seen)}", ratio=_capped(others - _log_of_cut(seen, context.top)))
            if seen.total() >= _CONTROL and seen[context.top] >= 0.9 * seen.total():
                break
        if not await cooled(asking, context, top_p):
            said = f"{words} came {shown(seen)}; but without top_p it comes about as often there: {shown(context.hot)}"
            continue
        return await _settled(asking, context, fields, context.hot_share / top_p, words, seen)
    return unsure(said)


def _heats(known: Mapping[str, Answered]) -> bool:
    return known["temperature_ceiling"].answer not in ("1", "refused")


async def _alone(asking: Asking, context: Context) -> tuple[float | None, str]:
    """A top_p, as large as can be, that leaves one token at temperature 1."""
    control: Counter[str] = Counter()
    share = context.share * (0.97 if context.told else 0.85)
    for _ in range(4):
        control = await asking.tokens(context.messages, _CONTROL, {"temperature": 1, **asking.off, "top_p": round(share, 4)})
        if len(control) == 1 and not context.told:
            control += await asking.tokens(context.messages, _CONTROL, {"temperature": 1, **asking.off, "top_p": round(share, 4)})
        if len(control) == 1:
            context.warm = context.warm if context.told else context.warm + control
            return round(share, 4), shown(control)
        share *= 0.75
    return None, shown(control)


async def _settled(asking: Asking, context: Context, fields: Fields, rival: float, words: str, seen: Counter[str]) -> Answered:
    """Decide between 'one token comes' and 'it comes in a share of `rival` at most'."""
    rival = max(0.05, min(0.95, rival))
    while True:
        cut = _log_of_cut(seen, context.top)
        others = seen[context.top] * math.log(rival) + (seen.total() - seen[context.top]) * math.log(1 - rival)
        if abs(cut - others) >= math.log(SURE):
            break
        drawn = await asking.tokens(context.messages, 4, fields)
        if seen.total() >= _MOST or not drawn:
            return Answered(None, f"{words} came {shown(seen)}, which is not enough to tell", ratio=_capped(abs(cut - others)))
        seen += drawn
    without = (
        f"in {context.hot[context.top]} of {context.hot.total()}" if context.hot else f"in {context.bound:.0%} at the most, by log probabilities"
    )
    told = f"{words} came {shown(seen)}; without the cut it comes {without}"
    return Answered("top_p first" if cut > others else "temperature first", told, ratio=_capped(abs(cut - others)))


def _log_of_cut(seen: Counter[str], top: str) -> float:
    """Log likelihood where the cut comes first: the likeliest token alone, or with one other that the cut may have left."""
    other = max((count for token, count in seen.items() if token != top), default=0)
    stray = (seen.total() - seen[top] - other) * math.log(_STRAY)
    alone = seen[top] * math.log(1 - _STRAY) + other * math.log(_STRAY)
    with_other = seen[top] * math.log(0.6) + other * math.log(0.4 - _STRAY)
    return stray + max(alone, with_other)


def _log_of_others(seen: Counter[str], top: str) -> float:
    """Log likelihood where others come as well, in any share: averaged over all shares alike."""
    came, of = seen[top], seen.total()
    return math.lgamma(came + 1) + math.lgamma(of - came + 1) - math.lgamma(of + 2)


def _capped(log: float) -> float:
    return math.exp(min(log, 27.0))


async def of_min_p(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> Answered:
    """The same for a min_p between the ratio of the two likeliest tokens and its root."""
    if "min_p" not in asking.filters:
        return nothing("min_p is not taken")
    if not _heats(known):
        return unsure("no temperature heats more than 1 does, so no order shows")
    context = next((one for one in ranked if one.told and 0.02 < one.ratio() < 0.6), None) or next(iter(ranked), None)
    if context is None:
        return unsure("no prompt was found")
    bounds = (context.ratio(), context.ratio()) if context.told else await _bracket(asking, context)
    if bounds is None or not 0 < bounds[1] < 0.75:
        return unsure("no min_p was found that leaves one token at temperature 1 and more at a higher one")
    low, high = bounds
    root = low ** (1 / asking.hottest)  # what is left of the ratio at the high temperature
    if high >= 0.95 * root:
        return unsure("no min_p was found that leaves one token at temperature 1 and more at a higher one")
    least = round(math.sqrt(high * root) if context.told else high, 4)
    cut = {**asking.off, "min_p": least}
    control = await asking.tokens(context.messages, 2 * _CONTROL, {"temperature": 1, **cut})
    if control[context.top] <= control.total() - 2:
        return nothing(f"min_p {least:g} does not cut at temperature 1: {shown(control)}")
    ratio, tokens = await _ratio(asking, context, {"temperature": asking.hottest, **cut}, 1 / (1 + root))
    return _ordered(ratio, "min_p first", f"min_p {least:g} leaves {context.top!r} alone at temperature 1; at {asking.hottest:g} {tokens}")


async def _ratio(asking: Asking, context: Context, fields: Fields, rival: float) -> tuple[Ratio, str]:
    """How much likelier 'the cut comes first', by which the one token comes, is than that others come too; it has `rival` there at most."""
    ratio, came, of = Ratio(), 0, 0
    while ratio.decided is None and of < _MOST:
        drawn = await asking.tokens(context.messages, 4, fields)
        for token, count in drawn.items():
            for _ in range(count):
                here = token == context.top
                ratio.add(1 - _STRAY if here else _STRAY, rival if here else 1 - rival)
                came += here
        of += 4
    total = f"{came} of {of} answers began so"
    return ratio, total


def _ordered(ratio: Ratio, first: str, words: str) -> Answered:
    if ratio.decided is None:
        return Answered(None, f"{words}, which is not enough to tell", ratio=ratio.value)
    return Answered(first, words, ratio=ratio.value) if ratio.decided else Answered("temperature first", words, ratio=1 / ratio.value)


async def _bracket(asking: Asking, context: Context) -> tuple[float, float] | None:
    """Two values of min_p, of which the lower leaves more than one token at temperature 1 and the higher one alone."""
    low = None
    steps = [0.02 * 1.4**power for power in range(11)]
    begin = max(0, sum(step < context.ratio() * 0.7 for step in steps) - 1)
    at, tried = begin, {}
    while 0 <= at < len(steps):
        tokens = await asking.tokens(context.messages, 10, {"temperature": 1, **asking.off, "min_p": round(steps[at], 4)})
        tried[at] = len(tokens) > 1
        if tried[at]:
            if tried.get(at + 1) is False:
                return steps[at], steps[at + 1]
            at += 1
        else:
            if tried.get(at - 1) is True:
                return steps[at - 1], steps[at]
            at -= 1
    return low


async def of_logprobs(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """Log probabilities of the same prompt at temperature 1, again, at a low one, which no ceiling hides, and there with top_p."""
    if not asking.logprobs:
        return nothing("no log probabilities are given")
    context = next((one for one in ranked if one.told and 0.02 < max(one.told.values()) < 0.9), None)
    if context is None:
        return unsure("no prompt was found whose likeliest tokens are told")
    hot = {"temperature": _LOW, **asking.off}
    asked: list[Fields] = [{"temperature": 1, **asking.off}] * 2 + [hot, {**hot, "top_p": 0.3}]
    first, again, heated, cut = [await asking.likely(context.messages, fields) for fields in asked]
    noise, moved, by_cut = _moved(first, again), _moved(first, heated), _moved(heated, cut)
    if noise is None or moved is None:
        return unsure(f"too few of them came{asking.endpoint.why()}")
    words = f"the likeliest tokens' move by {moved:.2f} from temperature 1 to {_LOW:g}, and by {noise:.2f} asked again"
    if moved <= max(_CLOSE, 2 * noise):
        return Answered("raw", words)
    if moved < 3 * max(_CLOSE, noise):
        return unsure(words)
    if by_cut is None or by_cut > max(_CLOSE, 2 * noise) or len(cut) < len(heated):
        return Answered("drawn", f"{words}; top_p 0.3 moves them too")
    return Answered("tempered", f"{words}; top_p 0.3 does not move them")


def _moved(one: dict[str, float], other: dict[str, float]) -> float | None:
    """By how much the log probability of the likeliest tokens that both tell differs at the most."""
    both = [token for token in list(one)[:5] if token in other]
    return max((abs(one[token] - other[token]) for token in both), default=None)
