"""A worker as its hub knows it: what it has, what it was told, and what it said last."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from evalkit.engine.messages import Ended, Orders, Report
from evalkit.plan.requests import Request

HORIZON_S = 0.25
"""How far ahead places are given."""

_NOTHING_TOLD, _NOTHING_HEARD = Orders(), Report()


@dataclass
class Member:
    """A worker as the hub knows it.

    Attributes:
        leased: what it has and has not told the outcome of, by key.
        pending: places for it that it was not told of.
        given: places that it was ever told of.
        told: the orders that it had last.
        per_s: outcomes a second.
        recent: calls that ended by its last report.
        fresh: requests leased since then.
    """

    name: str
    heard_at: float
    share: int = 0
    leased: dict[str, Request] = field(default_factory=dict)
    pending: list[float] = field(default_factory=list)
    given: int = 0
    told: Orders = _NOTHING_TOLD
    told_hold: float = -math.inf
    last: Report = _NOTHING_HEARD
    per_s: float = 0.0
    recent: int = 0
    fresh: int = 0
    answered_at: float = -math.inf
    ended: Ended | None = None

    @property
    def places(self) -> int:
        """Places that it may still use, those under way to it included."""
        return self.given - self.last.received + self.last.places + len(self.pending)

    @property
    def may_start(self) -> int:
        """How many calls it can start soon beside those that have a place: what is under way ends meanwhile, about as fast as before."""
        if self.share == 0:
            return 0
        hands = self.share - self.last.in_flight + max(self.recent, int(self.per_s * HORIZON_S) + 1)
        return min(self.unbegun + self.last.waiting, max(0, hands)) - self.places

    @property
    def unbegun(self) -> int:
        """Leased requests that it has not begun, for all that is known."""
        return min(len(self.leased), self.last.backlog + self.fresh)
