"""What can be said of a parameter's effect on a metric: the kinds of result, and no arithmetic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from evalkit.stats.claims import sure


class CellDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A cell minus the reference cell, paired by prompt: 95 % t interval, sign-flip p, and p over all cells of the metric (max-T)."""

    cell_index: int
    metric: str
    difference: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    p: float | None
    p_adjusted: float | None


class LevelDifference(msgspec.Struct, frozen=True, kw_only=True):
    """One level minus another, over all contexts that have both; the interval holds for all pairs of the parameter's levels together."""

    parameter: str
    from_level: Any
    to_level: Any
    metric: str
    difference: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    p: float | None


class SimpleEffect(msgspec.Struct, frozen=True, kw_only=True):
    """The parameter's largest step, at one level of another parameter alone: 95 % t interval."""

    parameter: str
    at_parameter: str
    at_level: Any
    metric: str
    from_level: Any
    to_level: Any
    difference: float
    ci_low: float
    ci_high: float
    n_prompts: int


class Interaction(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the effect of one parameter depends on another; p over all 2 × 2 contrasts (max-T), adjusted over the metric's pairs (Holm)."""

    parameters: tuple[str, str]
    metric: str
    n_prompts: int
    p: float | None
    p_adjusted: float | None


class VarianceShare(msgspec.Struct, frozen=True, kw_only=True):
    """Share of a metric's variance within prompts that a parameter, or a pair beyond its parts, explains (type II)."""

    parameters: tuple[str, ...]
    metric: str
    df: int
    share: float


class PrefixControl(msgspec.Struct, frozen=True, kw_only=True):
    """A control that costs nothing: on a common prefix, a limit on length must show no effect, for it only cuts off what comes after.

    Attributes:
        parameter: the limit.
        tokens: length of the prefix.
        passed: metrics on which it shows none (TOST).
        failed: metrics that it moves, Holm over all of the control at 5 %: something beside the limit differs.
        open: the others.
    """

    parameter: str
    tokens: int
    passed: list[str]
    failed: list[str]
    open: list[str]


class LeftOver(msgspec.Struct, frozen=True, kw_only=True):
    """Share that parameters and pairs leave over, and the part of it that cells explain beyond pairs."""

    metric: str
    left_over: float
    higher: float | None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a parameter does to a metric.

    Attributes:
        verdict: ``effect``: the interval of some pair of levels is clear of 0; ``no effect``: every pair lies within the margin (TOST,
            also where an interval is clear of 0, which `beside_zero` then says); else ``inconclusive``.
        difference: of the two levels that differ most, `to_level` minus `from_level`, with the interval for all pairs together.
        per_step: slope per step over three or more numeric levels, with its own 95 % interval; None otherwise.
        p: that no level differs from another (sign flips, largest |t|); None below six prompts.
        p_adjusted: over the metrics that decide, or over the others (largest |t|), and then over the parameters (Holm).
        p_equivalence: the largest TOST p over all pairs.
        prompts_needed: after which the question is settled with 80 % power; None where it is settled, or no number would do.
        detectable: the smallest difference that so many prompts find with 80 % power, at the variance and for as many pairs of levels as
            there are here; where it is above the margin, that margin is hardly within reach. None where the variance is unknown or 0.
        share: of the variance within prompts (type II); None where it cannot be told.
    """

    parameter: str
    metric: str
    verdict: Literal["effect", "no effect", "inconclusive"]
    from_level: Any
    to_level: Any
    difference: float
    ci_low: float
    ci_high: float
    per_step: float | None
    per_step_low: float | None
    per_step_high: float | None
    p: float | None
    p_adjusted: float | None
    margin: float | None
    margin_source: str
    p_equivalence: float | None
    beside_zero: bool
    n_prompts: int
    prompts_needed: int | None
    detectable: float | None
    share: float | None
    by_regression: bool

    @property
    def sure(self) -> bool:
        """Whether it is an effect also when all metrics and parameters are counted; never below six prompts, which give no p."""
        return self.verdict == "effect" and sure(self.ci_low, self.ci_high, self.p_adjusted)


@dataclass(frozen=True)
class Effects:
    """All contrasts of a run, and in words what could not be estimated."""

    verdicts: list[Verdict] = field(default_factory=list)
    levels: list[LevelDifference] = field(default_factory=list)
    simple: list[SimpleEffect] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)
    shares: list[VarianceShare] = field(default_factory=list)
    left_over: list[LeftOver] = field(default_factory=list)
    not_estimated: list[str] = field(default_factory=list)


def known(value: float) -> float | None:
    """`value` as a file holds it: None where it is NaN."""
    return None if math.isnan(value) else float(value)


Told = TypeVar("Told", CellDifference, LevelDifference, SimpleEffect, Verdict)


def within(row: Told, spans: Mapping[str, float] | None) -> Told:
    """`row` with its interval kept to what a difference can be: no more than the width of the metric's range, which `spans` tells, to either side."""
    span = (spans or {}).get(row.metric, math.inf)
    ends = {"ci_low": max(row.ci_low, -span), "ci_high": min(row.ci_high, span)}
    return row if (row.ci_low, row.ci_high) == tuple(ends.values()) else msgspec.structs.replace(row, **ends)
