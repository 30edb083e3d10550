"""Groups that are cut and measured in other processes, of this machine or another: the texts go there, and numbers come back.

Each process has its part of the groups, the same as `evalkit.scoring.workers` gives it, and keeps them from the cutting to the measuring. No value
depends on where it was taken. A process that dies is replaced once, and its part is done again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from evalkit.engine.processes import Elsewhere, Process, ProcessLostError
from evalkit.errors import ExperimentError
from evalkit.metrics import Tokenizer, tokens
from evalkit.metrics.custom import Scorer
from evalkit.metrics.group import Floats, Ints
from evalkit.scoring.answers import Answers, ScoredAnswer, Where
from evalkit.scoring.groups import Groups
from evalkit.scoring.measuring import Measuring, OfGroup, Vectors

_SENT_TOGETHER = 2**22
"""Bytes of texts that travel together."""
_MEASURED_TOGETHER = 16
"""Groups whose numbers come together."""
_AHEAD = 3
"""Messages under way to one process."""


class Part:
    """What one process has of the groups, in it.

    Raises:
        ExperimentError: words are cut otherwise here than where the groups come from.
    """

    def __init__(self, tokenizer: str, recorded: Sequence[str], expects: Sequence[str | None]) -> None:
        self._tokenizer, self._recorded, self._expects = tokens.tokenizer(tokenizer), recorded, expects
        if self._tokenizer.name != tokenizer:
            raise ExperimentError(
                f"a worker cuts words by {self._tokenizer.name}, and here {tokenizer} does; install the same releases of regex and icu4py everywhere"
            )
        self._answers: dict[Where, dict[int, ScoredAnswer]] = {}
        self._groups: Groups | None = None

    def put(self, answers: dict[Where, dict[int, ScoredAnswer]]) -> None:
        """Take some answers."""
        self._answers |= answers

    def cut(self) -> dict[Where, tuple[Ints, Ints]]:
        """Cut all into tokens: how many each answer has, and how many of them are words."""
        self._groups = Groups(self._answers, self._tokenizer, self._recorded, self._expects)
        return {where: (self._groups.lengths[where], self._groups.words[where]) for where in self._groups}

    def measure(self, measuring: Measuring, wheres: Sequence[Where], vectors: Sequence[Floats] | None) -> list[tuple[Where, OfGroup]]:
        """What is found of some groups, which are let go."""
        if self._groups is None:
            raise AssertionError(wheres)
        given = {} if vectors is None else dict(zip(wheres, vectors, strict=True))
        return [(where, measuring.of(self._groups.take(where), where, (), given.get(where))) for where in wheres]


class GroupsAfar(Groups):
    """As `Groups`, but cut and measured elsewhere; those that are asked for one by one are cut here."""

    def __init__(self, answers: Answers, tokenizer: Tokenizer, recorded: Sequence[str], expects: Sequence[str | None], there: Elsewhere) -> None:
        self._setting = (tokenizer.name, tuple(recorded), tuple(expects))
        self._there, self._all = there, answers
        self.begin(answers, tokenizer, recorded, expects)
        wheres = sorted(answers)
        count = max(1, min(there.workers, len(wheres)))
        self._parts = [(wheres[at::count]) for at in range(count)]
        self._processes: list[Process] = []
        try:
            self._processes += [there.process(Part, *self._setting) for _ in range(count)]
            found = dict(pair for lengths in self._each(_Cut(self)) for pair in lengths.items())
        except BaseException:
            self.end()
            raise
        for where in wheres:
            self.lengths[where], self.words[where] = found[where]

    def end(self) -> None:
        """End the processes."""
        for one in self._processes:
            one.end()

    def measured(
        self, measuring: Measuring, scorers: Sequence[Scorer], vectors: Vectors | None, jobs: int, name: Callable[[Where], str]
    ) -> Iterator[tuple[Where, OfGroup]]:
        """As of `Groups`; scorers of the experiment's own are asked here, where their code is."""
        try:
            for some in self._each(_Measured(self, measuring, vectors)):
                for where, found in some:
                    if scorers:
                        measuring.own(self[where], where, scorers, found)
                    yield where, found
        finally:
            self.end()
        del jobs, name  # of processes that are forked

    def _each(self, work: _Work) -> Iterator[Any]:
        """What `work` gives in each process, as it comes."""
        going = [iter(work.steps(at, self._parts[at])) for at in range(len(self._parts))]
        under_way: list[deque[tuple[Any, bool]]] = [deque() for _ in going]
        again = set[int]()
        open_ones = set(range(len(going)))
        while open_ones:
            for at in sorted(open_ones):
                process = self._processes[at]
                try:
                    while len(under_way[at]) < _AHEAD and (step := next(going[at], None)) is not None:
                        under_way[at].append((process.call(*step[0]), step[1]))
                    if not under_way[at]:
                        open_ones.discard(at)
                        continue
                    call, wanted = under_way[at][0]
                    found = process.result(call)
                except ProcessLostError as fault:
                    if at in again:
                        raise ExperimentError(
                            f"scoring: a worker died twice over the same groups ({fault}); score in one process to see what happens"
                        ) from None
                    again.add(at)
                    self._processes[at] = self._there.process(Part, *self._setting)
                    under_way[at].clear()
                    going[at] = iter(work.again(at, self._parts[at]))
                    continue
                under_way[at].popleft()
                if wanted:
                    work.done(at, found)
                    yield found

    def texts(self, wheres: Sequence[Where]) -> Iterator[dict[Where, dict[int, ScoredAnswer]]]:
        """The answers of some groups, as many as travel together."""
        some: dict[Where, dict[int, ScoredAnswer]] = {}
        size = 0
        for where in wheres:
            some[where] = self._all[where]
            size += sum(len(one.text) + 200 for one in some[where].values())
            if size >= _SENT_TOGETHER:
                yield some
                some, size = {}, 0
        if some:
            yield some


