"""What a parameter does to a metric: curves, pairs of parameters, and maps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from evalkit.analysis.estimation import codes_of
from evalkit.errors import ExperimentError
from evalkit.present.plots.style import MARKERS, SERIES, axes, entitle, known, label_of, legend, muted, name_axis, short, subplots, swept
from evalkit.run import Run
from evalkit.stats.intervals import Interval
from evalkit.summary.quantities import factor, is_money, plain_size
from evalkit.text.numbers import three_digits

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEANS = "means, 95 % intervals over prompts"
_MOST_LABELS = 12
_MOST_SERIES = len(SERIES)
_MOST_TILES = 400


def main_effects(run: Run, metric: str, parameter: str, *, ax: Axes | None = None) -> Axes:
    """The mean of `metric` at each level of `parameter`, over prompts and all cells with that level, with its 95 % interval over prompts.

    Raises:
        ExperimentError: the run has no such metric or parameter.
    """
    known(run, [metric], [parameter])
    ax = axes(ax)
    rows = [row for row in run.analysis.by_level if row.metric == metric and row.parameter == parameter]
    at = np.arange(len(rows))
    means = np.array([row.mean for row in rows], dtype=float)
    ends = np.array([[row.ci_low, row.ci_high] for row in rows], dtype=float).reshape(-1, 2)
    _line(ax, at, means, ends, _joined([row.level for row in rows]), SERIES[0], MARKERS[0])
    show_levels(ax, [label_of(row.level) for row in rows])
    ax.set_xlabel(short(parameter, 40))
    name_axis(ax.yaxis, run, metric)
    entitle(ax, f"{short(metric, 30)} by {short(parameter, 30)}: {MEANS}")
    return ax


def all_main_effects(run: Run, metric: str, parameters: Sequence[str] = ()) -> Figure:
    """`main_effects` of every swept parameter, or of these `parameters`, beside each other, on one scale.

    Raises:
        ExperimentError: the run has no such metric or parameter.
    """
    names = list(parameters) or swept(run) or list(run.analysis.parameters)[:1]
    known(run, [metric], parameters)
    figure, found = subplots(1, max(1, len(names)), (max(2.6, 2.05 * len(names)), 2.7), sharey=True)
    for place, (ax, name) in enumerate(zip(found[0], names, strict=False)):
        main_effects(run, metric, name, ax=ax)
        ax.set_title("")
        if place:
            ax.set_ylabel("")
    # Over all axes and in lines that they have room for: as the title of the first one it would end at the edge.
    figure.suptitle(fill(f"{short(metric, 40)}: {MEANS}", max(30, 27 * len(names))), x=0.01, ha="left", fontsize="small")
    if not names:
        found[0][0].text(0.5, 0.5, "nothing is swept", ha="center", transform=found[0][0].transAxes)
    return figure


def interaction(run: Run, metric: str, x: str, by: str, *, ax: Axes | None = None) -> Axes:
    """The mean of `metric` over the levels of `x`, a line for each level of `by`, with 95 % intervals over prompts: parallel lines do not interact.

    Of more than six levels of `by`, six spread evenly are drawn, and the legend says so.

    Raises:
        ExperimentError: the run has no such metric or parameter, or both parameters are one.
    """
    known(run, [metric], [x, by])
    ax = axes(ax)
    table = two_ways(run, metric, x, by)
    levels, others = run.analysis.parameters[x], run.analysis.parameters[by]
    drawn = range(len(others)) if len(others) <= _MOST_SERIES else np.unique(np.linspace(0, len(others) - 1, _MOST_SERIES).astype(int))
    for series, other in enumerate(drawn):
        column = [table[place][int(other)] for place in range(len(levels))]
        at = np.arange(len(levels)) + (series - (len(drawn) - 1) / 2) * 0.06  # intervals beside each other
        ends = np.array([[one.low, one.high] for one in column], dtype=float)
        means = np.array([one.mean for one in column], dtype=float)
        _line(ax, at, means, ends, _joined(levels), SERIES[series], MARKERS[series], label_of(others[int(other)]))
    show_levels(ax, [label_of(level) for level in levels])
    left = len(others) - len(drawn)
    title = short(by) + (f" ({left} more levels)" if left > 0 else "")
    legend(ax, title, outside=True)
    ax.set_xlabel(short(x, 40))
    name_axis(ax.yaxis, run, metric)
    entitle(ax, f"{short(metric, 30)} by {short(x)} and {short(by)}:\n{MEANS}")  # the legend beside it leaves no room for one line
    return ax


def heatmap(run: Run, metric: str, x: str, y: str, *, ax: Axes | None = None) -> Axes:
    """The mean of `metric` at each pair of levels of `x` and `y`, over prompts and the cells with that pair, with half of its 95 % interval.

    Raises:
        ExperimentError: the run has no such metric or parameter, or both parameters are one.
    """
    known(run, [metric], [x, y])
    levels, others = run.analysis.parameters[x], run.analysis.parameters[y]
    ax = axes(ax, min(12.0, 2.2 + 0.9 * len(levels)), min(9.0, 1.6 + 0.55 * len(others)))
    table = two_ways(run, metric, x, y)
    means = np.array([[table[column][row].mean for column in range(len(levels))] for row in range(len(others))], dtype=float)
    masked = np.ma.masked_invalid(means)
    image = ax.imshow(masked, cmap="cividis", aspect="auto", origin="lower")
    show_levels(ax, [label_of(level) for level in levels])
    ax.set_yticks(*_some([label_of(level) for level in others]))
    ax.grid(False)
    if means.size <= _MOST_TILES:
        _tiles(ax, table, means, metric)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.9)
    name_axis(bar.ax.yaxis, run, metric)
    bar.outline.set_visible(False)
    ax.set_xlabel(short(x, 40))
    ax.set_ylabel(short(y, 40))
    entitle(ax, f"{short(metric, 40)}: mean over prompts ± half of the 95 % interval")
    return ax


def _tiles(ax: Axes, table: list[list[Interval]], means: np.ndarray[Any, np.dtype[np.float64]], metric: str) -> None:
    scale, said = factor(metric), plain_size if is_money(metric) else three_digits
    low, high = (np.nanmin(means), np.nanmax(means)) if not np.isnan(means).all() else (0.0, 1.0)
    for row, column in np.ndindex(*means.shape):
        one = table[column][row]
        if np.isnan(one.mean):
            ax.text(column, row, "–", ha="center", va="center", color=muted(ax))
            continue
        reach = "" if np.isnan(one.high) else f"\n±{said((one.high - one.low) / 2 * scale)}"
        bright = high > low and (one.mean - low) / (high - low) > 0.55
        ax.text(column, row, f"{said(one.mean * scale)}{reach}", ha="center", va="center", color="#111111" if bright else "#f4f4f4", fontsize="small")


def two_ways(run: Run, metric: str, x: str, y: str) -> list[list[Interval]]:
    """For each level of `x` and each of `y` the interval over prompts of the mean over the cells with both.

    Raises:
        ExperimentError: both parameters are one.
    """
    if x == y:
        raise ExperimentError(f"found {x!r} twice; expected two parameters")
    levels, others = run.analysis.parameters[x], run.analysis.parameters[y]
    places: dict[tuple[int, int], list[int]] = {}
    for index, (one, other) in enumerate(codes_of(run.analysis.cells, {x: levels, y: others}).tolist()):
        places.setdefault((one, other), []).append(index)
    grid = run.shared_grid(metric)
    out = []
    for one in range(len(levels)):
        row = []
        for other in range(len(others)):
            here = places.get((one, other))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # a prompt without any value has a NaN mean, as it should
                row.append(run.interval(metric, np.nanmean(grid[here], axis=0) if here else np.array([])))
        out.append(row)
    return out


def _joined(levels: Sequence[Any]) -> np.ndarray[Any, np.dtype[np.bool]]:
    """The levels that a line may join: numbers. What a server takes by default lies between no two of them, and names have no order."""
    return np.array([isinstance(level, int | float) and not isinstance(level, bool) for level in levels], dtype=bool)


def _line(
    ax: Axes,
    at: np.ndarray[Any, np.dtype[Any]],
    means: np.ndarray[Any, np.dtype[np.float64]],
    ends: np.ndarray[Any, np.dtype[np.float64]],
    joined: np.ndarray[Any, np.dtype[np.bool]],
    colour: str,
    marker: str,
    label: str | None = None,
) -> None:
    """Means, each with its interval, the `joined` ones on a line."""
    there = ~np.isnan(means)
    ax.plot(at[there], means[there], color=colour, linestyle="none", marker=marker, markersize=5, label=label)
    ax.plot(at[there & joined], means[there & joined], color=colour, linewidth=1.4)
    wide = there & ~np.isnan(ends).any(axis=1)
    if wide.any():
        reach = np.abs(ends[wide].T - means[wide])
        ax.errorbar(at[wide], means[wide], yerr=reach, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)


def show_levels(ax: Axes, labels: Sequence[str]) -> None:
    """Levels below the axis, evenly spaced, long ones turned."""
    ax.set_xticks(*_some(labels))
    ax.set_xlim(-0.5, max(0.5, len(labels) - 0.5))
    if sum(map(len, labels[:_MOST_LABELS])) > 5 * _MOST_LABELS or any(len(label) > 8 for label in labels):
        ax.tick_params("x", rotation=30)
        for tick in ax.get_xticklabels():
            tick.set_horizontalalignment("right")


def _some(labels: Sequence[str]) -> tuple[list[int], list[str]]:
    """Places and labels of at most a dozen levels, spread evenly."""
    places = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), _MOST_LABELS)).round().astype(int)) if labels else np.array([], dtype=int)
    return places.tolist(), [labels[place] for place in places]
