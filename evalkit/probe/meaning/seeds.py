"""Do seeds make answers repeat: alone, beside other calls, over the choices of one call; and what is where none is sent?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from evalkit.probe.endpoint import RejectedError, gathered, visible
from evalkit.probe.meaning.asking import Asking, prompts
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.found import Answered, nothing, unsure
from evalkit.stats.sequential import at_least

_TOKENS = 24
_SEEDS = 3
_NEAR = 16
_SHARE = 0.35
_SPARE, _CHANCE = 0.15, 0.002
_FREE = 8


async def repeats(asking: Asking) -> Answered:
    """The same seeds, one call at a time; what is found makes the basis of all comparisons."""
    asking.endpoint.one_at_a_time(True)
    asking.basis = "seed"
    talks = prompts()
    texts = [[await asking.text(talks[number], number, _WARM, again=again) for number in range(_SEEDS)] for again in (False, True)]
    pairs = [(a, b) for a, b in zip(*texts, strict=True) if a is not None and b is not None]
    differ = sum(a != b for a, b in pairs)
    asking.repeats, asking.differed = len(pairs), differ
    if len(pairs) < 2:
        asking.basis = None
        return unsure(f"too few answers came{asking.endpoint.why()}")
    distinct = len({a for a, _ in pairs})
    evidence = f"asked again with the same seed, one call at a time, {differ} of {len(pairs)} answers differ"
    if not differ:
        return Answered("repeats", f"{evidence}; {len(pairs)} seeds gave {distinct} texts")
    for number in range(_SEEDS, 2 * _SEEDS):  # some repeat by chance, for they are short, or by a cache
        a, b = [await asking.text(talks[number], number, _WARM, again=True) for _ in range(2)]
        if a is not None and b is not None:
            pairs.append((a, b))
    differ = sum(a != b for a, b in pairs)
    evidence = f"asked again with the same seed, one call at a time, {differ} of {len(pairs)} answers differ"
    if await _primed(asking):
        return Answered("after itself", f"{evidence}; right after its own prompt, which the server then has read already, each comes again")
    asking.basis = None
    await _greedy(asking)
    return Answered("does not", evidence) if differ > len(pairs) / 2 else unsure(evidence)


async def _primed(asking: Asking) -> bool:
    """Whether answers repeat where their prompt was asked for right before; all that follows is asked so then."""
    asking.primed = True
    talks = prompts()
    texts = [[await asking.text(talks[number], number, _WARM, again=True) for number in range(_SEEDS)] for _ in range(2)]
    asking.repeats, asking.differed = _SEEDS, sum(a is None or a != b for a, b in zip(*texts, strict=True))
    asking.primed = not asking.differed and len(set(texts[0])) > 1
    if asking.primed:
        asking.forget()
    return asking.primed


_WARM = {"temperature": 1, "tokens": _TOKENS}


async def _greedy(asking: Asking) -> None:
    """Where seeds do not make answers repeat, temperature 0 may."""
    asking.basis = "greedy"
    talks = prompts()[:_SEEDS]
    texts = [[await asking.text(talk, 0, {"tokens": _TOKENS}, again=True) for talk in talks] for _ in range(2)]
    differ = sum(a is None or a != b for a, b in zip(*texts, strict=True))
    asking.repeats, asking.differed = _SEEDS, differ
    if differ:
        asking.basis = None


async def beside(asking: Asking) -> Answered:
    """The same seeds while other calls run; where they do not repeat then, all that follows is asked one call at a time."""
    if asking.basis != "seed":
        return nothing("seeds do not make answers repeat")
    talks = prompts()
    alone = [await asking.text(talks[number], number, _WARM) for number in range(_SEEDS)]
    asking.endpoint.one_at_a_time(False)
    calls = [asking.text(talks[number], number, _WARM, again=True) for number in range(_SEEDS)]
    others = [asking.token(talks[number], {"temperature": 1}) for number in range(_SEEDS, 2 * _SEEDS)]
    together = (await gathered([*calls, *others]))[:_SEEDS]
    pairs = [(a, b) for a, b in zip(alone, together, strict=True) if a is not None and b is not None]
    differ = sum(a != b for a, b in pairs)
    evidence = f"while five other calls ran, {differ} of {len(pairs)} answers were not those of the same seed alone"
    if not differ:
        asking.repeats += len(pairs)
        return Answered("repeats", evidence) if len(pairs) >= 2 else unsure(evidence)
    asking.endpoint.one_at_a_time(True)
    return Answered("only alone", evidence) if differ >= 2 else unsure(evidence)


async def near(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """Neighbouring seeds at temperature 1, where a draw that hardly moves gives the same token; at a high one it would show less."""
    if asking.basis != "seed":
        return nothing("seeds do not make answers repeat")
    context = min(ranked, key=lambda one: abs(one.share - _SHARE), default=None)
    if context is None:
        return unsure("no prompt was found")
    fields = {"temperature": 1, **asking.off}
    drawn = [await asking.token(context.messages, {**fields, "seed": asking.seeds[0] + number}) for number in range(_NEAR)]
    equal = sum(a == b for a, b in pairwise(drawn))
    evidence = f"of {_NEAR} seeds in a row {equal} gave the first token of the one before"
    if equal <= _NEAR / 2:
        return Answered("independent", evidence)
    spread = await asking.tokens(context.messages, _NEAR, fields)
    alike = sum(count * (count - 1) for count in spread.values()) / max(1, spread.total() * (spread.total() - 1))
    bound = min(0.9, alike + _SPARE)
    p = at_least(equal, _NEAR - 1, bound)
    evidence = f"{evidence}; of {spread.total()} spread ones two are alike in {alike:.0%} of pairs"
    if p <= _CHANCE:
        return Answered("copies", evidence, p=p)
    return Answered("independent", evidence) if equal <= bound * _NEAR else unsure(evidence)


async def choices(asking: Asking) -> Answered:
    """Three choices of one call under a seed."""
    hot = {"temperature": asking.hottest, **asking.off, "tokens": 12, "n": 3, "seed": asking.seeds[0]}
    try:
        reply = await asking.ask(prompts()[0], hot)
    except RejectedError as refusal:
        return nothing(f"n is refused: {refusal}")
    texts = [visible(one) for one in reply.completions]
    if not texts:
        return unsure(f"no answer came{asking.endpoint.why()}")
    if len(texts) < 3:
        return nothing(f"asked for 3 choices, {len(texts)} came")
    evidence = f"3 choices of one call with a seed are {len(set(texts))} texts"
    return Answered("copies" if len(set(texts)) == 1 else "differ", evidence)


async def unseeded(asking: Asking) -> Answered:
    """Answers without a seed."""
    hot = {"temperature": asking.hottest, **asking.off, "seed": None}
    tokens = await asking.tokens(prompts()[0], _FREE, hot)
    evidence = f"{tokens.total()} answers without a seed begin with {len(tokens)} tokens"
    if len(tokens) > 1:
        return Answered("varies", evidence)
    spread = await asking.tokens(prompts()[0], _FREE, {"temperature": asking.hottest, **asking.off})
    evidence = f"{evidence}, {spread.total()} with seeds with {len(spread)}"
    return Answered("fixed", evidence) if tokens.total() >= _FREE - 2 and len(spread) >= 4 else unsure(evidence)
