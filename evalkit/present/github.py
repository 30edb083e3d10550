"""A comparison as annotations of a build on GitHub: lines of its workflow commands, with every text made harmless."""

from __future__ import annotations

from collections.abc import Iterator

from evalkit.comparison.comparison import Comparison, headline
from evalkit.text.escaping import harmless

_MOST = 9
"""GitHub shows ten of a kind a step, and the last says how many more there are."""


def commands_of(found: Comparison) -> list[str]:
    """Errors for why the gate is not passed, warnings for what is not clear, and a notice with the headline."""
    notices = [_command("notice", headline(found))]
    return [*_some("error", found.objections), *_some("warning", found.notes), *notices]


def _some(kind: str, texts: list[str]) -> Iterator[str]:
    for text in texts[:_MOST]:
        yield _command(kind, text)
    if len(texts) > _MOST:
        yield _command(kind, f"and {len(texts) - _MOST} more: see compare's output")


def _command(kind: str, text: str) -> str:
    """A workflow command; in its text a line end or a ``%`` would begin another one."""
    plain = harmless(" ".join(text.split())).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{kind} title=evalkit::{plain}"
