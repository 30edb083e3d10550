"""Both sides of a pairing, measured on one basis: the same metrics, tokeniser, replicates and prefix."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.comparison.pairing import Arm, Pairing
from evalkit.comparison.stored import Stored, stored, tokenizer_of
from evalkit.errors import ExperimentError, MissingExtraError, RecordError
from evalkit.experiment.goals import metric_names
from evalkit.metrics import EMBEDDED, METRICS, OPTIONAL, UAX29, Metric, Tokenizer, tokens
from evalkit.metrics.custom import Scorer
from evalkit.metrics.rarefaction import Sample
from evalkit.scoring import executing, judging
from evalkit.scoring.basis import basis
from evalkit.scoring.gather import Gathered, cut, gather, metric_of
from evalkit.scoring.metric_set import Measures, measures, without
from evalkit.scoring.prefix import FAR_APART
from evalkit.scoring.scores import scored
from evalkit.store import judgements
from evalkit.store.embeddings import Embeddings, key_of
from evalkit.store.records import read
from evalkit.text.notes import Tell, warning

Grid = NDArray[np.float64]

_ANOTHER_SCRIPT = 0.1  # share of the prompts
_LOOKED_AT = 2_000  # characters of a prompt's answers, to tell their script
_SCRIPTS = {
    "Latin": r"\p{Latin}",
    "Cyrillic": r"\p{Cyrillic}",
    "Greek": r"\p{Greek}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Bengali": r"\p{Bengali}",
    "Tamil": r"\p{Tamil}",
    "Thai": r"\p{Thai}",
    "Hangul": r"\p{Hangul}",
    "Chinese or Japanese": r"[\p{Han}\p{Hiragana}\p{Katakana}]",
}


class SideCounts(NamedTuple):
    """What was sent on one side and what came of it; tokens and money are None where an answer does not tell."""

    requests: int
    answered: int
    failures: dict[str, int]
    missing: int
    tokens_out: int | None
    cost: float | None


class Measured(NamedTuple):
    """Values of each metric on both sides, each of shape (pairs of cells, prompts).

    Attributes:
        k: replicates that metrics of several answers together were taken over; 0 where there are none.
        tokens: of the prefix that metrics biased by length were taken on that have no value on samples; None where they are not compared.
        words: drawn from the answers to a prompt for the others, the fewest and the most of a prompt; None where there are none.
        same: answers that are the same text on both sides, of `same_of` with the same place.
    """

    metrics: tuple[Metric, ...]
    baseline: dict[str, Grid]
    candidate: dict[str, Grid]
    tokenizer: str
    k: int
    tokens: int | None
    words: tuple[int, int] | None
    not_compared: dict[str, str]
    notes: list[str]
    sides: tuple[SideCounts, SideCounts]
    same: int
    same_of: int


def measure(pairing: Pairing, names: Sequence[str], tokenizer: str | None, check: Callable[[Iterable[str]], None], note: Tell) -> Measured:
    """Measure both sides of `pairing`, on what they have in common.

    Args:
        names: of metrics; all that a sweep measures where empty.
        tokenizer: None for the one that both were scored with.
        check: called with the names of all that is measured, to refuse what names something else.
        note: called with what scorers could not do.

    Raises:
        RecordError: one side has no answer, or they are in different scripts, or were scored with different tokenisers.
        ExperimentError: there is no metric or tokeniser of that name.
    """
    arms = (pairing.baseline, pairing.candidate)
    cutter = _tokenizer(pairing, tokenizer)
    measured, left_out = _wanted(pairing, names)
    metrics, scorers = measured.metrics, measured.scorers
    gathered = _gathered(arms[0], measured), _gathered(arms[1], measured)
    _refuse_without_answers(gathered)
    own, not_compared = _own(gathered)
    not_compared |= left_out
    of_texts = [one.name for one in scorers if one.takes == "texts"]
    check({*metric_names(), *(one.name for one in (*METRICS, *OPTIONAL, *metrics, *own)), *of_texts})
    if any(metric.content for metric in metrics):
        _refuse_other_scripts(pairing, gathered)
    tallies = (_counts_of(arms[0], gathered[0]), _counts_of(arms[1], gathered[1]))
    same, same_of = _same(pairing, gathered)
    found = _stored(pairing, gathered, metrics, scorers, cutter) or _rescored(arms, gathered, measured, cutter, note)
    rows = [[pair[side] for pair in pairing.pairs] for side in (0, 1)]
    values = [{name: grid[at] for name, grid in side.items()} for side, at in zip(found.values, rows, strict=True)]
    compared, why = _comparable(found, values)
    not_compared |= why
    notes = [_of_biased(found)] if found.biased else []
    return Measured(
        tuple(compared), values[0], values[1], cutter.name, found.k, found.tokens, found.words, not_compared, notes, tallies, same, same_of
    )


def _refuse_without_answers(gathered: Sequence[Gathered]) -> None:
    for which, side in zip(("baseline", "candidate"), gathered, strict=True):
        if not side.completions:
            failed = ", ".join(f"{count} {kind}" for kind, count in sorted(side.failures.items())) or "none was sent"
            raise RecordError(f"these runs cannot be compared: none of the {len(side.plan):,} requests of the {which} has an answer ({failed})")


def _comparable(found: _Found, values: Sequence[dict[str, Grid]]) -> tuple[list[Metric], dict[str, str]]:
    """The metrics that both sides have and that can be compared, and why the others cannot."""
    compared, not_compared = [], {}
    for metric in found.metrics:
        if not all(metric.name in side for side in values):
            continue
        if why := _why_not(metric, found.tokens, *(side[metric.name] for side in values)):
            not_compared[metric.name] = why
        else:
            compared.append(metric)
    return compared, not_compared


class _Found(NamedTuple):
    """Metrics and their values on the two sides, of shape (all cells of a side, prompts); `biased`: cells that few answers of reach the prefix."""

    metrics: tuple[Metric, ...]
    values: tuple[dict[str, Grid], dict[str, Grid]]
    k: int
    tokens: int | None
    words: tuple[int, int] | None
    biased: int = 0


def _tokenizer(pairing: Pairing, name: str | None) -> Tokenizer:
    if name is None:
        used = {_as_of_today(tokenizer_of(arm.folder) or UAX29.name) for arm in (pairing.baseline, pairing.candidate)}
        if len(used) > 1:
            raise RecordError(
                f"these runs cannot be compared as they are: they were scored with different tokenisers ({', '.join(sorted(used))}), whose words are "
                "not the same; give a tokenizer, which cuts both anew"
            )
        (name,) = used
    try:
        return tokens.tokenizer(name)
    except ValueError as fault:
        raise ExperimentError(str(fault)) from None


def _as_of_today(name: str) -> str:
    """The name of the tokeniser that would cut the answers now: its own one where it is of another release, or of none that there is."""
    try:
        return tokens.tokenizer(name).name
    except (ValueError, MissingExtraError):
        return name


def _wanted(pairing: Pairing, names: Sequence[str]) -> tuple[Measures, dict[str, str]]:
    """What is measured, by the candidate's experiment, and what of it cannot be compared, with the reason."""
    one, other = (arm.plan.experiment for arm in (pairing.baseline, pairing.candidate))
    found = measures(other, names)
    left_out: dict[str, str] = {}
    prices = [experiment.priced for experiment in (one, other)]
    currencies = {None if its is None else its.currency for its in prices}
    of_money = [metric.name for metric in found.metrics if metric.unit == "money"]
    if currencies == {None} and not names:
        found = without(found, of_money)
    elif len(currencies) > 1 and of_money:
        found = without(found, of_money)
        left_out |= dict.fromkeys(of_money, "the prices of the two are not both known in one currency")
    if found.embeddings is not None and (one.embeddings is None or key_of(one.embeddings, "") != key_of(found.embeddings, "")):
        here = [metric.name for metric in EMBEDDED if metric in found.metrics]
        left_out |= dict.fromkeys(here, "the answers of the two were not embedded by the same model")
        found = without(found, here)
    return found, left_out


