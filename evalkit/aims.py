"""What the user wants of a setting: constraints, preferences, margins; and the profiles that come with evalkit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from evalkit.faults import Path, shown, unknown
from evalkit.strict_yaml import parse

Number = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Requirement(_Strict):
    """What a metric's mean must keep to.

    Attributes:
        min, max: bounds, inclusive, in the metric's unit; at least one.
        by: judge by the bad end of the 95 % interval, or by the mean alone.
        because: why, for readers.
    """

    min: Number | None = None
    max: Number | None = None
    by: Literal["interval", "mean"] = "interval"
    because: str | None = None

    @model_validator(mode="after")
    def _bounded(self) -> Requirement:
        if self.min is None and self.max is None:
            raise ValueError("holds neither min nor max; expected at least one, like {max: 0.05}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {shown(self.min)} is above max {shown(self.max)}; swap them")
        return self


class Preference(_Strict):
    """Which way a metric is better, and how much that counts.

    Attributes:
        goal: ``maximize``, ``minimize``, or ``target`` with `target`.
        weight: above 0; its share of all weights is its share of the say.
        worst, best: where desirability is 0 and 1; left out: the worst and the best mean among the cells that satisfy.
        because: why, for readers.
    """

    goal: Literal["maximize", "minimize", "target"]
    weight: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 1.0
    target: Number | None = None
    worst: Number | None = None
    best: Number | None = None
    because: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Preference:
        if (self.goal == "target") != (self.target is not None):
            raise ValueError("goal: target and target: NUMBER go together; give both or neither")
        if self.worst is not None and self.best is not None and self.goal != "target":
            rising = self.best > self.worst
            if self.best == self.worst or rising != (self.goal == "maximize"):
                raise ValueError(f"worst {shown(self.worst)} and best {shown(self.best)} do not fit goal: {self.goal}; swap them")
        return self


class Choose(_Strict):
    """How to choose among the cells.

    Attributes:
        profile: ``creative``, ``precise``, ``balanced`` or ``brief``: constraints and preferences that come with evalkit; what stands
            here beside it goes before.
        require: constraints a metric; a cell that misses one is not chosen.
        prefer: preferences a metric, weighed against each other.
        among: ``statistically_tied``: of all cells that cannot be told from the best the cheapest, then the one nearest the
            defaults; ``best``: the best as measured.
    """

    profile: str | None = None
    require: Mapping[str, Requirement] = Field(default_factory=dict)
    prefer: Mapping[str, Preference] = Field(default_factory=dict)
    among: Literal["statistically_tied", "best"] = "statistically_tied"

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, value: str | None) -> str | None:
        if value is not None and value not in PROFILES:
            raise ValueError(f"found {shown(value)}; {unknown('profile', value, PROFILES)}")
        return value

    @model_validator(mode="after")
    def _something(self) -> Choose:
        if self.profile is None and not self.prefer:
            raise ValueError(
                "says nothing about what is better; name a profile (creative, precise, balanced, brief), or write prefer: {METRIC: {goal: maximize}}"
            )
        return self


PROFILES = ("creative", "precise", "balanced", "brief")


class Profile(_Strict):
    """A use case as constraints and preferences, each with its reason."""

    about: str
    require: Mapping[str, Requirement] = Field(default_factory=dict)
    prefer: Mapping[str, Preference]


def profile(name: str) -> Profile:
    """A profile that comes with evalkit."""
    text = resources.files("evalkit").joinpath("profiles", f"{name}.yaml").read_text(encoding="utf-8")
    return Profile.model_validate(parse(text, f"{name}.yaml").data)


def metric_names() -> list[str]:
    """Every metric there is, what the records tell, and what embeddings do."""
    from evalkit.metrics import EMBEDDED, METRICS, RECORDED

    return [metric.name for metric in (*METRICS, *RECORDED, *EMBEDDED)]


def faults_of_metrics(value: Mapping[Any, Any], own: Sequence[str]) -> list[tuple[Path, str]]:
    """A fault for each key of `value` that is no metric; `own` names those of the experiment, with a dot behind where all that begin so are meant."""
    known = [*metric_names(), *own]
    begins = tuple(name for name in own if name.endswith("."))
    return [((str(name),), unknown("metric", str(name), known)) for name in value if name not in known and not str(name).startswith(begins)]


def faults_of_margins(value: Mapping[Any, Any], own: Sequence[str]) -> list[tuple[Path, str]]:
    """What is wrong with ``margins:``; `own` as in `faults_of_metrics`."""
    from evalkit.margins import PERCENT

    faults = faults_of_metrics(value, own)
    for name, given in value.items():
        number = float(match[1]) if isinstance(given, str) and (match := PERCENT.fullmatch(given)) else given
        if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < math.inf:
            faults.append(
                ((str(name),), f"found {shown(given)}; expected a number above 0 in the metric's unit, or a share of the reference like 5 %")
            )
    return faults
