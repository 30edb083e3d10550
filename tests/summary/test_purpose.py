"""What a choice is for, as one would say it."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.choice import Choice, Constraint, Weight
from evalkit.summary.purpose import purpose


def choice(weights: list[Weight], constraints: list[Constraint] | None = None, **more: Any) -> Choice:
    fields: dict[str, Any] = {
        "profile": None,
        "about": None,
        "among": "best",
        "weights": weights,
        "constraints": constraints or [],
        **{key: [] for key in ("satisfying", "pareto", "perhaps_pareto", "desirability", "tied", "changes", "misses", "notes")},
        **dict.fromkeys(("best", "runner_up", "chosen", "resample_share", "nearest"), None),
        "parameters": {},
    }
    return Choice(**fields | more)


def weight(metric: str, goal: Any, say: float, target: float | None = None) -> Weight:
    return Weight(metric=metric, goal=goal, say=say, worst=0, best=1, because=None, target=target)


def bound(metric: str, low: float | None, high: float | None) -> Constraint:
    return Constraint(metric=metric, min=low, max=high, by="mean", excludes=0, excludes_alone=0, because=None)


@pytest.mark.parametrize(
    ("weights", "bounds", "said"),
    [
        ([weight("cost", "minimize", 0.25), weight("facts", "maximize", 0.75)], [], "most facts found (weight 3), then least cost"),
        ([weight("facts", "maximize", 0.5), weight("cost", "minimize", 0.5)], [], "most facts found and least cost alike"),
        ([weight("helpfulness", "maximize", 1)], [], "most helpfulness"),
        ([weight("truncation_rate", "minimize", 1)], [], "fewest answers cut off"),
        ([weight("latency_s", "minimize", 1)], [], "least time an answer"),
        ([weight("length_words", "target", 1, 80)], [], "words an answer near 80"),
        (
            [weight("contains:2", "maximize", 1)],
            [bound("truncation_rate", None, 0.05), bound("facts", 0.9, None), bound("cost", None, 1e-6), bound("length_words", 20, 60)],
            "most answers with the text (2); only with answers cut off at most 5 %, facts found at least 90 %, "
            "cost at most 0.0010 for 1,000 answers, words an answer 20 to 60",
        ),
    ],
)
def test_wishes_are_said_in_everyday_words_the_heaviest_first(weights: list[Weight], bounds: list[Constraint], said: str) -> None:
    assert purpose(choice(weights, bounds)) == said


def test_a_profile_says_what_it_is_for() -> None:
    found = choice([weight("facts", "maximize", 1)], profile="precise", about="Right answers.")
    assert purpose(found) == "precise: Right answers"
    assert purpose(choice([weight("facts", "maximize", 1)], profile="precise")) == "precise"
    assert purpose(None) == ""
