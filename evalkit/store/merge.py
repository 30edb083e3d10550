"""Runs of one experiment made into one: shards, halves from two machines, runs with other levels, prompts or replicates."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from evalkit.errors import RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.union import union
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard, shard_of
from evalkit.store import embeddings, executions, judgements, ratings, records
from evalkit.store.batches import check_none
from evalkit.store.blocks import blocks
from evalkit.store.embeddings import Embedding
from evalkit.store.executions import Execution
from evalkit.store.folder import HOLDER_FILE, LOCK_FILE, PROBE_FILE, check_name, is_run, locked, read_experiment, read_run, write_joined
from evalkit.store.joining import Joined, Kind, join
from evalkit.store.judgements import Judgement
from evalkit.store.race import RACE
from evalkit.store.records import Completion, Record
from evalkit.store.segments import check_none_left
from evalkit.text.notes import Tell, nobody, note, warning
from evalkit.text.numbers import counted

CONFLICTS = "conflicts.jsonl"
"""What was answered twice and differently: the answer that counts beside each other one, a line for each of those."""

_MOST_NAMED = 12


class _Line(msgspec.Struct, gc=False):
    key: str
    v: int = 1  # which some lines leave out


class _Conflict(msgspec.Struct):
    """Two lines of one key that say something else."""

    v: int
    of: str
    key: str
    kept: msgspec.Raw
    other: msgspec.Raw


def _answer(record: Record) -> Any:
    """What a record answers; None of a failure."""
    outcome = record.outcome
    return (outcome.text, outcome.tool_calls, outcome.refusal, outcome.reasoning) if isinstance(outcome, Completion) else None


def _score(judgement: Judgement) -> Any:
    return judgement.score


def _vector(embedding: Embedding) -> Any:
    return True if embedding.vector else None  # two vectors of one text differ in their last digits, which says nothing


def _passed(execution: Execution) -> Any:
    return execution.passed


_KINDS: tuple[Kind[Any], ...] = (
    Kind(records.RESPONSES, records.FORM, msgspec.json.Decoder(records.Brief), _answer, lambda one: one.at),
    Kind(judgements.FILE, judgements.FORM, msgspec.json.Decoder(_Line), _score, lambda one: one.at),
    Kind(embeddings.FILE, embeddings.FORM, msgspec.json.Decoder(_Line), _vector, lambda _: ""),
    Kind(executions.FILE, executions.FORM, msgspec.json.Decoder(_Line), _passed, lambda one: one.at),
)


@dataclass(frozen=True)
class Merged:
    """What a merge came to.

    Attributes:
        folder: where the run stands now.
        runs: how many were merged.
        records, answers: lines of ``responses.jsonl``, and keys that have their completion.
        planned: requests that the experiment asks for, anchors included.
        dropped: records that others say too.
        conflicts: answers that differ from the one that counts for their request.
    """

    folder: Path
    experiment: Experiment
    runs: int
    records: int
    answers: int
    planned: int
    dropped: int
    conflicts: int


def merge_runs(folders: Sequence[Path], into: Path, tell: Tell = nobody) -> Merged:
    """Join the runs in `folders` into a new one in `into`, which appears whole or not at all; they themselves stay as they are.

    A request that several have answered keeps its earliest answer, and ``conflicts.jsonl`` both where they differ. Nothing is scored or sent.

    Args:
        tell: is given what the user should know: torn ends, what was answered twice, parts that are missing.

    Raises:
        RecordError: a folder is no run, stands there twice, is being written, holds a race; `into` is in use; a record cannot be read or written.
        ExperimentError: the runs are of experiments that do not fit; with all that differs.
    """
    check_name(into)
    _check(folders, into)
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(_held(folder))
        runs = [read_run(folder) or {} for folder in folders]
        experiment = union([(str(folder), read_experiment(folder)) for folder in folders], lambda text: tell(note(text)))
        _tell_of_missing([str(run.get("shard", "")) for run in runs], tell)
        with _making(into) as made:
            joined = _joined(folders, made, tell)
            write_joined(made, experiment, runs, [folder.resolve().name for folder in folders])
    found = joined.get(records.RESPONSES, Joined())
    plan = Plan(experiment)
    every = joined.values()
    return Merged(
        folder=into,
        experiment=experiment,
        runs=len(folders),
        records=found.lines,
        answers=found.settled,
        planned=len(plan) + plan.anchor_count,
        dropped=found.dropped,
        conflicts=sum(one.conflicts for one in every),
    )


def _check(folders: Sequence[Path], into: Path) -> None:
    """Raise `RecordError` where these cannot be merged into that, before anything is read."""
    if not folders:
        raise RecordError("merge: no folder is named; expected those of the runs to join, like results/NAME.1-of-2 results/NAME.2-of-2")
    seen: dict[Path, Path] = {}
    for folder in folders:
        check_name(folder)
        if not folder.is_dir():
            raise RecordError(f"{folder}: no such results folder; expected one that a sweep has made, like results/quickstart")
        if not is_run(folder) or read_run(folder) is None:
            raise RecordError(f"{folder}: no run stands in it; expected a folder that a sweep has made")
        place = folder.resolve()
        if place in seen:
            raise RecordError(f"{folder}: stands there twice (as {seen[place]}); a run is not merged with itself, name it once")
        seen[place] = folder
        check_none(folder)
        check_none_left(folder)
        if (folder / RACE).exists():
            raise RecordError(
                f"{folder}: holds a race, whose looks rest on its own answers; a race is not merged. Take search out and sweep the full grid"
            )
    if into.resolve() in seen:
        raise RecordError(f"{into}: is one of the runs to be merged; give another folder for what comes of it")
    if into.is_dir():
        if is_run(into):
            raise RecordError(f"{into}: a run stands there, and is not written over; give a new folder, and name this one among those to be merged")
        others = [one.name for one in into.iterdir() if one.name not in (LOCK_FILE, HOLDER_FILE, PROBE_FILE)]
        if others:
            raise RecordError(f"{into}: this folder holds other files and no run; give an empty or a new one")
    elif into.exists():
        raise RecordError(f"{into}: is a file; give a new folder")


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run that is read, so that nobody writes into it meanwhile; where nobody can write, nothing need be held."""
    if not os.access(folder, os.W_OK):
        yield
        return
    with locked(folder):
        yield


