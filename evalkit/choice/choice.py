"""What a choice comes to: the kinds of result, and no arithmetic."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from evalkit.text.hook import Shown

VERSION = 1


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """A preference as it was used: `worst` and `best` are where its desirability is 0 and 1, `say` its share of all weights."""

    metric: str
    goal: Literal["maximize", "minimize", "target"]
    say: float
    worst: float
    best: float
    because: str | None
    target: float | None = None


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint as it was used: how many cells miss it, and how many miss it alone.

    Attributes:
        by: what cells were judged by: the mean also where the interval was wanted and `provable` is not so.
        provable: whether a cell without a single miss could prove it by its interval, on as many prompts as there are.
    """

    metric: str
    min: float | None
    max: float | None
    by: Literal["interval", "mean"]
    excludes: int
    excludes_alone: int
    because: str | None
    provable: bool = True


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cell misses a constraint: the bound, the mean and the end of the interval that was judged."""

    cell_index: int
    metric: str
    bound: float
    mean: float
    judged: float


class Unproved(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that the chosen cell keeps to as measured, and that its interval does not prove.

    Attributes:
        reaches: the bad end of its interval.
        seen: how many of the cell's `answers` have what the metric counts; None where it is not a share of answers.
    """

    metric: str
    mean: float
    reaches: float
    seen: int | None
    answers: int


class Consequence(msgspec.Struct, frozen=True, kw_only=True):
    """What the chosen cell changes against the reference: difference with its interval, in percent where the reference is not 0.

    Attributes:
        reference, chosen: means over the prompts that both have a value on, so that they differ by `difference`; each with its 95 % interval.
        clear: ``changed``: the interval is clear of 0; ``unchanged``: within the margin (TOST); else ``unclear``.
    """

    metric: str
    reference: float
    chosen: float
    difference: float
    ci_low: float
    ci_high: float
    percent: float | None
    percent_low: float | None
    percent_high: float | None
    clear: Literal["changed", "unchanged", "unclear"]
    reference_low: float | None = None
    reference_high: float | None = None
    chosen_low: float | None = None
    chosen_high: float | None = None


class Confirmed(msgspec.Struct, frozen=True, kw_only=True):
    """A cell's metric on fresh replicates that had no part in choosing it, beside the value that chose it."""

    cell_index: int
    metric: str
    selected_on: float
    fresh: float
    ci_low: float
    ci_high: float
    n_prompts: int
    replicates: int


class Choice(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen and why; `chosen` is None where no cell satisfies, and `nearest` tells which comes closest.

    Attributes:
        best: the most desirable cell as measured; `chosen` may be another that is tied with it.
        satisfying: cells that keep to every constraint.
        pareto: of these, those that no other beats in means; `perhaps_pareto`: that no other beats beyond doubt.
        unproved: bounds that too few prompts keep from being proved, of `chosen`.
        tied: cells that cannot be told from `best`, itself included.
        chosen_name: of the chosen cell, where the experiment names its cells; else not there.
        desirability: of each cell, None where a metric is missing or a constraint is missed.
        resample_share: in how many of 2,000 resampled prompt sets `best` is the most desirable again, its share of luck allowed for.
    """

    v: int = VERSION
    profile: str | None
    about: str | None
    among: Literal["statistically_tied", "best"]
    weights: list[Weight]
    constraints: list[Constraint]
    satisfying: list[int]
    pareto: list[int]
    perhaps_pareto: list[int]
    desirability: list[float | None]
    best: int | None
    runner_up: int | None
    chosen: int | None
    chosen_name: str | msgspec.UnsetType = msgspec.UNSET
    tied: list[int]
    resample_share: float | None
    changes: list[Consequence]
    nearest: int | None
    misses: list[Miss]
    unproved: list[Unproved] = []
    parameters: dict[str, Any]
    notes: list[str]
    confirmed: list[Confirmed] = []


def bounds_in_words(low: float | None, high: float | None) -> str:
    """The bounds of a constraint, of which one may be None."""
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"


def unproved_in_words(one: Unproved) -> str:
    """What stands behind a bound that is not proved, as a share of answers where it is one."""
    if one.seen is None:
        return f"{one.mean:.3g} seen, {one.reaches:.3g} possible"
    seen = "all" if one.seen == one.answers else f"{one.seen:,}"
    way = "up to" if one.reaches > one.mean else "down to"
    return f"{seen} of {one.answers:,} seen, {way} {100 * one.reaches:.0f} % possible"
