"""What a race would ask and what it would have come to: told before it is run, and after a full grid."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.power import Variances
from evalkit.analysis.raced import Replayed
from evalkit.choice import Choice, choose
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.sampled import axis_of
from evalkit.experiment.search import Search
from evalkit.plan.requests import Plan, Tokens
from evalkit.race.account import six
from evalkit.race.course import Course
from evalkit.race.deciding import goals_of
from evalkit.race.going import beginning, ending, finish_of, next_look
from evalkit.race.proposing import axes_of, grown
from evalkit.race.schedule import least_budget, schedule
from evalkit.scoring.metric_set import Measures
from evalkit.scoring.scores import Scores
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.stats.power import detectable
from evalkit.store.records import Standing
from evalkit.sweeping.racing import course_of
from evalkit.text.numbers import counted

_WORDS = "settings that fall behind are asked no more"
_WORTH_IT = 0.7
"""A share of the full grid's requests, above which a race is not worth its while."""


class PlannedRace(msgspec.Struct, frozen=True, kw_only=True):
    """The course of a race.

    Attributes:
        prompts: asked at each look, of which there are so many.
        settings: that are in until each look, at most.
        requests: at most, with the reference and those that may be recalled; `grid`: of the full grid.
        prompts_for_the_grid: prompts that a race of the same share would ask for as many requests as the full grid takes; None for a proof.
        six: requests at most with ``first: 6``, which effects of parameters take; None where nothing would change.
        rounds: batches of proposals that may still come, `proposals` settings each, asked at the looks of `batch_prompts`, of whom at most
            `batch_settings` are in; none in a race of settings that are all known.
    """

    budget: str
    prompts: list[int]
    settings: list[int]
    requests: int
    grid: int
    prompts_for_the_grid: int | None
    six: int | None
    rounds: int = 0
    proposals: int = 0
    batch_prompts: list[int] = []
    batch_settings: list[int] = []

    def lines(self) -> list[str]:
        """The course in words."""
        course = f"{' → '.join(map(str, self.settings))} settings over {', '.join(map(str, self.prompts))} prompts"
        most = f"at most {self.requests:,} of {self.grid:,} requests"
        if self.rounds:
            batch = f"{' → '.join(map(str, self.batch_settings))} settings over {', '.join(map(str, self.batch_prompts))} prompts"
            rounds = f"{counted(self.rounds, 'round')} of proposals, each {batch}"
            return [f"search ({_WORDS}): {course}; then {rounds}: {most} that asking all of them everything takes"]
        out = [f"race ({_WORDS}): {course}: {most}"]
        if self.prompts_for_the_grid is not None:
            out.append(f"the {self.grid:,} requests of the full grid would race over {self.prompts_for_the_grid} prompts, which tells more")
        if self.six is not None:
            out.append(f"what parameters do takes {FEWEST_PROMPTS} prompts that every setting is asked: first: 6, at most {self.six:,} requests")
        return out


def course_ahead(experiment: Experiment, folder: Path) -> Course | None:
    """The race that a sweep into the folder would take up; None where the experiment is none. Raises as a sweep does."""
    course = course_of(experiment, folder)
    if course is not None and (begun := beginning(course)) is not None:
        course.take(begun)
    return course


def planned_race(course: Course) -> PlannedRace:
    """What a race asks, as its course stands."""
    if course.start is None:
        raise ValueError("a race that has begun is told of")
    start, search = course.start, course.search
    cells, replicates = len(course.whole.cells), course.experiment.replicates
    common, proposes = start.looks[0], course.rounds_left > 0
    return PlannedRace(
        budget=str(search.budget),
        prompts=list(start.looks),
        settings=[len(start.contestants), *(min(len(start.contestants), most) for most in start.most)],
        requests=course.most_blocks * replicates,
        grid=course.settings_at_most * len(course.experiment.prompts) * replicates,
        prompts_for_the_grid=None if search.share is None or not cells or search.bayes else math.floor(len(course.experiment.prompts) / search.share),
        six=six(course) if common < FEWEST_PROMPTS else None,
        rounds=course.rounds_left,
        proposals=search.proposals or 0 if proposes else 0,
        batch_prompts=list(course.batch.looks) if proposes else [],
        batch_settings=[search.proposals or 0, *course.batch.most] if proposes else [],
    )


