"""Signs that a terminal has."""

from __future__ import annotations

from rich.console import Console

_PLAIN = {"±": "+-", "×": "x", "–": "-", "…": "..."}


def plain(text: str, console: Console) -> str:
    """`text` in signs that `console` can encode."""
    if (console.encoding or "").lower().startswith("utf"):
        return text
    for sign, other in _PLAIN.items():
        text = text.replace(sign, other)
    return text
