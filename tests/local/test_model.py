"""The n-gram model against its formula, written out a second time as plain loops over positions."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import MADE_UP, QUESTION, conditioned, in_child, made_up_model, real_model, real_sections

from evalkit.local.corpus import Section
from evalkit.local.model import BREAK, END, NOTHING, STRENGTH, Conditioned, Model, terms, tokenize

QUERIES = {
    "nothing matches": [("Zzyzx?", 1.0)],
    "one question": [("Which boat sails on the lake?", 1.0)],
    "a conversation": [("You know cities.", 0.3), ("Tell me of towns.", 0.5), ("They sleep.", 0.4), ("And the sea?", 1.0)],
    "no message": [],
}
REAL_QUERIES = {
    "nothing matches": [("Zzyzx?", 1.0)],
    "one question": [(QUESTION, 1.0)],
    "a conversation": [("Be brief.", 0.3), ("What is an exception?", 0.5), ("It ends a function.", 0.4), ("And a lambda expression?", 1.0)],
}


class ByHand:
    """The module's formula, position by position. Knows of the model its vocabulary and the weight of each paragraph alone."""

    def __init__(self, sections, vocabulary, paragraph_weights):
        number = {text: at for at, text in enumerate(vocabulary)}
        self.size = len(vocabulary)
        self.stream, self.weights = [], []
        paragraph = 0
        for section in sections:
            for text in section.paragraphs:
                for token in ["\n\n", *tokenize(text)]:
                    self.stream.append(number[token])
                    self.weights.append(float(paragraph_weights[paragraph]))
                paragraph += 1
            self.stream.append(END)
            self.weights.append(float(paragraph_weights[paragraph - 1]))
        self.unigram = self._next_order([1 / self.size] * self.size, range(len(self.stream)), [])

    def probabilities(self, context):
        """``p_k`` for the highest order that `context` is long enough for."""
        probs = self.unigram
        if context:
            after = [at for at, token in enumerate(self.stream[:-1], 1) if token == context[-1]]
            for length in range(1, min(3, len(context)) + 1):
                probs = self._next_order(probs, after, list(context[-length:]))
        return np.array(probs)

    def _next_order(self, lower, positions, history):
        follows, total = [0.0] * self.size, 0.0
        for at in positions:
            if at >= len(history) and self.stream[at - len(history) : at] == history:
                follows[self.stream[at]] += self.weights[at]
                total += self.weights[at]
        return [(seen + STRENGTH * below) / (total + STRENGTH) for seen, below in zip(follows, lower, strict=True)]


def _some_contexts(model, stream, how_many, seed):
    """Contexts of every kind: read somewhere, half read, never read, short, and at the edges."""
    rng = np.random.default_rng(seed)
    contexts = [[BREAK], [END], [END, BREAK], [NOTHING, NOTHING, BREAK], [NOTHING], [BREAK, BREAK, BREAK], [END, END]]
    for _ in range(how_many):
        at = int(rng.integers(3, len(stream)))
        read = stream[at - 3 : at]
        strange = rng.integers(0, len(model.vocabulary), 3).tolist()
        contexts += [read, read[1:], read[2:], [strange[0], *read[1:]], [read[0], strange[1], read[2]], strange]
    return contexts


def _without_padding(context):
    return [token for token in context if token != NOTHING]


