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

    if text.replace("\n", "").replace("\t", "").isprintable():  # nothing of these categories is
        return text
    hidden = {"Cc", "Cf", "Cs", "Co"}
    return "".join(
        char if char in _KEPT_ON_PAGES or unicodedata.category(char) not in hidden else f"⟦U+{ord(char):04X}⟧" for char in text.replace("\r\n", "\n")
    )


def markdown(text: str) -> str:
    """`text` for a line of Markdown, as GitHub and GitLab read it: a code span, where nothing is a mark, a link, a mention or HTML.

    Line breaks are shown as codes. In a table use `markdown_cell`.
    """
    line = visible(text).replace("\n", "⟦U+000A⟧").replace("\t", " ")
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    room = " " if line.startswith("`") or line.endswith("`") or not line.strip() else ""
    return f"{ticks}{room}{line or ' '}{room}{ticks}"


def markdown_cell(text: str) -> str:
    """`markdown` for the cell of a table, which a pipe would end even in a code span, and even escaped where a backslash stands before it."""
    if "|" not in text:
        return markdown(text)
    line = visible(text).replace("\n", "⟦U+000A⟧").replace("\t", " ")
    # GitHub's parser makes links also of what is inside tags and of entities: nothing that it knows an address by is left whole.
    line = re.sub(r"[^\w .,;/()=%-]|_", lambda found: f"&#{ord(found[0])};" if found[0].isascii() else found[0], line, flags=re.ASCII)
    return "<code>" + re.sub("(?i)w(?=ww)", "&#119;", line).replace("&#64;", "<!-- -->&#64;") + "</code>"


def markdown_prose(text: str) -> str:
    """A sentence of ours that holds names of others, for Markdown: no mark, link, mention, formula or HTML in it is obeyed."""
    line = visible(text).replace("\n", " ").replace("\t", " ").strip(" ")
    line = "".join(_MARKS.get(char, char) for char in line)
    line = re.sub(r"^(\d{1,9}(?=[.)](?: |$))|(?=[-+=]))", r"\1\\", line)  # else the first sign could begin a list, a rule or a heading
    line = re.sub(r'(%|&amp;|&#36;|&#126;)(?=[\w"{])', "\\1\u2060", line)  # milestones, epics, snippets and labels of GitLab
    return re.sub(r"(?i)www\.", lambda found: f"{found[0][:3]}\u2060.", line).replace("://", "&#58;//")


_MARKS = {
    **{char: f"\\{char}" for char in "\\`*_[]"},
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
    "|": "&#124;",
    "$": "&#36;",
    "~": "&#126;",
    "@": "&#64;\u2060",
    "#": "&#35;\u2060",
    "!": "&#33;\u2060",
}
"""Signs that Markdown or what GitHub and GitLab add to it would obey; a word joiner breaks mentions and numbers of issues."""


def guarded(text: str) -> str:
    """`text` for a spreadsheet's cell, so that it is not taken for a formula; numbers stay as they are."""
    try:
        float(text)
    except ValueError:
        return "'" + text if text.startswith(_BEGIN_FORMULAS) else text
    return text
