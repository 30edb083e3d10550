"""The metrics: numbers known from elsewhere, laws that hold for any text, and what happens where a metric has no meaning."""

from __future__ import annotations

import gc
import gzip
import json
import math
import random
import re
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import metric_oracles as oracles
from support.process import ROOT

from evalkit.metrics import (
    CHARACTERS,
    METRICS,
    OPTIONAL,
    UAX29,
    WHITESPACE,
    Group,
    Tokenizer,
    icu,
    lexical,
    mean,
    named,
    repetition,
    score,
    tokenise,
    values,
    variety,
)
from evalkit.metrics.loops import loop
from evalkit.metrics.rarefaction import Sample

GOLDEN = json.loads((ROOT / "tests/golden/metrics.json").read_text(encoding="utf-8"))
EVERY = (*METRICS, *OPTIONAL)
BY_NAME = {metric.name: metric for metric in EVERY}
LOWER_WORDS = Tokenizer("lower words", lambda text: re.findall(r"\w+", text.lower()))

# Few tokens, so that they repeat.
tokens = st.lists(st.sampled_from(["a", "b", "ab", "é", "天", ".", "👍🏽"]), max_size=24)
texts = st.lists(tokens, min_size=1, max_size=5)
sentences = st.lists(st.text(st.sampled_from("ab c.é\n天👍"), max_size=60), min_size=1, max_size=6)


def cut(group: list[list[str]]) -> Group:
    return tokenise([" ".join(one) for one in group], WHITESPACE)


def value(name: str, group: list[str] | Group) -> float:
    return mean(values(BY_NAME[name], group if isinstance(group, Group) else tokenise(group)))


def same(one: float, other: float, within: float = 1e-12) -> bool:
    return math.isclose(one, other, abs_tol=within) or (math.isnan(one) and math.isnan(other))


# Numbers known from elsewhere


def by_whitespace(name: str) -> Callable[[Any, Any], float]:
    return lambda inputs, _: value(name, tokenise([inputs] if isinstance(inputs, str) else inputs, WHITESPACE))


def by_lower_words(name: str) -> Callable[[Any, Any], float]:
    return lambda inputs, _: value(name, tokenise([inputs], LOWER_WORDS))


def vendi_of(inputs: Any, params: Any) -> Any:
    if params.get("kernel") == "cosine":
        vectors = np.array(inputs)
        return variety.vendi(vectors @ vectors.T)
    if isinstance(inputs, dict):
        return variety.vendi(np.exp(-np.abs(np.subtract.outer(inputs["samples"], inputs["samples"]))))
    return variety.vendi(np.array(inputs))


def vendi_of_ngrams(inputs: Any, params: Any) -> float:
    pieces = WHITESPACE if params["tokenizer"] == "str.split" else Tokenizer("pieces", lambda text: re.findall(r"\w+|[^\w\s]", text))
    return variety.vendi(variety.ngram_kernel(tokenise(inputs, pieces), params["ns"]))


def loop_of(inputs: str, _: Any) -> dict[str, float]:
    ids = tokenise([inputs], WHITESPACE).of(0)
    found = loop(ids)
    repeats = found.tokens / found.period if found.period else 0.0
    return {"tail_tokens": found.tokens, "period": found.period, "repeats": repeats, "fraction": found.tokens / len(ids)}


def mtld_of(inputs: str, _: Any) -> float:
    return float(lexical.mtld(tokenise([inputs], LOWER_WORDS), fewest=1)[0])


def vendi_identities(inputs: Any, _: Any) -> dict[str, float]:
    return {"identical": variety.vendi(np.ones((inputs["n"],) * 2)), "orthogonal": variety.vendi(np.eye(inputs["n"]))}


def of_icu(inputs: str, params: Any) -> Any:
    pytest.importorskip("icu4py", reason="the extra 'languages' is not installed")
    return icu(params["locale"]).cut(inputs)


