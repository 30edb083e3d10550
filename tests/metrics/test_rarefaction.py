"""Samples of equal size: expected values against all samples there are, published tables, and laws."""

from __future__ import annotations

import itertools
import math
from statistics import mean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import metric_oracles as oracles

from evalkit.metrics import METRICS, WHITESPACE, Group, lexical, tokenise, variety
from evalkit.metrics import rarefaction as sampled
from evalkit.metrics.answers import entropy_of_answers, near_duplicates
from evalkit.metrics.rarefaction import Sample

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


@given(texts, st.integers(2, 12), st.integers(1, 2))
def test_distinct_n_is_the_mean_over_every_sample_of_the_answers_pooled(group: list[list[str]], drawn: int, n: int) -> None:
    every = [gram for one in group for gram in oracles.grams(one, n)][:10]  # below, the same of what is counted here
    draws = drawn - len(group) * (n - 1)
    expected = math.nan
    if 0 < draws <= len(every) and len(every) == sum(max(0, len(one) - n + 1) for one in group):
        expected = mean(len(set(sample)) for sample in itertools.combinations(every, draws)) / draws
    if len(every) < 10:
        assert same(sampled.distinct(cut(group), Sample(len(group), drawn, 9), n), expected)


def test_repetition_in_a_stretch_is_that_of_a_chain_whose_truth_is_known() -> None:
    """Words drawn at random from ten: one is new after j others with the probability 0.9^j, whatever the lengths of the answers."""
    rng = np.random.default_rng(4)
    for lengths in ([8] * 4000, [80] * 400, [4, 9, 60] * 500):
        group = cut([[str(one) for one in rng.integers(10, size=size)] for size in lengths])
        expected = 1 - mean(0.9**before for before in range(8))
        assert sampled.repeated(group, Sample(2, 16, 8), 1) == pytest.approx(expected, abs=0.01)
        assert sampled.near(group, Sample(2, 16, 5)) == pytest.approx(1 - 0.9**4, abs=0.01)


def test_similarities_are_of_the_words_that_both_have() -> None:
    """By hand: of 'a b c d e' and 'a b x' three words are taken each, of which two are shared, and of the pairs one of two."""
    group = cut([list("abcde"), list("abx"), list("qrstu")])
    shared = (2 / 3 + 1 / 2 + 0 + 0) / 4
    for window in (3, 5, 9):
        found = sampled.kernel(group, Sample(3, 9, window))
        assert found == pytest.approx(np.array([[1, shared, 0], [shared, 1, 0], [0, 0, 1]]))
    assert sampled.different(group, Sample(3, 9, 5)) == pytest.approx(variety.vendi(found))


@given(texts, st.integers(1, 9))
def test_of_beginnings_of_equal_length_the_number_of_answers_is_that_of_the_prefix(group: list[list[str]], window: int) -> None:
    if window >= 4 and min(map(len, group)) >= window:
        prefix = cut([one[:window] for one in group])
        assert sampled.different(cut(group), Sample(len(group), 4, window)) == pytest.approx(variety.vendi_ngram(prefix))


# Published numbers


def test_rarefied_tables_worked_by_hand_hold() -> None:
    """Three kinds that occur 2, 1, 1 times, two drawn: of six pairs one holds a kind twice, so 11/6 kinds."""
    assert sampled.types(np.array([2, 1, 1]), 2) == pytest.approx(11 / 6)
    assert sampled.types(np.array([1] * 20), 7) == pytest.approx(7)
    assert sampled.types(np.array([9]), 4) == pytest.approx(1)


def test_the_spiders_of_the_literature_hold() -> None:
    """Spiders in two parts of a forest (Sackett et al. 2011), the example of Chao et al. 2014, Ecological Monographs 84, and of the R package iNEXT.

    Girdled trees: 168 animals of 26 species; logged ones: 252 of 37. The paper gives no fractions; that all are found where all are drawn, and one
    where one is, are exact, and so is the slope at the end: the last animal brings a new species with the probability f1 / n, f1 occurring once.
    """
    girdled = np.array([46, 22, 17, 15, 15, 9, 8, 6, 6, 4, 2, 2, 2, 2, *[1] * 12])
    logged = np.array([88, 22, 16, 15, 13, 10, 8, 8, 7, 7, 7, 5, 4, 4, 4, 3, 3, 3, 3, 2, 2, 2, 2, *[1] * 14])
    assert [(int(one.sum()), len(one)) for one in (girdled, logged)] == [(168, 26), (252, 37)]
    for counts in (girdled, logged):
        total = int(counts.sum())
        assert sampled.types(counts, total) == pytest.approx(len(counts))
        assert sampled.types(counts, 1) == pytest.approx(1)
        assert len(counts) - sampled.types(counts, total - 1) == pytest.approx((counts == 1).sum() / total)