def _gathered(arm: Arm, measured: Measures) -> Gathered:
    columns = judging.columns(measured.judges, arm.plan.experiment, judgements.load(arm.folder)) if measured.judges else ()
    columns += executing.columns(measured.runs, arm.plan, arm.folder)
    return gather(arm.plan, read(arm.folder), measured.scorers, columns)


def _own(gathered: Sequence[Gathered]) -> tuple[list[Metric], dict[str, str]]:
    """What judges, and scorers of texts and records, measured on both sides; and what cannot be compared, with the reason."""
    not_compared = {}
    for name in gathered[0].own.keys() ^ gathered[1].own.keys():
        not_compared[name] = "measured on one side alone"
        for one in gathered:
            one.own.pop(name, None)
    return list(gathered[1].own.values()), not_compared


def _counts_of(arm: Arm, gathered: Gathered) -> SideCounts:
    tokens = float(gathered.answers.completion_tokens.sum())
    cost = math.fsum(gathered.answers.recorded("cost").tolist())
    return SideCounts(
        requests=len(arm.plan),
        answered=gathered.completions,
        failures=dict(sorted(gathered.failures.items())),
        missing=gathered.missing,
        tokens_out=None if math.isnan(tokens) else int(tokens),
        cost=None if math.isnan(cost) else cost,
    )


