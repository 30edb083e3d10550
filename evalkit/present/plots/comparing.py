"""Two runs against each other: how far each metric moved, in units of what matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evalkit.comparison.comparison import Comparison
from evalkit.comparison.verdict import Comparative, Compared
from evalkit.present.plots.style import BETTER, SERIES, axes, entitle, ink, legend, muted, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS: dict[Comparative, tuple[str, str, str]] = {
    "worse": (SERIES[1], "v", "worse"),
    "differs": (SERIES[4], "D", "differs; which way is better depends on the purpose"),
    "better": (SERIES[2], "^", "better"),
    "inconclusive": ("", "o", "unclear"),
    "equivalent": (SERIES[0], "s", "same: within the margin"),
}
"""Colour (none: that of what stands back), marker and words of each verdict, in the order they matter."""

_FARTHEST = 12.0
"""Margins to each side of 0 beyond which an arrow stands for the rest."""


def compare(comparison: Comparison, *, ax: Axes | None = None) -> Axes:
    """Each metric's difference, candidate minus baseline, in units of its margin, with its 95 % interval: a forest plot.

    The band is what is too small to matter. Colour and marker say the verdict, the arrow at a name which way is better. Metrics that the
    gate does not judge stand below the line, in brackets. What lies beyond twelve margins is drawn at the edge, with its number.
    """
    rows = [one for one in comparison.metrics if one.margin > 0 and not np.isnan(one.difference)]
    order = list(LOOKS)
    rows.sort(key=lambda one: (not one.gated, order.index(one.verdict), -abs(one.difference / one.margin)))
    ax = axes(ax, 8.0, max(2.4, 1.5 + 0.27 * len(rows)))
    farthest = max((abs(value / one.margin) for one in rows for value in (one.difference, one.ci_low, one.ci_high) if not np.isnan(value)), default=1)
    edge = min(_FARTHEST, max(2.0, 1.08 * farthest))
    ax.axvspan(-1, 1, color=muted(ax), alpha=0.16, linewidth=0, label="margin: too small to matter")
    ax.axvline(0, color=muted(ax), linewidth=0.8)
    for place, one in enumerate(rows):
        _row(ax, one, place, edge)
    for verdict, (colour, marker, words) in LOOKS.items():
        if any(one.verdict == verdict for one in rows):
            ax.plot([], [], marker, color=colour or muted(ax), label=words)
    judged = sum(one.gated for one in rows)
    if 0 < judged < len(rows):
        ax.axhline(judged - 0.5, color=muted(ax), linewidth=0.8, linestyle=":")
    if not rows:
        ax.text(0.5, 0.5, "no metric has a difference and a margin", ha="center", transform=ax.transAxes, color=ink(ax))
    ax.set_yticks(range(len(rows)), [_name(one) for one in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(-edge, edge)
    ax.grid(False, axis="y")
    ax.grid(True, axis="x")
    ax.set_xlabel("candidate − baseline, in margins; 95 % intervals\n← lower in the candidate     higher in the candidate →")
    entitle(ax, f"{short(comparison.candidate.name, 30)} against {short(comparison.baseline.name, 30)}, over {len(comparison.prompts)} prompts")
    legend(ax, outside=True)
    return ax


def _row(ax: Axes, one: Compared, place: int, edge: float) -> None:
    colour, marker, _ = LOOKS[one.verdict]
    colour = colour or muted(ax)
    middle, low, high = (value / one.margin for value in (one.difference, one.ci_low, one.ci_high))
    alpha = 1.0 if one.gated else 0.6
    if not np.isnan([low, high]).any() and high >= -edge and low <= edge:
        ax.plot(np.clip([low, high], -edge, edge), [place, place], color=colour, linewidth=1.6, alpha=alpha, solid_capstyle="butt", zorder=3)
    if abs(middle) <= edge:
        ax.plot([middle], [place], marker, color=colour, markersize=6, alpha=alpha, zorder=4)
        return
    side = np.sign(middle)
    ax.plot([side * edge * 0.985], [place], ">" if side > 0 else "<", color=colour, markersize=7, alpha=alpha, zorder=4)
    ax.text(side * edge * 0.95, place, f"{middle:+.0f}", ha="right" if side > 0 else "left", va="center", fontsize="small", color=ink(ax))


def _name(one: Compared) -> str:
    name = f"{short(one.metric, 28)}{BETTER[one.better]}"
    return name if one.gated else f"({name})"
