"""Length and completeness of each answer. All give an array of shape (k,)."""

from __future__ import annotations

import numpy as np

from evalkit.metrics.group import Floats, Group


def tokens(group: Group) -> Floats:
    """Tokens as the endpoint counts them, ≥ 0; NaN where it does not, or counts several answers together."""
    return group.completion_tokens


def words(group: Group) -> Floats:
    """Tokens that hold a letter or a digit, ≥ 0."""
    return group.words.astype(float)


def chars(group: Group) -> Floats:
    """Unicode code points, ≥ 0, white space included."""
    return np.array([len(text) for text in group.texts], dtype=float)


def truncated(group: Group) -> Floats:
    """1 where the answer was cut off by the limit of tokens, 0 where not; NaN where nobody says."""
    return group.truncated


def recorded(group: Group, name: str) -> Floats:
    """What was recorded of each text under `name`; NaN where nothing was."""
    return group.recorded.get(name, np.full(len(group), np.nan))


def empty(group: Group) -> Floats:
    """1 where the text has no token, else 0."""
    found: Floats = (group.lengths == 0).astype(float)
    return found
