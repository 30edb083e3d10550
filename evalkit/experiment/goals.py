"""What the user wants of a setting: constraints, preferences, margins; and the profiles that come with evalkit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from evalkit.experiment.endpoint import Strict
from evalkit.experiment.problems import Path, nearest, share_of, shown, unknown
from evalkit.experiment.strict_yaml import parse

Number = Annotated[float, Field(allow_inf_nan=False)]


PREFERENCE = "preference"
"""The metric of people's ratings, which a run has once somebody rated its answers."""


class Requirement(Strict):
    """What a metric's mean must keep to.

    Attributes:
        min, max: bounds, inclusive, in the metric's unit; at least one.
        by: judge by the bad end of the 95 % interval (by the mean where too few prompts could prove it), or by the mean alone.
        because: why, for readers.
    """

    min: Number | None = None
    max: Number | None = None
    by: Literal["interval", "mean"] = "interval"
    because: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_mapping(cls, value: object) -> object:
        given = share_of(value) if isinstance(value, str) else value
        if isinstance(given, int | float) and not isinstance(given, bool) and math.isfinite(given):
            raise ValueError(f"found {shown(value)}; write {{max: {given:g}}} for at most that, or {{min: {given:g}}} for at least that")
        return value

    @model_validator(mode="after")
    def _bounded(self) -> Requirement:
        if self.min is None and self.max is None:
            raise ValueError("holds neither min nor max; expected at least one, like {max: 0.05}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {shown(self.min)} is above max {shown(self.max)}; swap them")
        return self


class Preference(Strict):
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

    @model_validator(mode="before")
    @classmethod
    def _a_mapping(cls, value: object) -> object:
        if isinstance(value, str) and value in ("maximize", "minimize"):
            raise ValueError(f"found {shown(value)}; write {{goal: {value}}}")
        return value

    @model_validator(mode="after")
    def _whole(self) -> Preference:
        if (self.goal == "target") != (self.target is not None):
            raise ValueError("goal: target and target: NUMBER go together; give both or neither")
        if self.worst is not None and self.best is not None and self.goal != "target":
            rising = self.best > self.worst
            if self.best == self.worst or rising != (self.goal == "maximize"):
                raise ValueError(f"worst {shown(self.worst)} and best {shown(self.best)} do not fit goal: {self.goal}; swap them")
        return self


class Choose(Strict):
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

    @model_validator(mode="before")
    @classmethod
    def _a_mapping(cls, value: object) -> object:
        if isinstance(value, str):
            wanted = f"write {{profile: {value}}}" if value in PROFILES else f"write {{profile: NAME}}, where NAME is one of {', '.join(PROFILES)}"
            raise ValueError(f"found {shown(value)}; {wanted}")
        return value

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


class Profile(Strict):
    """A use case as constraints and preferences, each with its reason."""

    about: str
    require: Mapping[str, Requirement] = Field(default_factory=dict)
    prefer: Mapping[str, Preference]


def profile(name: str) -> Profile:
    """A profile that comes with evalkit."""
    text = resources.files("evalkit.experiment").joinpath("profiles", f"{name}.yaml").read_text(encoding="utf-8")
    return Profile.model_validate(parse(text, f"{name}.yaml").data)


def wishes(choose: Choose | None) -> dict[str, Requirement | Preference]:
    """What a choice rests on, by metric: preferences, and bounds of what is not preferred; the user's own go before the profile's."""
    if choose is None:
        return {}
    out: dict[str, Requirement | Preference] = {}
    for one in (choose, None if choose.profile is None else profile(choose.profile)):
        for wished in (one.prefer, one.require) if one is not None else ():
            out |= {name: wish for name, wish in wished.items() if name not in out}
    return out


def metric_names() -> list[str]:
    """Every metric there is, what the records tell, what embeddings do, and what people say."""
    from evalkit.metrics import EMBEDDED, METRICS, RECORDED  # late: numpy, which reading an experiment needs not

    return [*(metric.name for metric in (*METRICS, *RECORDED, *EMBEDDED)), PREFERENCE]


