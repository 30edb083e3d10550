"""A whole race over values that are asked for as it goes: what stands in records, what a grid holds, or what a simulation draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evalkit.race.look import LEAST_TESTED, Bound, Leaving, Look, Seen, keep_as_measured, look
from evalkit.race.schedule import RECALLED, Schedule
from evalkit.stats.selection import Aim

Floats = NDArray[np.float64]
Fix = Callable[[Seen, NDArray[np.bool_]], Sequence[Aim]]
"""Fixes the aims at the first look, from the values and from which settings keep to the bounds as measured."""


@dataclass
class Contest:
    """Where a race stands; `decide` and `take` are one look, `recall` what follows where nothing can be chosen.

    Attributes:
        asked: prompts that each setting has been asked, or is to be asked before the next look; shape (settings,).
        staying: settings that are in.
        left: by setting, how it left and at how many prompts; the last time where it had come back.
        beaten_by: by setting that was shown worse, the leader of then.
        done: looks so far.
        worth: by setting, at how many prompts it was ranked last, and how.
        before: prompts that each setting had been asked when this course began; none where empty.
        tested: looks before this course that could test means.
        finished: settings that had been asked everything when this course began, and are in beside those that the schedule counts.
    """

    schedule: Schedule
    settings: int
    bounds: Sequence[Bound]
    confidence: float = 0.95
    reference: int | None = None
    proof: bool = False
    aims: Sequence[Aim] = ()
    done: int = 0
    staying: tuple[int, ...] = ()
    left: dict[int, tuple[Leaving, int]] = field(default_factory=dict)
    beaten_by: dict[int, int] = field(default_factory=dict)
    worth: dict[int, tuple[int, float]] = field(default_factory=dict)
    before: Sequence[int] = ()
    tested: int = 0
    finished: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.staying = self.staying or tuple(range(self.settings))
        self.asked = np.array(self.before, dtype=np.int64) if len(self.before) else np.zeros(self.settings, dtype=np.int64)
        self._ask()

    @property
    def prompts(self) -> int:
        """Prompts of the next look, or of the last where all are over."""
        return self.schedule.looks[min(self.done, len(self.schedule.looks) - 1)]

    @property
    def tests(self) -> int:
        """Looks before the next one that had prompts enough to test means."""
        return self.tested + sum(prompts >= LEAST_TESTED for prompts in self.schedule.looks[: self.done])

    @property
    def over(self) -> bool:
        """Whether every look is done."""
        return self.done >= len(self.schedule.looks)

    def decide(self, seen: Seen, fix: Fix) -> Look:
        """What the next look comes to on `seen`, the values of as many prompts as `prompts`; `take` goes on by it."""
        if not self.aims:
            self.aims = tuple(fix(seen, keep_as_measured(seen, self.bounds)))
        if self.done == len(self.schedule.looks) - 1:  # who has been asked everything has finished; the choice is made of these
            return Look(None, (), self.staying, np.full(self.settings, math.nan))
        most = None if self.proof else self.schedule.most[self.done]
        aside = sum(one.why == "aside" for one, _ in self.left.values())
        return look(seen, self.aims, self.bounds, self.staying, self.tests, most, self.confidence, self.finished, aside)

    def take(self, found: Look) -> None:
        """Go on as a look has decided, which may have been made before."""
        here = self.prompts
        for one in found.leaving:
            self.left[one.setting] = (one, here)
            if one.why == "worse" and found.leader is not None:
                self.beaten_by[one.setting] = found.leader
        for setting in self.staying:
            if not math.isnan(found.worth[setting]):
                self.worth[setting] = (here, float(found.worth[setting]))
        back = self._returning(found) if self.proof else ()
        self.staying = tuple(sorted((*found.staying, *back)))
        for setting in back:
            self._come_back(setting)
        self.done += 1
        self._ask()

    def _returning(self, found: Look) -> list[int]:
        """Settings that were beaten by a leader alone that has now fallen by a bound."""
        fallen = {one.setting for one in found.leaving if one.why == "bound"}
        return [setting for setting, by in self.beaten_by.items() if by in fallen and setting not in fallen]

    def _come_back(self, setting: int) -> None:
        self.left.pop(setting, None)
        self.beaten_by.pop(setting, None)

    def _ask(self) -> None:
        if not self.over:
            here = list(self.staying)
            self.asked[here] = np.maximum(self.asked[here], self.prompts)
            if self.reference is not None:
                self.asked[self.reference] = max(self.asked[self.reference], self.prompts)

    def recallable(self, satisfying: Sequence[int]) -> tuple[int, ...]:
        """Settings to be asked all prompts after all, given the finalists that can be chosen; none where that is settled.

        Of a race with a budget the likeliest that were set aside, where nothing can be chosen; of a proof those that only a setting has beaten that
        cannot be chosen itself.
        """
        if self.proof:
            wanted = [setting for setting, by in sorted(self.beaten_by.items()) if by not in satisfying and by in self.staying]
        elif satisfying or not self.over:
            wanted = []
        else:
            aside = [setting for setting, (one, _) in self.left.items() if one.why == "aside"]
            # The likeliest first (the worth holds how likely a setting keeps to the bounds), as far as what was promised has room for them.
            order = sorted(aside, key=lambda one: (-self.worth[one][1], -self.worth[one][0], one))
            wanted, room = [], self.schedule.worst - int(self.asked.sum())
            for one in order:
                rest = self.schedule.looks[-1] - int(self.asked[one])
                if len(wanted) < RECALLED and rest <= room:
                    wanted.append(one)
                    room -= rest
        return tuple(wanted)

    def recall(self, wanted: Sequence[int]) -> None:
        """Ask these all prompts after all."""
        for setting in wanted:
            self._come_back(setting)
        self.staying = tuple(sorted({*self.staying, *wanted}))
        self.asked[list(wanted)] = self.schedule.looks[-1]


def run(contest: Contest, seen: Callable[[Contest], Seen], fix: Fix, satisfying: Callable[[Sequence[int]], Sequence[int]]) -> list[Look]:
    """The race to its end: every look, and who is recalled.

    Args:
        seen: the values of the prompts up to the next look, as far as `Contest.asked` goes.
        satisfying: which of the finalists keep to the bounds as the choice judges them.
    """
    looks = []
    while not contest.over:
        looks.append(contest.decide(seen(contest), fix))
        contest.take(looks[-1])
    while wanted := contest.recallable(satisfying(contest.staying)):
        contest.recall(wanted)
        if not contest.proof:
            break
    return looks
