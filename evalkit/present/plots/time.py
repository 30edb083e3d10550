"""How long answers take, and whether the endpoint changed while it was asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import ExperimentError
from evalkit.experiment.parameters import level_text
from evalkit.present.plots.style import MARKERS, SERIES, axes, entitle, ink, known, label_of, legend, muted, short, swept
from evalkit.run import Run
from evalkit.scoring.tables import parameter_columns

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes

_MOST_POINTS = 3_000
_BINS = 8
_FEWEST = 5
"""Answers of a bin below which it has no median worth a mark."""
_WINDOWS = 24
_LONG_S = 300.0
"""A run from which on its time is told in minutes."""


def latency(run: Run, parameter: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Seconds of each answer over its tokens, with medians of eight bins and their quartiles, a colour a level of `parameter`.

    Of more than six levels, six spread evenly have medians. Where the endpoint counts no tokens, characters stand for them.

    Args:
        parameter: the first swept one where None.

    Raises:
        ExperimentError: the run has no such parameter.
    """
    parameter = parameter or next(iter((*swept(run), *run.analysis.parameters)), None)
    known(run, (), [parameter] if parameter else ())
    ax = axes(ax, 5.6, 3.6)
    table = _answered(run)
    counted = table["completion_tokens"].notna().all() and len(table) > 0
    sizes = (table["completion_tokens"] if counted else table["text"].str.len()).to_numpy(dtype=float)
    seconds = table["latency_s"].to_numpy(dtype=float)
    shown = np.linspace(0, len(table) - 1, min(len(table), _MOST_POINTS)).astype(int)
    ax.plot(sizes[shown], seconds[shown], ".", color=muted(ax), alpha=0.25, markersize=3, markeredgewidth=0, zorder=1)
    levels = run.analysis.parameters[parameter] if parameter else [None]
    column = None if parameter is None else table[parameter_columns(run.analysis.parameters)[parameter]].astype(object)
    for series, place in enumerate(np.unique(np.linspace(0, len(levels) - 1, min(len(levels), len(SERIES))).astype(int))):
        level = levels[int(place)]
        here = np.ones(len(table), dtype=bool) if column is None else np.array([_is(one, level) for one in column])
        _medians(ax, sizes[here], seconds[here], series, "all answers" if parameter is None else label_of(level))
    ax.set_xlabel("length (tokens)" if counted else "length (characters)")
    ax.set_ylabel("latency (seconds)")
    entitle(ax, "Latency by length: medians and quartiles of answers")
    ax.set_ylim(bottom=0)
    legend(ax, parameter or "", outside=True)
    return ax


def _medians(ax: Axes, sizes: NDArray[np.float64], seconds: NDArray[np.float64], series: int, label: str) -> None:
    if len(sizes) < _FEWEST:
        return
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, _BINS + 1)))
    bins = np.clip(np.searchsorted(edges, sizes, side="right") - 1, 0, max(0, len(edges) - 2))
    rows = []
    for one in np.unique(bins):
        inside = seconds[bins == one]
        if len(inside) >= _FEWEST:
            rows.append((float(np.median(sizes[bins == one])), *np.quantile(inside, [0.5, 0.25, 0.75])))
    found = np.array(rows).reshape(-1, 4)
    reach = np.abs(found[:, 2:].T - found[:, 1])
    ax.errorbar(
        found[:, 0], found[:, 1], yerr=reach, color=SERIES[series], marker=MARKERS[series], markersize=4, linewidth=1.3, capsize=2, label=label
    )


def drift(run: Run, number: str = "latency_s", *, ax: Axes | None = None) -> Axes:
    """A number of the answers over the run's time: medians of 24 windows with their quartiles, the anchors, and when requests failed.

    The anchors are one request repeated, so only the endpoint moves them; the order of all others is mixed, so a window is a fair sample.

    Args:
        number: ``latency_s``, ``completion_tokens`` or another numeric column of `Run.responses`.

    Raises:
        ExperimentError: there is no such number.
    """
    ax = axes(ax, 6.4, 3.2)
    table = run.responses()
    if number not in table.columns or table[number].dtype.kind not in "fiu":
        numeric = ", ".join(name for name in table.columns if table[name].dtype.kind in "fiu")
        raise ExperimentError(f"{run.folder}: no number {number!r} of answers; expected one of {numeric}")
    began = table["at"].min()
    elapsed = (table["at"] - began).dt.total_seconds().to_numpy(dtype=float)
    long = bool(len(elapsed)) and elapsed.max() > _LONG_S
    times = elapsed / 60 if long else elapsed
    values = table[number].to_numpy(dtype=float, na_value=np.nan)
    sweep = ((table["role"] == "sweep") & (table["outcome"] == "completion")).to_numpy() & ~np.isnan(values)
    _windows(ax, times[sweep], values[sweep])
    anchors = ((table["role"] == "anchor") & (table["outcome"] == "completion")).to_numpy() & ~np.isnan(values)
    if anchors.any():
        ax.plot(times[anchors], values[anchors], "D", color=SERIES[1], markersize=4, label="anchors: one request, repeated", zorder=3)
    failed = (table["outcome"] == "failure").to_numpy()
    if failed.any():
        bottom = ax.get_ylim()[0]
        ax.plot(times[failed], np.full(failed.sum(), bottom), "|", color=ink(ax), markersize=9, label="failures", clip_on=False)
    ax.set_xlabel(f"{'minutes' if long else 'seconds'} since the first answer")
    unit = {"latency_s": " (seconds)", "completion_tokens": " (tokens)", "prompt_tokens": " (tokens)"}.get(number, "")
    ax.set_ylabel(f"{short(number, 40)}{unit}")
    entitle(ax, "Over the run’s time: medians and quartiles of all settings, mixed")
    legend(ax)
    return ax


def _windows(ax: Axes, times: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    if not len(times):
        ax.text(0.5, 0.5, "no answers with this number", ha="center", transform=ax.transAxes, color=ink(ax))
        return
    order = np.argsort(times, kind="stable")
    parts = [part for part in np.array_split(order, min(_WINDOWS, max(1, len(order) // _FEWEST))) if len(part)]
    at = [float(np.median(times[part])) for part in parts]
    low, middle, high = np.array([np.quantile(values[part], [0.25, 0.5, 0.75]) for part in parts]).T
    ax.fill_between(at, low, high, color=SERIES[0], alpha=0.18, linewidth=0, label="quartiles")
    ax.plot(at, middle, color=SERIES[0], marker="o", markersize=3, linewidth=1.3, label="median of a window")


def _answered(run: Run) -> pandas.DataFrame:
    table = run.responses()
    kept: pandas.DataFrame = table[table["planned"].astype(bool) & (table["outcome"] == "completion")].drop_duplicates("key")
    return kept


def _is(one: Any, level: Any) -> bool:
    """Whether a table's field stands for a level: there it is a number where all levels of the parameter are, else a text."""
    return one == level or (isinstance(one, str) and one == level_text(level))
