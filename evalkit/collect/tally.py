"""How far a run has come, counted up as it goes and shown meanwhile."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent
from evalkit.experiment.endpoint import Prices
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
        parts: one for each of several endpoints, by its name; this is their sum, brought up to date by `add_up`.
        peers: those of the other endpoints, of a part.
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
    parts: Mapping[str, Tally] = field(default_factory=dict)
    peers: tuple[Tally, ...] = ()

    @classmethod
    def of_several(cls, planned: int, prices: Mapping[str, Prices | None], stage: str = "") -> Tally:
        """A tally of several endpoints, each with its prices, that keep to one budget."""
        parts = {name: cls(0, spent=Spent(one)) for name, one in prices.items()}
        for part in parts.values():
            part.peers = tuple(one for one in parts.values() if one is not part)
        known = next((one for one in prices.values() if one is not None), None)
        whole = cls(planned, stage=stage, spent=Spent(known, parts=tuple(one.spent for one in parts.values())), parts=parts)
        whole.after(())
        return whole

    def anew(self, planned: int) -> Tally:
        """A tally of so many further requests, whose endpoints go on counting what they spend."""
        parts = {name: Tally(0, spent=one.spent) for name, one in self.parts.items()}
        for part in parts.values():
            part.peers = tuple(one for one in parts.values() if one is not part)
        return Tally(planned, spent=self.spent, parts=parts)

    def after(self, earlier: tuple[Spent, ...]) -> None:
        """Take what was spent before elsewhere to be of the same budget."""
        self.spent.earlier = earlier
        for part in self.parts.values():
            part.spent.earlier = (*(one.spent for one in part.peers), *earlier)

    def add_up(self) -> None:
        """Count anew what the parts have come to; nothing to do where there are none."""
        if not self.parts:
            return
        every = self.parts.values()
        self.completed, self.tokens = sum(one.completed for one in every), sum(one.tokens for one in every)
        self.failed = sum((one.failed for one in every), Counter())
        self.in_flight, self.waiting, self.at_once = (sum(getattr(one, name) for one in every) for name in ("in_flight", "waiting", "at_once"))
        self.paused = "; ".join(f"{name}: {one.paused}" for name, one in self.parts.items() if one.paused)
        self.held_until = min((one.held_until for one in every if one.done < one.planned), default=0.0)
        self.last_at = max((one.last_at for one in every if one.last_at is not None), default=None)
        self.spent.add_up()

    def committed(self, budget: Budget) -> bool:
        """Whether what is under way, here and at the other endpoints, is likely to use up a budget of tokens or money."""
        return self.spent.committed(budget, self.in_flight, [(one.spent, one.in_flight) for one in self.peers])

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
