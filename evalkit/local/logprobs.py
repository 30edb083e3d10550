"""Log probabilities of tokens, in OpenAI's form.

A token's probability is the one it was drawn with: that of the model under the prompt, after penalties, biases, temperature
and nucleus. At temperature 0, where that would always be 1, it is the model's own, before any of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.local.model import END

_NEVER = -9999.0
"""OpenAI's number for a token that is out of the question."""

_END = "<|end|>"


def score(probs: NDArray[np.float64], token: int, most: int, vocabulary: Sequence[str]) -> dict[str, Any]:
    """An entry of ``logprobs.content``: the token drawn and the `most` likeliest, fewer where fewer can be drawn."""
    return _entry(probs, token, vocabulary) | {"top_logprobs": [_entry(probs, one, vocabulary) for one in likeliest(probs, most)]}


def likeliest(probs: NDArray[np.float64], most: int) -> list[int]:
    """The `most` likeliest ids that are possible at all, falling; equals in the order of their ids."""
    if most == 0:
        return []
    most = min(most, len(probs))
    threshold = np.partition(probs, len(probs) - most)[len(probs) - most]
    among = np.flatnonzero(probs >= max(threshold, np.nextafter(0, 1)))
    order = np.argsort(-probs[among], kind="stable")
    return [int(one) for one in among[order[:most]]]


def _entry(probs: NDArray[np.float64], token: int, vocabulary: Sequence[str]) -> dict[str, Any]:
    probability = float(probs[token])
    logprob = math.log(probability) if probability > 0 else _NEVER
    if token == END:
        return {"token": _END, "logprob": logprob, "bytes": None}
    return {"token": vocabulary[token], "logprob": logprob, "bytes": list(vocabulary[token].encode())}
