"""When a difference is there, and when that is sure: the one rule from which every word for it follows."""

from __future__ import annotations

from evalkit.stats.conventions import ALPHA


def clear(low: float, high: float) -> bool:
    """Whether a difference with the two-sided interval from `low` to `high` is there: the interval is clear of 0; False where it is NaN."""
    return low > 0 or high < 0


def sure(low: float, high: float, p_adjusted: float | None) -> bool:
    """Whether a difference is there also when all that was looked at is counted: it is `clear`, and its p over them is at most 0.05.

    Args:
        p_adjusted: two-sided, over the family that the difference was picked from; None (too few prompts for a p) or NaN is never sure.
    """
    return clear(low, high) and p_adjusted is not None and p_adjusted <= ALPHA
