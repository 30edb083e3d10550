"""What the effects come to, a sentence a parameter: the most important first, and nothing that the numbers do not bear out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.effects import ALPHA, FEWEST_PROMPTS, Effects, SimpleEffect, Verdict

_MOST_NAMED = 4
_UNDONE = 0.34
"""An effect that falls to this share of what it is elsewhere is called undone."""


def answers(effects: Effects, parameters: Sequence[str], prompts: int) -> list[str]:
    """One sentence for each parameter with a verdict, those that explain most first; a warning where the prompts are too few for a p."""
    spoken = [name for name in parameters if any(one.parameter == name for one in effects.verdicts)]
    largest = {name: max((one.share or 0.0) for one in effects.verdicts if one.parameter == name) for name in spoken}
    out = [_of_parameter(effects, name) for name in sorted(spoken, key=lambda name: -largest[name])]
    if spoken and prompts < FEWEST_PROMPTS:
        out.append(f"With {prompts} prompt{'' if prompts == 1 else 's'} no rearrangement of signs reaches p < .05: use {FEWEST_PROMPTS} at least.")
    return out


def _of_parameter(effects: Effects, name: str) -> str:
    verdicts = [one for one in effects.verdicts if one.parameter == name]
    certain = [one for one in verdicts if one.verdict == "effect" and (one.p_adjusted is None or one.p_adjusted <= ALPHA)]
    certain.sort(key=lambda one: -(one.share or 0.0))
    weak = [one for one in verdicts if one.verdict == "effect" and one not in certain]
    nothing = [one for one in verdicts if one.verdict == "no effect"]
    unknown = [one for one in verdicts if one.verdict == "inconclusive"]
    if not certain and not weak and not unknown:
        return f"{name} does nothing here: no effect beyond the margin on any of {_count(len(nothing), 'metric')} (±{_margins(nothing)})."
    parts = []
    if certain:
        first, *rest = certain
        share = f"explains {first.share:.0%} of" if first.share is not None else "moves"
        text = f"{name} {share} {first.metric}: {_change(first)}"
        if rest:
            also = ", ".join(f"{one.metric} {signed(one.difference)}" for one in rest[:_MOST_NAMED])
            more = len(rest) - _MOST_NAMED
            text += f"; also {also}" + (f" and {more} more" if more > 0 else "")
        parts += [text, *_conditions(effects, first)]
    if weak:
        lead = "" if parts else f"{name}: "
        parts.append(f"{lead}perhaps {_names(weak)} (not sure once all parameters are counted)")
    if nothing:
        lead = "" if parts else f"{name}: "
        parts.append(f"{lead}no effect on {_names(nothing)}")
    if unknown:
        lead = "" if parts else f"{name}: "
        needed = [one.prompts_needed for one in unknown if one.prompts_needed is not None]
        # None where a metric's margin is unknown or out of any reach.
        how_many = f", {min(needed):,} to {max(needed):,} prompts would tell" if needed and min(needed) != max(needed) else ""
        how_many = f", {needed[0]:,} prompts would tell" if needed and not how_many else how_many
        parts.append(f"{lead}inconclusive on {_names(unknown)}{how_many}")
    return "; ".join(parts) + "."


def _change(one: Verdict) -> str:
    text = f"{signed(one.difference)} [{signed(one.ci_low)}, {signed(one.ci_high)}] from {shown(one.from_level)} to {shown(one.to_level)}"
    if one.per_step is not None:
        text += f", {signed(one.per_step)} a step"
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
                out.append(f"{other} {shown(one.at_level)} turns it round ({signed(one.difference)})")
            elif abs(one.difference) <= _UNDONE * abs(strongest.difference):
                out.append(f"{other} {shown(one.at_level)} undoes it (there {signed(one.difference)} [{signed(one.ci_low)}, {signed(one.ci_high)}])")
    return out


def turned(one: SimpleEffect, strongest: SimpleEffect) -> bool:
    """Whether an effect is clear of 0 on the other side than the strongest."""
    return one.difference * strongest.difference < 0 and (one.ci_low > 0 or one.ci_high < 0)


def _names(verdicts: Sequence[Verdict]) -> str:
    names = [one.metric for one in verdicts]
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _margins(verdicts: Sequence[Verdict]) -> str:
    sizes = sorted({one.margin for one in verdicts if one.margin is not None})
    return f"{sizes[0]:.3g}" if len(sizes) == 1 else f"{sizes[0]:.3g} to {sizes[-1]:.3g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def signed(value: float) -> str:
    """A difference with its sign, to three significant digits, small ones to three decimals."""
    if abs(value) >= 1000:
        return f"{value:+,.0f}"
    return f"{value:+.1f}" if abs(value) >= 10 else f"{value:+.2f}" if abs(value) >= 0.995 else f"{value:+.3f}"


def shown(level: Any) -> str:
    """A level in a sentence."""
    from evalkit.parameters import level_text

    text = level_text(level) or ""
    return text if len(text) <= 24 else f"{text[:12]}...{text[-8:]}"