KNOWN: dict[str, Callable[[Any, Any], Any]] = {
    "tokenise UAX#29 default": lambda inputs, _: UAX29.cut(inputs),
    "tokenise ICU dictionary": of_icu,
    "exact-duplicate rate": by_whitespace("exact_duplicates"),
    "self-BLEU-4": by_whitespace("self_bleu_4"),
    "self-ROUGE-L / homogenization": by_whitespace("self_rouge_l"),
    "self_repetition_score": by_whitespace("self_repetition_4"),
    # The reference value is of the texts joined by a space; the metric itself joins by a line end, as its specification has it (tested below).
    "compression_ratio gzip9": lambda inputs, params: variety.compression_ratio(tokenise(inputs), params["separator"]),
    "Vendi score": vendi_of,
    "Vendi score embeddings": vendi_of,
    "Vendi score identities": vendi_identities,
    "Vendi score n-gram kernel": vendi_of_ngrams,
    "mean pairwise cosine distance": lambda inputs, _: variety.cosine_distance(np.array(inputs)),
    "MATTR": by_lower_words("mattr_50"),
    "HD-D": by_lower_words("hdd_42"),
    "MTLD": mtld_of,
    "mean pairwise normalized Levenshtein (token)": by_whitespace("edit_distance_tokens"),
    "mean pairwise normalized Levenshtein (char)": by_whitespace("edit_distance_chars"),
    "rarefied distinct-1 (Hurlbert 1971)": lambda inputs, params: lexical.rarefied(tokenise(inputs, WHITESPACE), params["m"]),
    "EAD": by_whitespace("ead"),
    "rep-w": lambda inputs, params: float(repetition.rep_w(tokenise([inputs], WHITESPACE), params["w"])[0]),
    "diversity product": by_whitespace("diversity_product"),
    "loop_tail": loop_of,
    "longest repeated substring (overlapping allowed)": lambda inputs, _: [value("longest_repeat_chars", [text]) for text in inputs],
    "duplicate-line fraction": by_whitespace("duplicate_lines"),
}
for order in (1, 2, 3):
    KNOWN[f"distinct-{order}"] = lambda inputs, _, n=order: variety.distinct(tokenise(inputs, WHITESPACE), n)  # type: ignore[misc]
for order in (1, 2, 3, 4):
    KNOWN[f"rep-{order} (seq-rep-{order})"] = lambda inputs, _, n=order: float(repetition.rep_n(tokenise([inputs], WHITESPACE), n)[0])  # type: ignore[misc]
OF_METRICS = [case for case in GOLDEN if not case["metric"].startswith("Kaplan")]


@pytest.mark.parametrize("case", OF_METRICS, ids=[f"{number}-{case['metric'].split()[0]}" for number, case in enumerate(OF_METRICS)])
def test_the_numbers_of_the_literature_hold(case: dict[str, Any]) -> None:
    found = KNOWN[case["metric"]](case["inputs"], case["params"])
    assert found == (case["expected"] if isinstance(found, list) else pytest.approx(case["expected"], abs=case["tolerance"])), case["source"]
    if "per_sample" in case["params"]:
        assert variety.self_bleu(tokenise(case["inputs"], WHITESPACE)) == pytest.approx(case["params"]["per_sample"], abs=1e-9)


def test_metrics_hold_to_numbers_counted_by_hand() -> None:
    group = ["the cat the cat", "a cat"]  # 6 words, 3 of them different; pairs: the cat, cat the, the cat; a cat
    assert value("distinct_1", group) == 3 / 6
    assert value("distinct_2", group) == 3 / 4
    assert value("rep_2", group[:1]) == pytest.approx(1 / 3)
    assert value("exact_duplicates", [*group, group[0]]) == pytest.approx(1 / 3)
    assert value("length_words", ["Well, 3.5 % of it -- isn't 天气!"]) == 7
    assert value("length_chars", ["e\u0301 天"]) == 4
    assert value("empty_rate", ["", " \n", "x", "."]) == 0.5
    assert value("length_tokens", tokenise(["as counted elsewhere"], completion_tokens=[17])) == 17
    assert value("truncation_rate", tokenise(["cut", "whole"], truncated=[1, 0])) == 0.5
    assert value("self_rouge_l", ["a b c d", "a c d e f"]) == pytest.approx(2 * 3 / 9)


