"""A race in a results folder: its journal kept, its looks made on what the records hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.search import Search, share_in
from evalkit.metrics import EMBEDDED, UAX29, Tokenizer
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan
from evalkit.race.course import Course, OtherRaceError
from evalkit.race.deciding import goals_of
from evalkit.race.going import beginning, ending, next_look
from evalkit.race.proposing import sampler
from evalkit.scoring import executing, judging
from evalkit.scoring.basis import basis
from evalkit.scoring.embedding import unembedded
from evalkit.scoring.gather import Gathered, cut, gather
from evalkit.scoring.measuring import Basis
from evalkit.scoring.metric_set import Measures, measures
from evalkit.scoring.scores import Scores, scored
from evalkit.store import judgements, race
from evalkit.store.embeddings import Embeddings
from evalkit.store.race import RACE, Entry, RaceWriter
from evalkit.store.records import Record, Standing, read
from evalkit.text.notes import Tell, note
from evalkit.text.numbers import counted


def raced(experiment: Experiment, race: bool, budget: str | None) -> Experiment:
    """The experiment as a race, where one is asked for or a budget given; as it stands where not.

    Raises:
        ExperimentError: the budget is none, or the experiment does not say what is better.
    """
    if not race and budget is None:
        return experiment
    found = experiment.search or Search(method="race")
    if budget is not None:
        try:
            share_in(budget)
        except ValueError as fault:
            raise ExperimentError(f"race_budget: {fault}") from None
        found = found.model_copy(update={"budget": budget})
    if experiment.choose is None:
        raise ExperimentError("race: it needs to know what is better; add choose: {profile: balanced} to the experiment")
    return experiment.model_copy(update={"search": found})


def course_of(experiment: Experiment, folder: Path, *, anew: bool = False) -> Course | None:
    """The race of an experiment with ``search`` as it stands in a folder; None of one without.

    Args:
        anew: as if nothing stood there.

    Raises:
        RecordError: the race there is another one, or its journal cannot be read.
    """
    if experiment.search is None:
        return None
    entries = [] if anew else race.read(folder)
    try:
        return Course(experiment, goals_of(experiment, measures(experiment)), entries)
    except OtherRaceError as fault:
        raise RecordError(
            f"{folder / RACE}: is of a race with another {fault}; give those again, move the file away to race anew on the answers that are there, "
            "or take search out, which asks the full grid what it lacks"
        ) from None


class Racing:
    """A race on its way: `course` says what is to be asked; what it decides is written as it is decided."""

    def __init__(self, experiment: Experiment, folder: Path, measured: Measures, *, anew: bool) -> None:
        self._folder, self._measured, self._anew = folder, measured, anew
        self._writer: RaceWriter | None = None
        self._last: Scores | None = None
        self.restart(experiment)

    def restart(self, experiment: Experiment) -> None:
        """Take up the race as the journal has it, of an experiment that may have lost levels."""
        found = course_of(experiment, self._folder, anew=self._anew)
        if found is None:
            raise ValueError("the experiment is no race")
        if found.rounds_left:
            sampler()  # before anything is sent
        self.course = found
        self._unwritten: list[Entry] = []
        if (begun := beginning(found)) is not None:
            self._unwritten.append(begun)
            found.take(begun)

    def open(self, stack: ExitStack, tell: Tell) -> None:
        """Open the journal, under the folder's lock, and write what is not written yet."""
        self._writer = stack.enter_context(RaceWriter(self._folder))
        if self._writer.mended:
            tell(note(self._writer.mended))
        for entry in self._unwritten:
            self._writer.append(entry)
        self._unwritten = []

    @property
    def ended(self) -> bool:
        """Whether it was over before this time, and is still."""
        return self.course.over and not self._unwritten

    @property
    def ahead(self) -> int:
        """Requests that later looks may ask at most, and the anchors among them."""
        return sum(self.course.ahead)

    @property
    def runs(self) -> tuple[str, ...]:
        """The checks among what decides that rest on code being run."""
        return tuple(one.metric.name for one in self._deciding().runs)

    def heard(self, there: Standing) -> bool:
        """Whether everything that is to be asked before the next look has an outcome."""
        return all(there.has(request.key) for request in self.course.plan)

    def judged(self) -> bool:
        """Whether the judges that decide, and the endpoint for embeddings where they do, were asked about every answer there is, its code run too.

        Without that nobody may be dropped by what they say.
        """
        found, plan = self._deciding(), self.course.plan
        if any(judging.unjudged(self._folder, plan, found.judges)) or any(one.answers for one in executing.unrun(self._folder, plan, found.runs)):
            return False
        if found.embeddings is None or not any(one in EMBEDDED for one in found.metrics):
            return True
        return not unembedded(self._folder, plan, found.embeddings)

    def stage(self) -> str:
        """Who is still in, in a few words."""
        course = self.course
        if course.contest is None or course.over:
            return ""
        many = len(course.contest.schedule.looks)
        if course.search.bayes:
            where = f"round {course.rounds} of {course.search.rounds}, " if course.rounds else ""
            return f"{where}look {min(course.contest.done + 1, many)} of {many}: {len(course.staying)} of {len(course.whole.cells)} settings in"
        return f"look {min(course.contest.done + 1, many)} of {many}: {len(course.staying)} of {counted(len(course.whole.cells), 'setting')} in"

    def go_on(self, tell: Tell) -> None:
        """Make the next look, or end the race; what that decides is written and told."""
        course = self.course
        if self._writer is None or course.contest is None:
            raise ValueError("a race goes on once its journal is open")
        scores = self._scores(course.plan)
        entry = ending(course, scores) if course.contest.over else next_look(course, scores)
        self._writer.append(entry)
        course.take(entry)
        if entry.proposed is not None and (begun := beginning(course)) is not None:
            self._writer.append(begun)
            course.take(begun)
        self._writer.sync()
        if entry.look is not None and entry.look.left:
            many = {words: sum(one.why == why for one in entry.look.left) for why, words in _LEFT.items()}
            told = ", ".join(f"{number} {words}" for words, number in many.items() if number)
            tell(note(f"after {counted(entry.look.prompts, 'prompt')}: {told}; {len(entry.look.staying)} go on"))
        if entry.proposed is not None:
            new = len(entry.proposed.settings)
            what = f"{counted(new, 'setting')} proposed from what was seen" if new else "nothing proposed that was not asked already"
            tell(note(f"round {entry.proposed.round} of {course.search.rounds}: {what}"))
        if entry.recall:
            back = f"{counted(len(entry.recall), 'setting')} of those that had left {'is' if len(entry.recall) == 1 else 'are'}"
            tell(note(f"no finalist can be chosen: {back} asked the other prompts too"))

    def _scores(self, plan: Plan) -> Scores:
        """The scores of what decides; the last look and the end of a race rest on the same ones."""
        if self._last is None or self._last.plan.blocks != plan.blocks:
            deciding = self._deciding()
            found = scores_of(self.course, plan, read(self._folder), deciding, self._folder, beside=False)
            bounded = [one for one in found.metrics if one.name in self.course.goals.require]
            if not all(map(found.compared, bounded)):  # those are held to their bounds on whole answers
                found = scores_of(self.course, plan, read(self._folder), deciding, self._folder)
            self._last = found
        return self._last

    def _deciding(self) -> Measures:
        """What is measured at a look: what decides, and no more."""
        names = self.course.goals.names
        judges = tuple(one for one in self._measured.judges if one.name in names)
        metrics = tuple(one for one in self._measured.metrics if one.name in names)
        runs = tuple(one for one in self._measured.runs if one.metric.name in names)
        return replace(self._measured, metrics=metrics, judges=judges, runs=runs)


