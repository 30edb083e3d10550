"""``embeddings.jsonl``: the vector of each text that was embedded, appended the moment it exists, so that no text is embedded twice."""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from evalkit.experiment.endpoint import Endpoint
from evalkit.metrics.group import Floats
from evalkit.store import journal
from evalkit.store.journal import Form
from evalkit.store.records import NOT_SENT_AGAIN, Failure

FILE = "embeddings.jsonl"
VERSION = 1


class Embedding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One text's vector, as 32-bit floats, little-endian, in base64; or what came instead of it. `key` is the hash of model and text."""

    v: int = VERSION
    key: str
    vector: str = ""
    failure: Failure | None = None


FORM = Form(Embedding, VERSION, "embedding", "its text is embedded again")


def key_of(endpoint: Endpoint, text: str) -> str:
    """What identifies an embedding for ever, 32 hexadecimal digits."""
    whole = hashlib.sha256(msgspec.json.encode([endpoint.known_as, endpoint.model, dict(endpoint.extra_body)]))
    whole.update(text.encode("utf-8", "surrogatepass"))
    return whole.hexdigest()[:32]


def packed(vector: Floats) -> str:
    """A vector as a line holds it."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


class Embeddings:
    """What stands in a results folder: where each vector stands, read when it is asked for, so that memory does not grow with their size.

    Attributes:
        width: numbers of a vector; 0 while there is none.
    """

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self._path, self._endpoint = folder / FILE, endpoint
        self._at: dict[str, int] = {}
        self._failed: dict[str, Failure] = {}
        self.width = 0
        for at, one in journal.located(self._path, FORM):
            if one.vector and one.key not in self._at:
                self._at[one.key] = at
                self._failed.pop(one.key, None)
                self.width = self.width or len(_unpacked(one.vector))
            elif one.failure is not None and one.key not in self._at:
                self._failed[one.key] = one.failure

    def wants(self, key: str, retry_failed: bool) -> bool:
        """Whether a text is to be embedded: it has no vector, and did not fail in a way that would come again."""
        if key in self._at:
            return False
        failure = self._failed.get(key)
        return failure is None or retry_failed or failure.kind not in NOT_SENT_AGAIN

    def failed(self, key: str) -> Failure | None:
        """What came last instead of a vector."""
        return self._failed.get(key)

    def of(self, texts: Sequence[str]) -> Floats:
        """The vectors of k texts, shape (k, d); NaN in the row of a text without one."""
        found: dict[int, Floats] = {}
        if self._at:
            with self._path.open("rb") as file:
                for number, text in enumerate(texts):
                    at = self._at.get(key_of(self._endpoint, text))
                    if at is not None:
                        file.seek(at)
                        found[number] = _unpacked(FORM.decode(file.readline()).vector)
        out = np.full((len(texts), max(1, self.width)), math.nan)
        for number, vector in found.items():
            if len(vector) == self.width:
                out[number] = vector
        return out


def _unpacked(vector: str) -> Floats:
    """What `packed` made; empty where it is something else."""
    try:
        return np.frombuffer(base64.b64decode(vector, validate=True), dtype="<f4").astype(float)
    except (binascii.Error, ValueError):
        return np.zeros(0)
