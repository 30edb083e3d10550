"""What is on where nothing is sent: a temperature, a top_p, a top_k, a min_p. Left out is compared with switched off, all else being explicit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.probe.endpoint import RejectedError
from evalkit.probe.meaning.asking import TOKENS, Asking, Fields, shown
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.found import Answered, nothing, unsure
from evalkit.stats.permutation import more_often
from evalkit.stats.sequential import share_bounds

_LEFT_OUT = {
    "top_p": (0.95, 0.9, 0.8, 0.7, 0.99, 0.5),
    "top_k": (40, 50, 20, 64, 100, 10, 1),
    "min_p": (0.05, 0.1, 0.01, 0.02, 0.2),
}
"""Values that servers and models have for defaults, the commonest first."""
_TEMPERATURES = (0.8, 0.7, 0, 0.6, 0.3, 0.5, 0.2, 0.9)
_SAMPLE = 40
_LEVEL = 0.002


async def hidden(asking: Asking, name: str, ranked: Sequence[Context]) -> Answered:
    """One of top_p, top_k and min_p, left out and switched off at a high temperature, where it shows most."""
    if name not in asking.off:
        return nothing(f"{name} is not taken")
    off: dict[str, Any] = {"temperature": asking.hottest, **asking.off}
    left = {key: value for key, value in off.items() if key != name}
    if asking.basis != "seed":
        return await _by_tails(asking, off, left, ranked)
    same, seen = await asking.alike(off, left)
    words = f"left out and {off[name]:g}, at temperature {asking.hottest:g}, {seen}"
    if same.verdict is not False:
        return Answered("off", words, p=same.p) if same.verdict else unsure(words)
    value = await _equal(asking, off, left, name, _LEFT_OUT[name])
    if value is None:
        return Answered("some", f"{words}; none of {', '.join(f'{one:g}' for one in _LEFT_OUT[name])} gives the same", p=same.p)
    return Answered(f"{value:g}", f"{words}; with {name} {value:g} all are the same", p=same.p)


async def _equal(asking: Asking, off: Fields, left: Fields, name: str, values: Sequence[float]) -> float | None:
    """The first explicit value that gives the same answers as none, in first tokens and in two longer answers."""
    long = {"tokens": TOKENS}
    for value in values:
        try:
            brief = await asking.equal(left, {**off, name: value}, 6, confirm=False)
            if brief and await asking.equal({**left, **long}, {**off, name: value, **long}, 2):
                return value
        except RejectedError:
            continue
    return None


async def _by_tails(asking: Asking, off: Fields, left: Fields, ranked: Sequence[Context]) -> Answered:
    """Where no seed helps: how often a token comes that is not among the likely ones, which a cut makes rarer."""
    context = next(iter(ranked), None)
    if context is None:
        return unsure("no prompt was found")
    likely = set(context.told or context.warm)
    free, cut = [await asking.tokens(context.messages, _SAMPLE, fields) for fields in (off, left)]
    tails = [sum(count for token, count in tokens.items() if token not in likely) for tokens in (free, cut)]
    words = f"tokens not among the likely ones came {tails[0]} times in {free.total()} where it is off, {tails[1]} in {cut.total()} left out"
    if min(free.total(), cut.total()) < _SAMPLE / 2:
        return unsure(f"too few answers came{asking.endpoint.why()}")
    p = more_often(tails[0], free.total(), tails[1], cut.total())
    if p <= _LEVEL:
        return Answered("some", f"{words}; it leaves {len(cut)} tokens: {shown(cut)}", p=p)
    low = share_bounds(tails[1], cut.total())[0]
    return Answered("off", words) if low > 0.6 * tails[0] / free.total() and tails[0] > free.total() / 4 else unsure(words)


async def left_out_temperature(asking: Asking, ranked: Sequence[Context]) -> Answered:
    """Which explicit temperature gives the same answers as none."""
    long: dict[str, Any] = {**asking.off, "tokens": TOKENS}
    if asking.basis != "seed":
        context = next(iter(ranked), None)
        free = await asking.tokens(context.messages, 16, asking.off) if context is not None else None
        if context is not None and free and len(free) == 1 and context.share < 0.7:
            return Answered(
                "0", f"left out, {free.total()} of {free.total()} answers begin with {shown(free)}", p=context.share ** (free.total() - 1)
            )
        return unsure("no answer repeats here, so values cannot be told apart")
    brief = asking.off
    same, seen = await asking.alike(brief, {**brief, "temperature": 1})
    words = f"left out and 1, {seen}"
    if same.verdict is not False:
        return Answered("1", words, p=same.p) if same.verdict else unsure(words)
    noisy = []
    for value in _TEMPERATURES:
        if not await asking.equal(brief, {**brief, "temperature": value}, 6, confirm=False):
            continue
        equal = await asking.equal(long, {**long, "temperature": value}, 2)
        if equal:
            return Answered(f"{value:g}", f"{words}; with {value:g} all are the same", p=same.p)
        if equal is None:
            noisy.append(f"{value:g}")
    if noisy:
        return unsure(f"{words}; with {', '.join(noisy)} answers do not even come again")
    return Answered("other", f"{words}; none of {', '.join(f'{value:g}' for value in _TEMPERATURES)} gives the same", p=same.p)
