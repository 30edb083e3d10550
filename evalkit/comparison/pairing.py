"""Two results folders, or two cells, side by side: what they have in common, what differs, and why they may not be compared at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT, ENDPOINT, PER_REPLICATE, canonical, level_key, level_text
from evalkit.experiment.problems import shown
from evalkit.experiment.several import endpoint_name
from evalkit.plan.cells import cell_named, cell_text
from evalkit.plan.design import Cell, body_of
from evalkit.plan.requests import Plan
from evalkit.store.folder import load_experiment, read_run
from evalkit.store.records import standing
from evalkit.text.numbers import counted

_MOST_NAMED = 5
_UNKNOWN = "unknown"


class Contrast(msgspec.Struct, frozen=True, kw_only=True):
    """Something in which the two runs are not alike, as text."""

    what: str
    baseline: str
    candidate: str


@dataclass(frozen=True)
class Arm:
    """One of the two sides.

    Attributes:
        plan: the requests that are compared: common prompts, and cells of some pair.
        written: what ``run.json`` holds.
    """

    folder: Path
    plan: Plan
    written: Mapping[str, Any]


@dataclass(frozen=True)
class Pairing:
    """What is compared with what.

    Attributes:
        pairs: (cell of the baseline, cell of the candidate), by their numbers in the two plans.
        whole: whether that is all of both runs.
        left_out: what stands in one run alone, a sentence each.
        notes: what else must be known, a sentence each.
    """

    baseline: Arm
    candidate: Arm
    pairs: tuple[tuple[int, int], ...]
    differs: tuple[Contrast, ...]
    whole: bool
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def paired(baseline: Path, candidate: Path | None, cells: Sequence[str] = ()) -> Pairing:
    """The cells and prompts that `baseline` and `candidate` have in common; or with two `cells`, the one against the other.

    Args:
        candidate: None for two cells of one run.
        cells: each a number, a name in a list design, or levels like ``temperature=0.7,top_p=0.9``; one is looked for in both runs.

    Raises:
        RecordError: a folder holds no run, or the two cannot be compared; with the reason.
        ExperimentError: `cells` name none, or several.
    """
    if candidate is None and len(cells) != 2:
        raise ExperimentError(f"one run and {counted(len(cells), 'setting')}: give two runs, or one run and two settings")
    if len(cells) > 2:
        raise ExperimentError(f"found {len(cells)} settings; expected two at most, the baseline's and the candidate's")
    one = load_experiment(baseline)
    other = one if candidate is None else load_experiment(candidate)
    common = _common_prompts(one, other)
    experiments = [_narrowed(experiment, common, other) for experiment in (one, other)]
    plans = [Plan(experiment) for experiment in experiments]
    pairs = _pairs(plans, cells, one_run=candidate is None)
    left_out = [] if candidate is None else _left_out(plans, [one, other], pairs, common, bool(cells))
    written = [read_run(folder) or {} for folder in (baseline, candidate or baseline)]
    folders = (baseline, candidate or baseline)
    blocks, raced = _blocks(folders, plans, pairs)
    arms = [
        Arm(folder, Plan(experiment, only=tuple(pair[side] for pair in pairs), blocks=blocks[side]), about)
        for side, (folder, experiment, about) in enumerate(zip(folders, experiments, written, strict=True))
    ]
    differs = [] if candidate is None else _differing(one, other, written)
    if cells:
        differs += _of_cells(plans, pairs[0])
    judged = _judged_otherwise(one, other, common)
    same_folder = candidate is not None and baseline.resolve() == candidate.resolve()
    notes = [*(["both are the same folder"] if same_folder else []), *raced, *_told_apart(one, other), *judged]
    whole = not left_out and not cells and not judged and not raced
    return Pairing(arms[0], arms[1], tuple(pairs), tuple(differs), whole, tuple(left_out), tuple(notes))


def _blocks(
    folders: Sequence[Path], plans: Sequence[Plan], pairs: Sequence[tuple[int, int]]
) -> tuple[list[frozenset[tuple[int, int]] | None], list[str]]:
    """Where one side is a race, which asks some settings fewer prompts: the blocks of setting and prompt that both asked, and a sentence on it."""
    if all(plan.experiment.search is None for plan in plans):
        return [None, None], []
    asked: list[set[tuple[int, int]]] = []
    for folder, plan in zip(folders, plans, strict=True):
        there = standing(folder)
        asked.append({(one.cell_index, one.prompt_index) for one in plan if there.has(one.key)})
    prompts = range(len(plans[0].experiment.prompts))
    both = [(pair, prompt) for pair in pairs for prompt in prompts if all((pair[side], prompt) in asked[side] for side in (0, 1))]
    if not both:
        raise RecordError("these runs cannot be compared: one is a race, and no setting was asked the same prompt in both")
    size = f"{len(both):,} of {len(pairs) * len(prompts):,}"
    told = f"a race asks some settings fewer prompts: compared are the {size} pairs of a setting and a prompt that both have"
    return [frozenset((pair[side], prompt) for pair, prompt in both) for side in (0, 1)], [told]


def _told_apart(one: Experiment, other: Experiment) -> list[str]:
    """What speaks against the two as samples of one kind, a sentence each."""
    if not _other_seeds(one, other):
        return []
    return [
        "the two send other seeds, and each its one seed to all prompts: what chance did to one prompt it may have done to all, so that "
        "differences look surer than they are; write seed: per_replicate, send the same seed in both, or none"
    ]


def _judged_otherwise(one: Experiment, other: Experiment, common: Sequence[str]) -> list[str]:
    """By what else than their own the answers of the baseline are judged, a sentence each."""
    out = []
    if canonical([list(one.checks), list(one.scorers)]) != canonical([list(other.checks), list(other.scorers)]):
        out.append("checks and scorers differ: both runs are judged by those of the candidate")
    if any(_judged_by(one, name) != _judged_by(other, name) for name in common):
        out.append("what some prompts expect, or their tests, differ: both runs are judged by what the candidate's prompts have")
    return out


def _other_seeds(one: Experiment, other: Experiment) -> bool:
    """Whether both send one seed to all prompts, and not the same one; ``per_replicate`` gives each prompt its own."""
    sent = [experiment.request.get("seed") for experiment in (one, other)]
    return None not in sent and PER_REPLICATE not in sent and sent[0] != sent[1]


def _judged_by(experiment: Experiment, name: str) -> dict[str, str | None]:
    """What answers to a prompt are held against."""
    return next({"expect": prompt.expect, "tests": prompt.tests} for prompt in experiment.prompts if prompt.id == name)


def _common_prompts(one: Experiment, other: Experiment) -> list[str]:
    """Ids of the prompts that both have, with the same conversation. Raises `RecordError`."""
    theirs = {prompt.id: prompt for prompt in other.prompts}
    common = [prompt for prompt in one.prompts if prompt.id in theirs]
    if not common:
        raise RecordError("these runs cannot be compared: they have no prompt in common (prompts are told apart by their ids)")
    changed = [prompt.id for prompt in common if _asked(prompt) != _asked(theirs[prompt.id])]
    if changed:
        raise RecordError(
            f"these runs cannot be compared: {_named(changed)} {'does' if len(changed) == 1 else 'do'} not ask the same in both; "
            "give a changed prompt another id, or sweep the baseline again"
        )
    return [prompt.id for prompt in common]


def _asked(prompt: Any) -> Any:
    return canonical([prompt.conversation(), prompt.fields()])


def _narrowed(experiment: Experiment, ids: Sequence[str], judge: Experiment) -> Experiment:
    """The experiment with these prompts alone, judged by the checks, scorers and expectations of `judge`."""
    own = {prompt.id: prompt for prompt in experiment.prompts}
    prompts = tuple(own[name].model_copy(update=_judged_by(judge, name)) for name in ids)
    return experiment.model_copy(update={"prompts": prompts, "checks": judge.checks, "scorers": judge.scorers})


def _pairs(plans: Sequence[Plan], cells: Sequence[str], *, one_run: bool) -> list[tuple[int, int]]:
    if cells:
        first, second = cell_named(plans[0], cells[0]), cell_named(plans[1], cells[-1])
        if one_run and first == second:
            raise ExperimentError(f"both name the setting {cell_text(plans[0], first)}; expected two different ones")
        return [(first, second)]
    names = {name for plan in plans for name in plan.experiment.parameters}
    fixed = [{**body_of({}, one.experiment.request), ENDPOINT: _called(one.experiment, other.experiment)} for one, other in (plans, reversed(plans))]
    theirs = {_levels(cell, names, fixed[1]): index for index, cell in enumerate(plans[1].cells)}
    pairs = [(index, theirs[key]) for index, cell in enumerate(plans[0].cells) if (key := _levels(cell, names, fixed[0])) in theirs]
    if not pairs:
        held = [", ".join(cell_text(plan, index) for index in range(min(2, len(plan.cells)))) for plan in plans]
        raise RecordError(
            f"these runs cannot be compared: they have no setting in common (the baseline has {held[0]} ..., the candidate {held[1]} ...); "
            "compare one setting with another by naming both"
        )
    return pairs


def _called(experiment: Experiment, other: Experiment) -> str:
    """What the one endpoint of an experiment is called among the several of another one."""
    mine = experiment.endpoint
    return next((one.name for one in other.endpoints or () if (one.known_as, one.model) == (mine.known_as, mine.model)), DEFAULT)


def _levels(cell: Cell, names: set[str], fixed: Mapping[str, Any]) -> tuple[str, ...]:
    """What tells cells apart over both runs: the level of each parameter that either of them sweeps; one that is not swept has its fixed value."""
    return tuple(level_key(cell[name] if name in cell else fixed.get(name, DEFAULT)) for name in sorted(names))


def _left_out(
    plans: Sequence[Plan], wholes: Sequence[Experiment], pairs: Sequence[tuple[int, int]], common: Sequence[str], chosen: bool
) -> list[str]:
    out = []
    for side, (which, plan, whole) in enumerate(zip(("baseline", "candidate"), plans, wholes, strict=True)):
        alone = sorted(set(range(len(plan.cells))) - {pair[side] for pair in pairs})
        if alone and not chosen:
            out.append(f"settings of the {which} alone: {_named([cell_text(plan, index) for index in alone])}")
        others = [prompt.id for prompt in whole.prompts if prompt.id not in set(common)]
        if others:
            out.append(f"prompts of the {which} alone: {_named(others)}")
    return out


def _named(names: Sequence[str]) -> str:
    """Some names in a sentence, the first few of many."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(shown, names[:_MOST_NAMED])) + more


