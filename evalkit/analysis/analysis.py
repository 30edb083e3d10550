"""From scores to what they say: means with intervals, each cell against the reference, what each parameter does, and the answers in words."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit._version import __version__
from evalkit.analysis.control import LIMITS, controls
from evalkit.analysis.effects import CellDifference, Interaction, LeftOver, LevelDifference, PrefixControl, SimpleEffect, VarianceShare, Verdict
from evalkit.analysis.estimation import against_reference, effects
from evalkit.analysis.raced import Raced, Replayed
from evalkit.analysis.sentences import answers, of_cells
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import wishes
from evalkit.experiment.margins import margin_of
from evalkit.experiment.parameters import DEFAULT, level_text, same_level
from evalkit.metrics import METRICS, Metric, label_of
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.cells import fits
from evalkit.plan.design import Cell, from_defaults
from evalkit.plan.requests import Plan
from evalkit.scoring.prefix import Prefix
from evalkit.scoring.scores import Scores
from evalkit.scoring.tables import parameter_columns
from evalkit.stats.conventions import CONFIDENCE, FEWEST_PROMPTS
from evalkit.stats.intervals import Interval, within_ranges
from evalkit.stats.survival import kaplan_meier, log_rank
from evalkit.text.escaping import guarded
from evalkit.text.notes import Note
from evalkit.text.numbers import counted

VERSION = 1


class CellMean(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in a cell: mean over prompts with standard error and 95 % interval; NaN (null in the file) where undefined."""

    cell_index: int
    metric: str
    mean: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    n_eligible: int


class LevelMean(msgspec.Struct, frozen=True, kw_only=True):
    """A metric at one level of a parameter: each prompt's mean over the cells with that level, then as in a cell."""

    parameter: str
    level: Any
    metric: str
    mean: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    n_cells: int


class MetricInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader of the numbers must know of a metric."""

    name: str
    better: Literal["higher", "lower"] | None
    definition: str
    confounded: bool
    low: float | None = None
    high: float | None = None
    """The range of its numbers; None where nothing bounds them on that side."""
    compared: bool = True
    """Whether its numbers compare cells fairly; else they are those of whole answers, which longer ones alone move, and nothing is tested."""
    on: Literal["whole", "sample", "prefix"] | None = "whole"
    """What they are taken on: whole answers, samples of equal size, beginnings of equal length; None where they are not compared."""
    label: str = ""
    """What it is, in everyday words."""
    unit: str = "number"
    """What its numbers count, as in `evalkit.metrics.metric.Unit`."""


class ComparedOn(msgspec.Struct, frozen=True, kw_only=True):
    """The prefix that metrics biased by length are compared on; `eligible` and `biased` by cell, as in `evalkit.scoring.prefix.Prefix`."""

    tokens: int
    k: int
    eligible: list[float]
    left_out: list[int]
    biased: list[int]


class SampledOn(msgspec.Struct, frozen=True, kw_only=True):
    """The samples that metrics are compared on: for each prompt the `lengths` that every cell's answers are taken to have; none without."""

    lengths: list[list[int]]

    @property
    def samples(self) -> list[Sample]:
        """Those there are."""
        return [Sample(tuple(one)) for one in self.lengths if one]

    @property
    def k(self) -> list[int]:
        """Answers, of each prompt with a sample."""
        return [one.k for one in self.samples]

    @property
    def words(self) -> list[int]:
        """Words of all answers to a prompt."""
        return [one.words for one in self.samples]

    @property
    def window(self) -> list[int]:
        """Words that half of the answers to a prompt have."""
        return [one.window for one in self.samples]


