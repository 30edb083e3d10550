"""How far the length of answers alone moves each metric, on whole answers and on what evalkit compares on; and what power is left.

    python benchmarks/length_confound.py [--smallest]

Two generators answer: the embedded model, hot and cold, and a real model (Gemma 3 270M, whose answers are recorded beside this file).

- Bias: its answers cut at 10, 20, 40, 80 and 200 words (or as far as they go). A metric should say the same of all. Printed is the value at the
  shortest, and of each other length how much higher it is.
- Error: answers of one setting are 12 words long and of another 40, then 20 and 80, each answer by its own measure (log-normal, sd 0.6). Bias with
  its sign, noise (a standard error over 8 prompts), and both together.
- Power: in one of two settings of the longer answers, which have a prefix in common, an eighth of the answers are another one said again, or for
  repetition each answer says its first words twice. Printed is the power at 8 prompts (two-sided, 5 %), at equal numbers of answers.

Draws ``docs/length-confound.svg``, and ends with status 1 where the bias of what is compared on is over a quarter of that of whole answers, by
lengths cut, or the error is larger than on the common prefix that metrics were compared on before. With `--smallest` two prompts are answered, and
the figure goes nowhere.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.experiment.files.reading import read_prompts
from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.corpus import sections
from evalkit.local.model import Model
from evalkit.metrics import METRICS, WHITESPACE, Group, Metric, mean, tokenise, values
from evalkit.metrics.rarefaction import Sample, types
from evalkit.metrics.tokens import words
from evalkit.scoring.basis import sample_of
from evalkit.scoring.prefix import PREFIXES
from evalkit.stats.power import power_paired

ROOT = Path(__file__).resolve().parent.parent
FIGURE = ROOT / "docs" / "length-confound.svg"
RECORDED = Path(__file__).with_name("long_answers.json")
LENGTHS = (10, 20, 40, 80, 200)
MIXED = ((12, 40), (20, 80))
K, TIMES, PROMPTS = 8, 4, 8
MOST_OF_RAW = 0.25
NOT_OF_LENGTH = ("length_tokens", "length_words", "length_chars", "truncation_rate", "empty_rate", "duplicate_lines")
"""What is length itself or is not of words; lines do not survive being cut and joined."""

Texts = list[list[str]]
"""The words of each of some answers."""


class Source(NamedTuple):
    """Answers to some prompts, each as its words; all have the longest of `lengths`."""

    name: str
    answers: list[Texts]
    lengths: tuple[int, ...]


def babbled(name: str, temperature: float, longest: int, prompts: int, each: int) -> Source:
    """Answers of the embedded model that are as long as the longest length at least."""
    api = Api(Model(sections()))
    out: list[Texts] = []
    for prompt in read_prompts(ROOT / "experiments/prompts/quickstart.yaml").prompts[:prompts]:
        found: Texts = []
        for seed in range(2_000):
            body = {"model": MODEL_NAME, "messages": prompt.plain()["messages"], "seed": seed, "max_tokens": 400, "temperature": temperature}
            found += [cut for answer in api.answers(api.chat(body)) if len(cut := words("".join(map(str, answer)))) >= longest]
            if len(found) >= each:
                break
        out.append(found[:each])
    return Source(name, out, (*(one for one in LENGTHS if one < longest), longest))


def recorded(prompts: int) -> Source:
    """The real model's answers, as far as all of them go."""
    cut = [[words(text) for text in texts] for texts in json.loads(RECORDED.read_text(encoding="utf-8")).values()][:prompts]
    longest = min(LENGTHS[-1], min(len(one) for texts in cut for one in texts))
    return Source("Gemma 3 270M, temperature 1", cut, (*(one for one in LENGTHS if one < longest), longest))


def group(texts: Texts) -> Group:
    return tokenise([" ".join(one) for one in texts], WHITESPACE)


def whole(metric: Metric, its: Group) -> float:
    return mean(values(metric, its))


def on_prefix(metric: Metric, its: Group, tokens: int) -> float:
    return whole(metric, its.take(np.flatnonzero(its.lengths >= tokens), tokens)) if tokens >= metric.shortest else math.nan


