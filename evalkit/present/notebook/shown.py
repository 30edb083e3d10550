"""What a notebook shows of a run, a choice, a comparison and answers; looked up by `evalkit.text.hook`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import NamedTuple

from evalkit.choice.choice import Choice, bounds_in_words
from evalkit.choice.recommendation import call_of
from evalkit.client.outcome import ending
from evalkit.comparison.comparison import Comparison, headline
from evalkit.errors import RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.problems import unknown
from evalkit.experiment.prompts import text_of
from evalkit.plan.cells import cell_named
from evalkit.plan.requests import Plan
from evalkit.present.notebook.cards import Html, ShownAnswer, box, card, columns, table
from evalkit.present.text.decision import cell_in_words
from evalkit.present.text.quantities import bound, changed, measured
from evalkit.present.text.reading import read_text, repeats
from evalkit.run import Run
from evalkit.scoring.gather import scored_text
from evalkit.store.records import Completion, Failure, Record, latest, read
from evalkit.summary import summarise
from evalkit.text.escaping import harmless

_LABEL = 24


@singledispatch
def html(value: object) -> Html:
    """The card of a run, a choice or a comparison."""
    raise TypeError(f"nothing is known of how to show a {type(value).__name__}")


@html.register
def _of_choice(choice: Choice) -> Html:
    if choice.chosen is None:
        missed = [("", f"{one.metric} {bounds_in_words(one.min, one.max)}: {one.excludes} settings miss it") for one in choice.constraints]
        return card("No recommendation", rows=missed, notes=choice.notes)
    rows = [("Keeps to", ", ".join(f"{one.metric} {bounds_in_words(one.min, one.max)}" for one in choice.constraints))] if choice.constraints else []
    rows.append(("Ranked by", ", ".join(f"{one.goal} {one.metric} ({one.say:.0%})" for one in choice.weights)))
    clear = [one for one in choice.changes if one.clear == "changed"]
    if clear:
        moves = (f"{one.metric} {one.difference:+.3g} [{one.ci_low:+.3g}, {one.ci_high:+.3g}]" for one in clear)
        rows.append(("Against the reference", ", ".join(moves)))
    rows.append(("Tied with the best", f"{len(choice.tied)} of {len(choice.satisfying)} settings that keep to the bounds"))
    name = f", {choice.chosen_name}" if isinstance(choice.chosen_name, str) else ""
    return card(f"Recommended: setting {choice.chosen}{name}", rows=rows, code=call_of(choice.parameters), notes=choice.notes)


@html.register
def _of_comparison(found: Comparison) -> Html:
    heads = ("metric", "better", "baseline", "candidate", "difference", "95 % interval", "margin", "verdict")
    rows = [
        (one.metric, one.better or "", f"{one.baseline:.3g}", f"{one.candidate:.3g}", f"{one.difference:+.3g}",
         f"[{one.ci_low:+.3g}, {one.ci_high:+.3g}]", f"{one.margin:.2g}", one.verdict if one.gated else f"({one.verdict})")
        for one in sorted(found.metrics, key=lambda one: (not one.gated, one.verdict == "equivalent"))
    ]  # fmt: skip
    title = f"{found.candidate.name} ({found.candidate.folder}) against {found.baseline.name} ({found.baseline.folder})"
    return box(title, [headline(found)], table(heads, rows), [f"• {note}" for note in found.notes])


@html.register
def _of_run(run: Run) -> Html:
    return card(*_said(run))


def words(run: Run) -> str:
    """The same of a run as text."""
    title, lines, rows, code, notes = _said(run)
    said = [title, *lines, *(f"{label:<{_LABEL}}  {words}" for label, words in rows), *code.splitlines(), *notes]
    return "\n".join(harmless(line) for line in said)


def _said(run: Run) -> tuple[str, list[str], list[tuple[str, str]], str, list[str]]:
    """What the run came to: a title, lines, labelled rows, code and notes."""
    found = summarise(run)
    lines = [f"{found.answers:,} of {found.planned:,} answers: {found.settings} settings × {found.prompts} prompts × {found.replicates}"]
    lines += [f"{sum(found.failed.values()):,} requests failed"] if found.failed else []
    rows = [("Use", found.use.in_words)] if found.use is not None else []
    rows += [("Goal", found.purpose)] if found.purpose else []
    rows += [("Nearest", found.nearest.in_words)] if found.nearest is not None else []
    rows += [(one.label, f"{bound(one)}: {one.excludes} settings miss it") for one in found.unmet]
    for row in found.rows:
        parts = [measured(row.mean, row.low, row.high, row.unit)]
        if row.reference is not None:
            parts.append(f"reference {measured(row.reference, row.reference_low, row.reference_high, row.unit)}")
        rows.append((row.label, ", ".join(filter(None, [*parts, changed(row), row.verdict]))))
    rows += [("How sure", " ".join(found.sure))] if found.sure else []
    rows += [("What matters", f"{'; '.join(found.matters)}.")] if found.matters else []
    code = call_of(found.parameters) if found.parameters else ""
    return f"{found.name} ({run.folder})", lines, rows, code, [f"• {one.text}" for one in found.mind]


def answers(run: Run, prompt: str | int, cells: Sequence[int | str], replicates: int | None) -> Html:
    """Answers to one prompt side by side, as `Run.show` takes them."""
    found = answers_of(run, prompt, cells, replicates)
    return columns(f"{run.analysis.name}, prompt {found.prompt_id}", found.prompt, found.beside)


class Asked(NamedTuple):
    """A prompt, its text, and answers to it by the setting that they are of, as it is called."""

    prompt_id: str
    prompt: str
    beside: dict[str, list[ShownAnswer]]


def answers_of(run: Run, prompt: str | int, cells: Sequence[int | str], replicates: int | None) -> Asked:
    """Answers to one prompt, as `Run.show` takes them."""
    ids = [one.id for one in run.experiment.prompts]
    at = ids.index(prompt) if isinstance(prompt, str) and prompt in ids else prompt
    if isinstance(at, str) or not 0 <= at < len(ids):
        raise RecordError(f"{run.folder}: prompt {prompt!r}: {unknown('prompt', str(prompt), ids)}, or a number below {len(ids)}")
    chosen = [_cell(run, one) for one in cells] or _usual(run)
    found = _records(run, at, chosen)
    asked = "\n".join(f"{one.get('role')}: {text_of(one.get('content'))}" for one in run.experiment.prompts[at].conversation())
    beside = {f"{cell}: {cell_in_words(run.analysis, cell)}": _answers(found.get(cell, {}), run.experiment, replicates) for cell in chosen}
    return Asked(ids[at], asked, beside)


def _cell(run: Run, cell: int | str) -> int:
    if isinstance(cell, str):
        return cell_named(Plan(run.experiment), cell)
    if not 0 <= cell < len(run.analysis.cells):
        raise RecordError(f"{run.folder}: no setting {cell}; expected numbers below {len(run.analysis.cells)}")
    return cell


def _usual(run: Run) -> list[int]:
    recommended = None if run.choice is None else run.choice.chosen
    usual = [one for one in (recommended, run.analysis.reference) if one is not None]
    return list(dict.fromkeys([*usual, len(run.analysis.cells) - 1]))[:2]


def _records(run: Run, prompt: int, cells: Sequence[int]) -> dict[int, dict[int, Record]]:
    """The last outcomes on one prompt, completions before failures, by cell and replicate."""
    places = {one.key: (one.cell_index, one.replicate) for one in Plan(run.experiment, only=tuple(sorted(set(cells)))) if one.prompt_index == prompt}
    found: dict[int, dict[int, Record]] = {}
    for key, record in latest(read(run.folder), places).items():
        cell, replicate = places[key]
        found.setdefault(cell, {})[replicate] = record
    return found


def _answers(found: Mapping[int, Record], experiment: Experiment, replicates: int | None) -> list[ShownAnswer]:
    records = [record for _, record in sorted(found.items())][:replicates]
    texts = [read_text(scored_text(one.outcome, experiment.endpoint.strip)) if isinstance(one.outcome, Completion) else None for one in records]
    out = []
    for record, text, like in zip(records, texts, repeats(texts), strict=True):
        said = [(f"#{record.replicate + 1}", False)]
        if not isinstance(record.outcome, Completion) or text is None:
            failure = record.outcome
            message = failure.message if isinstance(failure, Failure) else ""
            out.append(ShownAnswer(read_text(message), (*said, (f"failed: {getattr(failure, 'kind', '')}", True))))
            continue
        usage = record.outcome.usage if record.outcome.usage_shared_by == 1 else None
        if usage is not None and usage.completion_tokens is not None:
            said.append((f"{usage.completion_tokens} tokens", False))
        cut = ending(record.outcome, record.request) == "cut"
        said.append(("cut off by max_tokens" if cut else f"ended by {record.outcome.finish_reason or 'nothing said'}", cut))
        if like is not None:
            other = f"#{records[like[0]].replicate + 1}"
            said.append((f"the same as {other}" if like[1] == 1 else f"near-duplicate of {other} ({like[1]})", True))
        out.append(ShownAnswer(text, tuple(said)))
    return out
