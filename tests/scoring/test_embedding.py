"""Embeddings of answers: asked for once, in batches, kept as they came, and refused where they are no vectors."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.endpoints import JSON, Answer, Asked, completion, nobody, serving
from support.sweeps import sweep
from support.tables import values

from evalkit.collect.allowance import Budget
from evalkit.experiment.experiment import Experiment, check
from evalkit.metrics import EMBEDDED, Group, tokenise, variety
from evalkit.store.embeddings import FILE, Embeddings, packed
from evalkit.sweeping import rescoring

KEY = "sk-planted-vectors-0123456789"


def experiment(url: str, embeddings: dict[str, Any] | None = None, **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "embedded",
        "endpoint": {"base_url": url, "model": "tiny", "concurrency": 4},
        "prompts": [{"id": "a", "user": "Say a."}, {"id": "b", "user": "Say b."}],
        "parameters": {"temperature": [0.5, 1]},
        "replicates": 3,
        "embeddings": {"base_url": url, "model": "vectors", "max_tries": 2, "concurrency": 1} | (embeddings or {}),
    }
    return check(data | changes)


def vectors(asked: Asked, of: Callable[[str], Any] = lambda text: [1.0, float(len(text)), 0.0]) -> Answer:
    data = [{"object": "embedding", "index": at, "embedding": of(text)} for at, text in enumerate(asked.body["input"])]
    return Answer(200, JSON, json.dumps({"object": "list", "data": data, "usage": {"prompt_tokens": 7, "total_tokens": 7}}).encode())


def answering(
    embed: Callable[[Asked], Any] = vectors, text: Callable[[Asked], str] = lambda asked: f"answer {asked.number}"
) -> Callable[[Asked], Any]:
    return lambda asked: embed(asked) if asked.path.endswith("/embeddings") else (200, JSON, completion(text(asked)))


def embedded(server: Any) -> list[Asked]:
    return [one for one in server.seen if one.path == "/v1/embeddings"]


def with_vectors(rows: Any) -> Group:
    from dataclasses import replace

    return replace(tokenise([f"text {number}" for number in range(len(rows))]), vectors=np.array(rows, dtype=float))


# The metrics


def test_known_numbers() -> None:
    # Those of the golden cases for cosine kernels: 2.475071817552327 (vendi-score) and (0.4 + 1 + 0 + 1 + 0.4 + 1) / 6.
    group = with_vectors([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1], [1, 0, 0]])
    assert variety.vendi_embedding(group) == pytest.approx(2.475071817552327, abs=1e-8)
    assert variety.embedding_distance(group) == pytest.approx(3.8 / 6, abs=1e-12)


@given(st.integers(2, 6), st.floats(1e-30, 1e30))
def test_alike_ones_are_one_and_orthogonal_ones_are_k(k: int, scale: float) -> None:
    assert variety.vendi_embedding(with_vectors([[scale, 2 * scale]] * k)) == pytest.approx(1)
    assert variety.embedding_distance(with_vectors([[scale, 2 * scale]] * k)) == pytest.approx(0, abs=1e-12)
    assert variety.vendi_embedding(with_vectors(np.eye(k) * scale)) == pytest.approx(k)
    assert variety.embedding_distance(with_vectors(np.eye(k) * scale)) == pytest.approx(1)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_both_keep_to_their_range_and_to_no_order(rows: list[list[float]], shuffler: Any) -> None:
    mixed = shuffler.sample(rows, len(rows))
    for metric in EMBEDDED:
        value, again = metric.of(with_vectors(rows)), metric.of(with_vectors(mixed))
        if all(any(abs(one) > 1e-300 for one in row) for row in rows):
            assert metric.low - 1e-9 <= value <= min(metric.high, len(rows)) + 1e-9
        assert value == pytest.approx(again, nan_ok=True, abs=1e-9)


@pytest.mark.parametrize("rows", [[[0, 0], [1, 0]], [[math.nan, 1], [1, 0]], [[math.inf, 1], [1, 0]], [[1, 0]]])
def test_without_directions_there_is_no_value(rows: Any) -> None:
    for metric in EMBEDDED:
        assert math.isnan(metric.of(with_vectors(rows)))
        assert math.isnan(metric.of(tokenise(["a", "b"])))


# The calls


def test_each_different_text_is_embedded_once_and_many_in_one_call(tmp_path: Path) -> None:
    def of(text: str) -> list[float]:
        return {"same": [0, 1], "left": [1, 0]}.get(text, [0.6, 0.8])

    def text(asked: Asked) -> str:
        return "same" if asked.body.get("temperature") != 1 else ["same", "left", "other"][asked.number % 3]

    with serving(answering(lambda asked: vectors(asked, of), text)) as server:
        result = sweep(experiment(server.url), tmp_path)
        (call,) = embedded(server)
        assert sorted(call.body["input"]) == sorted(set(call.body["input"]))
        assert set(call.body) == {"model", "input"}
        again = rescoring.rescore(tmp_path)
        assert len(embedded(server)) == 1
    assert result is not None
    assert values(tmp_path, "vendi_embedding")[:2] == pytest.approx([1, 1])
    assert values(tmp_path, "embedding_distance")[:2] == pytest.approx([0, 0], abs=1e-7)
    (asked,) = result.beside
    assert (asked.name, asked.spent.requests, asked.spent.tokens_in, asked.spent.uncounted) == ("embeddings", 1, 7, 0)
    assert again.beside == ()
    rescoring.rescore(tmp_path, metrics=["embedding_distance"], tokenizer="characters")
    assert values(tmp_path, "vendi_embedding") == []
    assert values(tmp_path, "embedding_distance")[:2] == pytest.approx([0, 0], abs=1e-7)


def test_without_embeddings_in_the_experiment_nothing_is_asked(tmp_path: Path) -> None:
    with serving(answering()) as server:
        sweep(experiment(server.url).model_copy(update={"embeddings": None}), tmp_path)
        assert embedded(server) == []
    assert not (tmp_path / FILE).exists()
    assert values(tmp_path, "vendi_embedding") == []


def test_many_texts_go_in_calls_of_sixty_four(tmp_path: Path) -> None:
    with serving(answering()) as server:
        sweep(experiment(server.url, replicates=40), tmp_path)
        assert [len(one.body["input"]) for one in embedded(server)] == [64, 64, 32]
    with serving(answering(text=lambda asked: f"{asked.number} " + "x" * 60_000)) as server:
        sweep(experiment(server.url, replicates=1), tmp_path / "long")
        assert [len(one.body["input"]) for one in embedded(server)] == [1] * 4


def test_a_text_that_is_refused_spoils_no_other(tmp_path: Path) -> None:
    def embed(asked: Asked) -> Answer:
        if any(text.endswith(" 5") for text in asked.body["input"]):
            return Answer(400, JSON, b'{"error": {"message": "too long"}}')
        return vectors(asked)

    with serving(answering(embed)) as server:
        result = sweep(experiment(server.url), tmp_path)
        sent = len(embedded(server))
        assert sent == 1 + 12
        rescoring.rescore(tmp_path)
        assert len(embedded(server)) == sent
    assert result is not None
    assert any("embeddings: 1 of 12 answers have none, and their groups are left out: 1 rejected (too long)" in note for note in result.notes)
    assert sum(value is None for value in values(tmp_path, "vendi_embedding")) == 1


def whole(body: Any) -> Callable[[Asked], Answer]:
    return lambda _: Answer(200, JSON, body if isinstance(body, bytes) else json.dumps(body).encode())


def each(given: Any) -> Callable[[Asked], Answer]:
    return lambda asked: vectors(asked, lambda _: given)


def numbered(of: Callable[[int], Any]) -> Callable[[Asked], Answer]:
    return lambda asked: whole({"data": [{"index": of(at), "embedding": [1, at]} for at in range(len(asked.body["input"]))]})(asked)


BAD: dict[str, Callable[[Asked], Any]] = {
    "one too few": lambda asked: vectors(asked._replace(body={"input": asked.body["input"][1:]})),
    "one too many": lambda asked: vectors(asked._replace(body={"input": [*asked.body["input"], "x"]})),
    "one number twice": numbered(lambda _: 0),
    "numbers from nowhere": numbered(lambda at: at + 7),
    "numbers that are none": numbered(lambda at: [at]),
    "zeros": each([0, 0, 0]),
    "too small": each([1e-300, 0]),
    "not a number": lambda asked: Answer(200, JSON, vectors(asked, lambda _: [1, 9.25]).body.replace(b"9.25", b"NaN")),
    "infinite": each([1e300, 1]),
    "too large for any": each([10**400, 1]),
    "null": each(None),
    "null within": each([1, None]),
    "truth": each([True, False]),
    "a text": each("!!!"),
    "empty": each([]),
    "nested": each([[1, 2]]),
    "no list": whole({"data": {"embedding": [1]}}),
    "no object": whole([1, 2]),
    "a page": whole(b"<html>Sign in</html>"),
    "nothing": whole(b""),
    "deep": whole(b"[" * 200_000),
    "a chat": whole(completion("hello")),
    "an error": lambda _: Answer(500, JSON, b"{}"),
    "a refusal of the key": lambda _: Answer(401, JSON, b"{}"),
    "no such address": lambda _: Answer(404, JSON, b"{}"),
    "a hang up": lambda _: Answer(fault="hang up"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_vector_is_told_and_never_scored(tmp_path: Path, name: str) -> None:
    with serving(answering(BAD[name])) as server:
        result = sweep(experiment(server.url), tmp_path)
    assert result is not None
    assert result.complete
    assert values(tmp_path, "vendi_embedding") == values(tmp_path, "embedding_distance") == [None] * 4
    assert None not in values(tmp_path, "length_words")
    assert any(note.startswith("warning: embeddings: 12 of 12 answers have none") for note in result.notes)


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    with serving(answering(lambda asked: vectors(asked, lambda text: [1.0] * (2 + text.endswith(" 5"))))) as server:
        result = sweep(experiment(server.url), tmp_path)
        rescoring.rescore(tmp_path)
        assert len(embedded(server)) == 1  # it would come again
    assert result is not None
    assert any("1 of 12 answers have none" in note and "a vector of 3 numbers; expected 2" in note for note in result.notes)


def test_base64_and_any_order_are_read(tmp_path: Path) -> None:
    def embed(asked: Asked) -> Answer:
        found = json.loads(vectors(asked, lambda text: base64.b64encode(np.array([1, int(text.split()[1])], "<f4").tobytes()).decode()).body)
        return Answer(200, JSON, json.dumps(found | {"data": found["data"][::-1]}).encode())

    with serving(answering(embed)) as server:
        made = experiment(server.url)
        sweep(made, tmp_path)
        texts = embedded(server)[0].body["input"]
    assert made.embeddings is not None
    assert Embeddings(tmp_path, made.embeddings).of(texts).tolist() == [[1, int(text.split()[1])] for text in texts]


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=1, max_size=20))
def test_what_is_packed_comes_back(numbers: list[float]) -> None:
    assert np.frombuffer(base64.b64decode(packed(np.array(numbers))), "<f4").tolist() == numbers


def test_nobody_there_and_budgets_and_torn_lines(tmp_path: Path) -> None:
    with serving(answering()) as server:
        with nobody() as url:
            result = sweep(experiment(server.url, {"base_url": url, "max_tries": 1}), tmp_path)
        assert result is not None
        assert any(note.startswith("warning: embeddings stopped: the endpoint cannot be reached") for note in result.notes)
        result = sweep(experiment(server.url), tmp_path, budget=Budget(tokens=1))
        assert embedded(server) != []
        (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:-9])
        sent = len(embedded(server))
        result = rescoring.rescore(tmp_path)
        assert [len(one.body["input"]) for one in embedded(server)[sent:]] == [1]
        assert any("its text is embedded again" in note for note in result.notes)
    assert None not in values(tmp_path, "vendi_embedding")


def test_the_key_goes_to_the_endpoint_and_into_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VECTORS_KEY", KEY)

    def embed(asked: Asked) -> Answer:
        assert asked.headers["authorization"] == f"Bearer {KEY}"
        return [vectors(asked), Answer(400, JSON, json.dumps({"error": {"message": f"not with {KEY}"}}).encode())][len(asked.body["input"]) % 2]

    with serving(answering(embed)) as server:
        sweep(experiment(server.url, {"api_key_env": "VECTORS_KEY"}, replicates=1), tmp_path)
        sweep(experiment(server.url, {"api_key_env": "VECTORS_KEY"}, replicates=2, parameters={"temperature": [0.5, 1, 1.5]}), tmp_path)
    assert not any(b"planted" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_embedded_endpoint_embeds(tmp_path: Path) -> None:
    with serving(answering(text=lambda asked: ["a list holds items", "a class has methods", "a list holds items"][asked.number % 3])) as server:
        sweep(experiment(server.url, {"base_url": "local", "model": "hashed-tfidf"}, replicates=4), tmp_path)
    assert all(value is not None and 0.999 <= value <= 2.001 for value in values(tmp_path, "vendi_embedding"))
