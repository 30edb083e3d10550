"""The results as tables for a terminal: made for its width, with untrusted text made harmless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from msgspec import UNSET
from rich.console import Console, Group, RenderableType
from rich.text import Text

from evalkit.analysis.analysis import Analysis, CellMean, LevelMean, MetricInfo
from evalkit.analysis.control import LIMITS
from evalkit.experiment.parameters import DEFAULT, level_key, level_text
from evalkit.metrics import METRICS, OPTIONAL, RECORDED, digits
from evalkit.present.shortlists import TERMINAL
from evalkit.present.terminal.fitting import Row, brief, cut, fitted, stacked, width_of
from evalkit.present.terminal.signs import all_signs
from evalkit.stats.conventions import FEW_PROMPTS
from evalkit.text.escaping import harmless
from evalkit.text.numbers import between, counted

_BUILT_IN = frozenset(metric.name for metric in (*METRICS, *OPTIONAL, *RECORDED))
_MOST_CELLS = 64
_MOST_TIED = 5  # where not all cells are shown
_NAME = 24  # columns of a parameter's name
_ROOMY = 60  # columns from which names and levels need not be squeezed


class Signs(NamedTuple):
    """The signs of the tables, in what the terminal can show."""

    best: str
    worst: str
    left_out: str
    void: str
    give_or_take: str


def signs(console: Console) -> Signs:
    """Signs that `console` can encode."""
    return Signs("▲", "▼", "—", "·", "±") if all_signs(console) else Signs("*", "!", "_", ".", "+-")


def by_cell(analysis: Analysis, console: Console, metrics: Sequence[str] = (), order: Sequence[int] | None = None) -> RenderableType:
    """A row a cell, a column a metric: means over prompts, the best and the worst cell of each metric marked.

    Args:
        metrics: which, by name; where none, those that say most.
        order: which cells, by their index, in which order; where None, all, or those that are marked where they are many.
    """
    sign = signs(console)
    metrics = metrics or _chosen(analysis)
    marks = {metric.name: _marks(metric, [row for row in analysis.by_cell if row.metric == metric.name]) for metric in analysis.metrics}
    order = _shown_cells(analysis, marks) if order is None else order
    rows = _rows_of_cells(analysis, order, metrics, marks, console)
    heads = [cut(harmless(name, console.encoding), _NAME) for name in _swept(analysis)]
    if analysis.race is not UNSET:  # a race asks some settings more prompts than others, which their numbers must not hide
        asked = {row.cell_index: row.n_prompts for row in sorted(analysis.by_cell, key=lambda one: one.n_prompts)}
        rows = [([*levels, Text(str(asked.get(index, 0)), justify="right")], numbers) for index, (levels, numbers) in zip(order, rows, strict=True)]
        heads = [*heads, "n"]
    breaks: Sequence[int] = ()
    left = 0
    if names := _names(analysis, console):
        rows = [([names[index], *levels], numbers) for index, (levels, numbers) in zip(order, rows, strict=True)]
        heads, left = ["setting", *heads], 1
    if names and width_of(heads, metrics[:1], rows) > console.width:  # the names tell the cells apart
        rows = [(levels[:1], numbers) for levels, numbers in rows]
        heads = heads[:1]
    elif width_of(heads, metrics[:1], rows) > console.width:  # the levels below each other instead
        rows = [([stacked(heads, levels)], numbers) for levels, numbers in rows]
        heads, breaks, left = ["setting"], range(1, len(rows)), 1
    table, dropped = fitted(heads, metrics, rows, console.width, breaks, left)
    legend = _legend(analysis, order, metrics[: len(metrics) - len(dropped)], marks, sign)
    lines = ["; ".join(legend) + "."] if legend else []
    if len(order) < len(analysis.cells):
        lines.append(f"{len(analysis.cells) - len(order):,} more settings are in summary.csv.")
    if len(metrics) < len(analysis.metrics):
        lines.append(f"{len(analysis.metrics) - len(metrics)} more metrics are in summary.csv.")
    if dropped:
        lines.append(f"Not shown, as the window is too narrow: {', '.join(dropped)}.")
    over = counted(analysis.counts.prompts, "prompt") if analysis.race is UNSET else "the n prompts that each was asked"
    return _titled(f"By setting: mean over {over}", [table], lines)


def _swept(analysis: Analysis) -> list[str]:
    return [name for name, levels in analysis.parameters.items() if len(levels) > 1]


def _shown_cells(analysis: Analysis, marks: Mapping[str, Mapping[int, bool]]) -> Sequence[int]:
    """All cells; where they are many those that are marked, else the first."""
    order = range(len(analysis.cells))
    if len(order) <= _MOST_CELLS:
        return order
    return sorted({index for one in marks.values() for index in one}) or order[:_MOST_CELLS]


def _rows_of_cells(
    analysis: Analysis, order: Sequence[int], metrics: Sequence[str], marks: Mapping[str, Mapping[int, bool]], console: Console
) -> list[Row]:
    sign, swept = signs(console), _swept(analysis)
    means = {(row.cell_index, row.metric): row for row in analysis.by_cell}
    shown = {name: _shown(analysis.parameters[name], console) for name in swept}
    rows = []
    for index in order:
        cell = analysis.cells[index]
        levels = [sign.left_out if cell[name] == DEFAULT else shown[name].get(level_key(cell[name]), sign.void) for name in swept]
        numbers = [_number(means[index, metric], marks[metric].get(index), sign) for metric in metrics]
        rows.append(([Text(level, justify="right") for level in levels], numbers))
    return rows


def _legend(analysis: Analysis, order: Sequence[int], metrics: Sequence[str], marks: Mapping[str, Mapping[int, bool]], sign: Signs) -> list[str]:
    """What the signs mean that occur in the table of cells."""
    legend = [f"{sign.best} best, {sign.worst} worst setting of a metric"] if any(marks.values()) else []
    levels = [analysis.cells[index][name] for index in order for name in _swept(analysis)]
    if DEFAULT in levels:
        legend.append(f"{sign.left_out} left out, the server decides")
    if None in levels:
        legend.append(f"{sign.void} not applicable at temperature 0")
    means = {(row.cell_index, row.metric): row.mean for row in analysis.by_cell}
    if any(math.isnan(means[index, metric]) for index in order for metric in metrics):
        legend.append("- undefined" if analysis.counts.k else "- undefined: metrics over replicates need two answers to a prompt")
    return legend


def by_level(analysis: Analysis, console: Console, metrics: Sequence[str] = ()) -> RenderableType | None:
    """A row a level of each swept parameter: means over prompts and cells, give or take half of the 95 % interval.

    Metrics for which the console is too narrow follow in further tables. None where nothing is swept.

    Args:
        metrics: which, by name; where none, those that say most.
    """
    metrics = list(metrics or _chosen(analysis))
    rows, starts = _rows_of_levels(analysis, metrics, console)
    if not rows:
        return None
    parts: list[RenderableType] = []
    while metrics:
        table, rest = fitted(["parameter", "level"], metrics, rows, console.width, starts[1:], left=1)
        parts += [table, Text()]
        rows = [(head, numbers[len(metrics) - len(rest) :]) for head, numbers in rows]
        metrics = rest
    return _titled("By level: mean over prompts, each over the level's settings", parts[:-1], _beneath_levels(analysis, signs(console)))


def _rows_of_levels(analysis: Analysis, metrics: Sequence[str], console: Console) -> tuple[list[Row], list[int]]:
    """The rows, and at which of them a parameter begins."""
    sign = signs(console)
    means = {(row.parameter, level_key(row.level), row.metric): row for row in analysis.by_level}
    rows: list[Row] = []
    starts: list[int] = []
    for name in _swept(analysis):
        starts.append(len(rows))
        title = cut(harmless(name, console.encoding), _NAME)
        title = title if console.width >= _ROOMY else brief(title).replace("\n", " ")
        for number, (level, shown) in enumerate(_shown(analysis.parameters[name], console).items()):
            head = [Text("" if number else title), Text(shown, justify="right")]
            rows.append((head, [_with_interval(means.get((name, level, metric)), sign) for metric in metrics]))
    return rows, starts


def _beneath_levels(analysis: Analysis, sign: Signs) -> list[str]:
    """What must be known of the table of levels: how sure it is, and which metrics are not those of whole answers."""
    lines = [f"{sign.give_or_take} half of the 95 % interval over prompts."]
    if all(math.isnan(row.ci_high) for row in analysis.by_level):
        lines = ["No intervals: they need two prompts." if analysis.counts.prompts < 2 else "No intervals: no level has values on two prompts."]
    elif analysis.counts.prompts < FEW_PROMPTS:
        lines.append(f"With {counted(analysis.counts.prompts, 'prompt')} intervals are wide; use ten or more prompts to decide.")
    chosen = _chosen(analysis)
    sampled = [metric.name for metric in analysis.metrics if metric.on == "sample" and metric.name in chosen]
    on_prefix = [metric.name for metric in analysis.metrics if metric.on == "prefix" and metric.name in chosen]
    confounded = [metric.name for metric in analysis.metrics if not metric.compared and metric.name in chosen]
    if sampled and analysis.sampled_on:
        words = analysis.sampled_on.words
        lines.append(
            f"{', '.join(sampled)}: expected of {between(min(words), max(words))} words of a prompt's answers, so that lengths do not matter."
        )
    if on_prefix and analysis.compared_on:
        lines.append(f"{', '.join(on_prefix)}: on the first {analysis.compared_on.tokens} words of each answer, so that lengths do not matter.")
    if confounded and any(name in LIMITS for name in _swept(analysis)):
        lines.append(f"{', '.join(confounded)} move with the length of an answer alone: beside max_tokens they say little.")
    return lines


def _chosen(analysis: Analysis) -> list[str]:
    """The metrics to show: those of the shortlist that were measured, and where there are none all."""
    measured = [metric.name for metric in analysis.metrics]
    own = [metric.name for metric in analysis.metrics if metric.name not in _BUILT_IN]
    return [name for name in TERMINAL if name in measured] + own or measured


def _titled(title: str, tables: Sequence[RenderableType], lines: Sequence[str]) -> RenderableType:
    """Tables between their title and what must be said of them; the title stands by itself, so that no narrow table wraps it."""
    return Group(Text(title, style="bold"), *tables, *(Text(line, style="dim") for line in lines), Text())


def _marks(metric: MetricInfo, rows: Sequence[CellMean]) -> dict[int, bool]:
    """Cell index: True where it is the best of the metric, False where the worst; none where nothing stands out."""
    known = [row for row in rows if not math.isnan(row.mean)]
    if metric.better is None or len(known) < 2:
        return {}
    values = [row.mean for row in known]
    high, low = _figure(max(values), metric.name), _figure(min(values), metric.name)
    if high == low:
        return {}
    best, worst = (high, low) if metric.better == "higher" else (low, high)
    most = max(1, len(known) // 4) if len(known) <= _MOST_CELLS else _MOST_TIED
    out: dict[int, bool] = {}
    for figure, good in ((best, True), (worst, False)):
        tied = [row.cell_index for row in known if _figure(row.mean, metric.name) == figure]  # what looks alike is marked alike
        if len(tied) <= most:
            out |= dict.fromkeys(tied, good)
    return out


def _number(row: CellMean, mark: bool | None, sign: Signs) -> Text:
    text = Text(_figure(row.mean, row.metric), justify="right")
    text.append({None: " ", True: sign.best, False: sign.worst}[mark], style={None: "", True: "green", False: "red"}[mark])
    return text


def _with_interval(row: LevelMean | None, sign: Signs) -> Text:
    if row is None or math.isnan(row.mean):
        return Text("-", justify="right")
    text = Text(_figure(row.mean, row.metric), justify="right")
    if not math.isnan(row.ci_high):
        text.append(f" {sign.give_or_take}{_figure((row.ci_high - row.ci_low) / 2, row.metric).removeprefix('0')}", style="dim")
    return text


def _figure(value: float, metric: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.{digits(metric)}f}"


def _shown(levels: Sequence[Any], console: Console) -> dict[str, str]:
    """How the levels of a parameter are shown, by their key: narrow, harmless, and no two alike."""
    width = 16 if console.width >= _ROOMY else 9
    whole = [repr(level) if isinstance(level, str) and not level.strip() else level_text(level) or "" for level in levels]
    texts = [cut(harmless(text, console.encoding), width) for text in whole]
    numbered = [f"{cut(text, width - 4)}#{number}" if texts.count(text) > 1 else text for number, text in enumerate(texts, 1)]
    return dict(zip(map(level_key, levels), numbered, strict=True))


def _names(analysis: Analysis, console: Console) -> list[Text]:
    """The names of the cells as they are shown; none where they have none."""
    names = [name for index in range(len(analysis.cells)) if (name := analysis.name_of(index)) is not None]
    shown = _shown(names, console)
    return [Text(shown[level_key(name)]) for name in names]
