"""What people's ratings come to, for a terminal."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.present.text.decision import cell_in_words
from evalkit.present.text.ratings import said_of, share, strength
from evalkit.run import Run
from evalkit.scoring.preference import People
from evalkit.text.escaping import harmless


def ratings(run: Run, found: People, console: Console) -> RenderableType:
    """The settings by what people prefer, the best first, and how far judges agree with them."""
    parts: list[RenderableType] = [Text(harmless(one, console.encoding)) for one in said_of(found)]
    if found.settings:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for name in ("setting", "share of wins", "strength (logits)", "comparisons"):
            table.add_column(name, justify="left" if name == "setting" else "right")
        for one in found.settings:
            name = f"{one.cell}: {cell_in_words(run.analysis, one.cell)}"
            cells = (name, share(one.share), strength(one.strength), f"{one.comparisons:,}")
            table.add_row(*(Text(harmless(text, console.encoding)) for text in cells))
        parts += [table, Text("Strength by Bradley and Terry, penalised; intervals: 95 % over prompts.", style="dim")]
    elif not found.ratings:
        parts.append(Text(harmless(f"Rate in a browser: evalkit view {run.folder}", console.encoding)))
    return Group(*parts)
