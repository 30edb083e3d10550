"""A run that is looked at: its experiment and plan, and where in the file of its records each answer stands."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from evalkit.analysis.sentences import in_words
from evalkit.errors import EvalkitError, RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.plan.places import Place
from evalkit.plan.requests import Plan, Role
from evalkit.race.course import Course, OtherRaceError
from evalkit.race.deciding import goals_of
from evalkit.run import Run, load
from evalkit.scoring.gather import text_scored
from evalkit.scoring.metric_set import measures
from evalkit.store import race
from evalkit.store.folder import ANALYSIS, CHOICE, RUN_FILE, read_experiment
from evalkit.store.records import FORM, RESPONSES, BriefOutcome, Completion, Record, packed
from evalkit.view.tail import Tail, line_at

_KEPT = 4


class _Where(msgspec.Struct, gc=False):
    """Of a record what tells where an answer stands."""

    key: str
    outcome: BriefOutcome


class _Said(msgspec.Struct, gc=False):
    """Of an outcome its text."""

    type: str
    text: str = ""


class _Text(msgspec.Struct, gc=False):
    """Of a record what a search looks at."""

    key: str
    role: Role
    prompt_id: str
    cell: dict[str, Any]
    replicate: int
    outcome: _Said


_where, _text = msgspec.json.Decoder(_Where), msgspec.json.Decoder(_Text)
_OTHER_FORM = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Opened:
    """One run, read on demand. Its records are gone through once, and then what is new of them.

    Attributes:
        run: what it was scored to; None where it is not, and `unscored` says why.
        course: of a race; None of a full grid.
        unread: lines of the records that are none.
        lock: held by whoever asks anything of it.
    """

    def __init__(self, folder: Path) -> None:
        """Raises `RecordError` where the folder cannot be read."""
        self.folder = folder
        self.experiment = read_experiment(folder)
        self.course = course_in(folder, self.experiment)
        self.plan = Plan(self.experiment) if self.course is None or self.course.start is None else self.course.plan
        self.run, self.unscored = _scored(folder)
        self.unread = 0
        self.lock = threading.RLock()
        self._tail = Tail(folder / RESPONSES)
        self._begun = 0
        self._answers: dict[bytes, int] = {}
        self._failures: dict[bytes, int] = {}
        self._places = {self._level_key(cell): at for at, cell in enumerate(self.plan.cells)}
        self._prompts = {prompt.id: at for at, prompt in enumerate(self.experiment.prompts)}

    def _level_key(self, cell: Mapping[str, Any]) -> bytes:
        return msgspec.json.encode(dict(cell), order="sorted")

    def name_of(self, cell: int) -> str:
        """A setting in words."""
        levels = in_words({name: level for name, level in self.plan.cells[cell].items() if len(self.experiment.parameters.get(name, (0, 0))) > 1})
        named = self.run.analysis.name_of(cell) if self.run is not None and cell < len(self.run.analysis.cells) else None
        return f"{named} ({levels})" if named else levels

    def refresh(self) -> None:
        """Note where the records stand that are new. Raises `RecordError`."""
        lines = self._tail.lines()
        if self._tail.begun != self._begun:
            self._begun, self.unread = self._tail.begun, 0
            self._answers.clear()
            self._failures.clear()
        for at, line in lines:
            try:
                found = _where.decode(line)
            except _OTHER_FORM:
                self.unread += not line.isspace()
                continue
            key = packed(found.key)
            if found.outcome.type == "completion":
                self._answers.setdefault(key, at)
                self._failures.pop(key, None)
            elif key not in self._answers:
                self._failures[key] = at

    def __len__(self) -> int:
        """Requests that have their answer, as far as `refresh` saw."""
        return len(self._answers)

    def answered(self, key: str) -> bool:
        """Whether a request has its answer, as far as `refresh` saw."""
        return packed(key) in self._answers

    def record(self, key: str) -> Record | None:
        """The record that counts of a request; None where it has none. Raises `RecordError`."""
        short = packed(key)
        at = self._answers.get(short, self._failures.get(short))
        if at is None:
            return None
        try:
            found = FORM.decode(line_at(self.folder / RESPONSES, at))
        except _OTHER_FORM:
            raise RecordError(f"{RESPONSES} was changed while it was read; reload the page") from None
        return found if found.key == key else None

    def text(self, record: Record) -> str | None:
        """What is scored of an answer; None of a failure."""
        return text_scored(record.outcome, record, self.experiment) if isinstance(record.outcome, Completion) else None

    def answers(self, prompt: int, cell: int) -> dict[int, Record]:
        """The records of a setting on a prompt, by replicate. Raises `RecordError`."""
        if not self.plan.has(cell, prompt):
            return {}
        found = ((replicate, self.record(self.key(Place(cell, prompt, replicate)))) for replicate in range(self.experiment.replicates))
        return {replicate: record for replicate, record in found if record is not None}

    def key(self, place: Place) -> str:
        """The key of the request that stands there."""
        return self.plan.request(place.cell, place.prompt, place.replicate).key

    def _said_place(self, cell: Mapping[str, Any], prompt_id: str, replicate: int) -> Place | None:
        """Where a record says that it stands; None where the plan has no such place."""
        at, prompt = self._places.get(self._level_key(cell)), self._prompts.get(prompt_id)
        return None if at is None or prompt is None or not 0 <= replicate < self.experiment.replicates else Place(at, prompt, replicate)

    def place(self, key: str, cell: Mapping[str, Any], prompt_id: str, replicate: int) -> Place | None:
        """Where a record's request stands in the plan; None where the plan has no such request."""
        found = self._said_place(cell, prompt_id, replicate)
        return found if found is not None and self.key(found) == key else None

    def holding(self, wanted: str, most: int) -> tuple[int, list[tuple[Place, str]]]:
        """How many answers of the run hold a text, small and large letters alike, and the first of them with their places.

        The count takes a record by where it says that it stands: those shown are held against the plan, which takes longer.
        """
        low, count, hits = wanted.casefold(), 0, list[tuple[Place, str]]()
        seen: set[str] = set()
        plain = low.encode() if low.isascii() and low.isprintable() and not set(low) & set('"\\/') else None  # as it stands in JSON too
        for line in _lines(self.folder / RESPONSES):
            if plain is not None and plain not in line.lower():
                continue
            try:
                found = _text.decode(line)
            except _OTHER_FORM:
                continue
            if found.role != "sweep" or found.outcome.type != "completion" or low not in found.outcome.text.casefold() or found.key in seen:
                continue
            place = self._said_place(found.cell, found.prompt_id, found.replicate)
            if place is None or (len(hits) < most and self.key(place) != found.key):
                continue
            seen.add(found.key)
            count += 1
            if len(hits) < most:
                hits.append((place, found.outcome.text))
        return count, hits


