"""A first look at a sweep's answers while they come in: the mean of one metric for each level of the first parameter."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import Preference, wishes
from evalkit.experiment.parameters import level_text, same_level
from evalkit.metrics import METRICS, Metric, tokenise, values
from evalkit.scoring.gather import scored_answer
from evalkit.stats.intervals import t_interval
from evalkit.store.records import Completion, Record

_MOST_ANSWERS = 400
"""Of a level; more would move a mean by less than is shown, and cost as much each."""


class Seen(NamedTuple):
    """What there is of one level: the mean over prompts with its 95 % interval (None for one prompt), and answers looked at."""

    level: str
    mean: float
    low: float | None
    high: float | None
    answers: int


class Glimpse:
    """Takes a sweep's records as they come. What it tells is for the eyes of somebody who waits: the analysis is made of all answers afterwards.

    Args:
        metric: of those that `deciding` gives; the first where None.

    Attributes:
        parameter: the first one of the experiment that has several levels; None where none has, and then nothing is seen.
        metric: what is looked at.
    """

    def __init__(self, experiment: Experiment, metric: Metric | None = None) -> None:
        self._experiment = experiment
        self.parameter = next((name for name, levels in experiment.parameters.items() if len(levels) > 1), None)
        self.metric = metric or deciding(experiment)[0]
        levels = experiment.parameters[self.parameter] if self.parameter is not None else ()
        self._levels = list(levels)
        self._found: list[defaultdict[str, list[float]]] = [defaultdict(list) for _ in self._levels]
        self._answers = [0] * len(self._levels)

    def take(self, record: Record) -> None:
        """Look at one record; those without an answer, and those beside the sweep's own, tell nothing."""
        if self.parameter is None or record.role != "sweep" or not isinstance(record.outcome, Completion):
            return
        level = record.cell.get(self.parameter)
        at = self._place(level)
        if at is None or self._answers[at] >= _MOST_ANSWERS:
            return
        answer = scored_answer(record.outcome, self._experiment.endpoint_of(record.cell, record.model), record.request)
        found = float(values(self.metric, tokenise([answer.text], truncated=[answer.truncated], completion_tokens=[answer.completion_tokens]))[0])
        if not math.isnan(found):
            self._answers[at] += 1
            self._found[at][record.prompt_id].append(found)

    def _place(self, level: Any) -> int | None:
        return next((at for at, one in enumerate(self._levels) if same_level(one, level)), None)

    def wants(self, cell: Mapping[str, Any]) -> bool:
        """Whether a further answer of a setting would tell anything."""
        if self.parameter is None:
            return False
        at = self._place(cell.get(self.parameter))
        return at is not None and self._answers[at] < _MOST_ANSWERS

    def seen(self) -> list[Seen]:
        """A line a level, in the experiment's order; levels without an answer are left out."""
        out = []
        for level, found, answers in zip(self._levels, self._found, self._answers, strict=True):
            if found:
                mean, _, low, high, prompts = t_interval([statistics.fmean(one) for one in found.values()])
                low_end, high_end = (None, None) if prompts == 1 else (max(low, self.metric.low), min(high, self.metric.high))
                out.append(Seen(level_text(level) or "left out", mean, low_end, high_end, answers))
        return out


def deciding(experiment: Experiment, *, bounded: bool = False) -> list[Metric]:
    """The metrics of an answer by itself that `choose:` of an experiment weighs, the weightiest first; the words of an answer where there is none.

    Args:
        bounded: those too that it sets bounds to, after the others.
    """
    every = wishes(experiment.choose)
    wished = {name: one for name, one in every.items() if isinstance(one, Preference)}
    known = {one.name: one for one in METRICS}
    order = [*sorted(wished, key=lambda name: -wished[name].weight), *(name for name in every if bounded and name not in wished)]
    alone = [known[name] for name in order if name in known and known[name].level == "response"]
    return alone or [known["length_words"]]
