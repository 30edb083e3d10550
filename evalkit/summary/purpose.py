"""What a choice is for, in a sentence: its profile's words, else its preferences and bounds in everyday ones."""

from __future__ import annotations

from evalkit.choice import Choice, Constraint, Weight
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
_ALIKE = 1.005
"""Weights nearer than this ratio are one: they come from shares."""


def purpose(choice: Choice | None) -> str:
    """What was looked for: ``creative: many different answers``, or ``most facts found (weight 3), then least cost``; empty where nothing was."""
    if choice is None:
        return ""
    about = (choice.about or "").rstrip(".")
    said = f"{choice.profile}: {about}" if choice.profile and about else choice.profile or about
    return said or _from_wishes(choice)


def _from_wishes(choice: Choice) -> str:
    weights = sorted(choice.weights, key=lambda one: -one.say)
    lightest = weights[-1].say if weights else 1.0
    alike = not weights or weights[0].say < lightest * _ALIKE
    wishes = [_wish(one) + (f" (weight {one.say / lightest:.3g})" if one.say >= lightest * _ALIKE else "") for one in weights]
    aims = f"{', '.join(wishes[:-1])} and {wishes[-1]} alike" if alike and len(wishes) > 1 else ", then ".join(wishes)
    bounds = ", ".join(_bound(one) for one in choice.constraints)
    return "; ".join(filter(None, [aims, bounds and f"only with {bounds}"]))


def _wish(one: Weight) -> str:
    what = _named(one.metric)
    if one.goal == "target":
        return f"{what} near {_amount(one.metric, one.target or 0.0)}"
    countable = one.metric in CATALOGUE and unit_of(one.metric) not in ("money", "seconds", "nats", "number", "ratio")
    if one.goal == "maximize":
        return f"most {what}"
    return f"{'fewest' if countable or one.metric.partition(':')[0] in _OF_CHECKS else 'least'} {what}"


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
