"""A probe of an endpoint, or of what an experiment wants of one: which subject, asked how, and where its evidence goes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from evalkit.client.connection import Access, bearer_key, opened
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment, check
from evalkit.experiment.parameters import DEFAULT, ENDPOINT, PER_REPLICATE
from evalkit.experiment.several import endpoint_name
from evalkit.probe import findings, survey
from evalkit.probe.findings import KNOWN, Finding, Probe
from evalkit.probe.meaning.corners import CALLS_OF_CORNERS, FIXED, corners_of
from evalkit.probe.meaning.survey import MOST_CALLS_OF_MEANING
from evalkit.store.folder import PROBE_FILE, make, now_text, replace
from evalkit.store.meanings import Meaning

Depth = Literal["usual", "meaning"]


@dataclass(frozen=True)
class Subject:
    """What a probe is of: an endpoint, and the levels that an experiment wants there; `name` is None for an endpoint alone."""

    endpoint: Endpoint
    swept: Mapping[str, Sequence[Any]]
    name: str | None
    corners: Sequence[Mapping[str, Any]] = FIXED
    """What to send at the corners of its levels, where a probe of meaning measures how far it is from the definition."""

    def names(self) -> list[str]:
        """The parameters that are probed."""
        return [*KNOWN, *(name for name in self.swept if name not in KNOWN and name != "model")]


def subject_of_probe(experiment: Experiment | None, base_url: str | None, model: str | None, api_key_env: str | None) -> Subject:
    """The subject that these arguments name. Raises `ExperimentError` where they name none, or two."""
    if experiment is not None:
        if base_url or model or api_key_env:
            raise ExperimentError("an experiment and --base-url, --model or --api-key-env: give one or the other")
        endpoint, *others = experiment.asked
        if others:
            one, names = endpoint_name(endpoint), ", ".join(map(endpoint_name, experiment.asked))
            raise ExperimentError(f"probe: asks one endpoint, and the experiment has {names}; say which: --set 'parameters.{ENDPOINT}=[{one}]'")
        swept = {name: [level for level in levels if level != DEFAULT] for name, levels in experiment.parameters.items() if name != ENDPOINT}
        fixed = {name: [value] for name, value in {**experiment.request, **endpoint.extra_body}.items() if value != PER_REPLICATE}
        levels_of = {name: levels for name, levels in experiment.parameters.items() if name != ENDPOINT}
        corners = corners_of({**levels_of, **{name: values for name, values in fixed.items() if name not in levels_of}})
        return Subject(endpoint, swept | fixed, experiment.name, corners)
    if not base_url or not model:
        raise ExperimentError("nothing to probe: give an experiment file, or --base-url URL")
    data = {"name": "probe", "endpoint": {"base_url": base_url, "model": model, "api_key_env": api_key_env}, "prompts": [{"id": "a", "user": "a"}]}
    return Subject(check(data, "the command line").endpoint, {}, None)


def only_model(base_url: str, api_key_env: str | None) -> str:
    """The one model that an endpoint lists; asks it. Raises `ExperimentError` where it lists none or several."""
    subject = subject_of_probe(None, base_url, "unknown", api_key_env)

    async def go(access: Access) -> frozenset[str] | None:
        async with access.client(subject.endpoint) as client:
            return await client.models()

    with opened(subject.endpoint) as url:
        listed = asyncio.run(go(Access(url(), bearer_key(subject.endpoint), 1)))
    name = findings.only_model(listed or ())
    if name is None:
        found = f"it lists {', '.join(sorted(listed)[:10])}" if listed else "it lists none"
        raise ExperimentError(f"which model of {base_url}? {found}; give --model M")
    return name


def probe(
    subject: Subject,
    place: Path | None = None,
    *,
    depth: Depth = "usual",
    most_calls: int | None = None,
    corners: bool = False,
    at_once: int = 8,
    seed: int = 1,
    progress: Callable[[Finding | Meaning], None] = lambda _: None,
) -> tuple[Probe, Path | None]:
    """Probe an endpoint; the result, and where it is written: to `place`, else into the experiment's results folder, else nowhere.

    Each finding is told to `progress` when it is made. What stands there of the same endpoint and model is kept: what was found at the
    other depth, and what this probe does not come to.

    Args:
        depth: ``usual`` finds out which parameters are honoured, ``meaning`` what they mean.
        most_calls: None for as many as the depth usually has, `MOST_CALLS` or `MOST_CALLS_OF_MEANING`; with `corners` `CALLS_OF_CORNERS` more.
        corners: of a probe of meaning: where no log probabilities are given, measure the distance from the definition by many answers.

    Raises:
        EndpointError: the endpoint cannot be used.
        RecordError: the result cannot be written.
    """
    if place is None and subject.name is not None:
        place = Path("results") / subject.name / PROBE_FILE
    key = bearer_key(subject.endpoint)
    earlier = _standing(place)

    async def go(access: Access) -> Probe:
        asked: dict[str, Any] = {
            "base_url": subject.endpoint.base_url,
            "model": subject.endpoint.model,
            "at": now_text(),
            "rng": np.random.default_rng(seed),
            "at_once": at_once,
            "progress": progress,
        }
        async with access.client(subject.endpoint) as client:
            if depth == "meaning":
                most = most_calls or MOST_CALLS_OF_MEANING + CALLS_OF_CORNERS * corners
                return await survey.probe_meaning(client, most_calls=most, corners=subject.corners, sampled=corners, **asked)
            return await survey.probe(client, most_calls=most_calls or survey.MOST_CALLS, swept=subject.swept, **asked)

    with opened(subject.endpoint) as base_url:
        result = asyncio.run(go(Access(base_url(), key, at_once)))
    if earlier is not None:
        before, told = earlier
        result = findings.with_earlier(result, before)
        result = msgspec.structs.replace(result, notes=[*result.notes, *told])
    if place is not None:
        if place.parent.name and not place.parent.exists():
            make(place.parent)
        replace(place, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result, place


def _standing(place: Path | None) -> tuple[Probe, list[str]] | None:
    """The probe that stands at a place, and what is to be told of it; None where none does that can be read, which a new one replaces."""
    if place is None or not place.exists():
        return None
    try:
        return findings.read_probe(place)
    except RecordError:
        return None


def objections(result: Probe, subject: Subject) -> list[str]:
    """What speaks against sweeping the subject's levels on this endpoint, a sentence each."""
    return findings.objections(result, subject.swept)
