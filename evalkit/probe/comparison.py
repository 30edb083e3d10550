"""Do two requests differ in what they give? By the same text where answers repeat, by their distribution where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple

import numpy as np

from evalkit.probe.endpoint import SHORT, Probed, RejectedError, Repeats, about
from evalkit.probe.findings import Judged
from evalkit.stats.equivalence import tost
from evalkit.stats.permutation import energy, more_often

_SAMPLE = 8
_LEVEL = 0.02
_MARGIN = 0.1
_AGAIN = 6  # answers to one question
_ONE_WORD = 0.001  # top_p that leaves one token only, wherever the likeliest has that probability

_Fields = Mapping[str, Any]


class _Basis(NamedTuple):
    """What makes answers repeat, so that two requests can be compared pair by pair: fields to send with both, and the noise that is left."""

    fields: _Fields
    noise: Repeats
    how: str


def distance(a: str, b: str) -> float:
    """Share of words that two texts do not have in common, in [0, 1]: 1 - Jaccard index of their sets of words."""
    first, second = set(a.split()), set(b.split())
    return 1.0 - len(first & second) / len(first | second) if first | second else 0.0


def _basis(endpoint: Probed, present: _Fields) -> _Basis | None:
    """Seeds where answers repeat under them, else temperature 0 where they do and the parameter could show; None where neither helps."""
    if endpoint.seeded and endpoint.by_seed is not None:
        return _Basis({}, endpoint.by_seed, "same question, same seed")
    # At temperature 0 all but a narrowed choice shows.
    if endpoint.repeats_greedily and endpoint.greedy is not None and "top_p" not in present and present.get("temperature") != 0:
        return _Basis({"temperature": 0, "seed": None}, endpoint.greedy, "same question, temperature 0")
    return None


async def compared(
    endpoint: Probed, name: str, *, strong: Any, weak: Any, temperature: float, tokens: int = SHORT, clamped: Literal["high", "low"] | None
) -> Judged:
    """A parameter that changes which words come: strong against absent, and against a weaker value that must still differ from it."""
    absent = {"temperature": temperature, "tokens": tokens}
    judged = await difference(endpoint, absent, {**absent, name: strong})
    basis = _basis(endpoint, {**absent, name: strong})
    if judged.verdict != "honoured" or clamped is None or basis is None:
        return judged
    same = await _same(endpoint, {**absent, name: strong, **basis.fields}, {**absent, name: weak, **basis.fields})
    return Judged("clamped", _flat(name, strong, weak, same), float(weak)) if same else judged


def _flat(name: str, strong: float, weak: float, same: int) -> str:
    return f"{name} {strong:g} gave the same answers as {weak:g} in {same} of {same} comparisons: beyond {weak:g} it changes nothing"


async def difference(endpoint: Probed, absent: _Fields, present: _Fields, between: str = "with and without it") -> Judged:
    """Do the two requests, which differ in what `between` names, differ in what they give?"""
    basis = _basis(endpoint, present)
    if basis is None:
        return await _distributions(endpoint, absent, present, between)
    sides = [{**fields, **basis.fields} for fields in (absent, present)]
    first, second = [await endpoint.pairs(**fields) for fields in sides]
    known = [number for number, (a, b) in enumerate(zip(first, second, strict=True)) if a is not None and b is not None]
    other = [number for number in known if first[number] != second[number]]
    if len(known) < 4:
        return Judged("inconclusive", f"too few answers came: {len(known)} comparisons{endpoint.why()}")
    if not other:
        return Judged("ignored", f"no effect: the same answers {between} in {len(known)} of {len(known)} comparisons ({basis.how})")
    moved, of = basis.noise.differ, basis.noise.of
    p = more_often(len(other), len(known), moved, of)
    found = f"{between}, {len(other)} of {len(known)} answers differ ({basis.how})"
    if p <= _LEVEL:
        return Judged("honoured", f"{found}; of plain repeats {moved} of {of} do, so this is no chance (p = {p:.2g})")
    if await _again(endpoint, sides, other) == [[texts[number] for number in other] for texts in (first, second)]:
        return Judged("honoured", f"{found}, and all of these came so again, as {of} of {of} plain repeats did")
    return Judged("inconclusive", f"{found}, but of plain repeats {moved} of {of} do too: it may be chance (p = {p:.2g})")


async def _again(endpoint: Probed, sides: Sequence[_Fields], numbers: Sequence[int]) -> list[list[str | None]]:
    """The answers to some of the standing pairs, once more, for each side: a difference that comes again is no chance."""
    texts = await endpoint.texts([endpoint.pair(number, fields) for fields in sides for number in numbers])
    return [texts[: len(numbers)], texts[len(numbers) :]]


async def _same(endpoint: Probed, one: _Fields, other: _Fields) -> int:
    """Number of pairs where all are the same text; 0 where any differs or fails."""
    first, second = await endpoint.pairs(**one), await endpoint.pairs(**other)
    return len(first) if all(a is not None and a == b for a, b in zip(first, second, strict=True)) else 0


async def _distributions(endpoint: Probed, absent: _Fields, present: _Fields, between: str) -> Judged:
    """Two samples of answers where nothing repeats, on the same topics: a permutation test, and an equivalence test of their inner variety."""
    samples = []
    for fields in (absent, present):
        bodies = [(endpoint.body(**{**fields, "seed": None}), number % 2) for number in range(_SAMPLE)]
        samples.append([text for text in await endpoint.texts(bodies) if text is not None])
    first, second = samples
    if min(len(first), len(second)) < 4:
        return Judged("inconclusive", f"too few answers came{endpoint.why()}")
    both = first + second
    distances = np.array([[distance(a, b) for b in both] for a in both])
    _, p = energy(distances, len(first), endpoint.rng)
    if p <= _LEVEL:
        return Judged("honoured", f"{between}, the {len(first)} and {len(second)} answers use other words, which is no chance (p = {p:.2g})")
    inner = [np.array([distance(a, b) for a, b in combinations(sample, 2)]) for sample in samples]
    size = min(map(len, inner))
    if tost(inner[1][:size] - inner[0][:size], -_MARGIN, _MARGIN).p <= _LEVEL / 10 and p > 0.5:
        return Judged("ignored", f"{between}, answers are as varied (within {_MARGIN:g}) and use the same words (p = {p:.2g})")
    words = f"no answer repeats here, and {between}, the {len(first)} and {len(second)} answers may use the same words (p = {p:.2g})"
    return Judged("inconclusive", words)


async def narrowed(endpoint: Probed, name: str) -> Judged:
    """top_p: a small one leaves few words to choose from; where seeds do not help, so few that answers repeat by themselves."""
    if endpoint.seeded:
        return await compared(endpoint, name, strong=0.05, weak=0.6, temperature=1.5, clamped="low")
    free, narrow = [await _asked_again(endpoint, {"temperature": 1.0, name: value}) for value in (None, _ONE_WORD)]
    if min(free.of, narrow.of) < 3:
        return Judged("inconclusive", f"too few answers came{endpoint.why()}")
    p = more_often(free.differ, free.of, narrow.differ, narrow.of)
    evidence = f"asked again, {narrow.differ} of {narrow.of} answers differ at {name} {_ONE_WORD:g}, {free.differ} of {free.of} without it"
    if p <= _LEVEL:
        return Judged("honoured", f"{evidence} (p = {p:.2g})")
    # One token is left at each step, so that answers cannot all differ.
    if narrow.differ == narrow.of and not (endpoint.greedy is not None and endpoint.greedy.differ):
        return Judged("ignored", evidence)
    return await difference(endpoint, {"temperature": 1.5}, {"temperature": 1.5, name: 0.05})


async def temperature(endpoint: Probed, levels: Sequence[Any]) -> Judged:
    """Hot answers against cold ones."""
    hottest = 2.0
    try:
        await endpoint.ask(endpoint.body(temperature=hottest), about(0))
    except RejectedError:
        if any(isinstance(level, int | float) and level > 1 for level in levels):
            raise
        hottest = 1.0
    if not endpoint.seeded:
        return await _spread(endpoint, hottest)
    judged = await difference(endpoint, {"temperature": 0}, {"temperature": hottest}, f"at 0 and at {hottest:g}")
    if judged.verdict != "honoured" or hottest <= 1:
        return judged
    for below in (1.5, 1.0):
        same = await _same(endpoint, {"temperature": hottest}, {"temperature": below})
        if not same:
            break
        judged = Judged("clamped", _flat("temperature", hottest, below, same), below)
    return judged


async def _spread(endpoint: Probed, hottest: float) -> Judged:
    """Without seeds: at temperature 0 answers to one question are alike, hot ones are not."""
    texts: list[str] = []
    hot = await _asked_again(endpoint, {"temperature": hottest}, texts.append)
    cold = await _asked_again(endpoint, {"temperature": 0}, texts.append)
    if min(hot.of, cold.of) < 3:
        return Judged("inconclusive", f"too few answers came{endpoint.why()}")
    p = more_often(hot.differ, hot.of, cold.differ, cold.of)
    evidence = f"asked again, {hot.differ} of {hot.of} answers differ at {hottest:g}, {cold.differ} of {cold.of} at 0 (p = {p:.2g})"
    if p <= _LEVEL:
        return Judged("honoured", evidence)
    if hot.differ == 0:
        same = len(set(texts)) == 1
        return Judged("ignored", f"no effect: asked again, all answers are the same at {hottest:g} as at 0" if same else evidence)
    return await _distributions(endpoint, {"temperature": 0}, {"temperature": hottest}, f"at 0 and at {hottest:g}")


async def _asked_again(endpoint: Probed, fields: _Fields, note: Callable[[str], None] = lambda _: None) -> Repeats:
    """One question again and again without a seed: how many answers are not the first one. `note` is told each answer."""
    texts = [text for text in await endpoint.texts([(endpoint.body(**fields), 0)] * _AGAIN) if text is not None]
    for text in texts:
        note(text)
    return Repeats(sum(text != texts[0] for text in texts[1:]), max(0, len(texts) - 1))
