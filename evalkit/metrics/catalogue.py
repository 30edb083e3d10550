"""The metrics there are. A new one is a function and an entry here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from evalkit.metrics import length, lexical, repetition, variety
from evalkit.metrics.metric import Metric

_ANY = math.inf
_PAIRS = f"m·n/64 a pair of texts; NaN where a text has over {variety.LONGEST:,} tokens"

METRICS: tuple[Metric, ...] = (
    Metric(
        "length_tokens", "response", length.tokens, None, "tokens as the endpoint counts them, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="none: the endpoint counts",
    ),
    Metric(
        "length_words", "response", length.words, None, "words of the answer, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="n",
    ),
    Metric(
        "length_chars", "response", length.chars, None, "characters of the answer, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="n",
    ),
    Metric("truncation_rate", "response", length.truncated, "lower", "share of answers cut off by max_tokens", content=False, bound="n"),
    Metric("empty_rate", "response", length.empty, "lower", "share of answers without any token", content=False, bound="n"),
    Metric(
        "mattr_50", "response", lexical.mattr, "higher", "different words / words, mean over windows of 50 words",
        "Covington & McFall 2010", bias="none from 50 words on",
    ),
    Metric(
        "hdd_42", "response", lexical.hdd, "higher", "different words expected among 42 words drawn from the answer, / 42",
        "McCarthy & Jarvis 2007", bias="none from 42 words on",
    ),
    Metric(
        "rep_2", "response", partial(repetition.rep_n, n=2), "lower", "1 - unique word pairs / word pairs, in one answer",
        "Welleck 2020", confounded=True, shortest=50, bias="length",
    ),
    Metric(
        "rep_4", "response", partial(repetition.rep_n, n=4), "lower", "1 - unique 4-grams / 4-grams, in one answer",
        "Welleck 2020", confounded=True, shortest=50, bias="length",
    ),
    Metric("rep_w_16", "response", repetition.rep_w, "lower", "share of words that occur among the 16 words before them", "Fu 2021"),
    Metric(
        "loop_tail", "response", repetition.loop_tail, "lower", "share of the answer that is a loop at its end: 3 turns and 12 words at least",
        "own", bound="n",
    ),
    Metric("loop_rate", "response", repetition.loop_rate, "lower", "share of answers that end in a loop", "own", bound="n"),
    Metric(
        "duplicate_lines", "response", repetition.duplicate_lines, "lower", "1 - unique lines / lines that are not blank",
        "Rae 2021", confounded=True, bias="length, mildly", bound="n",
    ),
    Metric(
        "exact_duplicates", "group", variety.exact_duplicates, "lower", "1 - unique answers / answers, over the replicates", bias="k", bound="n",
    ),
    Metric(
        "distinct_1", "group", partial(variety.distinct, n=1), "higher", "unique words / words, replicates pooled",
        "Li 2016", confounded=True, bias="length, k",
    ),
    Metric(
        "distinct_2", "group", partial(variety.distinct, n=2), "higher", "unique word pairs / word pairs, replicates pooled",
        "Li 2016", confounded=True, bias="length, k",
    ),
    Metric(
        "self_bleu_4", "group", variety.self_bleu_4, "lower", "BLEU-4 of each answer against the other replicates",
        "Zhu 2018", confounded=True, bias="length, k", bound="n log n + k n",
    ),
    Metric(
        "self_rouge_l", "group", variety.self_rouge_l, "lower", "ROUGE-L between two replicates: longest common subsequence of words",
        "Padmakumar & He 2023", confounded=True, bias="length, mildly", bound=_PAIRS,
    ),
    Metric(
        "compression_ratio", "group", variety.compression_ratio, "lower", "bytes / gzip bytes of the replicates joined",
        "Shaib 2024", confounded=True, high=_ANY, bias="length, k", bound="n",
    ),
    Metric(
        "vendi_ngram", "group", variety.vendi_ngram, "higher", "effective number of different answers, by shared n-grams of 1 to 4 words",
        "Friedman & Dieng 2022", confounded=True, low=1.0, high=_ANY, bias="length, k", bound="n log n + k n + k³",
    ),
)  # fmt: skip

OPTIONAL: tuple[Metric, ...] = (
    Metric(
        "ead", "group", variety.ead, "higher", f"unique words over those that random draws of {variety.VOCABULARY:,} give; close to distinct_1",
        "Liu 2022", confounded=True, high=_ANY, bias="length, k",
    ),
    Metric(
        "rarefied_distinct_1", "group", lexical.rarefied, "higher", "different words expected among 42 drawn from all replicates, / 42",
        "Hurlbert 1971", bias="none from 42 words on",
    ),
    Metric(
        "mtld", "response", lexical.mtld, "higher", "mean length of runs of words whose type-token ratio stays above 0.72; from 200 words on",
        "McCarthy & Jarvis 2010", confounded=True, low=1.0, high=_ANY, bias="length", bound="n",
    ),
    Metric(
        "entropy_1", "response", partial(lexical.entropy, n=1), "higher", "Shannon entropy of the answer's words, in nats",
        "Shannon 1948", confounded=True, high=_ANY, bias="length",
    ),
    Metric(
        "entropy_2", "response", partial(lexical.entropy, n=2), "higher", "Shannon entropy of the answer's word pairs, in nats",
        "Shannon 1948", confounded=True, high=_ANY, bias="length",
    ),
    Metric(
        "diversity_product", "response", repetition.diversity_product, "higher", "product of 1 - rep_n for n = 2, 3, 4",
        "Su 2022", confounded=True, bias="length",
    ),
    Metric(
        "longest_repeat_chars", "response", repetition.longest_repeat, "lower", "characters of the longest string that occurs twice in the answer",
        "Gusfield 1997", confounded=True, high=_ANY, bias="length", bound="n log² n",
    ),
    Metric(
        "loop_start_token", "response", repetition.loop_start, None, "the word at which the loop at the end begins, where there is one",
        "own", high=_ANY, bound="n",
    ),
    Metric(
        "loop_wasted_tokens", "response", repetition.loop_wasted, "lower", "words of the loop at the end after its first turn",
        "own", high=_ANY, bound="n",
    ),
    Metric(
        "self_repetition_4", "group", variety.self_repetition, "lower", "log(1 + other replicates that share a 4-gram, summed over the answer's)",
        "Salkar 2022", confounded=True, high=_ANY, bias="length, k",
    ),
    Metric(
        "edit_distance_tokens", "group", variety.edit_distance_tokens, "higher", "edit distance of two replicates in words / the longer one's words",
        "Levenshtein 1966", confounded=True, bias="length", bound=_PAIRS,
    ),
    Metric(
        "edit_distance_chars", "group", variety.edit_distance_chars, "higher", "edit distance of two replicates in characters / the longer one's",
        "Levenshtein 1966", confounded=True, bias="length", bound=_PAIRS.replace("tokens", "characters"),
    ),
)  # fmt: skip

RECORDED: tuple[Metric, ...] = (
    Metric(
        "latency_s", "response", partial(length.recorded, name="latency_s"), "lower", "seconds from sending the request to the last byte",
        content=False, high=_ANY, bias="length, and the load on the endpoint", bound="none: recorded",
    ),
    Metric(
        "time_to_first_token_s", "response", partial(length.recorded, name="time_to_first_token_s"), "lower",
        "seconds to the first visible part, of answers that stream", content=False, high=_ANY, bias="the load on the endpoint",
        bound="none: recorded",
    ),
    Metric(
        "tokens_per_s", "response", partial(length.recorded, name="tokens_per_s"), "higher", "tokens of the answer / latency",
        content=False, high=_ANY, bias="the load on the endpoint", bound="none: recorded",
    ),
    Metric(
        "cost", "response", partial(length.recorded, name="cost"), "lower", "money for prompt and answer by endpoint.prices, in their currency",
        content=False, high=_ANY, bias="length", bound="none: recorded",
    ),
)  # fmt: skip
"""What records tell beside the texts, in the same tables."""

EMBEDDED: tuple[Metric, ...] = (
    Metric(
        "vendi_embedding", "group", variety.vendi_embedding, "higher", "effective number of different answers, by the cosines of their embeddings",
        "Friedman & Dieng 2022", low=1.0, high=_ANY, bias="k, and what the embedding model learnt", bound="k² d + k³, d numbers an embedding",
    ),
    Metric(
        "embedding_distance", "group", variety.embedding_distance, "higher", "1 - cosine between the embeddings of two replicates",
        "Tevet & Berant 2021", high=2.0, bias="what the embedding model learnt", bound="k² d, d numbers an embedding",
    ),
)  # fmt: skip
"""What an embeddings endpoint tells of the answers, where an experiment has one."""


def named(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names, default or optional ones, in that order; ``default`` stands for all of `METRICS`.

    Raises:
        ValueError: there is none of a name.
    """
    known = {one.name: one for one in (*METRICS, *OPTIONAL, *RECORDED, *EMBEDDED)}
    found: dict[str, Metric] = {}
    for name in names:
        if name == "default":
            found |= {one.name: one for one in METRICS}
        elif name in known:
            found[name] = known[name]
        else:
            raise ValueError(f"no metric is called {name!r}; expected {', '.join(known)}, or default")
    return tuple(found.values())
