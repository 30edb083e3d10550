"""What may be spent; by itself, so that who names it imports nothing else."""

from __future__ import annotations

from typing import NamedTuple


class Budget(NamedTuple):
    """What may be spent this time; None: no bound. Money in the currency of the prices, time in seconds."""

    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None
    seconds: float | None = None