@contextmanager
def _making(into: Path) -> Iterator[Path]:
    """A folder beside `into` that takes its place in the end; what a merge left behind that was killed is taken away."""
    beside = into.parent / f".{into.name}.merging"
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        beside.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        raise RecordError(f"{beside}: cannot be made: {fault.strerror}; give another folder") from None
    with locked(beside):
        try:
            _emptied(beside)
            yield beside
            if into.is_dir():
                for name in (LOCK_FILE, HOLDER_FILE):
                    (into / name).unlink(missing_ok=True)
                if (into / PROBE_FILE).exists():
                    (into / PROBE_FILE).replace(beside / PROBE_FILE)
            (beside / HOLDER_FILE).unlink(missing_ok=True)
            for one in beside.iterdir():
                _on_the_disk(one)
            _on_the_disk(beside)
            beside.rename(into)
            _on_the_disk(into.parent)
        except OSError as fault:
            raise RecordError(f"{into}: cannot be made: {fault.strerror}; what was merged stays as it is") from None
        except BaseException:
            with suppress(OSError):
                _emptied(beside)
            raise
        finally:
            with suppress(OSError):
                if beside.exists() and not any(one.name not in (LOCK_FILE, HOLDER_FILE) for one in beside.iterdir()):
                    (beside / HOLDER_FILE).unlink(missing_ok=True)
                    (beside / LOCK_FILE).unlink(missing_ok=True)
                    beside.rmdir()


def _on_the_disk(path: Path) -> None:
    """Make the disk keep a file, or the names in a folder: who merged may take the parts away at once."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _emptied(beside: Path) -> None:
    for one in beside.iterdir():
        if one.name not in (LOCK_FILE, HOLDER_FILE):
            one.unlink()


def _joined(folders: Sequence[Path], made: Path, tell: Tell) -> dict[str, Joined]:
    """Each journal that any of the folders has, put together in `made`."""
    out: dict[str, Joined] = {}
    with _Conflicts(made / CONFLICTS) as conflicts:
        for folder in folders:  # of merges before
            for block in blocks(folder / CONFLICTS):
                for line in block.lines.splitlines():
                    conflicts.take(line)
        for kind in _KINDS:
            joined = join(kind, folders, made, conflicts.of(kind.file))
            if joined is None:
                continue
            out[kind.file] = joined
            for words in joined.mended:
                tell(note(words))
            if joined.conflicts:
                said = "say something else than the earliest of the same request, which counts"
                tell(warning(f"{kind.file}: {counted(joined.conflicts, 'line')} {said}; both stand in {CONFLICTS}"))
    ratings.join(folders, made)
    return out


class _Conflicts:
    """The file of what was answered twice, made where there is anything to write, each line once; of lines written a hash is kept, and no more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self._seen: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def take(self, line: bytes) -> None:
        """Write a line, where it is not there yet."""
        hashed = hashlib.sha256(line).digest()[:16]
        if hashed in self._seen:
            return
        self._seen.add(hashed)
        if self._file is None:
            self._file = self._path.open("wb")
        self._file.write(line + b"\n")

    def of(self, file: str) -> Callable[[str, bytes, bytes], None]:
        """What takes the conflicts of a journal."""

        def take(key: str, kept: bytes, other: bytes) -> None:
            self.take(_encoded_conflict(file, key, kept, other))

        return take


def conflict_of(file: str, kept: bytes, other: bytes) -> bytes:
    """The line of ``conflicts.jsonl`` for two lines of one key in a journal, of which the first counts; without a line end."""
    return _encoded_conflict(file, msgspec.json.decode(kept, type=_Line).key, kept.rstrip(b"\n"), other.rstrip(b"\n"))


def _encoded_conflict(file: str, key: str, kept: bytes, other: bytes) -> bytes:
    return msgspec.json.encode(_Conflict(1, file, key, msgspec.Raw(kept), msgspec.Raw(other)))


def _tell_of_missing(shards: Sequence[str], tell: Tell) -> None:
    """Say which parts are not there, where all that are there are parts of one whole."""
    there = [shard_of(one) for one in shards if one]
    if not there or len(there) < len(shards) or len({one.of for one in there}) > 1:
        return
    of = there[0].of
    missing = [number for number in range(1, of + 1) if Shard(number, of) not in there]
    if missing:
        named = ", ".join(f"{number}/{of}" for number in missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        tell(warning(f"{counted(len(missing), 'shard')} of {of} not among them: {named}{more}; what falls to them is still to be asked"))