class NaturalLength(msgspec.Struct, frozen=True, kw_only=True):
    """How long a cell's answers would be if nothing cut them off, by Kaplan-Meier.

    Attributes:
        median: NaN where more than half of the answers were cut off before it.
        p: of the log-rank test against the first cell that has answers, which takes replicates for independent; NaN for that cell itself.
    """

    cell_index: int
    unit: str
    n: int
    n_truncated: int
    median: float
    p: float


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers rest on."""

    cells: int
    prompts: int
    replicates: int
    planned: int
    completions: int
    failures: dict[str, int]
    missing: int
    outside: int
    k: int
    groups_left_out: int


class Analysis(msgspec.Struct, frozen=True, kw_only=True):
    """What ``analysis.json`` holds; cells are told by their place in `cells`.

    Attributes:
        digest: of the experiment, as `Experiment.digest` tells it.
        parameters: the levels of each swept parameter.
        cells: for each the level of every parameter; None where it is void beside the others.
        cell_names: of the cells, in their order, where the experiment names them; not there where it does not.
        by_cell, by_level: means over prompts with their intervals.
        compared_on: the prefix that metrics biased by length are compared on that have no value on samples; None where too few answers are long
            enough, so that these are of whole answers, shown and not to be tested.
        sampled_on: the samples that the other metrics biased by length are compared on.
        natural_length: lengths as they would be if nothing cut answers off.
        reference: the cell that others are compared with.
        answers: what each parameter does, in sentences.
        differences: each cell against the reference.
        verdicts: effect, no effect or inconclusive, for each parameter and metric.
        level_differences: between all pairs of levels of a parameter.
        simple_effects: of a parameter at each level of another.
        interactions: differences of differences.
        shares: how much of a metric's variation each parameter explains.
        left_over: how much none of them explains.
        not_estimated: what could not be, a sentence each.
        families: what each kind of adjusted p is adjusted over, and how.
        controls: whether `max_tokens` changes words that it cannot change.
        signature: how the numbers were made, in one line: version, experiment, model, counts, methods, seed.
        notes: what a reader of the numbers must know of the answers that they rest on.
        race: who was asked what, of a race; not there of a full grid.
        replayed: what a race would have come to, of a full grid that has ``choose:``; else not there.
    """

    v: int = VERSION
    name: str
    digest: str
    tokenizer: str
    confidence: float
    counts: Counts
    parameters: dict[str, list[Any]]
    cells: list[dict[str, Any]]
    cell_names: list[str] | msgspec.UnsetType = msgspec.UNSET
    metrics: list[MetricInfo]
    by_cell: list[CellMean]
    by_level: list[LevelMean]
    compared_on: ComparedOn | None = None
    sampled_on: SampledOn | None = None
    natural_length: list[NaturalLength] = []
    reference: int = 0
    answers: list[str] = []
    differences: list[CellDifference] = []
    verdicts: list[Verdict] = []
    level_differences: list[LevelDifference] = []
    simple_effects: list[SimpleEffect] = []
    interactions: list[Interaction] = []
    shares: list[VarianceShare] = []
    left_over: list[LeftOver] = []
    not_estimated: list[str] = []
    families: dict[str, str] = {}
    controls: list[PrefixControl] = []
    signature: str = ""
    notes: list[Note] = []
    race: Raced | msgspec.UnsetType = msgspec.UNSET
    replayed: Replayed | msgspec.UnsetType = msgspec.UNSET

    def name_of(self, cell: int) -> str | None:
        """The name of a cell by its index, None where the experiment names none."""
        return None if self.cell_names is msgspec.UNSET else self.cell_names[cell]


FAMILIES = {
    "differences": "all settings against the reference, one metric: step-down largest |t| over sign flips (family-wise)",
    "level_differences": "all pairs of levels of one parameter, one metric: step-down largest |t| over sign flips (family-wise)",
    "verdicts": "all parameters, one metric: Holm over each one's largest |t| (family-wise)",
    "interactions": "all pairs of parameters, one metric: Holm over each one's largest |t| (family-wise)",
}


def analyse(scores: Scores, metrics: Sequence[Metric] | None = None) -> Analysis:
    """Intervals over prompts for every cell and every level, of all that was measured unless `metrics` says what."""
    metrics = metrics or scores.metrics or METRICS
    plan = scores.plan
    experiment = plan.experiment
    by_cell, by_level = _means(scores, metrics)
    reference = reference_cell(experiment, plan.cells)
    values = {metric.name: scores.by_metric[metric.name].value for metric in metrics}
    means = {row.metric: row.mean for row in by_cell if row.cell_index == reference}
    margins = {one.name: margin_of(one, means[one.name], experiment.margins)[:2] for one in metrics}
    spans = {one.name: one.high - one.low for one in metrics}
    common = list(plan.common_prompts)
    found = effects(_shared(values, plan), plan.cells, experiment.parameters, margins, experiment.seed, spans, wishes(experiment.choose))
    controlled = _controls(scores, metrics, margins)
    differences = against_reference(values, reference, experiment.seed, spans)
    said = answers(found, list(experiment.parameters), len(common), controlled)
    if not found.verdicts:
        said = of_cells(differences, plan.cells, reference, plan.design.names)
    counts = _counts(scores)
    return Analysis(
        name=experiment.name,
        digest=experiment.digest(),
        tokenizer=scores.tokenizer,
        confidence=CONFIDENCE,
        counts=counts,
        parameters={name: list(levels) for name, levels in experiment.parameters.items()},
        cells=[dict(cell) for cell in plan.cells],
        cell_names=list(plan.design.names) or msgspec.UNSET,
        metrics=[_info(scores, one) for one in metrics],
        by_cell=by_cell,
        by_level=by_level,
        compared_on=None if scores.prefix is None else _compared_on(scores.prefix),
        sampled_on=_sampled_on(scores),
        natural_length=_natural_lengths(scores),
        reference=reference,
        answers=said,
        differences=differences,
        verdicts=found.verdicts,
        level_differences=found.levels,
        simple_effects=found.simple,
        interactions=found.interactions,
        shares=found.shares,
        left_over=found.left_over,
        not_estimated=[*plan.design.beware, *found.not_estimated],
        families=FAMILIES,
        controls=controlled,
        signature=_signature(experiment, counts),
    )


def _info(scores: Scores, one: Metric) -> MetricInfo:
    return MetricInfo(
        name=one.name,
        better=one.better,
        definition=one.definition,
        confounded=one.confounded,
        low=one.low if math.isfinite(one.low) else None,
        high=one.high if math.isfinite(one.high) else None,
        compared=scores.compared(one),
        on=scores.on(one),
        label=one.label or label_of(one.name),
        unit=one.unit,
    )


class Means(NamedTuple):
    """The means of some metrics in each cell, without all else that an analysis has."""

    cells: tuple[Cell, ...]
    by_cell: list[CellMean]


def means_of(scores: Scores, names: Collection[str]) -> Means:
    """The means of the metrics of these names, as an analysis shows them."""
    metrics = [metric for metric in scores.metrics if metric.name in names]
    return Means(scores.plan.cells, _means(scores, metrics)[0])


def _means(scores: Scores, metrics: Sequence[Metric]) -> tuple[list[CellMean], list[LevelMean]]:
    """Each metric in each cell and at each level, with intervals over prompts; levels on the prompts that every cell is asked."""
    plan = scores.plan
    common = list(plan.common_prompts)
    experiment = plan.experiment
    cells_at = [
        (parameter, level, here)
        for parameter, levels in experiment.parameters.items()
        for level in levels
        if (here := [index for index, cell in enumerate(plan.cells) if same_level(cell[parameter], level)])
    ]
    by_cell: list[CellMean] = []
    by_level: list[LevelMean] = []
    for metric in metrics:
        score = scores.by_metric[metric.name]
        rng = np.random.default_rng([experiment.seed, *metric.name.encode()])
        # Without a common prefix that is long enough they are shown on whole answers, as what they are, and not compared.
        grid = score.value if scores.compared(metric) else score.value_full
        eligible = score.n_eligible.sum(axis=1).tolist()
        for index, one in enumerate(_intervals(grid, metric, experiment, rng)):
            by_cell.append(CellMean(cell_index=index, metric=metric.name, n_eligible=eligible[index], **_numbers(one)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a prompt without any value has a NaN mean, as it should
            by_prompt = [np.nanmean(grid[np.ix_(here, common)], axis=0) for _, _, here in cells_at]
        for (parameter, level, here), one in zip(
            cells_at, _intervals(np.array(by_prompt), metric, experiment, rng) if by_prompt else (), strict=True
        ):
            by_level.append(LevelMean(parameter=parameter, level=level, metric=metric.name, n_cells=len(here), **_numbers(one)))
    return by_cell, by_level


def _shared(values: Mapping[str, NDArray[np.float64]], plan: Plan) -> dict[str, NDArray[np.float64]]:
    """The values on the prompts that every cell is asked; nothing where a race has too few of these, for who is asked more is no accident."""
    common = list(plan.common_prompts)
    enough = plan.blocks is None or len(common) >= FEWEST_PROMPTS
    return {name: grid[:, common] for name, grid in values.items()} if enough else {}


def _counts(scores: Scores) -> Counts:
    plan = scores.plan
    experiment = plan.experiment
    return Counts(
        cells=len(plan.cells),
        prompts=len(experiment.prompts),
        replicates=experiment.replicates,
        planned=len(plan),
        completions=scores.completions,
        failures=dict(scores.failures),
        missing=scores.missing,
        outside=scores.outside,
        k=scores.k,
        groups_left_out=scores.groups_left_out,
    )


def _signature(experiment: Experiment, counts: Counts) -> str:
    interval = "Student's t (shares: Wilson's)" if experiment.interval == "t" else "bootstrap-t"
    size = f"{counted(counts.cells, 'setting')} × {counted(counts.prompts, 'prompt')} × {counted(counts.replicates, 'replicate')}"
    return (
        f"evalkit {__version__}, experiment {experiment.digest()}, model {experiment.models}; {size}, "
        f"{counted(counts.completions, 'answer')} (k = {counts.k}); {interval} intervals over prompts, sign-flip p by the largest |t|, "
        f"equivalence by two one-sided t tests; seed {experiment.seed}"
    )


def _compared_on(prefix: Prefix) -> ComparedOn:
    return ComparedOn(
        tokens=prefix.tokens,
        k=prefix.k,
        eligible=[float(share) for share in prefix.eligible],
        left_out=list(prefix.left_out),
        biased=list(prefix.biased),
    )


def _sampled_on(scores: Scores) -> SampledOn | None:
    if not any(scores.samples):
        return None
    return SampledOn(lengths=[[] if one is None else list(one.lengths) for one in scores.samples])


def _controls(scores: Scores, metrics: Sequence[Metric], margins: Mapping[str, tuple[float, str]]) -> list[PrefixControl]:
    """What limits on length do to beginnings of answers, also of metrics that are compared on samples: there, a limit may move what comes after."""
    experiment, prefix = scores.plan.experiment, scores.prefix
    if prefix is None or not any(len(experiment.parameters.get(name, ())) > 1 for name in LIMITS):
        return []
    grids = {}
    for one in metrics:
        if one.confounded and prefix.tokens >= one.shortest:
            its = scores.by_metric[one.name]
            grids[one.name] = its.value if scores.on(one) == "prefix" or its.value_prefix is None else its.value_prefix
    found = effects(grids, scores.plan.cells, experiment.parameters, margins, experiment.seed)
    return controls(found.verdicts, grids, prefix.tokens)


def _natural_lengths(scores: Scores) -> list[NaturalLength]:
    found: list[NaturalLength] = []
    first = next((one for one in scores.lengths if len(one.lengths)), None)
    for index, one in enumerate(scores.lengths):
        if first is None or not len(one.lengths):
            continue
        found.append(
            NaturalLength(
                cell_index=index,
                unit=scores.length_unit,
                n=len(one.lengths),
                n_truncated=int(one.truncated.sum()),
                median=kaplan_meier(one.lengths, one.truncated).median,
                p=math.nan if one is first else log_rank(first.lengths, first.truncated, one.lengths, one.truncated)[1],
            )
        )
    return found


def reference_cell(experiment: Experiment, cells: Sequence[Cell]) -> int:
    """The cell that others are compared with: the first of those that ``reference:`` fits and that are nearest to all defaults."""
    wanted = experiment.reference or {}
    if isinstance(wanted, str):
        named = (experiment.cells or {})[wanted]
        wanted = {name: named.get(name, DEFAULT) for name in experiment.parameters}
    fitting = [index for index, cell in enumerate(cells) if fits(cell, wanted)]
    return min(fitting or range(len(cells)), key=lambda index: from_defaults(cells[index], experiment.parameters))


def _intervals(rows: NDArray[np.float64], metric: Metric, experiment: Experiment, rng: np.random.Generator) -> list[Interval]:
    return within_ranges(rows, metric.low, metric.high, CONFIDENCE, rng if experiment.interval == "bootstrap_t" else None)


def _numbers(interval: Interval) -> dict[str, Any]:
    return {"mean": interval.mean, "se": interval.se, "ci_low": interval.low, "ci_high": interval.high, "n_prompts": interval.n}


def summary_csv(analysis: Analysis) -> str:
    """The text of ``summary.csv``: a row for each cell and metric; an empty field where a number is undefined."""
    numbers = ("mean", "se", "ci_low", "ci_high")
    columns = parameter_columns(analysis.parameters).values()
    lines = [["cell_index", *map(guarded, columns), "metric", *numbers, "n_prompts", "n_eligible"]]
    for row in analysis.by_cell:
        levels = [guarded(level_text(level) or "") for level in analysis.cells[row.cell_index].values()]
        values = ["" if math.isnan(number) else repr(number) for number in (getattr(row, name) for name in numbers)]
        lines.append([str(row.cell_index), *levels, row.metric, *values, str(row.n_prompts), str(row.n_eligible)])
    return "".join(",".join(map(_field, line)) + "\n" for line in lines)


def _field(text: str) -> str:
    """A field as RFC 4180 has it; Python 3.11's csv leaves a bare carriage return unquoted, where readers then end the row."""
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in '",\r\n') else text
