"""What people are shown of an answer: its words in their places, what comes again, which answer repeats which."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics.loops import loop
from evalkit.present.text.reading import Read, cut, in_units, read_text, repeats


@given(st.text())
def test_every_word_stands_where_it_is_said_to(text: str) -> None:
    read = read_text(text)
    words, starts = cut(read.text)
    assert tuple(words) == read.words
    assert [read.text[start : start + len(word)] for word, start in zip(words, starts, strict=True)] == words


@given(st.lists(st.sampled_from(["a", "b", "the", "🙂", "日", "."]), max_size=60))
def test_marked_spans_are_of_loops_and_repeated_words_in_utf_16_units(tokens: list[str]) -> None:
    read = read_text(" ".join(tokens))
    numbers: dict[str, int] = {}
    end = loop([numbers.setdefault(word, len(numbers)) for word in read.words])
    units = read.text.encode("utf-16-le")
    parts = [(units[2 * begin : 2 * stop].decode("utf-16-le"), kind) for begin, stop, kind in in_units(read.text, read.spans)]
    looped = "".join("".join(text for text, kind in parts if kind == "loop").split())
    assert looped == ("".join(read.words[end.start + end.period :]) if end.tokens else "")
    grams = [read.words[at : at + 4] for at in range(len(read.words) - 3)]
    assert any(kind for _, kind in parts) == (len(set(grams)) < len(grams) or bool(end.tokens))


def test_a_repeated_run_of_words_is_marked_from_its_second_time() -> None:
    read = read_text("one two three four, then one two three four five")
    assert [(read.text[begin:end], kind) for begin, end, kind in read.spans] == [("one two three four", "again")]


def test_near_duplicates_name_the_earliest_answer() -> None:
    base = tuple("the quick brown fox jumps over the lazy dog near the river bank".split())  # noqa: SIM905
    texts = [base, base, (*base[:-1], "shore"), ("no",), ()]
    answers = [Read(" ".join(words), words, ()) for words in texts]
    assert repeats([None, *answers]) == [None, None, (1, 1.0), (1, 0.92), None, None]


def test_a_text_is_cut_where_asked_and_hides_nothing() -> None:
    assert read_text("ab\u202ecd", 4).text == "ab⟦U"
    assert read_text("e\u0301").text == "é"
