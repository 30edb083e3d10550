"""What a run is measured by: the metrics there are, and the experiment's own checks, scorers, judges and embeddings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.judges import Judge
from evalkit.metrics import EMBEDDED, METRICS, RECORDED, Metric, checks, named
from evalkit.metrics import custom as scorers
from evalkit.metrics.custom import Scorer

MEASURED = (*METRICS, *RECORDED)
"""What a run is scored by where nothing else is asked for."""


@dataclass(frozen=True)
class Measures:
    """Metrics of the answers, with those of checks and embeddings among them, and what else gives numbers."""

    metrics: tuple[Metric, ...] = MEASURED
    scorers: tuple[Scorer, ...] = ()
    judges: tuple[Judge, ...] = ()
    embeddings: Endpoint | None = None


def measures(experiment: Experiment, names: Sequence[str] = ()) -> Measures:
    """All that `experiment` is measured by, or what `names` says of it, ``default`` for the default metrics.

    Raises:
        ExperimentError: there is nothing of a name, or a scorer cannot be imported.
        MissingExtraError: a check needs a package that is not installed.
    """
    own = {one.name: one for one in checks.metrics(experiment.checks, any(prompt.expect is not None for prompt in experiment.prompts))}
    embedded = {one.name: one for one in EMBEDDED} if experiment.embeddings is not None else {}
    judges = {one.name: one for one in experiment.judges}
    functions = {scorers.name_of(spec) or "": spec for spec in experiment.scorers}
    if not names:
        found = (*MEASURED, *own.values(), *embedded.values())
        return Measures(found, tuple(map(scorers.load, experiment.scorers)), experiment.judges, experiment.embeddings)
    metrics: dict[str, Metric] = {}
    for name in names:
        if name in own or name in embedded:
            metrics[name] = own.get(name) or embedded[name]
        elif any(name == one.name for one in EMBEDDED):
            raise ExperimentError(f"metrics: {name} needs an endpoint for embeddings; add 'embeddings:' to the experiment and sweep it again")
        elif name not in judges and name not in functions:
            try:
                metrics |= {one.name: one for one in named([name])}
            except ValueError as fault:
                also = ", ".join([*own, *functions, *judges])
                raise ExperimentError(f"metrics: {fault}{f'; of this experiment itself: {also}' if also else ''}") from None
    return Measures(
        tuple(metrics.values()),
        tuple(scorers.load(spec) for name, spec in functions.items() if name in names),
        tuple(one for name, one in judges.items() if name in names),
        experiment.embeddings if metrics.keys() & embedded.keys() else None,
    )


def without(found: Measures, names: Collection[str]) -> Measures:
    """The same without the metrics of these names; without any of embeddings, their endpoint is not asked."""
    metrics = tuple(one for one in found.metrics if one.name not in names)
    return replace(found, metrics=metrics, embeddings=found.embeddings if any(one in metrics for one in EMBEDDED) else None)
