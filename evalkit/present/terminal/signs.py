"""Signs that a terminal has."""

from __future__ import annotations

from rich.console import Console

_PLAIN = {"±": "+-", "×": "x", "–": "-", "…": "..."}


def all_signs(console: Console) -> bool:
    """Whether `console` can encode every sign."""
    return (console.encoding or "").lower().startswith("utf")


def plain(text: str, console: Console) -> str:
    """`text` in signs that `console` can encode."""
    if all_signs(console):
        return text
    for sign, other in _PLAIN.items():
        text = text.replace(sign, other)
    return text
