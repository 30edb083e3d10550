"""``ratings.jsonl``: one line for each judgement of a person, appended the moment it is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from evalkit.errors import RecordError
from evalkit.store import journal
from evalkit.store.journal import Form, Journal

FILE = "ratings.jsonl"
LOCK = ".ratings.lock"
VERSION = 1

Verdict = Literal["left", "right", "tie"]

_WAITS_S = 5.0


class Rating(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person said of two answers to a prompt, without knowing what they are of, or of one.

    Attributes:
        at: when, UTC.
        rater: who, by name.
        left, right: keys of the answers' records, as they stood on the screen; `right` is None where one was rated by itself.
        verdict: of two, which is better.
        judge, score: of one, its number on the scale of the judge of this name.
    """

    v: int = VERSION
    at: str
    rater: str
    prompt_id: str
    left: str
    right: str | None = None
    verdict: Verdict | None = None
    judge: str | None = None
    score: int | None = None

    @property
    def of(self) -> tuple[str, ...]:
        """What it is of, whichever stood left: a later rating of the same by the same person is in place of it."""
        return (self.rater, self.left, self.judge or "") if self.right is None else (self.rater, *sorted((self.left, self.right)))


FORM = Form(Rating, VERSION, name="rating", torn="that rating has to be made again")


def append(folder: Path, rating: Rating) -> str | None:
    """Add a line, on the disk when this returns; tells what was mended before it. A sweep in the same folder is not disturbed.

    Raises:
        RecordError: it cannot be written, or another viewer does not let go of the file.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / LOCK, timeout=_WAITS_S), Journal(folder / FILE, FORM) as file:
            file.append(rating)
            return file.mended
    except Timeout:
        raise RecordError(f"{folder / FILE}: another viewer is writing it; try again") from None
    except OSError as fault:
        raise RecordError(f"{folder / FILE}: cannot be written: {fault.strerror}") from None


def load(folder: Path) -> list[Rating]:
    """The ratings in a results folder that count, in the order they came: of each person and what is rated the last. Raises `RecordError`."""
    return counting(journal.read(folder / FILE, FORM))


def join(folders: Sequence[Path], into: Path) -> int:
    """Write the ratings of several results folders into another, in the order they were made, each once; gives how many. Raises `RecordError`."""
    every = {msgspec.json.encode(one): one for folder in folders for one in journal.read(folder / FILE, FORM)}
    if every:
        with Journal(into / FILE, FORM) as file:
            for one in sorted(every.values(), key=lambda one: one.at):
                file.append(one)
    return len(every)


def counting(every: Iterable[Rating]) -> list[Rating]:
    """Of each person and what is rated the last."""
    return list({one.of: one for one in every}.values())
