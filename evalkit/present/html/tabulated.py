"""A run's numbers as the page's script takes them: parameters, cells, metrics, and every metric over every pair of parameters."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

from evalkit.analysis.estimation import codes_of
from evalkit.metrics import CATALOGUE
from evalkit.present.html.figures import metrics_that_matter
from evalkit.present.plots.effects import two_ways
from evalkit.present.plots.style import label_of, swept
from evalkit.present.text.decision import cell_in_words
from evalkit.run import Run
from evalkit.summary.deciding import wanted
from evalkit.summary.quantities import digits_among, factor, headed, is_money
from evalkit.summary.rows import currency_of
from evalkit.text.escaping import visible

_MOST_TILES = 60_000
"""Numbers of all maps together; with more, the metrics that matter come first and the others are left out."""


_GOOD_FOR = {"variety": " for variety", "repetition": " for soundness"}


def parameters(run: Run) -> list[dict[str, Any]]:
    """The swept parameters with their levels as shown."""
    return [{"name": visible(name), "levels": [label_of(level) for level in run.analysis.parameters[name]]} for name in swept(run)]


def cells(run: Run) -> list[dict[str, Any]]:
    """Each cell: the number of its level of each swept parameter, -1 where void; its name; and what the choice made of it."""
    names = swept(run)
    codes = codes_of(run.analysis.cells, {name: run.analysis.parameters[name] for name in names})
    choice = run.choice
    out: list[dict[str, Any]] = []
    for index in range(len(run.analysis.cells)):
        flags = [] if index != run.analysis.reference else ["reference"]
        desirability = None
        if choice is not None:
            groups: dict[str, list[int | None] | list[int]] = {
                "chosen": [choice.chosen],
                "tied": choice.tied,
                "front": choice.pareto,
                "satisfies": choice.satisfying,
            }
            flags += [name for name, members in groups.items() if index in members]
            desirability = choice.desirability[index]
        out.append(
            {"levels": codes[index].tolist(), "label": visible(cell_in_words(run.analysis, index)), "flags": flags, "desirability": desirability}
        )
    return out


def metrics(run: Run) -> list[dict[str, Any]]:
    """Each metric that has any value, those that matter first: name and heading, direction, definition, digits, and mean and interval by cell.

    Money is that of 1,000 answers.
    """
    rows: dict[str, list[tuple[float | None, float | None, float | None]]] = {}
    means: dict[str, list[float]] = {}
    for row in run.analysis.by_cell:
        scale = factor(row.metric)
        rows.setdefault(row.metric, []).append((number(row.mean * scale), number(row.ci_low * scale), number(row.ci_high * scale)))
        means.setdefault(row.metric, []).append(row.mean)
    by_name = {info.name: info for info in run.analysis.metrics}
    out = []
    for info in (by_name[name] for name in dict.fromkeys([*metrics_that_matter(run), *by_name])):
        values = rows.get(info.name, [])
        if all(mean is None for mean, _, _ in values):
            continue
        out.append(
            {
                "name": visible(info.name),
                "head": visible(headed(info.name, currency_of(run))),
                "better": wanted(info.name, run.choice, run.analysis.metrics),
                "way": way(info.name, run),
                "about": visible(info.definition),
                "compared": info.compared,
                "digits": digits_among(info.name, means.get(info.name, [])),
                "money": is_money(info.name),
                "mean": [mean for mean, _, _ in values],
                "low": [low for _, low, _ in values],
                "high": [high for _, _, high in values],
            }
        )
    return out


def way(metric: str, run: Run) -> str:
    """Which way a metric is better, in a sentence: as the choice wants it, else what it is good for; empty where nobody says."""
    for one in run.choice.weights if run.choice is not None else ():
        if one.metric == metric:
            return {"maximize": "More is wanted.", "minimize": "Less is wanted."}.get(
                one.goal, f"Wanted near {(one.target or 0.0) * factor(metric):g}."
            )
    better = wanted(metric, run.choice, run.analysis.metrics)
    if better is None:
        return ""
    family = CATALOGUE[metric].family if metric in CATALOGUE else None
    return f"{better.capitalize()} is better{_GOOD_FOR.get(family or '', '')}."


def maps(run: Run) -> dict[str, dict[str, list[list[list[float | None]]]]]:
    """For each metric and pair ``x|y`` of swept parameters the tiles, a row a level of y: mean over prompts and half of its 95 % interval."""
    names = swept(run)
    levels = {name: len(run.analysis.parameters[name]) for name in names}
    tiles = sum(levels[one] * levels[other] for one, other in combinations(names, 2))
    there = [info.name for info in run.analysis.metrics if any(row.metric == info.name and not math.isnan(row.mean) for row in run.analysis.by_cell)]
    order = list(dict.fromkeys([*metrics_that_matter(run), *there]))
    out: dict[str, dict[str, list[list[list[float | None]]]]] = {}
    for metric in order[: max(1, _MOST_TILES // max(1, tiles))] if tiles <= _MOST_TILES else []:
        out[metric] = {}
        for x, y in combinations(range(len(names)), 2):
            table, scale = two_ways(run, metric, names[x], names[y]), factor(metric)
            out[metric][f"{x}|{y}"] = [
                [[number(one.mean * scale), number((one.high - one.low) / 2 * scale)] for one in (column[row] for column in table)]
                for row in range(levels[names[y]])
            ]
    return out


def number(value: float) -> float | None:
    """A number to five digits, None where it is undefined."""
    return None if math.isnan(value) else float(f"{value:.5g}")
