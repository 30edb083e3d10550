"""Did the endpoint change while it was asked? The anchors, one request repeated through the run, tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple

from evalkit.experiment.parameters import ENDPOINT
from evalkit.metrics.tokens import is_word, words
from evalkit.stats.multiple import holm
from evalkit.stats.ranks import kendall
from evalkit.store.records import Completion, Record
from evalkit.text.notes import Note, note, warning

FEWEST = 6
"""Anchors below which no order could be told from chance at the level used here."""
_LEVEL = 0.01


class Trend(NamedTuple):
    """How one number of the anchors went with time.

    Attributes:
        before, after: medians of the first and of the last third.
        tau: Kendall's tau with time, in [-1, 1].
        p: of no trend, adjusted over the numbers looked at (Holm).
    """

    name: str
    before: float
    after: float
    tau: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether chance alone would hardly give it."""
        return self.p < _LEVEL


def trends(records: Iterable[Record]) -> list[Trend] | None:
    """Trends of latency, length and the like over the anchors' time; None where there are fewer than `FEWEST` of them.

    Args:
        records: in the order they came, which no clock that was set can change.
    """
    return _trends([record.outcome for record in records if record.role == "anchor" and isinstance(record.outcome, Completion)])


def trends_of_each(records: Iterable[Record]) -> dict[str, tuple[list[Trend], int]]:
    """The same by the endpoint that the anchors were asked of, where several are, with how many there were; those that have too few are not there."""
    by: dict[str, list[Completion]] = {}
    for record in records:
        if record.role == "anchor" and isinstance(record.outcome, Completion):
            by.setdefault(str(record.cell.get(ENDPOINT, "")), []).append(record.outcome)
    return {name: (found, len(anchors)) for name, anchors in by.items() if (found := _trends(anchors)) is not None}


def _trends(anchors: Sequence[Completion]) -> list[Trend] | None:
    if len(anchors) < FEWEST:
        return None
    found = []
    for name, of in _NUMBERS.items():
        series = [value for one in anchors if (value := of(one)) is not None]
        if len(series) < FEWEST or len(set(series)) == 1:
            continue
        result = kendall(series)
        third = max(1, len(series) // 3)
        found.append(Trend(name, median(series[:third]), median(series[-third:]), result.tau, result.p))
    return [one._replace(p=float(p)) for one, p in zip(found, holm([one.p for one in found]), strict=True)]


def sentence(found: Sequence[Trend], count: int, name: str = "") -> Note:
    """What `count` anchors show, for the summary; `name` is the endpoint's, where there are several."""
    who = f"the endpoint {name}" if name else "the endpoint"
    shown = [one for one in found if one.shown]
    if not shown:
        return note(f"no drift over {count} anchors{f' of {name}' if name else ''}")
    told = "; ".join(f"{one.name} from {one.before:.3g} to {one.after:.3g} (Kendall's tau {one.tau:.2f}, adjusted p {one.p:.2g})" for one in shown)
    fair = "its settings are compared fairly with each other" if name else "settings are compared fairly"
    return warning(f"{who} changed while it was asked: {told}, over {count} anchors; {fair}, as it changed for all")


def _words(one: Completion) -> float | None:
    return float(sum(map(is_word, words(one.text))))


_NUMBERS: dict[str, Callable[[Completion], float | None]] = {
    "latency_s": lambda one: one.latency_s,
    "time_to_first_token_s": lambda one: one.time_to_first_token_s,
    "length_words": _words,
}
