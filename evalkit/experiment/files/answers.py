"""What a set of prompts says of right answers: how many have one, and how many are too long for a check to find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.experiment.prompts import Prompt

MOST_WORDS = 8
"""In a line of what is expected; few answers repeat a longer one as it stands."""


class RightAnswers(NamedTuple):
    """Of a set of prompts how many there are, how many say what is expected, how many of these in a line that is long, how many have tests."""

    prompts: int
    there: int
    long: int
    tested: int


def right_answers(prompts: Sequence[Prompt]) -> RightAnswers:
    """What these prompts have of right answers."""
    expected = [prompt.expect for prompt in prompts if prompt.expect is not None]
    long = sum(any(len(line.split()) > MOST_WORDS for line in one.split("\n")) for one in expected)
    return RightAnswers(len(prompts), len(expected), long, sum(prompt.tests is not None for prompt in prompts))
