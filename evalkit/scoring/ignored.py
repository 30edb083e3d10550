"""Parameters that an endpoint seems to ignore, as the answers themselves show it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol

from evalkit.experiment.parameters import ENDPOINT, level_key
from evalkit.plan.requests import Plan

_SAME_PAIRS = 12
_NO_TEXT_OF_THEIRS = frozenset({"max_tokens", "max_completion_tokens", "stop", "model", "seed", ENDPOINT})


class Texted(Protocol):
    """An answer."""

    @property
    def text(self) -> str:
        """What is scored of it."""
        ...


def without_effect(plan: Plan, answers: Mapping[tuple[int, int], Mapping[int, Texted]]) -> dict[str, int]:
    """Parameters that seem to be ignored: the number of pairs of answers that differ in that parameter alone and are all the same text.

    Such a pair tells something only where an answer depends on nothing else: under one seed, or at temperature 0.
    """
    seeded = plan.experiment.request.get("seed") is not None
    by_rest: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}
    for index, cell in enumerate(plan.cells):
        greedy = cell.get("temperature", plan.experiment.request.get("temperature")) == 0
        for name, level in cell.items():
            if name in _NO_TEXT_OF_THEIRS or level is None or not (seeded or (greedy and name != "temperature")):
                continue
            rest = tuple((other, level_key(at)) for other, at in cell.items() if other != name)
            by_rest.setdefault((name, rest), []).append(index)
    pairs: Counter[str] = Counter()
    differ: set[str] = set()
    for (name, _), cells in by_rest.items():
        for one, other in pairwise(cells):
            for prompt in range(len(plan.experiment.prompts)):
                first, second = answers.get((one, prompt), {}), answers.get((other, prompt), {})
                for replicate in first.keys() & second.keys():
                    pairs[name] += 1
                    if first[replicate].text != second[replicate].text:
                        differ.add(name)
    return {name: count for name, count in pairs.items() if name not in differ and count >= _SAME_PAIRS}
