"""A comparison in Markdown, for a merge request or a job's summary: its first line is the one to act on."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison.comparison import Comparison, headline
from evalkit.comparison.verdict import Compared
from evalkit.present.text import comparison as said
from evalkit.text.escaping import markdown_cell as code
from evalkit.text.escaping import markdown_prose as sentence

MARK = "<!-- evalkit compare -->"
"""Stands at the end, so that a comment can be found again and replaced."""

_BOLD = ("worse", "better")


def text(found: Comparison) -> str:
    """The whole page; GitHub and GitLab show it alike."""
    word, _, rest = headline(found).partition(": ")
    out = [f"**{word}**: {sentence(rest)}", "", sentence(said.basis(found)), "", *_table(said.ordered(found.gated))]
    for one, cells in said.where(found):
        listed = "; ".join(f"{code(cell.cell)} {said.signed(cell.difference)} {said.interval(cell)}" for cell in cells)
        out += ["", f"{code(one.metric)} got worse most in: {listed}"]
    notes = [*found.notes, *found.left_out, *said.not_compared(found)]
    if notes:
        out += ["", *(f"- {sentence(note)}" for note in notes)]
    out += [
        "",
        "| | baseline | candidate |",
        "|---|---|---|",
        *(f"| {code(what)} | {code(one)} | {code(other)} |" for what, one, other in said.sides(found)),
    ]
    shown = [one for one in found.metrics if not one.gated]
    if shown:
        out += ["", "<details><summary>Shown, not judged</summary>", "", *_table(said.ordered(shown)), "", said.ON_TIME, "", "</details>"]
    out += ["", "<details><summary>Method</summary>", "", said.METHOD, "", sentence(said.signature(found)), "", "</details>", "", MARK]
    return "\n".join(out) + "\n"


def _table(rows: Sequence[Compared]) -> list[str]:
    if not rows:
        return ["No metric is judged."]
    out = ["| metric | better | baseline | candidate | difference | 95 % interval | p | margin | could show | verdict |"]
    out.append("|---|---|--:|--:|--:|---|--:|--:|--:|---|")
    for one in rows:
        verdict = f"**{said.verdict_text(one)}**" if one.verdict in _BOLD else said.verdict_text(one)
        needed = f" ({one.prompts_to_settle:,} prompts would settle it)" if one.prompts_to_settle else ""
        numbers = [
            said.figure(one.baseline),
            said.figure(one.candidate),
            said.signed(one.difference),
            said.interval(one),
            said.p_text(one.p_adjusted),
            said.figure(one.margin),
        ]
        out.append(f"| {code(one.metric)} | {one.better or '-'} | {' | '.join(numbers)} | {said.figure(one.reachable)} | {verdict}{needed} |")
    return out
