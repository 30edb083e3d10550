"""Experiments that are one and the same but for levels, prompts and replicates, put together; and what speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.experiment.parameters import level_key, level_text, same_level

_DECIDING = ("name", "design", "exclude", "request", "seed")
_OF_THE_ENDPOINT = ("base_url", "model", "extra_body")
_FREE = frozenset(("prompts", "parameters", "cells", "replicates", *_DECIDING))
_MOST_SHOWN = 60


def union(experiments: Sequence[tuple[str, Experiment]], tell: Callable[[str], None] = lambda _: None) -> Experiment:
    """The experiment that plans all that `experiments` plan, each with what it is called in messages; the first one's where they are equal.

    Levels, prompts and named cells come in the order in which they first stand, numbers that rise everywhere in rising order. What decides nothing of
    which requests are sent, like ``choose`` and ``margins``, is the first one's.

    Args:
        tell: is given what of the others does not count.

    Raises:
        ExperimentError: they do not fit; with all that differs.
    """
    (first_name, first), *others = experiments
    faults: list[str] = []
    for name, other in others:
        if other != first:
            faults += [f"{name}: {what}; in {first_name} {found}" for what, found in _differences(first, other)]
    if faults:
        raise ExperimentError("\n".join(["these runs are not of one experiment, and are not put together:", *faults]))
    for name, other in others:
        kept = [key for key in _judged(first) | _judged(other) if _judged(first).get(key) != _judged(other).get(key)]
        if kept:
            tell(f"{name}: {', '.join(sorted(kept))} differ from those of {first_name}, which count")
    every = [one for _, one in experiments]
    return first if all(one == first for one in every) else _joined(first, every)


def _joined(first: Experiment, every: Sequence[Experiment]) -> Experiment:
    """The experiment that plans all that `every` one plans, in all else the `first`."""
    data = first.resolved()
    prompts: dict[str, Any] = {}
    for one in every:
        for prompt in one.resolved()["prompts"]:
            prompts.setdefault(prompt["id"], prompt)
    data["prompts"] = list(prompts.values())
    data["replicates"] = max(one.replicates for one in every)
    if first.cells is not None:
        data["cells"] = {name: cell for one in every for name, cell in (one.resolved().get("cells") or {}).items()}
        data.pop("parameters", None)
    else:
        data["parameters"] = {name: _levels([one.parameters[name] for one in every]) for name in first.parameters}
    return check(data, "the runs put together").stored().with_seeds(first.seeds)


def _judged(experiment: Experiment) -> dict[str, Any]:
    """What decides nothing of which requests are sent, nor where they go."""
    whole = experiment.resolved()
    endpoint = {f"{where}.{name}": value for where, one in _endpoints(whole).items() for name, value in one.items() if name not in _OF_THE_ENDPOINT}
    return {name: value for name, value in whole.items() if name not in _FREE and name not in ("endpoint", "endpoints")} | endpoint


def _endpoints(resolved: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The endpoints of an experiment, each by what it is called in messages."""
    if "endpoint" in resolved:
        return {"endpoint": resolved["endpoint"]}
    return {f"endpoints.{one['name']}": {key: value for key, value in one.items() if key != "name"} for one in resolved["endpoints"]}


def _told_apart(experiment: Experiment, resolved: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Of each endpoint what decides which requests are sent."""
    known = [experiment.endpoint] if experiment.endpoints is None else list(experiment.endpoints)
    return {
        where: {key: one.known_as if key == "base_url" else told.get(key) for key in _OF_THE_ENDPOINT}
        for (where, told), one in zip(_endpoints(resolved).items(), known, strict=True)
    }


def _differences(one: Experiment, other: Experiment) -> list[tuple[str, str]]:
    """What `other` has that speaks against it, and what stands there instead in `one`."""
    here, there = one.resolved(), other.resolved()
    out = [(f"{key} is {_shown(there.get(key))}", _shown(here.get(key))) for key in _DECIDING if not _alike(here.get(key), there.get(key))]
    mine, others = _told_apart(one, here), _told_apart(other, there)
    if mine.keys() != others.keys():
        out.append((f"the endpoints are {', '.join(others)}", ", ".join(mine)))
    out += [
        (f"{where}.{key} is {_shown(told.get(key))}", _shown(mine[where].get(key)))
        for where, told in others.items()
        if where in mine
        for key in _OF_THE_ENDPOINT
        if not _alike(mine[where].get(key), told.get(key))
    ]
    if one.seeds != other.seeds:
        out.append((f"seeds of replicates are made in another way ({other.seeds})", one.seeds))
    if list(one.parameters) != list(other.parameters) and set(one.parameters) != set(other.parameters):
        out.append((f"the parameters are {', '.join(other.parameters) or 'none'}", ", ".join(one.parameters) or "none"))
    elif one.design == "fractional" and one.parameters != other.parameters:
        out.append(("a fractional design has other levels", "the two of each parameter make the fraction"))
    return out + _named(here, there)


def _named(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Prompts and settings of one name that are not the same."""
    prompts = {prompt["id"]: prompt for prompt in here["prompts"]}
    out = [
        (f"the prompt {prompt['id']!r} asks something else", "it has other words or fields")
        for prompt in there["prompts"]
        if _asked(prompts.get(prompt["id"], prompt)) != _asked(prompt)
    ]
    cells = here.get("cells") or {}
    for name, cell in (there.get("cells") or {}).items():
        if name in cells and not _alike(cells[name], cell):
            out.append((f"the setting {name!r} is {_shown(cell)}", _shown(cells[name])))
    return out


def _asked(prompt: Mapping[str, Any]) -> dict[str, Any]:
    """A prompt without what is only made of its answers."""
    return {key: value for key, value in prompt.items() if key not in ("expect", "tests", "tags")}


def _alike(one: Any, other: Any) -> bool:
    return (one is None and other is None) or (one is not None and other is not None and same_level(one, other))


def _shown(value: Any) -> str:
    text = level_text(value) or "left out"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _levels(every: Sequence[Sequence[Any]]) -> list[Any]:
    """The levels of all, each once."""
    found = {level_key(level): level for levels in every for level in levels}
    out = list(found.values())
    numbers = [level for level in out if isinstance(level, int | float) and not isinstance(level, bool)]
    if len(numbers) == len(out) and all(list(levels) == sorted(levels) for levels in every):
        return sorted(numbers)
    return out
