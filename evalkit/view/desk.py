"""Which answers a person is shown next, blind: drawn so that prompts and settings are rated evenly, and soon connected."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from evalkit.experiment.judges import Judge
from evalkit.plan.places import Place
from evalkit.scoring.preference import Rated, comparisons
from evalkit.stats.preference import components
from evalkit.store import ratings
from evalkit.store.ratings import Rating
from evalkit.view.opened import Opened

_MOST_DEALT = 2_000
_MOST_CANDIDATES = 8
_TRIES = 60
_MOST_DESKS = 4


class Dealt(NamedTuple):
    """What a person was shown: the keys of two answers, or of one to be rated on a judge's scale."""

    prompt_id: str
    left: str
    right: str | None
    judge: str | None


@dataclass
class Desk:
    """The rating of one run: what was rated, whose answers stand where, and what was dealt and may be rated.

    Attributes:
        mended: what was mended in the file of ratings, in words.
    """

    opened: Opened
    rated: list[Rating] = field(default_factory=list)
    answers: dict[str, Rated] = field(default_factory=dict)
    mended: str = ""
    dealt: dict[str, Dealt] = field(default_factory=dict)
    _random: Random = field(default_factory=secrets.SystemRandom)

    def refresh(self) -> None:
        """Read what others have rated meanwhile. Raises `RecordError`."""
        self.opened.refresh()
        self.rated = ratings.load(self.opened.folder)
        for one in self.rated:
            for key in (one.left, one.right):
                if key is not None and key not in self.answers and (found := self._read(key)) is not None:
                    self.answers[key] = found

    def _read(self, key: str) -> Rated | None:
        record = self.opened.record(key)
        text = None if record is None else self.opened.text(record)
        if record is None or text is None:
            return None
        place = self.opened.place(key, record.cell, record.prompt_id, record.replicate)
        return None if place is None else Rated(place.cell, place.prompt, text)

    @property
    def candidates(self) -> list[int]:
        """The settings that are compared: those tied with the best, and the reference; where nothing was chosen, all or some spread over them."""
        run, count = self.opened.run, len(self.opened.plan.cells)
        if run is not None and run.choice is not None and run.choice.tied:
            first = [run.choice.chosen, run.analysis.reference, *run.choice.tied]
            return list(dict.fromkeys(one for one in first if one is not None))[:_MOST_CANDIDATES]
        some = min(count, _MOST_CANDIDATES)
        return list(dict.fromkeys(round(at * (count - 1) / max(1, some - 1)) for at in range(some)))

    def connected(self) -> tuple[int, int]:
        """How many of the settings that are compared hang together by comparisons, and how many there are."""
        found, cells, _ = comparisons(self.rated, self.answers)
        groups = components(found, len(cells))
        wanted = set(self.candidates) | set(cells)
        return (len(groups[0]) if groups else min(1, len(wanted))), len(wanted)

    def pair(self, rater: str) -> tuple[str, Dealt] | None:
        """Two answers to one prompt of different settings, sides at random, that this person has not compared; None where there are no more."""
        mine = {frozenset((one.left, one.right or "")) for one in self.rated if one.rater == rater and one.right is not None}
        on = Counter(one.prompt_id for one in self.rated if one.right is not None)
        for prompt in self._by_need(on):
            for cells in self._pairs(prompt):
                drawn = self._texts(prompt, cells, mine)
                if drawn is not None:
                    left, right = self._random.sample(drawn, 2)
                    return self._deal(Dealt(self.opened.experiment.prompts[prompt].id, left, right, None))
        return None

    def _by_need(self, on: Counter[str]) -> list[int]:
        """The prompts, those rated least first, in random order where they are alike."""
        prompts = self.opened.experiment.prompts
        return sorted(range(len(prompts)), key=lambda at: (on[prompts[at].id], self._random.random()))

    def _pairs(self, prompt: int) -> list[tuple[int, int]]:
        """The pairs of settings asked this prompt: first those that connect what is apart, then those compared least."""
        found, cells, _ = comparisons(self.rated, self.answers)
        group = {cells[one]: number for number, part in enumerate(components(found, len(cells))) for one in part}
        games = Counter(frozenset((cells[a], cells[b])) for a, b in zip(found.one.tolist(), found.other.tolist(), strict=True))
        each = Counter(cell for pair in games.elements() for cell in pair)
        asked = [cell for cell in self.candidates if self.opened.plan.has(cell, prompt)]
        pairs = [(one, other) for at, one in enumerate(asked) for other in asked[at + 1 :]]

        def need(pair: tuple[int, int]) -> tuple[bool, int, int, float]:
            joined = pair[0] in group and pair[1] in group and group[pair[0]] == group[pair[1]]
            return joined, games[frozenset(pair)], each[pair[0]] + each[pair[1]], self._random.random()

        return sorted(pairs, key=need)

    def _texts(self, prompt: int, cells: tuple[int, int], mine: set[frozenset[str]]) -> list[str] | None:
        """Keys of an answer of each setting, with different texts, not compared by this person yet."""
        replicates = range(self.opened.experiment.replicates)
        for _ in range(_TRIES if len(replicates) > 1 else 1):
            keys = [self.opened.key(Place(cell, prompt, self._random.choice(replicates))) for cell in cells]
            if frozenset(keys) in mine or not all(map(self.opened.answered, keys)):
                continue
            texts = [self._text(key) for key in keys]
            if texts[0].strip() != texts[1].strip():
                return keys
        return None

    def _text(self, key: str) -> str:
        record = self.opened.record(key)
        return (self.opened.text(record) or "") if record is not None else ""

    def single(self, rater: str, judge: Judge) -> tuple[str, Dealt] | None:
        """One answer to be rated on a judge's scale, that this person has not rated; None where there are no more."""
        mine = {one.left for one in self.rated if one.rater == rater and one.judge == judge.name}
        on = Counter(one.prompt_id for one in self.rated if one.judge == judge.name)
        cells = range(len(self.opened.plan.cells))
        for prompt in self._by_need(on):
            for _ in range(_TRIES):
                place = Place(self._random.choice(cells), prompt, self._random.randrange(self.opened.experiment.replicates))
                key = self.opened.key(place) if self.opened.plan.has(place.cell, prompt) else ""
                if key and key not in mine and self.opened.answered(key) and self._text(key).strip():
                    return self._deal(Dealt(self.opened.experiment.prompts[prompt].id, key, None, judge.name))
        return None

    def _deal(self, what: Dealt) -> tuple[str, Dealt]:
        name = secrets.token_urlsafe(12)
        self.dealt[name] = what
        while len(self.dealt) > _MOST_DEALT:
            self.dealt.pop(next(iter(self.dealt)))
        return name, what

    def shown(self, what: Dealt) -> dict[str, Any]:
        """What the page shows of it, without a word of what it is of."""
        texts = [self._text(key) for key in (what.left, what.right) if key is not None]
        return {"prompt": what.prompt_id, "texts": texts}

    def take(self, rating: Rating) -> None:
        """Keep a rating. Raises `RecordError`."""
        mended = ratings.append(self.opened.folder, rating)
        self.mended = mended or self.mended
        self.refresh()

    def count(self, rater: str, judge: str | None) -> int:
        """How many ratings of this kind a person has made."""
        return sum(one.rater == rater and one.judge == judge for one in self.rated)


class Desks:
    """The desks of the runs that were rated last, by folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Path, Desk] = {}

    def of(self, opened: Opened) -> Desk:
        """The desk of a run."""
        with self._lock:
            known = self._kept.pop(opened.folder, None)
            if known is None or known.opened is not opened:
                known = Desk(opened, dealt={} if known is None else known.dealt)
            self._kept[opened.folder] = known
            while len(self._kept) > _MOST_DESKS:
                self._kept.pop(next(iter(self._kept)))
            return known
