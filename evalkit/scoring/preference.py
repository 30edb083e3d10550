"""What people's ratings come to: how strong each setting is, its share of wins on each prompt, and how far judges agree with people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.experiment.experiment import Experiment
from evalkit.experiment.goals import PREFERENCE
from evalkit.experiment.judges import Judge
from evalkit.metrics import Metric, length
from evalkit.plan.places import Places
from evalkit.plan.requests import Plan
from evalkit.scoring.gather import Column, text_scored
from evalkit.stats.intervals import Interval, share_interval
from evalkit.stats.preference import Compared, compared, components, kappa_interval, strengths, win_share, win_shares
from evalkit.store import judgements, ratings
from evalkit.store.judgements import Keys
from evalkit.store.ratings import Rating
from evalkit.store.records import Completion, Record, read

_WON = {"left": 1.0, "right": 0.0, "tie": 0.5}


class Rated(NamedTuple):
    """An answer that somebody rated: its setting and prompt by their numbers, and its text."""

    cell: int
    prompt: int
    text: str


class Preferred(NamedTuple):
    """What the ratings say of a setting.

    Attributes:
        comparisons: in which it was one of the two.
        strength: in logits above the mean of those compared, by Bradley and Terry, with its interval over prompts.
        share: of wins, the mean over prompts, with its interval.
    """

    cell: int
    comparisons: int
    strength: Interval
    share: Interval


class Agreement(NamedTuple):
    """How far a judge agrees with people.

    Attributes:
        pairs: that people decided and of which the judge scored both answers.
        ordered: the share of them that the judge orders alike, half where it gives both the same; the mean over prompts, with its interval.
        singles: answers that both gave a number on the judge's scale.
        kappa: weighted by squares, with its interval over prompts.
    """

    judge: str
    pairs: int
    ordered: Interval
    singles: int
    kappa: Interval


class People(NamedTuple):
    """What people's ratings come to.

    Attributes:
        ratings: that count; `raters` how many each person made.
        apart: groups of settings that no comparison connects; one group where scores can be told.
        settings: the best first; none before comparisons connect all that were compared.
        lost: ratings of answers that the run does not have any more.
    """

    ratings: int
    raters: dict[str, int]
    apart: list[list[int]]
    settings: list[Preferred]
    agreement: list[Agreement]
    lost: int

    @property
    def connected(self) -> bool:
        """Whether comparisons connect all settings that were compared."""
        return len(self.apart) == 1


def answers_rated(folder: Path, plan: Plan, rated: Sequence[Rating]) -> dict[str, Rated]:
    """The answers in a results folder that were rated, by key; reads the records once. Raises `RecordError`."""
    wanted = {key for one in rated for key in (one.left, one.right) if key is not None}
    if not wanted:
        return {}
    places, out = Places(plan), dict[str, Rated]()
    for record in read(folder):
        if record.key in wanted and record.key not in out and (found := rated_answer(record, plan, places.number(record.key), places)) is not None:
            out[record.key] = found
    return out


def rated_answer(record: Record, plan: Plan, number: int | None, places: Places) -> Rated | None:
    """An answer with its place; None of a failure, or of what the plan does not ask for."""
    if number is None or not isinstance(record.outcome, Completion):
        return None
    place = places.place(number)
    return Rated(place.cell, place.prompt, text_scored(record.outcome, record, plan.experiment))


def comparisons(rated: Sequence[Rating], answers: dict[str, Rated]) -> tuple[Compared, list[int], int]:
    """The comparisons with settings numbered anew, the settings' own numbers in that order, and how many ratings are of answers not there."""
    entries, lost = [], 0
    for one in rated:
        if one.right is None or one.verdict is None:
            continue
        left, right = answers.get(one.left), answers.get(one.right)
        if left is None or right is None or left.prompt != right.prompt:
            lost += 1
        elif left.cell != right.cell:
            entries.append((left.cell, right.cell, _WON[one.verdict], left.prompt))
    cells = sorted({cell for entry in entries for cell in entry[:2]})
    at = {cell: number for number, cell in enumerate(cells)}
    return compared([(at[left], at[right], won, prompt) for left, right, won, prompt in entries]), cells, lost


