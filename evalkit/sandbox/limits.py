"""What code that is run may use."""

from __future__ import annotations

import math
from typing import NamedTuple


class Limits(NamedTuple):
    """What an answer and its tests may use.

    Attributes:
        seconds: from their start to their end; of a processor, each process a second more.
        memory_mb: of addresses, for each process: some 30 of it are Python's own.
    """

    seconds: float = 10.0
    memory_mb: int = 512


ROOM = 32 * 2**20
"""Bytes of all files in ``/tmp``."""


def of_processes(limits: Limits) -> dict[str, int]:
    """The limits of each process, by their names in Python's `resource`."""
    return {
        "RLIMIT_AS": limits.memory_mb * 2**20,
        "RLIMIT_CPU": math.ceil(limits.seconds) + 1,
        "RLIMIT_NPROC": 16,
        "RLIMIT_NOFILE": 64,
        "RLIMIT_FSIZE": ROOM // 2,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
