"""When a race looks at what it has, and how many settings may go on after each look."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

RECALLED = 3
"""Settings, at most, that are asked all prompts after all where no finalist keeps to the bounds; the budget reserves them."""

_NEARLY_ALL = 0.8
"""Of the prompts, from which the next look is the last."""
PROOF_STEP = 1.4


class Schedule(NamedTuple):
    """The course of a race.

    Attributes:
        looks: prompts that have been asked at each look, rising; the last look has all of them.
        most: settings that go on after each look but the last; shorter by one than `looks`.
        recalled: settings that a budget reserves the remaining prompts for.
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
    # As many may be recalled as the budget has room for beside the smallest course there is.
    for recalled in range(min(RECALLED, cells - least), -1, -1):
        if _worst(cells, prompts, looks, (least,) * (len(looks) - 1), recalled) <= allowed:
            most = _largest(cells, prompts, looks, least, recalled, allowed)
            return Schedule(looks, most, recalled, min(_worst(cells, prompts, looks, most, recalled), whole), whole)
    return None


def _largest(cells: int, prompts: int, looks: tuple[int, ...], least: int, recalled: int, allowed: int) -> tuple[int, ...]:
    """How many go on after each look but the last, each time the same share fewer, as many as the blocks `allowed` are enough for."""

    def course(eta: float) -> tuple[int, ...]:
        return tuple(max(least, math.floor(cells / eta ** (place + 1) + 1e-9)) for place in range(len(looks) - 1))

    low, high = 1.0, float(max(2, cells))
    if _worst(cells, prompts, looks, course(low), recalled) <= allowed:
        return course(low)
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if _worst(cells, prompts, looks, course(middle), recalled) <= allowed else (middle, high)
    return course(high)


def _worst(cells: int, prompts: int, looks: tuple[int, ...], most: tuple[int, ...], recalled: int) -> int:
    """Blocks at most: those of the course, and of the reference and those recalled as if they had left at the first look."""
    asked = cells * looks[0] + sum(many * (later - sooner) for many, (sooner, later) in zip(most, pairwise(looks), strict=True))
    dropped = cells - (most[0] if most else cells)
    beside = min(dropped, recalled + 1) if dropped else 0
    return asked + beside * (prompts - looks[0])


def least_budget(cells: int, prompts: int, first: int | None = None, finalists: int = 3) -> float:
    """The smallest share of the full grid's requests that any course keeps to."""
    begin = first_look(prompts) if first is None else min(first, prompts)
    looks = looks_of(begin, prompts, 2)
    least = min(finalists, cells)
    return min(1.0, _worst(cells, prompts, looks, (least,) * (len(looks) - 1), 0) / (cells * prompts))