def _of_cells(plans: Sequence[Plan], pair: tuple[int, int]) -> list[Contrast]:
    texts = [cell_text(plan, index) for plan, index in zip(plans, pair, strict=True)]
    return [Contrast(what="cell", baseline=texts[0], candidate=texts[1])] if texts[0] != texts[1] else []


def _differing(one: Experiment, other: Experiment, written: Sequence[Mapping[str, Any]]) -> list[Contrast]:
    """Everything about the two runs that is not alike, most telling first."""
    sides = []
    for experiment, beside, about in zip((one, other), (other, one), written, strict=True):
        one_alone = experiment.asked[0] if len(experiment.asked) == 1 else None
        request = {**({} if one_alone is None else one_alone.extra_body), **experiment.request}
        sides.append(
            {
                "experiment": experiment.name,
                "model": experiment.models,
                "endpoint": ", ".join(dict.fromkeys(endpoint.known_as for endpoint in experiment.asked)),
                **({} if one_alone is not None and len(beside.asked) == 1 else _of_each(experiment, beside)),
                **{f"parameters.{name}": _listed(levels) for name, levels in experiment.parameters.items()},
                **{f"request.{name}": _listed([value]) for name, value in request.items()},
                "design": experiment.design,
                **(
                    {"search": f"{'proposals that race' if experiment.search.bayes else 'a race'}, budget {experiment.search.budget}"}
                    if experiment.search is not None
                    else {}
                ),
                "replicates": str(experiment.replicates),
                "seed": str(experiment.seed),
                "prompts": str(len(experiment.prompts)),
                **({} if one_alone is None or len(beside.asked) > 1 else _about(one_alone)),
                "sent": sent_between(about),
                "evalkit": str(_within(about, "versions", "evalkit")),
            }
        )
    if all(experiment.request.get("seed") == PER_REPLICATE for experiment in (one, other)):
        for side, experiment in zip(sides, (one, other), strict=True):
            side["seeds of replicates"] = experiment.seeds
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    found = [(name, *(side.get(name, "not set") for side in sides)) for name in names]
    return [Contrast(what=name, baseline=first, candidate=second) for name, first, second in found if first != second]


