"""How many calls at once, and how fast: what an endpoint takes is found out by watching how it answers.

- **Concurrency** starts low and doubles while answers come; after the first sign of too much it grows by one a round (above 256, where many
  workers share it, by a 256th). A 429 cuts it, and so does a growing queue: answers that take over twice as long as they did. Server faults
  (5xx) only pause its growth.
- **Rate**: where a 429 shows a limit by time, the rate that was accepted becomes a bound, a little below it, which is then raised slowly. So
  a limit is met at its edge and not by running into it again and again.
- **Waits** that the endpoint asks for hold back every call, not only the one that was told. What it says of its limits in ``x-ratelimit-*``
  is heeded before they bite, as long as it bears out: where a counter was never seen to count and says that nothing is left, one call finds
  out, and where more is answered than should be left, its words are heeded no longer, until refusals just then show that they are true.

Nothing here sends or sleeps: `Pace` is told what happens, with the time, and says when the next call may start.
"""

from __future__ import annotations

import math
import random
import statistics

import msgspec

from evalkit.client.headers import Limits

MOST_AT_ONCE = 256
"""Bound of the adaptive concurrency; a fixed one may be higher."""

_FIRST = 4.0
_CUT, _CUT_FOR_A_QUEUE = 0.7, 0.8
_QUEUE_FACTOR, _QUEUE_S = 2.0, 0.05
_WINDOW = 16
_UNSURE_AFTER_FAULT = 2
_BELOW_THE_LIMIT = 0.96
_RATE_GROWS = 0.005
_SLOWEST_LEARNED = 1.0
_LONGEST_HEED_S = 60.0
_TRIED_AFTER_S = 0.25
"""How long nothing is sent before one call finds out whether the endpoint means it that nothing is left."""
_SAME = 8
"""Answers beyond what is left that say the same of it, until it is a number that nobody counts."""
_NEW = 2
"""Answers that say the same, until a number that is not 0 has to move to be believed."""
_MOST_DOUBT = 10
_SHARE_OVER, _OFTEN = 50, 0.4
_FIRST_HOLD_S, _LONGEST_HOLD_S = 10.0, 80.0
_HISTORY = 500
APART_S = 0.0007
"""Between the first calls, about what a call costs: sent at one moment, they would be answered at one moment, for ever after, and each
would wait for the cost of all."""


class Change(msgspec.Struct, frozen=True):
    """A change of pace, `at_s` seconds after the start: calls at once, calls a second where bounded, and why."""

    at_s: float
    at_once: int
    per_s: float | None
    why: str


class _Words:
    """What an endpoint says is left of one thing, and whether that bears out.

    What is said is doubted where calls are answered though nothing was left, or where the number never moves though calls are made; and less again
    with each call that is refused while nothing was left. Such a refusal alone proves a word: others may be about something else.

    Attributes:
        counts: its number was seen to move.
        proven: a call was refused as one too many while it said that nothing was left.
    """

    def __init__(self) -> None:
        self.counts = self.proven = False
        self._doubt = 0
        self._before: float | None = None
        self._same = self._windows = 0
        self._since = self._until = -math.inf

    @property
    def idle(self) -> bool:
        """Whether its words say nothing."""
        return self._doubt > 0

    def said(self, now: float, left: float, reset_s: float) -> None:
        """An answer told that so much is left, and in how many seconds it is whole again."""
        moved = self._before not in (None, left)
        self._same = 0 if moved else self._same + 1
        if moved and not self.counts:
            self.counts, self._doubt = True, 0
        self._before = left
        if left > 0:
            self._until = -math.inf
            if not self.counts and self._same > left + _SAME:
                self._contradicted()
        elif now >= self._until:
            self._since, self._until = now, now + reset_s
            self._windows += 1

    def answered(self, now: float, started: float) -> None:
        """A call was answered that began at `started`."""
        if self._since <= started < now < self._until:
            self._contradicted()

    def refused(self, started: float) -> float:
        """A call that began at `started` was refused as one too many; gives until when nothing is left by what was said, where that bears out."""
        until, self._until = self._until, -math.inf
        if not self._since <= started < until:
            return -math.inf
        self.proven, self._doubt = True, max(0, self._doubt - 1)
        return -math.inf if self.idle else until

    def _contradicted(self) -> None:
        self._doubt = min(_MOST_DOUBT, self._doubt + 2)
        self._same = 0

    def believed(self, left: float, reset_s: float) -> bool:
        """Whether calls are held back at its word, where too little is left; where they are not, one call finds out.

        A number that never moved is put to the test again now and then, after twice as many waits each time.
        """
        if self.proven:
            return self.counts or self._windows & (self._windows - 1) != 0
        return reset_s <= _LONGEST_HEED_S and (self.counts or (left > 0 and self._same < _NEW))


