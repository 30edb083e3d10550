"""What a race was, told for its analysis."""

from __future__ import annotations

import math

from evalkit.analysis.raced import Departure, Raced, RaceLook
from evalkit.race.course import Course
from evalkit.race.schedule import least_budget, schedule
from evalkit.stats.conventions import FEWEST_PROMPTS


def account(course: Course) -> Raced:
    """The race so far."""
    replicates = course.experiment.replicates
    looks = [
        RaceLook(
            prompts=found.prompts,
            settings=len(found.staying) + len(found.left),
            **{why: sum(one.why == why for one in found.left) for why in ("bound", "worse", "aside")},
        )
        for _, found in course.looks
    ]
    common = [course.experiment.prompts[at].id for at in course.plan.common_prompts]
    return Raced(
        budget=str(course.search.budget) if isinstance(course.search.budget, str) else f"{course.search.budget:g}",
        confidence=course.search.confidence,
        asked=sum(course.asked.values()) * replicates,
        most=course.most_blocks * replicates,
        grid=course.settings_at_most * len(course.experiment.prompts) * replicates,
        common_prompts=common,
        looks=looks,
        finished=list(course.staying),
        left=[
            Departure(cell_index=one.cell_index, why=one.why, prompts=one.prompts, metric=one.metric, p=one.p, level=one.level, leader=one.by)
            for one in course.gone
        ],
        recalled=list(course.recalled),
        six=None if len(common) >= FEWEST_PROMPTS else six(course),
        over=course.over,
        method=course.search.method,
        rounds=course.rounds,
        rounds_wanted=course.search.rounds or 0,
        proposed=[course.cells[key] for key in course.proposed if key in course.cells],
        by=course.proposed_by,
    )


def six(course: Course) -> int | None:
    """Requests at most of the same race whose first look is at six prompts; None where that is no other race, or no cheaper than the grid."""
    cells, prompts, search = len(course.whole.cells), len(course.experiment.prompts), course.search
    if prompts <= FEWEST_PROMPTS or search.bayes:
        return None
    found = schedule(cells, prompts, search.share, FEWEST_PROMPTS, search.finalists)
    share = least_budget(cells, prompts, FEWEST_PROMPTS, search.finalists) if found is None else found.share
    return math.ceil(share * len(course.whole) - 1e-6) if share < 1 else None