def test_a_loop_tells_where_it_starts_and_what_it_wastes() -> None:
    words = "so it goes " + "on and on . " * 5
    (found,) = tokenise([words]).loops
    assert (found.start, found.tokens, found.period, found.wasted) == (3, 20, 4, 16)
    assert value("loop_start_token", [words]) == 3
    assert value("loop_wasted_tokens", [words, "no loop here"]) == 8
    assert value("loop_rate", [words, "no loop here"]) == 0.5
    assert math.isnan(value("loop_start_token", ["no loop here"]))


# An independent way to the same numbers


def disagreements(group: list[str]) -> dict[str, tuple[float, float]]:
    row = score([group]).iloc[0]
    return {name: (row[name], other) for name, other in oracles.expected(group, UAX29.cut).items() if not same(row[name], other, 1e-9)}


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.filterwarnings("ignore")  # the packages' own
def test_every_default_metric_agrees_with_its_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(20):
        group = oracles.random_group(rng)
        assert not disagreements(group), group


def test_the_oracles_cover_every_metric_that_strings_decide() -> None:
    assert {metric.name for metric in METRICS} == set(oracles.ORACLES) | set(oracles.ORACLES_OF_GROUPS) | {"length_tokens", "truncation_rate"}


def test_lexical_richness_agrees() -> None:
    from lexicalrichness import LexicalRichness

    rng = np.random.default_rng(3)
    for _ in range(10):
        words = [f"w{number}" for number in rng.zipf(1.5, size=int(rng.integers(210, 400))) if number < 500]
        other = LexicalRichness(words, preprocessor=None, tokenizer=None)
        group = tokenise([" ".join(words)], WHITESPACE)
        if len(words) >= 200:
            assert value("mtld", group) == pytest.approx(other.mtld(0.72), abs=1e-9)
        assert value("mattr_50", group) == pytest.approx(other.mattr(50), abs=1e-9)
        assert value("hdd_42", group) == pytest.approx(other.hdd(42), abs=1e-9)


@given(st.text("ab", max_size=40))
def test_the_longest_repeat_is_found_by_trying_all(text: str) -> None:
    lengths = [size for size in range(1, len(text)) for at in range(len(text) - size) if text.find(text[at : at + size], at + 1) >= 0]
    assert same(value("longest_repeat_chars", [text]), max(lengths, default=0) if text else math.nan)


@given(st.lists(st.integers(0, 2), max_size=40))
def test_a_loop_is_found_by_trying_all(ids: list[int]) -> None:
    found = loop(ids).tokens
    assert same(found / len(ids) if ids else math.nan, oracles.loop_tail([str(one) for one in ids]))


@given(texts, st.integers(1, 6))
def test_n_grams_are_counted_alike_by_sorting_and_by_ranks(group: list[list[str]], n: int) -> None:
    found = cut(group)
    other = cut(group)
    vars(other)["_sorted"] = None  # as where the vocabulary is too large for one number to hold four tokens
    one, two = found.ngrams(n), other.ngrams(n)
    assert one.types == two.types == len({gram for text in group for gram in oracles.grams(text, n)})
    assert one.total.tolist() == two.total.tolist()
    assert one.unique.tolist() == two.unique.tolist() == [len(set(oracles.grams(text, n))) for text in group]
    assert np.array_equal(one.dots(), two.dots())
    assert np.array_equal(one.clipped(), two.clipped())


@given(texts, st.integers(1, 4), st.booleans())
def test_counts_in_common_are_found_by_counting(group: list[list[str]], n: int, alike: bool) -> None:
    group = group * 3 if alike else group  # with many texts that share little else, others are looked up than multiplied
    counts = [Counter(oracles.grams(text, n)) for text in group]
    found = cut(group).ngrams(n)
    assert found.dots().tolist() == [[sum(one[gram] * other[gram] for gram in one) for other in counts] for one in counts]
    most = [[max((other[gram] for at, other in enumerate(counts) if at != number), default=0) for gram in one] for number, one in enumerate(counts)]
    assert found.clipped().tolist() == [sum(map(min, one.values(), its)) for one, its in zip(counts, most, strict=True)]


