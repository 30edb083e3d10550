"""Is the endpoint up, and of any use? Told from how calls end. Nothing here sends or sleeps: it is told what happens, with the time."""

from __future__ import annotations

from evalkit.client.outcome import NO_KEY, Fault
from evalkit.collect.pace import backoff
from evalkit.errors import AuthError, EndpointError
from evalkit.store.records import Failure

_ALL_ALIKE = 8
"""Requests the endpoint may refuse, before it has answered any, until it is of no use."""
_OUTAGE_CALLS, _OUTAGE_REQUESTS = 8, 4
"""Calls that fail one after the other, and requests among them, until the endpoint is taken to be down."""
_UNREAD_CALLS, _UNREAD_REQUESTS = 8, 4
"""Calls in a row whose answers are nothing of a chat API's, and requests among them, before any answer, until the address is taken to be wrong."""
_EMPTY_IN_A_ROW = 3
"""Calls refused in words alone that sound like an empty account, and none answered meanwhile, until it is taken to be empty."""
_FALSE_ALARM_S = 1.0
_LONGEST_CHECK_S = 5.0


class Health:
    """How an endpoint has been so far.

    Args:
        proven: it has answered before, so that no single failure can mean that it is of no use at all.
        patience_s: how long it may be down, or refuse every call as one too many.
        pause_s: mean wait before the second look at one that is down.
        now: the time at the start, in seconds of a monotonic clock, as in all methods.

    Attributes:
        proven: whether it has ever answered.
        down_since: when it was found to be down; None while it is up.
        check_at: when to look whether it is back.
        checks: looks that found it still down.
        last_answer: when it last answered; the start where it never did.
    """

    def __init__(self, *, proven: bool, patience_s: float, pause_s: float, now: float) -> None:
        self.proven, self._known_before = proven, proven
        self._patience_s, self._pause_s = patience_s, pause_s
        self.down_since: float | None = None
        self.check_at = self.last_answer = now
        self.checks = 0
        self._streak, self._streak_of, self._streak_limit = 0, set[str](), _OUTAGE_CALLS
        self._refused_since: float | None = None
        self._refusal: Failure | None = None
        self._empty_streak = 0
        self._unread, self._unread_of = 0, set[str]()

    def paid_for(self) -> None:
        """A call was answered, so the account is not empty."""
        self._empty_streak = 0

    def emptied(self) -> bool:
        """A call was refused in words that sound like an empty account; whether enough were in a row to believe it."""
        self._empty_streak += 1
        return self._empty_streak >= _EMPTY_IN_A_ROW

    def elsewhere(self, key: str, fault: Fault | None, certain: bool) -> bool:
        """A call failed; whether that, or so many alike before any answer, tell that the address is wrong."""
        if fault != "address":
            self._unread = 0
            self._unread_of.clear()
            return False
        self._unread += 1
        self._unread_of.add(key)
        return certain or (self._unread >= _UNREAD_CALLS and len(self._unread_of) >= _UNREAD_REQUESTS)

    def answered(self, now: float, started: float) -> float | None:
        """A call that began at `started` was answered; as `alive`."""
        self.last_answer, self._refused_since, self.proven = now, None, True
        return self.alive(now, started)

    def alive(self, now: float, started: float) -> float | None:
        """Somebody was there, were it to refuse. Where the endpoint is back by that: the seconds that it was down, else None."""
        self._streak = 0
        self._streak_of.clear()
        if self.down_since is None or started < self.down_since:  # what was under way then tells nothing of now
            return None
        down_s, self.down_since = now - self.down_since, None
        if down_s < _FALSE_ALARM_S:
            self._streak_limit *= 2  # some requests fail always, and the others do not
        return down_s

    def failed(self, key: str, now: float, wait_s: float | None) -> int | None:
        """A call failed as all would if the endpoint were down. Where it is now taken to be: how many did so one after the other."""
        self._streak += 1
        self._streak_of.add(key)
        enough = self._streak >= self._streak_limit and len(self._streak_of) >= _OUTAGE_REQUESTS
        if self.down_since is not None or not self.proven or not enough:
            return None
        self.down_since, self.check_at, self.checks = now, now + (wait_s or 0.0), 0
        return self._streak

    def still_down(self, now: float, wait_s: float | None) -> None:
        """The look whether it is back has failed."""
        self.checks += 1
        self.check_at = now + max(wait_s or 0.0, min(_LONGEST_CHECK_S, backoff(self.checks, self._pause_s)))

    @property
    def given_up_at(self) -> float:
        """When patience with an endpoint that is down ends."""
        return (self.check_at if self.down_since is None else self.down_since) + self._patience_s

    def verdict(self, failure: Failure, again: bool, wait_s: float | None, now: float) -> str | None:
        """Why nothing more is to be sent after this failure; None where the run may go on.

        Args:
            again: whether the trouble may pass.
            wait_s: how long the endpoint asks to wait.
        """
        if failure.kind == "rejected":
            self._refusal = failure
        if again and (wait_s or 0) > self._patience_s:
            return f"the endpoint asks to wait {wait_s:.0f} s, longer than patience_s, {self._patience_s:g} s: {failure.message}"
        if failure.kind != "rate_limited":
            self._refused_since = None
        elif self._refused_since is None:
            self._refused_since = now
        elif now - self._refused_since > self._patience_s:
            return f"the endpoint has refused every call for {self._patience_s:g} s as one too many: {failure.message}"
        return None

    def refused_for_all(self, failure: Failure) -> str:
        """Why nothing more is to be sent after a refusal of the account or the key, which would meet every request alike."""
        said = f" (HTTP {failure.status})" if failure.status else ""
        if failure.kind == "account":
            return f"the account has no more credit{said}: {failure.message}"
        if failure.code == NO_KEY:
            return failure.message
        return f"the endpoint refuses the key since it has answered{said}: {failure.message}"

    def useless(self, failure: Failure, fault: Fault | None, tries: int) -> EndpointError | None:
        """Where nothing was ever answered, trouble that would meet every request alike: the error to end the run with, unrecorded."""
        return None if self.proven else unusable(failure, fault, tries)

    def all_refused(self, refused: int, done: int, planned: int) -> EndpointError | None:
        """Where none of this run's requests was answered and many were refused: the error to end the run with.

        Args:
            refused: requests that were rejected, of the `done` ones that have their outcome and the `planned` ones.
        """
        if self._refusal is None or refused < (_ALL_ALIKE if self._known_before else min(_ALL_ALIKE, planned)):
            return None
        them = f"the first {refused} requests, all it was sent" if refused == done else f"{refused} of {done} requests and answered none"
        return EndpointError(
            f"the endpoint refused {them} (HTTP {self._refusal.status}): {self._refusal.message}. "
            "Change the experiment; if the endpoint was at fault, run again with retry_failed"
        )


def unusable(failure: Failure, fault: Fault | None, tries: int) -> EndpointError | None:
    """The error that tells why an endpoint is of no use, where this failure would meet every request alike; None where it would not."""
    said = f" (HTTP {failure.status})" if failure.status else ""
    if fault == "key" and failure.code == NO_KEY:
        return AuthError(failure.message)
    if fault == "key":
        return AuthError(f"the endpoint refuses the key{said}: {failure.message}")
    if fault == "account":
        return EndpointError(f"the account has no credit{said}: {failure.message}")
    if failure.kind == "connection":
        return EndpointError(f"the endpoint cannot be reached after {tries} tries: {failure.message}")
    if fault == "address" and failure.kind == "malformed":
        return EndpointError(f"endpoint.base_url leads to no chat API: {failure.message}")
    if fault == "address":
        return EndpointError(f"the endpoint knows no such model or address{said}: {failure.message.rstrip('.')}. Check endpoint.model and base_url")
    return None
