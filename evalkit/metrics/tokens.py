"""Tokenisers: how a text becomes the units that the metrics count. Scores made with different ones are never compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.errors import MissingExtraError

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
    if text.isascii() and _ascii_as_there():
        return _ascii_words(text)
    return _words_by_rules(text)


def _words_by_rules(text: str) -> list[str]:
    text = unicodedata.normalize("NFC", text)
    cut = _boundary().split
    if text.isascii() or not _flags().search(text):
        return [token for token in cut(text) if token and not token.isspace()]
    # Whether two regional indicators belong together depends on all before them: a long row of flags would take the square of its length.
    ends = [0, *(row.end() for row in _flags().finditer(text)), len(text)]
    return [token for begin, end in pairwise(ends) for token in cut(text[begin:end]) if token and not token.isspace()]


_INDICATOR = r"[\U0001F1E6-\U0001F1FF]"


_ASCII_WORD = re.compile(r"[A-Za-z0-9_]+(?:(?:(?<=[A-Za-z])[:.'](?=[A-Za-z])|(?<=[0-9])[,;.'](?=[0-9]))[A-Za-z0-9_]+)*|[^\sA-Za-z0-9_]")


def _ascii_words(text: str) -> list[str]:
    """What the rules come to in ASCII, where a blank always parts and nothing else depends on what is farther off than two characters."""
    found: list[str] = []
    for part in text.split():
        if part.isalnum():
            found.append(part)
        else:
            found += _ASCII_WORD.findall(part)
    return found


@lru_cache(maxsize=1)
def _ascii_as_there() -> bool:
    """Whether the installed release of regex parts ASCII just so, seen on all that two characters of each kind before and behind a place can be."""
    text = "".join(map("".join, product("a1_.:,' -\n", repeat=4)))
    return _ascii_words(text) == _words_by_rules(text)


@lru_cache(maxsize=1)
def _boundary() -> regex.Pattern[str]:
    import regex

    return regex.compile(r"(?w)\b", regex.VERSION1)


@lru_cache(maxsize=1)
def _flags() -> regex.Pattern[str]:
    """Thirty-two flags with another regional indicator behind them: between two whole flags there is always a boundary."""
    import regex

    return regex.compile(rf"(?:{_INDICATOR}[\p{{WB=Extend}}\p{{WB=Format}}\p{{WB=ZWJ}}]*+){{64}}(?={_INDICATOR})", regex.VERSION1)


def is_word(token: str) -> bool:
    """Whether a token holds a letter or a digit, so that it is more than punctuation or a symbol."""
    return token.isalnum() or any(map(str.isalnum, token))


def _dictionary_words(text: str, locale: str) -> list[str]:
    breakers = _icu()
    return [token for token in map(str, breakers.WordBreaker(unicodedata.normalize("NFC", text), locale)) if token and not token.isspace()]


@lru_cache(maxsize=1)
def _icu() -> Any:
    try:
        from icu4py import breakers
    except ImportError:
        raise MissingExtraError("cutting Chinese, Japanese or Thai into words needs icu4py; run: pip install icu4py") from None
    return breakers


def icu(locale: str) -> Tokenizer:
    """ICU's word breaker with its dictionaries: words also of Chinese, Japanese, Thai, Khmer and Lao; NFC, white space dropped, case kept.

    Raises:
        MissingExtraError: icu4py is not installed (the extra ``languages``).
    """
    _icu()
    return Tokenizer(f"icu-words/{locale}/nfc/cased", partial(_dictionary_words, locale=locale))


def _characters(text: str) -> list[str]:
    return [char for char in unicodedata.normalize("NFC", text) if not char.isspace()]


UAX29 = Tokenizer(f"uax29-words/regex-{version('regex')}/nfc/cased", words)
"""Its boundaries are those of the installed release of regex, which has moved some from one release to the next: so the name says which."""
WHITESPACE = Tokenizer("whitespace/cased", str.split)
CHARACTERS = Tokenizer("characters/nfc/cased", _characters)


def tokenizer(name: str) -> Tokenizer:
    """The tokeniser of that name: ``uax29``, ``whitespace``, ``characters``, or ``icu:LOCALE`` like ``icu:ja``; or of the name that stands in scores.

    Of a name that another release of regex made, it is the one of the installed release, under its own name: what it made is to be made anew.

    Raises:
        ValueError: there is none of that name.
        MissingExtraError: it needs a package that is not installed.
    """
    plain = {"uax29": UAX29, "whitespace": WHITESPACE, "characters": CHARACTERS}
    found = plain.get(name) or next((one for one in plain.values() if one.name == name), None)
    if found is not None:
        return found
    if re.fullmatch(r"uax29-words/(regex-[^/]+/)?nfc/cased", name):
        return UAX29
    if (recorded := re.fullmatch(r"icu-words/([^/]+)/nfc/cased", name)) is not None:
        name = f"icu:{recorded[1]}"
    kind, _, locale = name.partition(":")
    if kind == "icu" and locale.replace("-", "").replace("_", "").isalnum():
        return icu(locale)
    raise ValueError(f"no tokeniser is called {name!r}; expected {', '.join(plain)} or icu:LOCALE, like icu:ja")
