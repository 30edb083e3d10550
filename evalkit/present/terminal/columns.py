"""What stands in the columns of a table: signs, figures with their intervals, the best and the worst of a metric, and levels."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.text import Text

from evalkit.analysis.analysis import Analysis, CellMean, LevelMean, MetricInfo
from evalkit.experiment.parameters import level_key, level_text
from evalkit.present.terminal.fitting import cut
from evalkit.present.terminal.signs import all_signs
from evalkit.summary.deciding import Way
from evalkit.summary.quantities import digits_among, factor
from evalkit.text.escaping import harmless

MOST_CELLS = 64
"""Cells that a table shows where nobody says which."""
ROOMY = 60
"""Columns of the console from which names and levels need not be squeezed."""
_MOST_TIED = 5  # where not all cells are shown


class Signs(NamedTuple):
    """The signs of the tables, in what the terminal can show."""

    best: str
    worst: str
    left_out: str
    void: str
    give_or_take: str
    chosen: str
    tied: str


def signs(console: Console) -> Signs:
    """Signs that `console` can encode."""
    return Signs("▲", "▼", "—", "·", "±", "★", "≈") if all_signs(console) else Signs("*", "!", "_", ".", "+-", ">", "~")


class Columns(NamedTuple):
    """What the columns of metrics hold: which they are, the digits behind the point of each, and whose intervals are shown."""

    metrics: Sequence[str]
    behind: Mapping[str, int]
    sure: Collection[str] = ()


def behind_of(analysis: Analysis) -> dict[str, int]:
    """Digits behind the point of each metric, alike in all its rows."""
    means: dict[str, list[float]] = {}
    for row in analysis.by_cell:
        means.setdefault(row.metric, []).append(row.mean)
    return {metric.name: digits_among(metric.name, means.get(metric.name, [])) for metric in analysis.metrics}


def extremes(metric: MetricInfo, better: Way | None, rows: Sequence[CellMean]) -> dict[int, bool]:
    """Cell index: True where it is the best of the metric, False where the worst; none where nothing stands out."""
    known = [row for row in rows if not math.isnan(row.mean)]
    if better is None or len(known) < 2:
        return {}
    values = [row.mean for row in known]
    behind = digits_among(metric.name, values)
    high, low = _figure(max(values), metric.name, behind), _figure(min(values), metric.name, behind)
    if high == low:
        return {}
    best, worst = (high, low) if better == "higher" else (low, high)
    most = max(1, len(known) // 4) if len(known) <= MOST_CELLS else _MOST_TIED
    out: dict[int, bool] = {}
    for figure, good in ((best, True), (worst, False)):
        tied = [row.cell_index for row in known if _figure(row.mean, metric.name, behind) == figure]  # what looks alike is marked alike
        if len(tied) <= most:
            out |= dict.fromkeys(tied, good)
    return out


def marked_figure(row: CellMean, mark: bool | None, columns: Columns, sign: Signs) -> Text:
    """A mean, with its interval where the columns say so, and whether it is the best (True) or the worst of its metric."""
    text = with_interval(row, columns, sign) if row.metric in columns.sure else Text(_figure(row.mean, row.metric, columns.behind[row.metric]))
    text.justify = "right"
    text.append({None: " ", True: sign.best, False: sign.worst}[mark], style={None: "", True: "green", False: "red"}[mark])
    return text


def with_interval(row: LevelMean | CellMean | None, columns: Columns, sign: Signs) -> Text:
    """A mean, give or take half of its 95 % interval; ``-`` where it is undefined."""
    if row is None or math.isnan(row.mean):
        return Text("-", justify="right")
    behind = columns.behind[row.metric]
    text = Text(_figure(row.mean, row.metric, behind), justify="right")
    if not math.isnan(row.ci_high):
        text.append(f" {sign.give_or_take}{_figure((row.ci_high - row.ci_low) / 2, row.metric, behind).removeprefix('0')}", style="dim")
    return text


def _figure(value: float, metric: str, behind: int) -> str:
    if math.isnan(value):
        return "-"
    return f"{value * factor(metric):.{behind}f}"


def levels_shown(levels: Sequence[Any], console: Console) -> dict[str, str]:
    """How the levels of a parameter are shown, by their key: narrow, harmless, and no two alike."""
    width = 16 if console.width >= ROOMY else 9
    whole = [repr(level) if isinstance(level, str) and not level.strip() else level_text(level) or "" for level in levels]
    texts = [cut(harmless(text, console.encoding), width) for text in whole]
    numbered = [f"{cut(text, width - 4)}#{number}" if texts.count(text) > 1 else text for number, text in enumerate(texts, 1)]
    return dict(zip(map(level_key, levels), numbered, strict=True))