def test_rows_are_looked_up_where_a_matrix_would_be_mostly_empty() -> None:
    """Sixty texts, each of which shares five words with the next alone."""
    group = [[f"w{number}.{at}" for number in (text, (text + 1) % 60) for at in range(5)] for text in range(60)]
    expected = [[10.0 if one == other else 5.0 * ((one - other) % 60 in (1, 59)) for other in range(60)] for one in range(60)]
    assert cut(group).ngrams(1).dots().tolist() == expected


@given(texts, st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 4))
def test_what_is_cut_out_is_counted_as_if_it_stood_alone(group: list[list[str]], lengths: list[int], n: int) -> None:
    rows = [number for number in range(len(group)) if number < len(lengths)]
    sizes = np.array([min(lengths[row], len(group[row])) for row in rows])
    once = cut(group).cut(np.array(rows), sizes, 12)
    twice = once.cut(np.arange(len(rows))[::-1], sizes[::-1])
    for found, alone in ((once, cut([group[row][:size] for row, size in zip(rows, sizes, strict=True)])), (twice, None)):
        alone = alone or cut([group[row][:size] for row, size in zip(rows[::-1], sizes[::-1], strict=True)])
        one, other = found.ngrams(n), alone.ngrams(n)
        assert (one.types, one.total.tolist(), one.unique.tolist()) == (other.types, other.total.tolist(), other.unique.tolist())
        assert np.array_equal(one.dots(), other.dots())
        assert found.previous.tolist() == alone.previous.tolist()
        assert found.gaps(n).tolist() == alone.gaps(n).tolist()
        assert found.earlier(n).tolist() == alone.earlier(n).tolist()
        assert found.texts == alone.texts


@given(st.lists(st.text("ab .,'\n\té", max_size=20), min_size=1, max_size=4), st.integers(1, 6), st.sampled_from([UAX29, WHITESPACE, CHARACTERS]))
def test_a_beginning_reaches_as_far_as_its_last_token(group: list[str], size: int, tokenizer: Tokenizer) -> None:
    whole = tokenise(group, tokenizer)
    found = whole.take(np.arange(len(group)), size)
    for text, beginning in zip(group, found.texts, strict=True):
        assert text.startswith(beginning)
        assert tokenizer.cut(beginning) == tokenizer.cut(text)[:size]
        assert beginning == beginning.rstrip()


@pytest.mark.parametrize("texts", [["a b c", "b c d"], ["a b c", "", "b c d"]])
def test_a_group_goes_with_all_that_it_has_worked_out_once_nobody_needs_it(texts: list[str]) -> None:
    gc.disable()
    try:
        group = tokenise(texts)
        for metric in METRICS:
            values(metric, group)
            values(metric, group.take(np.arange(len(texts)), 2))
            if metric.sampled is not None:
                metric.sampled(group.with_text, Sample((3, 2)))
        seen = weakref.ref(group)
        group.let_go()
        del group
        assert seen() is None
    finally:
        gc.enable()


def test_where_a_tokeniser_changes_what_it_cuts_beginnings_are_tokens_in_a_row() -> None:
    shouting = Tokenizer("upper", lambda text: text.upper().split())
    swallowing = Tokenizer("joined", lambda text: [text.replace(" ", "")])
    assert tokenise(["a b c"], shouting).take([0], 2).texts == ("A B",)
    assert tokenise(["a b c"], swallowing).take([0], 1).texts == ("abc",)


def test_a_large_vocabulary_changes_nothing() -> None:
    words = [f"w{number}" for number in range(70_000)]
    large = tokenise([" ".join(words), "a b a b a", "a b c d e"], WHITESPACE)
    small = tokenise(["a b a b a", "a b c d e"], WHITESPACE)
    assert large._sorted is None
    for name in ("rep_2", "rep_4", "mattr_50", "rep_w_16", "distinct_2"):
        found = values(BY_NAME[name], large.take([1, 2]))
        assert np.array_equal(found, values(BY_NAME[name], small), equal_nan=True), name


