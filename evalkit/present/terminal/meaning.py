"""What parameters mean at an endpoint, for a terminal: what is its own manner, in sentences; and two endpoints beside each other."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.probe import Probe
from evalkit.probe.endpoint import NO_MORE
from evalkit.probe.meaning.corners import named
from evalkit.probe.meaning.found import QUESTIONS
from evalkit.store.meanings import Corner, Meaning
from evalkit.text.escaping import harmless


def of_meaning(result: Probe) -> RenderableType:
    """The manners of its own first, each a sentence with how sure it is; then what is by the definition, and what was not found out."""
    title = f"{harmless(result.model)} at {harmless(result.base_url)}, {result.calls_of_meaning} calls"
    parts: list[RenderableType] = [Text(title, style="bold"), Text()]
    own = [one for one in result.meaning if one.standing == "own"]
    if own:
        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold", ratio=1)
        for one in own:
            table.add_row(Text(_about(one), style="yellow"), Text(harmless(one.says) + _sure(one)))
        parts += [Text("Not as one would expect", style="bold"), table, Text()]
    if result.corners:
        parts += [Text("How far first tokens are from the definition", style="bold"), *map(_corner, result.corners), Text()]
    for heading, standing in (("By the definition", "defined"), ("Not found out", "inconclusive"), ("Nothing to find out", "not there")):
        names = [_about(one) + (f" ({one.answer})" if standing == "defined" else "") for one in result.meaning if one.standing == standing]
        if names:
            parts += [Text(f"{heading}: {'; '.join(map(harmless, names))}.", style="dim"), Text()]
    evidence = [one.evidence for one in result.meaning if one.standing == "inconclusive" and one.evidence.startswith(NO_MORE)]
    died = result.ended or next(iter(evidence), "")
    if died:
        parts += [Text(f"The endpoint did not live to answer all: {harmless(died)}.", style="yellow"), Text()]
    return Group(*parts[:-1])


def _about(one: Meaning) -> str:
    return QUESTIONS[one.question][0] if one.question in QUESTIONS else harmless(one.question)


def _corner(one: Corner) -> Text:
    chance = "" if one.p is None or one.standing != "own" else f" (p = {one.p:.2g})"
    text = harmless(one.says) + chance + (f": {harmless(one.evidence)}" if one.distance is None else "")
    return Text(text[:1].upper() + text[1:], style="yellow" if one.standing == "own" else "")


def _sure(one: Meaning) -> str:
    if one.ratio is not None:
        return f" ({one.ratio:,.0f} times likelier than not)" if one.ratio < 1e6 else " (over a million times likelier than not)"
    return f" (p = {one.p:.2g})" if one.p is not None else ""


def of_compared(one: Probe, other: Probe) -> RenderableType:
    """A row for each question that the two answer differently, and for each parameter with different verdicts."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("what", overflow="fold")
    for side in (one, other):
        table.add_column(Text(f"{harmless(side.model)} at {harmless(side.base_url)}"), overflow="fold")
    rows = [*_differing(one, other)]
    for row in rows:
        table.add_row(*(Text(harmless(cell)) for cell in row))
    asked = {meaning.question for meaning in one.meaning} & {meaning.question for meaning in other.meaning}
    if not asked:
        beneath = "What parameters mean was not asked of both: evalkit probe --depth meaning."
    else:
        beneath = f"{len(asked)} questions were asked of both; {_told_apart(one, other, len(rows))}."
    return Group(table, Text(beneath, style="dim")) if rows else Text(beneath)


def _told_apart(one: Probe, other: Probe, rows: int) -> str:
    """In how many rows the two differ, without those where a question was answered on one side alone, which may be the same on both."""
    beside = {meaning.question: meaning for meaning in other.meaning}
    open_ = sum("inconclusive" in (first.standing, beside[first.question].standing) for first in _apart(one, other))
    words = f"the two differ in {rows - open_ or 'nothing'}{' things' if rows - open_ > 1 else ' thing' if rows - open_ else ''}"
    return f"{words}; {open_} found out on one side alone may be the same" if open_ else words


def _apart(one: Probe, other: Probe) -> list[Meaning]:
    beside = {meaning.question: meaning.answer for meaning in other.meaning}
    return [meaning for meaning in one.meaning if meaning.question in beside and meaning.answer != beside[meaning.question]]


def _differing(one: Probe, other: Probe) -> Iterator[tuple[str, str, str]]:
    beside = {meaning.question: meaning for meaning in other.meaning}
    for meaning in _apart(one, other):
        yield _about(meaning), _answer(meaning), _answer(beside[meaning.question])
    corners = {(corner.temperature, corner.top_p): corner for corner in other.corners}
    for corner in one.corners:
        second = corners.get((corner.temperature, corner.top_p))
        if second is not None and "own" in (corner.standing, second.standing) and corner.standing != second.standing:
            yield f"from the definition at {named(corner.temperature, corner.top_p)}", _away(corner), _away(second)
    verdicts = {finding.parameter: finding for finding in other.findings}
    for finding in one.findings:
        second_finding = verdicts.get(finding.parameter)
        if second_finding is not None and finding.verdict != second_finding.verdict:
            yield finding.parameter, finding.verdict, second_finding.verdict


def _away(one: Corner) -> str:
    return "not found out" if one.distance is None else f"{one.distance:.0%} ({one.low:.0%} to {one.high:.0%})"


def _answer(one: Meaning) -> str:
    return one.answer if one.answer is not None else "not found out" if one.standing == "inconclusive" else "-"
