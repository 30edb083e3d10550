"""A sweep into a results folder: the one path that the command line, a notebook and a script take."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.client.connection import Access, bearer_key, opened
from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Besides, Spent
from evalkit.collect.calls import call_of
from evalkit.collect.interruption import Interruption
from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import INTERRUPTED, Policy
from evalkit.collect.session import Terms, looked, paces_of, sent, without_rejected
from evalkit.collect.tally import Tally
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import LOCAL
from evalkit.experiment.experiment import Experiment, Seeds
from evalkit.plan.requests import Plan, Request
from evalkit.plan.shard import Shard
from evalkit.run import Run
from evalkit.scoring.executing import execute
from evalkit.scoring.metric_set import Measures, measures
from evalkit.scoring.workers import check_jobs
from evalkit.store.away import check_here, stored
from evalkit.store.batches import check_none
from evalkit.store.folder import check_shard, is_run, locked, make, move_aside, now_text, seeds_of, write_run
from evalkit.store.records import Outcome, Record, RecordWriter, Standing, record_of, standing
from evalkit.store.segments import join_left
from evalkit.sweeping.made import as_made
from evalkit.sweeping.options import Options
from evalkit.sweeping.outlook import narrowed, said_of_prompts, unsent
from evalkit.sweeping.part import Part, part_of
from evalkit.sweeping.racing import Racing, raced
from evalkit.sweeping.rescoring import ask_others, sandbox_for, summed, what_it_took
from evalkit.sweeping.ways import check_engine
from evalkit.text.notes import Note, Tell, nobody, note, warning

if TYPE_CHECKING:
    from evalkit.collect.preflight import Checked
    from evalkit.engine.ray import Cluster


@dataclass(frozen=True)
class Pending:
    """What a sweep is about to send."""

    requests: int
    planned: int
    local: bool


@dataclass(frozen=True)
class Hooks:
    """Whom a sweep asks and tells on its way.

    Attributes:
        confirm: asked before anything is sent; False ends without doing anything.
        progress: called after every outcome.
        note: called with each thing the user should know, as it comes up.
        interruption: asks it to stop where it runs in a thread, which gets no signals.
        recorded: called with each record of the sweep's own once it is written.
    """

    confirm: Callable[[Pending], bool] = lambda _: True
    progress: Callable[[Tally], None] = lambda _: None
    note: Tell = nobody
    interruption: Interruption | None = None
    recorded: Callable[[Record], None] | None = None


def run_sweep(experiment: Experiment, folder: Path | None = None, options: Options = Options(), hooks: Hooks = Hooks()) -> Run | None:  # noqa: B008 (immutable)
    """Send what `experiment` plans and has no completion yet, record it, and score what there is.

    Args:
        folder: where it is kept; ``results/<name>`` where None.

    Returns:
        The run; None where `hooks.confirm` said no.

    Raises:
        RecordError: the folder cannot be used, or another process uses it.
        EndpointError, AuthError: the endpoint cannot be used; what was recorded stays.
        ExperimentError: the budget cannot be kept.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    experiment = raced(narrowed(experiment, options.limit), options.race, options.race_budget)
    sweep = _Sweep(experiment, folder or Path("results") / experiment.name, options, hooks)
    with ExitStack() as stack:
        found = sweep.stored(stack).whole(stack)
    if isinstance(found, Part):
        raise TypeError("a sweep of all that is planned gives a run")
    return found


