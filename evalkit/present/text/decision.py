"""What a choice comes to, in words, for a terminal, a page or a merge request alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Literal, NamedTuple

from evalkit.analysis.analysis import Analysis
from evalkit.choice import Choice, Confirmed, Consequence, Miss, Weight, unproved_in_words
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.summary.quantities import bounds_of, factor, headed, signed_of, sized
from evalkit.summary.racing import race_of, said_of_race
from evalkit.summary.summing import setting
from evalkit.text.numbers import counted, interval

_MOST_CELLS = 6

About = Literal["why", "race", "mind", "sure", "else", "next", "fresh"]
_LABELS: dict[About, str] = {
    "why": "Why",
    "race": "Race",
    "mind": "Keep in mind",
    "sure": "How sure",
    "else": "What else",
    "next": "Next",
    "fresh": "Fresh answers",
}


def cell_in_words(analysis: Analysis, index: int) -> str:
    """A cell by its name, if it has one, and by the levels of what is swept, without parameters that are not applicable."""
    return setting(analysis, index).in_words


def cell_in_short(analysis: Analysis, index: int) -> str:
    """A cell by its name alone, if it has one, else by its levels: for a place in brackets."""
    return analysis.name_of(index) or cell_in_words(analysis, index)


class Passage(NamedTuple):
    """A part of what is said of a recommendation: what it is about, and its sentences."""

    about: About
    texts: list[str]

    @property
    def label(self) -> str:
        """What stands before it."""
        return _LABELS[self.about]


def labelled(parts: Iterable[Passage]) -> Iterator[tuple[str, str]]:
    """A label and a text a row; the label is empty where a text goes on under the one before."""
    for part in parts:
        for place, text in enumerate(part.texts):
            yield ("" if place else part.label, text)


def why(found: Choice, analysis: Analysis) -> list[Passage]:
    """Why the chosen cell, what to mind, how sure, what else, what next."""
    parts = [
        Passage("why", _reasons(found, analysis)),
        Passage("race", said_of_race(analysis, found)),
        Passage("mind", [f"{note.rstrip('.')}." for note in found.notes]),
        Passage("sure", [_sure(found, analysis)]),
        Passage("else", _else(found, analysis)),
        Passage("fresh", _fresh(found)) if found.confirmed else Passage("next", [_next(analysis.counts.k)]),
    ]
    return [part for part in parts if part.texts]


def _reasons(found: Choice, analysis: Analysis) -> list[str]:
    out = []
    if found.constraints:
        kept = _kept(found)
        number, noun = _among(analysis)
        many = f"{len(found.satisfying)} of" if len(found.satisfying) < number else "All"
        out.append(f"{many} {counted(number, noun)} keep to {kept}.")
    weights = ", ".join(f"{_goal(one)} ({one.say:.0%})" for one in found.weights)
    out.append(f"{'These' if out else 'All'} are ranked by how well they {weights}; in brackets how much each counts.")
    unbeaten = len(found.pareto)
    if len(found.weights) > 1 and unbeaten < len(found.satisfying):
        out.append(f"{unbeaten} of them {'is' if unbeaten == 1 else 'are'} beaten by no other in all of that at once (the Pareto set).")
    if found.chosen == analysis.reference:
        return [*out, "It is the reference itself."]
    changes = ", ".join(_change(one) for one in found.changes) or "no metric has values for both on at least two prompts"
    return [*out, f"Against the reference ({cell_in_short(analysis, analysis.reference)}): {changes}."]


def nothing(found: Choice, analysis: Analysis) -> list[str]:
    """Why no cell was chosen, and which comes nearest: a headline, then a line each."""
    if found.satisfying:
        return ["No recommendation."]
    number, noun = _among(analysis)
    every = "the only one misses" if number == 1 else f"all {number} {'miss' if noun == 'setting' else 'finalists miss'}"
    out = [f"No setting keeps to all bounds: {every} at least one."]
    for one in found.constraints:
        alone = f", {one.excludes_alone} of them for this alone" if one.excludes_alone and len(found.constraints) > 1 else ""
        how = "" if one.by == "interval" else " on the mean" if one.provable else " on the mean (too few prompts to prove it)"
        out.append(f"  {headed(one.metric)} {bounds_of(one)}{how}: excludes {one.excludes}{alone}.")
    if found.nearest is not None:
        out.append(f"Nearest: {cell_in_words(analysis, found.nearest)}")
        out += [f"  {_miss(one)}" for one in found.misses]
        by_interval = {one.metric for one in found.constraints if one.by == "interval"}.issuperset(one.metric for one in found.misses)
        out.append(f"Loosen that bound, {'judge it by: mean, ' if by_interval else ''}or sweep levels beyond this one.")
    return out


def _among(analysis: Analysis) -> tuple[int, str]:
    """How many could be chosen, and what they are called: all settings, or who finished a race."""
    race = race_of(analysis)
    return (len(analysis.cells), "setting") if race is None else (len(race.finished), "finalist")


def glossary(found: Choice, analysis: Analysis) -> list[str]:
    """What the metrics are that the recommendation speaks of."""
    if found.chosen is None:
        return []
    spoken = {one.metric for one in found.constraints} | {one.metric for one in found.weights} | {one.metric for one in found.changes}
    lines = ["Words used here"]
    if len(found.tied) > 1:
        lines.append("cheapest: by cost, else by tokens; within 5 % counts as alike")
    if found.changes or found.chosen == analysis.reference:
        lines.append("reference: the setting that the experiment names, else the nearest to all defaults")
    if any(one.clear == "unchanged" for one in found.changes):
        lines.append("unchanged: shown by test to differ by less than the margin; [brackets]: 95 % interval over prompts")
    return lines + [f"{metric.name}: {metric.definition}" for metric in analysis.metrics if metric.name in spoken]


def _kept(found: Choice) -> str:
    """The bounds, those on the mean last, and what the others are judged by: a mean in a table may lie within a bound that its interval breaks."""
    behind = {one.metric: f" (not proved: {unproved_in_words(one)})" for one in found.unproved}
    said = [(one.by, f"{headed(one.metric)} {bounds_of(one)}{behind.get(one.metric, '')}") for one in found.constraints]
    by_interval, by_mean = (", ".join(text for how, text in said if how == by) for by in ("interval", "mean"))
    parts = [f"{by_interval}, even at the bad end of the 95 % interval"] if by_interval else []
    return "; ".join([*parts, f"{by_mean} on the mean"] if by_mean else parts)


def _goal(one: Weight) -> str:
    return f"bring {one.metric} near {one.target:g}" if one.target is not None else f"{one.goal} {one.metric}"


def _sure(found: Choice, analysis: Analysis) -> str:
    others = len(found.tied) - 1
    share = f"came first in {found.resample_share or 0.0:.0%} of 2,000 resampled sets of prompts, allowing for luck"
    noun = _among(analysis)[1]
    if len(found.satisfying) == 1:
        return f"No other {noun} keeps to the bounds, so there was nothing to compare it with."
    # Of several aims the sum is what was tested; of one it is that metric itself, by the same rule as its change against the reference.
    together = "in all that is wanted together " if len(found.weights) > 1 else ""
    if others == 0:
        return f"Yes: {together}better than every other {noun} that keeps to the bounds, by tests that allow for their number (5 %); it {share}."
    few = f" With under {FEWEST_PROMPTS} prompts nothing can be told apart." if analysis.counts.prompts < FEWEST_PROMPTS else ""
    if found.chosen == found.best:
        others_are = f"{counted(others, f'other {noun}')} cannot be told from it (tests at 5 % over all)"
        return f"Not of this one alone: it is the best as measured and {share}, but {others_are}.{few}"
    return (
        f"Not of this one alone: {len(found.tied)} settings, this one among them, cannot be told from the best as measured (tests at 5 % over all)."
        f"{few} Of these it is the cheapest or, where prices are alike, the nearest to the defaults. The best as measured, "
        f"{cell_in_words(analysis, found.best or 0)}, {share}."
    )


def _else(found: Choice, analysis: Analysis) -> list[str]:
    """What else would do: a headline, then a cell each."""
    others = [index for index in found.tied if index != found.chosen]
    others.sort(key=lambda index: -(found.desirability[index] or 0.0))
    if not others:
        return ["Nothing else does as well on these prompts."]
    own = found.desirability[found.chosen] if found.chosen is not None else None
    head = f"Any of these would do, as far as these prompts tell; in brackets how desirable each is, from 0 to 1 (the one to use: {own or 0.0:.2f})."
    out = [head, *(f"{cell_in_short(analysis, index)} ({found.desirability[index]:.2f})" for index in others[:_MOST_CELLS])]
    more = len(others) - _MOST_CELLS
    return out + ([f"and {more} more (choice.json)"] if more > 0 else [])


def _next(k: int) -> str:
    """How to get as many fresh answers as the `k` that metrics over replicates were taken of."""
    return f"A winner's figures are optimistic: evalkit sweep EXPERIMENT --confirm {k or 8} measures it again on fresh answers."


def _fresh(found: Choice) -> list[str]:
    """What fresh answers say, a line a cell."""
    out = []
    for index in dict.fromkeys(one.cell_index for one in found.confirmed):
        rows = [one for one in found.confirmed if one.cell_index == index]
        role = "the chosen" if index == found.chosen else "the best as measured" if index == found.best else "the runner-up"
        figures = ", ".join(_fresh_and_old(one) for one in rows)
        out.append(f"{rows[0].replicates} new answers a prompt, {role}: {figures}")
    return out


def _fresh_and_old(one: Confirmed) -> str:
    fresh, low, high, old = (sized(one.metric, value) for value in (one.fresh, one.ci_low, one.ci_high, one.selected_on))
    return f"{headed(one.metric)} {fresh} [{low}, {high}] (was {old})"


def _miss(one: Miss) -> str:
    judged = "" if one.judged == one.mean else f", its interval reaches {sized(one.metric, one.judged)}"
    bound = f"{one.bound * factor(one.metric):g}"
    return f"{headed(one.metric)} is {sized(one.metric, one.mean)}{judged}; wanted {'at most' if one.judged > one.bound else 'at least'} {bound}"


def _change(one: Consequence) -> str:
    if one.clear == "unchanged":
        return f"{one.metric} unchanged"
    # Of a reference near 0 a percentage tells nothing: its interval would reach below -100 %.
    if (
        one.percent is not None
        and one.percent_low is not None
        and one.percent_high is not None
        and one.percent_low >= -100
        and one.percent_high < 1000
    ):
        text = f"{one.percent:+.0f} % {one.metric} [{one.percent_low:.0f}, {one.percent_high:.0f}]"
    else:
        text = f"{signed_of(one.metric, one.difference)} {headed(one.metric)} {interval(one.ci_low, one.ci_high, partial(signed_of, one.metric))}"
    return text if one.clear == "changed" else f"{one.metric} unclear ({text.replace(f' {headed(one.metric)}', '').replace(f' {one.metric}', '')})"
