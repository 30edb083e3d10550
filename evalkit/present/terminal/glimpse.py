"""What is seen of a sweep's answers while they come in, as a line below the bar."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from evalkit.present.terminal.lines import joined
from evalkit.scoring.glimpse import Glimpse
from evalkit.summary.quantities import measured, named


def glimpsed(one: Glimpse, console: Console) -> Text | None:
    """``words an answer so far, by temperature: 0 12 ±3, 0.7 14 ±2`` in one line; None where nothing is seen yet."""
    seen = one.seen()
    if not seen:
        return None
    levels = ", ".join(f"{level.level}: {measured(level.mean, level.low, level.high, one.metric.unit)}" for level in seen)
    line = joined([Text(f"{named(one.metric.label, one.metric.unit)} so far, by {one.parameter}  {levels}", style="dim")], console)
    line.truncate(console.width, overflow="ellipsis")
    return line
