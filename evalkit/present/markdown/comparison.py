"""A comparison in Markdown, for a merge request or a job's summary: its first line is the one to act on."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison.comparison import Comparison, headline
from evalkit.comparison.verdict import Compared
from evalkit.present.text.comparison import METHOD, ON_TIME, basis, ends, not_compared, ordered, sides, signature, verdict_text, where
from evalkit.text.escaping import markdown_cell, markdown_prose
from evalkit.text.numbers import figure, p_value, signed_figure

MARK = "<!-- evalkit compare -->"
"""Stands at the end, so that a comment can be found again and replaced."""

_BOLD = ("worse", "better")


def comparison_markdown(found: Comparison) -> str:
    """The whole page; GitHub and GitLab show it alike."""
    word, _, rest = headline(found).partition(": ")
    out = [f"**{word}**: {markdown_prose(rest)}", "", markdown_prose(basis(found)), "", *_table(ordered(found.gated))]
    for one, cells in where(found):
        listed = "; ".join(f"{markdown_cell(cell.cell)} {signed_figure(cell.difference)} {ends(cell)}" for cell in cells)
        out += ["", f"{markdown_cell(one.metric)} got worse most in: {listed}"]
    notes = [*found.notes, *found.left_out, *not_compared(found)]
    if notes:
        out += ["", *(f"- {markdown_prose(note)}" for note in notes)]
    out += [
        "",
        "| | baseline | candidate |",
        "|---|---|---|",
        *(f"| {markdown_cell(what)} | {markdown_cell(one)} | {markdown_cell(other)} |" for what, one, other in sides(found)),
    ]
    shown = [one for one in found.metrics if not one.gated]
    if shown:
        out += ["", "<details><summary>Shown, not judged</summary>", "", *_table(ordered(shown)), "", ON_TIME, "", "</details>"]
    out += ["", "<details><summary>Method</summary>", "", METHOD, "", markdown_prose(signature(found)), "", "</details>", "", MARK]
    return "\n".join(out) + "\n"


def _table(rows: Sequence[Compared]) -> list[str]:
    if not rows:
        return ["No metric is judged."]
    out = ["| metric | better | baseline | candidate | difference | 95 % interval | p | margin | could show | verdict |"]
    out.append("|---|---|--:|--:|--:|---|--:|--:|--:|---|")
    for one in rows:
        verdict = f"**{verdict_text(one)}**" if one.verdict in _BOLD else verdict_text(one)
        needed = f" ({one.prompts_to_settle:,} prompts would settle it)" if one.prompts_to_settle else ""
        numbers = [
            figure(one.baseline),
            figure(one.candidate),
            signed_figure(one.difference),
            ends(one),
            p_value(one.p_adjusted),
            figure(one.margin),
        ]
        out.append(f"| {markdown_cell(one.metric)} | {one.better or '-'} | {' | '.join(numbers)} | {figure(one.reachable)} | {verdict}{needed} |")
    return out
