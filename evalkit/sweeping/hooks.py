"""Whom a sweep asks and tells on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from evalkit.collect.interruption import Interruption
from evalkit.collect.tally import Tally
from evalkit.store.records import Record
from evalkit.text.notes import Tell, nobody


@dataclass(frozen=True)
class Pending:
    """What a sweep is about to send."""

    requests: int
    planned: int
    local: bool


@dataclass(frozen=True)
class Hooks:
    """Whom a sweep asks and tells on its way.

    Attributes:
        confirm: asked before anything is sent; False ends without doing anything.
        progress: called after every outcome.
        note: called with each thing the user should know, as it comes up.
        interruption: asks it to stop where it runs in a thread, which gets no signals.
        recorded: called with each record of the sweep's own once it is written.
    """

    confirm: Callable[[Pending], bool] = lambda _: True
    progress: Callable[[Tally], None] = lambda _: None
    note: Tell = nobody
    interruption: Interruption | None = None
    recorded: Callable[[Record], None] | None = None
