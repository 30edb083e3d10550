"""What a choice is for, in a sentence: its profile's words, else its preferences and bounds in everyday ones."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.choice import Choice, Constraint
from evalkit.experiment.goals import Choose, Preference
from evalkit.metrics import CATALOGUE, label_of
from evalkit.summary.quantities import measured
from evalkit.summary.rows import unit_of

_OF_CHECKS = {
    "facts": "facts found",
    "runs": "code that passes its tests",
    "is_json": "answers in JSON",
    "json_schema": "answers that fit the schema",
    "contains": "answers with the text",
    "not_contains": "answers without the text",
    "equals": "answers that equal the text",
    "regex": "answers that match the pattern",
    "words": "answers with the words",
    "refusal": "refusals",
}


def purpose(choice: Choice | None, choose: Choose | None) -> str:
    """What was looked for: ``creative: many different answers``, or ``most facts found (weight 3), then least cost``; empty where nothing was.

    Args:
        choose: what the experiment asks for, whose preferences count also where no setting keeps to the bounds of the `choice`.
    """
    if choice is None:
        return ""
    about = (choice.about or "").rstrip(".")
    said = f"{choice.profile}: {about}" if choice.profile and about else choice.profile or about
    return said or _from_wishes(choice, {} if choose is None else choose.prefer)


def _from_wishes(choice: Choice, prefer: Mapping[str, Preference]) -> str:
    wished = sorted(prefer.items(), key=lambda one: -one[1].weight)
    lightest = min((one.weight for _, one in wished), default=1.0)
    aims = [_wish(name, one) + (f" (weight {one.weight:g})" if one.weight > lightest else "") for name, one in wished]
    alike = len(aims) > 1 and wished[0][1].weight == lightest
    joined = f"{', '.join(aims[:-1])} and {aims[-1]} alike" if alike else ", then ".join(aims)
    bounds = ", ".join(_bound(one) for one in choice.constraints)
    return "; ".join(filter(None, [joined, bounds and f"only with {bounds}"]))


def _wish(metric: str, one: Preference) -> str:
    what = _named(metric)
    if one.goal == "target":
        return f"{what} near {_amount(metric, one.target or 0.0)}"
    countable = metric in CATALOGUE and unit_of(metric) not in ("money", "seconds", "nats", "number", "ratio")
    if one.goal == "maximize":
        return f"most {what}"
    return f"{'fewest' if countable or metric.partition(':')[0] in _OF_CHECKS else 'least'} {what}"


def _bound(one: Constraint) -> str:
    low, high = (None if end is None else _amount(one.metric, end) for end in (one.min, one.max))
    said = f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"
    return f"{_named(one.metric)} {said}"


def _named(metric: str) -> str:
    """A metric in everyday words: a check by what it looks for, where that says it."""
    kind, _, number = metric.partition(":")
    if unit_of(metric) == "money":
        return "cost"
    return f"{_OF_CHECKS[kind]}{f' ({number})' if number else ''}" if kind in _OF_CHECKS else label_of(metric)


def _amount(metric: str, value: float) -> str:
    """A bound or target as it is told: a share in percent, money of 1,000 answers."""
    share = metric.partition(":")[0] in _OF_CHECKS
    unit = "share" if share else unit_of(metric)
    return measured(value, None, None, unit) + (" for 1,000 answers" if unit == "money" else "")
