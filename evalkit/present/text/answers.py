"""The answers to a prompt in some settings, read back from the records, with what must be known of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.client.outcome import ending
from evalkit.errors import RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.problems import unknown
from evalkit.experiment.prompts import text_of
from evalkit.plan.cells import cell_named
from evalkit.plan.requests import Plan
from evalkit.present.text.decision import cell_in_words
from evalkit.present.text.reading import Read, read_text, repeats
from evalkit.run import Run
from evalkit.scoring.gather import text_scored
from evalkit.store.records import Completion, Failure, Record, latest, read


class ShownAnswer(NamedTuple):
    """An answer as it is shown: its text, what is said of it above, and whether that is a warning."""

    read: Read
    said: tuple[tuple[str, bool], ...]


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
    texts = [read_text(text_scored(one.outcome, one, experiment)) if isinstance(one.outcome, Completion) else None for one in records]
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