def run_shard(experiment: Experiment, shard: Shard, folder: Path | None = None, options: Options = Options(), hooks: Hooks = Hooks()) -> Part | None:  # noqa: B008 (immutable)
    """Send what falls to `shard` of what `experiment` plans and has no completion yet, and record it; nothing is scored before the parts are merged.

    Args:
        folder: where it is kept; ``results/<name>.<number>-of-<count>`` where None.
        options: as of a sweep; a budget is this part's own.

    Returns:
        How far it came; None where `hooks.confirm` said no.

    Raises:
        ExperimentError: a race, or fresh replicates, are asked for, which need the whole.
        Exception: as `run_sweep` does.
    """
    experiment = narrowed(experiment, options.limit)
    if experiment.search is not None or options.race or options.race_budget is not None:
        raise ExperimentError("shard: a race decides on all answers together, and no part of them can; race on one machine, or sweep the full grid")
    if options.confirm:
        raise ExperimentError("shard: confirm needs a choice, which no part of a run makes; merge the parts, then sweep with confirm")
    with ExitStack() as stack:
        found = _Sweep(experiment, folder or folder_of(experiment, shard), options, hooks, shard=shard).stored(stack).whole(stack)
    if isinstance(found, Run):
        raise TypeError("a shard is no run")
    return found


def folder_of(experiment: Experiment, shard: Shard) -> Path:
    """Where a shard is kept unless another place is named."""
    return Path("results") / f"{experiment.name}.{shard.number}-of-{shard.of}"


def begin_anew(folder: Path, hold: ExitStack, tell: Tell) -> None:
    """Move the run that stands there aside and make an empty folder in its place, whose lock `hold` has instead of the other's."""
    tell(note(f"the run that stood there is kept in {move_aside(folder)}"))
    hold.close()
    make(folder)
    hold.enter_context(locked(folder))


