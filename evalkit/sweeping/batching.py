"""A sweep by batches: its requests are handed over in files, and what comes of them is collected whenever the same is asked for again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from evalkit.client.batches import BatchApi, Told
from evalkit.client.client import Client
from evalkit.client.connection import Access, bearer_key, opened, secrets_of
from evalkit.collect.answers import Answers
from evalkit.collect.batches import SETTLES_S, Batches
from evalkit.collect.budget import Spent
from evalkit.collect.tally import Tally
from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import LOCAL, Batching
from evalkit.experiment.experiment import Experiment
from evalkit.plan.requests import Plan, Request
from evalkit.run import Run
from evalkit.scoring.metric_set import measures
from evalkit.scoring.workers import check_jobs
from evalkit.store import batches
from evalkit.store.away import check_here
from evalkit.store.batches import BatchWriter, Underway
from evalkit.store.folder import check_shard, is_run, locked, make, now_text, seeds_of, write_run
from evalkit.store.records import RecordWriter, Standing, packed, record_of, standing
from evalkit.sweeping.hooks import Hooks, Pending
from evalkit.sweeping.options import Options
from evalkit.sweeping.outlook import narrowed, unsent
from evalkit.sweeping.part import Part, part_of
from evalkit.sweeping.rescoring import ask_and_run, sandbox_for, terms_of, what_it_took
from evalkit.sweeping.sweeping import begin_anew
from evalkit.sweeping.ways import check_engine, only_endpoint
from evalkit.text.notes import Note, note, warning
from evalkit.text.numbers import counted

_AT_ONCE = 4
_COLLECTED_TOGETHER = 4
"""Batches whose answers are looked up in one going through the plan."""


@dataclass(frozen=True)
class Waiting:
    """How batches are waited for.

    Attributes:
        wait: stay until all are through.
        resubmit: give up what nobody knows the fate of, and ask its requests again.
        settles_s: see `evalkit.collect.batches.SETTLES_S`.
    """

    wait: bool = False
    resubmit: bool = False
    settles_s: float = SETTLES_S


def run_batches(
    experiment: Experiment,
    folder: Path | None = None,
    options: Options = Options(),  # noqa: B008 (immutable)
    hooks: Hooks = Hooks(),  # noqa: B008 (immutable)
    waiting: Waiting = Waiting(),
) -> Run | Part | None:
    """Collect what batches of `experiment` have brought, and start batches of what has no answer and stands in none.

    Killed at any moment and begun again, no request is started twice and nothing collected is lost. What an expired or cancelled batch did not get to
    is started by the next call, not by the one that finds it out.

    Returns:
        The run, scored, where nothing is under way; how far it is where something is; None where `hooks.confirm` said no.

    Raises:
        ExperimentError: it cannot be sent by batches.
        RecordError: the folder cannot be used, or another process uses it.
        EndpointError, AuthError: the endpoint serves no batches, refuses them or cannot be asked; what was started and recorded stays.
        KeyboardInterrupt: interrupted; what was started is known.
    """
    experiment = narrowed(experiment, options.limit)
    _check(experiment, options, waiting)
    place = folder or Path("results") / experiment.name
    check_here(place, "to send by batches")
    with ExitStack() as stack:
        return _Batched(experiment, place, options, hooks, waiting).whole(stack)


def _check(experiment: Experiment, options: Options, waiting: Waiting) -> None:
    """Raise `ExperimentError` for what cannot be had by batches."""
    endpoint = only_endpoint(experiment, "batch")
    if experiment.search is not None or options.race or options.race_budget is not None:
        raise ExperimentError(
            "batch: a race looks at answers before it asks on, and a batch brings them all at the end; take search out, or race without"
        )
    if options.confirm:
        raise ExperimentError("batch: confirm asks anew once a choice is made; collect the batches first, then sweep with confirm")
    if endpoint.stream:
        raise ExperimentError("batch: endpoint.stream is true, and a batch does not stream; set it to false")
    if endpoint.replicates_per_call > 1:
        raise ExperimentError("batch: each answer is a request of its own; take endpoint.replicates_per_call out")
    if endpoint.base_url == LOCAL and not waiting.wait:
        raise ExperimentError("batch: the embedded endpoint ends with the command, and its batches with it; add wait")
    if options.budget.tokens is not None or options.budget.cost is not None:
        raise ExperimentError(
            "batch: what a batch uses is known when it is over, so that budget.tokens and budget.cost cannot be kept; bound requests"
        )
    check_engine(experiment, options, "batch")
    check_jobs(options.jobs)
    bearer_key(endpoint)


@dataclass
class _Batched:
    """One call's work."""

    experiment: Experiment
    folder: Path
    options: Options
    hooks: Hooks
    waiting: Waiting
    notes: list[Note] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.endpoint = only_endpoint(self.experiment, "batch")
        self.tally = Tally(0, spent=Spent(None if self.endpoint.prices is None else self.endpoint.prices.of_batches()))
        self.measured = measures(self.experiment)
        self.where = sandbox_for(self.measured) if self.options.run_code else None
        self.secrets = secrets_of(one for _, one in self.experiment.called_at())
        self.broken_off = False
        self.elsewhere: set[str] = set()

    def tell(self, one: Note) -> None:
        """Tell the user, and keep it with the result."""
        self.notes.append(one)
        self.hooks.note(one)

    def whole(self, stack: ExitStack) -> Run | Part | None:
        """All steps; None where nothing was to be sent after all."""
        started = now_text()
        make(self.folder)
        hold = stack.enter_context(ExitStack())
        hold.enter_context(locked(self.folder))
        check_shard(self.folder, "")
        if self.options.fresh and is_run(self.folder):
            if left := batches.underway(self.folder):
                self.tell(warning(f"batches of the run that stood there are under way ({len(left)}), and are not collected here"))
            begin_anew(self.folder, hold, self.tell)
        self.experiment = self.experiment.with_seeds(seeds_of(self.folder))
        self.plan = Plan(self.experiment)
        there = standing(self.folder)
        pending = sum(1 for _ in unsent(self.plan, there, self.options.retry_failed))
        known = batches.underway(self.folder)
        fresh = max(0, pending - sum(one.requests for one in known))
        if fresh and not self.hooks.confirm(Pending(fresh, len(self.plan), self.endpoint.base_url == LOCAL)):
            return None
        write_run(self.folder, self.experiment)
        left = known
        if pending or known:
            self.tally.planned = pending
            writer = hold.enter_context(RecordWriter(self.folder))
            journal = hold.enter_context(BatchWriter(self.folder))
            for mended in filter(None, (writer.mended, journal.mended)):
                self.tell(note(mended))
            base_url = stack.enter_context(opened(self.endpoint))
            access = Access(base_url(), bearer_key(self.endpoint), _AT_ONCE, secrets=self.secrets)
            left = asyncio.run(self._through(access, writer, journal, there))
            writer.sync()
        if self.tally.done:
            went = {
                "started": started,
                "ended": now_text(),
                "by": "batches",
                "completions": self.tally.completed,
                "failures": dict(self.tally.failed),
            }
            write_run(self.folder, self.experiment, sweep=went | what_it_took(self.tally.spent))
        if left:
            return part_of(self.folder, self.plan, self.tally, self.notes, underway=sum(one.requests for one in left))
        return self._scored()

    async def _through(self, access: Access, writer: RecordWriter, journal: BatchWriter, there: Standing) -> list[Underway]:
        """Take up, collect, start, and wait where that is wanted; what is left under way or unresolved."""
        endpoint = self.endpoint
        settings = endpoint.batch or Batching()
        async with access.client(endpoint) as client:
            work = Batches(
                self.folder,
                BatchApi(client),
                journal,
                settings,
                self.tell,
                patience_s=self.options.patience_s,
                settles_s=self.waiting.settles_s,
                local=endpoint.base_url == LOCAL,
            )
            await work.take_up(resubmit=self.waiting.resubmit)
            await self._collect(work, client, writer, there)
            if not (work.unresolved or self.broken_off):
                await work.submit(self._pending(work, there))
            while self.waiting.wait and any(one.nonce not in self.elsewhere for one in work.underway) and not self._late():
                await asyncio.sleep(settings.poll_s if endpoint.base_url != LOCAL else min(settings.poll_s, 0.2))
                await self._collect(work, client, writer, there)
            return [*work.underway, *work.unresolved]

    def _late(self) -> bool:
        seconds = self.options.budget.seconds
        return seconds is not None and time.monotonic() - self.began >= seconds

    def _pending(self, work: Batches, there: Standing) -> Iterator[Request]:
        """What has no answer and stands in no batch, as many as the budget allows."""
        under = batches.keys_in(self.folder, work.underway)
        wanted = (request for request in unsent(self.plan, there, self.options.retry_failed) if packed(request.key) not in under)
        most = self.options.budget.requests
        return wanted if most is None else islice(wanted, most)

    async def _collect(self, work: Batches, client: Client, writer: RecordWriter, there: Standing) -> None:
        """Record what the batches have brought that are through."""
        ended = [(one, told) for one, told in await work.ended() if one.nonce not in self.elsewhere]
        for at in range(0, len(ended), _COLLECTED_TOGETHER):
            some = ended[at : at + _COLLECTED_TOGETHER]
            with ExitStack() as stack:
                files = [stack.enter_context(file) for _, told in some for file in await work.fetched(told)]
                answers = Answers(files, "the output of a batch")
                self._record(answers, client, writer, there)
            writer.sync()
            if left := answers.left(there):
                self.broken_off = True
                names = ", ".join(one.batch for one, _ in some)
                self.tell(
                    warning(
                        f"batch {names}: {counted(left, 'answer')} to requests that this experiment does not plan; "
                        "they stay at the endpoint: run again with the experiment that asked for them"
                    )
                )
                self.elsewhere |= {one.nonce for one, _ in some}
                continue
            for one, told in some:
                work.collected(one, told)
                self._tell_of(one, told, work)

    def _record(self, answers: Answers, client: Client, writer: RecordWriter, there: Standing) -> None:
        wanted = (request for request in self.plan.sequence() if not there.answered(request.key))
        for request, outcome in answers.take(wanted, lambda status, raw, asked: client.read_answer(status, raw, asked.body)):
            record = record_of(request, outcome)
            writer.append(record)
            there.add(request.key, getattr(outcome, "kind", None))
            self.tally.add(outcome)
            self.tally.spent.requests += 1
            self.tally.spent.add(outcome.usage, answered=not hasattr(outcome, "kind"))
            self.hooks.progress(self.tally)
            if self.hooks.recorded is not None:
                self.hooks.recorded(record)
        if answers.unread:
            self.tell(warning(f"{counted(answers.unread, 'line')} of the answers cannot be read; what they answer is asked again"))

    def _tell_of(self, one: Underway, told: Told, work: Batches) -> None:
        if told.status == "completed":
            self.tell(note(f"batch {one.batch}: collected"))
            return
        self.broken_off = True
        why = f" ({work.harmless(told.why())})" if told.why() else ""
        self.tell(warning(f"batch {one.batch}: {told.status}{why}; what it brought is recorded, the rest is to be asked: run again to send it"))

    def _scored(self) -> Run:
        from evalkit.sweeping.derivation import settle  # late: while batches are under way nothing is scored

        terms = terms_of(self.options, self.hooks, self.began, self.tell, self.secrets)
        beside, _ = ask_and_run(self.folder, self.plan, self.measured, terms, self.where, (self.tally.spent,))
        return settle(self.folder, self.plan, self.notes, self.tally, self.measured, beside=beside, jobs=self.options.jobs)
