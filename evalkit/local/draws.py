"""Draws that depend on a seed and a name alone, so that what happened can be made to happen again."""

from __future__ import annotations

from hashlib import sha256


def whole_number(seed: int, name: str) -> int:
    """A whole number of 63 bits."""
    return int.from_bytes(sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


def share_of(seed: int, name: str) -> float:
    """A number in [0, 1)."""
    return (whole_number(seed, name) >> 10) / 2**53
