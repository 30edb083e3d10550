"""The one who knows: what is leased to whom, what is done, what is spent, and how fast all workers together may send.

It sends nothing, waits for nothing and knows no cluster: it is told what workers report, with the time, and says what each is to do.
A request is leased to one worker at a time. It is open until one outcome came for it, from whoever it was leased to; where a worker is lost, what
its segment holds is taken first, and only what has no outcome there is leased again.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator

import msgspec

from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import Policy
from evalkit.collect.tally import Tally
from evalkit.engine.member import HORIZON_S, Member
from evalkit.engine.messages import Answered, Ended, Event, Faulted, Orders, Report, Throttled
from evalkit.engine.shares import shared
from evalkit.errors import EvalkitError
from evalkit.plan.requests import Request
from evalkit.store.records import FORM, Completion, Kind, Record
from evalkit.text.notes import Tell, nobody, warning

EXPIRES_S = 30.0
"""A worker that reports nothing for so long is taken to be lost, and its lease ends; by itself it has stopped long before."""

_ALLOTTED_EVERY_S, _DEALT_EVERY_S = 0.05, 0.005
_MOST_LEASED, _FEWEST_LEASED = 1000, 4
_AHEAD_S = 1.0
"""What a worker is leased lasts for about so long, so that little is to be done again where it is lost."""
_FORGETS = 0.3
_ANSWERED_S = 30.0
_SAME_S = 0.005
"""Two waits that end so near to each other are one."""


class Hub:
    """Leases, pace and spending of all workers of one sweep; times in seconds of one monotonic clock.

    Args:
        requests: what is to be asked, each once.
        pace: of all workers together.
        tally: counted up; its `planned` tells how many `requests` there are.
        write: takes lines of records that count.
        together: neighbours of one group are leased together, up to so many.
        each: calls at once that one worker may have at the most.
        recorded: is given each record that counts.

    Attributes:
        stopped: why it ends before its end.
        error: what it ends with, where the endpoint is of no use.
        twice: outcomes that came a second time and were dropped.
    """

    def __init__(
        self,
        requests: Iterable[Request],
        pace: Pace,
        policy: Policy,
        tally: Tally,
        write: Callable[[bytes], None],
        *,
        now: float,
        together: int = 1,
        each: int = MOST_AT_ONCE,
        tell: Tell = nobody,
        recorded: Callable[[Record], None] | None = None,
    ) -> None:
        self.pace, self.policy, self.tally = pace, policy, tally
        self.stopped: str | None = None
        self.error: EvalkitError | None = None
        self.twice = 0
        self._jobs, self._each = _jobs(requests, together), each
        self._returned: deque[tuple[Request, ...]] = deque()
        self._exhausted = False
        self._to_lease = tally.planned - tally.done
        self._owners: dict[str, Member] = {}
        self._members: dict[str, Member] = {}
        self._write, self._tell, self._recorded = write, tell, recorded
        self._began = now
        self._anew = 0
        self._spare: float | None = None
        self._allot_at, self._allotted, self._deal_at = now, 0, now

    # --- who is there

    def join(self, name: str, now: float) -> None:
        """A worker is there, and may be given work."""
        self._members[name] = Member(name, now)
        self._allot_at = now

    @property
    def finished(self) -> bool:
        """Whether nothing is left to be done: every request has its outcome, or it was stopped and all workers have ended."""
        if self.stopped is not None or self.error is not None:
            return all(one.ended is not None for one in self._members.values())
        return self._all_leased and not self._owners

    @property
    def _all_leased(self) -> bool:
        return self._exhausted and not self._returned

    @property
    def members(self) -> list[str]:
        """The names of those who are there and have not ended."""
        return [one.name for one in self._members.values() if one.ended is None]

    def lost(self, name: str, segment: bytes, now: float) -> int:
        """A worker is gone: take what its segment holds, and lease the rest of what it had to others; how many requests that are."""
        member = self._members.pop(name)
        for line in segment.splitlines(keepends=True):
            self._take_line(line)
        left = [one for key, one in member.leased.items() if self._owners.get(key) is member]
        for one in left:
            del self._owners[one.key]
            self._returned.append((one,))
        self._to_lease += len(left)
        # What it began and did not tell of: its places are taken to be used, so that no budget is overdrawn.
        self.tally.spent.requests += max(0, member.places - len(member.pending)) if self._counted else 0
        self._allot_at = now
        return len(left)

    def _take_line(self, line: bytes) -> None:
        try:
            record = FORM.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return  # torn: the worker was killed while it wrote
        if record.key not in self._owners:
            return  # told of before
        outcome = record.outcome
        completed = isinstance(outcome, Completion)
        usage = outcome.usage
        if self._accept(record.key, None if isinstance(outcome, Completion) else outcome.kind, (usage.completion_tokens or 0) if usage else 0, None):
            self._keep([line if line.endswith(b"\n") else line + b"\n"])
            self.tally.spent.add(usage, answered=completed)
            self.tally.spent.requests += 0 if self._counted else outcome.tries

    # --- what workers report

    def heard(self, name: str, report: Report, now: float) -> bool:
        """Take a report; whether others must hear of what it says at once."""
        member = self._members.get(name)
        if member is None:
            self._late(report)
            return False
        gone, paused = max(1e-3, now - member.heard_at), member.last.paused
        kept = [line for (key, kind, tokens), line in zip(report.outcomes, report.lines, strict=True) if self._accept(key, kind, tokens, member)]
        self._keep(kept)
        self.tally.spent.take(report.used)
        member.per_s += _FORGETS * (len(report.outcomes) / gone - member.per_s)
        member.heard_at, member.last = now, report
        member.recent, member.fresh = len(report.events), 0
        urgent = self._replay(member, report.events, now)
        for one in report.notes:
            self._tell(one)
        if report.ended is not None:
            self._ends(member, report.ended, paused, now)
        self._look(now)
        return urgent or report.ended is not None

    def _late(self, report: Report) -> None:
        """What somebody says who was given up for lost: answers that are still wanted are taken."""
        for (key, kind, tokens), line in zip(report.outcomes, report.lines, strict=True):
            if kind is None and self._accept(key, None, tokens, None):
                self._keep([line])

    def _accept(self, key: str, kind: Kind | None, tokens: int, member: Member | None) -> bool:
        """Whether an outcome is the one that counts of its request."""
        owner = self._owners.get(key)
        if owner is None or (kind is not None and member is not None and owner is not member):
            self.twice += 1
            return False
        del self._owners[key]
        owner.leased.pop(key, None)
        self.tally.count(kind, tokens)
        return True

    def _keep(self, lines: list[bytes]) -> None:
        if not lines:
            return
        self._write(b"".join(lines))
        if self._recorded is not None:
            for line in lines:
                self._recorded(FORM.decode(line))

    def _replay(self, member: Member, events: tuple[Event, ...], now: float) -> bool:
        """Tell the pace what happened to a worker's calls; whether others must hear of it."""
        pace, urgent = self.pace, False
        elsewhere = sum(one.last.in_flight for one in self._members.values()) - member.last.in_flight if events else 0
        for one in events:
            if isinstance(one, Answered):
                pace.started(now - one.started)
                at_once = pace.limit if one.filled else 1
                pace.answered(now - one.ended, now - one.started, at_once, one.took_s, one.tokens, one.limits, one.uncounted + elsewhere)
                member.answered_at = now
            elif isinstance(one, Throttled):
                pace.started(now - one.started)
                # Whoever was told to wait sends nothing: this one was sent before its worker heard of a refusal that another met.
                pace.throttle(now - one.ended, now - one.started if pace.wait_s(now) <= 0 else -math.inf, one.wait_s)
                urgent = True
            elif isinstance(one, Faulted):
                pace.faulted()
            elif self._all_woke(member):
                pace.wake(now - one.ended)
                self._take_back()
                urgent = True
        return urgent

    def _all_woke(self, member: Member) -> bool:
        """Whether the endpoint was down for the others too."""
        others = [one.last.paused for one in self._members.values() if one is not member and one.ended is None]
        return all(others)

    def _ends(self, member: Member, ended: Ended, paused: str, now: float) -> None:
        """A worker has ended; where others are answered while it found the endpoint down, the trouble is its own, and they go on without it."""
        member.ended = ended
        if ended.error is not None:
            self.error = self.error or ended.error
        elif ended.stopped is not None and self.stopped is None:
            if paused and any(now - one.answered_at < _ANSWERED_S for one in self._members.values() if one is not member):
                self._tell(warning(f"worker {member.name}: {ended.stopped}; others are answered, and go on without it"))
                self.lost(member.name, b"", now)
                return
            self.stop(ended.stopped)

    # --- when it ends

    def stop(self, why: str) -> None:
        """Let nobody send anything more."""
        self.stopped = self.stopped or why

    def _look(self, now: float) -> None:
        """Stop where the budget is used up, and nothing is under way that may yet be counted."""
        tally, members = self.tally, [one for one in self._members.values() if one.ended is None]
        tally.in_flight = sum(one.last.in_flight for one in members)
        tally.waiting = sum(one.last.waiting for one in members)
        tally.at_once = self.pace.limit
        tally.held_until = now + self.pace.wait_s(now)
        paused = [one.last.paused for one in members]
        tally.paused = paused[0] if paused and all(paused) else ""
        why = tally.spent.over(self.policy.budget, now - self._began)
        if why is not None and not self.finished:
            self.stop(why)

    # --- what workers are told

    def orders(self, name: str, now: float) -> Orders:
        """What a worker is to do from now on; each word is said once, so it must reach the worker."""
        member = self._members[name]
        self._divide(now)
        ending = self.stopped is not None or self.error is not None
        lease = () if ending else self._lease(member)
        self._deal(now)
        places, member.pending = member.pending, []
        member.given += len(places)
        hold = self.pace.wait_s(now)
        member.told = Orders(
            lease=lease,
            closed=ending or (self._all_leased and not self._owners),
            share=member.share,
            timed=self._timed(now),
            places=tuple(one - now for one in places),
            hold_s=hold,
            anew=self._anew,
            stop=ending,
        )
        member.told_hold = now + hold
        return member.told

    def waiting(self, now: float) -> list[str]:
        """Those whom something must be told before they ask by themselves."""
        self._look(now)
        self._divide(now)
        self._deal(now)
        timed, hold = self._timed(now), now + self.pace.wait_s(now)
        ending = self.stopped is not None or self.error is not None
        closing = self._all_leased and not self._owners
        out = []
        for one in self._members.values():
            told = one.told
            if one.ended is None and (
                (hold > now and hold > one.told_hold + _SAME_S)
                or told.anew != self._anew
                or (timed and not told.timed)
                or (ending and not told.stop)
                or (closing and not told.closed)
                or one.share < told.share
                or (one.share > told.share and one.last.in_flight >= told.share)
                or (one.pending and one.given - one.last.received + one.last.places == 0)
                or (not one.leased and not ending and not self._all_leased and one.share > 0)
            ):
                out.append(one.name)
        return out

    @property
    def _counted(self) -> bool:
        """Whether each call is to be granted by itself, so that a budget is kept."""
        budget = self.policy.budget
        return budget.requests is not None or budget.tokens is not None or budget.cost is not None

    def _timed(self, now: float) -> bool:
        return self._counted or self.pace.timed(now)

    def _take_back(self) -> None:
        """Let no place count that was given."""
        self._anew += 1
        self._spare = None
        for one in self._members.values():
            one.pending.clear()

    def _lease(self, member: Member) -> tuple[tuple[Request, ...], ...]:
        """More work for a worker, where it has little left."""
        if member.share == 0 or (self._to_lease <= 0 and self._all_leased):
            return ()
        here = sum(one.ended is None and one.share > 0 for one in self._members.values())
        wanted = max(2 * member.share, int(_AHEAD_S * member.per_s), _FEWEST_LEASED)
        wanted = min(wanted, _MOST_LEASED, max(1, self._to_lease // (2 * here)))
        unbegun = member.unbegun
        if unbegun > wanted // 2:
            return ()
        out: list[tuple[Request, ...]] = []
        while wanted > unbegun and (job := self._next_job()) is not None:
            out.append(job)
            wanted -= len(job)
            self._to_lease -= len(job)
            for request in job:
                member.leased[request.key] = request
                member.fresh += 1
                self._owners[request.key] = member
        return tuple(out)

    def _next_job(self) -> tuple[Request, ...] | None:
        if self._returned:
            return self._returned.popleft()
        job = next(self._jobs, None)
        if job is None:
            self._exhausted = True
        return job

    def _divide(self, now: float) -> None:
        if now >= self._allot_at or self.pace.limit != self._allotted:
            self._allot_at, self._allotted = now + _ALLOTTED_EVERY_S, self.pace.limit
            self._allot()

    def _deal(self, now: float) -> None:
        """Where calls keep places in time, divide those of the next moment among the workers."""
        if now < self._deal_at or not self._timed(now) or self.pace.wait_s(now) > 0 or self.stopped is not None:
            return
        self._deal_at = now + _DEALT_EVERY_S
        wanting = deque((one, free) for one in self._members.values() if one.ended is None and (free := one.may_start) > 0)
        room = self._room(sum(free for _, free in wanting))
        while wanting and room > 0:
            if self._spare is None or self._spare < now - HORIZON_S:
                self._spare = self.pace.reserve(now)
            if self._spare > now + HORIZON_S:
                return
            member, free = wanting.popleft()
            member.pending.append(self._spare)
            self._spare = None
            room -= 1
            if free > 1:
                wanting.append((member, free - 1))

    def _room(self, wanted: int) -> int:
        """How many of the calls that are wanted the budget allows beside those that may be under way."""
        budget, spent = self.policy.budget, self.tally.spent
        if not self._counted:
            return wanted
        members = self._members.values()
        granted = sum(one.places for one in members)
        under_way = granted + sum(one.last.in_flight for one in members)
        if budget.requests is not None:
            made = spent.requests + sum(one.requests for one in spent.earlier)
            wanted = min(wanted, budget.requests - made - granted)
        while wanted > 0 and spent.committed(budget, under_way + wanted - 1):
            wanted //= 2
        return max(0, wanted)

    def _allot(self) -> None:
        """Divide the calls at once: what a worker has in flight above its part is given to others only when it has come back."""
        members = [one for one in self._members.values() if one.ended is None]
        more = not self._all_leased
        goals = shared(self.pace.limit, [min(self._each, self.pace.limit if more else len(one.leased)) for one in members])
        room = self.pace.limit
        for one, goal in zip(members, goals, strict=True):
            room -= min(goal, one.share) if goal >= one.told.share else max(goal, one.told.share, one.last.in_flight)
        for one, goal in zip(members, goals, strict=True):
            up = max(0, min(goal - one.share, room))
            room -= up
            one.share = min(goal, one.share) + up


def _jobs(requests: Iterable[Request], together: int) -> Iterator[tuple[Request, ...]]:
    """Neighbours that may be asked for in one call, up to `together` of them."""
    job: list[Request] = []
    for one in requests:
        before = job[0] if job else one
        if job and (len(job) == together or (one.cell_index, one.prompt_index, one.role) != (before.cell_index, before.prompt_index, before.role)):
            yield tuple(job)
            job = []
        job.append(one)
    if job:
        yield tuple(job)
