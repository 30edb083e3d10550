"""When a race looks at what it has, and how many settings may go on after each look."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise
from typing import NamedTuple

RECALLED = 3
"""Settings, at most, that are asked all prompts after all where no finalist keeps to the bounds, as far as the budget has room."""
RESERVED = 1
"""Of these, how many the budget keeps room for in any case: more finalists keep the full grid's decision more often than more that may come back."""

_FLATNESS = 0.7
"""Settings that go on are as the prompts of their stage to this negative power: at 1 all stages would cost alike, and too few would finish."""
_NEARLY_ALL = 0.8
"""Of the prompts, from which the next look is the last."""
PROOF_STEP = 1.4


class Schedule(NamedTuple):
    """The course of a race.

    Attributes:
        looks: prompts that have been asked at each look, rising; the last look has all of them.
        most: settings that go on after each look but the last; shorter by one than `looks`.
        recalled: settings that may be recalled in any case, for the budget keeps room for them.
        worst: blocks of a setting and a prompt that are asked at most, the reference and those recalled among them.
        whole: blocks of the full grid.
    """

    looks: tuple[int, ...]
    most: tuple[int, ...]
    recalled: int
    worst: int
    whole: int

    @property
    def share(self) -> float:
        """Of the full grid's requests, at most."""
        return self.worst / self.whole


def first_look(prompts: int, *, proof: bool = False) -> int:
    """Prompts before the first look where nothing else is said."""
    few, some, many = (5, 5, 6) if proof else (2, 3, 5)
    return min(prompts, few if prompts <= 12 else some if prompts <= 30 else many)


def looks_of(first: int, prompts: int, step: float) -> tuple[int, ...]:
    """The looks from `first` prompts on, each with `step` times as many as the one before; from four fifths on the next is the last."""
    out = [min(first, prompts)]
    while out[-1] < prompts:
        further = max(out[-1] + 1, math.ceil(out[-1] * step - 1e-9))
        out.append(prompts if further >= _NEARLY_ALL * prompts else further)
    return tuple(out)


def schedule(cells: int, prompts: int, budget: float | None, first: int | None = None, finalists: int = 3) -> Schedule | None:
    """The course that keeps to `budget`, a share of the full grid's requests; None where there is none.

    Args:
        budget: None for a proof, in which settings leave by tests alone.
        first: prompts before the first look; by the number of prompts where None.
    """
    whole = cells * prompts
    begin = first_look(prompts, proof=budget is None) if first is None else min(first, prompts)
    if budget is None:
        looks = looks_of(begin, prompts, PROOF_STEP)
        return Schedule(looks, (cells,) * (len(looks) - 1), 0, whole, whole)
    looks = looks_of(begin, prompts, 2)
    allowed = math.floor(budget * whole + 1e-9)
    least = min(finalists, cells)
    for recalled in range(min(RESERVED, cells - least), -1, -1):
        if _worst(cells, prompts, looks, (least,) * (len(looks) - 1), recalled) <= allowed:
            most = _largest(cells, prompts, looks, least, recalled, allowed)
            return Schedule(looks, most, recalled, min(_worst(cells, prompts, looks, most, recalled), whole), whole)
    return None


def _largest(cells: int, prompts: int, looks: tuple[int, ...], least: int, recalled: int, allowed: int, *, alone: bool = False) -> tuple[int, ...]:
    """How many go on after each look but the last: the fewer, the more prompts they are asked then; as many as `allowed` blocks are enough for."""
    weights = [(later - sooner) ** -_FLATNESS for sooner, later in pairwise(looks)]

    def course(scale: float) -> tuple[int, ...]:
        many = (min(cells, max(least, math.floor(scale * weight + 1e-9))) for weight in weights)
        return tuple(accumulate(many, min))

    low, high = 0.0, cells / min(weights, default=1.0)
    if _worst(cells, prompts, looks, course(high), recalled, alone=alone) <= allowed:
        return course(high)
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if _worst(cells, prompts, looks, course(middle), recalled, alone=alone) <= allowed else (low, middle)
    return course(low)


def _worst(cells: int, prompts: int, looks: tuple[int, ...], most: tuple[int, ...], recalled: int, *, alone: bool = False) -> int:
    """Blocks at most: those of the course and, unless `alone`, of the reference as if it left with the first, and of who is recalled."""
    asked = cells * looks[0] + sum(many * (later - sooner) for many, (sooner, later) in zip(most, pairwise(looks), strict=True))
    dropped = cells - min(most, default=cells)
    if alone or not dropped:
        return asked
    leaves = next(look for look, many in zip(looks, most, strict=False) if many < cells)
    return asked + prompts - leaves + min(dropped, recalled) * (prompts - looks[-2])


def joining(new: int, prompts: int, budget: float | None, first: int | None = None) -> Schedule:
    """The course of `new` settings that race against others that have been asked everything: they alone cost, and one of them finishes at least.

    `worst` is of these alone; it exceeds the budget where one that finishes costs more.
    """
    begin = first_look(prompts, proof=budget is None) if first is None else min(first, prompts)
    whole = new * prompts
    if budget is None:
        looks = looks_of(begin, prompts, PROOF_STEP)
        return Schedule(looks, (new,) * (len(looks) - 1), 0, whole, whole)
    looks = looks_of(begin, prompts, 2)
    allowed = max(math.floor(budget * whole + 1e-9), new * looks[0] + prompts - looks[0])
    most = _largest(new, prompts, looks, 1, 0, allowed, alone=True)
    return Schedule(looks, most, 0, _worst(new, prompts, looks, most, 0, alone=True), whole)


def least_budget(cells: int, prompts: int, first: int | None = None, finalists: int = 3) -> float:
    """The smallest share of the full grid's requests that any course keeps to."""
    begin = first_look(prompts) if first is None else min(first, prompts)
    looks = looks_of(begin, prompts, 2)
    least = min(finalists, cells)
    return min(1.0, _worst(cells, prompts, looks, (least,) * (len(looks) - 1), 0) / (cells * prompts))