@pytest.mark.parametrize("name", QUERIES)
def test_probabilities_are_the_formula_on_a_small_corpus(name):
    model = made_up_model()
    by_hand = ByHand(MADE_UP, model.vocabulary, model.relevance(QUERIES[name]))
    given_prompt = model.condition(QUERIES[name])
    for context in _some_contexts(model, by_hand.stream, 60, seed=1):
        expected = by_hand.probabilities(_without_padding(context))
        np.testing.assert_allclose(given_prompt.probabilities(context), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", REAL_QUERIES)
def test_probabilities_are_the_formula_on_the_real_corpus(name):
    model = real_model()
    by_hand = ByHand(real_sections(), model.vocabulary, model.relevance(REAL_QUERIES[name]))
    given_prompt = model.condition(REAL_QUERIES[name])
    for context in _some_contexts(model, by_hand.stream, 6, seed=2):
        expected = by_hand.probabilities(_without_padding(context))
        # a range's weight is the difference of two running sums
        np.testing.assert_allclose(given_prompt.probabilities(context), expected, rtol=1e-8, atol=0)


@settings(max_examples=60)
@given(st.data())
def test_probabilities_are_the_formula_under_any_weights(data):
    model = made_up_model()
    weights = np.array(data.draw(st.lists(st.floats(0.001, 1000), min_size=6, max_size=6)))
    by_hand = ByHand(MADE_UP, model.vocabulary, weights)
    context = data.draw(st.lists(st.integers(0, len(model.vocabulary) - 1), min_size=1, max_size=4))
    given_weights = Conditioned(model, weights[model._paragraph])
    np.testing.assert_allclose(given_weights.probabilities(context), by_hand.probabilities(context), rtol=1e-7, atol=0)


def test_a_known_number():
    # All weights are 1. "The" stands at the start of 4 of the 6 paragraphs, and nowhere else. Of the two sections that follow
    # another, both start with it.
    model = made_up_model()
    plain = model.condition([])
    the = model.vocabulary.index("The")
    size = len({token for section in MADE_UP for text in section.paragraphs for token in tokenize(text)}) + 2
    positions = sum(len(tokenize(text)) + 1 for section in MADE_UP for text in section.paragraphs) + len(MADE_UP)
    one = (4 + 2 / size) / (positions + 2)
    two = (4 + 2 * one) / (6 + 2)
    three = (2 + 2 * two) / (2 + 2)
    assert len(model.vocabulary) == size
    assert plain.unigram[the] == pytest.approx(one, rel=1e-12)
    assert plain.probabilities([BREAK])[the] == pytest.approx(two, rel=1e-12)
    assert plain.probabilities([END, BREAK])[the] == pytest.approx(three, rel=1e-12)


@pytest.mark.parametrize("name", REAL_QUERIES)
def test_probabilities_sum_to_one(name):
    model = real_model()
    given_prompt = model.condition(REAL_QUERIES[name])
    stream = [token for section in real_sections()[:20] for text in section.paragraphs for token in model.ids(text)]
    for context in _some_contexts(model, stream, 150, seed=3):
        probs = given_prompt.probabilities(context)
        assert probs.shape == (len(model.vocabulary),)
        assert probs.min() > 0
        assert abs(math.fsum(probs) - 1) < 1e-9
    assert abs(math.fsum(given_prompt.unigram) - 1) < 1e-12


def test_tokens_unseen_after_the_last_one_share_a_factor():
    given_prompt = conditioned()
    model = real_model()
    for context in _some_contexts(model, model.ids(real_sections()[7].paragraphs[0]), 40, seed=4):
        ids, probs, tail = given_prompt.step(context)
        assert ids.tolist() == sorted(set(ids.tolist()))
        assert len(ids) == len(probs)
        dense = given_prompt.probabilities(context)
        unseen = np.setdiff1d(np.arange(len(model.vocabulary)), ids)
        np.testing.assert_allclose(dense[unseen] / given_prompt.unigram[unseen], tail, rtol=1e-12)
        np.testing.assert_array_equal(dense[ids], probs)
        assert np.all(probs >= tail * given_prompt.unigram[ids] * (1 - 1e-9))


def test_only_the_last_three_tokens_count():
    given_prompt = conditioned()
    context = real_model().ids(" the value of the expression")
    np.testing.assert_array_equal(given_prompt.probabilities(context), given_prompt.probabilities(context[-3:]))


def test_what_was_asked_before_does_not_change_a_step():
    contexts = _some_contexts(real_model(), real_model().ids(real_sections()[3].paragraphs[0]), 10, seed=5)
    once, again = conditioned(), real_model().condition([(QUESTION, 1.0)])
    before = [once.probabilities(context) for context in contexts]
    after = [again.probabilities(context) for context in reversed(contexts)][::-1]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_highest_unseen_unigram_is_found():
    given_prompt = conditioned()
    for token in range(0, len(real_model().vocabulary), 37):
        unseen = np.ones(len(real_model().vocabulary), bool)
        unseen[given_prompt.step([token]).ids] = False
        assert given_prompt.highest_elsewhere(token) == given_prompt.unigram[unseen].max()


def test_where_every_token_was_seen_nothing_is_elsewhere():
    model = Model([Section("dots", ("..", "."))])
    assert model.vocabulary == ("", "\n\n", ".")
    dots = model.condition([])
    assert len(dots.step([2]).ids) == 3
    assert dots.highest_elsewhere(2) == 0.0
    assert dots.highest_elsewhere(BREAK) == dots.unigram[BREAK]


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0, 10 / 3, 20.0])
def test_powers_are_powers(exponent):
    raised, mass, running = conditioned().powers(exponent)
    np.testing.assert_allclose(raised, conditioned().unigram ** exponent, rtol=1e-13)
    assert mass == pytest.approx(math.fsum(raised), rel=1e-12)
    np.testing.assert_allclose(running, np.cumsum(raised), rtol=1e-12)


def test_more_temperatures_than_are_remembered_stay_right():
    for exponent in np.linspace(0.5, 20, 40):
        raised, _, _ = conditioned().powers(float(exponent))
        assert raised[5] == pytest.approx(conditioned().unigram[5] ** exponent, rel=1e-12)


# Tokens


def test_joining_the_tokens_restores_the_text():
    for section in real_sections():
        for text in section.paragraphs:
            assert "".join(tokenize(text)) == text
            assert "".join(real_model().vocabulary[token] for token in real_model().ids(text)) == text