@dataclass
class _Sweep:
    """One sweep on its way through its steps."""

    experiment: Experiment
    folder: Path
    options: Options
    hooks: Hooks
    notes: list[Note] = field(default_factory=list)
    race: Racing | None = None
    stopped: str | None = None
    shard: Shard | None = None
    cluster: Cluster | None = None
    ran: int = 0

    def __post_init__(self) -> None:
        check_engine(self.experiment, self.options, "shard" if self.shard is not None else "")
        self.plan = Plan(self.experiment, shard=self.shard)
        self.began, self.started = time.monotonic(), now_text()
        self.measured: Measures = measures(self.experiment)
        check_jobs(self.options.jobs)
        if self.options.run_code and self.shard is not None:
            raise ExperimentError("run_code: a shard is not scored; run code once the shards are merged: evalkit score RUN --run-code")
        self.where = sandbox_for(self.measured) if self.options.run_code else None
        _check_means(self.experiment, self.options.budget)
        for text in self.experiment.warnings():
            self.tell(warning(text))
        for text in said_of_prompts(self.experiment, self.folder):
            self.tell(note(text))
        for reason in self.plan.design.merged:
            self.tell(note(f"merged: {reason}"))
        for reason in self.plan.design.beware:
            self.tell(note(f"design: {reason}"))
        endpoint, options = self.experiment.endpoint, self.options
        self.key = bearer_key(endpoint)
        self.fixed = options.concurrency or endpoint.concurrency
        self.policy = Policy(max_tries=endpoint.max_tries, deadline_s=endpoint.deadline_s, patience_s=options.patience_s, budget=options.budget)

    def tell(self, one: Note) -> None:
        """Tell the user, and keep it with the result."""
        self.notes.append(one)
        self.hooks.note(one)

    def stored(self, stack: ExitStack) -> _Sweep:
        """The same, with what it does stored meanwhile where its folder stands for a place in an object store."""
        if self.options.fresh:
            check_here(self.folder, "to start over")
        stack.enter_context(stored(self.folder, self.tell, lock=self.options.lock))
        return self

    def whole(self, stack: ExitStack) -> Run | Part | None:
        """All steps; None where nothing was to be sent after all."""
        make(self.folder)
        hold = stack.enter_context(ExitStack())
        hold.enter_context(locked(self.folder))
        fresh = self._checked()
        self._keep_seeds("hashed" if fresh else seeds_of(self.folder))
        self._mark()
        writer = None if fresh else hold.enter_context(_writer(self.folder, self.tell))
        if writer is not None:
            join_left(self.folder, writer, self.tell)
        there = Standing() if fresh else standing(self.folder)
        if self.experiment.search is not None:
            self.race = Racing(self.experiment, self.folder, self.measured, anew=fresh)
            self.plan = self.race.course.plan
            if self.where is None and not self.race.ended and (names := self.race.runs):
                raise ExperimentError(f"search: this race is decided by {' and '.join(names)}, for which code must be run; add run_code")
        requests = self._left(self.plan, there)
        ahead = 0 if self.race is None else self.race.ahead
        if requests + ahead and not self._agreed(requests + ahead, len(self.plan) + ahead):
            return None
        tally = Tally(requests + ahead, spent=Spent(self.experiment.endpoint.prices), stage="" if self.race is None else self.race.stage())
        self.hooks.progress(tally)
        access, look, kept = None, None, _Kept()
        if requests:
            access = self._access(stack, requests)
            tally.began = time.monotonic()  # what a cluster takes to start is none of the endpoint's
            look, kept.not_before = self._look(access, there, tally, writer, kept)
        if fresh:  # only now that the endpoint is known to be of use
            writer = self._anew(hold)
        if writer is not None:
            kept.into(writer)
        if look is not None and look.rejected:
            self._without(look.rejected)
            tally.planned = tally.done + self._left(self.plan, there)
        found = None if requests or fresh else self._as_made()
        if found is None:
            self._write_run(preflight=look)
        proven = look is not None and look.answered
        if self.race is not None and writer is not None:
            self.race.open(hold, self.tell)
            beside = self._race(self.race, there, access, stack, writer, tally, kept.not_before, proven=proven)
        else:
            if access is not None and writer is not None:
                self._send_all(there, access, writer, tally, kept.not_before, proven=proven)
            if self.shard is not None:
                return part_of(self.folder, self.plan, tally if requests else None, self.notes, shard=str(self.shard))
            beside = self._ask_others((tally.spent,))
        result = self._derived(None if beside or self.ran else found, tally, beside)
        if not self.options.confirm or writer is None:
            return result
        return self._confirmed(result, stack, access, writer, tally, beside)

    def _checked(self) -> bool:
        """Whether a run that stands there is to move aside; raises `RecordError` where it is none to go on with."""
        check_shard(self.folder, "" if self.shard is None else str(self.shard))
        fresh = self.options.fresh and is_run(self.folder)
        if not fresh:
            check_none(self.folder)
        return fresh

    def _as_made(self) -> Run | None:
        """The run that stands there, where its tables are what they would be if they were made now."""
        goes_on = self.race is not None and not self.race.ended
        return None if goes_on or self.shard is not None else as_made(self.folder, self.plan, self.measured)

    def _send_all(self, there: Standing, access: Access, writer: RecordWriter, tally: Tally, not_before: float, *, proven: bool) -> None:
        """Send what the plan asks for, and tell how fast that went."""
        self.tell(note(_paced(self._send(self.plan, there, access, writer, tally, not_before, proven=proven))))

    def _anew(self, hold: ExitStack) -> RecordWriter:
        """Move the run that stands there aside, and begin a new one; the lock is held by `hold`."""
        begin_anew(self.folder, hold, self.tell)
        self._mark()
        return hold.enter_context(_writer(self.folder, self.tell))

    def _write_run(self, **said: Any) -> None:
        write_run(self.folder, self.plan.experiment, shard="" if self.shard is None else str(self.shard), **said)

    def _mark(self) -> None:
        """Say in a new folder that a shard stands there, before anything else does: killed at any moment, it is known for what it is."""
        if self.shard is not None and not is_run(self.folder):
            self._write_run()

    def _derived(self, found: Run | None, tally: Tally, beside: list[Besides]) -> Run:
        """The run scored; or as that would show it, where its tables were `found` to be what they would be."""
        if found is None:
            return self._settled(tally, beside)
        self.notes += [one for one in found.analysis.notes if one not in self.notes]
        return replace(found, experiment=self.plan.experiment, notes=tuple(self.notes), sent=tally)

    def _settled(self, tally: Tally, beside: list[Besides]) -> Run:
        from evalkit.sweeping.derivation import settle  # at first use: where nothing changed, nothing is scored

        course = None if self.race is None else self.race.course
        return settle(self.folder, self.plan, self.notes, tally, self.measured, beside=beside, jobs=self.options.jobs, course=course)

    def _without(self, rejected: list[Checked]) -> None:
        """Go on without the levels that the endpoint rejects, where they are to be skipped."""
        fewer = without_rejected(self.experiment, rejected, self.options.skip_rejected, self.tell)
        self.plan = Plan(fewer, shard=self.shard)
        if self.race is not None:
            self.race.restart(fewer)
            self.plan = self.race.course.plan

    def _race(
        self,
        race: Racing,
        there: Standing,
        access: Access | None,
        stack: ExitStack,
        writer: RecordWriter,
        tally: Tally,
        not_before: float,
        *,
        proven: bool,
    ) -> list[Besides]:
        """Ask, look, ask those that go on, until the race is over or the sending stops; who else was asked."""
        beside: list[Besides] = []
        while True:
            self.plan = race.course.plan
            left = self._left(self.plan, there)
            tally.planned, tally.stage = tally.done + left + race.ahead, race.stage()
            self.hooks.progress(tally)
            if left:
                access = self._access(stack, left + race.ahead) if access is None else access
                tally.spent.earlier = tuple(one.spent for one in beside)
                paces = self._send(self.plan, there, access, writer, tally, not_before, proven=proven)
                there, proven, not_before = standing(self.folder), True, self.began
            if left and (race.course.over or self.stopped):
                self.tell(note(_paced(paces)))
            if self.stopped or not race.heard(there):
                return beside
            beside = summed([*beside, *self._ask_others((tally.spent, *(one.spent for one in beside)))])
            if race.course.over or not race.judged():
                return beside
            writer.sync()
            race.go_on(self.tell)

    def _confirmed(self, result: Run, stack: ExitStack, access: Access | None, writer: RecordWriter, tally: Tally, beside: list[Besides]) -> Run:
        """The run with what was chosen measured again on fresh answers."""
        again = _fresh(result, self.plan, self.options.confirm, self.tell)
        if again is None:
            return result
        there = standing(self.folder)
        requests = self._left(again, there)
        if requests and self._agreed(requests, len(again)):
            access = self._access(stack, requests) if access is None else access
            tally.spent.earlier = tuple(one.spent for one in beside)
            self._send(again, there, access, writer, Tally(requests, spent=tally.spent), self.began, proven=True)
        beside += self._ask_others((tally.spent, *(one.spent for one in beside)))
        return self._settled(tally, beside)

    def _keep_seeds(self, seeds: Seeds) -> None:
        """Make seeds as the folder's are made, so that what stands there is known again."""
        if seeds != self.experiment.seeds:
            self.experiment = self.experiment.with_seeds(seeds)
            self.plan = Plan(self.experiment, shard=self.shard)

    def _left(self, plan: Plan, there: Standing) -> int:
        return sum(1 for _ in unsent(plan, there, self.options.retry_failed))

    def _agreed(self, requests: int, planned: int) -> bool:
        return self.hooks.confirm(Pending(requests, planned, self.experiment.endpoint.base_url == LOCAL))

    def _access(self, stack: ExitStack, requests: int) -> Access:
        if self.options.engine is not None and self.cluster is None:
            from evalkit.engine.ray import cluster  # late: a heavy library, and an extra

            self.cluster = stack.enter_context(cluster(self.options.address, self.options.workers, self.tell))
            self.cluster.check(self.experiment.endpoint)
        base_url = stack.enter_context(opened(self.experiment.endpoint))
        return Access(base_url(), self.key, min(self.fixed or MOST_AT_ONCE, requests), self.experiment.endpoint.addresses[1:])

    def _look(self, access: Access, there: Standing, tally: Tally, writer: RecordWriter | None, kept: _Kept) -> tuple[Any, float]:
        """The look before the sweep, whose outcomes are recorded as the sweep's own; nothing where none is wanted."""
        if not self.options.look or (self.shard is not None and not len(self.plan)):
            return None, self.began

        def keep(request: Request, outcome: Outcome, together: int) -> None:
            kept.take(request, outcome, together)
            if writer is not None:
                kept.into(writer)
            there.add(request.key, getattr(outcome, "kind", None))
            tally.add(outcome)
            self.hooks.progress(tally)

        return asyncio.run(looked(self.plan, access, there, keep, tally.spent, self.policy, self.tell))

    def _send(
        self, what: Plan, there: Standing, access: Access, writer: RecordWriter, tally: Tally, not_before: float, *, proven: bool
    ) -> list[Pace]:
        """Send what `what` asks for and is not there, tell why where it stops before the end, and note in ``run.json`` how it went."""
        most = access.at_once if self.cluster is None or self.fixed else access.at_once * self.cluster.workers
        paces = paces_of(what.experiment.endpoint, self.fixed and access.at_once, most)
        for pace in paces:
            pace.expect(max(1.0, (what.tokens_in()[1] + (what.most_tokens() or 0)) / max(1, len(what))))  # until an answer tells what one uses
        paces[0].hold(not_before)
        work = self._sending(what, unsent(what, there, self.options.retry_failed), access, writer, tally, paces, proven=proven)
        try:
            stopped = asyncio.run(work)
        except BaseException as fault:
            with suppress(RecordError):  # a full disk takes no more of this either, and the first fault is the one to tell
                write_run(self.folder, what.experiment, sweep=_how_it_went(self.started, tally, paces, type(fault).__name__))
            raise
        write_run(self.folder, what.experiment, sweep=_how_it_went(self.started, tally, paces, stopped))
        self.stopped = stopped
        if stopped == INTERRUPTED:
            raise KeyboardInterrupt
        if stopped:
            self.tell(Note("stopped", stopped))
        return paces

    def _sending(
        self, what: Plan, requests: Iterator[Request], access: Access, writer: RecordWriter, tally: Tally, paces: list[Pace], *, proven: bool
    ) -> Coroutine[Any, Any, str | None]:
        """The sending of `requests`, by this process or by workers."""
        endpoint, hooks = what.experiment.endpoint, self.hooks
        policy = _what_is_left(self.policy, self.began)
        if self.cluster is None:
            return sent(
                endpoint,
                (call_of(request, self._record(writer)) for request in requests),
                access,
                tally,
                sync=writer.sync,
                paces=paces,
                policy=policy,
                progress=hooks.progress,
                tell=self.tell,
                together=endpoint.replicates_per_call,
                proven=proven,
                interruption=hooks.interruption,
            )
        from evalkit.engine.sending import sent_by  # late: rarely wanted

        return sent_by(
            self.cluster,
            endpoint,
            access.base_url,
            requests,
            tally,
            folder=self.folder,
            write=writer.append_lines,
            sync=writer.sync,
            pace=paces[0],
            policy=policy,
            progress=hooks.progress,
            tell=self.tell,
            interruption=hooks.interruption,
            together=endpoint.replicates_per_call,
            proven=proven,
            recorded=hooks.recorded,
        )

    def _record(self, writer: RecordWriter) -> Callable[[Record], None]:
        """What takes a record: the file, and then whoever looks on."""
        told = self.hooks.recorded
        if told is None:
            return writer.append

        def both(record: Record) -> None:
            writer.append(record)
            told(record)

        return both

    def _ask_others(self, earlier: tuple[Spent, ...]) -> list[Besides]:
        options, hooks = self.options, self.hooks
        terms = Terms(self.began, options.budget, options.patience_s, options.retry_failed, hooks.progress, self.tell, hooks.interruption)
        beside = ask_others(self.folder, self.plan, self.measured, terms, earlier)
        if self.where is not None:
            self.ran += execute(self.folder, self.plan, self.measured.runs, terms, self.where)
        return beside


