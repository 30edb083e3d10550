"""Which settings to use: constraints first, then what no other cell beats, then desirability; and how sure that is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.aims import Choose, Preference, Requirement, profile
from evalkit.analysis import Analysis
from evalkit.design import Cell, body_of, from_defaults
from evalkit.experiment import PER_REPLICATE, Experiment
from evalkit.margins import margin_of
from evalkit.metrics import METRICS
from evalkit.parameters import OF_OPENAI
from evalkit.scores import Scores
from evalkit.stats.desirability import clearly_beaten, pareto
from evalkit.stats.equivalence import tost
from evalkit.stats.intervals import t_interval
from evalkit.stats.selection import Aim, select

Floats = NDArray[np.float64]

VERSION = 1
_MOST_COMPARED = 200  # cells whose intervals are all held against each other
_EXTRA_ROOM = 0.25
"""How far beyond the worst cell desirability reaches 0, in the range of the cells: the worst in one aim is not out of the question."""


class Weight(msgspec.Struct, frozen=True, kw_only=True):
    """A preference as it was used: `worst` and `best` are where its desirability is 0 and 1, `say` its share of all weights."""

    metric: str
    goal: Literal["maximize", "minimize", "target"]
    say: float
    worst: float
    best: float
    because: str | None


class Constraint(msgspec.Struct, frozen=True, kw_only=True):
    """A constraint as it was used: how many cells miss it, and how many miss it alone."""

    metric: str
    min: float | None
    max: float | None
    by: Literal["interval", "mean"]
    excludes: int
    excludes_alone: int
    because: str | None


class Miss(msgspec.Struct, frozen=True, kw_only=True):
    """Where a cell misses a constraint: the bound, the mean and the end of the interval that was judged."""

    cell_index: int
    metric: str
    bound: float
    mean: float
    judged: float


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What the chosen cell changes against the reference: difference with its interval, in percent where the reference is not 0.

    Attributes:
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


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen and why; `chosen` is None where no cell satisfies, and `nearest` tells which comes closest.

    Attributes:
        best: the most desirable cell as measured; `chosen` may be another that is tied with it.
        satisfying: cells that keep to every constraint.
        pareto: of these, those that no other beats in means; `perhaps_pareto`: that no other beats beyond doubt.
        tied: cells that cannot be told from `best`, itself included.
        desirability: of each cell, None where a metric is missing or a constraint is missed.
        resample_share: in how many of 2,000 resampled prompt sets `best` is the most desirable again.
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
    tied: list[int]
    resample_share: float | None
    changes: list[Change]
    nearest: int | None
    misses: list[Miss]
    parameters: dict[str, Any]
    notes: list[str]
    confirmed: list[Confirmed] = []


def choose(scores: Scores, analysis: Analysis) -> Choice | None:
    """What ``choose:`` of the experiment comes to; None where it has none."""
    experiment = scores.plan.experiment
    if experiment.choose is None:
        return None
    values = {name: one.value for name, one in scores.by_metric.items()}
    known = {name for name, grid in values.items() if not np.isnan(grid).all()}
    # A bound is on what people get, so a metric that cannot be compared fairly can still be bounded, on whole answers.
    bounded = known | {name for name, one in scores.by_metric.items() if not np.isnan(one.value_full).all()}
    require, prefer, about, notes = _wanted(experiment.choose, known, bounded)
    cells = scores.plan.cells
    misses, unknown = _misses(require, values, analysis)
    notes += unknown
    out = {one.cell_index for one in misses}
    satisfying = [index for index in range(len(cells)) if index not in out]
    constraints = [_constraint(name, one, misses) for name, one in require.items()]
    found = _Found(satisfying, values, prefer, experiment)
    chosen = _settle(found, experiment.choose.among, values, cells, experiment) if found.best is not None else None
    nearest = _nearest(misses, require, experiment, values, analysis.reference) if not satisfying else None
    notes += found.notes
    return Choice(
        profile=experiment.choose.profile,
        about=about,
        among=experiment.choose.among,
        weights=found.weights,
        constraints=constraints,
        satisfying=satisfying,
        pareto=found.pareto,
        perhaps_pareto=found.perhaps,
        desirability=found.desirability,
        best=found.best,
        runner_up=found.runner_up,
        chosen=chosen,
        tied=found.tied,
        resample_share=found.share,
        changes=_changes(chosen, analysis, values, [*prefer, *require], experiment) if chosen is not None else [],
        nearest=nearest,
        misses=[one for one in misses if one.cell_index == nearest],
        parameters=_parameters(cells[chosen], experiment) if chosen is not None else {},
        notes=notes,
    )


def _wanted(wanted: Choose, known: set[str], bounded: set[str]) -> tuple[dict[str, Requirement], dict[str, Preference], str | None, list[str]]:
    """Constraints and preferences, those of the profile behind the user's own; what the run does not measure is left out and told."""
    require, prefer, about, notes = dict(wanted.require), dict(wanted.prefer), None, []
    if wanted.profile is not None:
        base = profile(wanted.profile)
        about = base.about
        absent = sorted({name for name in base.require if name not in bounded} | {name for name in base.prefer if name not in known})
        if absent:
            notes.append(f"of the profile left out, for this run does not measure it: {', '.join(absent)}")
        require = {name: one for name, one in base.require.items() if name in bounded} | require
        prefer = {name: one for name, one in base.prefer.items() if name in known} | prefer
    absent = [name for name in prefer if name not in known]
    if absent:
        notes.append(f"preferences left out, for this run does not measure them: {', '.join(absent)}")
    return require, {name: one for name, one in prefer.items() if name in known}, about, notes


