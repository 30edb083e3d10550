"""Is it enough? What more replicates or more prompts would show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.errors import ExperimentError
from evalkit.loaded import Run
from evalkit.measures import MEASURED
from evalkit.plots.style import SERIES, axes, entitle, ink, known, legend, short
from evalkit.power import of_pilot
from evalkit.records import read
from evalkit.stats.power import detectable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def replicates(run: Run, metric: str, *, ax: Axes | None = None) -> Axes:
    """The smallest difference between two settings that this run's prompts can show (80 % power), over the number of replicates.

    A line for the prompts there are, and one each for twice and four times as many; where it runs level, more replicates tell nothing and
    only more prompts do. The margin, below which a difference does not matter, is drawn beside it. A metric over the replicates together is
    another one with more of them: there the axis is the number of prompts.

    Raises:
        ExperimentError: the run has no such metric, or too few cells, prompts or answers to tell.
    """
    known(run, [metric])
    seen = of_pilot(run.experiment, lambda: read(run.folder), [one for one in MEASURED if one.name == metric]).get(metric)
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
