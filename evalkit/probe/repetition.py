"""Do answers repeat: at temperature 0, under one seed, and does the seed tell answers apart?"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.probe.endpoint import Probed, RejectedError, Repeats, about
from evalkit.probe.findings import Judged

_LEVEL = 0.02
_NEIGHBOURS = 3
_SHUFFLES = 999


async def measure_noise(endpoint: Probed) -> None:
    """A/A: how often the same request gives another text, at temperature 0 and under one seed.

    Where answers do not repeat while calls run side by side, the same is asked one call at a time; where they do then, all further calls are made so.
    """
    endpoint.greedy = await _greedy(endpoint)
    endpoint.by_seed = await _by_seed(endpoint)
    if all(one is None or one.exact for one in (endpoint.greedy, endpoint.by_seed)):
        return
    endpoint.one_at_a_time(True)
    better = False
    if endpoint.by_seed is not None and not endpoint.by_seed.exact:
        endpoint.by_seed = _beside(endpoint.by_seed, await _by_seed(endpoint))
        better = endpoint.by_seed.only_alone
    if endpoint.greedy is not None and not endpoint.greedy.exact:
        endpoint.greedy = _beside(endpoint.greedy, await _greedy(endpoint))
        better = better or endpoint.greedy.only_alone
    endpoint.one_at_a_time(better)


def _beside(together: Repeats, alone: Repeats | None) -> Repeats:
    return together if alone is None else alone._replace(together=(together.differ, together.of))


async def _greedy(endpoint: Probed) -> Repeats | None:
    return await _repeated(endpoint, [{"temperature": 0, "seed": None}] * 3)


async def _by_seed(endpoint: Probed) -> Repeats | None:
    return await _repeated(endpoint, [{"temperature": 1.0, "seed": seed} for seed in endpoint.seeds[:3]])


async def _repeated(endpoint: Probed, requests: list[dict[str, Any]]) -> Repeats | None:
    """Each of the requests three times; a refusal or an ignored field is told where that parameter is probed."""
    # All before any again: on a server that keeps one state for all calls, the same call twice in a row may meet the same state.
    bodies = [(endpoint.body(**fields), topic) for _ in range(3) for topic, fields in enumerate(requests)]
    try:
        texts = await endpoint.texts(bodies)
    except RejectedError:
        return None
    count = len(requests)
    pairs = [(texts[n], texts[n + count * m]) for n in range(count) for m in (1, 2)]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    return Repeats(sum(a != b for a, b in known), len(known)) if known else None


async def seed(endpoint: Probed) -> Judged:
    """The same seed must give the same text, and other seeds other ones."""
    if endpoint.by_seed is None:
        await endpoint.ask(endpoint.body(seed=endpoint.seeds[0]), about(0))  # tells of a refusal
        return Judged("inconclusive", f"too few answers came{endpoint.why()}")
    differ, of, together = endpoint.by_seed
    alone = " one call at a time" if together is not None else ""
    evidence = f"asked again with the same seed{alone}, {differ} of {of} answers differ"
    if differ:
        return await _partly(endpoint, evidence)
    others = await _answers(endpoint, endpoint.seeds)
    free = await _answers(endpoint, [None] * 4)
    if len(set(others)) > 1:
        remarks = await _remarks(endpoint, others[0], len(free) > 1 and len(set(free)) == 1)
        words = "; ".join([evidence, f"{len(others)} seeds gave {len(set(others))} texts", *remarks.values()])
        return Judged("honoured", words, None, "; ".join(remarks))
    if len(set(free)) > 1:
        return Judged("inconclusive", f"{evidence}, nor do those with {len(others)} other seeds, though without a seed they do")
    return Judged("inconclusive", f"{evidence}, but with other seeds and without a seed they do not either: no effect could show")


async def _remarks(endpoint: Probed, text: str, fixed: bool) -> dict[str, str]:
    """What has to be known of seeds that are honoured, in few words and in more; `text` came of the first of them."""
    out = {}
    if endpoint.by_seed is not None and endpoint.by_seed.only_alone and endpoint.by_seed.together is not None:
        out["repeats only alone, one call at a time"] = "while other calls run {} of {} differ".format(*endpoint.by_seed.together)
    if fixed:
        out["none sent: one fixed seed, all copies"] = "where none is sent all answers are the same"
    beside = [endpoint.seeds[0] + step for step in range(1, _NEIGHBOURS + 1)]
    near = await _answers(endpoint, beside)
    if len(near) > 1 and all(one == text for one in near):
        out["neighbouring seeds give copies"] = f"seeds {endpoint.seeds[0]} to {beside[-1]} gave one text"
    return out


async def _partly(endpoint: Probed, evidence: str) -> Judged:
    """Answers under one seed differ, also one call at a time: do they at least begin more alike than those of other seeds?"""
    alone = endpoint.alone
    endpoint.one_at_a_time(True)
    texts = np.array(await _answers(endpoint, [seed for seed in endpoint.seeds[:3] for _ in range(3)], keep=True), dtype=object)
    endpoint.one_at_a_time(alone)
    if any(text is None for text in texts):
        return Judged("inconclusive", f"{evidence}; then too few answers came{endpoint.why()}")
    alike = np.array([[_common(a, b) for b in texts] for a in texts], dtype=float)

    def within(order: NDArray[np.int64]) -> float:
        groups = order.reshape(3, 3)
        return float(sum(np.log1p(alike[a, b]) for group in groups for a, b in combinations(group, 2)))

    observed = within(np.arange(9))
    as_much = sum(within(endpoint.rng.permutation(9)) >= observed - 1e-9 for _ in range(_SHUFFLES))
    p = (as_much + 1) / (_SHUFFLES + 1)
    if p <= _LEVEL:
        remark = "answers begin alike, then part"
        return Judged("honoured", f"{evidence}, but they begin more alike than those of other seeds (p = {p:.2g})", None, remark)
    if endpoint.by_seed is not None and endpoint.by_seed.differ == endpoint.by_seed.of:
        return Judged("ignored", f"{evidence}, and they begin no more alike than those of other seeds (p = {p:.2g})")
    return Judged("inconclusive", f"{evidence}; they begin no more alike than those of other seeds (p = {p:.2g})")


def _common(a: str, b: str) -> int:
    """Number of characters with which both begin."""
    return next((index for index, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))


async def _answers(endpoint: Probed, seeds: Sequence[int | None], *, keep: bool = False) -> list[Any]:
    """Answers at temperature 1 on the first topic, one for each seed; failures (None) are left out unless they are to be kept."""
    texts = await endpoint.texts([(endpoint.body(temperature=1.0, seed=seed), 0) for seed in seeds])
    return texts if keep else [text for text in texts if text is not None]
