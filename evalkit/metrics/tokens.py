"""Tokenisers: how a text becomes the units that the metrics count."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import regex


class Tokenizer(NamedTuple):
    """A named way of cutting text into tokens; the name stands beside every score made with it."""

    name: str
    cut: Callable[[str], Sequence[str]]


def words(text: str) -> list[str]:
    """Words, numbers, symbols and emoji of `text` by UAX #29 word boundaries, after NFC, white space dropped, case kept.

    Chinese and Japanese fall into single characters, Thai into grapheme clusters: right for counting, not for words there.
    """
    return [token for token in _boundary().split(unicodedata.normalize("NFC", text)) if token and not token.isspace()]


@lru_cache(maxsize=1)
def _boundary() -> regex.Pattern[str]:
    import regex

    return regex.compile(r"(?w)\b", regex.VERSION1)


def is_word(token: str) -> bool:
    """Whether a token holds a letter or a digit, so that it is more than punctuation or a symbol."""
    return any(map(str.isalnum, token))


UAX29 = Tokenizer("uax29-words/nfc/cased", words)
