"""The results as tables for a terminal: made for its width, with untrusted text made harmless."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import UNSET
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.control import LIMITS
from evalkit.choice import Choice
from evalkit.experiment.parameters import DEFAULT, level_key
from evalkit.metrics import METRICS, OPTIONAL, RECORDED
from evalkit.present.shortlists import TERMINAL
from evalkit.present.terminal.columns import MOST_CELLS, ROOMY, Columns, Signs, behind_of, extremes, levels_shown, marked_figure, signs, with_interval
from evalkit.present.terminal.fitting import Row, brief, cut, fitted, stacked, width_of
from evalkit.stats.conventions import FEW_PROMPTS
from evalkit.summary.deciding import deciding, told_first, wanted
from evalkit.summary.quantities import explained
from evalkit.text.escaping import harmless
from evalkit.text.numbers import between, counted

_BUILT_IN = frozenset(metric.name for metric in (*METRICS, *OPTIONAL, *RECORDED))
_NAME = 24  # columns of a parameter's name


def by_cell(
    analysis: Analysis,
    console: Console,
    metrics: Sequence[str] = (),
    order: Sequence[int] | None = None,
    choice: Choice | None = None,
    currency: str = "",
) -> RenderableType:
    """A row a cell, a column a metric: means over prompts, the best and the worst cell of each metric marked.

    Args:
        metrics: which, by name; where none, what the choice rests on, then those that say most.
        order: which cells, by their index, in which order; where None, all, or those that are marked where they are many.
        choice: marks the recommended cell and those tied with it; best and worst are then marked in what it rests on alone, as it wants them.
        currency: of the prices.
    """
    sign = signs(console)
    metrics = metrics or _chosen(analysis, choice)
    marks = {
        metric.name: extremes(metric, wanted(metric.name, choice, analysis.metrics), [row for row in analysis.by_cell if row.metric == metric.name])
        for metric in analysis.metrics
        if choice is None or metric.name in deciding(choice)
    }
    order = _shown_cells(analysis, marks, choice) if order is None else order
    columns = Columns(metrics, behind_of(analysis))
    known = {row.metric for row in analysis.by_cell if not math.isnan(row.ci_high)}
    told = {name for name in deciding(choice) if name in metrics and name in known}
    found = _fitted_cells(analysis, order, columns._replace(sure=told), marks, choice, console) if told else None
    if found is None or not told.isdisjoint(found[1]):  # intervals only where they push out nothing that decides
        columns = columns._replace(sure=())
        found = _fitted_cells(analysis, order, columns, marks, choice, console)
    else:
        columns = columns._replace(sure=told)
    table, dropped = found
    shown = metrics[: len(metrics) - len(dropped)]
    legend = _legend(analysis, order, shown, marks, sign)
    lines = _of_choice(choice, order, sign) + (["; ".join(legend) + "."] if legend else [])
    if columns.sure:
        lines.append(f"{sign.give_or_take} half of the 95 % interval over prompts.")
    lines += explained(shown, currency)
    if len(order) < len(analysis.cells):
        lines.append(f"{len(analysis.cells) - len(order):,} more settings are in summary.csv.")
    if len(metrics) < len(analysis.metrics):
        lines.append(f"{len(analysis.metrics) - len(metrics)} more metrics are in summary.csv.")
    if dropped:
        lines.append(f"Not shown, as the window is too narrow: {', '.join(dropped)}.")
    over = counted(analysis.counts.prompts, "prompt") if analysis.race is UNSET else "the n prompts that each was asked"
    return _titled(f"By setting: mean over {over}", [table], lines)


def _fitted_cells(
    analysis: Analysis,
    order: Sequence[int],
    columns: Columns,
    marks: Mapping[str, Mapping[int, bool]],
    choice: Choice | None,
    console: Console,
) -> tuple[Table, list[str]]:
    """The table of cells in the console's width, and the metrics that have no room in it."""
    metrics = columns.metrics
    rows = _rows_of_cells(analysis, order, columns, marks, console)
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
    roles = _roles(choice, order, signs(console))
    narrow = console.width - 2 * bool(roles)
    if names and width_of(heads, metrics[:1], rows) > narrow:  # the names tell the cells apart
        rows = [(levels[:1], numbers) for levels, numbers in rows]
        heads = heads[:1]
    elif width_of(heads, metrics[:1], rows) > narrow:  # the levels below each other instead
        rows = [([stacked(heads, levels)], numbers) for levels, numbers in rows]
        heads, breaks, left = ["setting"], range(1, len(rows)), 1
    if roles:
        rows = [([role, *levels], numbers) for role, (levels, numbers) in zip(roles, rows, strict=True)]
        heads, left = ["", *heads], left + 1
    return fitted(heads, metrics, rows, console.width, breaks, left)


def _roles(choice: Choice | None, order: Sequence[int], sign: Signs) -> list[Text]:
    """The sign of each cell that the choice speaks of; none where it speaks of none that is shown."""
    if choice is None or choice.chosen is None:
        return []
    said = [sign.chosen if index == choice.chosen else sign.tied if index in choice.tied else "" for index in order]
    return [Text(one, style="bold green" if one == sign.chosen else "") for one in said] if any(said) else []


def _of_choice(choice: Choice | None, order: Sequence[int], sign: Signs) -> list[str]:
    """What the signs of `_roles` mean."""
    shown = {text.plain for text in _roles(choice, order, sign)}
    said = {sign.chosen: "recommended", sign.tied: "does about as well: cannot be told from the best on these prompts"}
    legend = [f"{one} {words}" for one, words in said.items() if one in shown]
    return ["; ".join(legend) + "."] if legend else []


