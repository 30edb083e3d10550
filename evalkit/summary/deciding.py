"""What a choice rests on, in the order in which it is told, and which way it wants each metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from evalkit.analysis.analysis import Analysis, MetricInfo
from evalkit.choice import Choice
from evalkit.summary.quantities import is_money

Way = Literal["higher", "lower"]
_WAYS: dict[str, Way] = {"maximize": "higher", "minimize": "lower"}


def preferred(choice: Choice | None) -> list[str]:
    """The metrics that the choice weighs, the heaviest first."""
    return [] if choice is None else [one.metric for one in sorted(choice.weights, key=lambda one: -one.say)]


def deciding(choice: Choice | None) -> list[str]:
    """The metrics that the choice rests on: what it weighs, the heaviest first, then what it bounds."""
    return list(dict.fromkeys([*preferred(choice), *(one.metric for one in choice.constraints)])) if choice is not None else []


def told_first(choice: Choice | None, analysis: Analysis) -> list[str]:
    """The columns that a table of settings begins with: what the choice rests on, then the cost where it is known; those that are measured."""
    if choice is None:
        return []
    there = [one.name for one in analysis.metrics]
    money = [name for name in there if is_money(name) and any(row.metric == name and not math.isnan(row.mean) for row in analysis.by_cell)]
    return [name for name in dict.fromkeys([*deciding(choice), *money]) if name in there]


def wanted(metric: str, choice: Choice | None, measured: Sequence[MetricInfo]) -> Way | None:
    """Which way a metric is better here: as the choice wants it, None where it has a target, else as the metric itself is."""
    for one in choice.weights if choice is not None else ():
        if one.metric == metric:
            return _WAYS.get(one.goal)
    return next((one.better for one in measured if one.name == metric), None)
