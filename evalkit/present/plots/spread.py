"""How values scatter over prompts, and how long answers would be if nothing cut them off."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.control import LIMITS
from evalkit.client.outcome import ending_by_count, limit_of
from evalkit.experiment.parameters import same_level
from evalkit.metrics.tokens import is_word, words
from evalkit.present.plots.effects import show_levels
from evalkit.present.plots.style import SERIES, axes, entitle, ink, known, label_of, legend, name_axis, short, swept
from evalkit.run import Run
from evalkit.stats.survival import band, kaplan_meier

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 40
"""Points of a level from which violins are drawn behind them all."""
_FEWEST = 10
_MOST_POINTS = 400
_MOST_CURVES = len(SERIES)


def distribution(run: Run, metric: str, parameter: str, *, ax: Axes | None = None) -> Axes:
    """Values of `metric` by level of `parameter`, a point a prompt in a cell, with the mean over prompts and its 95 % interval.

    Where a level has many points, their density stands behind them and a part of them is drawn, evenly spread over their order.

    Raises:
        ExperimentError: the run has no such metric or parameter.
    """
    known(run, [metric], [parameter])
    ax = axes(ax)
    grid = run.shared_grid(metric)
    levels = run.analysis.parameters[parameter]
    rng = np.random.default_rng([run.experiment.seed, 5])
    rows = [[index for index, cell in enumerate(run.analysis.cells) if same_level(cell[parameter], level)] for level in levels]
    many = max((np.count_nonzero(~np.isnan(grid[here])) for here in rows), default=0) >= _MANY
    for place, here in enumerate(rows):
        points = grid[here][~np.isnan(grid[here])] if here else np.array([])
        if not len(points):
            continue
        if many and len(points) >= _FEWEST and np.ptp(points) > 0:
            _violin(ax, points, place)
        shown = points if len(points) <= _MOST_POINTS else np.sort(points)[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int)]
        ax.plot(place + rng.uniform(-0.16, 0.16, len(shown)), shown, ".", color=SERIES[0], alpha=0.5, markersize=5, markeredgewidth=0, zorder=2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a prompt without any value has a NaN mean, as it should
            one = run.interval(metric, np.nanmean(grid[here], axis=0))
        reach = [[0.0], [0.0]] if np.isnan(one.high) else [[one.mean - one.low], [one.high - one.mean]]
        ax.errorbar([place], [one.mean], yerr=reach, fmt="D", color=SERIES[1], markersize=5, elinewidth=1.6, capsize=4, zorder=4)
    show_levels(ax, [label_of(level) for level in levels])
    ax.set_xlabel(short(parameter, 40))
    name_axis(ax.yaxis, run, metric)
    entitle(ax, f"{short(metric, 30)}: a point for each prompt and setting; mean with 95 % interval")
    return ax


def _violin(ax: Axes, points: NDArray[np.float64], place: int) -> None:
    body = ax.violinplot([points], positions=[place], widths=0.8, showextrema=False)["bodies"]
    for one in body:  # type: ignore[attr-defined]
        one.set_facecolor(SERIES[5])
        one.set_alpha(0.25)
        one.set_edgecolor("none")


def survival(run: Run, parameter: str | None = None, *, ax: Axes | None = None) -> Axes:
    """The share of answers longer than each length if nothing cut them off (Kaplan-Meier), a curve a level, with 95 % bands over prompts.

    Of more than six levels, six spread evenly are drawn, and the legend says so.

    Args:
        parameter: whose levels are compared; the first swept one that sets no limit of tokens, where None.

    Raises:
        ExperimentError: the run has no such parameter.
    """
    parameter = parameter or next((name for name in (*swept(run), *run.analysis.parameters) if name not in LIMITS), None)
    known(run, (), [parameter] if parameter else ())
    ax = axes(ax)
    lengths, truncated, cells, prompts, unit = _lengths(run)
    levels = run.analysis.parameters[parameter] if parameter else [None]
    drawn = np.unique(np.linspace(0, len(levels) - 1, min(len(levels), _MOST_CURVES)).astype(int))
    for series, place in enumerate(drawn):
        level = levels[int(place)]
        inside = [index for index, cell in enumerate(run.analysis.cells) if parameter is None or same_level(cell[parameter], level)]
        here = np.isin(cells, inside)
        if not here.any():
            continue
        curve = kaplan_meier(lengths[here], truncated[here])
        at, low, high = band(lengths[here], truncated[here], prompts[here], np.random.default_rng([run.experiment.seed, 6, series]))
        name = f"{label_of(level) if parameter else 'all answers'} ({truncated[here].mean():.0%} cut off)"
        ax.step([0.0, *curve.lengths], [1.0, *curve.survival], where="post", color=SERIES[series], linewidth=1.5, label=name)
        ax.fill_between([0.0, *at], [1.0, *low], [1.0, *high], step="post", color=SERIES[series], alpha=0.15, linewidth=0)
    left = len(levels) - len(drawn)
    if not len(lengths):
        ax.text(0.5, 0.5, "no answers with a known length", ha="center", transform=ax.transAxes, color=ink(ax))
    legend(ax, (short(parameter) if parameter else "") + (f" ({left} more levels)" if left > 0 else ""))
    ax.set_ylim(0, 1.02)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"length ({unit})")
    ax.set_ylabel("share of answers longer than that")
    entitle(ax, "Natural length, as if nothing were cut off (Kaplan–Meier, 95 % bands)")
    return ax


def _lengths(run: Run) -> tuple[NDArray[np.float64], NDArray[np.bool], NDArray[Any], NDArray[Any], str]:
    """Length, whether cut off, cell and prompt of each answer of the sweep that has text, and the unit."""
    counted = all(one.unit == "length_tokens" for one in run.analysis.natural_length)
    needed = ("cell_index", "prompt_id", "completion_tokens", "ending", "finish_reason", "request")
    table = run.answered(needed if counted else (*needed, "text"))
    found: Any = table["completion_tokens"] if counted else table["text"].map(lambda text: sum(map(is_word, words(text))))
    places = {prompt.id: number for number, prompt in enumerate(run.experiment.prompts)}
    cells, prompts = table["cell_index"].to_numpy(dtype=np.int64), table["prompt_id"].map(places).to_numpy(dtype=np.int64)
    ended = [
        ending if isinstance(ending, str) else ending_by_count(reason if isinstance(reason, str) else None, tokens, limit_of(json.loads(request)))
        for ending, reason, tokens, request in zip(table["ending"], table["finish_reason"], table["completion_tokens"], table["request"], strict=True)
    ]
    known = np.isin(ended, ("cut", "whole"))
    table, found, cells, prompts = table[known], found[known], cells[known], prompts[known]
    truncated = np.array(ended, dtype=object)[known] == "cut"
    return found.to_numpy(dtype=float), truncated, cells, prompts, "tokens" if counted else "words"
