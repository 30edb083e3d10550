"""The processes of this machine, as Linux tells of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def below(pid: int) -> set[int]:
    """All processes that a process started, and those that these did, by their numbers outside of any sandbox."""
    found: set[int] = set()
    left = [pid]
    while left:
        one = left.pop()
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                children = set(map(int, (task / "children").read_text().split())) - found
                found |= children
                left += children
    return found