def test_many_texts_give_the_same_as_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    group = [" ".join(rng.choice(list("abcdefgh"), size=40)) for _ in range(12)]
    whole = score([group], ["self_bleu_4", "vendi_ngram"])
    monkeypatch.setattr("evalkit.metrics.ngrams._BLOCK", 60)
    assert np.allclose(whole, score([group], ["self_bleu_4", "vendi_ngram"]), atol=1e-12)


# Laws


@given(texts, st.integers(1, 4), st.integers(1, 4))
def test_copying_every_text_divides_distinct_n_by_the_copies(group: list[list[str]], n: int, copies: int) -> None:
    assert same(variety.distinct(cut(group * copies), n), variety.distinct(cut(group), n) / copies)


@given(sentences, st.randoms(use_true_random=False))
def test_the_order_of_texts_changes_nothing(group: list[str], shuffler: random.Random) -> None:
    shuffled = shuffler.sample(group, len(group))
    for metric in EVERY:
        if metric.name != "compression_ratio":  # gzip looks back only so far, so there the order counts
            assert same(value(metric.name, group), value(metric.name, shuffled)), metric.name


@given(st.lists(sentences, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_one_group_at_a_time_gives_what_all_at_once_do(groups: list[list[str]], shuffler: random.Random) -> None:
    at_once = score(groups, EVERY)
    order = shuffler.sample(range(len(groups)), len(groups))
    shuffled = score((groups[at] for at in order), EVERY)
    for at, group in enumerate(groups):
        alone = score([group], EVERY).to_numpy()[0]
        assert np.array_equal(alone, at_once.to_numpy()[at], equal_nan=True)
        assert np.array_equal(alone, shuffled.to_numpy()[order.index(at)], equal_nan=True)


@given(sentences)
def test_values_stay_in_their_range(group: list[str]) -> None:
    for metric in EVERY:
        found = value(metric.name, tokenise(group, completion_tokens=[len(one) for one in group], truncated=[1] * len(group)))
        if not math.isnan(found):
            assert metric.low - 1e-9 <= found <= metric.high + 1e-9, metric.name
            if metric.name == "vendi_ngram":
                assert found <= len(group) + 1e-9


@given(tokens.filter(lambda one: len(one) >= 4), st.integers(2, 6))
def test_identical_texts_are_one_answer(one: list[str], k: int) -> None:
    group = cut([one] * k)
    assert value("vendi_ngram", group) == pytest.approx(1)
    assert value("self_rouge_l", group) == 1
    assert value("self_bleu_4", group) == pytest.approx(1)
    assert value("exact_duplicates", group) == 1 - 1 / k
    assert value("edit_distance_tokens", group) == 0


@given(st.integers(2, 7), st.integers(4, 30))
def test_texts_that_share_nothing_are_k_answers(k: int, size: int) -> None:
    group = cut([[f"{text}-{at}" for at in range(size)] for text in range(k)])
    assert value("vendi_ngram", group) == pytest.approx(k)
    assert value("self_rouge_l", group) == value("self_bleu_4", group) == value("exact_duplicates", group) == 0
    assert value("edit_distance_tokens", group) == value("distinct_1", group) == 1


@given(tokens, st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(1, 12))
def test_appending_a_loop_never_lowers_loop_tail(one: list[str], turn: list[str], turns: int) -> None:
    found = [value("loop_tail", cut([one + turn * more])) for more in range(12, 12 + turns + 1)]
    assert found == sorted(found)
    assert found[0] > 0


@given(tokens)
def test_a_text_said_twice_repeats_more(one: list[str]) -> None:
    for n in (1, 2, 3, 4):
        if len(one) >= n:
            assert repetition.rep_n(cut([one + one]), n)[0] >= repetition.rep_n(cut([one]), n)[0]


@given(sentences, st.integers(1, 12))
def test_a_prefix_is_the_text_as_far_as_its_last_token(group: list[str], limit: int) -> None:
    whole = tokenise(group)
    rows = np.flatnonzero(whole.lengths >= limit)
    again = tokenise(whole.take(rows, limit).texts)
    assert again.lengths.tolist() == [limit] * len(rows)
    for metric in EVERY:
        if metric.confounded:
            assert same(value(metric.name, whole.take(rows, limit)), value(metric.name, again)), metric.name


# Where there is no meaning


@given(tokens, st.integers(1, 4))
def test_fewer_tokens_than_n_are_undefined_and_never_0(one: list[str], n: int) -> None:
    assert math.isnan(repetition.rep_n(cut([one]), n)[0]) == (len(one) < n)
    assert math.isnan(variety.distinct(cut([one]), n)) == (len(one) < n)


def test_n_grams_never_cross_texts() -> None:
    assert math.isnan(value("distinct_2", ["one", "two"]))
    assert value("distinct_2", ["a b", "a b"]) == 1 / 2  # joined, 'b a' would be a third pair
    assert value("distinct_2", ["a b c", "a"]) == 1  # a short text takes no part


@pytest.mark.parametrize("name", [metric.name for metric in EVERY if metric.level == "group"])
def test_one_text_is_no_group(name: str) -> None:
    long = " ".join(f"w{number}" for number in range(100))
    assert math.isnan(value(name, [long]))
    assert math.isnan(value(name, [long, "", " "]))
    assert not math.isnan(value(name, [long, long + " x"]))


@pytest.mark.parametrize(
    ("name", "size"),
    [("mattr_50", 50), ("hdd_42", 42), ("rep_2", 2), ("rep_4", 4), ("self_bleu_4", 4), ("vendi_ngram", 4), ("mtld", 200), ("self_repetition_4", 4)],
)
def test_a_text_that_is_too_short_is_undefined(name: str, size: int) -> None:
    words = [f"w{number % 7}" for number in range(size)]
    assert math.isnan(value(name, cut([words[:-1]] * 2)))
    assert not math.isnan(value(name, cut([words] * 2)))


def test_compression_joins_by_a_line_end() -> None:
    texts = ["the cat sat on the mat " * 5, "a small bird sang in the old oak tree " * 5]
    data = "\n".join(texts).encode()
    assert value("compression_ratio", texts) == len(data) / len(gzip.compress(data, 9, mtime=0))
    assert value("compression_ratio", texts) != variety.compression_ratio(tokenise(texts), " ")


def test_less_than_200_bytes_have_no_compression_ratio() -> None:
    assert math.isnan(value("compression_ratio", ["x" * 100, "x" * 98]))
    assert value("compression_ratio", ["x" * 100, "x" * 99]) > 1


def test_what_strings_do_not_tell_is_undefined() -> None:
    row = score([["a b", "c"]]).iloc[0]
    assert math.isnan(row["length_tokens"])
    assert math.isnan(row["truncation_rate"])


def test_too_long_a_text_is_not_aligned() -> None:
    long = "a " * (variety.LONGEST + 1)
    assert math.isnan(value("self_rouge_l", [long, "a"]))
    assert value("self_rouge_l", [long[:-2], "a"]) == pytest.approx(2 / (variety.LONGEST + 1))


HOSTILE = {
    "nothing": "",
    "one token": "a ",
    "one letter": "a",
    "different tokens": "".join(f"w{number} " for number in range(2_000)),
    "a sentence": "the cat sat on the mat . ",
    "fibonacci": "a b a a b a b a ",
    "chinese": "今天气很好",
    "thai": "วันนี้อากาศดี",
    "flags": "🇫🇷",
    "family": "👨‍👩‍👧‍👦",
    "marks": "e" + "\u0301" * 50,
    "joiners": "\u200d",
    "lines": "x\n",
    "blanks": " \t",
    "quotes": "a'",
    "control": "\x00\x1b[31m",
}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_texts_give_numbers_in_range(kind: str) -> None:
    text = HOSTILE[kind] * (100_000 // max(1, len(HOSTILE[kind])))
    row = score([[text, text[: len(text) // 2], "a b c d"]]).iloc[0]
    for metric in METRICS:
        assert math.isnan(row[metric.name]) or metric.low <= row[metric.name] <= metric.high, metric.name


def test_a_million_times_one_token_is_one_loop() -> None:
    found = score([["a " * 1_000_000]]).iloc[0]
    assert found["loop_tail"] == 1
    assert found["rep_4"] == pytest.approx(1 - 1 / 999_997)
    assert found["mattr_50"] == pytest.approx(1 / 50)


# The list and the table


def test_the_default_metrics_are_these() -> None:
    assert " ".join(metric.name for metric in METRICS) == (
        "length_tokens length_words length_chars truncation_rate empty_rate mattr_50 hdd_42 rep_2 rep_4 rep_w_16 loop_tail loop_rate "
        "duplicate_lines exact_duplicates near_duplicates answer_entropy distinct_1 distinct_2 self_bleu_4 self_rouge_l compression_ratio vendi_ngram"
    )


def test_every_metric_is_named_once_and_says_what_it_is() -> None:
    assert len(BY_NAME) == len(EVERY)
    for metric in EVERY:
        assert metric.definition, metric.name
        assert metric.source, metric.name
        assert metric.bound, metric.name
        assert metric.level in ("response", "group"), metric.name
        assert metric.better in ("higher", "lower", None), metric.name
        assert metric.confounded == metric.bias.startswith("length"), metric.name


def test_what_longer_answers_alone_move_is_marked_as_confounded() -> None:
    vocabulary = np.array([f"w{number}" for number in range(400)])
    rng = np.random.default_rng(5)
    short, long = ([[" ".join(rng.choice(vocabulary, size)) for _ in range(4)] for _ in range(20)] for size in (60, 600))
    before, after = score(short), score(long)
    for metric in METRICS:
        if metric.confounded and metric.name not in ("duplicate_lines", "rep_4", "rep_w_16", "self_rouge_l"):  # those move with other kinds of text
            pooled = math.hypot(before[metric.name].std(), after[metric.name].std())
            assert abs(before[metric.name].mean() - after[metric.name].mean()) > 2 * pooled, metric.name
    for name in ("mattr_50", "hdd_42"):
        assert before[name].mean() == pytest.approx(after[name].mean(), abs=0.02)


def test_a_table_has_a_row_a_group_and_a_column_a_metric() -> None:
    found = score({"cold": ["a b c", "a b c"], "hot": ["d e", ""]}, ["distinct_1", "rep_2", BY_NAME["empty_rate"]], tokenizer="characters")
    assert found.index.tolist() == ["cold", "hot"]
    assert found.columns.tolist() == ["k", "distinct_1", "rep_2", "empty_rate"]
    assert found["k"].tolist() == [2, 1]
    assert found["distinct_1"].tolist()[0] == 0.5
    assert math.isnan(found["distinct_1"]["hot"])
    assert found["empty_rate"].tolist() == [0, 0.5]
    assert score([]).shape == (0, 1 + len(METRICS))
    assert score([["a b c d", "a b"], ["x"]], ["length_words"], prefix=3)["k"].tolist() == [1, 0]


def test_wrong_asks_are_refused() -> None:
    with pytest.raises(ValueError, match="no metric is called 'bleu'"):
        score([["a"]], ["bleu"])
    with pytest.raises(ValueError, match="one string"):
        score(["a text"])
    with pytest.raises(ValueError, match="prefix"):
        score([["a"]], prefix=0)
    assert [one.name for one in named(["mtld", "default"])] == ["mtld", *(metric.name for metric in METRICS)]


def test_a_metric_of_your_own_is_a_function() -> None:
    shouting = METRICS[5]._replace(name="shouting", of=lambda group: np.array([float(text.isupper()) for text in group.texts]))
    assert score([["YES", "no", ""]], [shouting], CHARACTERS)["shouting"].tolist() == [0.5]
