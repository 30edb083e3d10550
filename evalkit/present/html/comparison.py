"""A comparison as one small page: no script, no request, light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from evalkit.comparison.comparison import Comparison, headline
from evalkit.comparison.verdict import Comparative, Compared
from evalkit.present.html.template import filled
from evalkit.present.text.comparison import METHOD, ON_TIME, basis, ends, not_compared, ordered, sides, signature, verdict_text, where
from evalkit.text.escaping import visible
from evalkit.text.numbers import figure, p_value, signed_figure

_SPAN = 4.0  # margins to each side of 0


class Picture(NamedTuple):
    """An interval against the margin: places from 0 to 160, and what it shows in words."""

    band: tuple[float, float]
    low: float
    middle: float
    high: float
    label: str


class ShownMetric(NamedTuple):
    """A metric of the table, in figures and words."""

    metric: str
    definition: str
    better: Literal["higher", "lower"] | None
    baseline: str
    candidate: str
    difference: str
    ends: str
    p: str
    margin: str
    picture: Picture | None
    verdict: Comparative
    verdict_text: str
    reason: str


def comparison_page(found: Comparison, links: Sequence[tuple[str, str]] = ()) -> str:
    """The whole page; `links` as in `evalkit.present.html.report.page`."""
    word, _, rest = headline(found).partition(": ")
    context: dict[str, Any] = {
        "title": visible(f"{found.candidate.name}: candidate against baseline"),
        "passed": found.passed,
        "word": word,
        "headline": visible(rest),
        "basis": visible(basis(found)),
        "judged": _rows(found.gated),
        "where": [
            (visible(one.metric), [(visible(cell.cell), signed_figure(cell.difference), ends(cell)) for cell in cells]) for one, cells in where(found)
        ],
        "notes": [visible(note) for note in (*found.notes, *found.left_out, *not_compared(found))],
        "sides": [tuple(map(visible, row)) for row in sides(found)],
        "shown": _rows([one for one in found.metrics if not one.gated]),
        "on_time": ON_TIME,
        "method": METHOD,
        "signature": visible(signature(found)),
        "links": links,
    }
    return filled("comparison.html.j2", "comparison.css", context)


def _rows(found: Sequence[Compared]) -> list[ShownMetric]:
    return [
        ShownMetric(
            visible(one.metric),
            visible(one.definition),
            one.better,
            figure(one.baseline),
            figure(one.candidate),
            signed_figure(one.difference),
            ends(one),
            p_value(one.p_adjusted),
            figure(one.margin),
            _picture(one),
            one.verdict,
            verdict_text(one),
            visible(one.reason or ""),
        )
        for one in ordered(found)
    ]


def _picture(one: Compared) -> Picture | None:
    """The interval against the margin: the band is what is too small to matter."""
    if math.isnan(one.ci_low) or not one.margin > 0:
        return None
    low, middle, high = (_place(value / one.margin) for value in (one.ci_low, one.difference, one.ci_high))
    return Picture((_place(-1), _place(1)), low, middle, high, f"{signed_figure(one.difference)} {ends(one)}, margin {figure(one.margin)}")


def _place(margins: float) -> float:
    return 80 + 76 * max(-1.0, min(1.0, margins / _SPAN))