class _Kept:
    """Outcomes of the look, until there is a file to write them to."""

    def __init__(self) -> None:
        self._outcomes: list[tuple[Request, Outcome, int]] = []
        self.not_before = time.monotonic()

    def take(self, request: Request, outcome: Outcome, together: int) -> None:
        self._outcomes.append((request, outcome, together))

    def into(self, writer: RecordWriter) -> None:
        while self._outcomes:
            writer.append(record_of(*self._outcomes.pop(0)))


def _check_means(experiment: Experiment, budget: Budget) -> None:
    """Raise where keys are not set or costs not known that the run will need."""
    every = [("endpoint", experiment.endpoint), *((f"judges[{at}].endpoint", one.endpoint) for at, one in enumerate(experiment.judges))]
    every += [("embeddings", experiment.embeddings)] if experiment.embeddings is not None else []
    for name, endpoint in every:
        bearer_key(endpoint)
        if budget.cost is None:
            continue
        if endpoint.prices is None:
            raise ExperimentError(f"budget.cost: costs are unknown; give {name}.prices: {{input: ..., output: ...}}, a million tokens each")
        if experiment.endpoint.prices is not None and endpoint.prices.currency != experiment.endpoint.prices.currency:
            raise ExperimentError(f"budget.cost: {name}.prices are in another currency than endpoint.prices; give both in one")


