"""What the definition says of first tokens at a temperature and a top_p, given what is known of them at temperature 1.

Temperature first: a token's probability is proportional to its power 1 / temperature. Then top_p keeps the smallest set of the likeliest whose
mass reaches it. Of the tokens that are not listed only bounds are known, so what comes is a row for each share they may have: one of them is the
definition.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ROWS = 9
_VOCABULARY = 300_000
"""No vocabulary in use is larger by much."""
_NEAR = (0.99, 1.0, 1.01)
"""A server's rounding may put the edge of top_p so far away."""
_LEAST = 1e-9


class Rest(NamedTuple):
    """The mass that tokens which are not listed have, beside that of those which are, both raised to 1 / temperature: its bounds."""

    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Nothing is left open."""
        return self.high - self.low < _LEAST


def rest_at(listed: Floats, temperature: float, largest: float | None = None) -> Rest:
    """Bounds of what is not listed, for it is known that no token of it is likelier than `largest`, by default the rarest that is listed.

    Args:
        listed: probabilities at temperature 1, shape (K,), positive.
        temperature: above 0.
    """
    mass = max(0.0, 1.0 - float(listed.sum()))
    power = 1.0 / temperature
    if mass < _LEAST:
        return Rest(0.0, 0.0)
    concentrated = mass * min(mass, largest if largest is not None else float(listed.min())) ** (power - 1)
    if power == 1:
        return Rest(mass, mass)
    spread = _VOCABULARY ** (1 - power) * mass**power
    return Rest(min(spread, concentrated), max(spread, concentrated))


def sampled_rest(rest: Rest, listed: Floats, temperature: float, shares: tuple[float, float]) -> Rest:
    """The same with what samples at that temperature say: what is not listed came in a share between these two. As it was where these do not meet."""
    known = float((listed ** (1.0 / temperature)).sum())
    low, high = (known * share / max(_LEAST, 1 - share) for share in shares)
    return Rest(max(low, rest.low), min(high, rest.high)) if low <= rest.high and high >= rest.low else rest


def defined(listed: Floats, temperature: float, top_p: float, rest: Rest) -> Floats:
    """Probabilities of the listed tokens, and last of all others together: a row for each case that is open; shape (C, K + 1).

    `listed` may have further axes before the last, shape (B, K), for as many guesses of it: then the shape is (B, C, K + 1).
    """
    power = 1.0 / temperature
    raised = (listed / listed.max(axis=-1, keepdims=True)) ** power
    scale = listed.max(axis=-1, keepdims=True) ** power
    order = np.argsort(-raised, axis=-1, kind="stable")
    falling = np.take_along_axis(raised, order, axis=-1)
    running = falling.cumsum(axis=-1)
    rows = []
    for mass in np.unique(np.linspace(rest.low, rest.high, _ROWS)) if not rest.sure else [rest.low]:
        other = mass / np.maximum(scale[..., 0], 1e-300)
        total = running[..., -1] + other
        if top_p >= 1:
            rows.append(_row(raised, other))
            continue
        for near in _NEAR:
            keep = (min(1.0, top_p * near) * total)[..., None]
            kept_falling = np.where(running - falling < keep - 1e-12, falling, 0.0)
            kept = np.empty_like(kept_falling)
            np.put_along_axis(kept, order, kept_falling, axis=-1)
            rows.append(_row(kept, np.maximum(0.0, keep[..., 0] - running[..., -1])))
    return np.stack(rows, axis=-2)


def _row(kept: Floats, other: Floats) -> Floats:
    row = np.concatenate([kept, np.asarray(other)[..., None]], axis=-1)
    return np.asarray(row / row.sum(axis=-1, keepdims=True))


_OWN_CATEGORY = 0.03


def categories(listed: Floats, candidates: Floats) -> NDArray[np.int64]:
    """A category for each listed token and for the rest, shape (K + 1,), from 0: one each for what is likely, and one for all else.

    Fewer of them leave less to chance. They are made from what is expected, not from what came, so the distance over them is at most the whole one.
    Equally likely tokens share one, for which of them top_p leaves is the server's own affair.
    """
    expected = candidates.mean(axis=0)
    equal = [round(float(one), 3) for one in np.log(listed)]
    groups: dict[object, int] = {}
    out = []
    for number, key in enumerate(equal):
        whole = sum(expected[other] for other, its in enumerate(equal) if its == key)
        kind: object = key if whole >= _OWN_CATEGORY else "kept" if expected[number] > 0 else "cut"
        out.append(groups.setdefault(kind, len(groups)))
    out.append(groups.setdefault("rest" if expected[-1] > 0 else "cut", len(groups)))
    return np.array(out)


def gathered_by(category: NDArray[np.int64], values: Floats) -> Floats:
    """Sums over each category along the last axis."""
    return np.asarray(values @ np.eye(int(category.max()) + 1)[category])
