"""Is it enough? What more replicates or more prompts would show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from evalkit.analysis.power import Variances, residual_variance
from evalkit.errors import ExperimentError
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE, Metric, values
from evalkit.plan.requests import Plan
from evalkit.present.plots.style import SERIES, axes, entitle, ink, known, legend, short
from evalkit.run import Run
from evalkit.scoring.gather import cut, gather
from evalkit.stats.power import detectable
from evalkit.store.records import read

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_CELLS, _MOST_ANSWERS = 8, 2_400
"""Settings and answers that the variance of replicates is taken from, whatever the size of the run."""


def replicates(run: Run, metric: str, *, ax: Axes | None = None) -> Axes:
    """The smallest difference between two settings that this run's prompts can show (80 % power), over the number of replicates.

    A line for the prompts there are, and one each for twice and four times as many; where it runs level, more replicates tell nothing and
    only more prompts do. The margin, below which a difference does not matter, is drawn beside it. A metric over the replicates together is
    another one with more of them: there the axis is the number of prompts.

    Raises:
        ExperimentError: the run has no such metric, or too few cells, prompts or answers to tell.
    """
    known(run, [metric])
    seen = _seen(run, metric)
    if seen is None:
        raise ExperimentError(f"{run.folder}: {metric}: its variances cannot be told; that takes two settings and two prompts with answers")
    ax = axes(ax, 5.6, 3.6)
    prompts, k = len(run.experiment.prompts), run.experiment.replicates
    grouped = np.isnan(seen.within)
    if grouped:
        counts = np.unique(np.round(np.geomspace(max(2, prompts // 4), 8 * prompts, 25)).astype(int))
        ax.plot(counts, [detectable(int(n), seen.sd(k)) for n in counts], color=SERIES[0], label=f"with {k} answers a prompt")
        ax.plot([prompts], [detectable(prompts, seen.sd(k))], "o", color=SERIES[1], markersize=8, label="this run")
        ax.set_xlabel("prompts")
    else:
        counts = np.unique(np.round(np.geomspace(1, max(32, 4 * k), 25)).astype(int))
        for place, times in enumerate((1, 2, 4)):
            line = [detectable(times * prompts, seen.sd(int(count))) for count in counts]
            ax.plot(counts, line, color=SERIES[0], alpha=1 - 0.28 * place, linestyle=("-", "--", ":")[place], label=f"{times * prompts} prompts")
        ax.plot([k], [detectable(prompts, seen.sd(k))], "o", color=SERIES[1], markersize=8, label="this run")
        ax.set_xlabel("answers to each prompt (replicates)")
    if not np.isnan(seen.wanted):
        ax.axhline(seen.wanted, color=ink(ax), linewidth=1, linestyle="-.", label=f"margin: below {seen.wanted:.3g} does not matter")
    ax.set_xscale("log", base=2)
    ticks = [int(tick) for tick in 2.0 ** np.arange(np.floor(np.log2(counts[0])), np.ceil(np.log2(counts[-1])) + 1)]
    ax.set_xticks(ticks, [str(tick) for tick in ticks])
    ax.set_ylim(bottom=0)
    ax.set_ylabel(f"detectable difference in {short(metric)}")
    entitle(ax, "Is it enough? Smallest difference of two settings found with 80 % power")
    legend(ax)
    return ax


def _seen(run: Run, metric: str) -> Variances | None:
    """Variances of the difference between two settings: over prompts from the run's scores, of replicates from some of its answers."""
    info = CATALOGUE.get(metric)
    grid = run.shared_grid(metric)
    pooled = residual_variance(grid)
    if info is None or np.isnan(pooled):
        return None
    k = run.experiment.replicates
    wanted = margin_of(info, float(np.nanmean(grid)), run.experiment.margins).value
    if info.level == "group":
        return Variances(2 * pooled, math.nan, k, wanted)
    within = _within(run, info)
    return None if np.isnan(within) else Variances(max(2 * (pooled - within / k), 0.0), within, 0, wanted)


def _within(run: Run, metric: Metric) -> float:
    """The variance of a replicate about the mean of its prompt in its setting, over some settings and prompts, spread evenly."""
    k = run.experiment.replicates
    if k < 2:
        return 0.0
    cells = _spread(len(run.analysis.cells), _MOST_CELLS)
    prompts = {run.experiment.prompts[at].id for at in _spread(len(run.experiment.prompts), max(2, _MOST_ANSWERS // (len(cells) * k)))}
    plan = Plan(run.experiment, only=tuple(cells))
    gathered = cut(gather(plan, (record for record in read(run.folder) if record.prompt_id in prompts)))
    found = [values(metric, group) for group in gathered.cut_groups.values()]
    spread = [float(np.var(one[~np.isnan(one)], ddof=1)) for one in found if np.count_nonzero(~np.isnan(one)) > 1]
    return float(np.mean(spread)) if spread else math.nan


def _spread(count: int, most: int) -> list[int]:
    return [int(at) for at in np.unique(np.linspace(0, count - 1, min(count, most)).round())]
