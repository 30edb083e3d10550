"""The endpoints of a sweep, side by side: how each is reached, looked at and sent to. Most often there is one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit.client.connection import Access, bearer_key, opened, secrets_of
from evalkit.collect.budget import Spent
from evalkit.collect.calls import call_of
from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import INTERRUPTED, Policy
from evalkit.collect.session import Errand, Stop, looked, naming, paces_of, sent, sent_side_by_side
from evalkit.collect.tally import Tally
from evalkit.errors import EndpointError, RecordError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.several import endpoint_name
from evalkit.plan.requests import Plan, Request
from evalkit.store.folder import now_text, write_run
from evalkit.store.records import Outcome, Record, RecordWriter, Standing, record_of
from evalkit.sweeping.hooks import Hooks
from evalkit.sweeping.options import Options
from evalkit.sweeping.outlook import unsent
from evalkit.sweeping.rescoring import what_it_took
from evalkit.text.notes import Tell, warning

if TYPE_CHECKING:
    from evalkit.collect.preflight import Checked, Preflight
    from evalkit.engine.ray import Cluster


def tally_of(experiment: Experiment, planned: int, stage: str) -> Tally:
    """What counts the outcomes of a sweep: where it asks several endpoints, each by itself too."""
    if len(experiment.asked) == 1:
        return Tally(planned, spent=Spent(experiment.asked[0].prices), stage=stage)
    return Tally.of_several(planned, {endpoint_name(one): one.prices for one in experiment.asked}, stage)


@dataclass
class _Lane:
    """One endpoint of a sweep.

    Attributes:
        not_before: when it may be called first, as it asked.
        proven: it has answered this time.
        ended: why it is asked no more this time.
        told: whether a warning gave that already.
    """

    name: str
    endpoint: Endpoint
    not_before: float
    access: Access | None = None
    proven: bool = False
    ended: str | None = None
    told: bool = False


@dataclass
class Looked:
    """What looks at the endpoints came to, by their names; the one there is has the name ``""``."""

    found: dict[str, Preflight] = field(default_factory=dict)

    @property
    def rejected(self) -> dict[str, Sequence[Checked]]:
        """What each does not take, of those that do not take everything."""
        return {name: one.rejected for name, one in self.found.items() if one.rejected}

    def plain(self) -> Any:
        """As ``run.json`` keeps it; None where nothing was looked at."""
        if "" in self.found:
            return self.found[""]
        return {"of": {name: msgspec.to_builtins(one) for name, one in self.found.items()}} if self.found else None


class Kept:
    """Outcomes of a look, until there is a file to write them to."""

    def __init__(self) -> None:
        self._outcomes: list[tuple[Request, Outcome, int]] = []

    def take(self, request: Request, outcome: Outcome, together: int) -> None:
        """Put one aside."""
        self._outcomes.append((request, outcome, together))

    def into(self, writer: RecordWriter) -> None:
        """Write what was put aside."""
        while self._outcomes:
            writer.append(record_of(*self._outcomes.pop(0)))


class Lanes:
    """The endpoints that a sweep asks, each at a pace of its own.

    Attributes:
        stopped: why the last sending stopped before its end; None where it did not.
        secrets: of all that the run asks.
    """

    def __init__(self, experiment: Experiment, folder: Path, options: Options, hooks: Hooks, tell: Tell) -> None:
        self._folder, self._options, self._hooks, self._tell = folder, options, hooks, tell
        self.began, self._started = time.monotonic(), now_text()
        several = len(experiment.asked) > 1
        self._every = {name: _Lane(name, one, self.began) for one in experiment.asked for name in [endpoint_name(one) if several else ""]}
        self._cluster: Cluster | None = None
        self.stopped: str | None = None
        self.secrets = secrets_of(one for _, one in experiment.called_at())

    def _of(self, plan: Plan) -> list[tuple[_Lane, Plan]]:
        """What of a plan falls to whom of those that are asked yet."""
        if "" in self._every:
            return [(self._every[""], plan)]
        return [(lane, part) for part in plan.parts if (lane := self._every[endpoint_name(part.endpoint)]).ended is None]

    def open(self, stack: ExitStack, plan: Plan, left: int, ahead: int, there: Standing, tally: Tally) -> None:
        """Make ready to reach those that are to be asked what is left of a plan, of whom some may be reached already.

        Args:
            left: how many requests of it are left, all endpoints together.
            ahead: how many may come to it later.
        """
        opened_now = False
        for lane, part in [(lane, part) for lane, part in self._of(plan) if lane.access is None]:
            own = (left if part is plan else sum(1 for _ in self._unsent(part, there))) + ahead
            if own:
                lane.access = self._access(stack, lane.endpoint, own)
                opened_now = True
        if opened_now:
            tally.began = time.monotonic()  # what a cluster takes to start is none of the endpoint's

    def _access(self, stack: ExitStack, endpoint: Endpoint, requests: int) -> Access:
        if self._options.engine is not None and self._cluster is None:
            from evalkit.engine.ray import cluster  # late: a heavy library, and an extra

            self._cluster = stack.enter_context(cluster(self._options.address, self._options.workers, self._tell))
            self._cluster.check(endpoint)
        base_url = stack.enter_context(opened(endpoint))
        return Access(base_url(), bearer_key(endpoint), min(self._fixed(endpoint) or MOST_AT_ONCE, requests), endpoint.addresses[1:], self.secrets)

    def _fixed(self, endpoint: Endpoint) -> int | None:
        return self._options.concurrency or endpoint.concurrency

    def _policy(self, endpoint: Endpoint) -> Policy:
        return Policy(max_tries=endpoint.max_tries, deadline_s=endpoint.deadline_s, patience_s=self._options.patience_s, budget=self._options.budget)

    def _unsent(self, plan: Plan, there: Standing) -> Iterator[Request]:
        return unsent(plan, there, self._options.retry_failed)

    # --- the look

    def look(self, plan: Plan, there: Standing, tally: Tally, keep: Callable[[Request, Outcome, int], None]) -> Looked:
        """The look before the sweep, whose outcomes are the sweep's own: given to `keep`, and counted.

        An endpoint that cannot be used is asked no more this time, where another one can.

        Raises:
            EndpointError: none can be used; the first one's.
            ExperimentError: one asks to wait for longer than the budget's time.
        """
        faults: list[EndpointError] = []
        out = Looked()
        lanes = [(lane, part, lane.access) for lane, part in self._of(plan) if lane.access is not None]

        async def look_at(lane: _Lane, part: Plan, access: Access) -> None:
            own = tally.parts.get(lane.name, tally)

            def take(request: Request, outcome: Outcome, together: int) -> None:
                keep(request, outcome, together)
                there.add(request.key, getattr(outcome, "kind", None))
                own.add(outcome)
                tally.add_up()
                self._hooks.progress(tally)

            try:
                found, lane.not_before = await looked(
                    part, access, there, take, own.spent, self._policy(lane.endpoint), naming(lane.name, self._tell), beside=len(lanes) > 1
                )
            except EndpointError as fault:
                faults.append(fault)
                lane.ended = str(fault)
            else:
                out.found[lane.name], lane.proven = found, found.answered

        async def every() -> None:
            try:
                async with asyncio.TaskGroup() as group:
                    for one in lanes:
                        group.create_task(look_at(*one))
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from None

        asyncio.run(every())
        if faults and len(faults) == len(lanes):
            raise faults[0]
        for lane, _, _ in lanes:
            if lane.ended is not None:
                lane.told = True
                self._tell(warning(f"{lane.name}: {lane.ended}; its settings stay to be asked, and the others go on"))
        return out

    # --- the sending

    def send(self, what: Plan, there: Standing, writer: RecordWriter, tally: Tally) -> str:
        """Send what `what` asks for and is not there, note in ``run.json`` how it went, and give that in words; `stopped` says why it stopped early.

        Raises:
            KeyboardInterrupt: it was interrupted.
            Exception: as `evalkit.collect.runner.run` does.
        """
        lanes = [(lane, part, lane.access) for lane, part in self._of(what) if lane.access is not None]
        paces = {lane.name: self._paces(lane, access, part) for lane, part, access in lanes}
        errands = [self._errand(lane, access, part, there, writer, tally, paces[lane.name]) for lane, part, access in lanes]
        if not errands:
            self.stopped = self._why()
            return ""
        try:
            stops = asyncio.run(self._sending(errands, writer, tally))
        except BaseException as fault:
            with suppress(RecordError):  # a full disk takes no more of this either, and the first fault is the one to tell
                write_run(self._folder, what.experiment, sweep=self._how_it_went(tally, paces, type(fault).__name__))
            raise
        for lane, _, _ in lanes:
            stop = stops[lane.name]
            lane.proven, lane.ended, lane.told = True, stop.why or lane.ended, stop.told or lane.told
        self.stopped = self._why()
        write_run(self._folder, what.experiment, sweep=self._how_it_went(tally, paces, self.stopped))
        if self.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        return _paced(paces)

    def _why(self) -> str | None:
        """Why any of them is asked no more: in one sentence, where it is the same for all."""
        ended = {lane.name: lane.ended for lane in self._every.values() if lane.ended is not None}
        if INTERRUPTED in ended.values():
            return INTERRUPTED
        if len(ended) == len(self._every) and len(set(ended.values())) == 1:
            return next(iter(ended.values()))
        return "; ".join(f"{name}: {why}" for name, why in ended.items()) or None

    def words_of_stop(self) -> str | None:
        """`stopped` in words for people, without the reasons that a warning gave already."""
        ended = [lane for lane in self._every.values() if lane.ended is not None]
        if not any(lane.told for lane in ended) or self.stopped == INTERRUPTED:
            return self.stopped
        return "; ".join(f"{lane.name}: {'asked no more; its warning says why' if lane.told else lane.ended}" for lane in ended)

    def _paces(self, lane: _Lane, access: Access, part: Plan) -> list[Pace]:
        fixed = self._fixed(lane.endpoint)
        most = access.at_once if self._cluster is None or fixed else access.at_once * self._cluster.workers
        paces = paces_of(lane.endpoint, fixed and access.at_once, most)
        for pace in paces:
            pace.expect(max(1.0, (part.tokens_in()[1] + (part.most_tokens() or 0)) / max(1, len(part))))  # until an answer tells what one uses
        paces[0].hold(lane.not_before)
        return paces

    def _errand(
        self, lane: _Lane, access: Access, part: Plan, there: Standing, writer: RecordWriter, tally: Tally, paces: Sequence[Pace]
    ) -> tuple[Errand, Iterator[Request]]:
        own = tally.parts.get(lane.name)
        if own is not None:
            own.planned = own.done + sum(1 for _ in self._unsent(part, there))
        requests, record = self._unsent(part, there), self._record(writer)
        errand = Errand(
            lane.endpoint,
            (call_of(request, record) for request in requests),
            access,
            tally if own is None else own,
            paces,
            self._what_is_left(self._policy(lane.endpoint)),
            together=lane.endpoint.replicates_per_call,
            proven=lane.proven,
            name=lane.name,
        )
        return errand, requests

    async def _sending(self, errands: Sequence[tuple[Errand, Iterator[Request]]], writer: RecordWriter, tally: Tally) -> dict[str, Stop]:
        """The sending, by this process or by workers; by name whether and why it stopped."""
        sync, progress, tell, heeded = writer.sync, self._hooks.progress, self._tell, self._hooks.interruption
        if tally.parts:
            several = [errand for errand, _ in errands]
            return await sent_side_by_side(several, tally, sync=sync, progress=progress, tell=tell, interruption=heeded)
        errand, requests = errands[0]
        if self._cluster is not None:
            return {"": Stop(await self._by_workers(self._cluster, errand, requests, writer))}
        return {"": Stop(await sent(errand, sync=sync, progress=progress, tell=tell, interruption=heeded))}

    def _by_workers(self, cluster: Cluster, errand: Errand, requests: Iterator[Request], writer: RecordWriter) -> Coroutine[Any, Any, str | None]:
        from evalkit.engine.sending import sent_by  # late: rarely wanted

        return sent_by(
            cluster,
            errand.endpoint,
            errand.access.base_url,
            requests,
            errand.tally,
            folder=self._folder,
            write=writer.append_lines,
            sync=writer.sync,
            pace=errand.paces[0],
            policy=errand.policy,
            progress=self._hooks.progress,
            tell=self._tell,
            interruption=self._hooks.interruption,
            together=errand.together,
            proven=errand.proven,
            recorded=self._hooks.recorded,
        )

    def _record(self, writer: RecordWriter) -> Callable[[Record], None]:
        """What takes a record: the file, and then whoever looks on."""
        told = self._hooks.recorded
        if told is None:
            return writer.append

        def both(record: Record) -> None:
            writer.append(record)
            told(record)

        return both

    def _what_is_left(self, policy: Policy) -> Policy:
        """The policy with the time that is left of its budget."""
        seconds = policy.budget.seconds
        if seconds is None:
            return policy
        return policy._replace(budget=policy.budget._replace(seconds=max(0.0, seconds - (time.monotonic() - self.began))))

    def _how_it_went(self, tally: Tally, paces: Mapping[str, Sequence[Pace]], stopped: str | None) -> dict[str, Any]:
        tally.add_up()
        out = {
            "started": self._started,
            "ended": now_text(),
            "stopped": stopped,
            "completions": tally.completed,
            "failures": dict(tally.failed),
            **what_it_took(tally.spent),
        }
        if not tally.parts:
            return out | _held(paces.get("", ()))
        parts = {name: (part, self._every[name].ended) for name, part in tally.parts.items()}
        return out | {
            "endpoints": {
                name: {"stopped": ended, "completions": part.completed, "failures": dict(part.failed)}
                | what_it_took(part.spent)
                | _held(paces.get(name, ()))
                for name, (part, ended) in parts.items()
            }
        }


def _held(paces: Sequence[Pace]) -> dict[str, Any]:
    """How many calls were in flight at once, as ``run.json`` keeps it."""
    every = [{"adaptive": one.adaptive, "highest": one.highest, "throttled": one.throttled, "changes": one.history} for one in paces]
    return ({"at_once": every[0]} if every else {}) | ({"at_once_elsewhere": every[1:]} if every[1:] else {})


def _paced(paces: Mapping[str, Sequence[Pace]]) -> str:
    """How many calls were in flight at once, in words."""
    return "; ".join(f"{name} {_of_one(every)}".lstrip() for name, every in paces.items())


def _of_one(paces: Sequence[Pace]) -> str:
    if len(paces) > 1:
        held = ", ".join(str(one.limit) for one in paces)
        return f"held {held} at once at {len(paces)} addresses; {_throttled(sum(one.throttled for one in paces))}"
    pace = paces[0]
    held = f"held {pace.limit} at once" if pace.limit == pace.highest else f"held {pace.limit} at once, {pace.highest} at the most"
    return f"{held}; {_throttled(pace.throttled)}"


def _throttled(times: int) -> str:
    return {0: "never throttled", 1: "throttled once", 2: "throttled twice"}.get(times, f"throttled {times:,} times")
