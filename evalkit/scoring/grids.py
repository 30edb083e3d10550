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
from evalkit.plan.requests import Plan
from evalkit.scoring.basis import Basis
from evalkit.scoring.gather import metric_of
from evalkit.scoring.prefix import beginnings

Grid = NDArray[np.float64]
"""Shape (cells, prompts)."""

Vectors = Callable[[Sequence[str]], Floats]
"""Gives the embeddings of k texts, shape (k, d), NaN in the row of a text without one."""


class Score(NamedTuple):
    """One metric's values over an experiment.

    Attributes:
        value: what cells are compared by, NaN where undefined; shape (cells, prompts). Of a metric that longer answers alone move, it is taken on
            the first tokens of each answer (`Prefix`).
        value_full: on the whole answers.
        n_texts: answers there are.
        n_eligible: answers that the value rests on.
        value_half: as `value`, on half of the prefix; None where the metric is taken on whole answers.
        value_double: on twice the prefix.
    """

    value: Grid
    value_full: Grid
    n_texts: NDArray[np.int64]
    n_eligible: NDArray[np.int64]
    value_half: Grid | None = None
    value_double: Grid | None = None


class Measured:
    """Every metric of every group, filled in group by group."""

    def __init__(self, plan: Plan, on: Basis, metrics: Sequence[Metric], *, beside: bool) -> None:
        self._plan, self._on, self._beside = plan, on, beside
        self._shape = (len(plan.cells), len(plan.experiment.prompts))
        self._n_texts = np.zeros(self._shape, dtype=np.int64)
        self.metrics: list[Metric] = []
        self.scores: dict[str, Score] = {}
        for metric in metrics:
            self._add(metric)

    def _add(self, metric: Metric) -> Score:
        grids = [np.full(self._shape, math.nan) for _ in range(4)]
        half, double = (grids[2], grids[3]) if metric.confounded else (None, None)
        self.metrics.append(metric)
        self.scores[metric.name] = Score(grids[0], grids[1], self._n_texts, np.zeros(self._shape, dtype=np.int64), half, double)
        return self.scores[metric.name]

    def take(
        self,
        groups: dict[tuple[int, int], Group],
        scorers: Sequence[Scorer],
        vectors: Vectors | None,
        complaints: list[str],
    ) -> None:
        """Measure the groups, and take them out of `groups`, so that what a group has computed goes with it."""
        on, metrics = self._on, tuple(self.metrics)
        left_out = on.prefix.left_out if on.prefix else ()
        lengths: tuple[int, ...] = beginnings(on.prefix)[: 3 if self._beside else 1] if on.prefix else ()
        for where in sorted(groups):
            group = groups.pop(where)
            if vectors is not None:
                group = replace(group, vectors=vectors(group.sources))
            whole = _Parts(group, on.k)
            parts = []
            if where[0] not in left_out:
                parts = [_Parts(group.take(np.flatnonzero(group.lengths >= at), at), its) for at, its in zip(lengths, on.ks, strict=False)]
            self._n_texts[where] = len(group)
            for metric in metrics:
                one = self.scores[metric.name]
                if self._beside or not metric.confounded:
                    one.value_full[where], n = whole.value(metric)
                if not metric.confounded:
                    one.value[where], one.n_eligible[where] = one.value_full[where], n
                    continue
                for grid, part in zip((one.value, one.value_half, one.value_double), parts, strict=False):
                    if grid is not None and lengths[0] >= metric.shortest:
                        grid[where], n = part.value(metric)
                        if grid is one.value:
                            one.n_eligible[where] = n
            for scorer in scorers:
                self._ask(scorer, whole, where, complaints)

    def _ask(self, scorer: Scorer, whole: _Parts, where: tuple[int, int], complaints: list[str]) -> None:
        """The numbers of a scorer of texts, which are known by name only when it has given them."""
        taken = whole.taken(content=True)
        if taken is None:
            return
        found = scorer.found(list(taken.texts))
        complaints += [f"{fault} (prompt {self._plan.experiment.prompts[where[1]].id}, cell {where[0]})" for fault in found.faults]
        for name, number in found.numbers.items():
            one = self.scores.get(name) or self._add(metric_of(name, "group", scorer.better, lambda _: math.nan))
            one.value[where] = one.value_full[where] = number
            one.n_eligible[where] = self._on.k


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

    def taken(self, content: bool) -> Group | None:
        """The answers that group metrics are taken over; None where there are too few."""
        if content not in self._first:
            group = self._group.with_text if content else self._group
            self._first[content] = group.take(np.arange(self._k)) if self._k and len(group) >= self._k else None
        return self._first[content]
