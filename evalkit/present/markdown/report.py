"""A run as Markdown for a merge request: the decision, what drives it, and how sure, in at most 120 lines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evalkit.present.html.figures import metrics_that_matter
from evalkit.present.plots.style import label_of, swept
from evalkit.present.text.words import about, decided, failures, mean_and_reach, signature, warnings
from evalkit.run import Run
from evalkit.text.escaping import markdown as code
from evalkit.text.escaping import markdown_cell as cell
from evalkit.text.escaping import markdown_prose as prose

_MOST_ROWS = 12
_MOST_NOTES = 6


def document(run: Run, pictures: Mapping[str, str] | None = None) -> str:
    """The text of ``report.md``, as GitHub and GitLab show it.

    Args:
        pictures: titles and the paths of image files beside it.
    """
    lines = [f"## {_first(run)}", "", prose(about(run)), ""]
    lines += [f"> {prose(one)}" for one in warnings(run)] + ([""] if warnings(run) else [])
    lines += _decision(run)
    lines += _settings(run)
    lines += _effects(run)
    lines += _failed(run)
    for title, path in (pictures or {}).items():
        lines += [f"![{prose(title)}]({path})", ""]
    lines += ["---", "", code(signature(run)), ""]
    return "\n".join(lines)


def _first(run: Run) -> str:
    found = decided(run)
    name = code(run.analysis.name)
    if found.chosen:
        return f"{name}: use {code(found.use)}"
    return f"{name}: {prose(found.head) if found.head else 'what its parameters do'}"


def _decision(run: Run) -> list[str]:
    found = decided(run)
    out = []
    for label, texts in found.rows:
        said = f"{texts[0].removesuffix('.')}: {'; '.join(texts[1:4])}" if label == "Else" and len(texts) > 1 else " ".join(texts)
        out += [f"- **{prose(label)}**: {prose(said)}"]
    out += [f"- {prose(one)}" for one in (*found.nothing, *found.notes)[:_MOST_NOTES]]
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
    out = ["| " + " | ".join(["", *map(cell, names), *map(cell, metrics)]) + " |", "|---" * (1 + len(names)) + "|--:" * len(metrics) + "|"]
    for index, role in rows.items():
        levels = ["" if (level := run.analysis.cells[index][name]) is None else cell(label_of(level)) for name in names]
        numbers = [" ".join(filter(None, mean_and_reach(by.get((index, name))))) for name in metrics]
        name = run.analysis.name_of(index)
        head = (f"**{role}**" if role == "recommended" else role) + (f" {cell(name)}" if name is not None else "")
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
    return ["### What each parameter does", "", *(f"- {prose(one)}" for one in run.analysis.answers[:_MOST_ROWS]), ""]


def _failed(run: Run) -> list[str]:
    found = failures(run)
    if not found:
        return []
    return ["### What failed", "", *(f"- {row['count']} {code(row['kind'])}: {code(row['message'])}" for row in found[:_MOST_NOTES]), ""]
