"""What people's ratings come to, in words and figures."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from evalkit.scoring.preference import Agreement, People
from evalkit.stats.intervals import Interval
from evalkit.summary.quantities import measured
from evalkit.text.numbers import counted


def said_of(found: People, name_of: Callable[[int], str] | None = None) -> list[str]:
    """What there is to say first, in sentences; with the names of settings where somebody tells them."""
    if not found.ratings:
        return ["Nobody has rated yet."]
    by = ", ".join(f"{rater} {number:,}" for rater, number in found.raters.items())
    out = [f"{counted(found.ratings, 'rating')} ({by})."]
    if len(found.apart) > 1:
        out.append(
            f"The settings compared fall into {len(found.apart)} groups that no comparison connects, so no score is told yet: rate more pairs."
        )
    if found.settings and name_of is not None:
        best = found.settings[0]
        out.append(f"Preferred most: {name_of(best.cell)}, {share(best.share)} of its comparisons won.")
    out += [f"Judge {one.judge}: {words}." for one in found.agreement if (words := "; ".join(filter(None, agreed(one))))]
    if found.lost:
        out.append(f"{counted(found.lost, 'rating')} of answers that the run does not have any more.")
    return out


def share(one: Interval) -> str:
    """A share of wins with its interval."""
    return measured(_known(one.mean), _known(one.low), _known(one.high), "share")


def strength(one: Interval) -> str:
    """A strength in logits with its interval: ``+0.82 [0.31, 1.33]``."""
    if math.isnan(one.low):
        return f"{one.mean:+.2f}"
    return f"{one.mean:+.2f} [{one.low:.2f}, {one.high:.2f}]"


def agreed(one: Agreement) -> tuple[str, str]:
    """How far a judge agrees with people, on pairs and on single answers; empty where nothing tells."""
    pairs = f"orders {counted(one.pairs, 'pair')} as people do in {share(one.ordered)} (by chance 50 %)" if one.pairs else ""
    if not one.singles:
        return pairs, ""
    kappa = "cannot be told" if math.isnan(one.kappa.mean) else f"{one.kappa.mean:.2f}"
    reach = "" if math.isnan(one.kappa.low) else f" [{one.kappa.low:.2f}, {one.kappa.high:.2f}]"
    return pairs, f"weighted κ {kappa}{reach} on {counted(one.singles, 'answer')} rated singly"


def asdict(found: People) -> dict[str, Any]:
    """The same for programs, None where a number is undefined."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple) and hasattr(value, "_asdict"):
            return {name: plain(one) for name, one in value._asdict().items()}
        if isinstance(value, list):
            return [plain(one) for one in value]
        return None if isinstance(value, float) and math.isnan(value) else value

    return {"v": 1, "connected": found.connected, **plain(found)}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
