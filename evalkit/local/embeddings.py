"""Embeddings without learning: hashed TF-IDF of words and pairs of words, under a random projection of signs.

Each feature of a text, a word or two neighbouring words, is hashed. Some bits of the hash choose the bucket in which its
document frequency over the corpus is counted; others are its 256 signs. A text's vector is the sum over its features of
``(1 + log count) * idf * signs``, scaled to length 1, so that the cosine of two texts comes near that of their TF-IDF vectors
(Achlioptas 2003, "Database-friendly random projections"; the error is about 1/16). All of it follows from the text alone, in
every process.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.local.corpus import Section
from evalkit.local.errors import ApiError, missing, unknown, wrong_type, wrong_value
from evalkit.local.fields import DIMENSIONS, at_most, number, string
from evalkit.local.model import tokenize
from evalkit.local.validation import CONTEXT_WINDOW, fields, model_name

EMBEDDING_MODEL = "hashed-tfidf"
DESCRIPTION = f"Hashed TF-IDF of words and pairs of words in {DIMENSIONS} dimensions. It knows which words texts share; it knows no meanings."

_MOST_INPUTS = 2048
_MOST_TOKENS = 300_000
_BUCKETS = 2**16
_BYTES_OF_BUCKET = 2
_FEATURES_AT_ONCE = 2048
_TAKEN = frozenset(("model", "input", "encoding_format", "dimensions", "user"))
PARAMETERS = _TAKEN - {"model", "input"}

Floats = NDArray[np.float32]


class Wanted(NamedTuple):
    """A valid request for embeddings."""

    texts: tuple[str, ...]
    dimensions: int
    base64: bool
    tokens: int


def read(body: object) -> Wanted:
    """The request in `body`, checked; raises `ApiError`."""
    given = fields(body)
    for key in given:
        if key not in _TAKEN:
            raise unknown(key)
    model_name(given, (EMBEDDING_MODEL,))
    encoding = string("encoding_format", given.get("encoding_format", "float"))
    if encoding not in ("float", "base64"):
        raise wrong_value("encoding_format", encoding, ("float", "base64"))
    dimensions = int(number("dimensions", given.get("dimensions", DIMENSIONS)))
    texts = _texts(given.get("input"))
    return Wanted(texts, dimensions, encoding == "base64", _count(texts))


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        raise missing("input")
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise wrong_type("input", value, "a string or an array of strings")
    at_most("input", texts, _MOST_INPUTS)
    for at, text in enumerate(texts):
        where = "input" if isinstance(value, str) else f"input[{at}]"
        if not string(where, text):
            raise ApiError(400, f"Invalid '{where}': input cannot be an empty string.", param=where, code="invalid_value")
    return tuple(texts)


def _count(texts: Iterable[str]) -> int:
    counts = [len(tokenize(text)) for text in texts]
    if max(counts) > CONTEXT_WINDOW or sum(counts) > _MOST_TOKENS:
        raise ApiError(
            400,
            f"This model takes at most {CONTEXT_WINDOW} tokens an input and {_MOST_TOKENS} a request. "
            f"However, your longest input has {max(counts)} tokens, and all together have {sum(counts)}.",
            param="input",
            code="context_length_exceeded",
        )
    return sum(counts)


def body(wanted: Wanted, vectors: Sequence[Floats]) -> dict[str, Any]:
    """Body of the answer."""
    data = [
        {"object": "embedding", "index": index, "embedding": _base64(vector) if wanted.base64 else vector.tolist()}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": wanted.tokens, "total_tokens": wanted.tokens}
    return {"object": "list", "data": data, "model": EMBEDDING_MODEL, "usage": usage}


def _base64(vector: Floats) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


class Embedder:
    """Embeds texts, with document frequencies from the paragraphs of a corpus."""

    def __init__(self, sections: Iterable[Section]) -> None:
        seen = np.zeros(_BUCKETS)
        paragraphs = 0
        for section in sections:
            for text in section.paragraphs:
                paragraphs += 1
                seen[_buckets(b"".join(map(_hash, features(text))))] += 1
        self._idf = 1 + np.log((1 + paragraphs) / (1 + seen))

    def embed(self, text: str, dimensions: int = DIMENSIONS) -> Floats:
        """The vector of `text`, shape (dimensions,), of length 1; of fewer dimensions, the first of the whole one, rescaled."""
        counts = features(text)
        names = list(counts)
        vector = np.zeros(DIMENSIONS)
        for first in range(0, len(names), _FEATURES_AT_ONCE):
            some = names[first : first + _FEATURES_AT_ONCE]
            digests = b"".join(map(_hash, some))
            weights = (1 + np.log([counts[name] for name in some])) * self._idf[_buckets(digests)]
            vector += weights @ _signs(digests)
        vector = vector[:dimensions]
        length = math.sqrt(float(vector @ vector))
        if length == 0:  # in few dimensions, signs may cancel out
            vector[0] = length = 1.0
        return (vector / length).astype(np.float32)


def features(text: str) -> Mapping[str, int]:
    """Words, folded, and pairs of neighbours, each with its count; a text of neither is its own feature."""
    words = [word.strip().casefold() for word in tokenize(text) if not word.isspace()] or [text]
    return Counter([*words, *map(" ".join, pairwise(words))])


def _hash(feature: str) -> bytes:
    return blake2b(feature.encode("utf-8", "surrogatepass"), digest_size=_BYTES_OF_BUCKET + DIMENSIONS // 8).digest()


def _rows(digests: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(digests, np.uint8).reshape(-1, _BYTES_OF_BUCKET + DIMENSIONS // 8)


def _buckets(digests: bytes) -> NDArray[np.int64]:
    rows = _rows(digests)
    return rows[:, 0].astype(np.int64) * 256 + rows[:, 1]


def _signs(digests: bytes) -> NDArray[np.float64]:
    return np.unpackbits(_rows(digests)[:, _BYTES_OF_BUCKET:], axis=1).astype(np.float64) * 2 - 1
