"""Several endpoints in one experiment: which of them a setting is asked of is swept like a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any

from pydantic import StringConstraints

from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.parameters import ENDPOINT, PER_REPLICATE, same_level
from evalkit.experiment.problems import Path, shown, spelled, unknown

FIRST = object()
"""Stands for ``endpoint`` where several are named: the first of them."""


class NamedEndpoint(Endpoint):
    """One of several endpoints: all that an endpoint has, and a name.

    Attributes:
        name: what the levels of ``parameters.endpoint`` and the named cells call it; no part of what identifies a request.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")]


def endpoint_name(endpoint: Endpoint) -> str:
    """What one of several endpoints is called; empty where it is the only one."""
    return endpoint.name if isinstance(endpoint, NamedEndpoint) else ""


def with_endpoint_levels(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """An experiment's data whose ``endpoints`` are swept, all of them where nothing says which; as they are where there is one endpoint."""
    several = data.get("endpoints")
    if several is None or "endpoint" in data:
        return data
    out = {**data, "endpoint": FIRST}
    names = [one["name"] for one in several if isinstance(one, Mapping) and isinstance(one.get("name"), str)] if isinstance(several, list) else []
    parameters = data.get("parameters", {})
    if names and data.get("cells") is None and isinstance(parameters, Mapping) and ENDPOINT not in parameters:
        out["parameters"] = {ENDPOINT: list(dict.fromkeys(names)), **parameters}
    return out


def faults_of_endpoints(
    several: Sequence[NamedEndpoint] | None, parameters: Mapping[str, Sequence[Any]], cells: Mapping[str, Mapping[str, Any]] | None
) -> Iterator[tuple[Path, str]]:
    """What is wrong with the endpoints as the levels and cells of an experiment name them."""
    levels = parameters.get(ENDPOINT)
    if several is None:
        if levels is not None:
            yield ("parameters", ENDPOINT), "names some of several endpoints, and there is one; list them under 'endpoints', each with a name"
        return
    names = [one.name for one in several]
    yield from ((("endpoints", at, "name"), f"{shown(name)} stands twice; names must differ") for at, name in enumerate(names) if name in names[:at])
    for at, level in enumerate(levels or ()):
        if level not in names and cells is None:
            yield ("parameters", ENDPOINT, at), f"found {shown(level)}; {unknown('endpoint', str(level), names)}"
    for label, cell in (cells or {}).items():
        if cell.get(ENDPOINT) not in names:
            found = f"found {shown(cell[ENDPOINT])}; " if ENDPOINT in cell else "is missing: a setting is asked of one endpoint; "
            yield ("cells", label, ENDPOINT), f"{found}expected one of {', '.join(names)}"
    currencies = {one.prices.currency for one in several if one.prices is not None}
    if len(currencies) > 1:
        yield ("endpoints",), f"prices stand in {' and '.join(sorted(currencies))}, which are not added up; give all in one currency"
    for (_, one), (at, other) in combinations(enumerate(several), 2):
        if _asked_alike(one, other, parameters):
            yield (
                ("endpoints", at),
                f"asks the same as {one.name}: the same model at the same address with the same extra_body, so that their answers could not be told "
                "apart; change one of these, or give it an identity of its own",
            )


def _asked_alike(one: Endpoint, other: Endpoint, parameters: Mapping[str, Any]) -> bool:
    """Whether requests to two endpoints would be identified alike."""
    models = "model" in parameters or one.model == other.model
    return models and one.known_as == other.known_as and same_level(dict(one.extra_body), dict(other.extra_body))


def faults_of_each(
    endpoint: Endpoint, where: Path, parameters: Mapping[str, Any], request: Mapping[str, Any], default: str
) -> Iterator[tuple[Path, str]]:
    """What of an endpoint does not fit what the experiment sends.

    Args:
        where: the path of the endpoint.
        default: the level that leaves a parameter to the endpoint.
    """
    for name in endpoint.extra_body:
        if name in parameters or name in request:
            yield (*where, "extra_body", name), "stands under 'parameters' or 'request' too; keep one of them"
    if endpoint.replicates_per_call > 1 and request.get("seed") == PER_REPLICATE:
        yield (*where, "replicates_per_call"), f"one call has one seed; take out request.seed: {PER_REPLICATE}, or this"
    models = parameters.get("model", ())
    if default in models and endpoint.model in models:
        yield (
            ("parameters", "model"),
            f"default stands for {spelled((*where, 'model'))}, {shown(endpoint.model)}, which is a level too; keep one",
        )


def faults_of_exclude(exclude: Sequence[Mapping[str, Any]], parameters: Mapping[str, Sequence[Any]], design: str) -> Iterator[tuple[Path, str]]:
    """What is wrong with the settings that are not to be asked."""
    if exclude and design not in ("grid", "one_at_a_time"):
        said = "take the cells out themselves" if design == "list" else "it would alias what a fraction keeps apart: sweep the grid"
        yield ("exclude",), f"goes with design: grid and one_at_a_time; {said}"
        return
    for at, one in enumerate(exclude):
        if not one:
            yield ("exclude", at), "holds nothing, and would leave out everything; expected levels, like {temperature: 1.5, top_p: 0.5}"
        for name, level in one.items():
            levels = parameters.get(name)
            if levels is None:
                yield ("exclude", at, name), unknown("swept parameter", name, parameters)
            elif not any(same_level(level, other) for other in levels):
                yield ("exclude", at, name), f"found {shown(level)}; expected one of its levels: {', '.join(map(str, levels))}"
