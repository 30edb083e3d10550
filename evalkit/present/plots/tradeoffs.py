"""What one metric costs in another: the settings between them, and those that no other beats."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.analysis import CellMean
from evalkit.errors import ExperimentError
from evalkit.experiment.parameters import same_level
from evalkit.present.plots.style import BETTER, SERIES, axes, entitle, ink, known, label_of, legend, muted, name_axis, short, swept
from evalkit.present.shortlists import PARALLEL, TRADE_OFF
from evalkit.run import Run
from evalkit.stats import desirability
from evalkit.summary.deciding import deciding, preferred, wanted
from evalkit.summary.quantities import factor, is_money

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ITS_INTERVAL = "its 95 % interval"

Floats = NDArray[np.float64]

_MOST_CROSSES = 60
"""Cells whose intervals are all drawn; of more, those of the front and the choice alone."""


def pareto(run: Run, x: str | None = None, y: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Each cell by two metrics, with 95 % intervals, and the cells that no other beats in both joined by a line.

    Args:
        x, y: metrics with a better direction; where None, those that ``choose:`` names, what it weighs most first, else variety and truncation.

    Raises:
        ExperimentError: the run has no such metric, or a metric has no better direction.
    """
    x, y = _two(run, x, y)
    known(run, [x, y])
    ax = axes(ax, 6.4, 4.2)
    by = {(row.cell_index, row.metric): row for row in run.analysis.by_cell}
    points = [(index, by[index, x], by[index, y]) for index in range(len(run.analysis.cells))]
    points = [one for one in points if not np.isnan([one[1].mean, one[2].mean]).any()]
    chosen = run.choice.chosen if run.choice is not None else None
    satisfying = set(range(len(run.analysis.cells)) if run.choice is None else run.choice.satisfying)
    front = _front(run, x, y, [one for one in points if one[0] in satisfying])
    _scatter(ax, points, satisfying, {*front, chosen, run.analysis.reference})
    drawn = sorted((by[index, x].mean, by[index, y].mean) for index in front)
    ax.plot(
        [a for a, _ in drawn], [b for _, b in drawn], color=SERIES[0], linewidth=1.2, linestyle="--", label="no other beats these in both", zorder=2
    )
    if len(satisfying) < len(run.analysis.cells):
        ax.plot([], [], "o", color=muted(ax), markerfacecolor="none", markersize=4, label="misses a constraint")
    base = run.analysis.reference
    _mark(ax, by.get((base, x)), by.get((base, y)), "D", ink(ax), _called(run, "the reference", base))
    if chosen is not None:
        _mark(ax, by.get((chosen, x)), by.get((chosen, y)), "*", SERIES[1], _called(run, "recommended", chosen))
    ax.grid(True, axis="both")
    name_axis(ax.xaxis, run, x)
    name_axis(ax.yaxis, run, y)
    entitle(ax, f"{short(y, 30)} against {short(x, 30)}, a point a setting (95 % intervals)")
    legend(ax, below=0.16, columns=2)
    return ax


def _scatter(ax: Axes, points: Sequence[tuple[int, CellMean, CellMean]], satisfying: Collection[int], special: Collection[int | None]) -> None:
    """A point a cell, hollow where it misses a constraint; the intervals of all where they are few, else of the `special` ones."""
    for index, one, other in points:
        inside, marked = index in satisfying, index in special
        colour = SERIES[0] if inside else muted(ax)
        if marked or len(points) <= _MOST_CROSSES:
            _cross(ax, one, other, colour, 0.9 if marked else 0.35)
        ax.plot(one.mean, other.mean, "o", color=colour, markerfacecolor=colour if inside else "none", markersize=5 if marked else 4, zorder=3)


