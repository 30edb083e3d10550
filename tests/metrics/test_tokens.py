"""Tokenisers: what counts as one token, in scripts with spaces and without."""

from __future__ import annotations

import unicodedata
from importlib.metadata import version
from itertools import product

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics import CHARACTERS, UAX29, WHITESPACE, icu, tokenizer
from evalkit.metrics.tokens import _ascii_as_there, _ascii_words, _words_by_rules, is_word, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u00a0\u3000\u2028", []),
        ("one", ["one"]),
        ("  one\n\ntwo ", ["one", "two"]),
        ("Don't e-mail", ["Don't", "e", "-", "mail"]),
        ("l'eau d'or 'em o'er", ["l'eau", "d'or", "'", "em", "o'er"]),  # WB6 and WB7: no boundary at an apostrophe between letters, vowels too
        ("日本語", ["日", "本", "語"]),
        ("カタカナ", ["カタカナ"]),
        ("ไม่รู้", ["ไ", "ม่", "รู้"]),  # grapheme clusters: \w+ would tear the marks off
        ("👨‍👩‍👧‍👦👍🏽🇫🇷", ["👨‍👩‍👧‍👦", "👍🏽", "🇫🇷"]),
        ("cafe\u0301 caf\u00e9", ["caf\u00e9", "caf\u00e9"]),  # NFC: one word, written in two ways
        ("x_1 = foo.bar(3.14)", ["x_1", "=", "foo.bar", "(", "3.14", ")"]),
        ("a\x00b", ["a", "\x00", "b"]),
        ("The the", ["The", "the"]),  # case is kept
    ],
)
def test_words_are_those_of_uax_29(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text(max_size=40))
def test_cutting_loses_white_space_only(text: str) -> None:
    found = words(text)
    assert all(token and not token.isspace() for token in found)
    rest = unicodedata.normalize("NFC", text)
    for token in found:
        before, _, rest = rest.partition(token)
        assert not before.strip()
    assert not rest.strip()


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("word", True),
        ("3.5", True),
        ("天", True),
        ("ม่", True),
        ("don't", True),
        ("½", True),
        (",", False),
        ("--", False),
        ("👍", False),
        ("_", False),
    ],
)
def test_a_word_holds_a_letter_or_a_digit(token: str, expected: bool) -> None:
    assert is_word(token) is expected


def test_ascii_is_parted_as_by_the_rules_whatever_stands_together() -> None:
    kinds = "aZ09_.,:;'\" \n\r\t-\x00\x1c\x7f"
    for size in range(1, 4):  # all fours of fewer kinds are tried below
        for one in map("".join, product(kinds, repeat=size)):
            assert _ascii_words(one) == _words_by_rules(one), repr(one)
    every = [chr(number) for number in range(128)]
    for one in ("".join(pair) for pair in product(every, repeat=2)):
        for text in (one, f"a{one}a", f"1{one}1"):
            assert _ascii_words(text) == _words_by_rules(text), repr(text)
    assert _ascii_as_there()


@given(st.text(st.characters(max_codepoint=127), max_size=60))
def test_ascii_is_parted_as_by_the_rules(text: str) -> None:
    assert words(text) == _words_by_rules(text)


def test_where_another_release_parts_ascii_otherwise_the_rules_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.metrics.tokens._boundary", lambda: regex.compile(r"\b", regex.VERSION1))
    _ascii_as_there.cache_clear()
    try:
        assert words("a. b.c") == ["a", ". ", "b", ".", "c"]
    finally:
        _ascii_as_there.cache_clear()


def test_the_tokeniser_names_itself() -> None:
    assert UAX29.name == f"uax29-words/regex-{version('regex')}/nfc/cased"
    assert UAX29.cut("a b") == ["a", "b"]


FLAGS = "🇫🇷🇩🇪🇯🇵"


@given(st.lists(st.sampled_from(["🇫", "🇷", "🇩🇪", "\u0301", "\u200d", "👨", "\ufe0f", " ", "a", "🇫🇷" * 40, "🇫" * 67, "🇩\u0301" * 70]), max_size=8))
def test_long_rows_of_flags_are_cut_as_they_are_at_once(parts: list[str]) -> None:
    text = unicodedata.normalize("NFC", "".join(parts))
    assert words(text) == [one for one in regex.split(r"(?V1w)\b", text) if one and not one.isspace()]


def test_other_tokenisers() -> None:
    assert WHITESPACE.cut("Don't  stop, now") == ["Don't", "stop,", "now"]
    assert CHARACTERS.cut("ab 天\n") == ["a", "b", "天"]
    assert [tokenizer(name).name for name in ("uax29", "whitespace", "characters")] == [UAX29.name, WHITESPACE.name, CHARACTERS.name]
    for name in ("uax29-words/nfc/cased", "uax29-words/regex-2026.11.15/nfc/cased"):  # of another release: what it made is made anew
        assert tokenizer(name) is UAX29
    for name in ("words", "icu", "icu:", "icu:../x", ""):
        with pytest.raises(ValueError, match="no tokeniser is called"):
            tokenizer(name)


def test_icu_finds_words_where_no_spaces_are() -> None:
    pytest.importorskip("icu4py", reason="the extra 'languages' is not installed")
    assert icu("ja").cut("今日は\n公園") == ["今日", "は", "公園"]
    assert icu("en").cut("Don't 👨‍👩‍👧‍👦 stop") == ["Don't", "👨‍👩‍👧‍👦", "stop"]  # beyond the first plane, where offsets in UTF-16 go wrong
    assert tokenizer("icu:ja").name == "icu-words/ja/nfc/cased"
