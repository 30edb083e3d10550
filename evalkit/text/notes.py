"""What the user should know: how much it matters, and a sentence. Who shows it decides on its look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Level = Literal["note", "warning", "stopped", "interrupted"]


class Note(NamedTuple):
    """One thing that the user should know.

    Attributes:
        level: ``note``: good to know; ``warning``: it bears on what the results mean; ``stopped``, ``interrupted``: why it ends before its end.
        text: a sentence, without the level.
    """

    level: Level
    text: str

    def __str__(self) -> str:
        return self.text if self.level == "note" else f"{self.level}: {self.text}"

    @property
    def urgent(self) -> bool:
        """Whether it is told also where all is to be quiet."""
        return self.level != "note"


Tell = Callable[[Note], None]
"""Is given each thing that the user should know, as it comes up."""


def note(text: str) -> Note:
    """Something good to know."""
    return Note("note", text)


def warning(text: str) -> Note:
    """Something that bears on what the results mean."""
    return Note("warning", text)


def nobody(_: Note) -> None:
    """Where nobody is to be told."""
