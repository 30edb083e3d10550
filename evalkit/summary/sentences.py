"""How sure the choice is, and what each parameter does, in the words of a conversation."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.effects import Verdict
from evalkit.choice import Choice, Confirmed
from evalkit.metrics import CATALOGUE, label_of
from evalkit.stats.conventions import FEWEST_PROMPTS
from evalkit.summary.deciding import deciding
from evalkit.summary.quantities import measured, named
from evalkit.summary.racing import race_of
from evalkit.summary.rows import unit_of
from evalkit.summary.summary import Row
from evalkit.text.numbers import counted

_A_LOT, _SOME = 0.3, 0.05
"""Shares of a metric's variation within prompts from which a parameter matters a lot, and some."""
_MOST_PROMPTS = 10_000


def sure(choice: Choice, analysis: Analysis, rows: Sequence[Row]) -> list[str]:
    """How sure the setting to use is, against the reference by its `rows`, and against all others that keep to the bounds."""
    if choice.chosen is None:
        return []
    prompts = analysis.counts.prompts
    tied = len(choice.tied) - 1
    share = f"{100 * (choice.resample_share or 0.0):.0f} %"
    # In a race only who finished can be chosen, or compared with what was.
    other = "setting" if race_of(analysis) is None else "finalist"
    out = _against_the_reference(rows)
    if len(choice.satisfying) == 1:
        out.append(f"No other {other} keeps to the bounds, so there was nothing to compare it with.")
    elif prompts < FEWEST_PROMPTS:
        out.append(f"Best of all: with {counted(prompts, 'prompt')} nothing can be told apart.")
    elif tied == 0:
        out.append(f"Best of all: yes, better than every other {other} that keeps to the bounds, on these {prompts} prompts.")
    else:
        many = f"1 other {other} does" if tied == 1 else f"{tied} other {other}s do"
        first = f"it leads in {share} of redrawn sets" if choice.chosen == choice.best else "this one is the cheapest or the nearest to the defaults"
        out.append(f"Best of all: not sure, {many} about as well on these {prompts} prompts; {first}.")
    fresh = [one for one in choice.confirmed if one.cell_index == choice.chosen]
    if fresh:
        held = sum(one.ci_low <= one.selected_on <= one.ci_high for one in fresh)
        again = f"{fresh[0].replicates} fresh answers to each prompt"
        out.append(f"Measured again on {again}: {_before_and_fresh(fresh, choice, analysis)}; {held} of {counted(len(fresh), 'figure')} held.")
    return out


def _before_and_fresh(fresh: Sequence[Confirmed], choice: Choice, analysis: Analysis) -> str:
    """The metric that decides most, as it was when it was chosen and on fresh answers: ``facts 96 % before, 95 % [91, 97] fresh``."""
    by_metric = {one.metric: one for one in fresh}
    one = next((by_metric[name] for name in deciding(choice) if name in by_metric), fresh[0])
    unit = unit_of(one.metric, analysis.metrics)
    before = measured(one.selected_on, None, None, unit)
    return f"{named(label_of(one.metric), unit)} {before} before, {measured(one.fresh, one.ci_low, one.ci_high, unit)} fresh"


def _against_the_reference(rows: Sequence[Row]) -> list[str]:
    """In how many of the metrics that decide a setting is better than the reference."""
    decisive = [row for row in rows if row.decides and row.verdict is not None]
    if not decisive:
        return []
    better, worse = (sum(row.verdict == word for row in decisive) for word in ("better", "worse"))
    said = f"yes, in {better} of {counted(len(decisive), 'metric')} that decide" if better else "not shown in any metric that decides"
    lost = f", worse in {worse}" if worse else ", worse in none" if better else ""
    return [f"Better than the reference: {said}{lost}."]


def swept(analysis: Analysis, index: int) -> dict[str, object]:
    """The levels of a cell in the parameters that have more than one; without those that have no effect beside the others."""
    cell = analysis.cells[index]
    return {name: level for name, level in cell.items() if len(analysis.parameters[name]) > 1 and level is not None}


def matters(analysis: Analysis, decisive: Sequence[str]) -> list[str]:
    """What each parameter does to the metrics that decide (to all where none does): a clause for each strength, the strongest first."""
    groups: dict[str, list[str]] = {}
    order: dict[str, float] = {}
    open_names, needed = [], []
    for name in analysis.parameters:
        verdicts = [one for one in analysis.verdicts if one.parameter == name]
        if not verdicts:
            continue
        deciding = [one for one in verdicts if one.metric in decisive] or verdicts
        said, where, weight = _of_parameter(deciding, verdicts)
        if said is None:
            open_names.append(name)
            needed.append(_prompts(deciding))
            continue
        groups.setdefault(said, []).append(f"{name} ({where})" if where else name)
        order[said] = max(order.get(said, -1.0), weight)
    out = [f"{said}: {', '.join(names)}" for said, names in sorted(groups.items(), key=lambda one: -order[one[0]])]
    return [*out, f"not enough prompts to tell{_would(needed)}: {', '.join(open_names)}"] if open_names else out


def _prompts(verdicts: Sequence[Verdict]) -> int | None:
    """How many prompts would settle one of the questions that are open; None where no number is known."""
    return min((one.prompts_needed for one in verdicts if one.verdict == "inconclusive" and one.prompts_needed is not None), default=None)


def _would(needed: Sequence[int | None]) -> str:
    """How many prompts would tell, where that is known of all and within reach."""
    known = [one for one in needed if one is not None and one <= _MOST_PROMPTS]
    return f" (about {_round(max(known)):,} would)" if len(known) == len(needed) else ""


def _of_parameter(deciding: Sequence[Verdict], every: Sequence[Verdict]) -> tuple[str | None, str, float]:
    """How much a parameter matters, None where it is open, to what most, and how much that is, to sort by."""
    certain = sorted((one for one in deciding if one.sure), key=lambda one: -(one.share or 0.0))
    if certain:
        share = certain[0].share or 0.0
        much = "a lot" if share >= _A_LOT else "some" if share >= _SOME else "a little"
        if all(_is_length(one.metric) for one in certain):
            return much, "length alone", 1 + share
        return much, label_of(certain[0].metric) if share >= _SOME else "", 2 + share
    if all(one.verdict == "no effect" for one in deciding):
        elsewhere = [one for one in every if one.sure]
        if elsewhere:
            only = "length" if all(_is_length(one.metric) for one in elsewhere) else label_of(max(elsewhere, key=lambda one: one.share or 0.0).metric)
            return "on nothing that decides", only, 0.5
        return "not at all, any effect is too small to matter", "", 0.0
    return None, "", 0.0


def _is_length(metric: str) -> bool:
    known = CATALOGUE.get(metric)
    return known is not None and known.family == "length"


def _round(number: int) -> int:
    """A number of prompts as one says it: to one or two digits."""
    size = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // size) * size
