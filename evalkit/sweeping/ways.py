"""Which ways of sending go together with an engine."""

from __future__ import annotations

from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import LOCAL, Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import ENDPOINT
from evalkit.experiment.several import endpoint_name
from evalkit.sweeping.options import Options

ENGINES = ("ray",)


def check_engine_name(engine: str | None, address: str | None, workers: int | None) -> None:
    """Raise `ExperimentError` for an engine that is none, and for an address or workers without one."""
    if engine is None:
        for name, given in (("address", address), ("workers", workers)):
            if given is not None:
                raise ExperimentError(f"{name}: is about an engine; give engine ray with it")
    elif engine not in ENGINES:
        raise ExperimentError(f"engine: found {engine!r}; expected ray (left out: this process alone)")


def only_endpoint(experiment: Experiment, way: str) -> Endpoint:
    """The endpoint that is asked; raises `ExperimentError` where there are several, and `way` is about one."""
    one, *others = experiment.asked
    if others:
        names = " and ".join(map(endpoint_name, experiment.asked))
        each = f"--set 'parameters.{ENDPOINT}=[{endpoint_name(one)}]'"
        raise ExperimentError(f"{way}: goes to one endpoint, and {names} are asked; do it for one after the other, with {each}")
    return one


def check_engine(experiment: Experiment, options: Options, way: str) -> None:
    """Raise `ExperimentError` where an engine does not go with how a sweep is sent.

    Args:
        way: ``shard`` or ``batch`` where it goes so.
    """
    check_engine_name(options.engine, options.address, options.workers)
    if options.engine is None:
        return
    if way == "batch":
        raise ExperimentError("engine: batches are sent by one process; take engine out, or sweep without batch")
    if way == "shard":
        raise ExperimentError("engine: does not go with shard: a cluster's workers share one plan already; give one of the two")
    if experiment.search is not None or options.race or options.race_budget is not None:
        raise ExperimentError("engine: a race looks at all answers before it asks on, in one process; take engine out, or sweep the full grid")
    endpoint = only_endpoint(experiment, "engine")
    if len(endpoint.addresses) > 1:
        raise ExperimentError("engine: workers call one address; take engine out, which base_urls do not need, or put a balancer before the servers")
    if options.confirm:
        raise ExperimentError("engine: confirm asks a few requests anew; sweep with the engine first, then with confirm and without it")
    if endpoint.base_url == LOCAL and options.address is not None:
        raise ExperimentError(
            "engine: base_url local is served on this machine, where workers at an address may not reach it; take address out, or give a server's URL"
        )
