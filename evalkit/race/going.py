"""How a race goes on: its course from the beginning or from where prompts or levels were added, its next look, its end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evalkit.analysis.analysis import means_of
from evalkit.choice.decision import Finish, kept
from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.sampled import axis_of
from evalkit.plan.design import settled
from evalkit.race.contest import Contest
from evalkit.race.course import Course, key_of, search_of
from evalkit.race.deciding import aim_in, aims, digest, limits_of, on_prompt, seen, short
from evalkit.race.look import Seen
from evalkit.race.proposing import Axis, Point, Trial, ask, axes_of, measured, sampler
from evalkit.race.schedule import PROOF_STEP, Schedule, joining, least_budget, looks_of, schedule
from evalkit.scoring.scores import Scores
from evalkit.store.race import VERSION, Entry, Left, Looked, Proposed, Start
from evalkit.text.numbers import counted

_TRIES = 10
"""Proposals of what was asked already, after which there is one fewer in a batch."""


def scheduled(experiment: Experiment, cells: int) -> Schedule:
    """The course of a race of so many settings from its beginning.

    Raises:
        ExperimentError: there is nothing to race, or the budget is below what the first look, the reference and the finalists need.
    """
    search, prompts = search_of(experiment), len(experiment.prompts)
    grid = "take search out: the full grid"
    if cells <= search.finalists:
        raise ExperimentError(f"search: there are {counted(cells, 'setting')}, and {search.finalists} are finalists anyway; {grid} asks no more")
    first = search.first if isinstance(search.first, int) else None
    if first is not None and first > prompts:
        raise ExperimentError(f"search.first: found {first}, and there are {counted(prompts, 'prompt')}; write a smaller number, or first: auto")
    found = schedule(cells, prompts, search.share, first, search.finalists)
    if found is not None and len(found.looks) > 1:
        return found
    least = least_budget(cells, prompts, first, search.finalists)
    if found is not None or least >= 1:
        size = f"{counted(cells, 'setting')} and {counted(prompts, 'prompt')}"
        raise ExperimentError(f"search: with {size} a race is no cheaper than the full grid; {grid} tells more for as many requests")
    raise ExperimentError(
        f"search.budget: found {search.budget}, less than the first look, the reference and {counted(search.finalists, 'finalist')} need; "
        f"the least that works is {math.ceil(100 * least - 1e-9) / 100:g}"
    )


def beginning(course: Course) -> Entry | None:
    """The course to begin, or to go on with where prompts or levels were added; None where the one under way stands.

    Raises:
        ExperimentError: as `scheduled`.
    """
    experiment, start, contest = course.experiment, course.start, course.contest
    ids = [prompt.id for prompt in experiment.prompts]
    rng = np.random.default_rng([experiment.seed, *b"race"])
    every = range(len(course.whole.cells))
    if start is None or contest is None:
        found = scheduled(experiment, len(every))
        return _started(course, [ids[at] for at in rng.permutation(len(ids))], list(every), found, 0)
    known = set(start.prompts)
    fresh = [one for one in ids if one not in known]
    order = [*start.prompts, *(fresh[at] for at in rng.permutation(len(fresh)))]
    asked = course.asked
    new = [cell for cell in every if cell not in asked]
    if not new and not fresh:
        return None
    contestants = sorted({*course.staying, *new})
    joining_ = new if not fresh and contest.over and {key_of(course.whole.cells[cell]) for cell in new} <= set(course.proposed) else []
    if joining_:
        first = course.search.first if isinstance(course.search.first, int) else None
        found = joining(len(new), len(order), course.search.share, first)
    else:
        found = _of_new(course, len(contestants), len(order)) if new else _longer(course, contest, len(contestants), len(order))
    return _started(course, order, contestants, found, contest.tests, joining_)


def _of_new(course: Course, contestants: int, prompts: int) -> Schedule:
    """The course of new levels and the finalists: by the budget where it can be kept, else all of them are asked everything."""
    search = course.search
    first = search.first if isinstance(search.first, int) else None
    found = schedule(contestants, prompts, search.share, first, search.finalists) if contestants > search.finalists else None
    return found or Schedule((prompts,), (), 0, contestants * prompts, contestants * prompts)


def _longer(course: Course, contest: Contest, contestants: int, prompts: int) -> Schedule:
    """The course on further prompts: the looks that were to come, then further ones with the same step."""
    step = PROOF_STEP if contest.proof else 2.0
    before = contest.schedule.looks[-1]
    begin = max(before + 1, min(prompts, math.ceil(before * step))) if contest.over else contest.prompts
    looks = looks_of(begin, prompts, step)
    planned = () if contest.over else contest.schedule.most[contest.done :]
    beside = sum(one in contest.finished for one in contest.staying)  # whom the course under way does not count
    most = tuple(beside + (planned[min(place, len(planned) - 1)]) if planned else contestants for place in range(len(looks) - 1))
    recalled = 0 if contest.proof else max(0, min(contest.schedule.recalled, contestants - course.search.finalists))
    return Schedule(looks, most, recalled, contestants * prompts, contestants * prompts)


def _started(course: Course, order: list[str], contestants: Sequence[int], found: Schedule, tested: int, new: Sequence[int] = ()) -> Entry:
    places, asked = sorted({*contestants, course.reference}), course.asked
    start = Start(
        wanted=course.wanted,
        prompts=order,
        settings=[dict(course.whole.cells[cell]) for cell in places],
        contestants=[places.index(cell) for cell in contestants],
        reference=places.index(course.reference),
        looks=list(found.looks),
        most=list(found.most),
        recalled=found.recalled,
        worst=found.worst,
        whole=found.whole,
        asked=[asked.get(cell, 0) for cell in places],
        tested=tested,
        replicates=course.experiment.replicates,
        joining=[places.index(cell) for cell in new],
    )
    return Entry(v=VERSION, start=start)


def next_look(course: Course, scores: Scores) -> Entry:
    """What the next look decides on the scores of `Course.plan`; for `Course.take` once it is written."""
    contest = course.contest
    if contest is None:
        raise ValueError("a race looks once it has begun")
    before, first = contest.staying, course.limits is None
    values = _seen(course, scores, contest.prompts)
    if first:
        course.goals = course.goals.only([name for name, grid in zip(course.goals.prefer, values.wanted, strict=True) if not np.isnan(grid).all()])
        values = _seen(course, scores, contest.prompts)
    found = contest.decide(values, lambda here, keep: aims(scores, course.goals, here, keep))
    new = [prompt for prompt in course.order[: contest.prompts] if prompt >= 0 and course.experiment.prompts[prompt].id not in course.frozen]
    looked = Looked(
        number=contest.done,
        prompts=contest.prompts,
        values=digest(values, before),
        leader=found.leader,
        left=[Left(setting=one.setting, why=one.why, metric=one.metric, p=short(one.p), level=short(one.level)) for one in found.leaving],
        staying=list(found.staying),
        worth=[short(float(found.worth[place])) for place in before],
        limits=[limits_of(name, aim) for name, aim in zip(course.goals.prefer, contest.aims, strict=True)] if first else None,
        on=[on_prompt(scores, prompt) for prompt in new],
        prefix=scores.prefix.tokens if first and scores.prefix is not None else None,
    )
    return Entry(v=VERSION, look=looked)


def _seen(course: Course, scores: Scores, prompts: int) -> Seen:
    return seen(scores, course.goals, course.places, course.order[:prompts])


def ending(course: Course, scores: Scores) -> Entry:
    """Once every look is done: who is asked all prompts after all, or that the race is over."""
    contest = course.contest
    if contest is None:
        raise ValueError("a race ends once it has begun")
    if contest.proof or not (course.recalled or contest.finished):
        satisfying = kept(scores, means_of(scores, course.goals.names), course.staying)
        places = course.places
        wanted = contest.recallable([place for place, cell in enumerate(places) if cell in satisfying])
        if back := [place for place in wanted if places[place] >= 0]:
            return Entry(v=VERSION, recall=back)
    if course.rounds_left:
        return Entry(v=VERSION, proposed=_proposals(course, scores))
    return Entry(v=VERSION, over=True)


def _proposals(course: Course, scores: Scores) -> Proposed:
    """The next batch: what was asked already is not proposed again."""
    experiment, search, by = course.experiment, course.search, sampler()
    axes = axes_of(search.over or {})
    cells = [dict((experiment.cells or {})[name]) for name in course.whole.design.names]
    aims_, every = [aim_in(one) for one in course.limits or ()], range(len(cells))
    values = seen(scores, course.goals, every, course.order)
    worth, beyond = measured(values, aims_, course.goals.bounds, sorted({*course.staying, course.reference}))
    told = [
        Trial(_point(axes, cell), None if math.isnan(worth[at]) else float(worth[at]), tuple(beyond[:, at].tolist())) for at, cell in enumerate(cells)
    ]
    told = [one for one in told if one.worth is not None]
    known, found = set(course.cells), list[Mapping[str, Any]]()
    constant = {name: next(iter(axis_of(name, given))) for name, given in (search.over or {}).items()}
    for place in range(search.proposals or 0):
        for attempt in range(_TRIES):
            number = (course.rounds * (search.proposals or 0) + place) * _TRIES + attempt
            point = ask(axes, told, int(np.random.SeedSequence([experiment.seed, *b"bayes", number]).generate_state(1)[0]))
            cell = constant | {axis.name: axis.level(one) for axis, one in zip(axes, point, strict=True)}
            if (key := key_of(settled(cell, experiment.request))) not in known:
                known.add(key)
                found.append(cell)
                told.append(Trial(point, None))
                break
    return Proposed(round=course.rounds + 1, values=digest(values, every), settings=found, by=by)


def _point(axes: Sequence[Axis], cell: Mapping[str, Any]) -> Point:
    return tuple(axis.place(cell.get(axis.name)) for axis in axes)


def finish_of(course: Course) -> Finish:
    """What is left to choose from: who is in, with the limits that were fixed."""
    return Finish(course.staying, {one.metric: aim_in(one) for one in course.limits or ()})