def _two(run: Run, x: str | None, y: str | None) -> tuple[str, str]:
    """The metrics asked for; else the one that matters most, and of the others that the choice names the one most at odds with it.

    Of those it names what it prefers goes before what it bounds, and all of them before the usual ones.
    """
    goals = _goals(run)
    _check_direction(run, goals, x, y)
    usual = [*deciding(run.choice), *TRADE_OFF]
    means = {name: np.array([row.mean for row in run.analysis.by_cell if row.metric == name]) * sign for name, sign in goals.items()}
    free = [name for name in dict.fromkeys([*usual, *goals]) if name in goals and name not in (x, y)]
    varied = [name for name in free if _varies(means[name])] or free
    y = y or varied.pop(0)
    if x is not None:
        return x, y
    rest = [name for name in varied if name != y]
    pools = (preferred(run.choice), deciding(run.choice), usual)
    others = next((found for pool in pools if (found := [name for name in rest if name in pool])), rest) or list(goals)
    return min(others, key=lambda name: _agreement(means[name], means[y])), y


def _check_direction(run: Run, goals: Collection[str], *metrics: str | None) -> None:
    for given in metrics:
        if given is not None and given not in goals:
            known(run, [given])
            raise ExperimentError(f"{given}: neither higher nor lower is better, so it has no front; give another metric")


def _varies(means: Floats) -> bool:
    return len(np.unique(means[~np.isnan(means)])) > 1


def _agreement(one: Floats, other: Floats) -> float:
    """How far two metrics, higher taken as better, go together over cells: their correlation; 1 where it is unknown."""
    both = ~np.isnan(one) & ~np.isnan(other)
    if np.count_nonzero(both) < 3 or np.ptp(one[both]) == 0 or np.ptp(other[both]) == 0:
        return 1.0
    return float(np.corrcoef(one[both], other[both])[0, 1])


def _goals(run: Run) -> dict[str, int]:
    """1 where more of a metric is wanted, -1 where less; metrics without a direction are left out."""
    out = {one.name: 1 if one.better == "higher" else -1 for one in run.analysis.metrics if one.better}
    wanted = {one.metric: 1 if one.goal == "maximize" else -1 for one in run.choice.weights if one.goal != "target"} if run.choice else {}
    return out | wanted


def _front(run: Run, x: str, y: str, there: list[tuple[int, CellMean, CellMean]]) -> list[int]:
    if not there:
        return []
    signs = np.array([_goals(run)[name] for name in (x, y)])
    values = np.array([[one.mean, other.mean] for _, one, other in there]) * signs
    return [index for (index, _, _), on in zip(there, desirability.pareto(values), strict=True) if on]


def _cross(ax: Axes, x: CellMean, y: CellMean, colour: str, alpha: float) -> None:
    if not np.isnan([x.ci_low, x.ci_high]).any():
        ax.plot([x.ci_low, x.ci_high], [y.mean, y.mean], color=colour, linewidth=0.9, alpha=alpha, zorder=1)
    if not np.isnan([y.ci_low, y.ci_high]).any():
        ax.plot([x.mean, x.mean], [y.ci_low, y.ci_high], color=colour, linewidth=0.9, alpha=alpha, zorder=1)


def _called(run: Run, role: str, cell: int) -> str:
    """What a cell is, and its name if it has one."""
    name = run.analysis.name_of(cell)
    return role if name is None else f"{role}: {short(name)}"


def _mark(ax: Axes, x: CellMean | None, y: CellMean | None, marker: str, colour: str, label: str) -> None:
    if x is not None and y is not None and not np.isnan([x.mean, y.mean]).any():
        size = 15 if marker == "*" else 8
        ax.plot(x.mean, y.mean, marker, color=colour, markersize=size, markerfacecolor=colour if marker == "*" else "none", label=label, zorder=4)


