"""Variances to plan by where there is no run yet: seen once, on two endpoints that have little in common."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from evalkit.analysis.power import Variances

_REPLICATES = 8


class Source(NamedTuple):
    """Where typical variances were seen: what it was, and the variances of each metric."""

    name: str
    what: str
    variances: Mapping[str, Variances]


def _of(*rows: tuple[str, float, float, float]) -> dict[str, Variances]:
    """Rows of a metric, ω², σ² (NaN for a metric over the replicates, seen at eight of them), and the difference to plan for."""
    return {name: Variances(between, within, _REPLICATES if math.isnan(within) else 0, wanted) for name, between, within, wanted in rows}


QUICKSTART = Source(
    "quickstart",
    "the embedded model, 56 settings, 10 prompts: settings that differ much",
    _of(
        ("length_words", 370, 930, 2.4),
        ("truncation_rate", 0.054, 0.11, 0.02),
        ("rep_2", 0.0063, 0.0062, 0.02),
        ("rep_w_16", 0.012, 0.0072, 0.02),
        ("exact_duplicates", 0.0056, math.nan, 0.02),
        ("distinct_1", 0.0058, math.nan, 0.02),
        ("distinct_2", 0.014, math.nan, 0.02),
        ("vendi_ngram", 1.8, math.nan, 0.27),
    ),
)
SHORT_ANSWERS = Source(
    "short answers",
    "a small real model (Gemma 3 270M), 4 settings, 6 everyday prompts",
    _of(
        ("length_words", 0, 41, 0.57),
        ("truncation_rate", 0.086, 0.042, 0.02),
        ("rep_2", 0, 0.0011, 0.02),
        ("rep_w_16", 0.0045, 0.025, 0.02),
        ("exact_duplicates", 0.025, math.nan, 0.02),
        ("distinct_1", 0.0076, math.nan, 0.02),
        ("distinct_2", 0.018, math.nan, 0.02),
        ("vendi_ngram", 1.3, math.nan, 0.28),
    ),
)
SOURCES = (QUICKSTART, SHORT_ANSWERS)
