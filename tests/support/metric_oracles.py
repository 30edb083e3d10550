"""The metrics a second time: by reference packages where there are some, by counting in plain sight where not."""

from __future__ import annotations

import gzip
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

Tokens = list[str]


def grams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]


def mattr(tokens: Tokens, window: int = 50) -> float:
    found = [len(set(tokens[at : at + window])) / window for at in range(len(tokens) - window + 1)]
    return sum(found) / len(found) if found else math.nan


def hdd(tokens: Tokens) -> float:
    from scipy.stats import hypergeom

    if len(tokens) < 42:
        return math.nan
    return sum(1 - hypergeom.pmf(0, len(tokens), count, 42) for count in Counter(tokens).values()) / 42


def rep(tokens: Tokens, n: int) -> float:
    every = grams(tokens, n)
    return 1 - len(set(every)) / len(every) if every else math.nan


def rep_w(tokens: Tokens) -> float:
    return sum(token in tokens[max(0, at - 16) : at] for at, token in enumerate(tokens)) / len(tokens) if tokens else math.nan


def loop_tail(tokens: Tokens) -> float:
    """Every length of the end, the longest first, with every period."""
    return _loop_tail(tuple(tokens)) if tokens else math.nan


@lru_cache(maxsize=16)  # two metrics ask it of each text of a group
def _loop_tail(tokens: tuple[str, ...]) -> float:
    for size in range(len(tokens), 11, -1):
        end = tokens[-size:]
        for period in range(1, size // 3 + 1):
            if end[-1] == end[-1 - period] and end[period:] == end[:-period]:
                return size / len(tokens)
    return 0.0


def duplicate_lines(text: str) -> float:
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return sum(line in lines[:at] for at, line in enumerate(lines)) / len(lines) if lines else math.nan


def plain(tokens: Tokens) -> str:
    """What near duplicates have in common; a token without a letter or digit counts where there is no other."""
    words = [token.casefold() for token in tokens if any(char.isalnum() for char in token)]
    return "\n".join(words) if words else "\r" + "\n".join(tokens)


def answer_entropy(texts: list[Tokens]) -> float:
    """Chao & Shen 2003, term by term."""
    k, counts = len(texts), Counter(map(plain, texts))
    singles = min(list(counts.values()).count(1), k - 1)
    total = 0.0
    for count in counts.values():
        adjusted = (1 - singles / k) * count / k
        total -= adjusted * math.log(adjusted) / (1 - (1 - adjusted) ** k)
    return total


def distinct(texts: list[Tokens], n: int) -> float:
    every = [gram for tokens in texts for gram in grams(tokens, n)]
    return len(set(every)) / len(every) if every else math.nan


def self_bleu(texts: list[Tokens]) -> float:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction(epsilon=0.1).method1
    found = [
        sentence_bleu(texts[:at] + texts[at + 1 :], tokens, smoothing_function=smooth)  # type: ignore[no-untyped-call]
        for at, tokens in enumerate(texts)
        if len(tokens) >= 4
    ]
    return sum(found) / len(found) if found and len(texts) > 1 else math.nan


def self_rouge_l(texts: list[Tokens]) -> float:
    """rouge-score's own table, which it makes of any tokens; its tokeniser would drop all but ASCII."""
    from rouge_score.rouge_scorer import _score_lcs

    pairs = [_score_lcs(one, other).fmeasure for one, other in itertools.combinations(texts, 2)]
    return sum(pairs) / len(pairs) if pairs else math.nan


def compression_ratio(texts: list[str]) -> float:
    data = "\n".join(texts).encode()
    return len(data) / len(gzip.compress(data, 9, mtime=0)) if len(texts) > 1 and len(data) >= 200 else math.nan


def vendi_ngram(texts: list[Tokens], orders: Sequence[int] = (1, 2, 3, 4)) -> float:
    if len(texts) < 2 or min(map(len, texts)) < max(orders):
        return math.nan
    kernel = np.zeros((len(texts), len(texts)))
    for n in orders:
        counts = [Counter(grams(tokens, n)) for tokens in texts]
        for i, one in enumerate(counts):
            for j, other in enumerate(counts):
                dot = sum(count * other[gram] for gram, count in one.items())
                kernel[i, j] += dot / math.sqrt(sum(c * c for c in one.values()) * sum(c * c for c in other.values())) / len(orders)
    values = np.linalg.eigvals(kernel / len(texts)).real
    return math.exp(-sum(value * math.log(value) for value in values if value > 1e-15))


def of_response(measure: Callable[[Tokens], float]) -> Callable[[list[str], list[Tokens]], float]:
    """The mean over the texts where it is defined."""

    def mean(_: list[str], tokens: list[Tokens]) -> float:
        found = [value for value in map(measure, tokens) if not math.isnan(value)]
        return sum(found) / len(found) if found else math.nan

    return mean


def _lines(texts: list[str], tokens: list[Tokens]) -> float:
    found = [duplicate_lines(text) for text, cut in zip(texts, tokens, strict=True) if cut]
    return sum(found) / len(found) if found else math.nan


def _shares(values: list[bool]) -> float:
    return sum(values) / len(values) if values else math.nan


ORACLES: dict[str, Callable[[list[str], list[Tokens]], float]] = {
    "length_words": lambda _, tokens: sum(any(c.isalnum() for c in one) for cut in tokens for one in cut) / len(tokens),
    "length_chars": lambda texts, _: sum(map(len, texts)) / len(texts),
    "empty_rate": lambda _, tokens: _shares([not cut for cut in tokens]),
    "mattr_50": of_response(mattr),
    "hdd_42": of_response(hdd),
    "rep_2": of_response(lambda tokens: rep(tokens, 2)),
    "rep_4": of_response(lambda tokens: rep(tokens, 4)),
    "rep_w_16": of_response(rep_w),
    "loop_tail": of_response(loop_tail),
    "loop_rate": of_response(lambda tokens: float(loop_tail(tokens) > 0) if tokens else math.nan),
    "duplicate_lines": _lines,
}
ORACLES_OF_GROUPS: dict[str, Callable[[list[str], list[Tokens]], float]] = {
    "exact_duplicates": lambda texts, _: sum(text in texts[:at] for at, text in enumerate(texts)) / len(texts),
    "near_duplicates": lambda _, tokens: 1 - len(set(map(plain, tokens))) / len(tokens),
    "answer_entropy": lambda _, tokens: answer_entropy(tokens),
    "distinct_1": lambda _, tokens: distinct(tokens, 1),
    "distinct_2": lambda _, tokens: distinct(tokens, 2),
    "self_bleu_4": lambda _, tokens: self_bleu(tokens),
    "self_rouge_l": lambda _, tokens: self_rouge_l(tokens),
    "compression_ratio": lambda texts, _: compression_ratio(texts),
    "vendi_ngram": lambda _, tokens: vendi_ngram(tokens),
}


def expected(texts: list[str], cut: Callable[[str], list[str]]) -> dict[str, float]:
    """Every default metric that strings alone decide, of one group."""
    tokens = [cut(text) for text in texts]
    found = {name: oracle(texts, tokens) for name, oracle in ORACLES.items()}
    kept = [(text, one) for text, one in zip(texts, tokens, strict=True) if one]
    for name, oracle in ORACLES_OF_GROUPS.items():
        found[name] = oracle([text for text, _ in kept], [one for _, one in kept]) if len(kept) > 1 else math.nan
    return found


_WORDS = 'the cat sat on a mat and then it ran off . , ! The dog\'s 3.5 % _x_ foo.bar( ) = "quoted" naïve cafe\u0301 straße'.split()  # noqa: SIM905
_PARTS: dict[str, list[str]] = {
    "english": [f"{word} " for word in _WORDS],
    "chinese": list("今天气很好，我们去公园散步吧。"),
    "thai": ["วัน", "นี้", "อากาศ", "ดี", "มาก", "เรา", "ไม่", "รู้", " "],
    "arabic": ["السَّلام ", "عليكم ", "كتاب ", "و", "في ", "١٢٣ ", "؟ "],
    "emoji": ["👨‍👩‍👧‍👦", "👍🏽", "🇫🇷", "🇩🇪", "🏳️‍🌈", " ", "ok ", "🎉"],
    "code": ["for i in x:\n", "    y = f(i, 'a b')\n", "\n", "return y\n", "x_1 += 3.14  # n\n", "{\n", "}\n"],
    "marks": ["e\u0301", "o\u0308\u0323", "a", "\u0301", " ", "ก็", "\u200d", "n\u0303 "],
    "lines": ["- one\n", "- two\n", "- three \n", "\r\n", "  \n", "- one\r\n"],
}


def random_group(rng: np.random.Generator) -> list[str]:
    """One to eight texts of one script, some of them empty, of one token, or the same again; some long, some ending in a loop."""
    parts = _PARTS[str(rng.choice(list(_PARTS)))]
    many = list(rng.choice(len(parts), size=max(2, int(rng.integers(2, len(parts) + 1))), replace=False))
    texts: list[str] = []
    for _ in range(int(rng.integers(1, 9))):
        kind = rng.random()
        if texts and kind < 0.15:
            texts.append(texts[int(rng.integers(len(texts)))])
        elif kind < 0.22:
            texts.append(str(rng.choice(["", " \n", "\u3000"])))
        elif kind < 0.3:
            texts.append(parts[int(rng.choice(many))])
        else:
            size = int(rng.integers(1, 30) if kind < 0.6 else rng.integers(30, 160))
            text = "".join(parts[int(at)] for at in rng.choice(many, size=size))
            if kind > 0.9:
                text += "".join(parts[int(at)] for at in rng.choice(many, size=3)) * int(rng.integers(2, 9))
            texts.append(text)
    return texts
