"""Batches handed over by hand: files of requests written for any provider's console or ``vllm run-batch``, and the files read that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from evalkit.client.client import read_answer
from evalkit.client.connection import secrets_of
from evalkit.collect.answers import Answers
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import Batching
from evalkit.experiment.experiment import Experiment
from evalkit.plan.requests import Plan
from evalkit.store import batches
from evalkit.store.away import check_here
from evalkit.store.folder import check_shard, is_run, load_experiment, locked, make, make_inside, now_text, seeds_of, write_run
from evalkit.store.records import Completion, RecordWriter, record_of, standing
from evalkit.sweeping.outlook import unsent
from evalkit.sweeping.ways import only_endpoint
from evalkit.text.notes import Tell, nobody, note, warning
from evalkit.text.numbers import counted

REQUESTS = "requests"
"""The folder in a results folder where files of requests are written."""


@dataclass(frozen=True)
class Written:
    """Files of requests, and how many requests stand in them."""

    folder: Path
    files: tuple[Path, ...]
    requests: int


@dataclass(frozen=True)
class Taken:
    """What files of answers brought.

    Attributes:
        completions, failures: recorded.
        before: answers to requests that had theirs already; these stay as they are.
        others: answers to requests that the run does not plan.
    """

    completions: int
    failures: int
    before: int
    others: int


def write_batches(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Written:
    """Write files of all requests that have no answer in `folder` yet, as `endpoint.batch` bounds them; nothing is sent.

    Files that were written before are taken away: each time what is still to be asked stands there, once.

    Raises:
        ExperimentError: its answers stream, or come several in a call.
        RecordError: the folder cannot be used, or has batches under way.
    """
    endpoint = only_endpoint(experiment, "batch write")
    if endpoint.stream or endpoint.replicates_per_call > 1:
        name = "stream" if endpoint.stream else "replicates_per_call"
        raise ExperimentError(f"batch write: a batch has whole answers, one a request; take endpoint.{name} out")
    if experiment.search is not None:
        raise ExperimentError("batch write: a race looks at answers before it asks on; take search out")
    folder = folder or Path("results") / experiment.name
    settings = endpoint.batch or Batching()
    check_here(folder, "to write batches by hand")
    make(folder)
    with locked(folder):
        check_shard(folder, "")
        batches.check_none(folder)
        experiment = experiment.with_seeds(seeds_of(folder) if is_run(folder) else "hashed")
        write_run(folder, experiment)
        place = folder / REQUESTS
        make_inside(place)
        for old in place.glob("*.jsonl"):
            old.unlink()
        requests = unsent(Plan(experiment), standing(folder), retry_failed)
        first = next(requests, None)
        files: list[Path] = []
        total = 0
        while first is not None:
            path = place / f"{experiment.name}-{len(files) + 1:03}.jsonl"
            count, first = batches.write_requests(
                path, requests, url=settings.url, most=settings.max_requests, most_bytes=settings.max_bytes, first=first
            )
            files.append(path)
            total += count
    return Written(folder, tuple(files), total)


def read_batches(folder: Path, paths: Sequence[Path], tell: Tell = nobody) -> Taken:
    """Record the answers in files that came of a run's requests; what has its answer already keeps it, and nothing is scored or sent.

    Raises:
        RecordError: there is no such run, or a file cannot be read, holds no answers, or those of another experiment alone.
    """
    check_here(folder, "to read batches by hand")
    experiment = load_experiment(folder)
    plan = Plan(experiment)
    only_endpoint(experiment, "batch read")
    secrets = secrets_of(one for _, one in experiment.called_at())  # an answer that quotes one is not to bring it into a file
    name = ", ".join(map(str, paths))
    with ExitStack() as stack:
        stack.enter_context(locked(folder))
        answers = Answers([stack.enter_context(_opened(path)) for path in paths], name)
        answers.check()
        there = standing(folder)
        known = before = 0
        for request in plan.sequence():
            if answers.holds(request.key):
                known += 1
                before += there.answered(request.key)
        if not known:
            raise RecordError(
                f"{name}: none of its {counted(len(answers), 'answer')} is to a request of {folder}; it came of another experiment, or "
                "of one that was changed since. Nothing was recorded"
            )
        others = len(answers) - known
        counts = [0, 0]
        writer = stack.enter_context(RecordWriter(folder))
        if writer.mended:
            tell(note(writer.mended))
        wanted = (request for request in plan.sequence() if not there.answered(request.key))
        for request, outcome in answers.take(wanted, lambda status, raw, asked: read_answer(status, raw, asked.body, secrets)):
            writer.append(record_of(request, outcome))
            counts[not isinstance(outcome, Completion)] += 1
        write_run(folder, experiment, sweep={"ended": now_text(), "by": "files of batches", "completions": counts[0], "failures": counts[1]})
    if answers.unread:
        tell(warning(f"{counted(answers.unread, 'line')} of {name} cannot be read; what they answer is still to be asked"))
    if others:
        tell(warning(f"{counted(others, 'answer')} of {name} are to no request of this run (other levels or prompts), and are not recorded"))
    return Taken(counts[0], counts[1], before, others)


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}; expected a file of answers that a batch brought") from None