class Own(NamedTuple):
    """Metrics that an experiment brings along: `checks` by their kind, of which several are numbered, scorers by their `functions`, `judges`.

    What a function gives by name is not known before it has run, so every ``function.name`` is taken. Judges have their scales.
    Where some of them could not be read they are not `whole`: a name that is not among them may be one of those, and is no fault of its own.
    """

    checks: frozenset[str] = frozenset()
    functions: frozenset[str] = frozenset()
    judges: Mapping[str, tuple[float, float]] = {}
    whole: bool = True

    def names(self) -> list[str]:
        """What they are called, as far as that is known before anything has run."""
        return [*self.checks, *self.functions, *self.judges]

    def has(self, name: str) -> bool:
        """Whether a metric may be one of them."""
        return name.partition(":")[0] in self.checks or name.partition(".")[0] in self.functions or name in self.judges

    def range_of(self, name: str) -> tuple[float, float]:
        """The range that a metric's values have; without end where nothing tells one, as of what a function gives."""
        from evalkit.metrics import CATALOGUE  # late: numpy, which reading an experiment needs not

        if name in CATALOGUE:
            return CATALOGUE[name].low, CATALOGUE[name].high
        share = name.partition(":")[0] in self.checks or name == PREFERENCE
        return self.judges.get(name, (0.0, 1.0) if share else (-math.inf, math.inf))


def faults_of_metrics(value: Mapping[Any, Any], own: Own) -> list[tuple[Path, str]]:
    """A fault for each key of `value` that is no metric, neither evalkit's nor the experiment's `own`."""
    known = metric_names()
    there = [*known, *own.names()]
    strange = [str(name) for name in value if name not in known and not own.has(str(name))]
    return [((name,), _unknown(name, there)) for name in strange if own.whole or nearest(name, there)]


def _unknown(name: str, there: list[str]) -> str:
    """What is wrong with a name that no metric has."""
    from evalkit.metrics.checks import KINDS  # late: numpy, which reading an experiment needs not

    if name in KINDS:
        return f"unknown metric; it is a check, so add it: checks: [{name}]"
    return unknown("metric", name, there)


def faults_of_choose(value: Mapping[Any, Any], own: Own) -> list[tuple[Path, str]]:
    """A fault for each metric under ``choose:`` that there is not."""
    parts = {section: part for section in ("require", "prefer") if isinstance(part := value.get(section), Mapping)}
    unheard = [((section, *path), fault) for section, part in parts.items() for path, fault in faults_of_metrics(part, own)]
    return unheard + [((section, *path), fault) for section, part in parts.items() for path, fault in _faults_of_bounds(part, own)]


def _faults_of_bounds(part: Mapping[Any, Any], own: Own) -> list[tuple[Path, str]]:
    """A fault for each bound or target that no value of its metric can have: it would hold for all settings or for none."""
    faults: list[tuple[Path, str]] = []
    for name, wanted in part.items():
        low, high = own.range_of(str(name))
        for key in ("min", "max", "target"):
            given = wanted.get(key) if isinstance(wanted, Mapping) else None
            if isinstance(given, bool) or not isinstance(given, int | float) or low <= given <= high:
                continue
            between = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g} on"
            share = f"; it is a share, so write {given / 100:g} for {given:g} %" if (low, high) == (0, 1) and 1 < given <= 100 else ""
            faults.append(((str(name), key), f"found {shown(given)}, which {name} never is: its values go {between}{share}"))
    return faults


def faults_of_margins(value: Mapping[Any, Any], own: Own) -> list[tuple[Path, str]]:
    """What is wrong with ``margins:``."""
    from evalkit.experiment.margins import fault_of_margin  # late, as above

    named = [((str(name),), fault) for name, given in value.items() if (fault := fault_of_margin(given))]
    return faults_of_metrics(value, own) + named
