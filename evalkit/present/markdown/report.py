"""A run as Markdown for a merge request: the decision, what drives it, and how sure, in at most 60 lines: a table, and the rest folded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from evalkit.present.html.figures import metrics_that_matter
from evalkit.present.plots.style import label_of, swept
from evalkit.present.text.words import about, failures, mean_and_reach, signature
from evalkit.run import Run
from evalkit.summary import Summary, summarise
from evalkit.summary.quantities import bound, changed, digits_among, headed, heading, measured, named, nearest_in_words
from evalkit.summary.rows import currency_of
from evalkit.text.escaping import markdown, markdown_cell, markdown_prose, visible

_MOST_ROWS = 6
_MOST_NOTES = 6


def document(run: Run, pictures: Mapping[str, str] | None = None) -> str:
    """The text of ``report.md``, as GitHub and GitLab show it.

    Args:
        pictures: titles and the paths of image files beside it.
    """
    found = summarise(run)
    lines = [f"## {_first(found)}", "", markdown_prose(about(run)), ""]
    lines += _buys(found)
    lines += _told(found)
    for title, path in (pictures or {}).items():
        lines += [f"![{markdown_prose(title)}]({path})", ""]
    lines += _folded("Parameters to paste", _call(found))
    lines += _folded("Settings", _settings(run))
    lines += _folded("What each parameter does", [f"- {markdown_prose(one)}" for one in run.analysis.answers[:_MOST_ROWS]])
    lines += _folded("What failed", _failed(run))
    lines += [markdown(signature(run)), ""]
    return "\n".join(lines)


def _first(found: Summary) -> str:
    name = markdown(visible(found.name))
    if found.use is not None:
        return f"{name}: use {markdown(visible(found.use.in_words))}"
    said = {
        "none satisfies": f"no setting keeps to all bounds ({found.settings} settings)",
        "undecided": "nothing can be chosen: what is preferred is not measured",
        "no answers": "there are no answers yet",
    }
    return f"{name}: {said.get(found.outcome, 'what its parameters do')}"


def _buys(found: Summary) -> list[str]:
    """The summary's rows as a table, and the bounds that no setting keeps to all."""
    what = heading(found)
    out = []
    if found.rows:
        compared = any(row.reference is not None for row in found.rows)
        out = [f"| | {what} | reference | change | |", "|---|--:|--:|--:|---|"] if compared else [f"| | {what} |", "|---|--:|"]
        for row in found.rows:
            parts = [markdown_cell(visible(named(row.label, row.unit))), measured(row.mean, row.low, row.high, row.unit)]
            if compared:
                parts += [measured(row.reference, row.reference_low, row.reference_high, row.unit), changed(row)]
                parts.append(f"**{row.verdict}**" if row.verdict in ("better", "worse") else row.verdict or "")
            out.append(f"| {' | '.join(parts)} |")
        out.append("")
    for one in found.unmet:
        out.append(f"- {markdown_prose(visible(named(one.label, one.unit)))} {bound(one)}: {one.excludes} settings miss it{nearest_in_words(one)}")
    if found.nearest is not None:
        out.append(f"- The nearest: {markdown_prose(visible(found.nearest.in_words))}")
    return [*out, ""] if found.unmet or found.nearest is not None else out


def _told(found: Summary) -> list[str]:
    """How sure, what matters, what to keep in mind."""
    rows = [("Goal", [found.purpose] if found.purpose else []), (found.raced_label, [" ".join(found.raced)] if found.raced else [])]
    rows.append(("How sure", [" ".join(found.sure)] if found.sure else []))
    rows.append(("What matters", [f"{'; '.join(found.matters)}."] if found.matters else []))
    out = [f"- **{label}**: {markdown_prose(visible(text))}" for label, texts in rows for text in texts]
    out += [f"- **Keep in mind**: {markdown_prose(visible(one.text))}" for one in found.mind]
    return [*out, ""] if out else []


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""] if lines else []


def _call(found: Summary) -> list[str]:
    if not found.parameters:
        return []
    parameters = visible(json.dumps(found.parameters, ensure_ascii=False))
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in _ticks(parameters)), default=0))
    return [f"{fence}json", parameters, fence]


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
    behind = {name: digits_among(name, [by[index, name].mean for index in rows if (index, name) in by]) for name in metrics}
    names = swept(run)
    out = [
        "| " + " | ".join(["", *map(markdown_cell, names), *(markdown_cell(headed(name, currency_of(run))) for name in metrics)]) + " |",
        "|---" * (1 + len(names)) + "|--:" * len(metrics) + "|",
    ]
    for index, role in rows.items():
        levels = ["" if (level := run.analysis.cells[index][name]) is None else markdown_cell(label_of(level)) for name in names]
        numbers = [" ".join(filter(None, mean_and_reach(by.get((index, name)), behind[name]))) for name in metrics]
        name = run.analysis.name_of(index)
        head = (f"**{role}**" if role == "recommended" else role) + (f" {markdown_cell(name)}" if name is not None else "")
        out.append("| " + " | ".join([head, *levels, *numbers]) + " |")
    return [
        *out,
        "",
        f"Means over {run.analysis.counts.prompts} prompts and how far their 95 % intervals reach; other settings are in the full report.",
    ]


def _failed(run: Run) -> list[str]:
    return [f"- {row['count']} {markdown(row['kind'])}: {markdown(row['message'])}" for row in failures(run)[:_MOST_NOTES]]
