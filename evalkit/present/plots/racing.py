"""A race as a picture: how far each setting came, and how it left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from evalkit.analysis.raced import Left
from evalkit.present.plots.style import SERIES, axes, entitle, ink, legend, muted, short
from evalkit.run import Run
from evalkit.summary.racing import race_of
from evalkit.summary.summing import setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 30
_HOW: Mapping[Left, tuple[str, str]] = {
    "bound": ("excluded by a bound", SERIES[1]),
    "worse": ("shown worse", SERIES[4]),
    "aside": ("set aside, not shown worse", SERIES[5]),
}


def race(run: Run, *, ax: Axes | None = None) -> Axes:
    """A bar a setting, as long as the prompts that it was asked, by how it left; who came furthest is on top, looks are lines.

    Of a full grid all bars are of one length.
    """
    analysis, raced = run.analysis, race_of(run.analysis)
    prompts = analysis.counts.prompts
    gone = {one.cell_index: one for one in raced.left} if raced is not None else {}
    worth = run.choice.desirability if run.choice is not None else [None] * len(analysis.cells)
    order = sorted(range(len(analysis.cells)), key=lambda cell: (cell in gone, -gone[cell].prompts if cell in gone else 0, -(worth[cell] or 0.0)))
    height = max(2.6, min(7.0, 1.4 + (0.2 if len(order) <= _MOST_NAMED else 0.1) * len(order)))
    ax = axes(ax, 6.4, height)
    told: set[str] = set()
    for place, cell in enumerate(order):
        label, colour = _HOW[gone[cell].why] if cell in gone else ("finished", SERIES[0])
        length = gone[cell].prompts if cell in gone else prompts
        ax.barh(place, length, height=0.72, color=colour, label=None if label in told else label, zorder=2)
        told.add(label)
        if cell == analysis.reference and cell in gone:  # it left, and is asked everything all the same
            ax.barh(
                place, prompts - length, left=length, height=0.72, facecolor="none", edgecolor=colour, linestyle=":", label="the reference", zorder=2
            )
    for one in raced.looks[:-1] if raced is not None else ():
        ax.axvline(one.prompts, color=muted(ax), linewidth=0.8, linestyle="--", zorder=1)
    named = len(order) <= _MOST_NAMED
    names = {place: short(setting(analysis, cell).in_words, 46) for place, cell in enumerate(order) if named}
    if not named and run.choice is not None and run.choice.chosen is not None:
        names = {order.index(run.choice.chosen): "recommended"}
    ax.set_yticks(list(names), list(names.values()), fontsize="x-small", color=ink(ax))
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlim(0, prompts)
    ax.grid(visible=False)
    ax.set_xlabel("prompts that a setting was asked")
    ax.set_ylabel("" if named else f"{len(order)} settings")
    entitle(ax, "Who was asked what" if raced is None else f"Who left when, and how: {raced.asked:,} of {raced.grid:,} requests")
    legend(ax, below=0.6 / height, columns=2)
    return ax
