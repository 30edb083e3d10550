"""Metrics of texts, as values: `METRICS` is the default list, `OPTIONAL` what can be asked for beside it.

An engine: texts become token numbers and offsets (`tokenise`), metrics are functions from those to arrays. Nothing here knows of experiments
or files; `score` takes any lists of strings. Undefined is NaN, never 0; nothing is rounded.
"""

from __future__ import annotations

from evalkit.metrics import length
from evalkit.metrics.catalogue import CATALOGUE, EMBEDDED, METRICS, OPTIONAL, RECORDED, digits, label_of, named
from evalkit.metrics.engine import mean, score, values
from evalkit.metrics.group import Group, tokenise
from evalkit.metrics.metric import Metric
from evalkit.metrics.tokens import CHARACTERS, UAX29, WHITESPACE, Tokenizer, icu, tokenizer

__all__ = [
    "CATALOGUE",
    "CHARACTERS",
    "EMBEDDED",
    "METRICS",
    "OPTIONAL",
    "RECORDED",
    "UAX29",
    "WHITESPACE",
    "Group",
    "Metric",
    "Tokenizer",
    "digits",
    "icu",
    "label_of",
    "length",
    "mean",
    "named",
    "score",
    "tokenise",
    "tokenizer",
    "values",
]
