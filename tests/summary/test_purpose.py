"""What a choice is for, as one would say it."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.choice import Choice, Constraint
from evalkit.experiment.goals import Choose, Preference
from evalkit.summary.purpose import purpose


def choice(constraints: list[Constraint] | None = None, **more: Any) -> Choice:
    fields: dict[str, Any] = {
        "profile": None,
        "about": None,
        "among": "best",
        "constraints": constraints or [],
        **{key: [] for key in ("weights", "satisfying", "pareto", "perhaps_pareto", "desirability", "tied", "changes", "misses", "notes")},
        **dict.fromkeys(("best", "runner_up", "chosen", "resample_share", "nearest"), None),
        "parameters": {},
    }
    return Choice(**fields | more)


def bound(metric: str, low: float | None, high: float | None) -> Constraint:
    return Constraint(metric=metric, min=low, max=high, by="mean", excludes=0, excludes_alone=0, because=None)


def wish(goal: Any, weight: float = 1.0, **more: Any) -> Preference:
    return Preference(goal=goal, weight=weight, **more)


@pytest.mark.parametrize(
    ("prefer", "bounds", "said"),
    [
        ({"cost": wish("minimize"), "facts": wish("maximize", 3)}, [], "most facts found (weight 3), then least cost"),
        ({"facts": wish("maximize", 2), "cost": wish("minimize", 2)}, [], "most facts found and least cost alike"),
        ({"helpfulness": wish("maximize", 5)}, [], "most helpfulness"),
        ({"truncation_rate": wish("minimize")}, [], "fewest answers cut off"),
        ({"latency_s": wish("minimize")}, [], "least time an answer"),
        ({"length_words": wish("target", target=80)}, [], "words an answer near 80"),
        (
            {"contains:2": wish("maximize")},
            [bound("truncation_rate", None, 0.05), bound("facts", 0.9, None), bound("cost", None, 1e-6), bound("length_words", 20, 60)],
            "most answers with the text (2); only with answers cut off at most 5 %, facts found at least 90 %, "
            "cost at most 0.0010 for 1,000 answers, words an answer 20 to 60",
        ),
    ],
)
def test_wishes_are_said_in_everyday_words_the_heaviest_first(prefer: dict[str, Preference], bounds: list[Constraint], said: str) -> None:
    assert purpose(choice(bounds), Choose(prefer=prefer)) == said


def test_a_profile_says_what_it_is_for() -> None:
    assert purpose(choice(profile="precise", about="Right answers."), Choose(profile="precise")) == "precise: Right answers"
    assert purpose(choice(profile="precise"), Choose(profile="precise")) == "precise"
    assert purpose(None, None) == ""
