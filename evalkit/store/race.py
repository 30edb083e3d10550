"""``race.jsonl``: the course of a race and what each of its looks decided, so that a race that was killed goes on as the same race."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from evalkit.store import journal
from evalkit.store.journal import Form, Journal

VERSION = 1
RACE = "race.jsonl"

Why = Literal["bound", "worse", "aside"]


class Limits(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the desirability of a preferred metric is 0 and 1, as it was fixed at the first look."""

    metric: str
    goal: Literal["maximize", "minimize", "target"]
    worst: float
    best: float
    weight: float
    target: float | None = None
    beyond: bool = False


class OnPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """What settings are compared on, on one prompt: `k` answers to it, and the lengths of a sample of them; None where there is none."""

    id: str
    k: int
    lengths: list[int] | None


class Start(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The course that a race begins, or goes on with where prompts or levels were added.

    Attributes:
        wanted: what the race is for: goals, the race itself, model, seed. Where it differs, it is another race.
        prompts: ids, in the order in which they are asked.
        settings: the levels of each, contestants and the reference.
        contestants: their places in `settings`.
        reference: its place.
        looks: prompts at each look; `most` settings go on after each but the last.
        recalled: settings that the budget reserves the remaining prompts for.
        worst: blocks of a setting and a prompt that are asked at most; `whole` of the full grid.
        asked: prompts that each of `settings` had been asked before.
        tested: looks before, which have used up their part of the error.
        replicates: answers to each prompt.
        joining: places of settings that were proposed: `most` counts them alone, for the others have been asked everything already.
    """

    wanted: dict[str, Any]
    prompts: list[str]
    settings: list[Mapping[str, Any]]
    contestants: list[int]
    reference: int
    looks: list[int]
    most: list[int]
    recalled: int
    worst: int
    whole: int
    asked: list[int]
    tested: int
    replicates: int
    joining: list[int] = []


class Left(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A setting, by its place in `Start.settings`, that left at a look, as `evalkit.race.look.Leaving` tells it."""

    setting: int
    why: Why
    metric: str | None = None
    p: float | None = None
    level: float | None = None


class Looked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a look decided.

    Attributes:
        number: from 0, in its course.
        prompts: that contestants had been asked.
        values: digest of the values that it was decided on.
        staying: places of the settings that go on.
        worth: of those that were in, in the order of their places; None where it has none.
        limits: at the first look, for all that follow.
        on: what settings are compared on, on the prompts that are new at this look.
        prefix: words of the beginning that some metrics are compared on; None where there is none.
        left_out: places of settings whose answers are too short for that.
    """

    number: int
    prompts: int
    values: str
    leader: int | None
    left: list[Left]
    staying: list[int]
    worth: list[float | None]
    limits: list[Limits] | None = None
    on: list[OnPrompt] = []
    prefix: int | None = None
    left_out: list[int] = []


class Proposed(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of proposals.

    Attributes:
        round: from 1.
        values: digest of what it was made from.
        settings: the levels of each, none where all that was proposed had been asked already.
        by: the sampler, with its version.
    """

    round: int
    values: str
    settings: list[Mapping[str, Any]]
    by: str


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line: one of these.

    Attributes:
        recall: settings that are asked all prompts after all.
        over: nothing more is to be asked.
    """

    v: int
    start: Start | None = None
    look: Looked | None = None
    recall: list[int] | None = None
    proposed: Proposed | None = None
    over: bool = False


_ENTRIES = Form(Entry, VERSION, name="line of a race", torn="its look is made again")


class RaceWriter(Journal[Entry]):
    """Appends lines to the race of a results folder; see `Journal`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / RACE, _ENTRIES)


def read(folder: Path) -> list[Entry]:
    """The lines of the race in a results folder, none where there was none.

    Raises:
        RecordError: a line is none of a race, with its number.
    """
    return list(journal.read(folder / RACE, _ENTRIES))
