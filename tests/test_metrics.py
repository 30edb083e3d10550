"""The metrics: numbers known from elsewhere, laws that hold for any text, and what happens where a metric has no meaning."""

from __future__ import annotations

import json
import math
import random
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.metrics import METRICS, UAX29, Metric, Response
from evalkit.metrics.ngrams import distinct, ngrams, repeated
from evalkit.metrics.tokens import is_word, words

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text(encoding="utf-8"))
BY_NAME = {metric.name: metric for metric in METRICS}
IN_0_1 = {"distinct_1", "distinct_2", "rep_2", "rep_4", "exact_duplicates", "truncation_rate"}

# Few tokens, so that they repeat; some hold what could be taken for a join of two others.
tokens = st.lists(st.sampled_from(["a", "b", "ab", "a b", "", "\x1f", "é"]), max_size=12)
texts = st.lists(tokens, min_size=1, max_size=5)
orders = st.integers(1, 5)
sentences = st.lists(st.text(st.sampled_from("ab c.é\n天👍"), max_size=30), min_size=1, max_size=6)


def answer(text: str, **more: Any) -> Response:
    return Response(text, UAX29.cut(text), **more)


def value(metric: Metric, group: list[Response]) -> float:
    """The metric of a group, or of its first answer."""
    return metric.of(group) if metric.level == "group" else metric.of(group[0])


def same(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))


# Numbers known from elsewhere


@pytest.mark.parametrize("case", GOLDEN, ids=[f"{number}-{case['metric'].split()[0]}" for number, case in enumerate(GOLDEN)])
def test_the_numbers_of_the_literature_hold(case: dict[str, Any]) -> None:
    kind, inputs = case["metric"], case["inputs"]
    if kind.startswith("tokenise"):
        assert words(inputs) == case["expected"], case["source"]
        return
    if kind == "exact-duplicate rate":
        found = BY_NAME["exact_duplicates"].of([answer(text) for text in inputs])
    elif kind.startswith("distinct-"):
        found = distinct([text.split() for text in inputs], int(kind[-1]))
    else:
        assert kind.startswith("rep-")
        found = repeated(inputs.split(), int(kind[len("rep-")]))
    assert found == pytest.approx(case["expected"], abs=case["tolerance"]), case["source"]


def test_metrics_hold_to_numbers_counted_by_hand() -> None:
    group = [answer("the cat the cat"), answer("a cat")]  # 6 words, 3 of them different; pairs: the cat, cat the, the cat; a cat
    assert BY_NAME["distinct_1"].of(group) == 3 / 6
    assert BY_NAME["distinct_2"].of(group) == 3 / 4
    assert BY_NAME["rep_2"].of(group[0]) == pytest.approx(1 / 3)
    assert BY_NAME["exact_duplicates"].of([*group, group[0]]) == pytest.approx(1 / 3)
    assert BY_NAME["length_words"].of(answer("Well, 3.5 % of it -- isn't 天气!")) == 7
    assert BY_NAME["length_tokens"].of(answer("as counted elsewhere", completion_tokens=17)) == 17
    assert BY_NAME["truncation_rate"].of(answer("cut", finish_reason="length")) == 1
    assert BY_NAME["truncation_rate"].of(answer("whole", finish_reason="stop")) == 0


# An independent way to the same numbers: n-grams by position, counted


def counted(group: list[list[str]], n: int) -> Counter[tuple[str, ...]]:
    grams: Counter[tuple[str, ...]] = Counter()
    for one in group:
        for start in range(len(one)):
            if start + n <= len(one):
                grams[tuple(one[start : start + n])] += 1
    return grams


@given(texts, orders)
def test_distinct_n_is_the_share_of_different_n_grams(group: list[list[str]], n: int) -> None:
    grams = counted(group, n)
    assert same(distinct(group, n), len(grams) / grams.total() if grams else math.nan)


@given(tokens, orders)
def test_rep_n_is_the_share_of_n_grams_that_came_before(one: list[str], n: int) -> None:
    grams = counted([one], n)
    again = sum(count - 1 for count in grams.values())
    assert same(repeated(one, n), again / grams.total() if grams else math.nan)


# Laws


