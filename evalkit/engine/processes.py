"""Processes elsewhere that each hold one object, as scoring uses them."""

from __future__ import annotations

from typing import Any, Protocol


class ProcessLostError(Exception):
    """A process is gone; says how."""


class Process(Protocol):
    """A process that holds one object."""

    def call(self, method: str, *given: Any) -> Any:
        """Begin a call of the object's method; what `result` takes. Raises `ProcessLostError`."""
        ...

    def result(self, call: Any) -> Any:
        """What a call gives; raises what it raised, and `ProcessLostError` where the process is gone."""
        ...

    def end(self) -> None:
        """End it."""
        ...


class Elsewhere(Protocol):
    """Where processes are had."""

    @property
    def workers(self) -> int:
        """How many there are to be."""
        ...

    def process(self, kind: type, *given: Any) -> Process:
        """A process that holds a `kind` made of what is `given`."""
        ...
