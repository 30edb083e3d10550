"""From records to scores: one value for each metric, in each cell, on each prompt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics import UAX29, Group, Metric, Tokenizer, mean, values
from evalkit.metrics.custom import Scorer
from evalkit.metrics.group import Floats
from evalkit.plan.requests import Plan
from evalkit.scoring.gather import Column, Gathered, cut, gather, metric_of
from evalkit.scoring.metric_set import MEASURED
from evalkit.scoring.prefix import Basis, Prefix, beginnings, common_k, common_prefix, k_of
from evalkit.store.records import Record
from evalkit.text.notes import Note

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


class Lengths(NamedTuple):
    """How long the answers of a cell are, as sent, and which were cut off; both of shape (answers,). Those of unknown ending are left out."""

    lengths: NDArray[np.float64]
    truncated: NDArray[np.bool]


@dataclass(frozen=True)
class Scores:
    """All scores of a run.

    Attributes:
        k: replicates that group metrics were taken over, alike in every group; 0 where nine tenths of the groups have no two.
        groups_left_out: groups with fewer than `k` answers that are not empty, left out of group metrics.
        failures: planned requests whose last outcome is a failure, by kind.
        missing: planned requests without any outcome.
        unmet: completions that lack something that was asked for, by what it is.
        without_effect: parameters whose change changed no answer, with the number of pairs of answers that show it.
        outside: requests of a sweep in the file that this plan does not ask for.
        metrics: what was measured, in order.
        prefix: what metrics biased by length are compared on; None where too few answers have ten tokens, and they are not compared.
        lengths: of each cell's answers that are not empty, in `length_unit`.
        length_unit: ``length_tokens`` where the endpoint counts every answer's tokens, else ``length_words``.
        complaints: what scorers could not do, a sentence for each record or group.
        uncounted: answers whose tokens the endpoint does not count one by one.
        unpriced: answers whose cost is not known though prices are.
        noticed: what the records show of the endpoint that bears on any decision.
    """

    plan: Plan
    by_metric: dict[str, Score]
    tokenizer: str
    k: int
    groups_left_out: int
    completions: int
    failures: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    outside: int = 0
    unmet: Counter[str] = field(default_factory=Counter)
    without_effect: dict[str, int] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    prefix: Prefix | None = None
    lengths: tuple[Lengths, ...] = ()
    length_unit: str = "length_tokens"
    uncounted: int = 0
    unpriced: int = 0
    complaints: tuple[str, ...] = ()
    noticed: tuple[Note, ...] = ()

    def compared(self, metric: Metric) -> bool:
        """Whether `value` compares cells fairly: on whole answers, or on a common prefix that is long enough for the metric."""
        return not metric.confounded or (self.prefix is not None and self.prefix.tokens >= metric.shortest)


def score(
    plan: Plan,
    records: Iterable[Record],
    metrics: Sequence[Metric] = MEASURED,
    tokenizer: Tokenizer = UAX29,
    prefix: int | None = None,
    scorers: Sequence[Scorer] = (),
    columns: Sequence[Column] = (),
    vectors: Vectors | None = None,
) -> Scores:
    """Score the completions that `plan` asks for; what else stands in the records is counted, not scored.

    Args:
        prefix: compare on the first so many tokens, as where two runs are compared; chosen from `PREFIXES` where None.
        scorers: measured beside `metrics`, under their own names.
        columns: what else is known of each answer, as metrics beside them.
        vectors: for metrics of embeddings.
    """
    gathered = cut(gather(plan, records, scorers, columns), tokenizer)
    return scored(gathered, basis([gathered], prefix)[0], metrics, vectors)


def basis(runs: Sequence[Gathered], fixed: int | None = None) -> list[Basis]:
    """What all `runs` can be compared on together, as seen from each: one k and one length of the prefix, the cells of each counted by itself.

    Args:
        fixed: the length of the prefix; chosen from `evalkit.scoring.prefix.PREFIXES` where None.
    """
    starts = [0, *accumulate(len(run.plan.cells) for run in runs)]
    joined = {(start + cell, prompt): group for start, run in zip(starts, runs, strict=False) for (cell, prompt), group in run.groups.items()}
    k = common_k([int(np.count_nonzero(group.lengths)) for group in joined.values()])
    prefix = common_prefix(joined, starts[-1], fixed)
    if prefix is None:
        return [Basis(k, None) for _ in runs]
    ks = tuple(k_of(joined, tokens, prefix.left_out) for tokens in beginnings(prefix))
    return [
        Basis(
            k,
            prefix._replace(eligible=prefix.eligible[first:end], left_out=tuple(cell - first for cell in prefix.left_out if first <= cell < end)),
            ks,
        )
        for first, end in pairwise(starts)
    ]


def scored(gathered: Gathered, on: Basis, metrics: Sequence[Metric] = MEASURED, vectors: Vectors | None = None, *, beside: bool = True) -> Scores:
    """Every metric of a run, on the basis that `basis` found.

    Args:
        vectors: as in `score`.
        beside: take also what stands beside a value and is never compared: whole answers, half of the prefix and twice the prefix.
    """
    groups, plan = gathered.groups, gathered.plan
    sizes = [int(np.count_nonzero(group.lengths)) for group in groups.values()]
    lengths, unit = _lengths(groups, len(plan.cells))
    uncounted = sum(int(np.isnan(group.completion_tokens).sum()) for group in groups.values())
    unpriced = sum(int(np.isnan(group.recorded["cost"]).sum()) for group in groups.values()) if plan.experiment.endpoint.prices else 0
    measured = _Measured(plan, on, (*metrics, *gathered.own.values()), beside=beside)
    measured.take(groups, [one for one in gathered.scorers if one.takes == "texts"], vectors, gathered.complaints)
    return Scores(
        plan=plan,
        by_metric=measured.scores,
        tokenizer=gathered.tokenizer,
        k=on.k,
        groups_left_out=sum(size < on.k for size in sizes),
        completions=gathered.completions,
        failures=gathered.failures,
        missing=gathered.missing,
        outside=gathered.outside,
        unmet=gathered.unmet,
        without_effect=gathered.without_effect,
        metrics=tuple(measured.metrics),
        prefix=on.prefix,
        lengths=lengths,
        length_unit=unit,
        uncounted=uncounted,
        unpriced=unpriced,
        complaints=tuple(gathered.complaints),
        noticed=gathered.noticed,
    )


def _lengths(groups: dict[tuple[int, int], Group], cells: int) -> tuple[tuple[Lengths, ...], str]:
    counted = not any(np.isnan(group.completion_tokens).any() for group in groups.values())
    found: list[list[tuple[float, bool]]] = [[] for _ in range(cells)]
    for (cell, _), group in groups.items():
        sizes = group.completion_tokens if counted else group.words
        sized = zip(sizes, group.truncated, group.lengths, strict=True)
        found[cell] += [(float(size), bool(cut)) for size, cut, any_token in sized if any_token and not np.isnan(cut)]
    each = tuple(Lengths(np.array([size for size, _ in one]), np.array([cut for _, cut in one], dtype=bool)) for one in found)
    return each, "length_tokens" if counted else "length_words"


class _Measured:
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