@given(texts, orders, st.integers(1, 4))
def test_copying_every_text_divides_distinct_n_by_the_copies(group: list[list[str]], n: int, copies: int) -> None:
    assert same(distinct(group * copies, n), distinct(group, n) / copies)


@given(sentences, st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_nothing(group: list[str], shuffler: random.Random) -> None:
    answers = [answer(text) for text in group]
    shuffled = shuffler.sample(answers, len(answers))
    for metric in METRICS:
        if metric.level == "group":
            assert same(metric.of(answers), metric.of(shuffled)), metric.name


@given(sentences)
def test_values_stay_in_their_range(group: list[str]) -> None:
    answers = [answer(text, finish_reason="length", completion_tokens=len(text)) for text in group]
    for metric in METRICS:
        found = value(metric, answers)
        if not math.isnan(found):
            assert 0 <= found <= (1 if metric.name in IN_0_1 else math.inf), metric.name


@given(texts, orders)
def test_n_grams_never_cross_texts(group: list[list[str]], n: int) -> None:
    apart = [gram for one in group for gram in ngrams(one, n)]
    assert len(apart) == sum(max(0, len(one) - n + 1) for one in group)
    assert all(any(gram == tuple(one[at : at + n]) for one in group for at in range(len(one))) for gram in apart)


def test_two_texts_do_not_make_a_pair_of_words() -> None:
    assert math.isnan(distinct([["one"], ["two"]], 2))
    assert distinct([["a", "b"], ["a", "b"]], 2) == 1 / 2  # joined, 'b a' would be a third pair


@given(tokens, orders)
def test_fewer_tokens_than_n_are_undefined_and_never_0(one: list[str], n: int) -> None:
    found = repeated(one, n)
    assert math.isnan(found) == (len(one) < n)
    assert math.isnan(distinct([one], n)) == (len(one) < n)


@given(tokens, st.integers(1, 4))
def test_a_text_said_twice_repeats_more(one: list[str], n: int) -> None:
    if len(one) >= n:
        assert repeated(one + one, n) >= repeated(one, n)


def test_a_short_text_takes_no_part_in_the_pairs_of_its_group() -> None:
    assert distinct([["a", "b", "c"], ["a"]], 2) == 1


def test_an_endpoint_that_counts_no_tokens_gives_no_length_in_tokens() -> None:
    assert math.isnan(BY_NAME["length_tokens"].of(answer("some words")))


@pytest.mark.parametrize("reason", [None, "stop", "content_filter", "LENGTH", ""])
def test_only_the_finish_reason_length_is_a_truncation(reason: str | None) -> None:
    assert BY_NAME["truncation_rate"].of(answer("x", finish_reason=reason)) == 0


# The list


def test_every_metric_is_named_once_and_says_what_it_is() -> None:
    assert [metric.name for metric in METRICS] == [
        "distinct_1",
        "distinct_2",
        "rep_2",
        "rep_4",
        "exact_duplicates",
        "truncation_rate",
        "length_tokens",
        "length_words",
    ]
    for metric in METRICS:
        assert metric.definition, metric.name
        assert metric.source, metric.name
        assert metric.level in ("response", "group"), metric.name
        assert metric.better in ("higher", "lower", None), metric.name


def test_what_longer_answers_alone_move_is_marked_as_confounded() -> None:
    vocabulary = [f"w{number}" for number in range(40)]
    rng = np.random.default_rng(5)
    short, long = ([answer(" ".join(rng.choice(vocabulary, size))) for _ in range(4)] for size in (50, 500))
    for metric in METRICS:
        if metric.name in ("distinct_1", "distinct_2", "rep_2"):
            assert metric.confounded, metric.name
            assert abs(value(metric, short) - value(metric, long)) > 0.05, metric.name


# Tokens


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n\u00a0\u3000\u2028", []),
        ("one", ["one"]),
        ("  one\n\ntwo ", ["one", "two"]),
        ("Don't e-mail", ["Don't", "e", "-", "mail"]),
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


def test_the_tokeniser_names_itself() -> None:
    assert UAX29.name == "uax29-words/nfc/cased"
    assert UAX29.cut("a b") == ["a", "b"]
