"""Each manner of another server does to the distribution, the counts and the text what its name says, and nothing else."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.local import BODY, api, conditioned, in_thread

from evalkit.local.errors import ApiError
from evalkit.local.manners import PLAIN, Manners, Tokens
from evalkit.local.model import BREAK
from evalkit.local.quirks import twist
from evalkit.local.rehearsal import RehearsalError, check
from evalkit.local.sampler import Sampler, Settings, cut, shape
from evalkit.local.server import app

PROBS = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
CUTS_FIRST = Manners(cuts_first=True)


def asked(*quirks, number=0, beside=0, **fields):
    """The text and the body of the answer of an endpoint with these quirks."""
    rehearsed = check({"quirks": list(quirks)})
    twisted = twist({**BODY, "seed": 5, **fields}, rehearsed.quirks, "chat", 0, number, beside)
    chat = api().chat(twisted.asked(), twisted.manners)
    answers = api().answers(chat)
    texts = ["".join(answer) for answer in answers]
    return texts[0], api().completion(chat, answers, texts)


def count(body):
    return body["usage"]["completion_tokens"]


def ending(body):
    return body["choices"][0]["finish_reason"]


# The order of temperature and cuts


def test_a_temperature_before_top_p_lets_more_tokens_in_than_one_after_it():
    hot = Settings(temperature=2.0, top_p=0.5)
    roots = np.sqrt(PROBS)
    # By hand: the roots' shares are .30, .26, .21, ...: two make up half of them; and two of the raw ones too, so a lower share tells more.
    assert np.allclose(shape(PROBS, {}, hot), [*(roots[:2] / roots[:2].sum()), 0, 0, 0])
    tight = Settings(temperature=2.0, top_p=0.35)
    assert np.allclose(shape(PROBS, {}, tight), [*(roots[:2] / roots[:2].sum()), 0, 0, 0])
    assert np.allclose(shape(PROBS, {}, Settings(temperature=2.0, top_p=0.35, manners=CUTS_FIRST)), [1, 0, 0, 0, 0])


def test_min_p_after_the_temperature_is_of_what_it_has_flattened():
    # Roots' ratios to the first: .87, .71, .39, .32; raw ones: .75, .5, .15, .1.
    assert np.count_nonzero(shape(PROBS, {}, Settings(temperature=2.0, min_p=0.6))) == 3
    assert np.count_nonzero(shape(PROBS, {}, Settings(temperature=2.0, min_p=0.6, manners=CUTS_FIRST))) == 2


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=8), st.floats(0.05, 0.95), st.floats(0.2, 2))
def test_at_temperature_1_the_order_is_no_matter_and_top_k_keeps_so_many_in_either(weights, top_p, heat):
    probs = np.array(weights) / sum(weights)
    for fields in ({"top_p": top_p}, {"min_p": top_p}):
        first, last = (shape(probs, {}, Settings(**fields, manners=manners)) for manners in (PLAIN, CUTS_FIRST))
        assert np.allclose(first, last)
    for manners in (PLAIN, CUTS_FIRST):
        assert np.count_nonzero(shape(probs, {}, Settings(temperature=heat, top_k=2, manners=manners))) == 2


def test_a_cut_leaves_the_likeliest_token_whatever_it_is_told():
    assert np.flatnonzero(cut(PROBS, Settings(top_k=1, min_p=1.0, top_p=0.0))).tolist() == [0]


def test_what_is_hidden_holds_until_it_is_sent():
    hidden = {"quirk": "hidden", "top_k": 1}
    hot = {"temperature": 2, "max_tokens": 8}
    assert asked(hidden, **hot)[0] == asked(**{**hot, "temperature": 0})[0]
    assert asked(hidden, **hot, top_k=0)[0] == asked(**hot)[0]
    with pytest.raises(ApiError, match="top_k"):
        asked(**hot, top_k=0)


# Penalties


def test_a_window_forgets_what_is_further_back_and_a_prompt_is_counted_where_it_is():
    answer, both, prompt = (Tokens(Manners(counted=counted, window=3), [7, 7, 8]) for counted in ("answer", "both", "prompt"))
    assert (answer.counts, both.counts, prompt.counts) == (Counter(), Counter({7: 2, 8: 1}), Counter({7: 2, 8: 1}))
    for tokens in (answer, both, prompt):
        tokens.say(9)
        tokens.say(9)
    assert (answer.counts, both.counts, prompt.counts) == (Counter({9: 2}), Counter({8: 1, 9: 2}), Counter({8: 1}))


def test_a_multiplied_penalty_of_one_does_nothing_and_of_two_squares_the_probability():
    times = Manners(kind="multiplicative")
    assert np.allclose(shape(PROBS, {0: 3}, Settings(frequency_penalty=1.0, manners=times)), PROBS)
    squared = np.array([0.16, *PROBS[1:]])
    assert np.allclose(shape(PROBS, {0: 3}, Settings(frequency_penalty=2.0, manners=times)), squared / squared.sum())
    with pytest.raises(ApiError, match="strictly positive"):
        asked({"quirk": "penalties", "kind": "multiplicative"}, frequency_penalty=-1)


def test_penalties_that_are_not_told_apart_or_do_not_act_at_zero():
    once = PROBS * [math.exp(-1.0), 1, 1, 1, 1]
    assert np.allclose(shape(PROBS, {0: 3}, Settings(frequency_penalty=1.0, manners=Manners(apart=False))), once / once.sum())
    assert shape(PROBS, {0: 3}, Settings(temperature=0, frequency_penalty=1.0))[1] == 1
    assert shape(PROBS, {0: 3}, Settings(temperature=0, frequency_penalty=1.0, manners=Manners(at_zero=False)))[0] == 1


def test_a_prompt_that_holds_the_likeliest_word_changes_the_first_token_where_it_is_counted():
    talk = [{"role": "user", "content": "What is a loop?" + "\nThe" * 20}]
    fields = {"messages": talk, "temperature": 0, "max_tokens": 1}
    plain = asked(**fields)[0]
    assert plain == asked(**fields, frequency_penalty=2)[0] == "The"
    assert asked({"quirk": "penalties", "count": "both"}, **fields, frequency_penalty=2)[0] != plain
    far = [{"role": "user", "content": talk[0]["content"] + " ." * 70}]
    assert asked({"quirk": "penalties", "count": "both", "window": 64}, **{**fields, "messages": far}, frequency_penalty=2)[0] == "The"


# Ends of the ranges, seeds, counts, stops, log probabilities


@pytest.mark.parametrize(
    ("quirk", "sent", "as_if"),
    [
        ({"zero": "unset"}, {"temperature": 0}, {}),
        ({"zero": "least", "least": 0.5}, {"temperature": 0}, {"temperature": 0.5}),
        ({"least": 0.5}, {"temperature": 0.01}, {"temperature": 0.5}),
        ({"most": 1.0}, {"temperature": 2}, {"temperature": 1}),
        ({"beyond": "clamped"}, {"temperature": 2.5}, {"temperature": 2}),
        ({"beyond": "taken"}, {"temperature": -0.0}, {"temperature": 0}),
        ({"top_p_zero": "all"}, {"top_p": 0}, {"top_p": 1}),
    ],
)
def test_ends_are_as_the_quirk_says(quirk, sent, as_if):
    assert asked({"quirk": "ends", **quirk}, **sent, max_tokens=20)[0] == asked(**as_if, max_tokens=20)[0]


def test_a_temperature_beyond_two_is_taken_as_it_is_or_refused():
    texts = {asked({"quirk": "ends", "beyond": "taken"}, temperature=heat, max_tokens=20)[0] for heat in (2, 2.5, 3)}
    assert len(texts) == 3
    with pytest.raises(ApiError, match="temperature"):
        asked(temperature=2.5)
    with pytest.raises(ApiError, match="top_p"):
        asked({"quirk": "ends", "top_p_zero": "refused"}, top_p=0)


def test_seeds_that_lie_near_are_one_and_choices_may_be_copies():
    near = {"quirk": "seeding", "value": "neighbours"}
    assert len({asked(near, seed=seed, max_tokens=12)[0] for seed in range(8, 16)}) == 1
    assert len({asked(near, seed=seed, max_tokens=12)[0] for seed in (8, 16, 24)}) == 3
    for quirks, kinds in (((), 3), (({"quirk": "seeding", "value": "copies"},), 1)):
        choices = asked(*quirks, n=3, max_tokens=12)[1]["choices"]
        assert len({one["message"]["content"] for one in choices}) == kinds


def test_seeds_that_hold_alone_do_not_beside_others():
    alone = {"quirk": "seeding", "value": "alone"}
    assert asked(alone, max_tokens=12)[0] == asked(max_tokens=12)[0]
    assert len({asked(alone, max_tokens=12, number=number, beside=1)[0] for number in range(3)}) == 3


def test_what_is_counted():
    whole = {"max_tokens": 400, "temperature": 0.3}
    text, plain = asked(**whole)
    assert ending(plain) == "stop"
    assert count(asked({"quirk": "counting", "end": True}, **whole)[1]) == count(plain) + 1
    assert count(asked({"quirk": "counting", "hidden": 12}, **whole)[1]) == count(plain) + 12
    words = text.split(" ")
    stop = {**whole, "stop": [f" {words[4]} {words[5]}"]}
    assert count(asked(**stop)[1]) == count(asked({"quirk": "counting", "trimmed": False}, **stop)[1]) + 2


@pytest.mark.parametrize(("wins", "tokens"), [("max_completion_tokens", 9), ("max_tokens", 3), ("smaller", 3)])
def test_which_limit_wins(wins, tokens):
    assert count(asked({"quirk": "counting", "wins": wins}, max_tokens=3, max_completion_tokens=9)[1]) == tokens


@pytest.mark.parametrize(("zero", "tokens"), [("none", 0), ("one", 1)])
def test_what_a_limit_of_none_is(zero, tokens):
    assert count(asked({"quirk": "counting", "zero": zero}, max_tokens=0)[1]) == tokens


def test_a_limit_of_none_may_be_no_limit_or_refused():
    assert count(asked({"quirk": "counting", "zero": "unlimited"}, max_tokens=0)[1]) > 10
    with pytest.raises(ApiError, match="max_tokens"):
        asked(max_tokens=0)


def test_stops_trimmed_kept_and_missed():
    fields = {"max_tokens": 60}
    text, _ = asked(**fields)
    word = next(one for one in text.split(" ")[3:] if len(one) > 5 and one.isalpha())
    inside, before = word[1:3], text[: text.index(word)]
    first = text.index(inside)
    trimmed, kept, missed = (asked({"quirk": "stopping", "value": value}, **fields, stop=[inside])[0] for value in ("trimmed", "kept", "missed"))
    assert trimmed == text[:first]
    assert kept.startswith(trimmed + inside)
    assert kept in text
    assert len(kept) < len(text)
    assert len(missed) > len(trimmed)
    assert asked({"quirk": "stopping", "value": "missed"}, **fields, stop=[f" {word}"])[0] == before.rstrip(" ")
    assert asked({"quirk": "stopping", "most": 6}, **fields, stop=list("!?§%&$"))[0]
    with pytest.raises(ApiError, match="stop"):
        asked(**fields, stop=list("!?§%&$"))


def test_log_probabilities_are_of_what_is_drawn_from_or_of_what_it_was_before():
    raw = conditioned().probabilities((BREAK,))
    fields = {"temperature": 2.0, "top_p": 0.3}
    drawn, tempered, own = (
        Sampler(conditioned(), Settings(**fields, manners=Manners(told=told)), np.random.default_rng(0)).probabilities((BREAK,))
        for told in ("drawn", "tempered", "raw")
    )
    assert np.array_equal(own, raw)
    assert np.allclose(tempered, np.sqrt(raw) / np.sqrt(raw).sum())
    assert np.allclose(drawn, shape(raw, {}, Settings(**fields)))


# On the way


def test_the_manners_are_those_of_the_served_endpoint_and_are_counted():
    with in_thread(app(api(), rehearsal=check({"quirks": [{"quirk": "seeding", "value": "alone"}, {"quirk": "hidden", "top_k": 1}]}))) as server:
        replies = [server.ask("POST", "/v1/chat/completions", {**BODY, "seed": 3, "max_tokens": 6}) for _ in range(2)]
        told = server.ask("GET", "/faults").json
    assert len({reply.json["choices"][0]["message"]["content"] for reply in replies}) == 1
    assert told["quirks"] == {"seeding": 2, "hidden": 2}


@pytest.mark.parametrize(
    ("quirk", "said"),
    [
        ({"quirk": "order"}, "quirks[0]: has nothing but its name; expected value"),
        ({"quirk": "order", "value": "first"}, "quirks[0].value: found 'first'; expected one of temperature_first, top_p_first"),
        ({"quirk": "hidden", "top_k": 1.5}, "quirks[0].top_k: found 1.5; expected a whole number from 1 to 100000"),
        ({"quirk": "hidden", "min_p": 2}, "quirks[0].min_p: found 2; expected a number from 0 to 1"),
        ({"quirk": "penalties", "apart": 1}, "quirks[0].apart: found 1; expected true or false"),
        ({"quirk": "penalties", "counts": "both"}, "quirks[0].counts: unknown key; did you mean 'count'?"),
    ],
)
def test_a_manner_that_is_none_is_told(quirk, said):
    with pytest.raises(RehearsalError) as told:
        check({"quirks": [quirk]})
    assert said in str(told.value)
