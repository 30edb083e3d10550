"""What a metric is: a value with a function and what people must know of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from evalkit.metrics.group import Floats, Group
from evalkit.metrics.rarefaction import Sample

Unit = Literal["share", "ratio", "number", "answers", "tokens", "words", "characters", "nats", "seconds", "tokens per second", "money", "points"]
"""What one is of: a share of something lies between 0 and 1, a ratio need not; a number has no unit; points are a judge's."""
UNITS: tuple[Unit, ...] = get_args(Unit)

Family = Literal["variety", "repetition", "length", "speed", "cost", ""]
"""What several metrics measure, each in its way: who wants more of it by one of them wants more of it by all."""

DIGITS = 3
"""Digits behind the point of a share."""


class Metric(NamedTuple):
    """One number about answers.

    Attributes:
        level: ``response``, a number for each answer, averaged over the replicates of a prompt; ``group``, one number for the
            replicates of a prompt together, at least two.
        of: the function of a `Group` of k texts: an array of shape (k,), or for level ``group`` one number; NaN where it has no meaning.
        better: which way is better for variety and soundness; None where that depends on the purpose.
        definition: in one line, for people.
        source: where it comes from.
        content: whether it is about the content, so that empty answers leave it.
        confounded: whether longer answers alone move it, so that it is compared on samples of equal size, or on prefixes of equal length.
        sampled: its expected value on a sample of a group's texts, NaN where undefined: what it is compared by; None where it has none, and is
            compared on prefixes.
        shortest: tokens that a prefix must have for the metric to show on it what it is about; on a shorter one it is not compared.
        low, high: the range; `high` is infinity where nothing bounds it.
        bias: what moves it beside what it is about.
        bound: how its time grows, and where it gives up.
        label: what it is, in everyday words; empty where nobody says, and then its name stands for it.
        unit: what its numbers count.
        digits: behind the point, where it is shown.
        margin: the difference that is too small to matter, where an experiment names none, as an experiment would: a number in its unit, or a share
            of the reference's mean like ``5 %``; None where it follows from the range, as of a judge, whose scale an experiment sets.
        gated: whether the gate of a comparison judges it without a margin of somebody's; else it is shown, for what moves it is the load that day.
        heading: its name where there is little room, two lines at most; empty where the name is short enough.
        price: its place among those that tell which of two settings is the cheaper, 1 asked first; 0 where it does not.
        family: what it measures in common with others, so that a wish about one of them is a wish about all; empty where it stands alone.
        told: its place among those that a recommendation tells whatever was asked for, 1 told first; 0 where only if it was asked for.
    """

    name: str
    level: Literal["response", "group"]
    of: Callable[[Group], Floats | float]
    better: Literal["higher", "lower"] | None
    definition: str
    source: str = "-"
    content: bool = True
    confounded: bool = False
    shortest: int = 0
    low: float = 0.0
    high: float = 1.0
    bias: str = "-"
    bound: str = "n log n"
    label: str = ""
    unit: Unit = "share"
    digits: int = DIGITS
    margin: float | str | None = 0.02
    gated: bool = True
    heading: str = ""
    price: int = 0
    told: int = 0
    family: Family = ""
    sampled: Callable[[Group, Sample], float] | None = None
