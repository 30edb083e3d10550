"""A race in the words of a conversation: what was not asked, who left and how, and what that leaves open."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.raced import Departure, Raced, in_words
from evalkit.choice import Choice
from evalkit.metrics import label_of
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.text.numbers import counted

_NEAR = 2.0
"""Standard errors from a bound within which who is dropped early is a matter of luck."""

_ALIKE = 0.02
"""Of desirability, below which settings are as good as each other."""


def race_of(analysis: Analysis) -> Raced | None:
    """The race that a run was; None of a full grid."""
    return None if analysis.race is msgspec.UNSET else analysis.race


def said_of_race(analysis: Analysis, choice: Choice | None) -> list[str]:
    """What must be said of a race, in sentences; none of a full grid."""
    raced = race_of(analysis)
    return [] if raced is None else list(_said(raced, analysis, choice))


def said_of_replay(analysis: Analysis) -> str:
    """What a race would have asked in place of this full grid, and what it would have chosen; empty where it would not have asked less."""
    found = analysis.replayed
    if found is msgspec.UNSET or found.requests >= found.grid:
        return ""
    if found.chosen is None or found.loss is None:
        chosen = "and chosen nothing that does"
    elif abs(found.loss) < _ALIKE:
        chosen = "and chosen a setting as good"
    else:
        chosen = f"and chosen a setting {abs(found.loss):.2f} {'less' if found.loss > 0 else 'more'} desirable"
    return f"A race, in which settings that fall behind are asked no more, would have asked {found.requests:,} of these requests {chosen}."


def _said(raced: Raced, analysis: Analysis, choice: Choice | None) -> Iterator[str]:
    full = "that asking every setting everything takes" if raced.method == "bayes" else "that a full grid takes"
    what = full if raced.over else f"{full}, and at most {raced.most:,} in all"
    if raced.method == "bayes":
        drawn = counted(len(analysis.cells) - len(raced.proposed), "setting")
        ahead = f" of {raced.rounds_wanted}" if raced.rounds < raced.rounds_wanted else ""
        yield f"{drawn} were drawn, {len(raced.proposed)} proposed from what was seen in {counted(raced.rounds, 'round')}{ahead}; all of them raced."
    else:
        yield "All settings were asked a few prompts, and those that could still be chosen the others."
    yield f"{raced.asked:,} of the {raced.grid:,} requests {what}: {in_words(raced)}."
    if raced.recalled:
        yield f"No finalist could be chosen, so {counted(len(raced.recalled), 'setting')} that had been set aside finished too."
    if raced.method == "bayes":
        yield "What each parameter does is not told: settings that are drawn or proposed differ in several at once."
    elif raced.common < FEWEST_PROMPTS and len(analysis.parameters):
        price = "" if raced.six is None else f" (with first: 6 under search, at most {raced.six:,} requests)"
        takes = f"that takes {FEWEST_PROMPTS} prompts asked of all settings, and here it was {raced.common}"
        yield f"What each parameter does is not told: {takes}{price}."
    if raced.budget != "proof" and (near := _near(analysis, choice)):
        yield f"{near} is near its bound, where who is dropped early is partly luck: budget: proof drops nobody without a test."
    if raced.method == "bayes" and choice is not None and choice.chosen is not None and not choice.confirmed:
        yield "Whoever wins among many owes part of its figures to luck: fresh answers (--confirm N) are the ones to quote."


def _near(analysis: Analysis, choice: Choice | None) -> str:
    """The label of a metric by which the setting that is recommended, or that comes nearest, is near its bound; empty where there is none."""
    cell = None if choice is None else choice.chosen if choice.chosen is not None else choice.nearest
    if choice is None or cell is None:
        return ""
    bounds = {one.metric: [end for end in (one.min, one.max) if end is not None] for one in choice.constraints}
    for row in analysis.by_cell:
        near = row.cell_index == cell and row.se > 0 and any(abs(row.mean - end) <= _NEAR * row.se for end in bounds.get(row.metric, []))
        if near:
            label = label_of(row.metric)
            return label[:1].upper() + label[1:]
    return ""


def departure(one: Departure) -> str:
    """How a setting left, in a few words, with the prompts that its numbers rest on."""
    how = {
        "bound": f"excluded by the bound on {label_of(one.metric or '')}",
        "worse": "shown worse",
        "aside": "set aside unfinished, not shown worse",
    }[one.why]
    return f"{how}, on {counted(one.prompts, 'prompt')}"