def people(folder: Path, experiment: Experiment, rated: Sequence[Rating], answers: dict[str, Rated]) -> People:
    """What the ratings of a run come to. Raises `RecordError` where judgements cannot be read."""
    found, cells, lost = comparisons(rated, answers)
    apart = [[cells[one] for one in group] for group in components(found, len(cells))]
    judged = judgements.load(folder) if experiment.judges else None
    agreement = [] if judged is None else [_agreement(judge, Keys(judge, experiment), judged.scores, rated, answers) for judge in experiment.judges]
    return People(
        len(rated),
        dict(Counter(one.rater for one in rated).most_common()),
        apart,
        _preferred(found, cells, len(experiment.prompts)) if len(apart) == 1 else [],
        [one for one in agreement if one.pairs or one.singles],
        lost,
    )


def rated(folder: Path, experiment: Experiment) -> People:
    """The ratings in a results folder, and what they come to. Raises `RecordError`."""
    plan, every = Plan(experiment), ratings.load(folder)
    return people(folder, experiment, every, answers_rated(folder, plan, every))


def _preferred(found: Compared, cells: Sequence[int], prompts: int) -> list[Preferred]:
    shares = win_shares(found, len(cells), prompts)
    games = np.bincount(np.concatenate([found.one, found.other]), minlength=len(cells))
    strong = strengths(found, len(cells))
    out = [Preferred(cell, int(games[at]), strong[at], win_share(shares[at])) for at, cell in enumerate(cells)]
    return sorted(out, key=lambda one: -one.strength.mean)


def _agreement(judge: Judge, keys: Keys, scores: dict[str, int], rated: Sequence[Rating], answers: dict[str, Rated]) -> Agreement:
    def score(key: str | None, prompt_id: str) -> int | None:
        answer = None if key is None else answers.get(key)
        name = None if answer is None else keys.of(prompt_id, answer.text)
        return None if name is None else scores.get(name)

    alike: dict[str, list[float]] = {}
    singles: list[tuple[int, int, int]] = []
    for one in rated:
        left = score(one.left, one.prompt_id)
        if one.right is None:
            if one.judge == judge.name and one.score is not None and left is not None and judge.scale.min <= one.score <= judge.scale.max:
                singles.append((one.score, left, answers[one.left].prompt))
            continue
        right = score(one.right, one.prompt_id)
        if left is None or right is None or one.verdict in (None, "tie"):
            continue
        said = 0.5 if left == right else float((left > right) == (one.verdict == "left"))
        alike.setdefault(one.prompt_id, []).append(said)
    table = np.array(singles, dtype=np.int64).reshape(-1, 3)
    ordered = share_interval([sum(values) / len(values) for values in alike.values()])
    kappa = kappa_interval(table[:, 0], table[:, 1], table[:, 2], judge.scale.min, judge.scale.max)
    return Agreement(judge.name, sum(map(len, alike.values())), ordered, len(singles), kappa)


METRIC = Metric(
    PREFERENCE, "response", partial(length.recorded, name=PREFERENCE), "higher", "share of its comparisons that people preferred it in, ties half",
    "ratings of people", low=0.0, high=1.0, bias="whom it was compared with", bound="none: recorded", label="preferred by people", unit="share",
    margin=None,
)  # fmt: skip


def column(folder: Path, plan: Plan) -> tuple[Column, ...]:
    """The share of wins of each setting on each prompt as a metric; none before comparisons connect what was compared. Raises `RecordError`."""
    rated = ratings.load(folder)
    if not rated:
        return ()
    found, cells, _ = comparisons(rated, answers_rated(folder, plan, rated))
    if len(components(found, len(cells))) != 1:
        return ()
    shares = win_shares(found, len(cells), len(plan.experiment.prompts))
    return (Column(METRIC, _looked_up(plan, shares, {cell: row for row, cell in enumerate(cells)})),)


def _looked_up(plan: Plan, shares: NDArray[np.float64], rows: dict[int, int]) -> Callable[[Record, str], float]:
    places = Places(plan)

    def of(record: Record, _: str) -> float:
        number = places.number(record.key)
        if number is None:
            return math.nan
        place = places.place(number)
        return float(shares[rows[place.cell], place.prompt]) if place.cell in rows else math.nan

    return of
