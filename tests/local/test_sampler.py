"""The sampler draws what the definition says: compared with plain loops over the full vocabulary, exactly and by chi-square."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from support.local import QUESTION, TIED, conditioned, real_sections

from evalkit.local.model import BREAK, END, Conditioned, Model
from evalkit.local.sampler import Sampler, Settings, nucleus, shape

DRAWS = 20_000  # 8,000 do not see a tail that is given the share of what is not in it
FAMILY_ERROR = 0.001
"""How often all chi-square tests together would fail a right sampler, were the seeds not fixed."""


def by_hand(probs, counts, wanted):
    """The distribution to sample from, one token after the other."""
    logits = [math.log(p) for p in probs]
    for token in range(len(logits)):
        occurred = counts.get(token, 0)
        logits[token] -= occurred * wanted.frequency_penalty + (wanted.presence_penalty if occurred else 0)
        logits[token] += wanted.logit_bias.get(token, 0)
    highest = max(logits)
    if wanted.temperature == 0:
        return np.array([float(token == logits.index(highest)) for token in range(len(logits))])
    weights = [math.exp((logit - highest) / wanted.temperature) for logit in logits]
    kept = [0.0] * len(weights)
    whole, mass = math.fsum(weights), 0.0
    for token in sorted(range(len(weights)), key=lambda token: (-weights[token], token)):
        kept[token] = weights[token]
        mass += weights[token]
        if wanted.top_p < 1 and mass >= wanted.top_p * whole:
            break
    return np.array(kept) / math.fsum(kept)


# The definition


@given(st.lists(st.integers(0, 6), min_size=1, max_size=12).filter(any), st.integers(0, 64))
def test_the_nucleus_is_the_smallest_set_that_reaches_top_p(weights, parts):
    # Small integers and 64ths are exact in floats, so that a set may reach its mass exactly.
    kept = nucleus(np.array(weights, float), parts / 64)
    order = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    expected, mass = [0] * len(weights), 0
    for token in order:
        expected[token] = weights[token]
        mass += weights[token]
        if parts < 64 and Fraction(mass) >= Fraction(parts, 64) * sum(weights):
            break
    assert kept.tolist() == expected


def test_known_nuclei():
    # Holtzman et al. 2020: the smallest set whose mass is at least p
    probs = np.array([0.125, 0.5, 0.25, 0.125])
    assert nucleus(probs, 0.5).tolist() == [0, 0.5, 0, 0]
    assert nucleus(probs, 0.51).tolist() == [0, 0.5, 0.25, 0]
    assert nucleus(probs, 0.75).tolist() == [0, 0.5, 0.25, 0]
    assert nucleus(probs, 0.8).tolist() == [0.125, 0.5, 0.25, 0]
    assert nucleus(probs, 0.0).tolist() == [0, 0.5, 0, 0]
    assert nucleus(probs, 1.0).tolist() == probs.tolist()


vectors = st.lists(st.floats(1e-9, 1), min_size=1, max_size=30).map(lambda values: np.array(values) / sum(values))
some_settings = st.builds(
    Settings,
    temperature=st.just(0.0) | st.floats(0.05, 2),
    top_p=st.just(1.0) | st.floats(0, 1),
    frequency_penalty=st.floats(-2, 2),
    presence_penalty=st.floats(-2, 2),
    logit_bias=st.dictionaries(st.integers(0, 29), st.floats(-100, 100), max_size=3),
)


@given(vectors, st.dictionaries(st.integers(0, 29), st.integers(1, 9), max_size=5), some_settings)
def test_the_shape_is_what_plain_loops_give(probs, counts, wanted):
    assume(all(token < len(probs) for token in (*counts, *wanted.logit_bias)))
    expected = by_hand(probs, counts, wanted)
    found = shape(probs, counts, wanted)
    # Where two candidates for the top, or the edge of the nucleus, are equal but for rounding, either is right.
    assume(((found > 0) == (expected > 0)).all() or not _on_an_edge(probs, counts, wanted))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-300)
    assert found.sum() == pytest.approx(1)


def _on_an_edge(probs, counts, wanted):
    nudged = [Settings(**{**vars(wanted), "top_p": wanted.top_p * factor}) for factor in (1 - 1e-9, 1 + 1e-9)]
    if len({tuple(by_hand(probs, counts, one) > 0) for one in nudged}) > 1:
        return True
    flat = by_hand(probs, counts, Settings(**{**vars(wanted), "top_p": 1.0, "temperature": wanted.temperature or 1.0}))
    return bool((np.diff(np.sort(flat)) < 1e-9 * flat.max()).any())


def test_penalties_count_occurrences_and_presence():
    # OpenAI: mu[j] -> mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence
    wanted = Settings(frequency_penalty=0.5, presence_penalty=0.25)
    assert [wanted.penalty(count) for count in range(4)] == [0, 0.75, 1.25, 1.75]
    expected = np.array([0.5 * math.exp(-1.25), 0.3, 0.2])
    np.testing.assert_allclose(shape(np.array([0.5, 0.3, 0.2]), {0: 2}, wanted), expected / expected.sum())


def test_defaults_change_nothing():
    probs = conditioned().probabilities([BREAK])
    np.testing.assert_allclose(shape(probs, {3: 4, 5: 1}, Settings()), probs, rtol=1e-12)


# The draws


@cache
def small_model():
    """Every fifteenth section: the real text, with less vocabulary to loop over."""
    return Model(real_sections()[::15])


class Situation(NamedTuple):
    question: str
    context: tuple[int, ...]
    history: tuple[int, ...]


@cache
def situations():
    """Where the next token is drawn: after which prompt and context, and with which tokens in the answer already."""
    model, read = small_model(), real_sections()[::15]
    first, second = (model.ids(section.paragraphs[0]) for section in (read[3], read[11]))
    text = [token for paragraph in read[5].paragraphs for token in model.ids(paragraph)][:40]
    once = np.bincount(model._next).tolist().index(1)
    the, follower = model.ids(" the"), model.condition([]).step([once]).ids.tolist()
    return {
        "at the start": Situation(QUESTION, (BREAK,), tuple(text[:30])),
        "after a common word": Situation(QUESTION, tuple(model.ids(" of the")), tuple(text + the * 5)),
        "in mid-sentence": Situation("zzyzx", tuple(first[4:7]), tuple(first[:20] * 3)),
        "after a word read once": Situation("zzyzx", (first[3], second[9], once), tuple(text[:20] + the * 3 + follower * 8)),
    }


SITUATIONS = ("at the start", "after a common word", "in mid-sentence", "after a word read once")
SETTINGS = {
    "greedy": Settings(temperature=0),
    "greedy, penalties": Settings(temperature=0, frequency_penalty=0.7, presence_penalty=0.2),
    "cold": Settings(temperature=0.3),
    "cool, narrow": Settings(temperature=0.5, top_p=0.1),
    "plain": Settings(),
    "wide": Settings(top_p=0.8),
    "warm, wide": Settings(temperature=1.5, top_p=0.95),
    "penalties": Settings(frequency_penalty=0.3, presence_penalty=0.6),
    "penalties, cool, wide": Settings(temperature=0.6, top_p=0.9, frequency_penalty=0.2),
    "penalties, hot": Settings(temperature=2, presence_penalty=2),
    "penalties, very cold": Settings(temperature=0.1, frequency_penalty=2, presence_penalty=1),
    "negative penalties": Settings(frequency_penalty=-0.2, presence_penalty=-0.5),
    "biases": Settings(temperature=0.8, logit_bias={0: -100, 1: 2, 12: 4.5, 40: -3, 300: 7, 301: 6.5}),
}
TESTS = len(SITUATIONS) * len(SETTINGS)


def prepared(model, wanted, history, rng):
    """A sampler that has drawn `history` already and counts nothing from here on: every draw is from the same state."""
    sampler = Sampler(model, wanted, rng)
    for token in history:
        if sampler._penalised:
            sampler._count(token)
    sampler._penalised = False
    return sampler


def chi_square(observed, probs, apart):
    """p-value of the counts `observed` under `probs`.

    Tokens are put into bins in an order that depends on `probs` alone, those of `apart` first, each bin large enough that ten
    draws are expected in it.
    """
    draws = observed.sum()
    order = [int(token) for token in np.lexsort((-probs, ~np.isin(np.arange(len(probs)), apart))) if probs[token] > 0]
    bins = [[0.0, 0]]
    for token in order:
        if bins[-1][0] >= 10:
            bins.append([0.0, 0])
        bins[-1][0] += draws * probs[token]
        bins[-1][1] += observed[token]
    if len(bins) > 1 and bins[-1][0] < 10:
        expected, seen = bins.pop()
        bins[-1][0] += expected
        bins[-1][1] += seen
    statistic = sum((seen - expected) ** 2 / expected for expected, seen in bins)
    return 1.0 if len(bins) == 1 else float(stats.chi2.sf(statistic, len(bins) - 1))


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", SETTINGS)
def test_draws_follow_the_definition_over_the_full_vocabulary(name, situation):
    question, context, history = situations()[situation]
    model, wanted = small_model().condition([(question, 1.0)]), SETTINGS[name]
    expected = by_hand(model.probabilities(context), Counter(history), wanted)
    sampler = prepared(model, wanted, history, np.random.default_rng([15, len(name), len(situation)]))
    draws = DRAWS if wanted.temperature else 50  # where chance plays a part
    drawn = Counter(sampler.draw(context) for _ in range(draws))
    observed = np.array([drawn[token] for token in range(len(expected))])
    assert observed.sum() == draws
    assert observed[expected == 0].sum() == 0
    assert chi_square(observed, expected, model.step(context).ids) > FAMILY_ERROR / TESTS


def test_a_tail_whose_common_words_are_used_up_is_drawn_from_rightly():
    # Most of what the unpenalised unigram proposes is refused here, so that the tail is worked out in full.
    model = small_model().condition([(QUESTION, 1.0)])
    commonest, *common = np.argsort(-model.unigram, kind="stable")[:100].tolist()
    followed = [token for token in range(len(model.unigram)) if model.step([token]).ids.tolist() == [commonest]]
    context = [max(followed, key=lambda token: model.step([token]).tail)]
    wanted = Settings(temperature=0.8, frequency_penalty=2, presence_penalty=2)
    expected = by_hand(model.probabilities(context), Counter(common * 2), wanted)
    assert 0.1 < expected[commonest] < 0.95
    sampler = prepared(model, wanted, common * 2, np.random.default_rng(16))
    drawn = Counter(sampler.draw(context) for _ in range(DRAWS))
    observed = np.array([drawn[token] for token in range(len(expected))])
    assert chi_square(observed, expected, [commonest]) > FAMILY_ERROR


def _outranked(model, temperature):
    """A token after which one that was seen is a little less probable than one that was not, and the top_p that ends with the seen one."""
    for token in range(len(model.unigram)):
        raised = model.probabilities([token]) ** (1 / temperature)
        flat, ids = raised / raised.sum(), model.step([token]).ids
        highest = np.delete(flat, ids).max()
        for probability in flat[ids]:
            if 0.6 * highest < probability < 0.95 * highest and highest > 0.01:
                return token, float(flat[ids][flat[ids] >= probability].sum() - probability / 2)
    raise AssertionError("there is none")


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.6])
def test_an_unseen_token_that_outranks_a_seen_one_is_in_the_nucleus(temperature):
    model = small_model().condition([(QUESTION, 1.0)])
    token, top_p = _outranked(model, temperature)
    ids, wanted = model.step([token]).ids, Settings(temperature=temperature, top_p=top_p)
    expected = by_hand(model.probabilities([token]), {}, wanted)
    assert np.delete(expected, ids).max() > 0.01
    sampler = Sampler(model, wanted, np.random.default_rng(17))
    drawn = Counter(sampler.draw([token]) for _ in range(4000))
    observed = np.array([drawn[token] for token in range(len(expected))])
    assert observed[expected == 0].sum() == 0
    assert chi_square(observed, expected, ids) > FAMILY_ERROR


def test_the_settings_reach_into_the_tail_and_stay_out_of_it():
    # Otherwise the test above would prove less than it says.
    inside, outside = set(), set()
    for name, wanted in SETTINGS.items():
        for question, context, history in situations().values():
            model = small_model().condition([(question, 1.0)])
            probs = by_hand(model.probabilities(context), Counter(history), wanted)
            probs[model.step(context).ids] = 0
            (outside if probs.sum() > 0.02 else inside).add(name)
    assert {"cool, narrow", "greedy"} <= inside  # whatever the Python, whose manual is the corpus
    assert {"greedy, penalties", "plain", "warm, wide", "penalties, hot", "penalties", "biases", "negative penalties"} <= outside
    assert {"wide", "penalties, cool, wide", "penalties, very cold"} <= outside
    assert tuple(situations()) == SITUATIONS


@pytest.mark.parametrize(
    "wanted",
    [
        Settings(frequency_penalty=0.4, presence_penalty=0.3),
        Settings(temperature=0.06, frequency_penalty=1.5),
        Settings(temperature=0.7, top_p=0.8, frequency_penalty=1),
        Settings(temperature=1.2, presence_penalty=-0.3),
    ],
    ids=str,
)
def test_a_long_answer_follows_the_definition_to_its_end(wanted):
    # Each draw's place in its own distribution is uniform, where the distribution takes in all that was drawn before it.
    model = small_model().condition([(QUESTION, 1.0)])
    sampler = Sampler(model, wanted, np.random.default_rng(3))
    jitter = np.random.default_rng(4)
    counts: Counter[int] = Counter()
    context, places = [BREAK], []
    for _ in range(3000):
        probs = shape(model.probabilities(context), counts, wanted)
        token = sampler.draw(context)
        assert probs[token] > 0
        places.append(probs[:token].sum() + jitter.random() * probs[token])
        counts[token] += 1
        context = [BREAK] if token == END else [*context[-2:], token]
    assert stats.kstest(places, "uniform").pvalue > 0.001
    assert stats.kstest(places[-1000:], "uniform").pvalue > 0.001


def test_a_long_greedy_answer_is_the_one_the_definition_gives():
    wanted = Settings(temperature=0, frequency_penalty=0.3, presence_penalty=0.1)
    model = small_model().condition([(QUESTION, 1.0)])
    sampler = Sampler(model, wanted, np.random.default_rng(0))
    counts: Counter[int] = Counter()
    context = [BREAK]
    for _ in range(500):
        expected = int(shape(model.probabilities(context), counts, wanted).argmax())
        assert sampler.draw(context) == expected
        counts[expected] += 1
        context = [BREAK] if expected == END else [*context[-2:], expected]


def test_the_same_seed_draws_the_same():
    def some(seed):
        sampler = Sampler(conditioned(), Settings(frequency_penalty=0.2), np.random.default_rng(seed))
        return [sampler.draw([BREAK]) for _ in range(50)]

    assert some(1) == some(1)
    assert some(1) != some(2)


# The cold end


@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e-16, 1e-4, 0.01])
@pytest.mark.parametrize("penalty", [0.0, 0.5, -0.5])
def test_a_low_temperature_tends_to_the_greedy_token(temperature, penalty):
    model = small_model().condition([(QUESTION, 1.0)])
    for _, context, history in situations().values():
        wanted = Settings(temperature=temperature, presence_penalty=penalty)
        probs = model.probabilities(context)
        greedy = shape(probs, Counter(history), Settings(temperature=0, presence_penalty=penalty))
        first, second = np.sort(by_hand(probs, Counter(history), Settings(presence_penalty=penalty)))[:-3:-1]
        found = shape(probs, Counter(history), wanted)
        assert np.isfinite(found).all()
        assert found.sum() == pytest.approx(1)
        if first > 1.2 * second:
            np.testing.assert_allclose(found, greedy, atol=1e-6)
            sampler = prepared(model, wanted, history, np.random.default_rng(0))
            assert {sampler.draw(context) for _ in range(20)} == {int(greedy.argmax())}


@pytest.mark.parametrize("top_p", [0.0, 0.3, 0.99, 1.0])
@pytest.mark.parametrize("penalty", [0.0, 1.0, -1.0])
def test_at_temperature_zero_top_p_is_ignored_and_chance_plays_no_part(top_p, penalty):
    wanted = Settings(temperature=0, top_p=top_p, frequency_penalty=penalty)
    for question, context, history in situations().values():
        model = small_model().condition([(question, 1.0)])
        expected = int(by_hand(model.probabilities(context), Counter(history), Settings(temperature=0, frequency_penalty=penalty)).argmax())
        for seed in range(5):
            assert prepared(model, wanted, history, np.random.default_rng(seed)).draw(context) == expected


def test_a_top_p_of_zero_leaves_the_top_token():
    for question, context, _ in situations().values():
        model = small_model().condition([(question, 1.0)])
        sampler = Sampler(model, Settings(top_p=0), np.random.default_rng(0))
        assert {sampler.draw(context) for _ in range(50)} == {int(model.probabilities(context).argmax())}


# Ties


@cache
def tied():
    return Model(TIED)


def test_of_equals_the_greedy_token_is_the_lowest():
    model = tied()
    plain = model.condition([])
    after = [model.vocabulary.index("a")]
    followers = plain.step(after)
    assert len(set(followers.probs.tolist())) < len(followers.probs)
    lowest = int(np.flatnonzero(plain.probabilities(after) == plain.probabilities(after).max())[0])
    for history in ([], [lowest], [lowest, lowest + 1]):
        wanted = Settings(temperature=0, presence_penalty=1)
        expected = int(by_hand(plain.probabilities(after), Counter(history), wanted).argmax())
        assert prepared(plain, wanted, history, np.random.default_rng(0)).draw(after) == expected
        assert expected == lowest + len(history)


def test_of_equals_the_nucleus_takes_the_lowest():
    model = tied()
    plain = model.condition([])
    after = [model.vocabulary.index("a")]
    probs = plain.probabilities(after)
    best = np.flatnonzero(probs == probs.max())
    assert len(best) == 4
    for how_many in range(1, 5):
        wanted = Settings(top_p=float(probs.max()) * (how_many - 0.5))
        sampler = Sampler(plain, wanted, np.random.default_rng(0))
        assert sorted({sampler.draw(after) for _ in range(200)}) == best[:how_many].tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_of_equals_in_the_tail_the_nucleus_takes_the_lowest(temperature):
    # Without a word of the prompt all weights are 1, and all tokens read once are equally probable.
    plain = small_model().condition([("zzyzx", 1.0)])
    once = np.flatnonzero(plain.unigram == plain.unigram.min())
    assert len(once) > 300
    context = situations()["after a word read once"].context
    flat = shape(plain.probabilities(context), {}, Settings(temperature=temperature))
    unseen = np.setdiff1d(once, plain.step(context).ids)
    wanted = Settings(temperature=temperature, top_p=1 - float(flat[unseen[0]]) * (len(unseen) - 20.5))
    kept = by_hand(plain.probabilities(context), {}, wanted)
    assert kept[unseen[:21]].all()
    assert not kept[unseen[21:]].any()
    sampler = Sampler(plain, wanted, np.random.default_rng(0))
    draws = {sampler.draw(context) for _ in range(3000)}
    assert not draws & set(unseen[21:].tolist())
    assert draws & set(unseen[:21].tolist()) or flat[unseen[0]] < 1e-5


def test_a_model_whose_tokens_were_all_seen_has_no_tail():
    model = Model([real_sections()[0]._replace(paragraphs=("..", "."))])
    dots = Conditioned(model, np.ones(len(model._next)))
    for wanted in (Settings(), Settings(temperature=0.5), Settings(top_p=0.9), Settings(temperature=2, presence_penalty=1)):
        sampler = Sampler(dots, wanted, np.random.default_rng(0))
        assert {sampler.draw([2]) for _ in range(300)} <= {0, 1, 2}
