"""Texts of others, made harmless for where they are shown: models, prompts and file names may hold anything."""

from __future__ import annotations

import re

_KEPT_ON_PAGES = frozenset("\n\t\u200c\u200d\ufe0e\ufe0f")
"""Line breaks, and what joins letters and emoji: shown as what they are."""

_BEGIN_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def harmless(text: str, encoding: str = "utf-8") -> str:
    """`text` for a terminal: control characters, also those that turn the writing direction, shown as their code instead of obeyed.

    So is what `encoding` does not hold.
    """
    shown = "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)
    return shown.encode(encoding, "backslashreplace").decode(encoding)


def visible(text: str) -> str:
    """`text` for a page or a figure, as people write it; what has no shape or turns the writing direction shown as its code."""
    import unicodedata

    if text.isascii() and text.isprintable():
        return text
    hidden = {"Cc", "Cf", "Cs", "Co"}
    return "".join(
        char if char in _KEPT_ON_PAGES or unicodedata.category(char) not in hidden else f"⟦U+{ord(char):04X}⟧" for char in text.replace("\r\n", "\n")
    )


def markdown(text: str) -> str:
    """`text` for a line of Markdown, as GitHub and GitLab read it: a code span, where nothing is a mark, a link, a mention or HTML.

    Line breaks are shown as codes, and the pipe cannot end a table's cell.
    """
    line = visible(text).replace("\n", "⟦U+000A⟧").replace("\t", " ")
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{ticks}{room}{line or ' '}{room}{ticks}".replace("|", "\\|")


def guarded(text: str) -> str:
    """`text` for a spreadsheet's cell, so that it is not taken for a formula; numbers stay as they are."""
    try:
        float(text)
    except ValueError:
        return "'" + text if text.startswith(_BEGIN_FORMULAS) else text
    return text
