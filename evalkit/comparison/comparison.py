"""Two runs, or two cells, against each other: better, worse, equivalent or inconclusive, a metric at a time; and whether a gate is passed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from evalkit._version import __version__
from evalkit.comparison.gate import FailOn, Margins
from evalkit.comparison.measurement import Measured, SideCounts, measure
from evalkit.comparison.pairing import Arm, Contrast, Pairing, paired, sent_between
from evalkit.comparison.rules import other_rules
from evalkit.comparison.verdict import Comparative, Compared, in_words, judged
from evalkit.plan.cells import cell_text
from evalkit.stats.conventions import CONFIDENCE, FEWEST_PROMPTS
from evalkit.stats.intervals import t_interval
from evalkit.stats.precision import minus
from evalkit.text.hook import Shown
from evalkit.text.notes import Tell, nobody
from evalkit.text.numbers import counted

VERSION = 1


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two, and what was sent for the part of it that is compared.

    Attributes:
        sent: when, as text.
        answered: requests that have an answer, of `requests`.
        failures: requests whose last outcome is a failure, by kind.
        tokens_out: of all answers; None where the endpoint does not count them.
        cost: of all answers; None where it is not known.
    """

    folder: str
    name: str
    model: str
    base_url: str
    digest: str
    evalkit: str
    sent: str
    requests: int
    answered: int
    failures: dict[str, int]
    missing: int
    tokens_out: int | None
    cost: float | None
    currency: str | None


class ChangeInCell(msgspec.Struct, frozen=True, kw_only=True):
    """The same difference in one cell alone, with its t interval: shown to find out where a change comes from, not tested."""

    cell: str
    metric: str
    difference: float
    ci_low: float
    ci_high: float
    n_prompts: int


class Comparison(Shown, msgspec.Struct, frozen=True, kw_only=True):
    """All that ``compare`` found.

    Attributes:
        differs: in what the two are not alike, beside their answers.
        cells: those compared, as people name them; prompts: their ids.
        replicates: that metrics of several answers together were taken over; tokens: of the prefix that some metrics biased by length were taken on.
        words: drawn from the answers to a prompt for the other metrics biased by length: the fewest and the most of a prompt.
        same_answers: answers that are letter by letter the same in both, of those with the same cell, prompt and replicate.
        not_compared: metric → why.
        fail_on: what the gate fails on; objections: why it fails, a sentence each; none: it is passed.
    """

    v: int = VERSION
    evalkit: str = __version__
    confidence: float = CONFIDENCE
    tokenizer: str
    baseline: Side
    candidate: Side
    differs: list[Contrast]
    cells: list[str]
    prompts: list[str]
    left_out: list[str]
    replicates: int
    tokens: int | None
    words: tuple[int, int] | None = None
    same_answers: int
    same_of: int
    metrics: list[Compared]
    by_cell: list[ChangeInCell]
    not_compared: dict[str, str]
    notes: list[str]
    fail_on: list[str]
    objections: list[str] = []

    @property
    def passed(self) -> bool:
        """Whether the gate is passed."""
        return not self.objections

    @property
    def gated(self) -> list[Compared]:
        """The metrics that the gate judges."""
        return [one for one in self.metrics if one.gated]


def compare(
    baseline: Path | str,
    candidate: Path | str | None = None,
    *,
    cells: Sequence[str] = (),
    margins: Margins | None = None,
    metrics: Sequence[str] = (),
    tokenizer: str | None = None,
    fail_on: Sequence[FailOn] = ("worse",),
    note: Tell = nobody,
) -> Comparison:
    """Compare a candidate with a baseline; reads both folders, writes into neither, sends nothing.

    Args:
        candidate: None for two `cells` of one run.
        cells: two, or one for the same in both runs: a number, a name in a list design, or levels like ``temperature=0.7,top_p=0.9``.
        margins: per metric, before those of the candidate's experiment and the defaults.
        metrics: names of what is measured, ``default`` for the default ones; all that a sweep measures where empty.
        tokenizer: of both; where None the one that both were last scored with.
        fail_on: what the gate fails on.
        note: called with what scorers could not do.

    Raises:
        RecordError: a folder cannot be read, or the two cannot be compared; with the reason.
        ExperimentError: a cell, a metric, a margin or a tokeniser is not there.
    """
    given = margins or Margins()
    pairing = paired(Path(baseline), None if candidate is None else Path(candidate), cells)
    measured = measure(pairing, metrics, tokenizer, given.check, note)
    judge = pairing.candidate.plan.experiment
    found = judged(measured.metrics, measured.baseline, measured.candidate, judge, given)
    sides = [_side(arm, about) for arm, about in zip((pairing.baseline, pairing.candidate), measured.sides, strict=True)]
    names = [_pair_text(pairing, pair) for pair in pairing.pairs]
    result = Comparison(
        tokenizer=measured.tokenizer,
        baseline=sides[0],
        candidate=sides[1],
        differs=list(pairing.differs),
        cells=names,
        prompts=[prompt.id for prompt in judge.prompts],
        left_out=list(pairing.left_out),
        replicates=measured.k,
        tokens=measured.tokens,
        words=measured.words,
        same_answers=measured.same,
        same_of=measured.same_of,
        metrics=found,
        by_cell=_by_cell(measured, names),
        not_compared=measured.not_compared,
        notes=[*pairing.notes, *measured.notes, *other_rules(pairing.baseline.folder, pairing.candidate.folder), *_notes(found, sides)],
        fail_on=list(fail_on),
    )
    return msgspec.structs.replace(result, objections=objections(result))


