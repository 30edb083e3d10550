"""Writes ``docs/metrics.md`` from the list of metrics: ``python docs/metrics.py``."""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from evalkit.metrics import EMBEDDED, METRICS, OPTIONAL, RECORDED, UAX29, Metric, mean, named, tokenise, values, variety
from evalkit.metrics.checks import KINDS

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
    compared = "whole" if not metric.confounded else "prefix" if metric.sampled is None else "sample"
    shown = f"{example:.4g}" if example < 0.001 else f"{example:.4f}"
    cells = [
        f"`{metric.name}`: {metric.label}",
        on,
        metric.definition,
        f"{metric.low:g} to {high}{'' if metric.unit in ('share', 'number', 'ratio') else f' {metric.unit}'}",
        f"{metric.margin}",
        better,
        metric.bias,
        compared,
        metric.source,
        metric.bound,
        shown,
    ]
    return "| " + " | ".join(cells) + " |"


RECORDS = {"latency_s": [1.2, 3.0, 1.2], "time_to_first_token_s": [0.2, 0.3, 0.1], "tokens_per_s": [50.0, 40.0, 50.0], "cost": [9e-5, 18e-5, 9e-5]}
VECTORS = [[1.0, 0.0], [0.6, 0.8], [1.0, 0.0]]


def _examples() -> dict[str, float]:
    """The value of every metric for the example; of one that needs a longer text, for the three answers joined, twice."""
    whole = tokenise(EXAMPLE, UAX29, truncated=[0, 1, 0], completion_tokens=[60, 120, 60], recorded=RECORDS)
    whole = replace(whole, vectors=np.array(VECTORS))
    longer = tokenise([" ".join(EXAMPLE * 2)])
    found = {metric.name: mean(values(metric, whole)) for metric in (*METRICS, *OPTIONAL, *RECORDED, *EMBEDDED)}
    return {name: mean(values(named([name])[0], longer)) if math.isnan(value) else value for name, value in found.items()}


ENTROPY = "one of three came once: coverage 2/3, shares 4/9 and 2/9; each p log(1/p) / (1 - (1 - p)³)"
BY_HAND: list[tuple[str, list[str], str, float]] = [
    ("length_words", ["a b .", "c"], "(2 + 1) / 2: a full stop is no word", 3 / 2),
    ("length_chars", ["a b .", "c"], "(5 + 1) / 2", 3),
    ("empty_rate", ["a", " "], "1 / 2", 1 / 2),
    ("mattr_50", ["a b " * 25], "2 / 50, in the one window there is", 2 / 50),
    ("hdd_42", ["a b " * 21], "2 / 42: of 42 words 42 draws miss none", 2 / 42),
    ("rep_2", ["a b a b"], "1 - 2 / 3: ab, ba, ab", 1 - 2 / 3),
    ("rep_4", ["a b c d a b c d"], "1 - 4 / 5: abcd, bcda, cdab, dabc, abcd", 1 - 4 / 5),
    ("rep_w_16", ["a b a c"], "1 / 4: the second a", 1 / 4),
    ("loop_tail", ["x a b c a b c a b c a b c"], "12 / 13", 12 / 13),
    ("loop_rate", ["x a b c a b c a b c a b c", "a"], "1 / 2", 1 / 2),
    ("loop_start_token", ["x a b c a b c a b c a b c"], "1, counted from 0", 1),
    ("loop_wasted_tokens", ["x a b c a b c a b c a b c"], "12 - 3", 9),
    ("duplicate_lines", ["a\nb\na"], "1 - 2 / 3", 1 - 2 / 3),
    ("exact_duplicates", ["a", "a", "b"], "1 - 2 / 3", 1 - 2 / 3),
    ("near_duplicates", ["A b!", "a b", "c"], "1 - 2 / 3", 1 - 2 / 3),
    ("answer_entropy", ["a", "a", "b"], ENTROPY, sum(p * math.log(1 / p) / (1 - (1 - p) ** 3) for p in (4 / 9, 2 / 9))),
    ("distinct_1", ["a b a b", "a b c d"], "4 / 8", 4 / 8),
    ("distinct_2", ["a b a b", "a b c d"], "4 / 6: ab, ba, bc, cd of six", 4 / 6),
    ("self_bleu_4", ["a b c d e", "a b c d f"], "(4/5 · 3/4 · 2/3 · 1/2)^(1/4), both", 0.2**0.25),
    ("self_rouge_l", ["a b c d", "a c d e"], "2 · 3 / (4 + 4): a c d", 6 / 8),
    ("vendi_ngram", ["a b c d", "e f g h"], "exp(log 2): nothing shared, two answers", 2),
    ("ead", ["a", "b"], "2 / (V (1 - (1 - 1/V)²)), V = 50,257", 2 / (50_257 * (1 - (1 - 1 / 50_257) ** 2))),
    ("rarefied_distinct_1", ["a b " * 11, "a b " * 10], "2 / 42: of 42 words 42 draws miss none", 2 / 42),
    ("entropy_1", ["a b a b"], "log 2", math.log(2)),
    ("entropy_2", ["a b c"], "log 2: ab, bc", math.log(2)),
    ("diversity_product", ["a b a b"], "(1 - 1/3) · 1 · 1", 2 / 3),
    ("longest_repeat_chars", ["abc-abc"], "3", 3),
    ("self_repetition_4", ["a b c d", "a b c d"], "log(1 + 1)", math.log(2)),
    ("edit_distance_tokens", ["a b c d", "a c d e"], "2 / 4: b out, e in", 2 / 4),
    ("edit_distance_chars", ["abcd", "acde"], "2 / 4", 2 / 4),
]


