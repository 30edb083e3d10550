"""How far a run has come, counted up as it goes and shown meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from evalkit.collect.budget import Spent
from evalkit.store.records import Completion, Kind, Outcome


@dataclass
class Tally:
    """How far a run has come.

    Attributes:
        planned: requests to be sent.
        failed: by kind.
        tokens: of answers.
        waiting: requests that failed and will be tried again.
        at_once: calls that may be in flight.
        paused: why nothing is sent at present; empty while it is.
        stage: how far what is sent has come, in a few words, where it comes in stages.
        what: what is counted, where it is no requests.
        began, last_at: when it started, and when the last outcome came, None where none did; in seconds of the monotonic clock.
        held_until: when calls may start again, as the endpoint asks; in seconds of the monotonic clock, as in `held_s`.
    """

    planned: int
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    in_flight: int = 0
    waiting: int = 0
    at_once: int = 0
    paused: str = ""
    stage: str = ""
    what: str = "requests"
    held_until: float = 0.0
    spent: Spent = field(default_factory=Spent)
    began: float = field(default_factory=time.monotonic)
    last_at: float | None = None

    @property
    def took_s(self) -> float:
        """Seconds from the start to the last outcome; what is made of the answers later does not count."""
        return 0.0 if self.last_at is None else self.last_at - self.began

    @property
    def done(self) -> int:
        """Outcomes recorded."""
        return self.completed + self.failed.total()

    def held_s(self, now: float) -> float:
        """For how long no call starts, since the endpoint asks to wait."""
        return max(0.0, self.held_until - now)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        if isinstance(outcome, Completion):
            self.count(None, (outcome.usage.completion_tokens or 0) if outcome.usage else 0)
        else:
            self.count(outcome.kind)

    def count(self, kind: Kind | None, tokens: int = 0) -> None:
        """Count an outcome: None for a completion of so many tokens, else the kind of the failure."""
        self.last_at = time.monotonic()
        if kind is None:
            self.completed += 1
            self.tokens += tokens
        else:
            self.failed[kind] += 1
