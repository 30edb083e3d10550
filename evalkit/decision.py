"""What a choice comes to, in words, for a terminal, a page or a merge request alike."""

from __future__ import annotations

from evalkit.analysis import Analysis
from evalkit.choice import Choice
from evalkit.summary import _nothing, _why, cell


def cell_in_words(analysis: Analysis, index: int) -> str:
    """A cell by the levels of what is swept, void parameters left out."""
    return cell(analysis, index)


def why(found: Choice, analysis: Analysis) -> list[tuple[str, str]]:
    """Why the chosen cell, how sure, what else: a label, empty where the text goes on under the one before, and a text."""
    return _why(found, analysis)


def nothing(found: Choice, analysis: Analysis) -> list[str]:
    """Why no cell was chosen, and which comes nearest."""
    return [one.plain for one in _nothing(found, analysis)]
