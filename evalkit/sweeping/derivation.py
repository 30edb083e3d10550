"""From the records of a results folder to all that is made of them: scores, analysis, choice, and what the user must be told."""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np

from evalkit.analysis.analysis import Analysis, analyse, summary_csv
from evalkit.analysis.drift import sentence, trends, trends_of_each
from evalkit.choice import Choice, choose, confirmed, recommended_yaml
from evalkit.collect.budget import Besides
from evalkit.collect.tally import Tally
from evalkit.engine.processes import Elsewhere
from evalkit.metrics import UAX29, Tokenizer
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan
from evalkit.present.text.comments import comments
from evalkit.present.text.ratings import agreed
from evalkit.race.account import account
from evalkit.race.course import Course
from evalkit.race.going import finish_of
from evalkit.run import Run
from evalkit.scoring import executing, judging, preference
from evalkit.scoring.metric_set import Measures
from evalkit.scoring.prefix import PREFIXES
from evalkit.scoring.scores import Scores, score
from evalkit.scoring.tables import write_tables
from evalkit.store import artefacts, judgements, ratings
from evalkit.store.embeddings import Embeddings
from evalkit.store.folder import ANALYSIS, CHOICE, RECOMMENDED, RESPONSES_TABLE, SCORES_TABLE, SUMMARY, is_merged, replace, write_run
from evalkit.store.mirror import name_of
from evalkit.store.records import Record, read
from evalkit.summary import summarise
from evalkit.sweeping.advice import replayed
from evalkit.sweeping.made import files_of, inputs_of, made
from evalkit.sweeping.racing import scores_of
from evalkit.sweeping.rules import rules
from evalkit.text.notes import Note, note, warning
from evalkit.text.numbers import counted

DERIVED = (RESPONSES_TABLE, SCORES_TABLE, ANALYSIS, SUMMARY)
"""Files that can be made again from ``responses.jsonl`` and ``run.json``."""

_MOST_COMPLAINTS = 5


def settle(
    folder: Path,
    plan: Plan,
    notes: list[Note],
    sent: Tally | None,
    measured: Measures = Measures(),  # noqa: B008 (immutable)
    tokenizer: Tokenizer = UAX29,
    beside: Sequence[Besides] = (),
    *,
    sizes: bool = False,
    jobs: int = 1,
    course: Course | None = None,
    there: Elsewhere | None = None,
) -> Run:
    """Score the records of `folder` by `plan` and write all that is derived from them.

    Args:
        notes: what was told so far, kept in the result.
        sent: how the requests of this time went.
        measured: what is measured.
        beside: who else was asked.
        sizes, jobs: as in `evalkit.scoring.scores.scored`.
        course: the race that the records are of; None of a full grid.
        there: as in `evalkit.scoring.scores.score`; of a full grid.

    Raises:
        RecordError: the records cannot be read, or the results cannot be written.
    """
    others: list[Record] = []  # anchors and fresh replicates, few as they are, so that the file is read once
    columns = judging.columns(measured.judges, plan.experiment, judgements.load(folder)) if measured.judges else ()
    columns += (*executing.columns(measured.runs, plan, folder), *preference.column(folder, plan))
    vectors = None if measured.embeddings is None else Embeddings(folder, measured.embeddings).of

    def scored(what: Plan, records: Iterable[Record], samples: Sequence[Sample | None] | None = None, there: Elsewhere | None = None) -> Scores:
        return score(what, records, measured.metrics, tokenizer, None, measured.scorers, columns, vectors, samples, sizes, jobs, there)

    files = files_of(folder)
    inputs = inputs_of(folder, plan, measured, tokenizer, files)  # before anything is read: what changes meanwhile is made again next time
    sweep = _of_the_sweep(read(folder), others)
    scores = scored(plan, sweep, None, there) if course is None else scores_of(course, plan, sweep, measured, folder, tokenizer)
    analysis = analyse(scores)
    choice = choose(scores, analysis, None if course is None else finish_of(course))
    if choice is not None and (again := _confirm_plan(others, plan)) is not None:
        choice = confirmed(choice, scores, scored(again, others, scores.samples))
    bearing = [
        *_bearing(scores),
        *_of_code(folder, plan, measured),
        *rules(folder, plan.experiment),
        *(warning(text) for text in plan.experiment.warnings() if choice is not None),
    ]
    if choice is not None:
        choice = msgspec.structs.replace(choice, notes=[*(one.text for one in bearing), *choice.notes])
    of_scores = [*_of_scores(scores, plan, _in_time(others, folder)), *_of_judges(folder, plan)]
    analysis = _with_race(msgspec.structs.replace(analysis, notes=[*bearing, *of_scores]), course, scores, choice, measured)
    _write_derived(folder, scores, analysis)
    run = Run(folder, plan.experiment, analysis, sent=sent, choice=choice, beside=tuple(beside))
    _write_choice(run)
    write_run(folder, plan.experiment, counts=analysis.counts, made=made(folder, inputs, files))
    notes += [one for one in (*bearing, *of_scores) if one not in notes]  # whatever shows the run says them, once
    return dataclasses.replace(run, notes=tuple(notes))