ALL_DIFFER = mean(values(named(["answer_entropy"])[0], tokenise(list("abcdefgh"))))


def _bias_of_entropy(k: int = 8, times: int = 1_000) -> str:
    """The mean error of the entropy of k answers, where a model draws from so many that are alike often."""
    rng = np.random.default_rng(1)
    (metric,) = named(["answer_entropy"])
    told = []
    for kinds in (2, 4, 8, 16, 64, 1_000):
        found = [mean(values(metric, tokenise([str(one) for one in rng.integers(kinds, size=k)]))) for _ in range(times)]
        told.append(f"{np.mean(found) - math.log(kinds):+.2f} of {math.log(kinds):.2f} for {kinds:,}")
    return f"Its bias at k = {k}, where a model draws from so many answers: {', '.join(told)}."


def _by_hand() -> str:
    rows = []
    for name, texts, arithmetic, value in BY_HAND:
        found = mean(values(named([name])[0], tokenise(texts)))
        if abs(found - value) > 1e-9:
            raise ValueError(f"{name} of {texts}: found {found}, by hand {value}")
        shown = ", ".join(f"`{one if len(one) < 30 else one[:9] + '…'}`".replace("\n", "⏎") for one in texts)
        rows.append(f"| `{name}` | {shown} | {arithmetic} | {value:.4f} |")
    return "| metric | answers | by hand | value |\n|---|---|---|---|\n" + "\n".join(rows)


