"""The metrics there are. A new one is a function and an entry here, on which all that is known of it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

from evalkit.metrics import answers, length, lexical, rarefaction, repetition, variety
from evalkit.metrics.metric import DIGITS, Metric

_ANY = math.inf
_PAIRS = f"m·n/64 a pair of texts; NaN where a text has over {variety.LONGEST:,} tokens"

METRICS: tuple[Metric, ...] = (
    Metric(
        "length_tokens", "response", length.tokens, None, "tokens as the endpoint counts them, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="none: the endpoint counts",
        label="tokens an answer", unit="tokens", digits=1, margin="5 %", heading="length\ntokens", price=2, told=1, family="length",
    ),
    Metric(
        "length_words", "response", length.words, None, "words of the answer, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="n",
        label="words an answer", unit="words", digits=1, margin="5 %", heading="length\nwords", price=3, family="length",
    ),
    Metric(
        "length_chars", "response", length.chars, None, "characters of the answer, as sent (cut by max_tokens)",
        content=False, high=_ANY, bias="censored by max_tokens", bound="n",
        label="characters an answer", unit="characters", digits=1, margin="5 %", family="length",
    ),
    Metric(
        "truncation_rate", "response", length.truncated, "lower", "share of answers cut off by max_tokens", content=False, bound="n",
        label="answers cut off", heading="trunc\nrate", told=3,
    ),
    Metric(
        "empty_rate", "response", length.empty, "lower", "share of answers without any token", content=False, bound="n",
        label="empty answers",
    ),
    Metric(
        "mattr_50", "response", lexical.mattr, "higher", "different words / words, mean over windows of 50 words",
        "Covington & McFall 2010", bias="none from 50 words on",
        label="different words in 50", family="variety",
    ),
    Metric(
        "hdd_42", "response", lexical.hdd, "higher", "different words expected among 42 words drawn from the answer, / 42",
        "McCarthy & Jarvis 2007", bias="none from 42 words on",
        label="different words in 42", family="variety",
    ),
    Metric(
        "rep_2", "response", partial(repetition.rep_n, n=2), "lower", "1 - unique word pairs / word pairs, in one answer",
        "Welleck 2020", confounded=True, shortest=50, bias="length",
        label="word pairs repeated", family="repetition",
        sampled=partial(rarefaction.repeated, n=2),
    ),
    Metric(
        "rep_4", "response", partial(repetition.rep_n, n=4), "lower", "1 - unique 4-grams / 4-grams, in one answer",
        "Welleck 2020", confounded=True, shortest=50, bias="length",
        label="four words repeated", family="repetition",
        sampled=partial(rarefaction.repeated, n=4),
    ),
    Metric(
        "rep_w_16", "response", repetition.rep_w, "lower", "share of words that occur among the 16 words before them", "Fu 2021",
        label="words repeated nearby", family="repetition",
        confounded=True, bias="length, below 17 words", sampled=rarefaction.near,
    ),
    Metric(
        "loop_tail", "response", repetition.loop_tail, "lower", "share of the answer that is a loop at its end: 3 turns and 12 words at least",
        "own", bound="n",
        label="text lost in a loop", family="repetition",
    ),
    Metric(
        "loop_rate", "response", repetition.loop_rate, "lower", "share of answers that end in a loop", "own", bound="n",
        label="end in a loop", family="repetition",
    ),
    Metric(
        "duplicate_lines", "response", repetition.duplicate_lines, "lower", "1 - unique lines / lines that are not blank",
        "Rae 2021", confounded=True, bias="length, mildly", bound="n",
        label="lines repeated", family="repetition",
    ),
    Metric(
        "exact_duplicates", "group", variety.exact_duplicates, "lower", "1 - unique answers / answers, over the replicates",
        bias="k; short answers are more often alike", bound="n",
        label="identical answers", heading="exact\ndupl.", family="variety",
    ),
    Metric(
        "near_duplicates", "group", answers.near_duplicates, "lower", "1 - answers that differ in more than case, punctuation and spacing / answers",
        bias="k; short answers are more often alike", bound="n",
        label="nearly identical answers", heading="near\ndupl.", family="variety",
    ),
    Metric(
        "answer_entropy", "group", answers.entropy_of_answers, "higher", "entropy of the answers as wholes, corrected for those that did not come up",
        "Chao & Shen 2003", high=_ANY, bias="k, where most answers differ; short answers are more often alike", bound="n",
        label="evenness of answers", unit="nats", margin="5 %", family="variety",
    ),
    Metric(
        "distinct_1", "group", partial(variety.distinct, n=1), "higher", "unique words / words, replicates pooled",
        "Li 2016", confounded=True, bias="length, k",
        label="different words", heading="dist.\n1", family="variety",
        sampled=partial(rarefaction.distinct, n=1),
    ),
    Metric(
        "distinct_2", "group", partial(variety.distinct, n=2), "higher", "unique word pairs / word pairs, replicates pooled",
        "Li 2016", confounded=True, bias="length, k",
        label="different word pairs", heading="dist.\n2", family="variety",
        sampled=partial(rarefaction.distinct, n=2),
    ),
    Metric(
        "self_bleu_4", "group", variety.self_bleu_4, "lower", "BLEU-4 of each answer against the other replicates",
        "Zhu 2018", confounded=True, bias="length, k", bound="n log n + k n",
        label="phrases in common", family="variety",
    ),
    Metric(
        "self_rouge_l", "group", variety.self_rouge_l, "lower", "ROUGE-L between two replicates: longest common subsequence of words",
        "Padmakumar & He 2023", confounded=True, bias="length, mildly", bound=_PAIRS,
        label="wording in common", family="variety",
    ),
    Metric(
        "compression_ratio", "group", variety.compression_ratio, "lower", "bytes / gzip bytes of the replicates joined",
        "Shaib 2024", confounded=True, high=_ANY, bias="length, k", bound="n",
        label="compressibility", unit="ratio", margin="5 %", family="variety",
    ),
    Metric(
        "vendi_ngram", "group", variety.vendi_ngram, "higher", "effective number of different answers, by shared n-grams of 1 to 4 words",
        "Friedman & Dieng 2022", confounded=True, low=1.0, high=_ANY, bias="length, k", bound="n log n + k n + k³",
        label="different answers", unit="answers", margin="5 %", family="variety",
        sampled=rarefaction.different,
    ),
)  # fmt: skip

OPTIONAL: tuple[Metric, ...] = (
    Metric(
        "ead", "group", variety.ead, "higher", f"unique words over those that random draws of {variety.VOCABULARY:,} give; close to distinct_1",
        "Liu 2022", confounded=True, high=_ANY, bias="length, k",
        label="different words, by chance", unit="ratio", margin="5 %", family="variety",
    ),
    Metric(
        "rarefied_distinct_1", "group", lexical.rarefied, "higher", "different words expected among 42 drawn from all replicates, / 42",
        "Hurlbert 1971", bias="none from 42 words on",
        label="different words in 42 drawn", family="variety",
    ),
    Metric(
        "mtld", "response", lexical.mtld, "higher", "mean length of runs of words whose type-token ratio stays above 0.72; from 200 words on",
        "McCarthy & Jarvis 2010", confounded=True, low=1.0, high=_ANY, bias="length", bound="n",
        label="varied stretch", unit="words", digits=1, margin="5 %", family="variety",
    ),
    Metric(
        "entropy_1", "response", partial(lexical.entropy, n=1), "higher", "Shannon entropy of the answer's words, in nats",
        "Shannon 1948", confounded=True, high=_ANY, bias="length",
        label="information a word", unit="nats", margin="5 %", family="variety",
    ),
    Metric(
        "entropy_2", "response", partial(lexical.entropy, n=2), "higher", "Shannon entropy of the answer's word pairs, in nats",
        "Shannon 1948", confounded=True, high=_ANY, bias="length",
        label="information a word pair", unit="nats", margin="5 %", family="variety",
    ),
    Metric(
        "diversity_product", "response", repetition.diversity_product, "higher", "product of 1 - rep_n for n = 2, 3, 4",
        "Su 2022", confounded=True, bias="length",
        label="freedom from repetition", family="repetition",
    ),
    Metric(
        "longest_repeat_chars", "response", repetition.longest_repeat, "lower", "characters of the longest string that occurs twice in the answer",
        "Gusfield 1997", confounded=True, high=_ANY, bias="length", bound="n log² n",
        label="longest text twice", unit="characters", digits=1, margin="5 %", family="repetition",
    ),
    Metric(
        "loop_start_token", "response", repetition.loop_start, None, "the word at which the loop at the end begins, where there is one",
        "own", high=_ANY, bound="n",
        label="start of a loop", unit="words", digits=1, margin="5 %",
    ),
    Metric(
        "loop_wasted_tokens", "response", repetition.loop_wasted, "lower", "words of the loop at the end after its first turn",
        "own", high=_ANY, bound="n",
        label="words lost in a loop", unit="words", digits=1, margin="5 %", family="repetition",
    ),
    Metric(
        "self_repetition_4", "group", variety.self_repetition, "lower", "log(1 + other replicates that share a 4-gram, summed over the answer's)",
        "Salkar 2022", confounded=True, high=_ANY, bias="length, k",
        label="four words in common", unit="number", margin="5 %", family="variety",
    ),
    Metric(
        "edit_distance_tokens", "group", variety.edit_distance_tokens, "higher", "edit distance of two replicates in words / the longer one's words",
        "Levenshtein 1966", confounded=True, bias="length", bound=_PAIRS,
        label="words to change", family="variety",
    ),
    Metric(
        "edit_distance_chars", "group", variety.edit_distance_chars, "higher", "edit distance of two replicates in characters / the longer one's",
        "Levenshtein 1966", confounded=True, bias="length", bound=_PAIRS.replace("tokens", "characters"),
        label="characters to change", family="variety",
    ),
)  # fmt: skip

RECORDED: tuple[Metric, ...] = (
    Metric(
        "latency_s", "response", partial(length.recorded, name="latency_s"), "lower", "seconds from sending the request to the last byte",
        content=False, high=_ANY, bias="length, and the load on the endpoint", bound="none: recorded",
        label="time an answer", unit="seconds", margin="5 %", gated=False, family="speed",
    ),
    Metric(
        "time_to_first_token_s", "response", partial(length.recorded, name="time_to_first_token_s"), "lower",
        "seconds to the first visible part, of answers that stream", content=False, high=_ANY, bias="the load on the endpoint",
        bound="none: recorded",
        label="time to first token", unit="seconds", margin="5 %", gated=False, family="speed",
    ),
    Metric(
        "tokens_per_s", "response", partial(length.recorded, name="tokens_per_s"), "higher", "tokens of the answer / latency",
        content=False, high=_ANY, bias="the load on the endpoint", bound="none: recorded",
        label="tokens a second", unit="tokens per second", margin="5 %", gated=False, family="speed",
    ),
    Metric(
        "cost", "response", partial(length.recorded, name="cost"), "lower", "money for prompt and answer by endpoint.prices, in their currency",
        content=False, high=_ANY, bias="length", bound="none: recorded",
        label="cost an answer", unit="money", margin="5 %", gated=False, price=1, told=2, family="cost",
    ),
)  # fmt: skip
"""What records tell beside the texts, in the same tables."""

EMBEDDED: tuple[Metric, ...] = (
    Metric(
        "vendi_embedding", "group", variety.vendi_embedding, "higher", "effective number of different answers, by the cosines of their embeddings",
        "Friedman & Dieng 2022", low=1.0, high=_ANY, bias="k, and what the embedding model learnt", bound="k² d + k³, d numbers an embedding",
        label="different answers, by meaning", unit="answers", margin="5 %", family="variety",
    ),
    Metric(
        "embedding_distance", "group", variety.embedding_distance, "higher", "1 - cosine between the embeddings of two replicates",
        "Tevet & Berant 2021", high=2.0, bias="what the embedding model learnt", bound="k² d, d numbers an embedding",
        label="difference in meaning", unit="number", family="variety",
    ),
)  # fmt: skip
"""What an embeddings endpoint tells of the answers, where an experiment has one."""


CATALOGUE: Mapping[str, Metric] = {one.name: one for one in (*METRICS, *OPTIONAL, *RECORDED, *EMBEDDED)}
"""Every metric that evalkit has, by name; what an experiment measures beside them (checks, scorers, judges) is its own."""


def digits(name: str) -> int:
    """Digits behind the point that numbers of the metric of this name are shown with; of an experiment's own as many as of a share."""
    return CATALOGUE[name].digits if name in CATALOGUE else DIGITS


def label_of(name: str) -> str:
    """What the metric of this name is, in everyday words; an experiment's own is called as it is named there."""
    return CATALOGUE[name].label if name in CATALOGUE else name.replace("_", " ")


def named(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of these names, default or optional ones, in that order; ``default`` stands for all of `METRICS`.

    Raises:
        ValueError: there is none of a name.
    """
    found: dict[str, Metric] = {}
    for name in names:
        if name == "default":
            found |= {one.name: one for one in METRICS}
        elif name in CATALOGUE:
            found[name] = CATALOGUE[name]
        else:
            raise ValueError(f"no metric is called {name!r}; expected {', '.join(CATALOGUE)}, or default")
    return tuple(found.values())
