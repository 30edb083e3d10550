"""A summary made of a run."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from evalkit.analysis.analysis import Analysis
from evalkit.analysis.control import LIMITS
from evalkit.analysis.sentences import in_words
from evalkit.choice import Choice, unproved_in_words
from evalkit.collect.budget import Spent, total_cost
from evalkit.experiment.several import endpoint_name
from evalkit.metrics import CATALOGUE, label_of
from evalkit.run import Run
from evalkit.stats.conventions import FEW_PROMPTS
from evalkit.store.mirror import name_of
from evalkit.store.records import NOT_SENT_AGAIN
from evalkit.summary.deciding import deciding
from evalkit.summary.purpose import purpose
from evalkit.summary.racing import race_of, said_of_race, said_of_replay
from evalkit.summary.rows import rows, unmet
from evalkit.summary.sentences import matters, sure, swept
from evalkit.summary.summary import Mind, Next, Outcome, Setting, Spending, Summary
from evalkit.text.notes import Level
from evalkit.text.numbers import counted

_FRESH = 8
_GRAVE: tuple[Level, ...] = ("interrupted", "stopped", "warning", "note")


def summarise(run: Run, experiment: str = "EXPERIMENT") -> Summary:
    """What the run comes to; `experiment` is the file that it was swept from, for the commands that come next."""
    choice, analysis = run.choice, run.analysis
    counts = analysis.counts
    chosen = choice.chosen if choice is not None else None
    nearest = choice.nearest if choice is not None else None
    calls = [] if run.sent is None else [(name, one.spent) for name, one in (run.sent.parts or {"sweep": run.sent}).items() if one.spent.requests]
    calls += [(one.name, one.spent) for one in run.beside if one.spent.requests]
    shown = next(one for one in (chosen, nearest, analysis.reference) if one is not None)
    found = rows(run, choice, shown) if counts.completions else []
    return Summary(
        name=analysis.name,
        outcome=_outcome(run),
        model=run.experiment.models,
        base_url=run.experiment.addresses,
        settings=counts.cells,
        prompts=counts.prompts,
        replicates=counts.replicates,
        answers=counts.completions,
        planned=counts.planned,
        failed=dict(counts.failures),
        sent=None if run.sent is None else run.sent.done if run.sent.planned else 0,
        took_s=None if run.sent is None else run.sent.took_s,
        spent=[_spending(name, spent) for name, spent in calls],
        cost=total_cost([spent for _, spent in calls]) if calls else None,
        purpose=purpose(choice, run.experiment.choose),
        use=None if chosen is None else setting(analysis, chosen),
        nearest=None if nearest is None else setting(analysis, nearest),
        where=_where(run, chosen),
        reference=setting(analysis, analysis.reference),
        reference_by="named under reference:" if run.experiment.reference else "nearest to the defaults",
        rows=found,
        unmet=unmet(choice, run) if choice is not None and not choice.satisfying else [],
        sure=sure(choice, analysis, found) if choice is not None else [],
        matters=matters(analysis, deciding(choice)),
        mind=mind(run),
        next=list(_next(run, experiment)),
        parameters=dict(choice.parameters) if choice is not None else {},
        race=race_of(analysis),
        raced=said_of_race(analysis, choice) if counts.completions else [],
        replayed=said_of_replay(analysis),
    )


def setting(analysis: Analysis, index: int) -> Setting:
    """A cell of the analysis as people name it."""
    values = swept(analysis, index)
    name = analysis.name_of(index)
    levels = in_words(values)
    return Setting(cell_index=index, name=name, values=values, in_words=levels if name is None else f"{name} ({levels})")


def _where(run: Run, cell: int | None) -> str | None:
    """Which of several endpoints a setting was asked of, its model and its address."""
    if cell is None or len(run.experiment.asked) == 1:
        return None
    endpoint = run.experiment.endpoint_of(run.analysis.cells[cell])
    return f"{endpoint_name(endpoint)}: {endpoint.model} at {endpoint.base_url}"


def _outcome(run: Run) -> Outcome:
    choice = run.choice
    if not run.analysis.counts.completions:
        return "no answers"
    if choice is None:
        return "not asked"
    if choice.chosen is not None:
        return "chosen"
    return "undecided" if choice.satisfying else "none satisfies"


def _spending(name: str, spent: Spent) -> Spending:
    return Spending(
        name=name,
        calls=spent.requests,
        tokens_in=spent.tokens_in,
        tokens_out=spent.tokens_out,
        uncounted=spent.uncounted,
        cost=spent.cost,
        currency=None if spent.prices is None else spent.prices.currency,
    )


def mind(run: Run) -> list[Mind]:
    """All that bears on the decision, each once, the gravest first."""
    found = list(dict.fromkeys(_minded(run)))
    return [Mind(level=level, text=text) for level, text in sorted(found, key=lambda one: _GRAVE.index(one[0]))]


def _minded(run: Run) -> Iterator[tuple[Level, str]]:
    counts, choice, analysis = run.analysis.counts, run.choice, run.analysis
    failed = sum(counts.failures.values())
    if failed:
        kinds = ", ".join(f"{kind}: {number:,}" for kind, number in sorted(counts.failures.items()))
        refused = "; what the endpoint refused only with --retry-failed" if NOT_SENT_AGAIN & counts.failures.keys() else ""
        yield "warning", f"{counted(failed, 'request')} failed ({kinds}); run the sweep again to retry them{refused}"
    if counts.missing:
        yield (
            "warning",
            f"{counted(counts.missing, 'planned request')} {'has' if counts.missing == 1 else 'have'} no outcome yet; run the sweep again",
        )
    for text in choice.notes if choice is not None else ():
        yield "warning", text
    if choice is not None and choice.unproved:
        yield "note", "Not ruled out: " + "; ".join(f"{label_of(one.metric)} ({unproved_in_words(one)})" for one in choice.unproved)
    for note in (*analysis.notes, *run.notes):
        if note.level != "note":
            yield note.level, note.text
    for one in analysis.controls:
        if one.failed:
            yield (
                "warning",
                f"{one.parameter} moves how answers begin, where a limit that only cuts them off cannot act: do not compare across it",
            )
    if counts.prompts < FEW_PROMPTS:
        few = "1 prompt is few" if counts.prompts == 1 else f"{counts.prompts} prompts are few"
        yield "note", f"{few}: intervals are wide, and other prompts may say otherwise"
    if run.experiment.embedded:
        yield "warning", "The embedded model babbles: a real one may prefer other settings"
    if choice is not None and choice.chosen is not None and not _judges_content(choice):
        yield "note", "Only form was judged, not what is right: add checks or judges"


def _judges_content(choice: Choice) -> bool:
    """Whether anything that says what a good answer is had a part in the choice."""
    return any(name not in CATALOGUE for name in deciding(choice))


def _next(run: Run, experiment: str) -> Iterator[Next]:
    folder = shlex.quote(name_of(run.folder))
    choice = run.choice
    if not run.complete:
        yield Next(command=f"evalkit sweep {experiment}", what="send what has no answer yet")
    if not run.analysis.counts.completions:
        return
    if choice is None:
        yield Next(command="choose: {profile: balanced}", what="in the experiment, then sweep again: have a setting chosen")
    elif not choice.satisfying:
        if any(one.metric == "truncation_rate" and one.excludes == run.analysis.counts.cells for one in choice.constraints):
            swept_too = any(name in LIMITS for name in run.analysis.parameters)
            yield Next(command=f"{'add a higher level of' if swept_too else 'raise'} max_tokens", what="every setting cuts too many answers off")
        else:
            yield Next(command="loosen a bound, or sweep other levels", what="then sweep again")
        if run.analysis.counts.prompts < FEW_PROMPTS:
            yield Next(command="add prompts, ten or more in all", what="only what is new is sent")
    elif run.analysis.counts.prompts < FEW_PROMPTS:
        yield Next(command="add prompts, ten or more in all", what="then sweep again: only what is new is sent")
    yield Next(command=f"evalkit report {folder}", what="answers side by side, one page")
    yield Next(command=f"evalkit show {folder} settings", what="every setting; or effects, answers, notes")
    fresh = run.analysis.counts.k or _FRESH
    if choice is not None and choice.chosen is not None and not choice.confirmed and run.analysis.counts.prompts >= FEW_PROMPTS:
        yield Next(command=f"evalkit sweep {experiment} --confirm {fresh}", what="it again on fresh answers, for a winner's own flatter it")
