"""Where a race stands by its journal: who is in, what was asked, and which blocks are asked before the next look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from evalkit.analysis.analysis import reference_cell
from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import level_key
from evalkit.experiment.search import Search
from evalkit.plan.design import Cell, settled
from evalkit.plan.requests import Plan
from evalkit.race.contest import Contest
from evalkit.race.deciding import Goals, aim_in
from evalkit.race.look import Leaving, Look
from evalkit.race.proposing import grown
from evalkit.race.schedule import Schedule, joining
from evalkit.store.race import Entry, Limits, Looked, OnPrompt, Proposed, Start, Why

Key = tuple[tuple[str, str], ...]
"""What a setting is known again by, whatever its number in the plan."""


def key_of(cell: Cell) -> Key:
    """The key of a setting."""
    return tuple(sorted((name, level_key(level)) for name, level in cell.items()))


class Gone(NamedTuple):
    """How a setting left: at how many prompts and why; by whose bound, or beaten by which setting; p as `evalkit.race.look.Leaving` has it."""

    cell_index: int
    why: Why
    prompts: int
    metric: str | None
    p: float | None
    level: float | None
    by: int | None


class OtherRaceError(ExperimentError):
    """The race in a results folder is another than the experiment's; the message names what differs."""


class Course:
    """A race of an experiment with ``search``, as its journal tells it; `take` goes on by a further line.

    Attributes:
        search: what was wanted.
        whole: the plan of the full grid.
        start: the course under way, None before the first.
        contest: who is in, by places in `start`.
        limits: where desirability is 0 and 1, from the first look on.
        frozen: by prompt, what settings are compared on.
        prefix: words of the beginning that some metrics are compared on.
        recalled: settings that were asked all prompts after all, by their numbers in the plan.
        looks: each look with the course that it belongs to.
        rounds: batches of proposals so far.
        proposed: the settings that were proposed; `proposed_by` whom.
        over: whether nothing more is to be asked.

    Raises:
        OtherRaceError: the journal is of another race.
    """

    def __init__(self, experiment: Experiment, goals: Goals, entries: Sequence[Entry] = ()) -> None:
        self.experiment, self.goals = experiment, goals
        self.whole = Plan(experiment)
        self.search = search_of(experiment)
        self.start: Start | None = None
        self.contest: Contest | None = None
        self.limits: list[Limits] | None = None
        self.frozen: dict[str, OnPrompt] = {}
        self.prefix: int | None = None
        self.recalled: list[int] = []
        self.looks: list[tuple[Start, Looked]] = []
        self.over = False
        self.rounds, self.proposed_by = 0, ""
        self.proposed: list[Key] = []
        self._gone: dict[Key, Gone] = {}
        self._asked: dict[Key, int] = {}
        for entry in entries:
            self.take(entry)

    def take(self, entry: Entry) -> None:
        """Go on by a line of the journal."""
        if entry.start is not None:
            self._begin(entry.start)
        elif entry.proposed is not None:
            self._grow(entry.proposed)
        elif self.start is None or self.contest is None:
            return
        elif entry.look is not None:
            self._looked(entry.look, self.start, self.contest)
        elif entry.recall is not None:
            self.contest.recall(entry.recall)
            self.recalled += [self.places[place] for place in entry.recall]
        self.over = entry.over and not self.rounds_left

    def _grow(self, found: Proposed) -> None:
        """Take proposals among the settings."""
        self.rounds, self.proposed_by = found.round, found.by
        for cell in found.settings:
            self.proposed.append(key_of(settled(cell, self.experiment.request)))
        self.experiment = grown(self.experiment, self.reference, found.settings)
        self.whole = Plan(self.experiment)
        for name in ("reference", "cells"):
            self.__dict__.pop(name, None)

    def _begin(self, start: Start) -> None:
        if differing := [name for name, value in self.wanted.items() if start.wanted.get(name) != value]:
            raise OtherRaceError(", ".join(differing))
        self._gone, self._asked = self._left(), dict(self._counts())
        self.start, self.recalled = start, []
        self.contest = Contest(
            Schedule(tuple(start.looks), tuple(start.most), start.recalled, start.worst, start.whole),
            len(start.settings),
            self.goals.bounds,
            self.search.confidence,
            start.reference,
            self.search.proof,
            [aim_in(one) for one in self.limits or ()],
            staying=tuple(start.contestants),
            before=start.asked,
            tested=start.tested,
            finished=frozenset(start.contestants) - frozenset(start.joining) if start.joining else frozenset(),
        )

    def _looked(self, found: Looked, start: Start, contest: Contest) -> None:
        self.looks.append((start, found))
        if found.limits is not None:
            self.limits, self.prefix = found.limits, found.prefix
            contest.aims = [aim_in(one) for one in found.limits]
            self.goals = self.goals.only([one.metric for one in found.limits])
        self.frozen |= {one.id: one for one in found.on}
        worth = np.full(contest.settings, math.nan)
        worth[list(contest.staying)] = [math.nan if one is None else one for one in found.worth]
        leaving = tuple(Leaving(one.setting, one.why, one.metric, one.p, one.level) for one in found.left)
        contest.take(Look(found.leader, leaving, tuple(found.staying), worth))

    # --- what makes it this race

    @cached_property
    def wanted(self) -> dict[str, Any]:
        """What makes it this race and no other."""
        experiment = self.experiment
        return {
            "choose": None if experiment.choose is None else experiment.choose.model_dump(mode="json", exclude_none=True),
            "search": self.search.model_dump(mode="json", exclude_none=True, exclude={"rounds"}),
            "model": experiment.models,
            "base_url": ", ".join(dict.fromkeys(one.known_as for one in experiment.asked)),
            "seed": experiment.seed,
        }

    @cached_property
    def reference(self) -> int:
        """The setting that is asked everything, whatever it is worth."""
        return reference_cell(self.experiment, self.whole.cells)

    @cached_property
    def cells(self) -> dict[Key, int]:
        """The number of each setting in the plan."""
        return {key_of(cell): index for index, cell in enumerate(self.whole.cells)}

    # --- where it stands

    @property
    def keys(self) -> list[Key]:
        """The settings of the course under way, by their places."""
        return [] if self.start is None else [key_of(cell) for cell in self.start.settings]

    @property
    def places(self) -> list[int]:
        """For each place in the course under way, the number in the plan; -1 where it is no longer planned."""
        return [self.cells.get(key, -1) for key in self.keys]

    @property
    def order(self) -> list[int]:
        """The prompts, by their numbers in the experiment, in the order in which they are asked; -1 for what is no longer there."""
        numbers = {prompt.id: number for number, prompt in enumerate(self.experiment.prompts)}
        return [] if self.start is None else [numbers.get(one, -1) for one in self.start.prompts]

    def _counts(self) -> dict[Key, int]:
        """By setting, the prompts of the order that it was asked or is to be asked now."""
        out = dict(self._asked)
        if self.contest is not None:
            for key, count in zip(self.keys, self.contest.asked.tolist(), strict=True):
                out[key] = max(out.get(key, 0), int(count))
        return out

    @property
    def asked(self) -> dict[int, int]:
        """The same by its number in the plan."""
        return {self.cells[key]: count for key, count in self._counts().items() if key in self.cells}

    @property
    def plan(self) -> Plan:
        """The requests of all that was asked, and of what is to be asked before the next look."""
        order = self.order
        return Plan(
            self.experiment, blocks=frozenset((cell, prompt) for cell, count in self.asked.items() for prompt in order[:count] if prompt >= 0)
        )

    @property
    def staying(self) -> tuple[int, ...]:
        """The settings that are in, by their numbers in the plan."""
        places = self.places
        return () if self.contest is None else tuple(sorted(places[one] for one in self.contest.staying if places[one] >= 0))

    def _left(self) -> dict[Key, Gone]:
        out = dict(self._gone)
        if self.contest is None:
            return out
        keys, places = self.keys, self.places
        for key in keys:
            out.pop(key, None)
        for place, (one, prompts) in self.contest.left.items():
            by = self.contest.beaten_by.get(place)
            out[keys[place]] = Gone(places[place], one.why, prompts, one.metric, one.p, one.level, None if by is None else places[by])
        for place in self.contest.staying:
            out.pop(keys[place], None)
        return out

    @property
    def gone(self) -> list[Gone]:
        """Who has left, in the order of the plan; not who came back, or is no longer planned."""
        return sorted(one._replace(cell_index=self.cells[key]) for key, one in self._left().items() if key in self.cells)

    @property
    def rounds_left(self) -> int:
        """Batches of proposals that may still come."""
        return max(0, (self.search.rounds or 0) - self.rounds)

    @property
    def batch(self) -> Schedule:
        """The course of a batch of proposals."""
        first = self.search.first if isinstance(self.search.first, int) else None
        return joining(self.search.proposals or 0, len(self.experiment.prompts), self.search.share, first)

    @property
    def settings_at_most(self) -> int:
        """Settings, with all that may still be proposed."""
        return len(self.whole.cells) + self.rounds_left * (self.search.proposals or 0)

    @property
    def most_blocks(self) -> int:
        """Blocks of a setting and a prompt that are asked at most in all, as the course stands."""
        now = sum(self.asked.values())
        if self.contest is None or self.over:
            return now
        return self._most_of_course(now) + (self.rounds_left * self.batch.worst if self.rounds_left else 0)

    @property
    def ahead(self) -> tuple[int, int]:
        """Requests that are asked at most after the next look, and anchors among them."""
        plan = self.plan
        more = (self.most_blocks - sum(self.asked.values())) * self.experiment.replicates
        return more, plan.anchors_among(len(plan) + more) - plan.anchor_count

    def _most_of_course(self, now: int) -> int:
        """The same of the course under way alone."""
        if self.contest is None:
            return now
        contest, course = self.contest, self.contest.schedule
        left, here = sum(one not in contest.finished for one in contest.staying), contest.prompts
        for place in range(contest.done, len(course.looks) - 1):
            left = left if contest.proof else min(left, course.most[place])
            now += left * (course.looks[place + 1] - here)
            here = course.looks[place + 1]
        if not contest.proof and not contest.finished:
            sooner = course.looks[max(0, len(course.looks) - 2)]
            now += course.looks[-1] - course.looks[0] + min(course.recalled, contest.settings - left) * (course.looks[-1] - sooner)
        return min(now, len(self.whole.cells) * len(self.experiment.prompts), *([course.worst] if not self._asked else []))


def search_of(experiment: Experiment) -> Search:
    """What ``search:`` says; raises `ExperimentError` where nothing does."""
    if experiment.search is None:
        raise ExperimentError("the experiment is no race; add search: {method: race}")
    return experiment.search
