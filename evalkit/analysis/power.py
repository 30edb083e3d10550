"""Before anything is spent: how small an effect this experiment can see, and what a wanted one would take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import Own, metric_names
from evalkit.experiment.margins import margin_of
from evalkit.experiment.problems import unknown
from evalkit.metrics import METRICS, Metric
from evalkit.plan.requests import Plan
from evalkit.scoring.scores import score
from evalkit.stats.power import detectable, prompts_to_detect
from evalkit.store.records import Record
from evalkit.text.numbers import counted

Floats = NDArray[np.float64]

REPLICATES = (1, 2, 4, 8, 16, 32)
_MOST_SWEEPS = 200
_NONE = Own()


class Variances(NamedTuple):
    """Of the difference between two settings.

    Attributes:
        between: ω², the variance over prompts of the true difference.
        within: σ², the variance of one replicate about its prompt's mean in one setting; NaN where the metric is of several replicates
            together, so that more of them make another metric.
        replicates: what `between` was seen at, for a metric of several replicates together; else 0.
        wanted: the difference to plan for where the user names none.
    """

    between: float
    within: float
    replicates: int
    wanted: float

    def sd(self, replicates: int) -> float:
        """Standard deviation over prompts of the difference between two settings with so many replicates each."""
        return math.sqrt(self.between + (0.0 if math.isnan(self.within) else 2 * self.within / replicates))


class Outlook(NamedTuple):
    """What an experiment can see of one metric.

    Attributes:
        detectable: smallest difference of one setting from another that is found with 80 % power.
        wanted: the difference planned for.
        prompts: (replicates, prompts) that find it; None where more than ten million would be needed.
        fixed: more replicates would make another metric, so only prompts are counted.
    """

    metric: str
    detectable: float
    wanted: float
    prompts: list[tuple[int, int | None]]
    fixed: bool


def of_pilot(experiment: Experiment, records: Callable[[], Iterable[Record]], own: Sequence[Metric] = ()) -> dict[str, Variances]:
    """Variances of each metric in a pilot run that has two cells and two prompts at least; metrics it does not determine are left out.

    σ² is seen between the first half of the replicates and the second, which differ by nothing else.

    Args:
        own: metrics beside evalkit's usual ones, which come first.
    """
    plan = Plan(experiment)
    half = experiment.replicates // 2
    every = (*own, *METRICS)
    scores = score(plan, records(), every)
    of_answers = [metric for metric in every if metric.level == "response"]
    halves = [score(plan, (one for one in records() if (one.replicate < half) == first), of_answers) for first in (True, False)] if half else []
    out = {}
    for metric in every:
        values = scores.by_metric[metric.name].value
        pooled = residual_variance(values)
        if math.isnan(pooled):
            continue
        wanted = margin_of(metric, float(np.nanmean(values)), experiment.margins).value
        if metric.level == "group":
            out[metric.name] = Variances(2 * pooled, math.nan, experiment.replicates, wanted)
            continue
        within = 0.0
        if halves:
            gap = halves[0].by_metric[metric.name].value - halves[1].by_metric[metric.name].value
            gap = gap[~np.isnan(gap)]
            # The halves have h and k - h replicates each.
            within = float(np.mean(gap**2)) / (1 / half + 1 / (experiment.replicates - half)) if len(gap) else 0.0
        out[metric.name] = Variances(max(2 * (pooled - within / experiment.replicates), 0.0), within, 0, wanted)
    return out


def residual_variance(values: Floats) -> float:
    """Variance about the effects of cells and prompts, which least squares finds where some values are missing; NaN below two of either.

    A value that is the only one of its cell or prompt says nothing of how they scatter, and counts for nothing.
    """
    known = ~np.isnan(values)
    known &= (known.sum(axis=1) > 1)[:, None] & (known.sum(axis=0) > 1)[None, :]
    cells, prompts = known.any(axis=1), known.any(axis=0)
    left = int(known.sum()) - int(cells.sum()) - int(prompts.sum()) + 1
    if left < 1 or cells.sum() < 2 or prompts.sum() < 2:
        return math.nan
    rest = np.where(known, values, 0.0)
    by_cell, by_prompt = np.maximum(known.sum(axis=1), 1)[:, None], np.maximum(known.sum(axis=0), 1)[None, :]
    for _ in range(_MOST_SWEEPS):  # means of cells, then of prompts, until nothing is left in either: the least squares of both
        means = rest.sum(axis=1, keepdims=True) / by_cell
        rest = np.where(known, rest - means, 0.0)
        others = rest.sum(axis=0, keepdims=True) / by_prompt
        rest = np.where(known, rest - others, 0.0)
        if np.abs(others).max() < 1e-12 * max(1.0, np.abs(means).max()):
            break
    return float((rest**2).sum() / left)


def given(texts: Sequence[str], replicates: int, own: Own = _NONE) -> dict[str, Variances]:
    """Variances as the user gives them, each ``METRIC=BETWEEN,WITHIN``, of metrics of an experiment's `own` too. Raises `ExperimentError`."""
    out = {}
    for text in texts:
        name, values = _named(text, "variance", "distinct_2=0.001,0.004", own)
        if len(values) != 2 or any(value < 0 for value in values):
            raise ExperimentError(f"variance {name}: expected two numbers of at least 0, between prompts and within: {name}=0.001,0.004")
        group = any(metric.name == name and metric.level == "group" for metric in METRICS)
        out[name] = Variances(values[0], math.nan if group else values[1], replicates if group else 0, math.nan)
    return out