def _by_cell(measured: Measured, names: Sequence[str]) -> list[ChangeInCell]:
    out = []
    for metric in measured.metrics:
        for name, row in zip(names, minus(measured.candidate[metric.name], measured.baseline[metric.name]), strict=True):
            interval, span = t_interval(row, CONFIDENCE), metric.high - metric.low
            low, high = max(interval.low, -span), min(interval.high, span)
            if interval.n:
                out.append(ChangeInCell(cell=name, metric=metric.name, difference=interval.mean, ci_low=low, ci_high=high, n_prompts=interval.n))
    return out


def _pair_text(pairing: Pairing, pair: tuple[int, int]) -> str:
    one, other = (cell_text(arm.plan, index) for arm, index in zip((pairing.baseline, pairing.candidate), pair, strict=True))
    return one if one == other else f"{one} → {other}"


def _side(arm: Arm, about: SideCounts) -> Side:
    experiment = arm.plan.experiment
    versions = arm.written.get("versions") or {}
    return Side(
        folder=str(arm.folder),
        name=experiment.name,
        model=experiment.models,
        base_url=experiment.addresses,
        digest=str(arm.written.get("digest", "")),
        evalkit=str(versions.get("evalkit", "unknown")),
        sent=sent_between(arm.written),
        requests=about.requests,
        answered=about.answered,
        failures=about.failures,
        missing=about.missing,
        tokens_out=about.tokens_out,
        cost=about.cost,
        currency=None if experiment.priced is None else experiment.priced.currency,
    )


def _notes(found: Sequence[Compared], sides: Sequence[Side]) -> list[str]:
    out = []
    gated = [one for one in found if one.gated]
    most = max((one.n_prompts for one in gated), default=0)
    if most < FEWEST_PROMPTS:
        out.append(
            f"{most} prompts: no difference can be told from chance with fewer than {FEWEST_PROMPTS} (no p is given), so nothing can be called "
            "better or worse, and the gate cannot fail on it"
        )
    beyond = [one for one in gated if one.verdict == "inconclusive" and one.n_prompts > 1 and one.reachable > one.margin]
    if beyond and most >= FEWEST_PROMPTS:
        worst = max(beyond, key=lambda one: one.reachable / one.margin)
        needed = max((one.prompts_to_settle or 0 for one in beyond), default=0)
        reach = f"{worst.metric}: {worst.margin:.3g}, where {worst.reachable:.3g} could be shown"
        settled = f"; {needed:,} prompts would settle all" if needed and all(one.prompts_to_settle for one in beyond) else ""
        out.append(f"out of reach of these data: {len(beyond)} of {len(gated)} margins ({reach}){settled}")
    failed = [sum(side.failures.values()) + side.missing for side in sides]
    if failed[1] * max(sides[0].requests, 1) > failed[0] * max(sides[1].requests, 1):
        out.append(
            f"{failed[1]:,} of the candidate's {sides[1].requests:,} requests have no answer ({failed[0]:,} of the baseline's "
            f"{sides[0].requests:,}): what is compared is a selection"
        )
    return out


def failing(one: Compared, fail_on: Collection[str]) -> bool:
    """Whether a gate that fails on `fail_on` fails on this metric: where it judges it, or for ``differs`` where it has no direction."""
    return one.verdict in fail_on and (one.gated or one.verdict == "differs")


def objections_of_answers(found: Comparison) -> list[str]:
    """Why the gate fails on answers that are not there, a sentence each."""
    before, after = found.baseline, found.candidate
    out = []
    if "failures" in found.fail_on:
        for kind, count in after.failures.items():
            earlier = before.failures.get(kind, 0)
            if count * before.requests > earlier * after.requests:
                out.append(f"more failures of kind {kind}: {count:,} of {after.requests:,} requests, {earlier:,} of {before.requests:,} before")
    if "incomplete" in found.fail_on and after.answered < after.requests:
        out.append(f"the candidate is incomplete: {after.answered:,} of {after.requests:,} requests have an answer")
    return out


def objections(found: Comparison) -> list[str]:
    """Why the gate of `found` fails, a sentence each; none where it is passed."""
    said = {"worse": "is worse", "differs": "differs", "inconclusive": "is unclear"}
    failed = sorted((one for one in found.metrics if failing(one, found.fail_on)), key=_margins_apart, reverse=True)
    out = [
        f"{one.metric} {said[one.verdict]}: {one.difference:+.3g} [{one.ci_low:+.3g}, {one.ci_high:+.3g}], margin {one.margin:.3g}" for one in failed
    ]
    return out + objections_of_answers(found)


def _margins_apart(one: Compared) -> tuple[bool, float]:
    """What comes first: what is worse, and of that what is so by most margins."""
    return one.verdict == "worse", abs(one.difference / one.margin) if one.margin > 0 else 0.0


_COUNTED: tuple[Comparative, ...] = ("better", "equivalent", "inconclusive", "worse")


def headline(found: Comparison) -> str:
    """One line that a busy person can act on."""
    counts = {verdict: sum(one.verdict == verdict for one in found.gated) for verdict in _COUNTED}
    rest = ", ".join(f"{count} {in_words(verdict)}" for verdict, count in counts.items() if count)
    of = f"{counted(len(found.gated), 'metric')} judged"
    if found.objections:
        more = f"; and {len(found.objections) - 3} more" if len(found.objections) > 3 else ""
        return f"FAILED: {'; '.join(found.objections[:3])}{more} ({of}: {rest or 'none'})"
    if not found.gated:
        return "PASSED: no metric is judged"
    worse = [one.metric for one in found.gated if one.verdict == "worse"]
    told = f"{', '.join(worse)} worse, which this gate lets pass" if worse else "nothing is shown to be worse beyond its margin"
    return f"PASSED: {told} ({of}: {rest})"