def compared(metric: Metric, its: Group, sample: Sample, tokens: int | None) -> float:
    """The value that evalkit compares by, where it has one."""
    if metric.sampled is not None:
        return metric.sampled(its, sample)
    if not metric.confounded:
        return whole(metric, its)
    return math.nan if tokens is None else on_prefix(metric, its, tokens)


def pooled(its: Group, sample: Sample, n: int) -> float:
    """Another form, which was not taken: draws from whole answers."""
    grams = its.ngrams(n)
    draws = int(sample.grams(n).sum())
    return types(np.bincount(grams.code, weights=grams.times).astype(np.int64), draws) / draws


def covered(its: Group, sample: Sample, n: int) -> float:
    """Another form, which was not taken: different words in as many draws as cover half of all (Chao & Jost 2012), over the draws of the sample."""
    grams = its.ngrams(n)
    counts = np.bincount(grams.code, weights=grams.times).astype(np.int64)
    low, high = 1, int(counts.sum()) - 1
    if high < 2 or _coverage(counts, high) < 0.5:
        return math.nan
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _coverage(counts, middle) >= 0.5 else (middle + 1, high)
    return types(counts, low) / int(sample.grams(n).sum())


def _coverage(counts: np.ndarray, draws: int) -> float:
    """Of the population, what so many draws cover: the chance that the next one is known."""
    return 1 - (types(counts, draws + 1) - types(counts, draws))


OTHERS: dict[str, Callable[[Group, Sample, int], float]] = {"from whole answers": pooled, "at equal coverage": covered}


def biases(source: Source, metrics: Sequence[Metric]) -> bool:
    """A row for each metric on whole answers and on what is compared on; whether all keep the limit."""
    good = True
    base = source.lengths[0]
    sample = Sample((base,) * K)
    print(f"\n{source.name}: {len(source.answers)} prompts, answers cut at {', '.join(map(str, source.lengths))} words")
    groups = [[group([one[:length] for one in texts[:K]]) for texts in source.answers] for length in source.lengths]
    for metric in metrics:
        taken = None if metric.confounded else metric  # else what stands in the row is not compared by
        raw = _row(metric.name, "whole answers", [[whole(metric, its) for its in row] for row in groups], taken)
        on = "sample" if metric.sampled is not None else "prefix" if metric.confounded else ""
        if on:
            left = _row("", on, [[compared(metric, its, sample, base) for its in row] for row in groups], metric)
            if not (math.isnan(left) or math.isnan(raw)) and raw > float(metric.margin if isinstance(metric.margin, float) else 0.05):
                good &= left <= MOST_OF_RAW * raw
        if metric.name in ("distinct_1", "distinct_2"):
            for name, other in OTHERS.items():
                _row("", name, [[other(its, sample, int(metric.name[-1])) for its in row] for row in groups])
    return good


def _row(metric: str, on: str, found: list[list[float]], line: Metric | None = None) -> float:
    """Print a row; the largest bias."""
    at = [float(np.mean(one)) for one in found]
    bias = [one - at[0] for one in at]
    most = max(map(abs, bias[1:]))
    said = "  length may play a part" if line is not None and most > _margin(line, at[0]) else ""
    print(f"{metric:>18} {on:>18} {at[0]:>7.3f}  " + " ".join(f"{one:>+7.3f}" for one in bias[1:]) + said)
    return most


def _margin(metric: Metric, of: float) -> float:
    """The difference that does not matter, where the metric is at `of`."""
    return metric.margin if isinstance(metric.margin, float) else 0.05 * abs(of)


class Settings(NamedTuple):
    """Two settings of answers of mixed length to each prompt, drawn some times; with what both are compared on."""

    pairs: list[list[tuple[Group, Group]]]
    samples: list[list[Sample]]
    tokens: int | None


