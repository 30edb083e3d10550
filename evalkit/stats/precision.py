"""Where a difference ends and rounding begins: equal values, come by in another order of summation, differ in the last digits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SHARE = 1e-9
"""Of what a difference is made of: far above what arithmetic leaves of 0, far below what any metric tells apart."""

_LEAST = 1e-10
"""Of any difference, for one beside 0 is made of nothing: 1 minus a cosine of 1, say. A token at a cent a million costs a hundred times as much."""

_HIGHEST = np.finfo(np.float64).max

_ALIKE = 1e-13
"""Of the largest value: a spread that is rounding."""


def settled(differences: Floats, *made_of: Floats) -> Floats:
    """`differences` with 0 where they are no more than rounding of the values that they are `made_of`; the same shape, NaN stays.

    Args:
        made_of: the values, or several arrays of them; each of a shape that broadcasts to that of `differences`.
    """
    array = np.asarray(differences, dtype=float)
    if not array.size:
        return array
    edge: Floats | float = _LEAST
    for one in made_of:
        edge = np.fmax(edge, _SHARE * np.minimum(np.abs(one), _HIGHEST))  # fmax passes NaN over
    return np.where(np.abs(array) <= edge, 0.0, array)


def largest(values: Floats, axis: int = 0) -> Floats:
    """The largest size of `values` along `axis`, which stays with length 1; 0 where there are none."""
    found: Floats = np.abs(np.nan_to_num(values)).max(axis=axis, initial=0.0, keepdims=True)
    return found


def minus(values: Floats, others: Floats) -> Floats:
    """`values` minus `others`, both of one shape or broadcast to one, and 0 where they are alike but for rounding."""
    return settled(values - others, values, others)


def spread(values: Floats) -> float:
    """The standard deviation of `values`, shape (n,) with n at least 2; 0 where they are alike but for rounding."""
    return float(spreads(values))


def spreads(rows: Floats) -> Floats:
    """`spread` of each row of `rows`, shape (..., n) with n at least 2: what each gives by itself, to the last digit; shape (...)."""
    rows = np.ascontiguousarray(rows)  # numpy sums rows that lie together as it sums one row
    found = rows.std(axis=-1, ddof=1)
    return np.where(found > _ALIKE * np.abs(rows).max(axis=-1), found, 0.0)