def course_in(folder: Path, experiment: Experiment) -> Course | None:
    """The race in a folder as it stands, none of the experiment's scorers imported; None of a full grid, or where it cannot be told.

    Raises:
        RecordError: its journal cannot be read.
    """
    if experiment.search is None:
        return None
    goals = goals_of(experiment, measures(experiment.model_copy(update={"scorers": ()})))  # what functions give is taken to be given
    try:
        return Course(experiment, goals, race.read(folder))
    except OtherRaceError:
        return None


def _lines(path: Path) -> Iterator[bytes]:
    return (line for _, line in Tail(path).lines())


def _scored(folder: Path) -> tuple[Run | None, str]:
    """The run as it was scored last; else why it cannot be read."""
    try:
        return load(folder), ""
    except EvalkitError as fault:
        return None, str(fault)


class Shelf:
    """The runs that were looked at last, each opened once until what it is read from changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Path, tuple[Any, Opened]] = {}

    def opened(self, folder: Path) -> Opened:
        """The run in a folder. Raises `RecordError`."""
        stamp = tuple(_stamp(folder / name) for name in (RUN_FILE, ANALYSIS, CHOICE))
        with self._lock:
            known = self._kept.pop(folder, None)
            if known is None or known[0] != stamp:
                known = (stamp, Opened(folder))
            self._kept[folder] = known
            while len(self._kept) > _KEPT:
                self._kept.pop(next(iter(self._kept)))
            return known[1]

    def forget(self, but: Collection[Path]) -> None:
        """Close the runs that are no more."""
        with self._lock:
            for gone in self._kept.keys() - set(but):
                del self._kept[gone]


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
