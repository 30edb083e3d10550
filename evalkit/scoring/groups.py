"""The answers of a run as groups that are cut into tokens, each when it is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from evalkit.metrics import Group, Tokenizer, tokenise
from evalkit.metrics.custom import Scorer
from evalkit.metrics.group import Ints
from evalkit.scoring.answers import ScoredAnswer, Where
from evalkit.scoring.measuring import Measuring, OfGroup, Vectors
from evalkit.scoring.workers import spread

_KEPT = 64 * 2**20
"""Bytes of tokens that are kept from the first look at the groups to the second: what is beyond them is cut a second time."""
_OF_A_WORD, _OF_A_GROUP = 120, 4_000
"""Bytes that a different word, and a group by itself, take about."""


class Groups(Mapping[Where, Group]):
    """(cell, prompt) → its answers, cut into tokens.

    Attributes:
        lengths: tokens of each answer, by replicate; each of shape (k,).
        words: tokens with a letter or digit, likewise.
    """

    def __init__(
        self, answers: Mapping[Where, Mapping[int, ScoredAnswer]], tokenizer: Tokenizer, recorded: Sequence[str], expects: Sequence[str | None]
    ) -> None:
        """`recorded`: what else is known of answers and wanted, by name; `expects`: what each prompt says its answer should hold."""
        self.begin(answers, tokenizer, recorded, expects)
        room = _KEPT
        for where in sorted(answers):
            group = self._cut(where)
            self.lengths[where], self.words[where] = np.array(group.lengths), np.array(group.words)
            room -= _OF_A_GROUP + group.ids.nbytes + sum(map(len, group.sources)) + _OF_A_WORD * len(group.vocabulary)
            if room > 0:
                self._kept[where] = group

    def begin(
        self, answers: Mapping[Where, Mapping[int, ScoredAnswer]], tokenizer: Tokenizer, recorded: Sequence[str], expects: Sequence[str | None]
    ) -> None:
        """Hold what the groups are made of; none is cut yet."""
        self._answers, self._tokenizer, self._recorded, self._expects = answers, tokenizer, recorded, expects
        self._kept: dict[Where, Group] = {}
        self.lengths: dict[Where, Ints] = {}
        self.words: dict[Where, Ints] = {}

    def sources(self, where: Where) -> list[str]:
        """The texts of a group."""
        return [one.text for one in self._answers[where].values()]

    def __getitem__(self, where: Where) -> Group:
        return self._kept.get(where) or self._cut(where)

    def __iter__(self) -> Iterator[Where]:
        return iter(self.lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def take(self, where: Where) -> Group:
        """The group, which is not kept any longer: what it works out goes with it."""
        return self._kept.pop(where, None) or self._cut(where)

    def measured(
        self, measuring: Measuring, scorers: Sequence[Scorer], vectors: Vectors | None, jobs: int, name: Callable[[Where], str]
    ) -> Iterator[tuple[Where, OfGroup]]:
        """What is found of each group, as it comes, so that what a group has computed goes with it.

        Args:
            jobs, name: as `evalkit.scoring.workers.spread` has them.
        """

        def work(where: Where) -> OfGroup:
            group = self.take(where)
            return measuring.of(group, where, scorers, None if vectors is None else vectors(group.sources))

        yield from spread(sorted(self), work, jobs, name)

    def _cut(self, where: Where) -> Group:
        group = list(self._answers[where].values())
        return tokenise(
            [one.text for one in group],
            self._tokenizer,
            [one.truncated for one in group],
            [one.completion_tokens for one in group],
            {name: [one.recorded.get(name, math.nan) for one in group] for name in self._recorded},
            self._expects[where[1]],
        )