def _with_race(analysis: Analysis, course: Course | None, scores: Scores, choice: Choice | None, measured: Measures) -> Analysis:
    """The analysis with what its race came to; of a full grid with what one would have."""
    if course is not None:
        return msgspec.structs.replace(analysis, race=account(course))
    once = replayed(scores, analysis, choice, measured)
    return analysis if once is None else msgspec.structs.replace(analysis, replayed=once)


def _complaints(scores: Scores) -> Iterator[Note]:
    """What scorers could not do, the most frequent first."""
    for one in scores.complaints[:_MOST_COMPLAINTS]:
        scorer = one.fault.partition(":")[0].partition(".")[0]
        measured = any(name == scorer or name.startswith(f"{scorer}.") for name in scores.by_metric)
        what = "a scorer failed, which leaves its value out" if measured else "a scorer gave no number for any answer"
        yield warning(f"{what}: {one}")
    if rest := scores.complaints[_MOST_COMPLAINTS:]:
        yield warning(f"{counted(sum(one.times for one in rest), 'more failure')} of scorers, of {counted(len(rest), 'other kind')}")


def _bearing(scores: Scores) -> Iterator[Note]:
    """What bears on any decision that is made on these scores."""
    yield from scores.noticed
    for name, pairs in scores.without_effect.items():
        yield warning(
            f"{name} changed no answer in any of {pairs} pairs that differ in it alone: the endpoint seems to ignore it; 'evalkit probe' can tell"
        )


def _of_code(folder: Path, plan: Plan, measured: Measures) -> Iterator[Note]:
    """Which answers' code was not run, and how it is; and by whom it was where that differs."""
    for one in executing.unrun(folder, plan, measured.runs):
        if one.answers:
            what = f"{one.answers:,} of {counted(one.of, 'answer')} {'was' if one.answers == 1 else 'were'} not run, and left out of it"
            yield warning(f"{one.name}: {what}; to run their code in a sandbox: evalkit score {shlex.quote(name_of(folder))} --run-code")
        if len(one.pythons) > 1:
            yield note(f"{one.name}: code was run by {' and '.join(one.pythons)}, between which what passes may differ; --run-code by one runs all")


def _in_time(others: Sequence[Record], folder: Path) -> Sequence[Record]:
    """The records as they came; of runs that were joined, which stand one after the other, by their clocks."""
    return sorted(others, key=lambda one: one.at) if is_merged(folder) else others


def _of_scores(scores: Scores, plan: Plan, others: Sequence[Record]) -> Iterator[Note]:
    """What must be said of what the scores rest on."""
    yield from _complaints(scores)
    for name, count in scores.unmet.items():
        yield warning(f"{count} answers are not as asked for in '{name}' (see 'unmet' in the records)")
    if scores.outside:
        yield note(
            f"{scores.outside} recorded requests are not in this plan (other levels, prompts or replicates): kept in the file, left out of the scores"
        )
    if plan.anchor_count and len(plan.parts) > 1:
        yield from (sentence(found, count, name) for name, (found, count) in trends_of_each(others).items())
    elif plan.anchor_count and (found := trends(others)) is not None:
        yield sentence(found, plan.anchor_count)
    if scores.completions:
        yield from _left_out(scores)
    if scores.uncounted:
        yield note(
            f"{scores.uncounted} answers have no length_tokens: the endpoint counts no tokens for them, or those of several answers together; "
            "natural lengths are then in words"
        )
    if scores.unpriced:
        yield note(f"{scores.unpriced} answers have no cost, though endpoint.prices are given: the endpoint does not tell what each of them used")


def _of_judges(folder: Path, plan: Plan) -> Iterator[Note]:
    """How far each judge agrees with people, where both said something of the same answers."""
    if not plan.experiment.judges or not (every := ratings.load(folder)):
        return
    found = preference.people(folder, plan.experiment, every, preference.answers_rated(folder, plan, every))
    for one in found.agreement:
        yield note(f"judge {one.judge}: {'; '.join(filter(None, agreed(one)))}")