def _same(pairing: Pairing, gathered: Sequence[Gathered]) -> tuple[int, int]:
    same = of = 0
    for first, second in pairing.pairs:
        for prompt in range(len(gathered[0].plan.experiment.prompts)):
            one, other = gathered[0].answers.get((first, prompt), {}), gathered[1].answers.get((second, prompt), {})
            both = one.keys() & other.keys()
            of += len(both)
            same += sum(one[at].text == other[at].text for at in both)
    return same, of


def _refuse_other_scripts(pairing: Pairing, gathered: Sequence[Gathered]) -> None:
    """Raise `RecordError` where the answers to many prompts are in another script: then words are not the same unit."""
    prompts = pairing.baseline.plan.experiment.prompts
    changed = []
    for index in range(len(prompts)):
        scripts = [_script(_some_text(one, [pair[side] for pair in pairing.pairs], index)) for side, one in enumerate(gathered)]
        if None not in scripts and scripts[0] != scripts[1]:
            changed.append(scripts)
    if len(changed) > _ANOTHER_SCRIPT * len(prompts):
        (first, second), _ = Counter(map(tuple, changed)).most_common(1)[0]
        raise RecordError(
            f"these runs cannot be compared: {len(changed)} of {len(prompts)} prompts are answered in another script ({second} instead of {first}), "
            "so their words are not the same unit; the metrics length_chars and truncation_rate do not depend on words"
        )


