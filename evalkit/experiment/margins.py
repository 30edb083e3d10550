"""How small a difference is too small to matter: set before the data, for each metric."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.experiment.problems import shown

UNIT_MARGIN = 0.02
RELATIVE_MARGIN = 0.05

_OTHER_SCALE = frozenset(
    ("length_tokens", "length_words", "length_chars", "compression_ratio", "vendi_ngram", "vendi_embedding", "latency_s", "time_to_first_token_s",
     "tokens_per_s", "cost", "mtld", "ngram_entropy", "self_repetition_4", "longest_repeat")
)  # fmt: skip
"""Metrics whose scale does not end at 1, whatever values they happen to have."""

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
    """The margin of a metric: as `given` (a number, or a percentage of the reference mean), else 0.02 on 0-1 scales, else 5 % of that mean.

    Args:
        values: all values of the metric; a metric that is in no list counts as on a 0-1 scale where they all are.
    """
    own = given.get(metric)
    if isinstance(own, str) and (match := PERCENT.fullmatch(own)):
        return Margin(abs(reference_mean) * float(match[1]) / 100 or math.nan, "experiment")
    if isinstance(own, int | float):
        return Margin(float(own), "experiment")
    known = values[~np.isnan(values)]
    if metric not in _OTHER_SCALE and (len(known) == 0 or (known.min() >= 0 and known.max() <= 1)):
        return Margin(UNIT_MARGIN, "0-1 scale")
    return Margin(abs(reference_mean) * RELATIVE_MARGIN or math.nan, "share of the reference")
