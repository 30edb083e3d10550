"""Where an answer ends, and what of it may be shown before that is certain."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import conditioned

from evalkit.local.completion import Answer
from evalkit.local.corpus import Section
from evalkit.local.model import END, Model
from evalkit.local.sampler import Sampler, Settings


@cache
def babble():
    """A model of two letters, whose tokens cut its text in every way: a stop sequence is met soon, and spans tokens often."""
    paragraphs = ("a b ab ba aab aba bab abb. a.b a a b b ab", "ab ab ba. ba b a b aa bb abab baba.", "b. a. ab. ba.", "aa b.. ab a")
    return Model([Section("a", paragraphs), Section("b", paragraphs[::-1])]).condition([])


def pieces(seed, stop=(), limit=40, temperature=1.5, model=None):
    answer = Answer(model or babble(), Settings(temperature=temperature), np.random.default_rng(seed), limit=limit, stop=stop)
    return list(answer), answer


def cut_by_hand(tokens, stop):
    """The text of `tokens` before the stop sequence that begins first, looked for after each token; and how many were read."""
    text = ""
    for count, token in enumerate(tokens, 1):
        text += token
        found = [text.find(one) for one in stop if one in text]
        if found:
            return text[: min(found)], count, True
    return text, len(tokens), False


seeds = st.integers(0, 2**32)
stops = st.lists(st.text(alphabet="ab .\n", min_size=1, max_size=6), max_size=4)


@settings(max_examples=400)
@given(seeds, stops, st.integers(1, 60), st.sampled_from([0.7, 1.5, 2.0]))
def test_the_text_is_that_of_the_same_answer_without_stops_cut_at_the_first(seed, stop, limit, temperature):
    whole, free = pieces(seed, (), limit, temperature)
    shown, answer = pieces(seed, stop, limit, temperature)
    text, tokens, stopped = cut_by_hand(whole[: free.tokens], stop)
    assert "".join(shown) == text
    assert not any(one in text for one in stop)
    assert answer.tokens == tokens
    assert answer.finish_reason == ("stop" if stopped else free.finish_reason)


@settings(max_examples=200)
@given(seeds, stops)
def test_no_more_is_held_back_than_may_still_become_a_stop(seed, stop):
    whole, free = pieces(seed)
    shown, answer = pieces(seed, stop)
    longest = max(map(len, stop), default=1)
    written, visible = "", ""
    for token, piece in zip(whole[: free.tokens], shown[:-1], strict=False):
        written += token
        visible += piece
        assert written.startswith(visible)
        held = written[len(visible) :]
        assert len(held) < longest
        assert not held or any(one.startswith(held) for one in stop)
    assert len(shown) <= answer.tokens + 1


@given(seeds)
def test_without_stops_each_token_is_shown_as_it_is_drawn(seed):
    shown, answer = pieces(seed)
    assert len(shown) == answer.tokens + 1
    assert shown[-1] == ""
    assert all(shown[:-1])
    assert set(shown) <= set(babble().model.vocabulary)


def _text(seed, **options):
    return "".join(pieces(seed, **options)[0])


def _a_seed_whose_text(holds):
    return next(seed for seed in range(10_000) if holds(_text(seed)))


def test_a_stop_may_span_tokens():
    seed = _a_seed_whose_text(lambda text: " ab ba" in text[3:])
    assert _text(seed, stop=[" ab ba"]) == _text(seed).split(" ab ba")[0]


def test_a_stop_may_lie_inside_a_token():
    seed = _a_seed_whose_text(lambda text: "bab" in text[5:] and "bab" not in text[:5])
    shown, answer = pieces(seed, ["ba"])
    assert "".join(shown) == _text(seed).split("ba")[0]
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("stop", [["ab", "abab"], ["abab", "ab"]])
def test_of_a_stop_and_its_beginning_the_beginning_wins(stop):
    seed = _a_seed_whose_text(lambda text: "abab" in text)
    assert _text(seed, stop=stop) == _text(seed).split("ab")[0]


@pytest.mark.parametrize("stop", [["b", "a"], ["a", "b"]])
def test_of_several_stops_the_one_that_begins_first_wins(stop):
    for seed in range(50):
        text = _text(seed)
        first = min((text.find(one) for one in stop if one in text), default=len(text))
        assert _text(seed, stop=stop) == text[:first]


def test_what_was_held_back_is_shown_where_no_stop_came_of_it():
    seed = _a_seed_whose_text(lambda text: text.endswith("a") and len(text) > 10)
    assert _text(seed, stop=["a" + "z" * 50]) == _text(seed)


@pytest.mark.parametrize("limit", [1, 2, 7, 40])
def test_the_limit_is_exact(limit):
    reasons = set()
    for seed in range(40):
        shown, answer = pieces(seed, limit=limit)
        longer, free = pieces(seed, limit=1000)
        reasons.add(answer.finish_reason)
        if answer.finish_reason == "length":
            assert answer.tokens == limit
        else:
            assert answer.tokens == free.tokens <= limit
        assert "".join(shown) == "".join(longer[: answer.tokens])
    assert "length" in reasons


def test_an_answer_that_ends_by_itself_says_stop_and_ends_where_the_sampler_drew_the_end():
    for seed in range(20):
        shown, answer = pieces(seed, limit=100_000)
        assert answer.finish_reason == "stop"
        sampler = Sampler(babble(), Settings(temperature=1.5), np.random.default_rng(seed))
        context, text = [1], ""
        while (token := sampler.draw(context)) != END:
            context.append(token)
            text += babble().model.vocabulary[token]
        assert "".join(shown) == text
        assert answer.tokens == len(context) - 1


def test_an_end_just_past_the_limit_is_not_seen():
    for seed in range(30):
        _, free = pieces(seed, limit=1000)
        if free.tokens:
            assert pieces(seed, limit=free.tokens)[1].finish_reason == "length"
        assert pieces(seed, limit=free.tokens + 1)[1].finish_reason == "stop"


def test_the_same_seed_gives_the_same_text_and_another_another():
    real = conditioned()
    texts = ["".join(pieces(seed, limit=60, model=real)[0]) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_text_of_the_real_model_is_cut_too():
    real = conditioned()
    for seed in range(30):
        text = "".join(pieces(seed, limit=60, model=real)[0])
        shown, answer = pieces(seed, [". The", " of the", ","], 60, model=real)
        found = [text.find(one) for one in (". The", " of the", ",") if one in text]
        assert "".join(shown) == text[: min(found, default=len(text))]
        assert answer.finish_reason == "stop" or not found
