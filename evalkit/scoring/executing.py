"""Runs the code of answers for checks ``runs``, where somebody asked for that, and records what comes of each the moment it ends.

What is scored is what stands in the journal: nothing is run for a number.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evalkit.collect.session import Terms
from evalkit.collect.tally import Tally
from evalkit.errors import ExperimentError
from evalkit.plan.requests import Plan
from evalkit.sandbox.finding import NoSandboxError, sandbox
from evalkit.sandbox.limits import Limits
from evalkit.sandbox.running import Outcome, Sandbox, WallsError, version
from evalkit.scoring.gather import Column, texts_of
from evalkit.scoring.metric_set import RunsCheck
from evalkit.store.executions import FILE, FORM, Execution, Executions, Ran, Work, key_of, load
from evalkit.store.journal import Journal
from evalkit.store.records import Record, moment
from evalkit.text.notes import note, warning
from evalkit.text.numbers import counted

_LOOKED_S = 0.2
_MOST_AT_ONCE = 16
_LONGEST_WHY = 500


def found_sandbox() -> Sandbox:
    """The sandbox of this machine, after its self-test. Raises `ExperimentError` where none works."""
    try:
        return sandbox()
    except NoSandboxError as fault:
        raise ExperimentError(f"run_code: {fault}") from None


@dataclass(frozen=True)
class _Job:
    """The code of an answer that has not been run."""

    key: str
    ran: Ran
    limits: Limits
    record: str
    prompt_id: str


def execute(folder: Path, plan: Plan, checks: Sequence[RunsCheck], terms: Terms, where: Sandbox) -> int:
    """Run the code of the answers in `folder` that was not run yet by this interpreter, the same code with the same tests once; how many were run.

    Raises:
        RecordError: the records cannot be read, or the executions cannot be written.
        KeyboardInterrupt: interrupted; all that ran is ended, and what was recorded stays.
    """
    jobs = _lacking(folder, plan, checks)
    if not jobs:
        return 0
    terms.tell(note(f"runs: {counted(len(jobs), 'code')} to run, in a sandbox ({where.name}) whose self-test passed"))
    tally = Tally(len(jobs), what="executions", at_once=max(1, min(_MOST_AT_ONCE, os.cpu_count() or 1)))
    passed = 0
    python = version()
    with Journal(folder / FILE, FORM) as journal:
        if journal.mended:
            terms.tell(note(journal.mended))

        def keep(job: _Job, outcome: Outcome) -> None:
            nonlocal passed
            passed += outcome.passed
            why = "" if outcome.passed else outcome.why[:_LONGEST_WHY]
            journal.append(
                Execution(
                    key=job.key, of=job.ran.of, prompt_id=job.prompt_id, record=job.record, at=moment(), passed=outcome.passed, why=why,
                    seconds=round(outcome.seconds, 3), python=python, sandbox=where.name if job.ran.code else "",
                )
            )  # fmt: skip
            tally.count(None)
            terms.progress(tally)

        try:
            _through(jobs, where.anew(), tally, terms, keep)
        except WallsError as fault:
            rest = counted(tally.planned - tally.done, "code")
            terms.tell(warning(f"runs: the sandbox failed, and nothing is run without it: {fault}; {rest} left to run: run again to go on"))
    terms.tell(note(f"runs: {passed:,} of {counted(tally.done, 'code')} passed; why others did not stands in {FILE}"))
    return tally.done


def _lacking(folder: Path, plan: Plan, checks: Sequence[RunsCheck]) -> list[_Job]:
    found, python = load(folder), version()
    jobs: dict[str, _Job] = {}
    for check, record, ran in _answers(folder, plan, checks):
        key = key_of(ran.of, python)
        if key not in found.keys and key not in jobs:
            jobs[key] = _Job(key, ran, Limits(check.runs.seconds, check.runs.memory_mb), record.key, record.prompt_id)
    return list(jobs.values())


def _answers(folder: Path, plan: Plan, checks: Sequence[RunsCheck]) -> Iterator[tuple[RunsCheck, Record, Ran]]:
    """What each check would run of each answer."""
    works = [(check, Work(check.runs, plan.experiment)) for check in checks]
    for record, text in texts_of(folder, plan, frozenset(request.key for request in plan)) if works else ():
        for check, work in works:
            if (ran := work.of(record.prompt_id, text)) is not None:
                yield check, record, ran


def _through(jobs: Sequence[_Job], where: Sandbox, tally: Tally, terms: Terms, keep: Callable[[_Job, Outcome], None]) -> None:
    """Run them all, several at once, and keep each outcome; whatever ends this, all that runs is ended first."""
    left = iter(jobs)
    pool = ThreadPoolExecutor(tally.at_once, thread_name_prefix="evalkit executions")
    under_way: dict[Future[Outcome], _Job] = {}
    try:
        while True:
            while len(under_way) < 2 * tally.at_once and (job := next(left, None)) is not None:
                under_way[pool.submit(_outcome, job, where)] = job
            if not under_way:
                return
            done, _ = wait(under_way, _LOOKED_S, FIRST_COMPLETED)
            if terms.interruption is not None and terms.interruption.asked:
                raise KeyboardInterrupt
            tally.in_flight = min(tally.at_once, len(under_way))
            for one in done:
                keep(under_way.pop(one), one.result())
    finally:
        where.end()
        pool.shutdown(cancel_futures=True)


def _outcome(job: _Job, where: Sandbox) -> Outcome:
    if not job.ran.code:
        return Outcome(False, "the answer holds no Python code", 0.0)
    return where.run(job.ran.code, job.ran.tests, job.limits)


def columns(checks: Sequence[RunsCheck], plan: Plan, folder: Path) -> tuple[Column, ...]:
    """What the checks' executions came to as columns of answers, NaN of what was not run. Raises `RecordError`."""
    if not checks:
        return ()
    found = load(folder)
    return tuple(_column(check, Work(check.runs, plan.experiment), found) for check in checks)


def _column(check: RunsCheck, work: Work, found: Executions) -> Column:
    def of(record: Record, text: str) -> float:
        ran = work.of(record.prompt_id, text)
        passed = None if ran is None else found.passed(ran.of)
        return math.nan if passed is None else float(passed)

    return Column(check.metric, of)


class Unrun(NamedTuple):
    """Answers of a check that were not run, of all that have tests, and the interpreters that the others were run by."""

    name: str
    answers: int
    of: int
    pythons: tuple[str, ...]


def unrun(folder: Path, plan: Plan, checks: Sequence[RunsCheck]) -> list[Unrun]:
    """How far each check is. Raises `RecordError`."""
    if not checks:
        return []
    found = load(folder)
    every: dict[str, list[str]] = {check.metric.name: [] for check in checks}
    for check, _, ran in _answers(folder, plan, checks):
        every[check.metric.name].append(ran.of)
    return [
        Unrun(name, sum(found.passed(of) is None for of in keys), len(keys), tuple(sorted(found.pythons(set(keys))))) for name, keys in every.items()
    ]
