"""Writes ``docs/metrics.md`` from the list of metrics: ``python docs/metrics.py``."""

from __future__ import annotations

import math
from pathlib import Path

from evalkit.metrics import METRICS, OPTIONAL, RECORDED, UAX29, Metric, score, variety

EXAMPLE = [
    "The cat sat on the mat , and the dog slept by the door while the rain fell on the roof . "
    "Nobody spoke , the clock ticked on , and the cat dreamt of a mouse that ran over the mat and under the old door of the house .",
    "The cat sat on the sofa , and the dog slept by the fire while the wind blew over the fields . "
    "Somebody sang , the kettle boiled , and the dog dreamt of a bone . on and on . on and on . on and on . on and on . on and on .",
    "The cat sat on the mat , and the dog slept by the door while the rain fell on the roof . "
    "Nobody spoke , the clock ticked on , and the cat dreamt of a mouse that ran over the mat and under the old door of the house .",
]


def _row(metric: Metric, example: float) -> str:
    high = "∞" if math.isinf(metric.high) else f"{metric.high:g}"
    better = {"higher": "up", "lower": "down", None: "–"}[metric.better]
    on = "answer" if metric.level == "response" else "group"
    compared = "prefix" if metric.confounded else "whole"
    shown = "–" if math.isnan(example) else f"{example:.4f}"
    cells = [
        f"`{metric.name}`",
        on,
        metric.definition,
        f"{metric.low:g} to {high}",
        better,
        metric.bias,
        compared,
        metric.source,
        metric.bound,
        shown,
    ]
    return "| " + " | ".join(cells) + " |"


def text() -> str:
    """The page."""
    found = score([EXAMPLE], (*METRICS, *OPTIONAL)).iloc[0]
    head = (
        "| metric | of | definition | range | better for variety | biased by | compared on | source | time in n tokens | example |\n"
        + "|---" * 10
        + "|\n"
    )
    parts = [
        "# Metrics",
        "This page is written by `python docs/metrics.py` from the list in the code.",
        "An **answer** metric is taken of each answer and averaged over the replicates of a prompt; a **group** metric of the k replicates of one prompt "
        "together. Undefined is no value, never 0: too short a text, fewer than two replicates. Empty answers leave all metrics of content and "
        "are counted in `empty_rate`. Failures are never scored.",
        f"Words are the tokens of `{UAX29.name}` (UAX #29 word boundaries, punctuation included). Chinese and Japanese fall into characters and Thai into "
        "grapheme clusters there; `evalkit score RUN --tokenizer icu:ja` uses dictionaries instead (extra `languages`). Values made with different "
        "tokenisers are never to be compared.",
        "**Compared on a prefix**: longer answers alone move these metrics, and `max_tokens` changes the length. So cells are compared on the first T "
        "words of each answer, T the largest of 10, 25, 50, 100, 200, 400 that nine tenths of every cell's answers have; half and twice T stand beside "
        "it (`value_half`, `value_double`), and the whole answers as `value_full`, which is never tested.",
        "![The same generator cut at five lengths: metrics of whole answers move, on a common prefix they do not](length-confound.svg)",
        f"Alignment of two texts takes the product of their lengths; above {variety.LONGEST:,} tokens it is not done and the metric is undefined. Every "
        "other metric takes time linear in the tokens, or n log n.",
        "The example column holds the value for these three answers to one prompt:",
        "```\n" + "\n\n".join(EXAMPLE) + "\n```",
        "## Default",
        head + "\n".join(_row(metric, found[metric.name]) for metric in METRICS),
        "## From the records",
        head + "\n".join(_row(metric, math.nan) for metric in RECORDED),
        "## On request",
        "`evalkit score RUN --metrics default,mtld,ead`",
        head + "\n".join(_row(metric, found[metric.name]) for metric in OPTIONAL),
        "## From a notebook",
        '```python\nfrom evalkit.metrics import score\n\nscore([["one answer", "another answer"], ["a second prompt\'s", "two answers"]], '
        'metrics=["default", "mtld"], tokenizer="uax29")\n```',
        "A table with a row for each list of texts. A metric of your own is a `Metric` with a function of a `Group`, handed over in `metrics`.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "metrics.md").write_text(text(), encoding="utf-8")