def wanted(texts: Sequence[str], own: Own = _NONE) -> dict[str, float]:
    """Differences to plan for, each ``METRIC=DIFFERENCE``, of metrics of an experiment's `own` too. Raises `ExperimentError`."""
    out = {}
    for text in texts:
        name, values = _named(text, "effect", "distinct_2=0.05", own)
        if len(values) != 1 or values[0] <= 0:
            raise ExperimentError(f"effect {name}: expected one number above 0: {name}=0.05")
        out[name] = values[0]
    return out


def _named(text: str, option: str, example: str, own: Own) -> tuple[str, list[float]]:
    name, equals, numbers = text.partition("=")
    known = [*metric_names(), *own.names()]
    if not equals or (name not in known and not own.has(name)):
        raise ExperimentError(f"{option} {name}: {unknown('metric', name, known) if equals else 'expected METRIC=NUMBER'}, like {example}")
    try:
        values = [float(one) for one in numbers.split(",")]
    except ValueError:
        values = [math.nan]
    if not all(map(math.isfinite, values)):
        raise ExperimentError(f"{option} {name}: found {numbers!r}; expected numbers, like {example}")
    return name, values


def outlook(experiment: Experiment, variances: Mapping[str, Variances], effects: Mapping[str, float]) -> list[Outlook]:
    """What `experiment` can see of each metric, and what the wanted differences would take."""
    out = []
    for name, seen in variances.items():
        sd = seen.sd(experiment.replicates)
        aim = effects.get(name, seen.wanted)
        counts = (experiment.replicates,) if math.isnan(seen.within) else REPLICATES
        prompts = [(k, _whole(prompts_to_detect(aim, seen.sd(k)))) for k in counts] if aim > 0 and sd else []
        out.append(Outlook(name, detectable(len(experiment.prompts), sd), aim, prompts, math.isnan(seen.within)))
    return out


def _whole(prompts: float) -> int | None:
    return None if math.isinf(prompts) else math.ceil(prompts)


def told(experiment: Experiment, rows: Sequence[Outlook]) -> list[str]:
    """The outlook as lines of text that fit into 80 columns."""
    count, k = len(experiment.prompts), experiment.replicates
    lines = [f"With {counted(count, 'prompt')} and {counted(k, 'replicate')}, a setting is told from another (80 % power, 5 % level) by:"]
    for row in rows:
        seen = "not at all: it needs two prompts" if math.isnan(row.detectable) else f"{row.detectable:.3g}"
        seen = seen if row.detectable else "unknown: it did not vary"
        lines.append(f"  {row.metric:<22} {seen}")
    for row in rows:
        if row.prompts:
            ways = ", ".join(f"{'over 10 million' if prompts is None else f'{prompts:,}'} × {k}" for k, prompts in row.prompts)
            lines.append(f"{row.metric}: a difference of {row.wanted:.3g} takes prompts × replicates: {ways}")
    if any(row.fixed for row in rows):
        lines.append("Of metrics over the replicates together only prompts are counted: with more replicates they are other metrics.")
    return lines
