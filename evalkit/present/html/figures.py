"""Which figures a report shows of a run, and what each says to who cannot see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from evalkit.analysis.raced import in_words
from evalkit.present import plots
from evalkit.present.html.svg import drawn
from evalkit.present.plots.style import label_of, swept
from evalkit.present.shortlists import CURVES
from evalkit.run import Run
from evalkit.stats.conventions import ALPHA
from evalkit.summary.deciding import told_first
from evalkit.summary.quantities import factor, headed
from evalkit.summary.racing import race_of
from evalkit.summary.rows import currency_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as FigureOf

_MOST_METRICS = 6
_MOST_CURVES = 2
_MOST_PAIRS = 1
_MOST_BESIDE = 2
"""Axes of a figure that may shrink with a narrow page; of more it is scrolled."""


class Figure(NamedTuple):
    """A figure as SVG, with its caption, and whether it is too wide to be made small."""

    svg: str
    caption: str
    wide: bool = False


def metrics_that_matter(run: Run, most: int = _MOST_METRICS) -> list[str]:
    """The metrics that the choice rests on, the heaviest first, the cost where it is known, then those that parameters explain most of."""
    own = told_first(run.choice, run.analysis)
    explained = sorted(run.analysis.verdicts, key=lambda one: -(one.share or 0.0) if one.verdict == "effect" else 1.0)
    there = {row.metric for row in run.analysis.by_cell if row.mean == row.mean}
    named = dict.fromkeys([*own, *(one.metric for one in explained if one.verdict == "effect"), *CURVES])
    return [name for name in named if name in there][:most]


def curves(run: Run) -> list[Figure]:
    """Main effects on the metrics that matter, a figure a metric, of the parameters that move it; the maps show all others."""
    out: list[Figure] = []
    for metric in metrics_that_matter(run, len(run.analysis.metrics)):
        moving = [one.parameter for one in run.analysis.verdicts if one.metric == metric and one.sure]
        if not moving or len(out) == _MOST_CURVES:
            continue
        named = headed(metric, currency_of(run))
        said = f"{named} by level of each parameter that moves it: means over prompts and settings, 95 % intervals. {_in_words(run, metric, moving)}"
        out.append(Figure(drawn(f"effects-{metric}", said, partial(plots.all_main_effects, run, metric, moving)), said, len(moving) > _MOST_BESIDE))
    return out


def _in_words(run: Run, metric: str, parameters: Sequence[str]) -> str:
    rows = [row for row in run.analysis.by_level if row.metric == metric and row.parameter in parameters]
    parts = [
        f"{name}: " + ", ".join(f"{row.mean * factor(metric):.3g} at {label_of(row.level)}" for row in rows if row.parameter == name)
        for name in dict.fromkeys(row.parameter for row in rows)
    ]
    return "; ".join(parts) + "." if parts else ""


def pairs(run: Run) -> list[Figure]:
    """The interactions beyond doubt of the metrics that matter, the most certain first."""
    mattering = metrics_that_matter(run)
    sure = [one for one in run.analysis.interactions if one.metric in mattering and one.p_adjusted is not None and one.p_adjusted <= ALPHA]
    sure.sort(key=lambda one: (mattering.index(one.metric), one.p_adjusted))
    first = {one.metric: one for one in reversed(sure)}
    out = []
    for one in [first[name] for name in mattering if name in first][:_MOST_PAIRS]:
        x, by = sorted(one.parameters, key=lambda name: -len(run.analysis.parameters[name]))
        said = f"{one.metric}: what {x} does depends on {by} (adjusted p {one.p_adjusted:.2g}); lines that are not parallel show it."
        out.append(Figure(drawn(f"pair-{one.metric}", said, partial(plots.interaction, run, one.metric, x, by)), said))
    return out


def tradeoff(run: Run) -> Figure | None:
    """The Pareto picture; None where there are no two metrics or cells to set against each other."""
    if len(run.analysis.cells) < 2 or len(run.analysis.metrics) < 2:
        return None
    said = "Each point a setting; the arrows at the names tell which way is better. On the dashed line, no other setting is better in both."
    return Figure(drawn("pareto", said, lambda: plots.pareto(run)), said)


def natural_length(run: Run) -> Figure | None:
    """Kaplan-Meier curves; None where no answer was cut off."""
    if not any(one.n_truncated for one in run.analysis.natural_length):
        return None
    said = "How long answers would be if max_tokens cut none of them off, estimated from those that ended by themselves."
    return Figure(drawn("survival", said, lambda: plots.survival(run)), said)


def race(run: Run) -> Figure | None:
    """Who left a race when, and how; None of a full grid."""
    raced = race_of(run.analysis)
    if raced is None:
        return None
    said = f"{in_words(raced)}. A bar a setting, as long as the prompts that it was asked; dashed: looks. Set aside is not shown worse."
    return Figure(drawn("race", said, lambda: plots.race(run)), said)


def pictures(run: Run) -> dict[str, Callable[[], Axes | FigureOf]]:
    """Name and drawing of the figures that stand beside a merge request: the trade-off, and the effects of the metrics that matter most."""
    out: dict[str, Callable[[], Axes | FigureOf]] = {}
    if race_of(run.analysis) is not None:
        out["race"] = partial(plots.race, run)
    if len(run.analysis.cells) > 1 and len(run.analysis.metrics) > 1:
        out["trade-off"] = partial(plots.pareto, run)
    if swept(run):
        out |= {f"effects-{metric}": partial(plots.all_main_effects, run, metric) for metric in metrics_that_matter(run, 3)}
    return out