def text() -> str:
    """The page."""
    found = _examples()
    head = (
        "| metric | of | definition | range | margin | better for variety | biased by | compared on | source | time in n tokens | example |\n"
        + "|---" * 11
        + "|\n"
    )
    parts = [
        "# Metrics",
        "This page is written by `python docs/metrics.py` from the list in the code.",
        "An **answer** metric is taken of each answer and averaged over the replicates of a prompt; a **group** metric of the k replicates of one prompt "
        "together. Undefined is no value, never 0: too short a text, fewer than two replicates. Empty answers leave all metrics of content and "
        "are counted in `empty_rate`. Failures are never scored.",
        f"Empty answers count in {', '.join(f'`{one.name}`' for one in (*METRICS, *RECORDED) if not one.content)}, and in nothing else.",
        f"Words are the tokens of `{UAX29.name.replace(version('regex'), 'RELEASE')}` (UAX #29 word boundaries, punctuation included; RELEASE is that of the package "
        "regex, which has moved some boundaries from one release to the next). Chinese and Japanese fall into characters and Thai into grapheme clusters there; "
        "`evalkit score RUN --tokenizer icu:ja` uses dictionaries instead (extra `languages`). Values made with different tokenisers are never to be compared: "
        "`compare` cuts answers anew that another release has cut.",
        "**How many answers**: a group metric moves with k. So for each prompt k is the largest number that nine tenths of the cells have; the k lowest "
        "replicates are taken, groups with fewer leave and are counted, and so does a prompt with a k below 2. Numbers of answers (`vendi_ngram`) are made "
        "those of as many answers on every prompt: their share of its k, times the largest k.",
        "**What is compared on what**: longer answers alone move most metrics, and `max_tokens` changes the length. There are three bases.",
        "- *whole*: answers as they are, where length does not matter, or is what is measured.\n"
        "- *sample*: for each prompt, every cell is taken as if its k answers had the same lengths. w is the length that half of the answers reach, in nine tenths "
        "of the cells; answers are cut there. Of the cells that then have the most words (nine tenths), the longest answer of the sample is as long as the "
        "shortest longest one, the second as the shortest second, and so on: short answers count with what they have. `distinct_1` and `distinct_2` are the "
        "expected value of draws without replacement from all k answers (rarefaction: Hurlbert 1971, exact by hypergeometric terms), at each place in the answers "
        "as many as the sample has there. For `vendi_ngram` answers are cut to those lengths, the longest to the longest, and two are as alike as they are up to "
        "the end of the shorter. `rep_2`, `rep_4` and `rep_w_16` look everywhere in the answers: the value expected in a stretch of w words, 50 at most, by how "
        "far back the same n-gram stood last (Kaplan & Meier 1958: a word near the beginning tells only of what stands before it); w must be 2n at least. This is "
        "the basis wherever a metric has it.\n"
        "- *prefix*: the first T words of each answer, T the largest of 10, 25, 50, 100, 200, 400 that nine tenths of every cell's answers have, in the "
        "experiment as a whole; shorter answers leave. It is for metrics without an expected value on samples, and for the control of `max_tokens`, which cannot "
        "change the words before it (`value_prefix`).",
        "The whole answers stand beside a value as `value_full`, which is never tested; with `evalkit score --sizes` half and twice as much text too "
        "(`value_half`, `value_double`). "
        "Why draws are made place by place: where a model starts its answers alike and lets them drift apart, as at a low temperature, later words differ more. "
        "Draws from whole answers then made the embedded model's answers at temperature 0.3 seem more varied at 120 words than at 10, `distinct_2` by 0.36, where "
        "whole answers lose 0.17; draws to equal coverage (Chao & Jost 2012) are no better, and need words that come again, which short answers often do not "
        "have. Place by place nothing is left, cut as they may be. What is left where answers are of mixed length, and power, `benchmarks/length_confound.py` "
        "prints: *length may play a part* is said there of what is beyond the margin.",
        f"**Very short answers**, labels of one to three words: `exact_duplicates`, `near_duplicates`, `answer_entropy` and `vendi_ngram` say how varied they are. "
        "`answer_entropy` is corrected by the coverage 1 - f/k, f answers having come once. Where all k differ that is 0, and f is taken as k - 1: at k = 8 "
        f"it then is {ALL_DIFFER:.2f}, as of {math.exp(ALL_DIFFER):.0f} answers alike often, whatever the truth. {_bias_of_entropy()}",
        "![The same generator cut at five lengths: metrics of whole answers move, on samples and on a common prefix they do not](length-confound.svg)",
        f"**Time** is bounded for each metric by the column 'time in n tokens' (k texts, m and n tokens of two of them), whatever the texts are: a million repeats "
        f"of one token, megabytes of one line, all tokens different. Alignment of two texts takes the product of their lengths; above {variety.LONGEST:,} "
        "tokens it is not done and the metric is undefined. `benchmarks/metrics.py` measures sixteen hostile texts at 0.6 and 5 MB.",
        "The example column holds the value for these three answers to one prompt, of which the second was cut off by `max_tokens`:",
        "```\n" + "\n\n".join(EXAMPLE) + "\n```",
        "The endpoint counts 60, 120 and 60 tokens for them, and their embeddings are (1, 0), (0.6, 0.8) and (1, 0); `mtld`, which needs 200 words, is that of all "
        "three joined, twice over.",
        "**Margin**: a smaller difference does not matter, where `margins:` in the experiment says nothing else; a share is one of the reference's mean.",
        "## Default",
        head + "\n".join(_row(metric, found[metric.name]) for metric in METRICS),
        "## From the records",
        head + "\n".join(_row(metric, found[metric.name]) for metric in RECORDED),
        "A record tells these beside the text. `cost` counts no prompt as cached, for which setting finds the cache full is chance; it is unknown without `endpoint.prices`, without usage, and where several answers share one usage (`replicates_per_call`).",
        "## On request",
        "`evalkit score RUN --metrics default,mtld,ead`",
        head + "\n".join(_row(metric, found[metric.name]) for metric in OPTIONAL),
        "## Worked by hand",
        "The smallest answers that show what each number is; on whole answers.",
        _by_hand(),
        "`compression_ratio` is what gzip makes of the bytes, `mtld` needs 200 words, and what records tell is no arithmetic but for `cost`: 1,000 tokens in and 500 out at "
        "prices of 2 and 8 a million are (1,000 · 2 + 500 · 8) / 1,000,000 = 0.006. Two answers with embeddings (1, 0) and (0.6, 0.8) have an `embedding_distance` of "
        "1 - 0.6 = 0.4, and a `vendi_embedding` of exp(-0.8 log 0.8 - 0.2 log 0.2) = 1.65, 0.8 and 0.2 being the eigenvalues of their cosines, halved.",
        "## Embeddings",
        "```yaml\nembeddings: {base_url: https://host/v1, model: some-embeddings, api_key_env: SOME_KEY}   # or local, hashed-tfidf\n```",
        "With an endpoint for them (all settings of `endpoint:` hold) an experiment has two more metrics. Each different answer is embedded whole and once, many in a call; "
        "vectors are kept in `embeddings.jsonl` as 32-bit floats. An answer without a vector (refused, not finite, all zeros, of another width) is told, and its group "
        "left out. What such numbers mean is up to the model: many see topics better than wording, cut long texts off in silence, and "
        "put any two texts of one topic close together, so read differences and not levels.",
        head + "\n".join(_row(metric, found[metric.name]) for metric in EMBEDDED),
        "## Checks and scorers",
        f"`checks:` in an experiment are the share of answers that pass: {', '.join(f'`{kind}`' for kind in KINDS)}, alone or as `kind: argument`; without an argument "
        "`contains`, `not_contains` and `equals` take what the prompt expects (`expect:`). `refusal` looks for a visible list of phrases (`evalkit.metrics.checks.REFUSALS`). `runs` "
        "counts the answers whose code passes the tests of their prompt (`tests:`), run in a sandbox by `--run-code` and never without it.",
        "`scorers: [mypackage.module:function, {call: mypackage.module:other, better: higher}]` are functions of your own, of a parameter called `text` (an answer), `record` (its "
        "record) or `texts` (the k answers of a group). They give a number, or a mapping of at most 50 names to numbers, which become metrics `function.name`. "
        "What raises, or gives anything but a finite number (`True`, a text, NaN), is told with its record and left out.",
        "## Judges",
        "```yaml\njudges:\n  - name: helpful                # the metric's name\n    rubric: |\n      Does the answer solve the user's problem? Length by itself is no merit.\n"
        "    scale: {min: 1, max: 5}\n    labels: {1: useless, 3: half of it, 5: all of it}     # optional\n"
        "    endpoint: {base_url: https://host/v1, model: some-judge, api_key_env: JUDGE_KEY, prices: {input: 2, output: 8}}\n"
        "    request: {max_tokens: 200}   # over temperature: 0; temperature: default leaves that out\n    better: higher               # or lower, none\n```",
        "A judge gives each different answer to a prompt one whole number. It sees the rubric, the scale, the conversation, what the prompt expects, and the answer. It must reply with "
        '`{"score": 4, "reason": "..."}` or the bare number; whatever else it says is refused, asked for once more with a reminder, and then counted as a failure, never as a number. Every '
        "reply is appended to `judgements.jsonl` as it comes, under a hash of judge, prompt and answer, so that scoring again sends nothing; a changed rubric, scale, model or request is another judge. "
        "Its calls count into `--max-requests`, `--max-cost` and the rest, and stand beside the sweep's in what was spent.",
        "**Beware.** The answer stands between marks that it cannot know, and the judge is told to obey nothing in it; still, a text can steer a model that reads it. Judges "
        "favour long answers, their own family's style, a confident tone, and numbers in the middle or at the ends of a scale; they are no more independent of each other than the answers "
        "are. Whether a judge agrees with people on your prompts is for you to measure, on a sample that you have rated yourself, before its number decides "
        "anything. Settings that change the length (`max_tokens`) move a judge that likes length: look at `length_words` beside it.",
        "## From a notebook",
        '```python\nfrom evalkit.metrics import score\n\nscore([["one answer", "another answer"], ["a second prompt\'s", "two answers"]], '
        'metrics=["default", "mtld"], tokenizer="uax29")\n```',
        "A table with a row for each list of texts. A metric of your own is a `Metric` with a function of a `Group`, handed over in `metrics`.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "metrics.md").write_text(text(), encoding="utf-8")
