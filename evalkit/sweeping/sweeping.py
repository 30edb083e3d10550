"""A sweep into a results folder: the one path that the command line, a notebook and a script take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.client.connection import bearer_key
from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Besides, Spent
from evalkit.collect.session import without_rejected
from evalkit.collect.tally import Tally
from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import LOCAL
from evalkit.experiment.experiment import Experiment, Seeds
from evalkit.plan.requests import Plan, Request
from evalkit.plan.shard import Shard
from evalkit.run import Run
from evalkit.scoring.metric_set import Measures, measures
from evalkit.scoring.workers import check_jobs
from evalkit.store.away import check_here, stored
from evalkit.store.batches import check_none
from evalkit.store.folder import check_shard, is_run, locked, make, move_aside, seeds_of, write_run
from evalkit.store.records import Outcome, RecordWriter, Standing, standing
from evalkit.store.segments import join_left
from evalkit.sweeping.hooks import Hooks, Pending
from evalkit.sweeping.lanes import Kept, Lanes, Looked, tally_of
from evalkit.sweeping.made import as_made
from evalkit.sweeping.options import Options
from evalkit.sweeping.outlook import narrowed, said_of_prompts, unsent
from evalkit.sweeping.part import Part, part_of
from evalkit.sweeping.racing import Racing, raced
from evalkit.sweeping.rescoring import ask_and_run, sandbox_for, summed, terms_of
from evalkit.sweeping.ways import check_engine
from evalkit.text.notes import Note, Tell, note, warning

if TYPE_CHECKING:
    from evalkit.collect.preflight import Checked


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
    shard: Shard | None = None
    ran: int = 0

    def __post_init__(self) -> None:
        check_engine(self.experiment, self.options, "shard" if self.shard is not None else "")
        self.plan = Plan(self.experiment, shard=self.shard)
        self.lanes = Lanes(self.experiment, self.folder, self.options, self.hooks, self.tell)
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
        tally = tally_of(self.experiment, requests + ahead, "" if self.race is None else self.race.stage())
        self.hooks.progress(tally)
        look, kept = Looked(), Kept()
        if requests:
            self.lanes.open(stack, self.plan, requests, ahead, there, tally)
            look = self._look(there, tally, writer, kept)
        if fresh:  # only now that the endpoint is known to be of use
            writer = self._anew(hold)
        if writer is not None:
            kept.into(writer)
        if look.rejected:
            self._without(look.rejected)
            tally.planned = tally.done + self._left(self.plan, there)
        found = None if requests or fresh else self._as_made()
        if found is None:
            self._write_run(preflight=look.plain())
        if self.race is not None and writer is not None:
            self.race.open(hold, self.tell)
            beside = self._race(self.race, there, stack, writer, tally)
        else:
            if requests and writer is not None:
                self._send(self.plan, there, writer, tally, last=True)
            if self.shard is not None:
                return part_of(self.folder, self.plan, tally if requests else None, self.notes, shard=str(self.shard))
            beside = self._ask_others((tally.spent,))
        result = self._derived(None if beside or self.ran else found, tally, beside)
        if not self.options.confirm or writer is None:
            return result
        return self._confirmed(result, stack, writer, tally, beside)

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

    def _send(self, what: Plan, there: Standing, writer: RecordWriter, tally: Tally, *, last: bool) -> None:
        """Send what `what` asks for and is not there; tell why it stopped early, and where nothing more comes how fast it went."""
        paced = self.lanes.send(what, there, writer, tally)
        if said := self.lanes.words_of_stop():
            self.tell(Note("stopped", said))
        if paced and (last or self.lanes.stopped):
            self.tell(note(paced))

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

    def _without(self, rejected: Mapping[str, Sequence[Checked]]) -> None:
        """Go on without the levels that the endpoint rejects, where they are to be skipped."""
        fewer = without_rejected(self.experiment, rejected, self.options.skip_rejected, self.tell)
        self.plan = Plan(fewer, shard=self.shard)
        if self.race is not None:
            self.race.restart(fewer)
            self.plan = self.race.course.plan

    def _race(self, race: Racing, there: Standing, stack: ExitStack, writer: RecordWriter, tally: Tally) -> list[Besides]:
        """Ask, look, ask those that go on, until the race is over or the sending stops; who else was asked."""
        beside: list[Besides] = []
        while True:
            self.plan = race.course.plan
            left = self._left(self.plan, there)
            tally.planned, tally.stage = tally.done + left + race.ahead, race.stage()
            self.hooks.progress(tally)
            if left:
                self.lanes.open(stack, self.plan, left, race.ahead, there, tally)
                tally.after(tuple(one.spent for one in beside))
                self._send(self.plan, there, writer, tally, last=race.course.over)
                there = standing(self.folder)
            if self.lanes.stopped or not race.heard(there):
                return beside
            beside = summed([*beside, *self._ask_others((tally.spent, *(one.spent for one in beside)))])
            if race.course.over or not race.judged():
                return beside
            writer.sync()
            race.go_on(self.tell)

    def _confirmed(self, result: Run, stack: ExitStack, writer: RecordWriter, tally: Tally, beside: list[Besides]) -> Run:
        """The run with what was chosen measured again on fresh answers."""
        again = _fresh(result, self.plan, self.options.confirm, self.tell)
        if again is None:
            return result
        there = standing(self.folder)
        requests = self._left(again, there)
        if requests and self._agreed(requests, len(again)):
            fresh = tally.anew(requests)
            self.lanes.open(stack, again, requests, 0, there, fresh)
            fresh.after(tuple(one.spent for one in beside))
            self._send(again, there, writer, fresh, last=False)
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
        return self.hooks.confirm(Pending(requests, planned, all(one.base_url == LOCAL for one in self.experiment.asked)))

    def _look(self, there: Standing, tally: Tally, writer: RecordWriter | None, kept: Kept) -> Looked:
        """The look before the sweep, whose outcomes are recorded as the sweep's own; nothing where none is wanted."""
        if not self.options.look or (self.shard is not None and not len(self.plan)):
            return Looked()

        def keep(request: Request, outcome: Outcome, together: int) -> None:
            kept.take(request, outcome, together)
            if writer is not None:
                kept.into(writer)

        return self.lanes.look(self.plan, there, tally, keep)

    def _ask_others(self, earlier: tuple[Spent, ...]) -> list[Besides]:
        terms = terms_of(self.options, self.hooks, self.lanes.began, self.tell, self.lanes.secrets)
        beside, ran = ask_and_run(self.folder, self.plan, self.measured, terms, self.where, earlier)
        self.ran += ran
        return beside


def _check_means(experiment: Experiment, budget: Budget) -> None:
    """Raise where keys are not set or costs not known that the run will need."""
    every = experiment.called_at()
    for name, endpoint in every:
        bearer_key(endpoint)
        if budget.cost is None:
            continue
        if endpoint.prices is None:
            raise ExperimentError(f"budget.cost: costs are unknown; give {name}.prices: {{input: ..., output: ...}}, a million tokens each")
        first = experiment.asked[0].prices
        if first is not None and endpoint.prices.currency != first.currency:
            raise ExperimentError(f"budget.cost: {name}.prices are in another currency than {every[0][0]}.prices; give both in one")


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
