"""Samples of equal size: expected values against all samples there are, published tables, and laws."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from statistics import mean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import metric_oracles as oracles

from evalkit.metrics import METRICS, WHITESPACE, Group, tokenise, variety
from evalkit.metrics import rarefaction as sampled
from evalkit.metrics.answers import entropy_of_answers, near_duplicates
from evalkit.metrics.rarefaction import Sample
from evalkit.scoring.basis import sample_of

BY_NAME = {metric.name: metric for metric in METRICS}
SAMPLED = [metric.name for metric in METRICS if metric.sampled is not None]
words = st.lists(st.sampled_from("abcde"), min_size=1, max_size=9)
texts = st.lists(words, min_size=2, max_size=4)


def cut(group: list[list[str]]) -> Group:
    return tokenise([" ".join(one) for one in group], WHITESPACE)


def same(one: float, other: float) -> bool:
    return math.isclose(one, other, abs_tol=1e-12) or (math.isnan(one) and math.isnan(other))


# Against all samples


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 9))
def test_types_are_the_mean_over_every_sample_there_is(counts: list[int], draws: int) -> None:
    every = [kind for kind, count in enumerate(counts) for _ in range(count)]
    samples = list(itertools.combinations(every, draws))
    expected = mean(len(set(one)) for one in samples) if samples else math.nan
    assert same(sampled.types(np.array(counts), draws), expected)


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=3, max_size=4), min_size=2, max_size=3), st.integers(1, 2), st.data())
def test_distinct_n_is_the_mean_over_every_sample_place_by_place(group: list[list[str]], n: int, data: st.DataObject) -> None:
    longest = sorted(map(len, group), reverse=True)
    lengths = tuple(sorted((data.draw(st.integers(1, one)) for one in longest), reverse=True))
    lengths = tuple(min(one, most) for one, most in zip(lengths, longest, strict=True))
    draws = [sum(one >= place + n for one in lengths) for place in range(max(lengths) - n + 1)]
    if not draws:
        assert math.isnan(sampled.distinct(cut(group), Sample(lengths), n))
        return
    pools = [[one[place] for text in group if len(one := oracles.grams(text, n)) > place] for place in range(len(draws))]
    samples = itertools.product(*(itertools.combinations(pool, many) for pool, many in zip(pools, draws, strict=True)))
    expected = mean(len({gram for taken in sample for gram in taken}) for sample in samples) / sum(draws)
    assert same(sampled.distinct(cut(group), Sample(lengths), n), expected)


def test_repetition_in_a_stretch_is_that_of_a_chain_whose_truth_is_known() -> None:
    """Words drawn at random from ten: one is new after j others with the probability 0.9^j, whatever the lengths of the answers."""
    rng = np.random.default_rng(4)
    for lengths in ([8] * 4000, [80] * 400, [4, 9, 60] * 500):
        group = cut([[str(one) for one in rng.integers(10, size=size)] for size in lengths])
        expected = 1 - mean(0.9**before for before in range(8))
        assert sampled.repeated(group, Sample((8, 8)), 1) == pytest.approx(expected, abs=0.01)
        assert sampled.near(group, Sample((5, 5))) == pytest.approx(1 - 0.9**4, abs=0.01)


def test_similarities_are_of_the_words_that_both_have() -> None:
    """By hand: of 'a b c d e' and 'a b x' three words are taken each, of which two are shared, and of the pairs one of two."""
    group = cut([list("abcde"), list("abx"), list("qrstu")])
    shared = (2 / 3 + 1 / 2 + 0 + 0) / 4
    found = sampled.kernel(group)
    assert found == pytest.approx(np.array([[1, shared, 0], [shared, 1, 0], [0, 0, 1]]))
    assert sampled.different(group, Sample((5, 5, 3))) == pytest.approx(variety.vendi(found))


def by_counting(group: list[list[str]]) -> list[list[float]]:
    """Of two texts, of both as many words as the shorter has: the mean over n of the cosine of their counts; below n words a text is one n-gram."""

    def cosine(one: list[str], other: list[str], n: int) -> float:
        size = min(len(one), len(other))
        counts = [Counter(oracles.grams(text[:size], min(n, size))) for text in (one, other)]
        dots = [sum(a[gram] * b[gram] for gram in a) for a, b in ((counts[0], counts[1]), (counts[0], counts[0]), (counts[1], counts[1]))]
        return dots[0] / math.sqrt(dots[1] * dots[2])

    return [[1.0 if one is other else mean(cosine(one, other, n) for n in (1, 2, 3, 4)) for other in group] for one in group]


@settings(max_examples=60)
@given(st.lists(words, min_size=1, max_size=6))
def test_similarities_are_those_of_counting(group: list[list[str]]) -> None:
    assert sampled.kernel(cut(group)) == pytest.approx(np.array(by_counting(group)))


def test_similarities_of_many_texts_are_those_of_counting_also_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    group = [[str(one) for one in rng.integers(12, size=rng.integers(1, 30))] for _ in range(20)]
    expected = pytest.approx(np.array(by_counting(group)))
    assert sampled.kernel(cut(group)) == expected
    monkeypatch.setattr(sampled, "_WIDEST", 50)
    assert sampled.kernel(cut(group)) == expected
    assert sampled.kernel(cut([["a"]] * 20)) == pytest.approx(np.ones((20, 20)))


def test_the_longest_text_is_cut_to_the_first_length() -> None:
    found = sampled.matched(cut([["a"], list("bcdef"), list("ghi")]), Sample((4, 2, 1)))
    assert found is not None
    assert [[found.vocabulary[at - 1] for at in found.of(number)] for number in range(3)] == [list("bcde"), list("gh"), ["a"]]
    assert sampled.matched(cut([["a"], list("bcdef")]), Sample((4, 2))) is None


@given(texts, st.integers(4, 9))
def test_of_beginnings_of_equal_length_the_number_of_answers_is_that_of_the_prefix(group: list[list[str]], size: int) -> None:
    if min(map(len, group)) >= size:
        prefix = cut([one[:size] for one in group])
        assert sampled.different(cut(group), Sample((size,) * len(group))) == pytest.approx(variety.vendi_ngram(prefix))


# Published numbers


def test_rarefied_tables_worked_by_hand_hold() -> None:
    """Three kinds that occur 2, 1, 1 times, two drawn: of six pairs one holds a kind twice, so 11/6 kinds."""
    assert sampled.types(np.array([2, 1, 1]), 2) == pytest.approx(11 / 6)
    assert sampled.types(np.array([1] * 20), 7) == pytest.approx(7)
    assert sampled.types(np.array([9]), 4) == pytest.approx(1)


def test_the_spiders_of_the_literature_hold() -> None:
    """Spiders in two parts of a forest (Sackett et al. 2011), the example of Chao et al. 2014, Ecological Monographs 84, and of the R package iNEXT.

    Girdled trees: 168 animals of 26 species; logged ones: 252 of 37. Held is what is exact: all are found where all are drawn, and one where one is;
    and the slope at the end: the last animal brings a new species with the probability f1 / n, f1 occurring once.
    """
    girdled = np.array([46, 22, 17, 15, 15, 9, 8, 6, 6, 4, 2, 2, 2, 2, *[1] * 12])
    logged = np.array([88, 22, 16, 15, 13, 10, 8, 8, 7, 7, 7, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, *[1] * 14])
    assert [(int(one.sum()), len(one)) for one in (girdled, logged)] == [(168, 26), (252, 37)]
    for counts in (girdled, logged):
        total = int(counts.sum())
        assert sampled.types(counts, total) == pytest.approx(len(counts))
        assert sampled.types(counts, 1) == pytest.approx(1)
        assert len(counts) - sampled.types(counts, total - 1) == pytest.approx((counts == 1).sum() / total)


VEGAN = {
    "girdled trees": ([46, 22, 17, 15, 15, 9, 8, 6, 6, 4, *[2] * 4, *[1] * 12], {2: 1.87767322497863, 10: 6.47861729173563, 100: 20.4594261592852}),
    "dune meadow, plot 1": ([1, 4, 7, 4, 2], {2: 1.77777777777778, 5: 3.24673202614379, 10: 4.32654600301659}),
    "Barro Colorado, plot 1": (
        [25, 24, 22, 21, 18, 17, 15, 14, 14, 13, 13, 12, 12, 11, 11, 10, 9, 8, 7, *[6] * 4, *[5] * 6, *[4] * 6, *[3] * 9, *[2] * 18, *[1] * 31],
        {10: 9.0446852684956, 100: 48.2535173315675, 300: 80.3858042145651, 340: 84.3399185932818},
    ),
}
"""Counts of species, and how many `rarefy` of the R package vegan 2.6.4 expects among so many of them (run for this test; its data and iNEXT's)."""


@pytest.mark.parametrize("place", VEGAN)
def test_rarefied_counts_are_those_of_another_implementation(place: str) -> None:
    counts, expected = VEGAN[place]
    assert {draws: sampled.types(np.array(counts), draws) for draws in expected} == pytest.approx(expected, rel=1e-12)


# Laws


@given(texts)
def test_where_all_is_drawn_the_metric_is_that_of_the_whole_answers(group: list[list[str]]) -> None:
    whole = cut(group)
    everything = Sample(tuple(sorted(map(len, group), reverse=True)))
    assert same(sampled.distinct(whole, everything, 1), variety.distinct(whole, 1))
    assert same(sampled.distinct(whole, everything, 2), variety.distinct(whole, 2))


@given(texts, st.lists(st.integers(1, 9), min_size=2, max_size=4))
def test_values_stay_in_range_and_the_order_of_texts_changes_nothing(group: list[list[str]], lengths: list[int]) -> None:
    sample = Sample(tuple(sorted(lengths, reverse=True)))
    for name in SAMPLED:
        metric = BY_NAME[name]
        assert metric.sampled is not None
        found, turned = (metric.sampled(cut(one), sample) for one in (group, group[::-1]))
        assert math.isnan(found) == math.isnan(turned)
        if name != "vendi_ngram":  # of two answers that are equally long the first is the longer one
            assert found == pytest.approx(turned, nan_ok=True)
        assert math.isnan(found) or metric.low - 1e-9 <= found <= min(metric.high, len(group) if name == "vendi_ngram" else 1) + 1e-9


@given(words, st.integers(2, 5), st.integers(1, 9))
def test_identical_answers_are_one_answer_also_where_they_are_labels(one: list[str], k: int, size: int) -> None:
    lengths = Sample((min(size, len(one)),) + (1,) * (k - 1))
    assert sampled.different(cut([one] * k), lengths) == pytest.approx(1)


def test_different_labels_are_as_many_answers() -> None:
    assert sampled.different(cut([["yes"], ["no"], ["perhaps", "so"]]), Sample((2, 1, 1))) == pytest.approx(3)


def test_what_is_too_short_is_undefined() -> None:
    group = cut([["a", "b", "c", "d"], ["a", "b", "c", "e"]])
    assert math.isnan(sampled.distinct(group, Sample((5, 4)), 1))
    assert math.isnan(sampled.distinct(group, Sample((1, 1)), 2))
    assert math.isnan(sampled.different(group, Sample((5, 4))))
    assert math.isnan(sampled.repeated(group, Sample((3, 3)), 2))
    assert math.isnan(sampled.repeated(group, Sample((5, 5)), 2))
    assert math.isnan(sampled.near(group, Sample((1, 1))))
    assert not math.isnan(sampled.repeated(group, Sample((4, 4)), 2))


@pytest.mark.parametrize("name", ["distinct_1", "distinct_2", "vendi_ngram", "rep_2", "rep_w_16"])
def test_four_words_are_enough(name: str) -> None:
    group = cut([["a", "b", "a", "b"], ["c", "d", "e", "f"]])
    metric = BY_NAME[name]
    assert metric.sampled is not None
    assert not math.isnan(metric.sampled(group, Sample((4, 4))))


def test_neither_length_nor_a_drift_of_the_words_moves_what_is_compared() -> None:
    """Answers that begin alike and part from each other word by word, of mixed length: about 12 words in one setting, about 48 in the other."""
    rng = np.random.default_rng(11)
    found: dict[str, list[list[float]]] = {name: [[], []] for name in ("distinct_1", "distinct_2", "vendi_ngram")}
    raw: list[list[float]] = [[], []]
    for _ in range(150):
        groups = []
        for middle in (12, 48):
            sizes = np.clip(middle * np.exp(0.5 * rng.normal(size=8)), 4, 150).astype(int)
            groups.append(cut([[f"b{at}" if rng.random() < 0.97**at else str(rng.integers(40)) for at in range(size)] for size in sizes]))
        sample = sample_of([one.lengths for one in groups])
        for side, one in enumerate(groups):
            raw[side].append(variety.distinct(one, 1))
            for name, values in found.items():
                of = BY_NAME[name].sampled
                assert of is not None
                values[side].append(of(one, sample))
    assert abs(mean(raw[0]) - mean(raw[1])) > 0.05
    for name, (short, long) in found.items():
        assert mean(short) == pytest.approx(mean(long), abs=0.15 if name == "vendi_ngram" else 0.015), name


# Answers as wholes


def test_near_duplicates_differ_in_case_punctuation_and_spacing_alone() -> None:
    assert near_duplicates(tokenise(["Fresh bread!", "fresh  bread", "Fresh-bread.", "Stale bread"])) == pytest.approx(2 / 4)
    assert near_duplicates(tokenise(["!", "?", "!"])) == pytest.approx(1 / 3)
    assert variety.exact_duplicates(tokenise(["Fresh bread!", "fresh  bread"])) == 0


def test_the_entropy_of_answers_is_that_of_chao_and_shen() -> None:
    """By hand: of a, a, b one came once, so the coverage is 2/3 and the shares 4/9 and 2/9."""
    parts = [p * math.log(1 / p) / (1 - (1 - p) ** 3) for p in (4 / 9, 2 / 9)]
    assert entropy_of_answers(tokenise(["a", "a", "b"])) == pytest.approx(sum(parts))
    assert entropy_of_answers(tokenise(["a", "a", "a"])) == 0
    alone = 1 / 64  # all of eight differ: as if seven had come once
    assert entropy_of_answers(tokenise(list("abcdefgh"))) == pytest.approx(8 * alone * math.log(64) / (1 - (1 - alone) ** 8))


@pytest.mark.parametrize(("kinds", "within"), [(2, 0.1), (4, 0.15), (8, 0.2)])
def test_the_entropy_of_answers_is_near_the_truth_where_answers_come_again(kinds: int, within: float) -> None:
    rng = np.random.default_rng(3)
    found = [entropy_of_answers(tokenise([str(one) for one in rng.integers(kinds, size=24)])) for _ in range(300)]
    assert mean(found) == pytest.approx(math.log(kinds), abs=within)
