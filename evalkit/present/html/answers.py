"""The answers that a page lets people read: which of them, and what in them comes again."""

from __future__ import annotations

from typing import Any, NamedTuple

from evalkit.client.outcome import ending
from evalkit.plan.requests import Plan
from evalkit.present.text.reading import Read, in_units, read_text, repeats
from evalkit.run import Run
from evalkit.scoring.gather import text_scored
from evalkit.store.records import Completion, Failure, Record, latest, read
from evalkit.text.escaping import visible

MOST_ANSWERS = 10_000
MOST_CHARACTERS = 6_000_000
"""Of all answers together; with it a page stays at about 8 MB, whatever signs they are written in."""
LONGEST = 20_000


class Sample(NamedTuple):
    """Answers of a run, by cell and prompt, each as the page's script takes it; and what was left out, in words."""

    answers: dict[int, dict[int, list[dict[str, Any]]]]
    shown: int
    told: str


class _Extent(NamedTuple):
    """How much is shown: of which prompts, how many answers each, how much of one."""

    prompts: frozenset[int]
    replicates: int
    characters: int


def sample(run: Run) -> Sample:
    """The answers of `run` to be shown: all, or where they are many the first replicates of prompts spread evenly, whole cells always.

    Raises:
        RecordError: the records cannot be read.
    """
    plan = Plan(run.experiment)
    chosen = _chosen(len(plan.cells), len(run.experiment.prompts), run.experiment.replicates)
    places = {
        request.key: (request.cell_index, request.prompt_index, request.replicate)
        for request in plan
        if request.prompt_index in chosen.prompts and request.replicate < chosen.replicates
    }
    groups: dict[tuple[int, int], dict[int, Record]] = {}
    for key, record in latest(read(run.folder), places).items():
        cell, prompt, replicate = places[key]
        groups.setdefault((cell, prompt), {})[replicate] = record
    out: dict[int, dict[int, list[dict[str, Any]]]] = {}
    cut = 0
    known: dict[str, Read] = {}
    for cell, prompt in sorted(groups):
        rows = _rows(groups.pop((cell, prompt)), run, chosen.characters, known)
        cut += sum("more" in row for row in rows)
        out.setdefault(cell, {})[prompt] = rows
    return Sample(out, len(places), _told(run, chosen, cut))


def _chosen(cells: int, prompts: int, replicates: int) -> _Extent:
    most_prompts = max(1, min(prompts, MOST_ANSWERS // max(1, cells * min(replicates, 4))))
    few = min(replicates, max(1, MOST_ANSWERS // max(1, cells * most_prompts)))
    picked = frozenset(round(at * (prompts - 1) / max(1, most_prompts - 1)) for at in range(most_prompts))
    answers = cells * len(picked) * few
    return _Extent(picked, few, max(200, min(LONGEST, MOST_CHARACTERS // max(1, answers))))


def _told(run: Run, chosen: _Extent, cut: int) -> str:
    parts = []
    prompts, replicates = len(run.experiment.prompts), run.experiment.replicates
    if len(chosen.prompts) < prompts:
        parts.append(f"answers to {len(chosen.prompts)} of {prompts} prompts, spread evenly")
    if chosen.replicates < replicates:
        parts.append(f"the first {chosen.replicates} of {replicates} answers to each")
    if cut:
        parts.append(f"{cut} long answers up to their first {chosen.characters:,} characters")
    return f"Shown here: {'; '.join(parts)}. All are in responses.jsonl." if parts else ""


def _rows(group: dict[int, Record], run: Run, most: int, known: dict[str, Read]) -> list[dict[str, Any]]:
    """The answers of a group as the page's script takes them, by replicate; `known` holds texts that were read already."""
    records = [record for _, record in sorted(group.items())]
    texts = [_read(record, run) for record in records]
    cut = [None if text is None else known.get(text) or known.setdefault(text, read_text(text, most)) for text in texts]
    rows = []
    for record, text, one, like in zip(records, texts, cut, repeats(cut), strict=True):
        row: dict[str, Any] = {"r": record.replicate}
        if not isinstance(record.outcome, Completion) or one is None or text is None:
            if isinstance(record.outcome, Failure):
                row |= {"failed": record.outcome.kind, "text": visible(record.outcome.message[:2000])[: min(2000, most)]}
            rows.append(row)
            continue
        row |= {"text": one.text, "finish": visible(record.outcome.finish_reason or "not said")[:200]}
        usage = record.outcome.usage if record.outcome.usage_shared_by == 1 else None
        more = len(text) - most
        for name, value in {
            "spans": in_units(one.text, one.spans),
            "tokens": usage.completion_tokens if usage else None,
            "more": more if more > 0 else None,
            "cut": ending(record.outcome, record.request) == "cut" or None,
            "reasoning": visible((record.outcome.reasoning or "")[: most // 2])[: most // 2],
            "like": None if like is None else [records[like[0]].replicate, like[1]],
        }.items():
            if value not in (None, "", []):
                row[name] = value
        rows.append(row)
    return rows


def _read(record: Record, run: Run) -> str | None:
    return text_scored(record.outcome, record, run.experiment) if isinstance(record.outcome, Completion) else None