def _swept(analysis: Analysis) -> list[str]:
    return [name for name, levels in analysis.parameters.items() if len(levels) > 1]


def _shown_cells(analysis: Analysis, marks: Mapping[str, Mapping[int, bool]], choice: Choice | None) -> Sequence[int]:
    """All cells; where they are many those that are marked or recommended, else the first."""
    order = range(len(analysis.cells))
    if len(order) <= MOST_CELLS:
        return order
    chosen = {choice.chosen} if choice is not None and choice.chosen is not None else set()
    return sorted({index for one in marks.values() for index in one} | chosen) or order[:MOST_CELLS]


def _rows_of_cells(
    analysis: Analysis, order: Sequence[int], columns: Columns, marks: Mapping[str, Mapping[int, bool]], console: Console
) -> list[Row]:
    sign, swept = signs(console), _swept(analysis)
    means = {(row.cell_index, row.metric): row for row in analysis.by_cell}
    shown = {name: levels_shown(analysis.parameters[name], console) for name in swept}
    rows = []
    for index in order:
        cell = analysis.cells[index]
        levels = [sign.left_out if cell[name] == DEFAULT else shown[name].get(level_key(cell[name]), sign.void) for name in swept]
        numbers = [marked_figure(means[index, metric], marks.get(metric, {}).get(index), columns, sign) for metric in columns.metrics]
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


def by_level(
    analysis: Analysis, console: Console, metrics: Sequence[str] = (), choice: Choice | None = None, currency: str = ""
) -> RenderableType | None:
    """A row a level of each swept parameter: means over prompts and cells, give or take half of the 95 % interval.

    Metrics for which the console is too narrow follow in further tables. None where nothing is swept.

    Args:
        metrics: which, by name; where none, what the choice rests on, then those that say most.
        choice: what was chosen; None where nothing was.
        currency: of the prices.
    """
    metrics = shown = list(metrics or _chosen(analysis, choice))
    rows, starts = _rows_of_levels(analysis, Columns(metrics, behind_of(analysis)), console)
    if not rows:
        return None
    parts: list[RenderableType] = []
    while metrics:
        table, rest = fitted(["parameter", "level"], metrics, rows, console.width, starts[1:], left=1)
        parts += [table, Text()]
        rows = [(head, numbers[len(metrics) - len(rest) :]) for head, numbers in rows]
        metrics = rest
    return _titled(
        "By level: mean over prompts, each over the level's settings",
        parts[:-1],
        [*_beneath_levels(analysis, shown, signs(console)), *explained(shown, currency)],
    )


def _rows_of_levels(analysis: Analysis, columns: Columns, console: Console) -> tuple[list[Row], list[int]]:
    """The rows, and at which of them a parameter begins."""
    sign = signs(console)
    means = {(row.parameter, level_key(row.level), row.metric): row for row in analysis.by_level}
    rows: list[Row] = []
    starts: list[int] = []
    for name in _swept(analysis):
        starts.append(len(rows))
        title = cut(harmless(name, console.encoding), _NAME)
        title = title if console.width >= ROOMY else brief(title).replace("\n", " ")
        for number, (level, shown) in enumerate(levels_shown(analysis.parameters[name], console).items()):
            head = [Text("" if number else title), Text(shown, justify="right")]
            rows.append((head, [with_interval(means.get((name, level, metric)), columns, sign) for metric in columns.metrics]))
    return rows, starts


def _beneath_levels(analysis: Analysis, chosen: Sequence[str], sign: Signs) -> list[str]:
    """What must be known of the table of levels: how sure it is, and which metrics are not those of whole answers."""
    lines = [f"{sign.give_or_take} half of the 95 % interval over prompts."]
    if all(math.isnan(row.ci_high) for row in analysis.by_level):
        lines = ["No intervals: they need two prompts." if analysis.counts.prompts < 2 else "No intervals: no level has values on two prompts."]
    elif analysis.counts.prompts < FEW_PROMPTS:
        lines.append(f"With {counted(analysis.counts.prompts, 'prompt')} intervals are wide; use ten or more prompts to decide.")
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


def _chosen(analysis: Analysis, choice: Choice | None = None) -> list[str]:
    """The metrics to show: what the choice rests on, those of the shortlist that were measured, the user's own; where there are none all."""
    measured = [metric.name for metric in analysis.metrics]
    own = [metric.name for metric in analysis.metrics if metric.name not in _BUILT_IN]
    usual = [*TERMINAL, *own] if choice is None else [*own, *TERMINAL]
    return [name for name in dict.fromkeys([*told_first(choice, analysis), *usual]) if name in measured] or measured


def _titled(title: str, tables: Sequence[RenderableType], lines: Sequence[str]) -> RenderableType:
    """Tables between their title and what must be said of them; the title stands by itself, so that no narrow table wraps it."""
    return Group(Text(title, style="bold"), *tables, *(Text(line, style="dim") for line in lines), Text())


def _names(analysis: Analysis, console: Console) -> list[Text]:
    """The names of the cells as they are shown; none where they have none."""
    names = [name for index in range(len(analysis.cells)) if (name := analysis.name_of(index)) is not None]
    shown = levels_shown(names, console)
    return [Text(shown[level_key(name)]) for name in names]
