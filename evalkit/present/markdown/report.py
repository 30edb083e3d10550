"""A run as Markdown for a merge request: the decision, what drives it, and how sure, in at most 120 lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.present.html.figures import metrics_that_matter
from evalkit.present.plots.style import label_of, swept
from evalkit.present.text.words import about, decided, failures, mean_and_reach, signature, warnings
from evalkit.run import Run
from evalkit.text.escaping import markdown, markdown_cell, markdown_prose

_MOST_ROWS = 12
_MOST_NOTES = 6


def document(run: Run, pictures: Mapping[str, str] | None = None) -> str:
    """The text of ``report.md``, as GitHub and GitLab show it.

    Args:
        pictures: titles and the paths of image files beside it.
    """
    lines = [f"## {_first(run)}", "", markdown_prose(about(run)), ""]
    lines += [f"> {markdown_prose(one)}" for one in warnings(run)] + ([""] if warnings(run) else [])
    lines += _decision(run)
    lines += _settings(run)
    lines += _effects(run)
    lines += _failed(run)
    for title, path in (pictures or {}).items():
        lines += [f"![{markdown_prose(title)}]({path})", ""]
    lines += ["---", "", markdown(signature(run)), ""]
    return "\n".join(lines)


def _first(run: Run) -> str:
    found = decided(run)
    name = markdown(run.analysis.name)
    if found.chosen:
        return f"{name}: use {markdown(found.use)}"
    return f"{name}: {markdown_prose(found.head) if found.head else 'what its parameters do'}"


def _decision(run: Run) -> list[str]:
    found = decided(run)
    out = []
    for part in found.rows:
        head, *rest = part.texts
        said = f"{head.removesuffix('.')}: {'; '.join(rest[:3])}" if part.about == "else" and rest else " ".join(part.texts)
        out += [f"- **{markdown_prose(part.label)}**: {markdown_prose(said)}"]
    out += [f"- {markdown_prose(one)}" for one in (*found.nothing, *found.notes)[:_MOST_NOTES]]
    if found.call:
        fence = "`" * max(3, 1 + max((len(ticks) for ticks in _ticks(found.call)), default=0))
        out += ["", "<details><summary>The call to paste</summary>", "", f"{fence}python", *found.call.split("\n"), fence, "", "</details>"]
    return [*out, ""] if out else []


def _ticks(text: str) -> list[str]:
    return re.findall("`+", text)


def _settings(run: Run) -> list[str]:
    """The settings that matter, a row each: the recommended one, those tied with it, the reference, the nearest."""
    choice = run.choice
    rows: dict[int, str] = {}
    if choice is not None:
        if choice.chosen is not None:
            rows[choice.chosen] = "recommended"
        if choice.nearest is not None:
            rows[choice.nearest] = "nearest miss"
    rows.setdefault(run.analysis.reference, "reference")
    if choice is not None:
        for index in sorted(choice.tied, key=lambda one: -(choice.desirability[one] or 0.0)):
            if len(rows) < _MOST_ROWS:
                rows.setdefault(index, "tied")
    metrics = metrics_that_matter(run)
    if not metrics:
        return []
    by = {(row.cell_index, row.metric): row for row in run.analysis.by_cell}
    names = swept(run)
    out = [
        "| " + " | ".join(["", *map(markdown_cell, names), *map(markdown_cell, metrics)]) + " |",
        "|---" * (1 + len(names)) + "|--:" * len(metrics) + "|",
    ]
    for index, role in rows.items():
        levels = ["" if (level := run.analysis.cells[index][name]) is None else markdown_cell(label_of(level)) for name in names]
        numbers = [" ".join(filter(None, mean_and_reach(by.get((index, name))))) for name in metrics]
        name = run.analysis.name_of(index)
        head = (f"**{role}**" if role == "recommended" else role) + (f" {markdown_cell(name)}" if name is not None else "")
        out.append("| " + " | ".join([head, *levels, *numbers]) + " |")
    return [
        *out,
        "",
        f"Means over {run.analysis.counts.prompts} prompts and how far their 95 % intervals reach; other settings are in the full report.",
        "",
    ]


def _effects(run: Run) -> list[str]:
    if not run.analysis.answers:
        return []
    return ["### What each parameter does", "", *(f"- {markdown_prose(one)}" for one in run.analysis.answers[:_MOST_ROWS]), ""]


def _failed(run: Run) -> list[str]:
    found = failures(run)
    if not found:
        return []
    return ["### What failed", "", *(f"- {row['count']} {markdown(row['kind'])}: {markdown(row['message'])}" for row in found[:_MOST_NOTES]), ""]
