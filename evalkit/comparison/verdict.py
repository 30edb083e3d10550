"""What two runs' values of a metric say of each other: difference, interval, p, margin, and a verdict."""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.comparison.gate import Margins
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import profile
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE, Metric
from evalkit.stats.claims import clear, sure
from evalkit.stats.conventions import ALPHA, CONFIDENCE, FEWEST_PROMPTS
from evalkit.stats.equivalence import tost
from evalkit.stats.intervals import t_interval
from evalkit.stats.multiple import max_t
from evalkit.stats.power import detectable, prompts_to_detect, prompts_to_settle
from evalkit.stats.precision import minus, spread

Grid = NDArray[np.float64]
Direction = Literal["higher", "lower"] | None
Comparative = Literal["better", "worse", "equivalent", "differs", "inconclusive"]
"""As files hold it, in the terms of statistics; people read `in_words`."""
_SAID: dict[Comparative, str] = {"equivalent": "same", "inconclusive": "unclear"}


def in_words(verdict: Comparative) -> str:
    """A verdict as people say it, the words of the first screen."""
    return _SAID.get(verdict, verdict)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A metric in both runs: means over the prompts that both have, and the candidate minus the baseline, paired by prompt and cell.

    Attributes:
        better: which way is better; None where that depends on the purpose, and the verdict is ``differs`` instead of better or worse.
        gated: whether the gate judges it.
        p: that the differences are symmetric about 0 (exact sign flips, two-sided); `p_adjusted` over all metrics that are gated, or over all that
            are not (step-down largest |t|); None below six prompts.
        margin: the difference that is too small to matter, in the metric's unit; NaN where it cannot be told.
        p_equivalent: that the difference is as large as the margin (two one-sided t tests).
        reachable: the smallest margin that these data show equivalence within.
        detectable: the smallest difference that so many prompts find with 80 % power.
        prompts_to_settle: prompts that would settle it with 80 % power, where it is inconclusive and the difference is what it seems; None elsewhere,
            and where more than ten million would be needed.
        reason: why it is inconclusive, in words.
    """

    metric: str
    definition: str
    better: Direction
    gated: bool
    baseline: float
    candidate: float
    difference: float
    se: float
    ci_low: float
    ci_high: float
    n_prompts: int
    n_cells: int
    p: float | None
    p_adjusted: float | None
    margin: float
    margin_from: str
    p_equivalent: float
    verdict: Comparative
    reachable: float
    detectable: float
    prompts_to_settle: int | None = None
    reason: str | None = None


def judged(
    metrics: Sequence[Metric], baseline: Mapping[str, Grid], candidate: Mapping[str, Grid], judge: Experiment, given: Margins
) -> list[Compared]:
    """Differences, intervals, p values and verdicts of `metrics`, from their values of shape (cells, prompts) in both runs.

    Args:
        judge: the experiment whose margins, directions and seed count.
    """
    wanted = directions(judge, metrics)
    found = [_contrast(metric, baseline[metric.name], candidate[metric.name], judge, given, wanted) for metric in metrics]
    # Holm's over the exact p of each could not come down to 0.05 where there are few prompts: with twenty metrics, below ten.
    p: dict[str, tuple[float, float, int]] = {}
    for gated in (True, False):
        family = [one for one in found if one.gated is gated]
        if family:
            rng = np.random.default_rng([judge.seed, zlib.crc32(b"compare"), gated])
            test = max_t(np.array([one.by_prompt for one in family]).T, rng)
            alone, together = test.p.tolist(), test.p_adjusted.tolist()
            p |= {one.metric.name: (*pair, len(family)) for one, pair in zip(family, zip(alone, together, strict=True), strict=True)}
    return [_verdict(one, *p[one.metric.name]) for one in found]


class _Contrasted(NamedTuple):
    metric: Metric
    better: Direction
    gated: bool
    by_prompt: Grid
    cells: int
    means: tuple[float, float]
    margin: float
    margin_from: str


def _contrast(metric: Metric, one: Grid, other: Grid, judge: Experiment, given: Margins, wanted: Mapping[str, Direction]) -> _Contrasted:
    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = np.where(both, one, math.nan), np.where(both, other, math.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a prompt without any pair of values has none, as it should
        prompts = [np.nanmean(grid, axis=0) for grid in (one, other, minus(other, one))]
        first, second = (float(np.nanmean(values)) for values in prompts[:2])
    name = metric.name
    said = {**judge.margins, **given.values}
    margin = margin_of(metric, first, said)
    source = given.sources.get(name, "the experiment") if name in said else margin.source
    better = wanted[name]
    gated = better is not None and (metric.gated or name in said)
    return _Contrasted(metric, better, gated, prompts[2], int(both.any(axis=1).sum()), (first, second), margin.value, source)


def directions(experiment: Experiment, metrics: Sequence[Metric]) -> dict[str, Direction]:
    """Which way each of `metrics` is better by the experiment's ``choose:``, its preferences before its profile's; a target has no direction.

    A wish about one metric is one about all of its family, at its level: who wants fewer different answers does not want other measures of variety
    to rise. Where wishes about a family contradict each other, and of variety where there is a purpose that says nothing of it, there is none. All
    else is better as the catalogue says.
    """
    if experiment.choose is None:
        return {metric.name: metric.better for metric in metrics}
    base = {} if experiment.choose.profile is None else dict(profile(experiment.choose.profile).prefer)
    ways: dict[str, Direction] = {"maximize": "higher", "minimize": "lower", "target": None}
    said = {name: ways[one.goal] for name, one in {**base, **experiment.choose.prefer}.items()}
    wishes: dict[tuple[str, str], set[bool | None]] = {}  # of a family and level: as the catalogue has it, turned round, or neither
    for name, way in said.items():
        if name in CATALOGUE and CATALOGUE[name].family:
            one = CATALOGUE[name]
            wishes.setdefault((one.family, one.level), set()).add(None if way is None else way == (one.better or "higher"))
    return {metric.name: said[metric.name] if metric.name in said else _of_family(metric, wishes) for metric in metrics}


def _of_family(metric: Metric, wishes: Mapping[tuple[str, str], set[bool | None]]) -> Direction:
    """Which way a metric is better of which nothing is said itself."""
    about = wishes.get((metric.family, metric.level))
    if about is None:
        return None if metric.family == "variety" else metric.better
    usual: Direction = metric.better or "higher"
    other: Direction = "lower" if usual == "higher" else "higher"
    return usual if about == {True} else other if about == {False} else None


def _verdict(one: _Contrasted, p: float, p_adjusted: float, family: int) -> Compared:
    span = one.metric.high - one.metric.low
    interval, narrow = (
        found._replace(low=max(found.low, -span), high=min(found.high, span))
        for found in (t_interval(one.by_prompt, CONFIDENCE), t_interval(one.by_prompt, 1 - 2 * ALPHA))
    )
    values = one.by_prompt[~np.isnan(one.by_prompt)]
    same = tost(values, -one.margin, one.margin)
    margin = 0.0 if math.isnan(one.margin) else one.margin
    enough = interval.n >= FEWEST_PROMPTS
    if enough and sure(interval.low, interval.high, p_adjusted) and abs(interval.mean) > margin:
        up = interval.mean > 0
        verdict: Comparative = "differs" if one.better is None else "better" if up == (one.better == "higher") else "worse"
    elif same.p <= ALPHA or (len(values) > 1 and not values.any()):
        verdict = "equivalent"
    else:
        verdict = "inconclusive"
    sd = spread(values) if len(values) > 1 else math.nan
    open_ = verdict == "inconclusive"
    return Compared(
        metric=one.metric.name,
        definition=one.metric.definition,
        better=one.better,
        gated=one.gated,
        baseline=one.means[0],
        candidate=one.means[1],
        difference=interval.mean,
        se=interval.se,
        ci_low=interval.low,
        ci_high=interval.high,
        n_prompts=interval.n,
        n_cells=one.cells,
        p=p if enough else None,
        p_adjusted=p_adjusted if enough else None,
        margin=one.margin,
        margin_from=one.margin_from,
        p_equivalent=same.p,
        verdict=verdict,
        reachable=max(abs(narrow.low), abs(narrow.high)),
        detectable=sd * _detectable(interval.n),
        prompts_to_settle=_needed(interval.mean, sd, one.margin, family) if open_ else None,
        reason=_why(one, interval.n, interval.mean, interval.low, interval.high) if open_ else None,
    )


@cache
def _detectable(prompts: int) -> float:
    """In standard deviations: it depends on nothing else, and takes milliseconds."""
    return detectable(prompts, 1.0)


def _needed(mean: float, sd: float, margin: float, family: int) -> int | None:
    """Prompts that would settle it: that find the difference, where it seems to be beyond the margin, else one as large as the margin."""
    if abs(mean) > margin:
        found = prompts_to_detect(mean, sd, ALPHA / family)
        return max(FEWEST_PROMPTS, math.ceil(found)) if math.isfinite(found) else None
    return prompts_to_settle(sd, margin)


def _why(one: _Contrasted, n: int, mean: float, low: float, high: float) -> str:
    if n < 2:
        return "one prompt alone tells nothing of others"
    if n < FEWEST_PROMPTS:
        return f"{n} prompts; a difference needs {FEWEST_PROMPTS} at least to be told from chance"
    if math.isnan(one.margin):
        return "its margin is a share of a mean that is 0; give one in its unit"
    if not clear(low, high):
        return "the interval holds 0 and reaches beyond the margin"
    return "clear of 0 by itself, not over all metrics together" if abs(mean) > one.margin else "clear of 0, and perhaps within the margin"