_LEFT = {"bound": "excluded by a bound", "worse": "shown worse", "aside": "set aside"}


def scores_of(
    course: Course, plan: Plan, records: Iterable[Record], measured: Measures, folder: Path, tokenizer: Tokenizer = UAX29, *, beside: bool = True
) -> Scores:
    """The scores of a race, on each prompt compared on what its first look there fixed; `beside` as `scored` takes it."""
    columns = judging.columns(measured.judges, plan.experiment, judgements.load(folder)) if measured.judges else ()
    columns += executing.columns(measured.runs, plan, folder)
    vectors = None if measured.embeddings is None else Embeddings(folder, measured.embeddings).of
    gathered = cut(gather(plan, records, measured.scorers, columns), tokenizer)
    return scored(gathered, _fixed(course, gathered), measured.metrics, vectors, beside=beside)


def _fixed(course: Course, gathered: Gathered) -> Basis:
    """What settings are compared on: as it was fixed, and on prompts that are new as it is found; all as found where replicates were added."""
    start, experiment = course.start, course.experiment
    if start is None or any(one.replicates != experiment.replicates for one, _ in course.looks) or not course.looks:
        return basis([gathered])[0]
    found = basis([gathered], course.prefix)[0]
    frozen = [course.frozen.get(prompt.id) for prompt in experiment.prompts]
    ks = np.array([k if one is None else one.k for k, one in zip(found.ks.tolist(), frozen, strict=True)], dtype=np.int64)
    samples: Sequence[Sample | None] = [
        sample if one is None else None if one.lengths is None else Sample(tuple(one.lengths))
        for sample, one in zip(found.samples or [None] * len(frozen), frozen, strict=True)
    ]
    return found._replace(ks=ks, samples=tuple(samples), prefix=None if course.prefix is None else found.prefix)
