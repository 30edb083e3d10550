"""Every metric of one group: what is measured of it needs nothing but the group itself, so that any process can do it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics import Group, Metric, mean, values
from evalkit.metrics.custom import Scorer
from evalkit.metrics.group import Floats
from evalkit.metrics.rarefaction import Sample
from evalkit.scoring.prefix import Prefix, beginnings

Sizes = NDArray[np.int64]
"""Answers that metrics of several together are taken over, for each prompt, 0 where fewer than two can be had; shape (prompts,)."""


class Basis(NamedTuple):
    """What runs that are compared have in common, by prompt.

    Attributes:
        ks: answers that group metrics are taken over.
        prefix: the beginning of answers that some metrics are compared on; None where too few answers are long enough.
        ks_there: the same as `ks` of answers as long as the prefix, half of it, and twice.
        samples: for each prompt the text that the other metrics biased by length are compared on; None where there is too little.
    """

    ks: Sizes
    prefix: Prefix | None
    ks_there: tuple[Sizes, ...] = ()
    samples: tuple[Sample | None, ...] = ()

    @property
    def k(self) -> int:
        """Answers that group metrics are taken over where there are most of them."""
        return int(self.ks.max(initial=0))


Vectors = Callable[[Sequence[str]], Floats]
"""Gives the embeddings of k texts, shape (k, d), NaN in the row of a text without one."""


class Values(NamedTuple):
    """One metric of one group: as the grids of `Score`, and the answers that the value rests on."""

    value: float = math.nan
    full: float = math.nan
    half: float = math.nan
    double: float = math.nan
    prefix: float = math.nan
    n: int = 0


class OfGroup(NamedTuple):
    """What was found of a group: its texts, the values of each metric, and what scorers gave (whose, its name, its number, of how many answers)."""

    texts: int
    values: list[Values]
    own: list[tuple[str, str, float, int]]
    faults: list[str]


class Measuring:
    """Measures groups on one basis; plain data, which travels."""

    def __init__(self, on: Basis, metrics: Sequence[Metric], *, beside: bool, sizes: bool) -> None:
        self._on, self._metrics, self._beside, self._sizes = on, tuple(metrics), beside, sizes

    def of(self, group: Group, where: tuple[int, int], scorers: Sequence[Scorer] = (), vectors: Floats | None = None) -> OfGroup:
        """What is found of a group; what it has worked out on the way is let go.

        Args:
            vectors: the embeddings of its texts, where they are wanted.
        """
        if vectors is not None:
            group = replace(group, vectors=vectors)
        whole = _Parts(group, int(self._on.ks[where[1]]))
        parts = self._beginnings(group, where)
        found = OfGroup(len(group), [self._measure(metric, where, whole, parts) for metric in self._metrics], [], [])
        for scorer in scorers:
            _ask(scorer, whole, found)
        group.let_go()
        return found

    def own(self, group: Group, where: tuple[int, int], scorers: Sequence[Scorer], found: OfGroup) -> None:
        """Add to what was `found` what scorers of texts give."""
        whole = _Parts(group, int(self._on.ks[where[1]]))
        for scorer in scorers:
            _ask(scorer, whole, found)

    def _beginnings(self, group: Group, where: tuple[int, int]) -> list[_Parts]:
        """The first tokens of a group's answers, by the prefix, and half of it and twice where asked for; none where its cell has no prefix."""
        on = self._on
        if on.prefix is None or where[0] in on.prefix.left_out:
            return []
        lengths: tuple[int, ...] = beginnings(on.prefix)[: 3 if self._sizes else 1]
        pairs = zip(lengths, on.ks_there, strict=False)
        return [_Parts(group.take(np.flatnonzero(group.lengths >= at), at), int(ks[where[1]])) for at, ks in pairs]

    def _measure(self, metric: Metric, where: tuple[int, int], whole: _Parts, parts: Sequence[_Parts]) -> Values:
        full, n = whole.value(metric) if self._beside or not metric.confounded else (math.nan, 0)
        if not metric.confounded:
            return Values(full, full, n=n)
        out = Values(full=full)
        if metric.sampled is not None and (sample := self._on.samples[where[1]]) is not None:
            value, n = whole.sampled(metric, sample)
            half, double = (whole.sampled(metric, sample.times(factor))[0] for factor in (0.5, 2.0)) if self._sizes else (math.nan, math.nan)
            out = out._replace(value=value, half=half, double=double, n=n)
        if self._on.prefix is None or self._on.prefix.tokens < metric.shortest or not parts:
            return out
        if metric.sampled is not None:
            return out._replace(prefix=parts[0].value(metric)[0])
        (value, n), *others = (part.value(metric) for part in parts)
        half, double = [other for other, _ in others] or (math.nan, math.nan)
        return out._replace(value=value, half=half, double=double, n=n)


def _ask(scorer: Scorer, whole: _Parts, out: OfGroup) -> None:
    """The numbers of a scorer of texts, which are known by name only when it has given them."""
    taken = whole.taken(content=True)
    if taken is None:
        return
    found = scorer.found(list(taken.texts))
    out.faults.extend(found.faults)
    out.own.extend((scorer.name, name, number, len(taken)) for name, number in found.numbers.items())


class _Parts:
    """A group with those of its answers that group metrics are taken over."""

    def __init__(self, group: Group, k: int) -> None:
        self._group = group
        self._k = k
        self._first: dict[bool, Group | None] = {}

    def value(self, metric: Metric) -> tuple[float, int]:
        """The metric, NaN where undefined, and the answers that it rests on."""
        if metric.level == "response":
            found = values(metric, self._group)
            return mean(found), int(np.count_nonzero(~np.isnan(found)))
        taken = self.taken(metric.content)
        if taken is None:
            return math.nan, 0
        value = float(metric.of(taken))
        return value, 0 if math.isnan(value) else self._k

    def sampled(self, metric: Metric, sample: Sample) -> tuple[float, int]:
        """The metric on a sample, NaN where undefined, and the answers that it is drawn from: all for one of answers, else k."""
        group = self._group.with_text if metric.level == "response" else self.taken(content=True)
        if metric.sampled is None or group is None or not len(group):
            return math.nan, 0
        value = metric.sampled(group, sample)
        return value, 0 if math.isnan(value) else len(group)

    def taken(self, content: bool) -> Group | None:
        """The answers that group metrics are taken over; None where there are too few."""
        if content not in self._first:
            group = self._group.with_text if content else self._group
            self._first[content] = group.take(np.arange(self._k)) if self._k and len(group) >= self._k else None
        return self._first[content]
