"""How small a difference is too small to matter: set before the data, for each metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.experiment.problems import shown
from evalkit.metrics.catalogue import CATALOGUE

UNIT_MARGIN = 0.02
RELATIVE_MARGIN = "5 %"

PERCENT = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*")


class Margin(NamedTuple):
    """A margin in the metric's own unit, above 0 (NaN where it cannot be told), and where it comes from."""

    value: float
    source: Literal["experiment", "0-1 scale", "share of the reference"]


def fault_of_margin(given: object) -> str | None:
    """What is wrong with a margin as somebody wrote it; None where nothing is."""
    number = float(match[1]) if isinstance(given, str) and (match := PERCENT.fullmatch(given)) else given
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
        return f"found {shown(given)}; expected a number above 0 in the metric's unit, or a share of the reference like 5 %"
    return None


def margin_of(metric: str, values: NDArray[np.float64], reference_mean: float, given: Mapping[str, float | str]) -> Margin:
    """The margin of a metric: as `given` (a number, or a percentage of the reference mean), else as the catalogue has it.

    Args:
        values: all values of the metric; where the catalogue has none of its name, they tell its scale: 0.02 if all are from 0 to 1, else 5 % of the
            reference mean.
    """
    if (own := _sized(given.get(metric), reference_mean)) is not None:
        return Margin(own, "experiment")
    line = CATALOGUE.get(metric)
    usual = _by_values(values) if line is None or line.margin is None else line.margin
    size = _sized(usual, reference_mean)
    return Margin(math.nan if size is None else size, "share of the reference" if isinstance(usual, str) else "0-1 scale")


def _sized(margin: float | str | None, reference_mean: float) -> float | None:
    """A margin in the metric's unit; NaN for a share of 0, None where it is no margin."""
    if isinstance(margin, str):
        match = PERCENT.fullmatch(margin)
        return abs(reference_mean) * (float(match[1]) / 100) or math.nan if match else None
    return None if margin is None else float(margin)


def _by_values(values: NDArray[np.float64]) -> float | str:
    known = values[~np.isnan(values)]
    return UNIT_MARGIN if len(known) == 0 or (known.min() >= 0 and known.max() <= 1) else RELATIVE_MARGIN