def _about(endpoint: Endpoint) -> dict[str, str]:
    """What an endpoint adds to what is made of its answers."""
    prices = endpoint.prices
    return {
        "stripped": _listed(endpoint.strip) or "nothing",
        "prices": "none" if prices is None else f"{prices.input} / {prices.output} {prices.currency}",
    }


def _of_each(experiment: Experiment, beside: Experiment) -> dict[str, str]:
    """The same of each endpoint by its name, or by the one that another experiment has for it, with what tells them apart."""
    out: dict[str, str] = {}
    for endpoint in experiment.asked:
        fixed = {f"extra_body.{name}": _listed([value]) for name, value in endpoint.extra_body.items()}
        told = {"model": endpoint.model, "base_url": endpoint.known_as, **fixed, **_about(endpoint)}
        out |= {f"endpoints.{endpoint_name(endpoint) or _called(experiment, beside)}.{key}": value for key, value in told.items()}
    return out


def _listed(levels: Sequence[Any]) -> str:
    return ", ".join(level_text(level) or "" for level in levels)


def _within(about: Any, *path: str) -> Any:
    for step in path:
        about = about.get(step) if isinstance(about, Mapping) else None
    return about or _UNKNOWN


def sent_between(about: Mapping[str, Any]) -> str:
    """When the requests of a run were sent, by the sweeps that its ``run.json`` tells of."""
    sweeps = [one for one in about.get("sweeps") or () if isinstance(one, Mapping)]
    begun = [str(one["started"]) for one in sweeps if one.get("started")]
    ended = [str(one["ended"]) for one in sweeps if one.get("ended")]
    if not begun or not ended:
        return str(about.get("created") or _UNKNOWN)
    return min(begun) if min(begun) == max(ended) else f"{min(begun)} to {max(ended)}"
