"""Segments: what workers of a sweep recorded, each in a folder of its own in the results folder, until the run's own file has it."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from evalkit.errors import RecordError
from evalkit.store.records import RESPONSES, Completion, Record, RecordWriter, read, standing
from evalkit.text.notes import Tell, note
from evalkit.text.numbers import counted

SEGMENTS = "segments"


def segments_of(folder: Path) -> Path:
    """Where the segments of a results folder stand; made where it is missing. Raises `RecordError`."""
    place = folder / SEGMENTS
    try:
        place.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        raise RecordError(f"{place}: cannot be made: {fault.strerror}") from None
    return place


def left_in(folder: Path) -> list[Path]:
    """Segments that stand in a results folder: a sweep was cut off before its own file had all of them."""
    return sorted(path.parent for path in (folder / SEGMENTS).glob(f"*/{RESPONSES}"))


def join_left(folder: Path, writer: RecordWriter, tell: Tell) -> None:
    """Bring what a sweep that was cut off left in segments into the run's own file, and take the segments away.

    Raises:
        RecordError: one cannot be read, or the file cannot be written; the segments stay.
    """
    left = left_in(folder)
    if left:
        there, joined = standing(folder), 0
        for one in left:
            for record in read(one):
                if _adds(record, there.answered(record.key), there.has(record.key)):
                    writer.append(record)
                    there.add(record.key, None if isinstance(record.outcome, Completion) else record.outcome.kind)
                    joined += 1
        writer.sync()
        if joined:
            tell(note(f"{counted(joined, 'outcome')} that workers had recorded before they were cut off: kept"))
    clear(folder)


def _adds(record: Record, answered: bool, known: bool) -> bool:
    return not answered and (isinstance(record.outcome, Completion) or not known)


def clear(folder: Path, but: Collection[str] = ()) -> None:
    """Take the segments away whose records all stand in the run's own file, `but` those of that name."""
    place = folder / SEGMENTS
    for one in place.iterdir() if place.is_dir() else ():
        if one.name not in but:
            shutil.rmtree(one, ignore_errors=True) if one.is_dir() else one.unlink(missing_ok=True)
    with suppress(OSError):  # where some stay
        place.rmdir()


def check_none_left(folder: Path) -> None:
    """Raise `RecordError` where workers left segments that the run's own file lacks."""
    if left_in(folder):
        raise RecordError(f"{folder}: holds answers in {SEGMENTS}/ that a sweep was cut off from; run evalkit score {folder} first, which joins them")
