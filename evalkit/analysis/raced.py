"""What a race was, for whoever reads its numbers: who was asked what, and how each setting left."""

from __future__ import annotations

from typing import Literal

import msgspec

Left = Literal["bound", "worse", "aside"]


class RaceLook(msgspec.Struct, frozen=True, kw_only=True):
    """A look: `settings` had been asked `prompts`, and these many of them left."""

    prompts: int
    settings: int
    bound: int = 0
    worse: int = 0
    aside: int = 0


class Departure(msgspec.Struct, frozen=True, kw_only=True):
    """How a setting left.

    Attributes:
        why: ``bound``: a test shows that it misses the bound on `metric`; ``worse``: a test shows that it is worse than the leader of then;
            ``aside``: it was ranked low and is unfinished, which shows nothing.
        prompts: that it had been asked.
        p: of the test, held against `level`; None where nothing was tested.
        leader: the setting that it was compared with.
    """

    cell_index: int
    why: Left
    prompts: int
    metric: str | None = None
    p: float | None = None
    level: float | None = None
    leader: int | None = None


class Raced(msgspec.Struct, frozen=True, kw_only=True):
    """A race.

    Attributes:
        budget: as it was wanted: a share of the full grid's requests, or ``proof``.
        asked: requests so far; `most`: at most in all; `grid`: of the full grid.
        common_prompts: ids of the prompts that every setting was asked, which effects of parameters are taken from.
        finished: settings that were asked every prompt and may be chosen.
        left: the others, in their order.
        recalled: of those finished, who had left and was asked the rest after all, as nothing could be chosen.
        six: requests at most with ``first: 6``, from which on effects of parameters can be tested; None where nothing would change.
        over: whether it has come to its end.
        method: ``race``, or ``bayes`` where settings were proposed on the way.
        rounds: batches of proposals that were made, of `rounds_wanted`; `proposed`: the settings that they brought.
        by: who proposed.
    """

    budget: str
    confidence: float
    asked: int
    most: int
    grid: int
    common_prompts: list[str]
    looks: list[RaceLook]
    finished: list[int]
    left: list[Departure]
    recalled: list[int]
    six: int | None
    over: bool
    method: Literal["race", "bayes"] = "race"
    rounds: int = 0
    rounds_wanted: int = 0
    proposed: list[int] = []
    by: str = ""

    @property
    def label(self) -> str:
        """What it was, in a word."""
        return "Search" if self.method == "bayes" else "Race"

    @property
    def common(self) -> int:
        """How many prompts every setting was asked."""
        return len(self.common_prompts)

    def count(self, why: Left) -> int:
        """How many settings left in this way."""
        return sum(one.why == why for one in self.left)


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What a race would have come to on the records of a full grid.

    Attributes:
        requests: that it would have asked, of `grid`.
        chosen: the setting that it would have recommended; None for none.
        loss: by how much less desirable that is than what the grid recommends, both as the grid measured them; None where one of them is none.
    """

    budget: str
    requests: int
    grid: int
    chosen: int | None
    loss: float | None


def in_words(raced: Raced) -> str:
    """Who left and how, the two kinds of leaving apart: like "9 shown worse, 10 set aside unfinished (not shown worse), 6 finished"."""
    parts = [
        f"{raced.count('bound')} excluded by a bound",
        f"{raced.count('worse')} shown worse",
        f"{raced.count('aside')} set aside unfinished (not shown worse)",
    ]
    kept = [part for part in parts if not part.startswith("0 ")]
    return ", ".join([*kept, f"{len(raced.finished)} {'finished' if raced.over else 'still in'}"])