def _fresh(run: Run, plan: Plan, replicates: int, tell: Tell) -> Plan | None:
    """The requests that measure again what was chosen; None where nothing was."""
    choice = run.choice
    if choice is None or choice.chosen is None:
        tell(note("nothing to confirm: " + ("no setting was chosen" if choice else "the experiment has no 'choose:'")))
        return None
    cells = tuple(sorted({one for one in (choice.chosen, choice.best, choice.runner_up) if one is not None}))
    # Behind the replicates of the sweep, so that a seed per replicate is a fresh one.
    return Plan(plan.experiment, role="confirm", only=cells, first=plan.experiment.replicates, count=replicates)


@contextmanager
def _writer(folder: Path, tell: Tell) -> Iterator[RecordWriter]:
    with RecordWriter(folder) as writer:
        if writer.mended:
            tell(note(writer.mended))
        yield writer


def _what_is_left(policy: Policy, began: float) -> Policy:
    """The policy with the time that is left of its budget."""
    seconds = policy.budget.seconds
    return policy if seconds is None else policy._replace(budget=policy.budget._replace(seconds=max(0.0, seconds - (time.monotonic() - began))))


def _how_it_went(started: str, tally: Tally, paces: Sequence[Pace], stopped: str | None) -> dict[str, Any]:
    first, *others = [{"adaptive": one.adaptive, "highest": one.highest, "throttled": one.throttled, "changes": one.history} for one in paces]
    return {
        "started": started,
        "ended": now_text(),
        "stopped": stopped,
        "completions": tally.completed,
        "failures": dict(tally.failed),
        **what_it_took(tally.spent),
        "at_once": first,
        **({"at_once_elsewhere": others} if others else {}),
    }


def _paced(paces: Sequence[Pace]) -> str:
    if len(paces) > 1:
        held = ", ".join(str(one.limit) for one in paces)
        return f"held {held} at once at {len(paces)} addresses; {_throttled(sum(one.throttled for one in paces))}"
    pace = paces[0]
    held = f"held {pace.limit} at once" if pace.limit == pace.highest else f"held {pace.limit} at once, {pace.highest} at the most"
    return f"{held}; {_throttled(pace.throttled)}"


def _throttled(times: int) -> str:
    return {0: "never throttled", 1: "throttled once", 2: "throttled twice"}.get(times, f"throttled {times:,} times")
