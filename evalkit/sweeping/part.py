"""What stands in a results folder of which nothing is scored: a shard of an experiment, or one whose batches are under way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.collect.tally import Tally
from evalkit.experiment.experiment import Experiment
from evalkit.plan.requests import Plan
from evalkit.store.records import standing
from evalkit.text.notes import Note


@dataclass(frozen=True)
class Part:
    """How far a results folder has come that is not scored yet.

    Attributes:
        planned: requests that fall to it, anchors included.
        answered: of those, the ones that have their answer.
        sent: how the requests of this time went; None where none was sent one by one.
        shard: which part of the experiment it is, like ``3/16``; empty where it is no part.
        underway: requests whose batches are under way.
        notes: what the user should know.
    """

    folder: Path
    experiment: Experiment
    planned: int
    answered: int
    sent: Tally | None = None
    shard: str = ""
    underway: int = 0
    notes: tuple[Note, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every request that falls to it has its answer."""
        return self.answered == self.planned


def part_of(folder: Path, plan: Plan, sent: Tally | None, notes: Sequence[Note], *, shard: str = "", underway: int = 0) -> Part:
    """How far `folder` has come with a plan; the rest as in `Part`. Raises `RecordError`."""
    there = standing(folder)
    answered = sum(there.answered(request.key) for request in plan.sequence())
    return Part(folder, plan.experiment, len(plan) + plan.anchor_count, answered, sent, shard, underway, tuple(notes))