class Pace:
    """When the next call may start.

    Args:
        at_once: calls at once, fixed; None finds it out.
        requests_per_minute, tokens_per_minute: bounds that hold whatever the endpoint takes.
        most: bound of what is found out.
        now: the time at the start, in seconds of a monotonic clock, as in all methods.
    """

    def __init__(
        self,
        at_once: int | None = None,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        most: int = MOST_AT_ONCE,
        now: float,
    ) -> None:
        self.adaptive = at_once is None
        self._limit = float(min(_FIRST, most) if at_once is None else at_once)
        self.most = max(1, most)
        self._per_s = None if requests_per_minute is None else requests_per_minute / 60
        self._tokens_per_s = None if tokens_per_minute is None else tokens_per_minute / 60
        self._started_at = self._epoch = now
        self._doubling = True
        self._not_before = self._next = now
        self._unsure = 0
        self._gap_s, self._gap_until = 0.0, now
        self._used_up_until = self._last_start = now
        self._words = (_Words(), _Words())  # of requests, and of tokens
        self._calls = 0
        self._cut_at = -math.inf
        self._sent = self._refused = self._throttled_in_a_row = 0
        self._tokens_of_a_call: float | None = None
        self._learned: float | None = None
        self._share = 0.0
        self._with_it: list[bool] = []
        self._suspected = False
        self._of_epoch = (0, now)
        self._hold_s, self._held_until = _FIRST_HOLD_S, now
        self._times: list[float] = []
        self._window = _WINDOW
        self._usual: float | None = None
        self.generation = 0
        self.throttled = 0
        self.highest = self.limit
        self.history: list[Change] = []
        self._note(now, "start")

    @property
    def limit(self) -> int:
        """Calls that may be in flight at once, at least 1."""
        return max(1, int(self._limit))

    def rate(self, now: float) -> float | None:
        """Bound of the calls a second; None: there is none."""
        learned = None if self._learned is None else self._learned * (1 + _RATE_GROWS * max(0.0, now - self._held_until))
        bounds = [one for one in (learned, self._per_s) if one is not None]
        if self._tokens_per_s is not None and self._tokens_of_a_call:
            bounds.append(self._tokens_per_s / self._tokens_of_a_call)
        return min(bounds, default=None)

    def timed(self, now: float) -> bool:
        """Whether calls keep places in time: they are bounded by a rate, by what is left of something, or have just begun."""
        return now - self._started_at < 1 or now < self._gap_until or self.rate(now) is not None

    def reserve(self, now: float) -> float:
        """Take the next place: the time at which a call may start, `now` or later. Afterwards `held` and `generation` tell whether it still may."""
        at = max(now, self._next, self._not_before, self._used_up_until)
        rate = self.rate(now)
        apart = APART_S if now - self._started_at < 1 else 0.0
        if at < self._gap_until:
            apart = max(apart, self._gap_s)
        self._next = at + (apart if rate is None else max(apart, 1 / rate))
        return at

    def held(self, now: float) -> bool:
        """Whether no call may start now, since the endpoint asked to wait after a place was taken."""
        return self.wait_s(now) > 0

    def hold(self, until: float) -> None:
        """No call is to start before then."""
        self._not_before = self._epoch = max(self._not_before, until)

    def wait_s(self, now: float) -> float:
        """For how long no call may start, since the endpoint has asked for it."""
        return max(0.0, self._not_before - now, self._used_up_until - now)

    def expect(self, tokens: float) -> None:
        """Tell how many tokens a call may use, before any has told by its usage."""
        self._tokens_of_a_call = self._tokens_of_a_call or tokens

    def started(self, now: float) -> int:
        """A call goes out; gives its number."""
        self._sent += 1
        self._calls += 1
        self._last_start = now
        return self._calls

    def since(self, number: int) -> int:
        """How many calls went out after the one of that number."""
        return self._calls - number

    def answered(
        self, now: float, started: float, in_flight: int, took_s: float, tokens: float | None, limits: Limits | None, uncounted: int = 0
    ) -> None:
        """A call was answered.

        Args:
            started: when it was sent.
            in_flight: calls at once while it was, itself included.
            took_s: until its answer began, where that is known, else until it had ended.
            tokens: it used, all in all.
            limits: what the endpoint says is left.
            uncounted: calls that may not yet be counted in that.
        """
        self._throttled_in_a_row = 0
        self._share -= self._share / _SHARE_OVER
        if started < self._cut_at:
            self._with_it.append(False)
        elif self._of_epoch[0]:
            self._judge(now)
        if tokens:
            known = self._tokens_of_a_call
            self._tokens_of_a_call = tokens if known is None else known + (tokens - known) / 16
        for words in self._words:
            words.answered(now, started)
        if limits is not None:
            self._heed(now, limits, uncounted)
        if not self.adaptive:
            return
        if started >= self._cut_at and self._queue_grows(took_s):
            self._cut(now, _CUT_FOR_A_QUEUE, "answers take over twice as long")
        elif self._unsure:
            self._unsure -= 1
        elif in_flight >= self.limit and self._limit < self.most:
            # Of the thousands that many workers have together, one a round would take minutes to make up for a cut.
            self._limit = min(self.most, self._limit + (1 if self._doubling else max(1 / self._limit, 1 / MOST_AT_ONCE)))
            self.highest = max(self.highest, self.limit)

    def faulted(self) -> None:
        """A call met a fault of the server: no growth with the next answers."""
        self._unsure = _UNSURE_AFTER_FAULT

    def throttle(self, now: float, started: float, wait_s: float | None) -> None:
        """A call was answered 429; `wait_s` is what the endpoint asks to wait."""
        self.throttled += 1
        self._refused += 1
        for words in self._words:
            until = words.refused(started)
            if wait_s is None and until > now:
                self._used_up_until = max(self._used_up_until, min(until, now + _LONGEST_HEED_S))
        self._share += (1 - self._share) / _SHARE_OVER
        if wait_s is None:
            wait_s = random.uniform(0.5, 1.0) * min(30.0, 2.0 ** min(self._throttled_in_a_row, 6))  # noqa: S311 (jitter)
        if started < self._cut_at:  # sent before the last one came: it shows whether that one was alone
            self._with_it.append(True)
            self._not_before = max(self._not_before, now + wait_s)
            self._epoch = max(self._epoch, self._not_before)
            return
        self._judge(now)
        self._throttled_in_a_row += 1
        self._with_it = []
        self._of_epoch = (self._sent - self._refused, self._epoch)
        if self._for_our_pace(now, wait_s):
            self._cut(now, _CUT, "throttled")
        self._cut_at = now
        self._not_before = max(self._not_before, now + wait_s)
        self._sent = self._refused = 0
        self._epoch = self._not_before

    def _for_our_pace(self, now: float, wait_s: float) -> bool:
        """Whether a 429 says that this pace is too fast; a bound that is found too high is lowered."""
        before = self.rate(now)
        if self._learned is None or before is None:
            return self._share >= _OFTEN or self._throttled_in_a_row == 1
        if before > self._learned * 1.001:  # raised to try it: so that is where the edge is
            busy_s, accepted = now - self._epoch, self._sent - self._refused
            found = accepted / busy_s if accepted >= 5 and busy_s > 0.25 else math.inf
            self._learned = max(_BELOW_THE_LIMIT * min(found, before), 0.9 * self._learned)
            self._hold_s = min(_LONGEST_HOLD_S, 2 * self._hold_s)
            self._held_until = now + wait_s + self._hold_s
            return True
        # At a pace that it took before: one of many reasons that are none of ours, unless that becomes a habit.
        if self._share < _OFTEN:
            return False
        self._learned = max(_CUT * self._learned, min(self._learned, _SLOWEST_LEARNED))
        self._held_until = now + wait_s + _FIRST_HOLD_S
        return True

    def _judge(self, now: float) -> None:
        """Was the last 429 alone? Where most of what was under way was refused with it, there is a limit by time, and this is its rate.

        What was accepted from the end of one wait to the end of the next is what the limit lets through, its reserve for bursts included.
        """
        refused, others = sum(self._with_it), len(self._with_it)
        accepted, epoch = self._of_epoch
        self._of_epoch = (0, now)
        alike = refused > 0 and refused >= 0.4 * others
        sure = alike and (refused > 1 or self._suspected)  # one beside another is chance, where many are refused for other reasons
        self._suspected = alike
        if accepted >= 3 and sure and self._epoch > epoch:
            found = _BELOW_THE_LIMIT * accepted / (self._epoch - epoch)
            if self._learned is None or found < self._learned:
                self._learned = found
                self._held_until = now + self._hold_s
                self._note(now, "a limit by time is found")

    def wake(self, now: float) -> None:
        """The endpoint is back after an outage: start low again, and give places anew; a wait that it asked for still holds."""
        self.generation += 1
        self._next = self._epoch = self._cut_at = now
        self._sent = self._refused = 0
        self._times.clear()
        if self.adaptive:
            self._limit, self._doubling = min(_FIRST, self._limit), True
            self._note(now, "back after an outage")

    def _heed(self, now: float, limits: Limits, uncounted: int) -> None:
        """Spread what is left over the time until there is more, once it could be used up; the newest word counts."""
        left = ((limits.requests, limits.requests_reset_s, 1.0), (limits.tokens, limits.tokens_reset_s, self._tokens_of_a_call or 1.0))
        self._used_up_until, self._gap_s = now, 0.0
        for (amount, reset_s, of_a_call), words in zip(left, self._words, strict=True):
            if amount is None or reset_s is None or reset_s <= 0:
                continue
            words.said(now, amount, reset_s)
            if words.idle:
                continue
            spare = amount / of_a_call - uncounted
            heeded_s = min(reset_s, _LONGEST_HEED_S)  # what lies further off a refusal will tell, and patience judge
            if spare > 0:
                if spare <= self.limit:
                    gap_s = heeded_s / (spare + 1)
                    gap_s = gap_s if words.counts else min(gap_s, _TRIED_AFTER_S)
                    self._gap_s, self._gap_until = max(self._gap_s, gap_s), now + heeded_s
            elif words.believed(amount, reset_s):
                self._used_up_until = max(self._used_up_until, now + heeded_s)
            else:
                self._used_up_until = max(self._used_up_until, now + min(reset_s, _TRIED_AFTER_S))
                self._gap_s, self._gap_until = max(self._gap_s, _TRIED_AFTER_S), now + heeded_s
        if self._gap_s:
            self._next = max(self._next, self._last_start + self._gap_s)

    def _queue_grows(self, took_s: float) -> bool:
        self._times.append(took_s)
        if len(self._times) < self._window:
            return False
        median = statistics.median(self._times)
        self._times.clear()
        self._window = max(_WINDOW, self.limit)  # a round of answers; fixed now, for the limit may grow meanwhile
        usual = self._usual = median if self._usual is None else min(median, self._usual * 1.002)
        return self.limit > _FIRST and median > _QUEUE_FACTOR * usual + _QUEUE_S

    def _cut(self, now: float, by: float, why: str) -> None:
        self._cut_at = now
        self._doubling = False
        if self.adaptive:
            self._limit = max(1.0, self._limit * by)
        self._note(now, why)

    def _note(self, now: float, why: str) -> None:
        rate = self.rate(now)
        if len(self.history) < _HISTORY:
            self.history.append(Change(round(now - self._started_at, 3), self.limit, None if rate is None else round(rate, 3), why))


def backoff(tries: int, pause_s: float, wait_s: float | None = None) -> float:
    """Seconds before the next try, after so many: exponential with jitter, and never before the endpoint asked for it."""
    pause: float = random.uniform(0.5, 1.5) * pause_s * 2 ** min(tries - 1, 6)  # noqa: S311 (jitter)
    return max(pause, wait_s or 0.0)
