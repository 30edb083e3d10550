"""Every metric of every group, as grids of cells and prompts."""

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
from evalkit.plan.cells import cell_text
from evalkit.plan.requests import Plan
from evalkit.scoring.basis import Basis
from evalkit.scoring.complaints import Complaints
from evalkit.scoring.gather import metric_of
from evalkit.scoring.groups import Groups
from evalkit.scoring.prefix import beginnings
from evalkit.scoring.workers import spread

Grid = NDArray[np.float64]
"""Shape (cells, prompts)."""

Vectors = Callable[[Sequence[str]], Floats]
"""Gives the embeddings of k texts, shape (k, d), NaN in the row of a text without one."""


class Score(NamedTuple):
    """One metric's values over an experiment.

    Attributes:
        value: what cells are compared by, NaN where undefined; shape (cells, prompts). Of a metric that longer answers alone move, it is taken on
            a sample of the answers (`evalkit.metrics.rarefaction`), or on the first tokens of each (`Prefix`).
        value_full: on the whole answers.
        n_texts: answers there are.
        n_eligible: answers that the value rests on.
        value_half: as `value`, on half of the sample or prefix; None where the metric is taken on whole answers, and where nobody asked for it.
        value_double: on twice as much, likewise.
        value_prefix: on the first tokens of each answer, of a metric that is compared on samples; None of others.
    """

    value: Grid
    value_full: Grid
    n_texts: NDArray[np.int64]
    n_eligible: NDArray[np.int64]
    value_half: Grid | None = None
    value_double: Grid | None = None
    value_prefix: Grid | None = None


class _Values(NamedTuple):
    """One metric of one group: as the grids of `Score`, and the answers that the value rests on."""

    value: float = math.nan
    full: float = math.nan
    half: float = math.nan
    double: float = math.nan
    prefix: float = math.nan
    n: int = 0


class _OfGroup(NamedTuple):
    """What was found of a group: its texts, the values of each metric, and what scorers gave (whose, its name, its number, of how many answers)."""

    texts: int
    values: list[_Values]
    own: list[tuple[str, str, float, int]]
    faults: list[str]


class Measured:
    """Every metric of every group, filled in group by group."""

    def __init__(self, plan: Plan, on: Basis, metrics: Sequence[Metric], *, beside: bool, sizes: bool) -> None:
        self._plan, self._on, self._beside, self._sizes = plan, on, beside, sizes
        self._shape = (len(plan.cells), len(plan.experiment.prompts))
        self._n_texts = np.zeros(self._shape, dtype=np.int64)
        self.metrics: list[Metric] = []
        self.scores: dict[str, Score] = {}
        for metric in metrics:
            self._add(metric)

    def _add(self, metric: Metric) -> Score:
        value, full, half, double, prefix = (np.full(self._shape, math.nan) for _ in range(5))
        self.metrics.append(metric)
        self.scores[metric.name] = Score(
            value=value,
            value_full=full,
            n_texts=self._n_texts,
            n_eligible=np.zeros(self._shape, dtype=np.int64),
            value_half=half if metric.confounded and self._sizes else None,
            value_double=double if metric.confounded and self._sizes else None,
            value_prefix=prefix if metric.sampled is not None else None,
        )
        return self.scores[metric.name]

    def take(
        self,
        groups: Groups,
        scorers: Sequence[Scorer],
        vectors: Vectors | None,
        complaints: Complaints,
        jobs: int = 1,
    ) -> None:
        """Measure the groups one by one, so that what a group has computed goes with it.

        Args:
            jobs: processes that do it, as `evalkit.scoring.workers.spread` has them.
        """
        metrics = tuple(self.metrics)

        def measured(where: tuple[int, int]) -> _OfGroup:
            group = groups.take(where)
            if vectors is not None:
                group = replace(group, vectors=vectors(group.sources))
            whole = _Parts(group, int(self._on.ks[where[1]]))
            parts = self._beginnings(group, where)
            found = _OfGroup(len(group), [self._measure(metric, where, whole, parts) for metric in metrics], [], [])
            for scorer in scorers:
                self._ask(scorer, whole, found)
            group.let_go()
            return found

        told: dict[tuple[int, int], _OfGroup] = {}
        for where, found in spread(sorted(groups), measured, jobs, self._name):
            self._fill(where, metrics, found)
            if found.own or found.faults:
                told[where] = found
        for where in sorted(told):  # in their order, whoever was first: so are metrics that scorers name
            self._fill_own(where, told[where], scorers, complaints)
        for metric in self.metrics:
            if metric.unit == "answers":
                self._of_as_many(self.scores[metric.name])

    def _name(self, where: tuple[int, int]) -> str:
        return f"prompt {self._plan.experiment.prompts[where[1]].id}, {cell_text(self._plan, where[0])}"

    def _fill(self, where: tuple[int, int], metrics: Sequence[Metric], found: _OfGroup) -> None:
        """Put the values of a group into the grids."""
        self._n_texts[where] = found.texts
        for metric, its in zip(metrics, found.values, strict=True):
            one = self.scores[metric.name]
            for grid, value in zip((one.value, one.value_full, one.value_half, one.value_double, one.value_prefix), its[:5], strict=True):
                if grid is not None:
                    grid[where] = value
            one.n_eligible[where] = its.n

    def _fill_own(self, where: tuple[int, int], found: _OfGroup, scorers: Sequence[Scorer], complaints: Complaints) -> None:
        """Put the numbers of scorers of texts into the grids, and tell what they could not do."""
        for fault in found.faults:
            complaints.add(fault, self._name(where))
        better = {scorer.name: scorer.better for scorer in scorers}
        for scorer, name, number, n in found.own:
            one = self.scores.get(name) or self._add(metric_of(name, "group", better[scorer], lambda _: math.nan))
            one.value[where] = one.value_full[where] = number
            one.n_eligible[where] = n

    def _beginnings(self, group: Group, where: tuple[int, int]) -> list[_Parts]:
        """The first tokens of a group's answers, by the prefix, and half of it and twice where asked for; none where its cell has no prefix."""
        on = self._on
        if on.prefix is None or where[0] in on.prefix.left_out:
            return []
        lengths: tuple[int, ...] = beginnings(on.prefix)[: 3 if self._sizes else 1]
        pairs = zip(lengths, on.ks_there, strict=False)
        return [_Parts(group.take(np.flatnonzero(group.lengths >= at), at), int(ks[where[1]])) for at, ks in pairs]

    def _measure(self, metric: Metric, where: tuple[int, int], whole: _Parts, parts: Sequence[_Parts]) -> _Values:
        full, n = whole.value(metric) if self._beside or not metric.confounded else (math.nan, 0)
        if not metric.confounded:
            return _Values(full, full, n=n)
        out = _Values(full=full)
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

    def _of_as_many(self, score: Score) -> None:
        """Numbers of answers are made those of as many answers on every prompt: a share of its own k, times the largest."""
        ks = self._on.ks
        scale = np.divide(self._on.k, ks, out=np.ones(len(ks)), where=ks > 0)
        for grid in (score.value, score.value_full, score.value_half, score.value_double, score.value_prefix):
            if grid is not None:
                grid *= scale

    def _ask(self, scorer: Scorer, whole: _Parts, out: _OfGroup) -> None:
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