def tokens_ahead(course: Course, there: Standing, retry_failed: bool) -> Tokens:
    """Bounds of what a race still asks, each block that is not settled yet taken for the longest there is."""
    plan = course.plan
    now = plan.tokens_of(request for request in plan.sequence() if there.wants(request.key, retry_failed))
    more, anchors = course.ahead
    if not more:
        return now
    whole = Plan(_longest(course))
    each = [whole.tokens_of([whole.request(0, prompt, 0)]) for prompt in range(len(course.experiment.prompts))]
    answers = [whole.tokens_of([whole.request(cell, 0, 0)]).answers_most for cell in range(len(whole.cells))]
    bounded = None if now.answers_most is None or None in answers else now.answers_most + (more + anchors) * max(one or 0 for one in answers)
    low, high = min(one.prompts_least for one in each), max(one.prompts_most for one in each)
    least, most = now.prompts_least + (more + anchors) * low, now.prompts_most + (more + anchors) * high
    return Tokens(now.requests + more, now.anchors + anchors, least, most, bounded)


def _longest(course: Course) -> Experiment:
    """The experiment with a setting that has the highest value of all that is searched over, so that no proposal is longer than all settings."""
    over = course.search.over
    if not course.rounds_left or over is None:
        return course.experiment
    longest = {name: axis_of(name, given)[-1] for name, given in over.items()} | {axis.name: axis.values[-1] for axis in axes_of(over)}
    return grown(course.experiment, course.reference, [longest])


def replayed(scores: Scores, analysis: Analysis, choice: Choice | None, measured: Measures) -> Replayed | None:
    """What a race of a third of the requests, or of the least share that works, would have come to on the scores of a full grid; None for none."""
    experiment = scores.plan.experiment
    if choice is None or choice.chosen is None or analysis.counts.missing:
        return None
    search = Search(method="race")
    cells, prompts = len(scores.plan.cells), len(experiment.prompts)
    least = math.ceil(100 * least_budget(cells, prompts, None, search.finalists) - 1e-9) / 100
    if cells <= search.finalists or least > _WORTH_IT:
        return None
    if least > (search.share or 0.0):
        search = search.model_copy(update={"budget": least})
    asked = experiment.model_copy(update={"search": search})
    course = Course(asked, goals_of(asked, measured))
    begun = beginning(course)
    if begun is None:
        return None
    course.take(begun)
    while not course.over and course.contest is not None:
        course.take(ending(course, scores) if course.contest.over else next_look(course, scores))
    found = choose(scores, analysis, finish_of(course))
    chosen = None if found is None else found.chosen
    worth = (choice.desirability[choice.chosen], None if chosen is None else choice.desirability[chosen])
    return Replayed(
        budget=str(course.search.budget),
        requests=sum(course.asked.values()) * experiment.replicates,
        grid=len(course.whole),
        chosen=chosen,
        loss=None if worth[0] is None or worth[1] is None else worth[0] - worth[1],
    )


def ways(experiment: Experiment, seen: Mapping[str, Variances]) -> list[str]:
    """What twice the prompts, twice the replicates, or a race for the price of the full grid would find: lines of text."""
    plan = Plan(experiment)
    prompts, k, size = len(experiment.prompts), experiment.replicates, len(plan)
    search = experiment.search or Search(method="race")
    share = search.share or 1.0
    raced = math.floor(prompts / share)
    found = schedule(len(plan.cells), raced, search.share, None, search.finalists) if len(plan.cells) > search.finalists else None
    ways: list[tuple[str, int, int, int]] = [
        ("as planned", prompts, k, size),
        ("twice the prompts", 2 * prompts, k, 2 * size),
        ("twice the replicates", prompts, 2 * k, 2 * size),
    ]
    if found is not None and search.share is not None and experiment.choose is not None:
        ways.append((f"a race, {raced} prompts", raced, k, found.worst * k))
    names = [name for name, one in seen.items() if one.sd(k)][:2]
    if not names:
        return []
    heads = "  ".join(f"{one:>16}" for one in names)
    lines = ["", "Ways to see more: the smallest difference found (in a race between finalists)", f"  {'':<24} {'requests':>9}  {heads}"]
    for name, many, replicates, requests in ways:
        figures = "  ".join(f"{_found(seen[metric], many, replicates, k):>16}" for metric in names)
        lines.append(f"  {name:<24} {requests:>9,}  {figures}")
    return lines


def _found(seen: Variances, prompts: int, replicates: int, planned: int) -> str:
    if math.isnan(seen.within) and replicates != planned:
        return "another metric"
    found = detectable(prompts, seen.sd(replicates))
    return "-" if math.isnan(found) else f"{found:.3g}"
