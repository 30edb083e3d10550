"""Every metric of every group, as grids of cells and prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics import Metric
from evalkit.metrics.custom import Scorer
from evalkit.plan.cells import cell_text
from evalkit.plan.requests import Plan
from evalkit.scoring.complaints import Complaints
from evalkit.scoring.gather import metric_of
from evalkit.scoring.groups import Groups
from evalkit.scoring.measuring import Basis, Measuring, OfGroup, Vectors

Grid = NDArray[np.float64]
"""Shape (cells, prompts)."""


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
        measuring = Measuring(self._on, metrics, beside=self._beside, sizes=self._sizes)
        told: dict[tuple[int, int], OfGroup] = {}
        for where, found in groups.measured(measuring, scorers, vectors, jobs, self._name):
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

    def _fill(self, where: tuple[int, int], metrics: Sequence[Metric], found: OfGroup) -> None:
        """Put the values of a group into the grids."""
        self._n_texts[where] = found.texts
        for metric, its in zip(metrics, found.values, strict=True):
            one = self.scores[metric.name]
            for grid, value in zip((one.value, one.value_full, one.value_half, one.value_double, one.value_prefix), its[:5], strict=True):
                if grid is not None:
                    grid[where] = value
            one.n_eligible[where] = its.n

    def _fill_own(self, where: tuple[int, int], found: OfGroup, scorers: Sequence[Scorer], complaints: Complaints) -> None:
        """Put the numbers of scorers of texts into the grids, and tell what they could not do."""
        for fault in found.faults:
            complaints.add(fault, self._name(where))
        better = {scorer.name: scorer.better for scorer in scorers}
        for scorer, name, number, n in found.own:
            one = self.scores.get(name) or self._add(metric_of(name, "group", better[scorer], lambda _: math.nan))
            one.value[where] = one.value_full[where] = number
            one.n_eligible[where] = n

    def _of_as_many(self, score: Score) -> None:
        """Numbers of answers are made those of as many answers on every prompt: a share of its own k, times the largest."""
        ks = self._on.ks
        scale = np.divide(self._on.k, ks, out=np.ones(len(ks)), where=ks > 0)
        for grid in (score.value, score.value_full, score.value_half, score.value_double, score.value_prefix):
            if grid is not None:
                grid *= scale