def _some_text(gathered: Gathered, cells: Sequence[int], prompt: int) -> str:
    out = ""
    for cell in cells:
        for answer in gathered.answers.get((cell, prompt), {}).values():
            out += answer.text[: _LOOKED_AT // 4]
            if len(out) >= _LOOKED_AT:
                return out
    return out


def _script(text: str) -> str | None:
    """The script that most letters of `text` are of; None where it has no letter of a script that is told apart."""
    if text.isascii():
        return "Latin" if any(map(str.isalpha, text)) else None
    import regex

    counts = {name: len(regex.findall(pattern, text)) for name, pattern in _SCRIPTS.items()}
    most = max(counts, key=lambda name: counts[name])
    return most if counts[most] else None


def _rescored(arms: tuple[Arm, Arm], gathered: tuple[Gathered, Gathered], measured: Measures, cutter: Tokenizer, note: Tell) -> _Found:
    both = [cut(one, cutter) for one in gathered]
    on = basis(both)
    vectors = [None if measured.embeddings is None else Embeddings(arm.folder, measured.embeddings).of for arm in arms]
    scores = [scored(one, its, measured.metrics, of, beside=False) for one, its, of in zip(both, on, vectors, strict=True)]
    for line in dict.fromkeys(str(complaint) for one in scores for complaint in one.complaints[:_MOST_COMPLAINTS]):
        note(warning(f"a scorer failed, which leaves its value out: {line}"))
    values = [{name: score.value for name, score in one.by_metric.items()} for one in scores]
    first = on[0].prefix
    highest = max(
        (float(np.nanmax(one.prefix.eligible)) for one in on if one.prefix is not None and not np.isnan(one.prefix.eligible).all()), default=0
    )
    biased = sum(int((one.prefix.eligible < highest - (FAR_APART + 1e-9)).sum()) for one in on if one.prefix is not None)
    return _Found(scores[1].metrics, (values[0], values[1]), on[0].k, None if first is None else first.tokens, _words(on[0].samples), biased)


_MOST_COMPLAINTS = 5


def _stored(
    pairing: Pairing, gathered: tuple[Gathered, Gathered], metrics: Sequence[Metric], scorers: Sequence[Scorer], cutter: Tokenizer
) -> _Found | None:
    """What the sweeps' own tables hold, where they hold what scoring both together would give; else None."""
    if not pairing.whole:
        return None
    names = [*(metric.name for metric in metrics), *(one.name for one in scorers if one.takes == "texts")]
    found: list[Stored] = []
    for arm, one in zip((pairing.baseline, pairing.candidate), gathered, strict=True):
        table = stored(arm.folder, arm.plan, one, names, cutter.name)
        if table is None or (found and table.on != found[0].on):
            return None
        found.append(table)
    for table, one in zip(found, gathered, strict=True):
        table.values.update({name: _recorded(one, name) for name in one.own})
    of_texts = [metric_of(one.name, "group", one.better, _never) for one in scorers if one.takes == "texts"]
    on = found[0].on
    drawn = () if on.samples is None else on.samples.samples
    return _Found((*metrics, *gathered[1].own.values(), *of_texts), (found[0].values, found[1].values), on.k, on.tokens, _words(drawn))


def _words(samples: Sequence[Sample | None]) -> tuple[int, int] | None:
    words = [one.words for one in samples if one is not None and one.words]
    return (min(words), max(words)) if words else None


def _never(group: Any) -> float:
    raise AssertionError(group)


def _recorded(gathered: Gathered, name: str) -> Grid:
    """The mean over replicates of what is recorded of answers under `name`, shape (cells, prompts)."""
    out = np.full((len(gathered.plan.cells), len(gathered.plan.experiment.prompts)), math.nan)
    for where, group in gathered.answers.items():
        known = [value for one in group.values() if not math.isnan(value := one.recorded.get(name, math.nan))]
        if known:
            out[where] = math.fsum(known) / len(known)
    return out


def _why_not(metric: Metric, tokens: int | None, one: Grid, other: Grid) -> str | None:
    if metric.sampled is not None:
        return None if (~np.isnan(one) & ~np.isnan(other)).any() else "the answers to no prompt have words enough for it on both sides"
    if metric.confounded and tokens is None:
        return "it depends on length, and too many answers are shorter than ten words"
    if metric.confounded and tokens is not None and tokens < metric.shortest:
        return f"the {tokens} words that the answers of all settings have are too few for it"
    if not (~np.isnan(one) & ~np.isnan(other)).any():
        return "no prompt has a value on both sides"
    return None


def _of_biased(found: _Found) -> str:
    names = ", ".join(one.name for one in found.metrics if one.confounded and one.sampled is None)
    return (
        f"in {found.biased} settings markedly fewer answers than in others reach the {found.tokens} words that {names} are compared on; what is left "
        "of them is a selection"
    )