Step = tuple[tuple[Any, ...], bool]
"""A call, and whether what it gives is wanted."""


class _Work(Protocol):
    def steps(self, at: int, wheres: Sequence[Where]) -> Iterator[Step]: ...
    def again(self, at: int, wheres: Sequence[Where]) -> Iterator[Step]: ...
    def done(self, at: int, found: Any) -> None: ...


class _Cut:
    """Sending texts, and having them cut."""

    def __init__(self, groups: GroupsAfar) -> None:
        self._groups = groups

    def steps(self, at: int, wheres: Sequence[Where]) -> Iterator[Step]:  # noqa: ARG002 (alike for all)
        for some in self._groups.texts(wheres):
            yield ("put", some), False
        yield ("cut",), True

    again = steps

    def done(self, at: int, found: Any) -> None:
        """Each is told once, at its end."""


class _Measured:
    """Having groups measured, some at a time."""

    def __init__(self, groups: GroupsAfar, measuring: Measuring, vectors: Vectors | None) -> None:
        self._groups, self._measuring, self._vectors = groups, measuring, vectors
        self._told: dict[int, set[Where]] = {}

    def steps(self, at: int, wheres: Sequence[Where]) -> Iterator[Step]:
        told = self._told.setdefault(at, set())
        left = [where for where in wheres if where not in told]
        for first in range(0, len(left), _MEASURED_TOGETHER):
            some = left[first : first + _MEASURED_TOGETHER]
            vectors = None if self._vectors is None else [self._vectors(self._groups.sources(where)) for where in some]
            yield ("measure", self._measuring, some, vectors), True

    def again(self, at: int, wheres: Sequence[Where]) -> Iterator[Step]:
        """From the beginning, but for what was told."""
        left = [where for where in wheres if where not in self._told.get(at, ())]
        for some in self._groups.texts(left):
            yield ("put", some), False
        yield ("cut",), False
        yield from self.steps(at, wheres)

    def done(self, at: int, found: Any) -> None:
        self._told.setdefault(at, set()).update(where for where, _ in found)
