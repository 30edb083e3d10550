"""Text of others in Markdown: shown, and obeyed neither as Markdown or HTML nor as a reference to people and issues."""

from __future__ import annotations

import re

from evalkit.tables import harmless

_PLAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_./:=,+%() -]*[A-Za-z0-9_./:=,+%()-])?", re.ASCII)
_ENTITY = re.compile(r"[^\w .,:;/()+=%-]|_", re.ASCII)
_REFERENCE = re.compile(r"@|://|www\.|[#!~$&%^*]\w", re.IGNORECASE)


def code(text: str) -> str:
    """`text` as code, in a table's cell too."""
    shown = harmless(text)
    if _PLAIN.fullmatch(shown):
        return f"`{shown}`"
    return f"<code>{_entities(shown)}</code>" if shown else ""


def sentence(text: str) -> str:
    """A sentence that holds names of others, as it reads; one that could call somebody or link somewhere, as code."""
    shown = harmless(text)
    return f"<code>{_entities(shown)}</code>" if _REFERENCE.search(shown) else _entities(shown)


def _entities(text: str) -> str:
    return _ENTITY.sub(lambda match: f"&#{ord(match[0])};" if match[0].isascii() else match[0], text)
