"""Do two requests differ in what they give? By the same text where answers repeat, by their distribution where not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import numpy as np

from evalkit.probe.endpoint import SHORT, Endpoint, RejectedError, about
from evalkit.probe.findings import Verdict
from evalkit.stats.equivalence import tost
from evalkit.stats.permutation import energy, more_often

_SAMPLE = 8
_LEVEL = 0.02
_MARGIN = 0.1

Judgement = tuple[Verdict, str, float | None]
"""The verdict, its evidence in one line, and where clamped the value from which on nothing changes."""


def distance(a: str, b: str) -> float:
    """Share of words that two texts do not have in common, in [0, 1]: 1 - Jaccard index of their sets of words."""
    first, second = set(a.split()), set(b.split())
    return 1.0 - len(first & second) / len(first | second) if first | second else 0.0


async def compared(
    endpoint: Endpoint, name: str, *, strong: Any, weak: Any, temperature: float, tokens: int = SHORT, clamped: Literal["high", "low"] | None
) -> Judgement:
    """A parameter that changes which words come: strong against absent, and against a weaker value that must still differ from it."""
    absent = {"temperature": temperature, "tokens": tokens}
    judged = await difference(endpoint, absent, {**absent, name: strong})
    if judged[0] != "honoured" or clamped is None or not endpoint.seeded:
        return judged
    same = await _same(endpoint, {**absent, name: strong}, {**absent, name: weak})
    if same:
        return "clamped", _flat(name, strong, weak, same), float(weak)
    return judged


def _flat(name: str, strong: float, weak: float, same: int) -> str:
    return f"{name} {strong:g} gave the same answers as {weak:g} in {same} of {same} comparisons: beyond {weak:g} it changes nothing"


async def difference(endpoint: Endpoint, absent: Mapping[str, Any], present: Mapping[str, Any], between: str = "with and without it") -> Judgement:
    """Do the two requests, which differ in what `between` names, differ in what they give?"""
    if endpoint.seeded:
        noise = endpoint.by_seed
        how = "same question, same seed"
        first, second = await endpoint.pairs(**absent), await endpoint.pairs(**present)
    elif endpoint.repeats_greedily and "top_p" not in present and present.get("temperature") != 0:
        # At temperature 0 all but a narrowed choice shows.
        noise = endpoint.greedy
        how = "same question, temperature 0"
        first = await endpoint.pairs(**{**absent, "temperature": 0, "seed": None})
        second = await endpoint.pairs(**{**present, "temperature": 0, "seed": None})
    else:
        return await _distributions(endpoint, absent, present, between)
    known = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    differ = sum(a != b for a, b in known)
    if len(known) < 4:
        return "inconclusive", f"too few answers came: {len(known)} comparisons", None
    if differ == 0:
        return "ignored", f"no effect: the same answers {between} in {len(known)} of {len(known)} comparisons ({how})", None
    moved, of = noise or (0, 0)
    p = more_often(differ, len(known), moved, of)
    found = f"{between}, {differ} of {len(known)} answers differ ({how})"
    if p <= _LEVEL:
        return "honoured", f"{found}; of plain repeats {moved} of {of} do, so this is no chance (p = {p:.2g})", None
    return "inconclusive", f"{found}, but of plain repeats {moved} of {of} do too: it may be chance (p = {p:.2g})", None


async def _same(endpoint: Endpoint, one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Number of pairs where all are the same text; 0 where any differs or fails."""
    first, second = await endpoint.pairs(**one), await endpoint.pairs(**other)
    return len(first) if all(a is not None and a == b for a, b in zip(first, second, strict=True)) else 0


async def _distributions(endpoint: Endpoint, absent: Mapping[str, Any], present: Mapping[str, Any], between: str) -> Judgement:
    """Two samples of answers where nothing repeats, on the same topics: a permutation test, and an equivalence test of their inner variety."""
    samples = []
    for fields in (absent, present):
        bodies = [(endpoint.body(**{**fields, "seed": None}), number % 2) for number in range(_SAMPLE)]
        samples.append([text for text in await endpoint.texts(bodies) if text is not None])
    first, second = samples
    if min(len(first), len(second)) < 4:
        return "inconclusive", "too few answers came", None
    both = first + second
    distances = np.array([[distance(a, b) for b in both] for a in both])
    _, p = energy(distances, len(first), endpoint.rng)
    if p <= _LEVEL:
        return "honoured", f"{between}, the {len(first)} and {len(second)} answers use other words, which is no chance (p = {p:.2g})", None
    inner = [np.array([distance(a, b) for a, b in combinations(sample, 2)]) for sample in samples]
    size = min(map(len, inner))
    if tost(inner[1][:size] - inner[0][:size], -_MARGIN, _MARGIN).p <= _LEVEL / 10 and p > 0.5:
        return "ignored", f"{between}, answers are as varied (within {_MARGIN:g}) and use the same words (p = {p:.2g})", None
    words = f"no answer repeats here, and {between}, the {len(first)} and {len(second)} answers may use the same words (p = {p:.2g})"
    return "inconclusive", words, None


async def temperature(endpoint: Endpoint, levels: Sequence[Any]) -> Judgement:
    """Hot answers against cold ones."""
    hottest = 2.0
    try:
        await endpoint.ask(endpoint.body(temperature=hottest), about(0))
    except RejectedError:
        if any(isinstance(level, int | float) and level > 1 for level in levels):
            raise
        hottest = 1.0
    if endpoint.seeded:
        judged = await difference(endpoint, {"temperature": 0}, {"temperature": hottest}, f"at 0 and at {hottest:g}")
    else:
        judged = await _spread(endpoint, hottest)
    if judged[0] != "honoured" or hottest <= 1 or not endpoint.seeded:
        return judged
    for below in (1.5, 1.0):
        same = await _same(endpoint, {"temperature": hottest}, {"temperature": below})
        if not same:
            break
        judged = "clamped", _flat("temperature", hottest, below, same), below
    return judged


async def _spread(endpoint: Endpoint, hottest: float) -> Judgement:
    """Without seeds: at temperature 0 answers to one question are alike, hot ones are not."""
    hot = await endpoint.texts([(endpoint.body(temperature=hottest), 0)] * 6)
    cold = await endpoint.texts([(endpoint.body(temperature=0), 0)] * 6)
    warm, still = [text for text in hot if text is not None], [text for text in cold if text is not None]
    if min(len(warm), len(still)) < 4:
        return "inconclusive", "too few answers came", None
    other = sum(text != warm[0] for text in warm[1:])
    other_cold = sum(text != still[0] for text in still[1:])
    p = more_often(other, len(warm) - 1, other_cold, len(still) - 1)
    evidence = f"asked again, {other} of {len(warm) - 1} answers differ at {hottest:g}, {other_cold} of {len(still) - 1} at 0 (p = {p:.2g})"
    if p <= _LEVEL:
        return "honoured", evidence, None
    if other == 0:
        return "ignored", f"no effect: asked again, all answers are the same at {hottest:g} as at 0" if warm[0] == still[0] else evidence, None
    return await _distributions(endpoint, {"temperature": 0}, {"temperature": hottest}, f"at 0 and at {hottest:g}")
