"""What the effects come to, a sentence a parameter: the most important first, and nothing that the numbers do not bear out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.analysis.effects import CellDifference, Effects, PrefixControl, SimpleEffect, Verdict
from evalkit.experiment.parameters import level_text
from evalkit.metrics import CATALOGUE
from evalkit.stats.claims import clear, sure
from evalkit.stats.conventions import ALPHA, FEWEST_PROMPTS
from evalkit.text.numbers import counted, interval, signed

_MOST_NAMED = 4
_UNDONE = 0.34
"""An effect that falls to this share of what it is elsewhere is called undone."""


def answers(effects: Effects, parameters: Sequence[str], prompts: int, controls: Sequence[PrefixControl] = ()) -> list[str]:
    """One sentence for each parameter with a verdict, those that explain most first; then what controls say, and where a p is out of reach."""
    spoken = [name for name in parameters if any(one.parameter == name for one in effects.verdicts)]
    largest = {name: max((one.share or 0.0) for one in effects.verdicts if one.parameter == name) for name in spoken}
    out = [_of_parameter(effects, name) for name in sorted(spoken, key=lambda name: -largest[name])]
    out += [_of_control(one) for one in controls]
    if spoken and (few := _too_few(effects.verdicts, prompts)):
        out.append(few)
    return out


def of_cells(differences: Sequence[CellDifference], cells: Sequence[Mapping[str, Any]], reference: int, names: Sequence[str] = ()) -> list[str]:
    """One sentence for each cell, where the design tells no parameter's effect from another's: what it changes against the reference.

    Args:
        names: of the cells; where they have none, they are told by their levels.
    """
    said = list(names) or [in_words(cell) for cell in cells]
    out = []
    for index in dict.fromkeys(one.cell_index for one in differences):
        here = [one for one in differences if one.cell_index == index]
        certain = [one for one in here if sure(one.ci_low, one.ci_high, one.p_adjusted)]
        certain.sort(key=lambda one: -abs(one.difference) / one.se if one.se > 0 else -math.inf)
        figures = _listed([f"{_told(one)} {_interval(one)}" for one in certain])
        out.append(f"{said[index]}: {figures or 'no difference that is sure'}.")
    if out:
        out.insert(0, f"Against the reference ({said[reference]}), all settings of a metric counted together:")
    return out


def in_words(cell: Mapping[str, Any]) -> str:
    """A cell in a sentence, what is void left out."""
    return ", ".join(f"{name}={shown(level)}" for name, level in cell.items() if level is not None) or "the only setting"


def _too_few(verdicts: Sequence[Verdict], prompts: int) -> str | None:
    if prompts < FEWEST_PROMPTS:
        return (
            f"With {counted(prompts, 'prompt')} no test can reach p < .05, so no p is given and no effect is called sure: "
            f"use at least {FEWEST_PROMPTS} prompts."
        )
    count = len({one.parameter for one in verdicts})
    smallest = count * 2.0 ** (1 - prompts)
    if smallest > ALPHA:
        enough = math.ceil(1 + math.log2(count / ALPHA))
        return (
            f"With {counted(prompts, 'prompt')} the smallest possible p, allowing for {counted(count, 'parameter')}, is {smallest:.2g}, so no effect "
            f"is called sure: use at least {enough} prompts."
        )
    thin = list(dict.fromkeys(one.metric for one in verdicts if one.n_prompts < FEWEST_PROMPTS))
    if not thin:
        return None
    return f"No p for {_listed(thin)}: fewer than {FEWEST_PROMPTS} prompts have a value there, and then no test can reach p < .05."


def _of_control(one: PrefixControl) -> str:
    words = f"the first {counted(one.tokens, 'word')}"
    where = f"{words} of each answer"
    total = len(one.passed) + len(one.failed) + len(one.open)
    if one.failed:
        return (
            f"Warning: {one.parameter} changes {_listed(one.failed)} on {where}, where a limit that only cuts answers off can change nothing. "
            f"Something else differs with it (a hidden reasoning budget, say), or the answers that reach {words} are a selection: do not compare "
            f"settings that differ in {one.parameter} before you know why."
        )
    if one.open:
        return (
            f"Control: {one.parameter} cannot change {where}. That it does not is shown for {len(one.passed)} of {counted(total, 'metric')}, "
            f"and is unclear for {_listed(one.open)}."
        )
    return f"Control passed: {one.parameter} cannot change {where}, and shows no effect there on {_all(total)}."


def _all(count: int) -> str:
    return "the one metric compared on them" if count == 1 else f"any of the {count} metrics compared on them"


def _of_parameter(effects: Effects, name: str) -> str:
    verdicts = [one for one in effects.verdicts if one.parameter == name]
    certain = sorted((one for one in verdicts if one.sure), key=lambda one: -(one.share or 0.0))
    weak = [one for one in verdicts if one.verdict == "effect" and not one.sure]
    nothing = [one for one in verdicts if one.verdict == "no effect"]
    unknown = [one for one in verdicts if one.verdict == "inconclusive"]
    if len(nothing) == len(verdicts):
        tiny = f"; there are differences, too small to matter: {_figures(beside)}" if (beside := [one for one in nothing if one.beside_zero]) else ""
        return f"{name} does nothing here: no effect beyond the margin on any of {counted(len(nothing), 'metric')} (±{_margins(nothing)}){tiny}."
    parts = _of_certain(effects, certain)
    if weak:
        why = "too few prompts for a p" if all(one.p_adjusted is None for one in weak) else "not sure once all metrics and parameters are counted"
        parts.append(f"perhaps changes {_names(weak)} ({why})")
    return f"{name}: {'; '.join([*parts, *_of_nothing(nothing), *_of_unknown(unknown)])}."


def _of_certain(effects: Effects, certain: Sequence[Verdict]) -> list[str]:
    parts = []
    if certain:
        first, *rest = certain
        share = f"explains {first.share:.0%} of the variation in" if first.share is not None else "changes"
        text = f"{share} {_name_of(first.metric)}: {_change(first)}"
        parts += [text + (f"; also {_figures(rest)}" if rest else ""), *_conditions(effects, first)]
    return parts


def _of_nothing(nothing: Sequence[Verdict]) -> list[str]:
    parts = []
    if nothing:
        parts.append(f"no effect on {_names(nothing)}")
        if beside := [one for one in nothing if one.beside_zero]:
            parts.append(f"differences too small to matter: {_figures(beside)}")
    return parts


def _of_unknown(unknown: Sequence[Verdict]) -> list[str]:
    if not unknown:
        return []
    needed = sorted(one.prompts_needed for one in unknown if one.prompts_needed is not None)
    # None where a metric's margin is unknown or out of any reach.
    span = "" if not needed else f"{needed[0]:,}" if needed[0] == needed[-1] else f"{needed[0]:,} to {needed[-1]:,}"
    return [
        f"unclear for {_names(unknown)}"
        + (f" (about {span} prompts would tell; this run has {max(one.n_prompts for one in unknown)})" if span else "")
    ]


def _change(one: Verdict) -> str:
    times = _times(one.metric)
    text = f"{signed(one.difference * times)} {_interval(one)} from {shown(one.from_level)} to {shown(one.to_level)}"
    if one.per_step is not None:
        text += f", {signed(one.per_step * times)} from one level to the next"
    return text


def _conditions(effects: Effects, verdict: Verdict) -> list[str]:
    """At which levels of other parameters the effect is undone or turned round, where the interaction is beyond doubt."""
    out = []
    for pair in effects.interactions:
        if pair.metric != verdict.metric or verdict.parameter not in pair.parameters or pair.p_adjusted is None or pair.p_adjusted > ALPHA:
            continue
        (other,) = [name for name in pair.parameters if name != verdict.parameter]
        here = [one for one in effects.simple if (one.parameter, one.metric, one.at_parameter) == (verdict.parameter, verdict.metric, other)]
        if len(here) < 2:
            continue
        strongest = max(here, key=lambda one: abs(one.difference))
        for one in here:
            if turned(one, strongest):
                out.append(f"{other} {shown(one.at_level)} reverses it ({signed(one.difference * _times(one.metric))})")
            elif abs(one.difference) <= _UNDONE * abs(strongest.difference):
                out.append(f"{other} {shown(one.at_level)} undoes it (only {signed(one.difference * _times(one.metric))} {_interval(one)})")
    return out


def turned(one: SimpleEffect, strongest: SimpleEffect) -> bool:
    """Whether an effect is clear of 0 on the other side than the strongest."""
    return one.difference * strongest.difference < 0 and clear(one.ci_low, one.ci_high)


def _figures(verdicts: Sequence[Verdict]) -> str:
    return _listed([_told(one) for one in verdicts])


def _told(one: Verdict | CellDifference) -> str:
    return f"{_name_of(one.metric)} {signed(one.difference * _times(one.metric))}"


def _interval(one: Verdict | CellDifference | SimpleEffect) -> str:
    times = _times(one.metric)
    return interval(one.ci_low * times, one.ci_high * times)


def _times(metric: str) -> float:
    """Money is told of 1,000 answers, for of one it is too small to read."""
    return 1_000.0 if metric in CATALOGUE and CATALOGUE[metric].unit == "money" else 1.0


def _name_of(metric: str) -> str:
    return "cost of 1,000 answers" if _times(metric) > 1 else metric


def _names(verdicts: Sequence[Verdict]) -> str:
    return _listed([one.metric for one in verdicts])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _margins(verdicts: Sequence[Verdict]) -> str:
    sizes = sorted({one.margin for one in verdicts if one.margin is not None})
    return f"{sizes[0]:.3g}" if len(sizes) == 1 else f"{sizes[0]:.3g} to {sizes[-1]:.3g}"


def shown(level: Any) -> str:
    """A level in a sentence."""
    text = level_text(level) or ""
    return text if len(text) <= 24 else f"{text[:12]}...{text[-8:]}"