def _misses(require: Mapping[str, Requirement], values: Mapping[str, Floats], analysis: Analysis) -> tuple[list[Miss], list[str]]:
    out, notes = [], []
    shown = {(row.metric, row.cell_index): (row.mean, row.ci_low, row.ci_high) for row in analysis.by_cell}  # the intervals that tables show
    for name, one in require.items():
        if name not in values:
            notes.append(f"{name} is required and this run does not measure it, so no cell can satisfy it")
        for index in range(len(analysis.cells)):
            mean, low, high = shown.get((name, index)) or _ends(values[name][index] if name in values else np.array([]))
            if one.max is not None:
                judged = mean if one.by == "mean" else high
                if not judged <= one.max:  # also where it is unknown
                    out.append(Miss(cell_index=index, metric=name, bound=one.max, mean=mean, judged=judged))
                    continue
            if one.min is not None:
                judged = mean if one.by == "mean" else low
                if not judged >= one.min:
                    out.append(Miss(cell_index=index, metric=name, bound=one.min, mean=mean, judged=judged))
    return out, notes


def _ends(values: Floats) -> tuple[float, float, float]:
    one = t_interval(values)
    return one.mean, one.low, one.high


def _constraint(name: str, one: Requirement, misses: Sequence[Miss]) -> Constraint:
    missing = {miss.cell_index for miss in misses if miss.metric == name}
    others = {miss.cell_index for miss in misses if miss.metric != name}
    return Constraint(
        metric=name, min=one.min, max=one.max, by=one.by, excludes=len(missing), excludes_alone=len(missing - others), because=one.because
    )


class _Found:
    """The most desirable of the cells that satisfy, and what goes with it."""

    def __init__(self, satisfying: list[int], values: Mapping[str, Floats], prefer: Mapping[str, Preference], experiment: Experiment) -> None:
        self.best: int | None = None
        self.runner_up: int | None = None
        self.share: float | None = None
        self.tied: list[int] = []
        self.pareto: list[int] = []
        self.perhaps: list[int] = []
        self.weights: list[Weight] = []
        self.notes: list[str] = []
        total = len(next(iter(values.values()))) if values else 0
        self.desirability: list[float | None] = [None] * total
        if not satisfying or not prefer:
            if not prefer:
                self.notes.append("nothing that is preferred is measured in this run, so nothing can be chosen")
            return
        here = {name: values[name][satisfying] for name in prefer}
        stacked = np.array(list(here.values()))
        if not (~np.isnan(stacked)).any(axis=2).all(axis=0).any():
            self.notes.append("no cell that satisfies has a value in every preferred metric")
            return
        means = np.array([[t_interval(row).mean for row in grid] for grid in here.values()])
        aims = [_aim(name, prefer[name], means[place], values[name], experiment) for place, name in enumerate(prefer)]
        say = sum(aim.weight for aim in aims)
        for name, aim in zip(prefer, aims, strict=True):
            self.weights.append(
                Weight(metric=name, goal=aim.goal, say=aim.weight / say, worst=aim.worst, best=aim.best, because=prefer[name].because)
            )
        found = select(stacked, aims, np.random.default_rng([experiment.seed, 77]))
        for place, index in enumerate(satisfying):
            self.desirability[index] = None if math.isnan(found.desirability[place]) else float(found.desirability[place])
        order = np.argsort(np.where(np.isnan(found.desirability), -1, -found.desirability), kind="stable")
        self.best = satisfying[found.best]
        others = [int(place) for place in order if place != found.best and not math.isnan(found.desirability[place])]
        self.runner_up = satisfying[others[0]] if others else None
        self.share = float(found.resample_share[found.best])
        self.tied = [index for place, index in enumerate(satisfying) if found.tied[place]]
        upward = np.array(
            [aim.of(one) if aim.goal == "target" else one * (1 if aim.goal == "maximize" else -1) for aim, one in zip(aims, means, strict=True)]
        )
        self.pareto = [index for index, front in zip(satisfying, pareto(upward.T), strict=True) if front]
        self.perhaps = _perhaps(satisfying, stacked, aims) if len(satisfying) <= _MOST_COMPARED else list(self.pareto)