def parallel(run: Run, metrics: Sequence[str] = (), *, ax: Axes | None = None) -> Axes:
    """A line a setting over parallel axes: the swept parameters, then metrics with their 95 % intervals for the recommended setting.

    Args:
        metrics: those to show; where none, what the choice rests on, else distinct_2, truncation_rate and length_words.

    Raises:
        ExperimentError: the run has no such metric.
    """
    known(run, metrics)
    columns = [*swept(run), *(metrics or _usual_axes(run))]
    ax = axes(ax, max(4.0, 1.35 * len(columns)), 3.8)
    lines = np.full((len(run.analysis.cells), len(columns)), np.nan)
    chosen = run.choice.chosen if run.choice is not None else None
    best = run.analysis.reference if chosen is None else chosen
    for place, name in enumerate(columns):
        if name in run.analysis.parameters:
            _levels_on(ax, run, name, place, lines)
        else:
            _means_on(ax, run, name, place, lines, best)
    label = _called(run, "the reference" if chosen is None else "recommended", best)
    _draw_lines(ax, lines, best, set(run.choice.tied) if run.choice else set(), label)
    for place in range(len(columns)):
        ax.axvline(place, color=muted(ax), linewidth=0.8, zorder=0)
    ax.set_xticks(range(len(columns)), [_named(run, name) for name in columns], rotation=20, ha="right")
    ax.set_xlim(-0.3, len(columns) - 0.4)
    ax.set_ylim(-0.15, 1.15)  # also where all lines lie at one height, whose numbers would else stand outside
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.grid(False)
    entitle(ax, "A line a setting; each axis from its lowest to its highest")
    legend(ax, below=0.28, columns=2)
    return ax


def _usual_axes(run: Run) -> list[str]:
    """The metrics of parallel axes where none are asked for."""
    measured = [one.name for one in run.analysis.metrics]
    return [name for name in deciding(run.choice) or PARALLEL if name in measured] or measured[:3]


def _draw_lines(ax: Axes, lines: Floats, best: int, tied: Collection[int], label: str) -> None:
    """A line a cell, that of the `best` last and thick, with its `label`."""
    for index, line in enumerate(lines):
        if index != best:
            colour, width = (SERIES[2], 1.1) if index in tied else (muted(ax), 0.7)
            ax.plot(line, color=colour, linewidth=width, alpha=0.8 if index in tied else 0.35)
    ax.plot(lines[best], color=SERIES[1], linewidth=2.4, label=label)
    if any(index != best for index in tied):
        ax.plot([], [], color=SERIES[2], linewidth=1.1, label="cannot be told from the best")


def _backed(ax: Axes) -> dict[str, Any]:
    """What keeps a number readable over lines."""
    return {"facecolor": ax.figure.get_facecolor(), "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


def _named(run: Run, column: str) -> str:
    better = None if column in run.analysis.parameters else wanted(column, run.choice, run.analysis.metrics)
    named = "cost of\n1,000 answers" if is_money(column) else short(column, 18)
    return named + BETTER[better].replace(" (", "\n(")


def _levels_on(ax: Axes, run: Run, name: str, place: int, lines: Floats) -> None:
    levels = run.analysis.parameters[name]
    span = max(1, len(levels) - 1)
    for index, cell in enumerate(run.analysis.cells):
        found = [at for at, level in enumerate(levels) if same_level(cell[name], level)]
        lines[index, place] = found[0] / span if found else np.nan
    for at in np.unique(np.linspace(0, len(levels) - 1, min(len(levels), 8)).astype(int)):
        ax.text(place + 0.04, at / span, label_of(levels[int(at)]), fontsize="x-small", va="center", color=ink(ax), bbox=_backed(ax))


def _means_on(ax: Axes, run: Run, name: str, place: int, lines: Floats, best: int) -> None:
    rows = [row for row in run.analysis.by_cell if row.metric == name]
    means = np.array([row.mean for row in rows])
    if np.isnan(means).all():
        return
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    span = (high - low) or 1.0
    lines[:, place] = (means - low) / span
    for at, value in ((0.0, low), (1.0, high)) if high > low else ((0.0, low),):
        ax.text(place + 0.04, at, f"{value * factor(name):.3g}", fontsize="x-small", va="center", color=ink(ax), bbox=_backed(ax))
    one = rows[best]
    if not np.isnan([one.ci_low, one.ci_high]).any():
        ends = [max(-0.1, (one.ci_low - low) / span), min(1.1, (one.ci_high - low) / span)]
        label = None if ITS_INTERVAL in ax.get_legend_handles_labels()[1] else ITS_INTERVAL
        ax.plot([place, place], ends, color=SERIES[1], linewidth=4, alpha=0.5, solid_capstyle="butt", label=label)