# Laws


@given(texts, st.integers(2, 30))
def test_the_old_rarefied_distinct_1_is_the_same_number(group: list[list[str]], draws: int) -> None:
    assert same(lexical.rarefied(cut(group), draws), sampled.distinct(cut(group), Sample(2, draws, 9), 1))


@given(texts)
def test_where_all_is_drawn_the_metric_is_that_of_the_whole_answers(group: list[list[str]]) -> None:
    whole = cut(group)
    everything = Sample(len(group), len(whole.ids), int(whole.lengths.max()))
    assert same(sampled.distinct(whole, everything, 1), variety.distinct(whole, 1))
    if len({len(one) for one in group}) == 1 and len(group[0]) >= 4:
        assert same(sampled.distinct(whole, everything, 2), variety.distinct(whole, 2))
        assert sampled.different(whole, everything) == pytest.approx(variety.vendi_ngram(whole))


@given(texts, st.integers(2, 12), st.integers(1, 9))
def test_values_stay_in_range_and_the_order_of_texts_changes_nothing(group: list[list[str]], drawn: int, window: int) -> None:
    sample = Sample(len(group), drawn, window)
    for name in SAMPLED:
        metric = BY_NAME[name]
        assert metric.sampled is not None
        found, turned = (metric.sampled(cut(one), sample) for one in (group, group[::-1]))
        assert found == pytest.approx(turned, nan_ok=True)
        assert math.isnan(found) or metric.low - 1e-9 <= found <= min(metric.high, len(group) if name == "vendi_ngram" else 1) + 1e-9


@given(words, st.integers(2, 5), st.integers(1, 9))
def test_identical_answers_are_one_answer_also_where_they_are_labels(one: list[str], k: int, each: int) -> None:
    assert sampled.different(cut([one] * k), Sample(k, k * each, 4)) == pytest.approx(1)


def test_different_labels_are_as_many_answers() -> None:
    assert sampled.different(cut([["yes"], ["no"], ["perhaps", "so"]]), Sample(3, 4, 2)) == pytest.approx(3)


def test_what_is_too_short_is_undefined() -> None:
    group = cut([["a", "b", "c", "d"], ["a", "b", "c", "e"]])
    assert math.isnan(sampled.distinct(group, Sample(2, 9, 5), 1))
    assert math.isnan(sampled.distinct(group, Sample(2, 2, 4), 2))
    assert math.isnan(sampled.repeated(group, Sample(2, 8, 3), 2))
    assert math.isnan(sampled.repeated(group, Sample(2, 8, 5), 2))
    assert math.isnan(sampled.near(group, Sample(2, 8, 1)))
    assert not math.isnan(sampled.repeated(group, Sample(2, 8, 4), 2))


@pytest.mark.parametrize("name", ["distinct_1", "distinct_2", "vendi_ngram", "rep_2", "rep_w_16"])
def test_four_words_are_enough(name: str) -> None:
    group = cut([["a", "b", "a", "b"], ["c", "d", "e", "f"]])
    metric = BY_NAME[name]
    assert metric.sampled is not None
    assert not math.isnan(metric.sampled(group, Sample(2, 8, 4)))


def test_the_length_of_answers_of_independent_words_moves_nothing() -> None:
    rng = np.random.default_rng(11)
    share = 1 / np.arange(1, 301)
    share /= share.sum()
    found: dict[str, list[float]] = {name: [] for name in SAMPLED}
    raw = []
    for size in (12, 96):
        groups = [cut([[str(one) for one in rng.choice(300, size, p=share)] for _ in range(8)]) for _ in range(60)]
        raw.append(mean(variety.distinct(group, 1) for group in groups))
        for name in SAMPLED:
            of = BY_NAME[name].sampled
            assert of is not None
            found[name].append(mean(of(group, Sample(8, 96, 12)) for group in groups))
    assert raw[0] - raw[1] > 0.2
    for name, (short, long) in found.items():
        assert short == pytest.approx(long, abs=0.15 if name == "vendi_ngram" else 0.02), name


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