def _of_the_sweep(records: Iterable[Record], others: list[Record]) -> Iterator[Record]:
    """The records of the sweep; the others go into `others`."""
    for record in records:
        if record.role == "sweep":
            yield record
        else:
            others.append(record)


def _confirm_plan(others: Sequence[Record], plan: Plan) -> Plan | None:
    """The plan of the fresh replicates that the records hold; None where they hold none."""
    replicates = {record.replicate for record in others if record.role == "confirm"}
    if not replicates:
        return None
    return Plan(plan.experiment, role="confirm", first=min(replicates), count=max(replicates) - min(replicates) + 1)


def _left_out(scores: Scores) -> Iterator[Note]:
    """What no comparison is made of, for want of answers or of long ones."""
    if scores.groups_left_out:
        prompts = sum(k == 0 for k in scores.ks)
        whole = (
            f", among them all of {counted(prompts, 'prompt')} without two in nine tenths of the settings"
            if prompts < len(scores.ks) and prompts
            else ""
        )
        yield note(
            f"metrics over replicates: {counted(scores.groups_left_out, 'group')} left out, with fewer answers with text than nine tenths of "
            f"the settings have for that prompt{whole}"
        )
    if scores.samples and (short := _fewer_words(scores)):
        most = max(short.values())
        yield note(f"{counted(most, 'group')} with fewer words than nine tenths of the settings have for that prompt: left out of {', '.join(short)}")
    uncompared = ", ".join(metric.name for metric in scores.metrics if not scores.compared(metric))
    if uncompared and scores.prefix is None:
        yield note(
            f"in over a fifth of the settings, more than a tenth of the answers are shorter than {PREFIXES[0]} words: {uncompared} depend on "
            "length, and are shown on whole answers, not to be compared where lengths differ"
        )
    elif uncompared and scores.prefix is not None:
        yield note(
            f"the {scores.prefix.tokens} tokens that the answers of all settings have are too few for {uncompared}, which are shown on whole "
            "answers, not to be compared where lengths differ"
        )
    if scores.prefix is None or not any(scores.on(metric) == "prefix" for metric in scores.metrics):
        return
    if scores.prefix.left_out:
        yield note(
            f"settings {_numbers(scores.prefix.left_out)} have too few answers of {scores.prefix.tokens} tokens, on which "
            + _on_prefix(scores)
            + " are compared: they are left out of those"
        )
    biased = [cell for cell in scores.prefix.biased if cell not in scores.prefix.left_out]
    if biased:
        yield note(
            f"in settings {_numbers(biased)} markedly fewer answers reach the {scores.prefix.tokens} tokens that "
            + _on_prefix(scores)
            + " are compared on; what is left of them is a selection"
        )


def _fewer_words(scores: Scores) -> dict[str, int]:
    """For each metric of several answers that is compared on samples, the groups that have answers enough and no sample as large."""
    enough = np.array(scores.ks)[None, :] > 0
    found = {}
    for metric in scores.metrics:
        if metric.level == "group" and scores.on(metric) == "sample":
            its = scores.by_metric[metric.name]
            count = int((np.isnan(its.value) & ~np.isnan(its.value_full) & enough).sum())
            if count:
                found[metric.name] = count
    return found


def _on_prefix(scores: Scores) -> str:
    return ", ".join(metric.name for metric in scores.metrics if scores.on(metric) == "prefix")


def _numbers(cells: Sequence[int]) -> str:
    return ", ".join(map(str, cells[:10])) + (f" and {len(cells) - 10} more" if len(cells) > 10 else "")


def _write_derived(folder: Path, scores: Scores, analysis: Analysis) -> None:
    temporary = f".{os.getpid()}.tmp"
    try:
        write_tables(folder, scores, temporary)
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").replace(folder / name)
    finally:
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").unlink(missing_ok=True)
    replace(folder / ANALYSIS, artefacts.encode(analysis))
    replace(folder / SUMMARY, summary_csv(analysis).encode("utf-8"))


def _write_choice(run: Run) -> None:
    """``choice.json``, and ``recommended.yaml`` where something is recommended; what an earlier choice left behind is taken away."""
    folder, choice = run.folder, run.choice
    (folder / RECOMMENDED).unlink(missing_ok=True)
    if choice is None:
        (folder / CHOICE).unlink(missing_ok=True)
        return
    replace(folder / CHOICE, artefacts.encode(choice))
    if choice.chosen is not None:
        replace(folder / RECOMMENDED, recommended_yaml(choice.parameters, comments(summarise(run), run.analysis.digest)).encode("utf-8"))
