"""From records to scores: one value for each metric, in each cell, on each prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.engine.processes import Elsewhere
from evalkit.metrics import UAX29, Metric, Tokenizer
from evalkit.metrics.custom import Scorer
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan
from evalkit.scoring.basis import basis
from evalkit.scoring.complaints import Complaint
from evalkit.scoring.gather import Column, Gathered, cut, gather
from evalkit.scoring.grids import Measured, Score
from evalkit.scoring.measuring import Basis, Vectors
from evalkit.scoring.metric_set import MEASURED
from evalkit.scoring.prefix import Prefix
from evalkit.scoring.workers import check_jobs
from evalkit.store.records import Record
from evalkit.text.notes import Note


class Lengths(NamedTuple):
    """How long the answers of a cell are, as sent, and which were cut off; both of shape (answers,). Those of unknown ending are left out."""

    lengths: NDArray[np.float64]
    truncated: NDArray[np.bool]


@dataclass(frozen=True)
class Scores:
    """All scores of a run.

    Attributes:
        k: replicates that group metrics were taken over, alike in every cell, on the prompt where there are most; 0 where no prompt has two.
        groups_left_out: groups with fewer answers that are not empty than their prompt's k, or of a prompt without one, left out of group metrics.
        failures: planned requests whose last outcome is a failure, by kind.
        missing: planned requests without any outcome.
        unmet: completions that lack something that was asked for, by what it is.
        without_effect: parameters whose change changed no answer, with the number of pairs of answers that show it.
        outside: requests of a sweep in the file that this plan does not ask for.
        metrics: what was measured, in order.
        prefix: what metrics biased by length are compared on that have no value on samples; None where too few answers have ten tokens.
        lengths: of each cell's answers that are not empty, in `length_unit`.
        length_unit: ``length_tokens`` where the endpoint counts every answer's tokens, else ``length_words``.
        complaints: what scorers could not do, each fault once, the most frequent first.
        uncounted: answers whose tokens the endpoint does not count one by one.
        unpriced: answers whose cost is not known though prices are.
        noticed: what the records show of the endpoint that bears on any decision.
        ks: `k` of each prompt, 0 where it has none.
        samples: for each prompt the sample that the other metrics biased by length are compared on, None where there is none; no prompt where
            these are compared on the prefix too.
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
    complaints: tuple[Complaint, ...] = ()
    noticed: tuple[Note, ...] = ()
    ks: tuple[int, ...] = ()
    samples: tuple[Sample | None, ...] = ()

    def on(self, metric: Metric) -> Literal["whole", "sample", "prefix"] | None:
        """What `value` is taken on that compares cells fairly; None where nothing does."""
        if not metric.confounded:
            return "whole"
        if metric.sampled is not None and self.samples:
            return None if np.isnan(self.by_metric[metric.name].value).all() else "sample"
        return "prefix" if self.prefix is not None and self.prefix.tokens >= metric.shortest else None

    def compared(self, metric: Metric) -> bool:
        """Whether `value` compares cells fairly."""
        return self.on(metric) is not None


def score(
    plan: Plan,
    records: Iterable[Record],
    metrics: Sequence[Metric] = MEASURED,
    tokenizer: Tokenizer = UAX29,
    prefix: int | None = None,
    scorers: Sequence[Scorer] = (),
    columns: Sequence[Column] = (),
    vectors: Vectors | None = None,
    samples: Sequence[Sample | None] | None = None,
    sizes: bool = False,
    jobs: int = 1,
    there: Elsewhere | None = None,
) -> Scores:
    """Score the completions that `plan` asks for; what else stands in the records is counted, not scored.

    Args:
        prefix: compare on the first so many tokens, as where two runs are compared; chosen from `PREFIXES` where None.
        scorers: measured beside `metrics`, under their own names.
        columns: what else is known of each answer, as metrics beside them.
        vectors: for metrics of embeddings.
        samples: compare on samples as large as these, of other answers to the same prompts; chosen where None.
        sizes, jobs: as in `scored`.
        there: other processes that do the work, on a cluster; `jobs` then counts for nothing.
    """
    check_jobs(jobs)
    gathered = cut(gather(plan, records, scorers, columns), tokenizer, there)
    on = basis([gathered], prefix)[0]
    return scored(gathered, on if samples is None else on._replace(samples=tuple(samples)), metrics, vectors, sizes=sizes, jobs=jobs)


def scored(
    gathered: Gathered,
    on: Basis,
    metrics: Sequence[Metric] = MEASURED,
    vectors: Vectors | None = None,
    *,
    beside: bool = True,
    sizes: bool = False,
    jobs: int = 1,
) -> Scores:
    """Every metric of a run, on the basis that `basis` found.

    Args:
        vectors: as in `score`.
        beside: take also what stands beside a value and is never compared: whole answers.
        sizes: take it also on half of the sample or prefix, and on twice as much, which shows what the size moves; twice the work.
        jobs: processes that do it; no value depends on how many.
    """
    groups, plan = gathered.cut_groups, gathered.plan
    short = [not on.ks[prompt] or int(np.count_nonzero(one)) < on.ks[prompt] for (_, prompt), one in groups.lengths.items()]
    lengths, unit = _lengths(gathered, len(plan.cells))
    uncounted = int(np.isnan(gathered.answers.completion_tokens).sum())
    unpriced = int(np.isnan(gathered.answers.recorded("cost")).sum()) if plan.experiment.priced else 0
    measured = Measured(plan, on, (*metrics, *gathered.own.values()), beside=beside, sizes=sizes)
    measured.take(groups, [one for one in gathered.scorers if one.takes == "texts"], vectors, gathered.complaints, jobs)
    return Scores(
        plan=plan,
        by_metric=measured.scores,
        tokenizer=gathered.tokenizer,
        k=on.k,
        groups_left_out=sum(map(int, short)) if on.k else 0,
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
        complaints=gathered.complaints.told(),
        noticed=gathered.noticed,
        ks=tuple(on.ks.tolist()),
        samples=on.samples,
    )


def _lengths(gathered: Gathered, cells: int) -> tuple[tuple[Lengths, ...], str]:
    groups, answers = gathered.cut_groups, gathered.answers
    counted = not np.isnan(answers.completion_tokens).any()
    found: list[list[tuple[float, bool]]] = [[] for _ in range(cells)]
    for where, lengths in groups.lengths.items():
        known = answers.numbers(where)
        sizes = known.completion_tokens if counted else groups.words[where]
        sized = zip(sizes, known.truncated, lengths, strict=True)
        found[where[0]] += [(float(size), bool(cut)) for size, cut, any_token in sized if any_token and not np.isnan(cut)]
    each = tuple(Lengths(np.array([size for size, _ in one]), np.array([cut for _, cut in one], dtype=bool)) for one in found)
    return each, "length_tokens" if counted else "length_words"
