"""What a run is measured by: the metrics there are, and the experiment's own checks, scorers, judges and embeddings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.judges import Judge
from evalkit.metrics import EMBEDDED, METRICS, RECORDED, Metric, checks, code, custom, length, named
from evalkit.metrics.code import Runs
from evalkit.metrics.custom import Scorer

MEASURED = (*METRICS, *RECORDED)
"""What a run is scored by where nothing else is asked for."""


class RunsCheck(NamedTuple):
    """A check ``runs`` of an experiment: what its numbers are as a metric, and what it runs."""

    metric: Metric
    runs: Runs


@dataclass(frozen=True)
class Measures:
    """Metrics of the answers, with those of checks and embeddings among them, and what else gives numbers."""

    metrics: tuple[Metric, ...] = MEASURED
    scorers: tuple[Scorer, ...] = ()
    judges: tuple[Judge, ...] = ()
    embeddings: Endpoint | None = None
    runs: tuple[RunsCheck, ...] = ()


def measures(experiment: Experiment, names: Sequence[str] = ()) -> Measures:
    """All that `experiment` is measured by, or what `names` says of it, ``default`` for the default metrics.

    Raises:
        ExperimentError: there is nothing of a name, or a scorer cannot be imported.
        MissingExtraError: a check needs a package that is not installed.
    """
    own = checks.metrics(experiment.checks, any(prompt.expect is not None for prompt in experiment.prompts))
    kinds = checks.with_arguments(experiment.checks, any(prompt.expect is not None for prompt in experiment.prompts))
    runs = tuple(
        RunsCheck(one._replace(of=partial(length.recorded, name=one.name)), code.runs(argument))
        for one, (kind, argument) in zip(own, kinds, strict=True)
        if kind == "runs"
    )
    own = tuple(one for one, (kind, _) in zip(own, kinds, strict=True) if kind != "runs")
    embedded = EMBEDDED if experiment.embeddings is not None else ()
    if not names:
        found = (*MEASURED, *own, *embedded)
        return Measures(found, tuple(map(custom.load, experiment.scorers)), experiment.judges, experiment.embeddings, runs)
    functions = {custom.name_of(spec) or "": spec for spec in experiment.scorers}
    beside = (*functions, *(one.name for one in experiment.judges), *(one.metric.name for one in runs))
    metrics = {one.name: one for name in names if name not in beside for one in _metrics_of(name, (*own, *embedded), beside)}
    return Measures(
        tuple(metrics.values()),
        tuple(custom.load(spec) for name, spec in functions.items() if name in names),
        tuple(one for one in experiment.judges if one.name in names),
        experiment.embeddings if any(one.name in metrics for one in embedded) else None,
        tuple(one for one in runs if one.metric.name in names),
    )


def _metrics_of(name: str, own: Sequence[Metric], beside: Sequence[str]) -> Sequence[Metric]:
    """The metrics of a name: one of the experiment's `own`, else of those there are; raises `ExperimentError`."""
    found = [one for one in own if one.name == name]
    if found:
        return found
    if any(name == one.name for one in EMBEDDED):
        raise ExperimentError(f"metrics: {name} needs an endpoint for embeddings; add 'embeddings:' to the experiment and sweep it again")
    try:
        return named([name])
    except ValueError as fault:
        also = ", ".join([*(one.name for one in own if one not in EMBEDDED), *beside])
        raise ExperimentError(f"metrics: {fault}{f'; of this experiment itself: {also}' if also else ''}") from None


def without(found: Measures, names: Collection[str]) -> Measures:
    """The same without the metrics of these names; without any of embeddings, their endpoint is not asked."""
    metrics = tuple(one for one in found.metrics if one.name not in names)
    return replace(found, metrics=metrics, embeddings=found.embeddings if any(one in metrics for one in EMBEDDED) else None)
