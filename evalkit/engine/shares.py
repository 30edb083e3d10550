"""Something whole divided among some who want different parts of it."""

from __future__ import annotations

from collections.abc import Sequence


def shared(whole: int, wants: Sequence[int]) -> list[int]:
    """Whole numbers, one for each of `wants` and none above it, as even as that allows; together `whole`, or all that is wanted.

    Of those who get one less than others it is the last.
    """
    out = [0] * len(wants)
    left = min(whole, sum(wants))
    open_ones = [at for at, want in enumerate(wants) if want > 0]
    while open_ones and (each := left // len(open_ones)):
        for at in open_ones:
            more = min(wants[at] - out[at], each)
            out[at] += more
            left -= more
        open_ones = [at for at in open_ones if out[at] < wants[at]]
    for at in open_ones[:left]:
        out[at] += 1
    return out
