"""What stands in a results folder of which nothing is scored: a shard of an experiment, or one whose batches are under way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from evalkit.collect.tally import Tally
from evalkit.experiment.experiment import Experiment
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
