"""Make calls, keep each outcome the moment it exists, and come through whatever the endpoint does meanwhile.

Workers pull from one iterator, so that memory is flat however many requests there are. `Pace` says how many there are and when the next
call may start; what failed in a way that may pass waits its turn among the others and blocks nobody. Where every call fails, the endpoint
is taken to be down: the run pauses, asks now and then, and goes on when it is back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evalkit.collect.allowance import Budget
from evalkit.collect.calls import Call
from evalkit.collect.health import Health
from evalkit.collect.pace import backoff
from evalkit.collect.pacing import Pacing
from evalkit.collect.queue import Job, Jobs
from evalkit.collect.replicas import Replica, Replicas
from evalkit.collect.tally import Tally
from evalkit.errors import EndpointError
from evalkit.store.records import Failure, Outcome
from evalkit.text.notes import Tell, nobody, note

if TYPE_CHECKING:
    from evalkit.client.client import Client
    from evalkit.client.reply import Reply

_CHECKS_BY_NEW = 4
_LONGEST_LOOK_S = 1.0
"""Between two looks whether a budget allows one more call."""
INTERRUPTED = "interrupted"
"""The reason of a run that was asked to stop."""


class Policy(NamedTuple):
    """How far a run goes for its answers.

    Attributes:
        max_tries: calls for one request.
        pause_s: mean wait before the second try; doubles with each further one. A server's own ``Retry-After`` is obeyed.
        deadline_s: no further try begins so long after a request's first.
        patience_s: how long the endpoint may be down, or refuse every call as one too many, before the run is given up.
        budget: what may be spent.
    """

    max_tries: int = 5
    pause_s: float = 0.5
    deadline_s: float = 3600.0
    patience_s: float = 600.0
    budget: Budget = Budget()


async def run(
    calls: Iterable[Call] | Jobs,
    client: Client,
    tally: Tally,
    *,
    pace: Pacing,
    policy: Policy = Policy(),  # noqa: B008 (immutable)
    progress: Callable[[Tally], None] = lambda _: None,
    tell: Tell = nobody,
    together: int = 1,
    proven: bool = False,
    stop: asyncio.Event | None = None,
    others: Sequence[tuple[Client, Pacing]] = (),
) -> str | None:
    """Make `calls` by `client`; gives the reason where it stopped before all were made, else None.

    What meets an account without money or a key that is refused is nobody's outcome: it is kept by nobody, and stays to be asked.

    Args:
        calls: each is given its outcome as it arrives, from one task at a time; or jobs that are yet to come.
        tally: counted up as outcomes arrive.
        tell: called where the run pauses and goes on.
        together: neighbours of one group are asked for in one call, up to so many.
        proven: the endpoint has answered before, so that no single failure can mean that it is of no use at all.
        stop: once set, nothing more is sent, and the run ends when what is in flight has arrived.
        others: further servers that answer alike, each with its pace: whichever has a place free takes the next call.

    Raises:
        AuthError: the endpoint refuses the key before it has answered anything; nothing more is sent.
        EndpointError: it cannot be reached, or refuses every request, before it has answered any.
        Exception: whatever a call's `keep` or `progress` raises, as it is; what was recorded stays.
    """
    jobs = calls if isinstance(calls, Jobs) else Jobs(calls, together)
    one = _Run(jobs, [(client, pace), *others], tally, policy, progress, tell, proven, stop)
    return await one.whole()


class _Run:
    """The workers, and what they have in common."""

    def __init__(
        self,
        jobs: Jobs,
        servers: Sequence[tuple[Client, Pacing]],
        tally: Tally,
        policy: Policy,
        progress: Callable[[Tally], None],
        tell: Tell,
        proven: bool,
        stop: asyncio.Event | None,
    ) -> None:
        self._jobs, self._tally = jobs, tally
        self._policy, self._progress, self._tell = policy, progress, tell
        self._asked_to_stop = stop or asyncio.Event()
        self._stopped: str | None = None
        self._changed = asyncio.Event()
        self._began = time.monotonic()
        healths = [Health(proven=proven, patience_s=policy.patience_s, pause_s=policy.pause_s, now=self._began) for _ in servers]
        self._replicas = Replicas([Replica(client, pace, health) for (client, pace), health in zip(servers, healths, strict=True)], tell)
        tally.held_until = self._replicas.held_until(self._began)
        self._looks: set[asyncio.Task[Any]] = set()
        self._known_good: Call | None = None

    async def whole(self) -> str | None:
        watch = asyncio.create_task(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._grow()
        except BaseExceptionGroup as faults:
            raise faults.exceptions[0] from None  # the first; others may have come of it
        finally:
            watch.cancel()
        while (job := self._jobs.again()) is not None:  # the run has stopped: what they met last is their outcome
            if job.before is not None:
                self._settle(job, job.before)
        self._tally.paused = ""
        return self._stopped

    async def _watch(self) -> None:
        """Stop the run when it is asked to, or when its time is over, whatever its workers wait for."""
        seconds = self._policy.budget.seconds
        try:
            async with asyncio.timeout(None if seconds is None else max(0.0, seconds - (time.monotonic() - self._began))):
                await self._asked_to_stop.wait()
                self._stop(INTERRUPTED)
        except TimeoutError:
            self._stop(self._over() or "the time is used up")

    def _over(self) -> str | None:
        return self._tally.spent.over(self._policy.budget, time.monotonic() - self._began)

    def _stop(self, why: str) -> None:
        self._stopped = self._stopped or why
        self._changed.set()
        self._jobs.wake()

    # --- workers, and what each does next

    def _grow(self) -> None:
        """As many workers as may be at work, and as there is work for."""
        for one in self._replicas:
            wanted = one.pace.limit if not self._jobs.exhausted else min(one.pace.limit, self._jobs.waiting)
            while one.workers < wanted:
                one.workers += 1
                self._group.create_task(self._work(one))
        self._tally.at_once = self._replicas.at_once

    async def _work(self, replica: Replica) -> None:
        try:
            while (job := await self._next(replica)) is not None:
                await self._attempt(job, replica)
                self._changed.set()
        finally:
            replica.workers -= 1
            self._end_looks()

    async def _next(self, replica: Replica) -> Job | None:
        """The next job for this server, when it may start; None where this worker has nothing more to do."""
        pace, health = replica.pace, replica.health
        while True:
            now = time.monotonic()
            if self._ends() or replica.gone or replica.workers > max(1, pace.limit):
                return None
            if self._tally.committed(self._policy.budget):
                await self._until(now + _LONGEST_LOOK_S)
                continue
            if health.down_since is not None:
                if self._left_to_others(replica):
                    return None
                job, wait_until = self._check(replica, now)
                if job is not None:
                    return job
                await self._until(wait_until)
                continue
            if not self._jobs.ready(now) and (self._jobs.exhausted or self._refused()):
                if self._spare(replica):
                    return None
                await self._until(self._jobs.next_at or now)
                continue
            at = None if self._jobs.dry(now) else pace.reserve(now)
            generation = pace.generation
            if at is None:
                await self._jobs.coming(self._looks_again(replica, now) - now)
                self._grow()
                continue
            if at > now:
                await self._sleep(at)
                if self._stopped or not replica.up or pace.held(time.monotonic()) or self._over():
                    continue
                if generation != pace.generation:
                    continue  # places are given anew since
            if (job := self._take()) is not None:
                return job

    def _looks_again(self, replica: Replica, now: float) -> float:
        """When whoever has nothing to send, or no place to send it at, looks again, if nothing wakes him before."""
        waits = [_LONGEST_LOOK_S, replica.pace.wait_s(now), (self._jobs.next_at or now) - now]
        return now + min(wait_s for wait_s in waits if wait_s > 0)

    def _end_looks(self) -> None:
        """Whether a server is back matters no more once nothing is left to be asked; a call to one that hangs would hold the run up."""
        only_looks = self._jobs.exhausted and not self._jobs.waiting and self._tally.in_flight == len(self._looks)
        if self._replicas.several and only_looks:
            for look in self._looks:
                look.cancel()

    def _left_to_others(self, replica: Replica) -> bool:
        """Whether a server that is down need not be waited for: others have all that is left, and call for hands where something comes back."""
        return self._jobs.exhausted and not self._jobs.waiting and replica.checker is None and self._replicas.beside(replica)

    def _spare(self, replica: Replica) -> bool:
        """Whether there are more hands than work: what is under way comes back to the one that sent it."""
        waiting, in_flight = self._jobs.waiting, self._tally.in_flight
        if replica.workers - replica.in_flight <= waiting:
            return False
        if not (waiting or in_flight) and (error := self._refused()) is not None:
            raise error
        return True

    def _ends(self) -> bool:
        """Whether nothing more is to be sent."""
        if self._asked_to_stop.is_set():
            self._stop(INTERRUPTED)
        if not self._stopped and (over := self._over()):
            self._stop(over)
        return self._stopped is not None

    def _take(self) -> Job | None:
        """One that waited and is ready, else one that was never asked for."""
        if self._jobs.ready(time.monotonic()):
            job = self._jobs.again()
            self._tally.waiting = self._jobs.waiting
            return job
        if self._jobs.exhausted or self._refused():
            return None
        job = self._jobs.new()
        if job is None:
            self._changed.set()
        return job

    async def _until(self, at: float) -> None:
        """Wait until then, or until something has changed."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, at - time.monotonic())):
                await self._changed.wait()

    async def _sleep(self, at: float) -> None:
        """Wait for a place that was taken: till then, whatever changes, but for the end of the run, and of the work."""
        while (left := at - time.monotonic()) > 0 and not self._stopped and (self._jobs.waiting or not self._jobs.exhausted):
            await asyncio.sleep(min(left, 0.25))

    def _put_back(self, job: Job, at: float) -> None:
        self._jobs.put_back(job, at)
        self._tally.waiting = self._jobs.waiting

    # --- one call, and what comes of it

    async def _attempt(self, job: Job, replica: Replica) -> None:
        tally, count, pace = self._tally, len(job.batch), replica.pace
        task = asyncio.current_task()
        if job.nobodys and task is not None:
            self._looks.add(task)
        tally.in_flight += 1
        replica.in_flight += 1
        at_once = replica.in_flight
        tally.spent.requests += 1
        started = time.monotonic()
        number = pace.started(started)
        job.first = started if job.first is None else job.first
        try:
            reply = await job.batch[0].send(replica.client, count)
        except asyncio.CancelledError:
            if job is replica.checker:  # a look that was given up; who waits for what it finds waits for nothing
                replica.checker = None
                self._changed.set()
            raise
        finally:
            tally.in_flight -= 1
            replica.in_flight -= 1
            if task is not None:
                self._looks.discard(task)
        now = time.monotonic()
        job.tries += 1
        tally.spent.add(reply.usage, answered=bool(reply.completions))
        if reply.completions:
            self._came(job, replica, reply, now, started, at_once, max(replica.in_flight, pace.since(number)))
        else:
            self._failed(job, replica, reply, now, started)
        self._grow()

    def _came(self, job: Job, replica: Replica, reply: Reply, now: float, started: float, at_once: int, uncounted: int) -> None:
        first = reply.completions[0]
        usage = first.usage
        tokens = None if usage is None else (usage.prompt_tokens or 0) + (usage.billed_tokens or 0)
        took_s = (first.latency_s or 0.0) if first.time_to_first_token_s is None else first.time_to_first_token_s
        replica.pace.answered(now, started, at_once, took_s, tokens, reply.limits, uncounted)
        if reply.limits is not None:
            self._tally.held_until = self._replicas.held_until(now)
        replica.heard = True
        for one in self._replicas:
            one.health.proven = True  # so that one that is out of reach is waited for, and does not end the run
        self._back(replica, replica.health.answered(now, started), now)
        self._known_good = job.batch[0]
        replica.health.paid_for()
        if job.nobodys:
            return
        for completion in reply.completions[: len(job.batch)]:
            self._settle_one(job, job.batch.pop(0), completion)
        if job.batch:  # fewer than asked for
            job.begin_again()
            self._put_back(job, now)

    def _failed(self, job: Job, replica: Replica, reply: Reply, now: float, started: float) -> None:
        failure, health = reply.failure, replica.health
        if failure is None:
            raise ValueError("a reply holds a completion or a failure")
        was_down, fell = health.down_since is not None, None
        may_be_down = reply.again and failure.kind != "rate_limited"
        if may_be_down:
            replica.pace.faulted()
            fell = health.failed(job.batch[0].key, now, reply.wait_s)
            if job is replica.checker:
                self._still_down(replica, failure, now, reply.wait_s)
        else:
            self._back(replica, health.alive(now, started), now)
            if reply.again:
                replica.pace.throttle(now, started, reply.wait_s)
                self._tally.held_until = self._replicas.held_until(now)
        if job.nobodys:
            return
        if fell is not None:
            self._fell(replica, fell, failure)
        if self._passed_on(job, replica, reply, now, started):
            return
        if reply.fault in ("account", "key") and self._not_its_own(job, replica, reply, now):
            return
        if failure.kind == "rate_limited" and reply.again and health.last_answer < started:
            job.forgiven += 1  # nobody is let through: this is no fault of this request's; deadline and patience bound it
        at = now + self._wait_s(job, replica, reply)
        given_up = self._given_up(job, reply, now, at)
        elsewhere = health.elsewhere(job.batch[0].key, reply.fault, reply.certain)
        told = elsewhere or (given_up and failure.kind != "malformed")  # one request that is answered with nonsense tells only of itself
        if told and (error := health.useless(failure, reply.fault, job.tries)):
            raise error
        if may_be_down and was_down:
            job.forgiven += 1  # what everybody meets is not held against it
            given_up = self._stopped is not None
        if given_up:
            self._settle(job, failure)
        else:
            job.before = failure
            self._put_back(job, at)
        if (why := health.verdict(failure, reply.again, reply.wait_s, now)) is not None and not self._replicas.lose(replica, why):
            self._stop(why)

    def _wait_s(self, job: Job, replica: Replica, reply: Reply) -> float:
        """Seconds until a request that failed is tried again; what one server asks for holds for the request only where no other can take it."""
        asked = None if self._replicas.beside(replica) else reply.wait_s
        return backoff(max(1, job.counted), self._policy.pause_s, asked)

    def _passed_on(self, job: Job, replica: Replica, reply: Reply, now: float, started: float) -> bool:
        """Whether a failure is one server's own, so that the request goes to another and is none the worse for it.

        It is where this server is out of reach and has answered nothing since the call began, or has never answered anything, or knows the model no
        more, and another one takes calls; and so often at most that a request which no server answers comes to its end.
        """
        failure, fault = reply.failure, reply.fault
        if failure is None or not self._replicas.beside(replica) or job.forgiven >= self._policy.max_tries * self._replicas.count:
            return False
        refuses = fault in ("address", "key") and (not replica.heard or (fault == "address" and reply.certain and failure.kind == "rejected"))
        silent = reply.again and failure.kind in ("connection", "timeout") and replica.health.last_answer < started
        unheard = reply.again and failure.kind != "rate_limited" and not replica.heard
        if not (refuses or silent or unheard):
            return False
        job.forgiven += 1
        if refuses:
            said = f" (HTTP {failure.status})" if failure.status else ""
            self._replicas.lose(replica, f"{failure.message}{said}")
        job.before = failure
        self._put_back(job, now)
        return True

    def _fell(self, replica: Replica, calls: int, failure: Failure) -> None:
        """A server is found to be down; tell, and that the run pauses where it was the last."""
        what = f"{calls} calls in a row failed ({failure.kind}: {failure.message})"
        if self._replicas.beside(replica):
            self._tell(note(f"{replica.name}: {what}; it is tried again for {self._policy.patience_s:g} s at the most, and the others go on"))
            return
        self._tally.paused = f"paused: {what}"
        self._tell(note(f"{self._tally.paused}; trying again for {self._policy.patience_s:g} s at the most"))

    def _not_its_own(self, job: Job, replica: Replica, reply: Reply, now: float) -> bool:
        """Whether a refusal is about the account or the key, so that the request stays to be asked; stops the run where that is sure."""
        failure, health = reply.failure, replica.health
        if failure is None:
            return False
        certain = reply.certain or health.emptied()
        if not certain and job.counted >= self._policy.max_tries:
            return False  # others are answered meanwhile: its own words only sound so
        if certain and not self._replicas.lose(replica, health.refused_for_all(failure)):
            if (error := health.useless(failure, reply.fault, job.tries)) is not None:
                raise error
            self._stop(health.refused_for_all(failure))
        job.before = None  # nothing of it is recorded
        self._put_back(job, now + backoff(max(1, job.counted), self._policy.pause_s))
        return True

    def _given_up(self, job: Job, reply: Reply, now: float, at: float) -> bool:
        """Whether a request that failed is not to be tried again, which would be `at` that time."""
        return (
            not reply.again
            or job.counted >= self._policy.max_tries
            or self._stopped is not None
            or at - (job.first or now) >= self._policy.deadline_s
        )

    def _settle(self, job: Job, outcome: Outcome) -> None:
        while job.batch:
            self._settle_one(job, job.batch.pop(0), outcome)

    def _settle_one(self, job: Job, call: Call, outcome: Outcome) -> None:
        counted = outcome if job.tries == 1 else msgspec.structs.replace(outcome, tries=max(1, job.tries))
        call.keep(counted, job.together)
        self._tally.add(counted)
        self._progress(self._tally)

    def _refused(self) -> EndpointError | None:
        """Where the endpoint takes nothing of what it is asked for: the error to end the run with."""
        tally = self._tally
        if tally.completed:
            return None
        found = (one.health.all_refused(tally.failed["rejected"], tally.done, tally.planned) for one in self._replicas)
        return next((error for error in found if error is not None), None)

    # --- while a server is down

    def _check(self, replica: Replica, now: float) -> tuple[Job | None, float]:
        """The one call that finds out whether the server is back, or the time to wait for."""
        over_at, check_at = replica.health.given_up_at, replica.health.check_at
        if now >= over_at:
            down = f"down for {self._policy.patience_s:g} s"
            if not self._replicas.lose(replica, f"it has been {down}"):
                self._stop(f"the endpoint has been {down}; {self._tally.paused.removeprefix('paused: ')}")
            self._grow()
            return None, now
        if replica.checker is not None:
            return None, over_at
        if now < check_at or replica.pace.held(now):
            return None, min(max(check_at, now + 0.1), now + 1.0, over_at)
        replica.checker = self._check_job(replica)
        self._tally.waiting = self._jobs.waiting
        if replica.checker is None:
            replica.health.down_since = None
        return replica.checker, now

    def _check_job(self, replica: Replica) -> Job | None:
        """What to ask a server that is down.

        At first what it has answered before, which tells a false alarm from requests that always fail; then mostly something new, whose answer
        is not paid for in vain. Where others take calls, no request is to wait for this one.
        """
        known = None if self._known_good is None else Job([self._known_good], nobodys=True)
        if known is not None and (replica.health.checks % _CHECKS_BY_NEW == 0 or self._replicas.beside(replica)):
            return known
        return self._jobs.new() or known or self._jobs.again()

    def _still_down(self, replica: Replica, failure: Failure, now: float, wait_s: float | None) -> None:
        replica.health.still_down(now, wait_s)
        replica.checker = None
        if not self._replicas.beside(replica):
            self._tally.paused = f"paused: the endpoint is down ({failure.kind}: {failure.message})"
        self._progress(self._tally)

    def _back(self, replica: Replica, down_s: float | None, now: float) -> None:
        """Go on, where the server was down so long."""
        if down_s is None:
            return
        name = replica.name if self._replicas.several else "the endpoint"
        self._tell(note(f"{name} answers again after {down_s:.0f} s"))
        replica.checker, self._tally.paused = None, ""
        replica.pace.wake(now)
