"""Metrics of texts, as values: `METRICS` is the whole list, in the order in which tables show it.

Nothing here knows of experiments or files. Undefined is NaN, never 0; nothing is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from evalkit.metrics.ngrams import distinct, repeated
from evalkit.metrics.tokens import UAX29, Tokenizer, is_word

__all__ = ["METRICS", "UAX29", "Metric", "Response", "Tokenizer"]


class Response(NamedTuple):
    """What a metric may look at: an answer's text, its tokens, and what the endpoint said of it."""

    text: str
    tokens: Sequence[str]
    finish_reason: str | None = None
    completion_tokens: int | None = None


class Metric(NamedTuple):
    """One number about answers.

    Attributes:
        level: ``response``, a number for each answer, averaged over the replicates of a prompt; ``group``, one number for the
            replicates of a prompt together, at least two.
        of: the function; it takes a `Response`, or for groups a sequence of them, and gives NaN where it has no meaning.
        better: which way is better for variety and soundness; None where that depends on the purpose.
        definition: in one line, for people.
        source: where it comes from.
        content: whether it is about the content, so that empty answers leave it.
        confounded: whether longer answers alone move it.
    """

    name: str
    level: Literal["response", "group"]
    of: Callable[..., float]
    better: Literal["higher", "lower"] | None
    definition: str
    source: str
    content: bool = True
    confounded: bool = False


def _distinct(group: Sequence[Response], n: int) -> float:
    return distinct([one.tokens for one in group], n)


def _repeated(one: Response, n: int) -> float:
    return repeated(one.tokens, n)


def _exact_duplicates(group: Sequence[Response]) -> float:
    """1 - unique texts / k, in [0, 1)."""
    return 1.0 - len({one.text for one in group}) / len(group)


def _length_tokens(one: Response) -> float:
    return math.nan if one.completion_tokens is None else float(one.completion_tokens)


def _length_words(one: Response) -> float:
    return float(sum(map(is_word, one.tokens)))


def _truncated(one: Response) -> float:
    return float(one.finish_reason == "length")


METRICS: tuple[Metric, ...] = (
    Metric("distinct_1", "group", partial(_distinct, n=1), "higher", "unique words / words, replicates pooled", "Li 2016", confounded=True),
    Metric("distinct_2", "group", partial(_distinct, n=2), "higher", "unique word pairs / word pairs, replicates pooled", "Li 2016", confounded=True),
    Metric(
        "rep_2", "response", partial(_repeated, n=2), "lower", "1 - unique word pairs / word pairs, in one answer", "Welleck 2020", confounded=True
    ),
    Metric("rep_4", "response", partial(_repeated, n=4), "lower", "1 - unique 4-grams / 4-grams, in one answer", "Welleck 2020", confounded=True),
    Metric("exact_duplicates", "group", _exact_duplicates, "lower", "1 - unique answers / answers, over the replicates", "-"),
    Metric("truncation_rate", "response", _truncated, "lower", "share of answers cut off by max_tokens", "-", content=False),
    Metric("length_tokens", "response", _length_tokens, None, "tokens as the endpoint counts them, as sent (cut by max_tokens)", "-", content=False),
    Metric("length_words", "response", _length_words, None, "words of the answer, as sent (cut by max_tokens)", "-", content=False),
)
