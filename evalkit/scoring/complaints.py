"""What scorers could not do: each fault once, however often it came."""

from __future__ import annotations

from typing import NamedTuple


class Complaint(NamedTuple):
    """A fault of a scorer: how often it came, and where first."""

    fault: str
    times: int
    where: str

    def __str__(self) -> str:
        return f"{self.fault} ({self.where})" if self.times == 1 else f"{self.fault} ({self.times:,} times, first at {self.where})"


class Complaints:
    """Faults as they come."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def add(self, fault: str, where: str) -> None:
        """Take one more."""
        times, first = self._seen.get(fault, (0, where))
        self._seen[fault] = times + 1, first

    def told(self) -> tuple[Complaint, ...]:
        """All of them, the most frequent first, and of those that came as often the earliest."""
        every = [Complaint(fault, times, where) for fault, (times, where) in self._seen.items()]
        return tuple(sorted(every, key=lambda one: -one.times))