@given(st.text(alphabet="ab_1.'- \n\t(é中", max_size=40))
def test_tokens_leave_nothing_but_white_space_out(text):
    assert "".join("".join(tokenize(text)).split()) == "".join(text.split())


@given(st.text(max_size=200) | st.lists(st.sampled_from([" boat", " lake", ".", "\n\n", " unknown", "The"])).map("".join))
def test_tokens_outside_the_vocabulary_are_left_out(text):
    model = made_up_model()
    assert [model.vocabulary[token] for token in model.ids(text)] == [token for token in tokenize(text) if token in model.vocabulary]


def test_words_carry_the_space_before_them():
    assert tokenize("A list's end; it is x.y (or e-mail).\n\nNo.") == [
        "A", " list's", " end", ";", " it", " is", " x.y", " (", "or", " e-mail", ")", ".", "\n\n", "No", ".",
    ]  # fmt: skip


# Relevance


def _relevance_by_hand(sections, queries):
    """BM25 over paragraphs that also hold their section's title, a term's importance the greatest it is mentioned with."""
    bags = [Counter(terms(text)) + Counter(terms(section.title)) for section in sections for text in section.paragraphs]
    mean = sum(len(bag) for bag in bags) / len(bags)
    scores = []
    asked = {term: max(weight for text, weight in queries if term in terms(text)) for text, _ in queries for term in terms(text)}
    for bag in bags:
        score = 0.0
        for term, importance in asked.items():
            if term in bag:
                holding = sum(term in other for other in bags)
                saturated = bag[term] * 2.2 / (bag[term] + 1.2 * (0.4 + 0.6 * len(bag) / mean))
                score += importance * saturated * math.log(1 + len(bags) / holding)
        scores.append(score)
    if max(scores) == 0:
        return [1.0] * len(bags)
    return [0.02 + 6 * (score / max(scores)) ** 3 for score in scores]


@pytest.mark.parametrize("name", QUERIES)
def test_relevance_is_its_formula(name):
    np.testing.assert_allclose(made_up_model().relevance(QUERIES[name]), _relevance_by_hand(MADE_UP, QUERIES[name]), rtol=1e-12)


def test_relevance_is_its_formula_on_the_real_corpus():
    for queries in REAL_QUERIES.values():
        np.testing.assert_allclose(real_model().relevance(queries), _relevance_by_hand(real_sections(), queries), rtol=1e-9)


words = st.sampled_from(["boat", "boats", "lake", "city", "cities", "towns", "sea", "red", "the", "of", "zzyzx"])


@given(st.lists(st.tuples(st.lists(words, max_size=5).map(" ".join), st.floats(0.1, 1)), max_size=5), st.randoms(use_true_random=False))
def test_relevance_lies_in_its_range_and_the_order_of_messages_does_not_count(queries, pick):
    weights = made_up_model().relevance(queries)
    assert np.all((weights > 0) & (weights <= 6.02))
    assert weights.max() in (1.0, pytest.approx(6.02))
    mixed = pick.sample(queries, len(queries))
    np.testing.assert_allclose(made_up_model().relevance(mixed), weights, rtol=1e-9)


def test_words_that_say_nothing_and_plurals_do_not_count():
    model = made_up_model()
    expected = model.relevance([("boat", 1.0)])
    for text in ("boats", "Boat!", "What is a boat, please?", "boat boat boats"):
        np.testing.assert_array_equal(model.relevance([(text, 1.0)]), expected)


def test_terms_are_folded():
    assert terms("Explain the Cities' classes, the bus and this analysis: a_b, 42 x") == ["city", "classe", "bus", "analysis", "42"]


def test_the_prompt_leads_the_model_to_its_subject():
    slicing = real_model().condition([("What is a slice?", 1.0)]).unigram
    raising = real_model().condition([("What is an exception?", 1.0)]).unigram
    (slice_,), (exception,) = real_model().ids(" slice"), real_model().ids(" exception")
    assert slicing[slice_] > 10 * raising[slice_]
    assert raising[exception] > 10 * slicing[exception]


# Training


FINGERPRINT = f"""
import hashlib
from evalkit.local.corpus import sections
from evalkit.local.model import Model
model = Model(sections())
seen = model.condition([({QUESTION!r}, 1.0), ("Be brief about lists.", 0.3)])
digest = hashlib.sha256(model.positions + repr(model.vocabulary).encode() + seen._weights.tobytes() + seen.unigram.tobytes())
digest.update(seen.probabilities(model.ids(" the value of")).tobytes())
for term, (where, what) in model._postings.items():
    digest.update(term.encode() + where.tobytes() + what.tobytes())
print(digest.hexdigest())
"""


def test_training_gives_the_same_arrays_whatever_the_hash_seed():
    assert len({in_child(FINGERPRINT, hash_seed=seed) for seed in ("0", "1", "4711")}) == 1


def test_training_on_other_text_gives_another_model():
    assert Model(MADE_UP).positions == made_up_model().positions
    assert Model(MADE_UP[:2]).positions != made_up_model().positions