def mixed(source: Source, medians: tuple[int, int], rng: np.random.Generator, change: Callable[[Texts], Texts] | None = None) -> Settings:
    """Answers cut at lengths about their setting's median; `change` is done to the second setting's before they are cut."""
    pairs = []
    for texts in source.answers:
        drawn = []
        for _ in range(TIMES):
            order = rng.permutation(len(texts))
            many = min(K, len(texts) // 2)
            sides = [[texts[at] for at in order[:many]], [texts[at] for at in order[-many:]]]
            if change is not None:
                sides[1] = change(sides[1])
            drawn.append(tuple(_cut(side, median, source.lengths[-1], rng) for side, median in zip(sides, medians, strict=True)))
        pairs.append(drawn)
    lengths = [np.concatenate([pair[side].lengths for drawn in pairs for pair in drawn]) for side in (0, 1)]
    tokens = next((one for one in sorted(PREFIXES, reverse=True) if all(np.mean(its >= one) >= 0.9 for its in lengths)), None)
    samples = [[sample_of([pair[0].lengths, pair[1].lengths]) for pair in drawn] for drawn in pairs]
    return Settings(pairs, samples, tokens)  # type: ignore[arg-type]


def _cut(texts: Texts, median: int, longest: int, rng: np.random.Generator) -> Group:
    sizes = np.clip(np.round(median * np.exp(0.6 * rng.normal(size=len(texts)))), 4, longest).astype(int)
    return group([one[:size] for one, size in zip(texts, sizes, strict=True)])


def _differences(settings: Settings, of: Callable[[Group, Sample], float]) -> np.ndarray:
    """The second setting minus the first, shape (prompts, times)."""
    both = zip(settings.pairs, settings.samples, strict=True)
    return np.array([[of(pair[1], one) - of(pair[0], one) for pair, one in zip(drawn, its, strict=True)] for drawn, its in both])


def _level(settings: Settings, of: Callable[[Group, Sample], float]) -> float:
    """The mean of the first setting; NaN where none is defined."""
    both = zip(settings.pairs, settings.samples, strict=True)
    found = [of(pair[0], one) for drawn, its in both for pair, one in zip(drawn, its, strict=True)]
    known = [one for one in found if not math.isnan(one)]
    return sum(known) / len(known) if known else math.nan


def _summary(found: np.ndarray) -> tuple[float, float]:
    """The mean, and the standard deviation over prompts."""
    kept = found[~np.isnan(found).any(axis=1)]
    return (float(kept.mean()), float(np.sqrt(kept.var(axis=0, ddof=1).mean()))) if len(kept) > 1 else (math.nan, math.nan)


def errors(source: Source, metrics: Iterable[Metric], medians: tuple[int, int], rng: np.random.Generator, held: dict[str, list[float]]) -> None:
    """Bias, noise and error of the difference between two settings of one generator; and the power to see a change.

    Args:
        held: takes, for each metric that was compared on the prefix before, by how much the square of its error is less now.
    """
    alike = mixed(source, medians, rng)
    copied, said_twice = (mixed(source, (medians[1], medians[1]), rng, change) for change in (_one_again, _said_twice))
    prefix = "no common prefix" if alike.tokens is None else f"prefix of {alike.tokens}"
    print(f"\n{source.name}: answers of about {medians[0]} and {medians[1]} words, {prefix}; bias ± noise = error; power, on")
    print(f"{'':>18} {'whole answers':^33} | {'prefix':^33} | {'what is compared on':^33}")
    for metric in metrics:
        changed = said_twice if metric.level == "response" else copied
        cells = []
        for on in ("whole", "prefix", "compared"):
            of = _on(metric, on, alike.tokens)
            (bias, sd), (shift, apart) = _summary(_differences(alike, of)), _summary(_differences(changed, _on(metric, on, changed.tokens)))
            noise = sd / math.sqrt(PROMPTS)
            seen = power_paired(PROMPTS, abs(shift) / apart) if apart > 0 else math.nan
            cells.append((bias, noise, math.hypot(bias, noise), seen))
        said = "  length may play a part" if abs(cells[2][0]) > _margin(metric, _level(alike, _on(metric, "compared", alike.tokens))) else ""
        print(f"{metric.name:>18} " + " | ".join(map(_cell, cells)) + said)
        if metric.sampled is not None and metric.name != "rep_w_16" and not math.isnan(cells[1][2]):  # that was compared on whole answers
            held.setdefault(metric.name, []).append(cells[1][2] ** 2 - cells[2][2] ** 2)


def _cell(found: tuple[float, float, float, float]) -> str:
    bias, noise, error, seen = found
    if math.isnan(error) and math.isnan(seen):
        return f"{'not compared':^33}"
    difference = f"{bias:>+7.3f} ± {noise:.3f} = {error:>6.3f}" if not math.isnan(error) else f"{'not compared':^24}"
    return f"{difference}  {'none' if math.isnan(seen) else f'{seen:.0%}':>7}"


def _on(metric: Metric, on: str, tokens: int | None) -> Callable[[Group, Sample], float]:
    if on == "whole":
        return lambda its, _: whole(metric, its)
    if on == "prefix":
        return lambda its, _: math.nan if tokens is None else on_prefix(metric, its, tokens)
    return lambda its, sample: compared(metric, its, sample, tokens)


def _one_again(texts: Texts) -> Texts:
    return [*texts[:-1], texts[0]]


def _said_twice(texts: Texts) -> Texts:
    return [one[:3] * 2 + one[3:] for one in texts]


def draw(source: Source, metrics: Sequence[Metric], into: Path | io.BytesIO) -> None:
    """Values of whole answers and of what is compared on, by length."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "evalkit"
    from matplotlib import pyplot as plt

    base = source.lengths[0]
    sample = Sample((base,) * K)
    figure, axes = plt.subplots(2, (len(metrics) + 1) // 2, figsize=(11, 5), sharex=True)
    for axis, metric in zip(axes.flat, metrics, strict=False):
        for label, of, style in (("whole answers", whole, "o--"), ("compared", lambda one, its: compared(one, its, sample, base), "s-")):
            rows = [[of(metric, group([one[:length] for one in texts[:K]])) for texts in source.answers] for length in source.lengths]
            error = [2 * np.std(row, ddof=1) / math.sqrt(len(row)) for row in rows]
            axis.errorbar(source.lengths, [np.mean(row) for row in rows], error, fmt=style, label=label)
        axis.set_title(metric.name, fontsize=9)
        axis.set_xscale("log")
        axis.set_xticks(source.lengths, [str(length) for length in source.lengths], fontsize=7)
        axis.minorticks_off()
        axis.tick_params(axis="y", labelsize=7)
    axes.flat[0].legend(fontsize=7)
    figure.suptitle(f"The same generator, answers cut at {source.lengths[0]} to {source.lengths[-1]} words", fontsize=11)
    figure.tight_layout()
    figure.savefig(into, metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smallest", action="store_true", help="two prompts, one generator; no limit is held")
    smallest = parser.parse_args().smallest
    prompts = 2 if smallest else 10
    sources = [babbled("embedded model, temperature 1", 1.0, 40 if smallest else 200, prompts, 2 * K)]
    if not smallest:
        sources += [babbled("embedded model, temperature 0.3", 0.3, 120, prompts, 2 * K), recorded(prompts)]
    rng = np.random.default_rng(7)
    metrics = [one for one in METRICS if one.name not in NOT_OF_LENGTH]
    good = True
    held: dict[str, list[float]] = {}
    for source in sources:
        good &= biases(source, metrics)
        for medians in MIXED[:1] if smallest else MIXED:
            errors(source, [one for one in metrics if one.confounded], medians, rng, held)
    for name, gains in held.items():
        print(f"{name}: the square of its error is {np.mean(gains):+.5f} less than on the prefix, over {len(gains)} pairs of settings")
        good &= float(np.mean(gains)) >= 0
    confounded = [one for one in metrics if one.confounded]
    draw(sources[0], confounded, io.BytesIO() if smallest else FIGURE)
    if smallest:
        return 0
    print(f"\n{'PASS' if good else 'FAIL'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
