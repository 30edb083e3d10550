"""How small a difference is too small to matter: set before the data, for each metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from evalkit.experiment.problems import shown
from evalkit.metrics import Metric

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


def margin_of(metric: Metric, reference_mean: float, given: Mapping[str, float | str]) -> Margin:
    """The margin of a metric: as `given` by its name (a number, or a percentage of the reference mean), else its own.

    One that has none of its own gets it by the range it declares, never by the values it took: 0.02 within 0 to 1, else 5 % of the reference mean.
    """
    if (own := _sized(given.get(metric.name), reference_mean)) is not None:
        return Margin(own, "experiment")
    usual = _by_range(metric) if metric.margin is None else metric.margin
    size = _sized(usual, reference_mean)
    return Margin(math.nan if size is None else size, "share of the reference" if isinstance(usual, str) else "0-1 scale")


def _sized(margin: float | str | None, reference_mean: float) -> float | None:
    """A margin in the metric's unit; NaN for a share of 0, None where it is no margin."""
    if isinstance(margin, str):
        match = PERCENT.fullmatch(margin)
        return abs(reference_mean) * (float(match[1]) / 100) or math.nan if match else None
    return None if margin is None else float(margin)


def _by_range(metric: Metric) -> float | str:
    return UNIT_MARGIN if metric.low >= 0 and metric.high <= 1 else RELATIVE_MARGIN