def _aim(name: str, wanted: Preference, means: Floats, values: Floats, experiment: Experiment) -> Aim:
    known = means[~np.isnan(means)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
    margin = margin_of(name, values, float(known.mean()) if len(known) else 0.0, experiment.margins).value
    # A range smaller than what matters is not blown up to the whole scale.
    span = max((1 + _EXTRA_ROOM) * (high - low), 0.0 if math.isnan(margin) else margin, 1e-12)
    if wanted.goal == "target" and wanted.target is not None:
        reach = max(abs(high - wanted.target), abs(low - wanted.target), span) * (1 + _EXTRA_ROOM)
        worst = wanted.target - reach if wanted.worst is None else wanted.worst
        return Aim("target", worst, wanted.target + reach if wanted.best is None else wanted.best, wanted.weight, wanted.target)
    if wanted.goal == "maximize":
        best = high if wanted.best is None else wanted.best
        return Aim("maximize", best - span if wanted.worst is None else wanted.worst, best, wanted.weight)
    best = low if wanted.best is None else wanted.best
    return Aim("minimize", best + span if wanted.worst is None else wanted.worst, best, wanted.weight)


def _perhaps(satisfying: Sequence[int], values: Floats, aims: Sequence[Aim]) -> list[int]:
    """Cells that no other beats beyond doubt: for none are all lower ends of (other - cell) at least 0."""
    from scipy.special import stdtrit

    lows = []
    for aim, grid in zip(aims, values, strict=True):
        better = aim.of(grid) if aim.goal == "target" else grid * (1 if aim.goal == "maximize" else -1)
        paired = better[:, None, :] - better[None, :, :]
        n = (~np.isnan(paired)).sum(axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(n > 0, np.nansum(paired, axis=2) / n, np.nan)
            spread = np.sqrt(np.nansum((paired - mean[:, :, None]) ** 2, axis=2) / (n - 1) / n)
            lows.append(np.where(n > 1, mean - stdtrit(np.maximum(n - 1, 1), 0.975) * spread, -np.inf))
    beaten = clearly_beaten(np.stack(lows, axis=2))
    return [index for index, out in zip(satisfying, beaten, strict=True) if not out]


def _settle(found: _Found, among: str, values: Mapping[str, Floats], cells: Sequence[Cell], experiment: Experiment) -> int | None:
    """Of the tied cells the cheapest, prices within 5 % counting as one; then the nearest to the defaults; then the most desirable."""
    if among == "best" or found.best is None:
        return found.best
    prices = _prices(found.tied, values)
    cheap = min(prices.values())
    left = [index for index in found.tied if prices[index] <= cheap * 1.05 + 1e-12]
    return min(left, key=lambda index: (from_defaults(cells[index], experiment.parameters), -(found.desirability[index] or 0.0), index))


def _prices(tied: Sequence[int], values: Mapping[str, Floats]) -> dict[int, float]:
    for name in ("cost", "length_tokens", "length_words"):
        if name in values:
            means = {index: t_interval(values[name][index]).mean for index in tied}
            if not any(map(math.isnan, means.values())):
                return means
    return dict.fromkeys(tied, 0.0)


def _nearest(
    misses: Sequence[Miss], require: Mapping[str, Requirement], experiment: Experiment, values: Mapping[str, Floats], reference: int
) -> int | None:
    """The cell whose worst miss is the smallest, in units of the metric's margin."""
    worst: dict[int, float] = {}
    for one in misses:
        if one.metric not in values or math.isnan(one.judged):
            size = math.inf
        else:
            margin = margin_of(one.metric, values[one.metric], t_interval(values[one.metric][reference]).mean, experiment.margins).value
            size = abs(one.judged - one.bound) / (margin if margin > 0 else 1.0)
        worst[one.cell_index] = max(worst.get(one.cell_index, 0.0), size)
    known = {index: size for index, size in worst.items() if not math.isinf(size)}
    return min(known, key=lambda index: (known[index], index)) if known and require else None


def _changes(chosen: int, analysis: Analysis, values: Mapping[str, Floats], aims: Sequence[str], experiment: Experiment) -> list[Change]:
    reference = analysis.reference
    if chosen == reference:
        return []
    names = list(dict.fromkeys([*aims, "length_tokens", "cost", "truncation_rate"]))
    out = []
    for name in (one for one in names if one in values):
        paired = values[name][chosen] - values[name][reference]
        paired = paired[~np.isnan(paired)]
        one, base = t_interval(paired), t_interval(values[name][reference]).mean
        if one.n < 2:
            continue
        margin = margin_of(name, values[name], base, experiment.margins).value
        inside = not math.isnan(margin) and tost(paired, -margin, margin).p <= 0.05
        share = (lambda value, base=base: 100 * value / abs(base)) if base and not math.isnan(base) else (lambda _: None)
        out.append(
            Change(
                metric=name,
                reference=base,
                chosen=t_interval(values[name][chosen]).mean,
                difference=one.mean,
                ci_low=one.low,
                ci_high=one.high,
                percent=share(one.mean),
                percent_low=share(one.low),
                percent_high=share(one.high),
                clear="unchanged" if inside else "changed" if one.low > 0 or one.high < 0 else "unclear",
            )
        )
    return out


def _parameters(cell: Cell, experiment: Experiment) -> dict[str, Any]:
    """The request's parameters for a cell, without what only a sweep needs."""
    body = body_of(cell, {**experiment.endpoint.extra_body, **experiment.request})
    if body.get("seed") == PER_REPLICATE:
        del body["seed"]
    model = body.pop("model", experiment.endpoint.model)
    return {"model": model} | {experiment.endpoint.max_tokens_field if name == "max_tokens" else name: value for name, value in body.items()}


def confirmed(choice: Choice, scores: Scores, fresh: Scores) -> Choice:
    """`choice` with the value of its best cell and the runner-up on `fresh` replicates."""
    rows, notes = [], list(choice.notes)
    group = {metric.name for metric in METRICS if metric.level == "group"}
    if fresh.k != scores.k:
        notes.append(f"metrics over replicates are compared at one number of them: confirm with {scores.k} fresh replicates to see them")
    for index in dict.fromkeys(one for one in (choice.chosen, choice.best, choice.runner_up) if one is not None):
        for name in dict.fromkeys([*(one.metric for one in choice.weights), *(one.metric for one in choice.constraints)]):
            if name not in fresh.by_metric or (name in group and fresh.k != scores.k):
                continue
            one = t_interval(fresh.by_metric[name].value[index])
            if one.n >= 2:
                rows.append(
                    Confirmed(
                        cell_index=index,
                        metric=name,
                        selected_on=t_interval(scores.by_metric[name].value[index]).mean,
                        fresh=one.mean,
                        ci_low=one.low,
                        ci_high=one.high,
                        n_prompts=one.n,
                        replicates=round(int(fresh.by_metric[name].n_texts[index].sum()) / one.n),
                    )
                )
    return msgspec.structs.replace(choice, confirmed=rows, notes=notes)


def recommended_yaml(choice: Choice, experiment: Experiment, digest: str) -> str:
    """The text of ``recommended.yaml``: the request's parameters, ready to paste, below comments that say where they come from."""
    import yaml

    lines = [
        f"# Recommended by evalkit for {json.dumps(experiment.name)} ({digest}), profile {choice.profile or 'of its own'}.",
        f"# Best as measured in {choice.resample_share or 0:.0%} of resampled prompt sets; {len(choice.tied)} settings cannot be told from the best.",
        "# Values of a winner are optimistic: check on fresh answers with --confirm.",
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(_plain(choice.parameters), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """`value` in dicts and lists alone."""
    match value:
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def call_of(parameters: Mapping[str, Any]) -> str:
    """The call of the openai client with these parameters; what that client does not know goes by ``extra_body``."""
    plain = _plain(parameters)
    known = {name: value for name, value in plain.items() if name in OF_OPENAI}
    other = {name: value for name, value in plain.items() if name not in OF_OPENAI}
    lines = [f"    model={known.pop('model')!r},", "    messages=messages,"]
    lines += [f"    {name}={value!r}," for name, value in known.items()]
    lines += [f"    extra_body={other!r},"] if other else []
    return "client.chat.completions.create(\n" + "\n".join(lines) + "\n)"
