"""How far a run has come, counted up as it goes and shown meanwhile."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from evalkit.collect.budget import Spent
from evalkit.store.records import Completion, Outcome


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
    held_until: float = 0.0
    spent: Spent = field(default_factory=Spent)

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
            self.completed += 1
            self.tokens += (outcome.usage.completion_tokens or 0) if outcome.usage else 0
        else:
            self.failed[outcome.kind] += 1
