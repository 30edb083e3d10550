"""Embeddings: near to the TF-IDF they project, the same in every process, and in the form of OpenAI."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import Served, api, in_child

from evalkit.local import embeddings
from evalkit.local.corpus import Section
from evalkit.local.embeddings import Embedder, features
from evalkit.local.errors import ApiError

SECTIONS = (
    Section("boats", ("The red boat sails on the lake.", "The blue boat sails on the sea.", "The lake is calm.")),
    Section("cities", ("The city sleeps.", "The town sleeps on the lake.")),
)
SLICES = "How do I take a slice of a list?"
SIMILAR = "Taking a slice of a list"
OTHER = "Which exception does a generator raise at its end?"
BODY = {"model": "hashed-tfidf", "input": SLICES}


@pytest.fixture(scope="module")
def embedder():
    return Embedder(SECTIONS)


def asked(**changes):
    return {name: value for name, value in {**BODY, **changes}.items() if value is not None}


def answered(**changes):
    wanted = api().embeddings(asked(**changes))
    return embeddings.body(wanted, list(api().vectors(wanted)))


def vectors(**changes):
    return [np.array(one["embedding"]) for one in answered(**changes)["data"]]


# What they mean


def test_features_are_words_and_pairs_of_neighbours_folded():
    assert features("A list, a LIST") == {"a": 2, "list": 2, ",": 1, "a list": 2, "list ,": 1, ", a": 1}
    assert features("word") == {"word": 1}
    assert features(" \n ") == {" \n ": 1}


def by_hand(text, sections):
    """The TF-IDF vector before its projection, by feature."""
    paragraphs = [features(one) for section in sections for one in section.paragraphs]
    found = {name: sum(name in one for one in paragraphs) for name in features(text)}
    return {name: (1 + math.log(count)) * (1 + math.log((1 + len(paragraphs)) / (1 + found[name]))) for name, count in features(text).items()}


def cosine(one, other):
    dot = sum(one[name] * other.get(name, 0) for name in one)
    return dot / math.sqrt(sum(v * v for v in one.values()) * sum(v * v for v in other.values()))


WORDS = ("the", "red", "blue", "boat", "city", "town", "lake", "sea", "sails", "sleeps", "on", "is", "calm", "never", "before", "seen", "here")
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=40).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(texts, texts)
def test_cosines_come_near_those_of_tf_idf(one, other):
    embed = Embedder(SECTIONS).embed
    error = float(embed(one) @ embed(other)) - cosine(by_hand(one, SECTIONS), by_hand(other, SECTIONS))
    assert abs(error) < 5 / math.sqrt(256)  # five standard deviations at the worst


def test_the_error_of_the_projection_is_one_part_in_sixteen():
    embed, rng = Embedder(SECTIONS).embed, np.random.default_rng(1)
    errors = []
    for _ in range(400):
        one, other = (" ".join(f"word{n}" for n in rng.choice(10_000, 30)) for _ in range(2))
        errors.append(float(embed(one) @ embed(other)) - cosine(by_hand(one, SECTIONS), by_hand(other, SECTIONS)))
    assert np.std(errors) == pytest.approx(1 / 16, rel=0.15)
    assert abs(np.mean(errors)) < 4 / 16 / math.sqrt(400)


def test_what_shares_words_is_nearer_than_what_does_not():
    slices, similar, other = vectors(input=[SLICES, SIMILAR, OTHER])
    assert slices @ similar > 0.1 + slices @ other


def test_rare_words_count_more_than_common_ones():
    one, rare, common = vectors(input=["the lambda", "lambda", "the"])
    assert one @ rare > one @ common


def test_a_long_text_is_summed_in_parts(embedder):
    text = " ".join(f"word{n}" for n in range(5000))
    parts = list(features(text))
    whole = np.zeros(256)
    for name in parts:
        digest = embeddings._hash(name)
        whole += by_hand_weight(embedder, digest) * np.array([bit * 2 - 1 for byte in digest[2:] for bit in map(int, f"{byte:08b}")])
    np.testing.assert_allclose(embedder.embed(text), whole / np.linalg.norm(whole), atol=1e-6)


def by_hand_weight(embedder, digest):
    return embedder._idf[digest[0] * 256 + digest[1]]


any_text = st.text(st.characters(), min_size=1, max_size=30)


@settings(max_examples=300, deadline=None)
@given(any_text, st.integers(1, 256))
def test_every_text_has_a_vector_of_length_one(text, dimensions):
    vector = Embedder(SECTIONS).embed(text, dimensions)
    assert vector.shape == (dimensions,)
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-5)


def test_fewer_dimensions_are_the_first_of_all_rescaled():
    whole, some = vectors()[0], vectors(dimensions=64)[0]
    np.testing.assert_allclose(some, whole[:64] / np.linalg.norm(whole[:64]), atol=1e-6)


def test_order_and_company_change_nothing():
    one, other = vectors(input=[SLICES, OTHER])
    assert (vectors(input=[OTHER, SLICES, OTHER])[1] == one).all()
    assert (vectors(input=OTHER)[0] == other).all()


CHILD = """
import json
from evalkit.local.corpus import sections
from evalkit.local.embeddings import Embedder
print(json.dumps(Embedder(sections()).embed("How do I take a slice of a list?").tolist()))
"""


def test_they_are_the_same_in_every_process_whatever_its_hash_seed():
    said = {in_child(CHILD, hash_seed=seed) for seed in ("0", "1", "random")}
    assert len(said) == 1
    assert json.loads(said.pop()) == vectors()[0].tolist()


# The form


def test_an_answer_has_the_form_of_openai():
    answer = answered(input=[SLICES, SIMILAR])
    assert list(answer) == ["object", "data", "model", "usage"]
    assert (answer["object"], answer["model"]) == ("list", "hashed-tfidf")
    assert [list(one) for one in answer["data"]] == [["object", "index", "embedding"]] * 2
    assert [one["index"] for one in answer["data"]] == [0, 1]
    assert answer["usage"] == {"prompt_tokens": 10 + 6, "total_tokens": 10 + 6}
    json.dumps(answer, allow_nan=False)


def test_base64_holds_the_same_floats():
    coded = answered(encoding_format="base64")["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(coded), "<f4").tolist() == answered()["data"][0]["embedding"]


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"input": None}, 400, "input", "missing_required_parameter"),
        ({"input": ""}, 400, "input", "invalid_value"),
        ({"input": []}, 400, "input", "invalid_type"),
        ({"input": 5}, 400, "input", "invalid_type"),
        ({"input": {}}, 400, "input", "invalid_type"),
        ({"input": ["a", ""]}, 400, "input[1]", "invalid_value"),
        ({"input": ["a", 5]}, 400, "input[1]", "invalid_type"),
        ({"input": [[1, 2]]}, 400, "input[0]", "invalid_type"),
        ({"input": ["a"] * 2049}, 400, "input", "array_above_max_length"),
        ({"input": "a " * 8193}, 400, "input", "context_length_exceeded"),
        ({"input": ["a " * 8000] * 40}, 400, "input", "context_length_exceeded"),
        ({"dimensions": 0}, 400, "dimensions", "integer_below_min_value"),
        ({"dimensions": 257}, 400, "dimensions", "integer_above_max_value"),
        ({"dimensions": "8"}, 400, "dimensions", "invalid_type"),
        ({"encoding_format": "hex"}, 400, "encoding_format", "invalid_value"),
        ({"encoding_format": 64}, 400, "encoding_format", "invalid_type"),
        ({"temperature": 1}, 400, "temperature", "unknown_parameter"),
        ({"model": None}, 400, "model", "missing_required_parameter"),
        ({"model": "babbler"}, 404, "model", "model_not_found"),
        ({"model": "text-embedding-3-small"}, 404, "model", "model_not_found"),
    ],
)
def test_what_is_refused(changes, status, param, code):
    with pytest.raises(ApiError) as caught:
        api().embeddings(asked(**changes))
    assert (caught.value.status, caught.value.body["error"]["param"], caught.value.body["error"]["code"]) == (status, param, code)


def test_the_model_is_listed_for_what_it_is():
    listed = {model["id"]: model for model in api().models()["data"]}
    assert "no meanings" in listed["hashed-tfidf"]["description"]
    assert api().model("hashed-tfidf") == listed["hashed-tfidf"]
    with pytest.raises(ApiError, match="ask it at /embeddings"):
        api().chat({"model": "hashed-tfidf", "messages": [{"role": "user", "content": "a"}]})


def test_the_official_client_reads_them_under_both_prefixes(monkeypatch):
    import openai

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    expected = vectors(input=[SLICES, OTHER])
    with Served() as server:
        for prefix in ("/v1", "/api/v2"):
            with openai.OpenAI(api_key="any", base_url=f"http://127.0.0.1:{server.port}{prefix}", max_retries=0) as client:
                for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
                    answer = client.embeddings.create(model="hashed-tfidf", input=[SLICES, OTHER], **options)
                    found = [one.embedding for one in answer.data]
                    if options.get("encoding_format") == "base64":
                        found = [np.frombuffer(base64.b64decode(one), "<f4") for one in found]
                    np.testing.assert_array_equal(np.array(found), np.array(expected))
        many = server.ask("POST", "/v1/embeddings", {**BODY, "input": ["a word"] * 2048, "dimensions": 3})
        assert (many.status, len(many.json["data"])) == (200, 2048)
        assert server.end() == ""
