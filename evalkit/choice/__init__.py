"""Which settings to use: constraints first, then what no other cell beats, then desirability; and how sure that is."""

from __future__ import annotations

from evalkit.choice.choice import Choice, Confirmed, Consequence, Constraint, Miss, Unproved, Weight, bounds_in_words, unproved_in_words
from evalkit.choice.confirmation import confirmed
from evalkit.choice.decision import choose
from evalkit.choice.recommendation import call_of, recommended_yaml

__all__ = [
    "Choice",
    "Confirmed",
    "Consequence",
    "Constraint",
    "Miss",
    "Unproved",
    "Weight",
    "bounds_in_words",
    "call_of",
    "choose",
    "confirmed",
    "recommended_yaml",
    "unproved_in_words",
]
