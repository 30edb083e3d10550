"""Answers for a terminal: to one prompt, one below the other, with what must be known of each above it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from evalkit.present.text.answers import answers_of
from evalkit.run import Run
from evalkit.text.escaping import harmless

_LONGEST = 2_000
_INDENT = 4


def answers(run: Run, console: Console, prompt: str | int, cells: Sequence[int | str], most: int | None) -> RenderableType:
    """Answers to a prompt, at most `most` of each setting.

    Raises:
        RecordError: there is no such prompt or setting, or the records cannot be read.
    """
    found = answers_of(run, prompt, cells, most)
    parts: list[RenderableType] = [Text(f"Prompt {harmless(found.prompt_id, console.encoding)}", style="bold"), _indented(found.prompt, console)]
    for name, shown in found.beside.items():
        parts += [Text(), Text(harmless(name, console.encoding), style="bold")]
        if not shown:
            parts.append(Text("  no answer", style="dim"))
        for one in shown:
            said = Text("  ")
            for place, (words, warning) in enumerate(one.said):
                said.append(" · " if place else "").append(harmless(words, console.encoding), style="yellow" if warning else "dim")
            parts += [said, _indented(one.read.text or "(empty)", console)]
    return Group(*parts)


def _indented(text: str, console: Console) -> RenderableType:
    cut = text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text):,} characters)"
    lines = "\n".join(harmless(line, console.encoding) for line in cut.split("\n"))
    return Padding(Text(lines), (0, 0, 0, _INDENT))
