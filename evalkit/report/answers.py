"""The answers that a page lets people read: which of them, and what in them comes again."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from evalkit.escaping import visible
from evalkit.grouping import scored_text
from evalkit.loaded import Run
from evalkit.metrics.loops import loop
from evalkit.metrics.tokens import words
from evalkit.plan import Plan
from evalkit.records import Completion, Record, read

MOST_ANSWERS = 10_000
MOST_CHARACTERS = 9_000_000
"""Of all answers together; with it a page stays below 25 MB, whatever signs they are written in."""
LONGEST = 20_000
NEAR = 0.8
"""ROUGE-L between two answers from which they count as near-duplicates."""

_SLOW_PAIRS = 3_000  # tokens of an answer beyond which it is compared letter by letter only


class Sample(NamedTuple):
    """Answers of a run, by cell and prompt, each as the page's script takes it; and what was left out, in words."""

    answers: dict[int, dict[int, list[dict[str, Any]]]]
    shown: int
    told: str


class _Choice(NamedTuple):
    """Which answers are shown."""

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
    for record in read(run.folder):
        place = places.get(record.key)
        if place is None or record.role != "sweep":
            continue
        there = groups.setdefault(place[:2], {})
        before = there.get(place[2])
        if before is None or not isinstance(before.outcome, Completion):
            there[place[2]] = record
    out: dict[int, dict[int, list[dict[str, Any]]]] = {}
    cut = 0
    for cell, prompt in sorted(groups):
        rows = [_shown(replicate, record, run, chosen.characters) for replicate, record in sorted(groups.pop((cell, prompt)).items())]
        cut += sum("more" in row for row in rows)
        _mark_duplicates(rows)
        for row in rows:
            row.pop("ids", None)
        out.setdefault(cell, {})[prompt] = rows
    return Sample(out, len(places), _told(run, chosen, cut))


def _chosen(cells: int, prompts: int, replicates: int) -> _Choice:
    most_prompts = max(1, min(prompts, MOST_ANSWERS // max(1, cells * min(replicates, 4))))
    few = min(replicates, max(1, MOST_ANSWERS // max(1, cells * most_prompts)))
    picked = frozenset(round(at * (prompts - 1) / max(1, most_prompts - 1)) for at in range(most_prompts))
    answers = cells * len(picked) * few
    return _Choice(picked, few, max(200, min(LONGEST, MOST_CHARACTERS // max(1, answers))))


def _told(run: Run, chosen: _Choice, cut: int) -> str:
    parts = []
    prompts, replicates = len(run.experiment.prompts), run.experiment.replicates
    if len(chosen.prompts) < prompts:
        parts.append(f"answers to {len(chosen.prompts)} of {prompts} prompts, spread evenly")
    if chosen.replicates < replicates:
        parts.append(f"the first {chosen.replicates} of {replicates} answers to each")
    if cut:
        parts.append(f"{cut} long answers up to their first {chosen.characters:,} characters")
    return f"Shown here: {'; '.join(parts)}. All are in responses.jsonl." if parts else ""


def _shown(replicate: int, record: Record, run: Run, most: int) -> dict[str, Any]:
    if not isinstance(record.outcome, Completion):
        return {"r": replicate, "failed": record.outcome.kind, "text": visible(record.outcome.message[:2000])}
    whole = visible(unicodedata.normalize("NFC", scored_text(record.outcome, run.experiment.endpoint.strip)))
    text = whole[:most]
    tokens, starts = _tokens(text)
    numbers: dict[str, int] = {}
    ids = [numbers.setdefault(token, len(numbers)) for token in tokens]
    row: dict[str, Any] = {"r": replicate, "text": text, "ids": tokens, "finish": record.outcome.finish_reason or "not said"}
    if spans := _spans(text, tokens, starts, ids):
        row["spans"] = spans
    usage = record.outcome.usage if record.outcome.usage_shared_by == 1 else None
    if usage is not None and usage.completion_tokens is not None:
        row["tokens"] = usage.completion_tokens
    if len(whole) > most:
        row["more"] = len(whole) - most
    if record.outcome.reasoning:
        row["reasoning"] = visible(record.outcome.reasoning[: most // 2])
    return row


def _tokens(text: str) -> tuple[list[str], list[int]]:
    """The words of `text`, and where each begins."""
    tokens = words(text)
    starts, at = [], 0
    for token in tokens:
        at = text.index(token, at)
        starts.append(at)
        at += len(token)
    return tokens, starts


def _spans(text: str, tokens: Sequence[str], starts: Sequence[int], ids: list[int]) -> list[list[Any]]:
    """What comes again: ``[begin, end, kind]`` in UTF-16 units, as scripts count; kind ``loop``, or ``again`` for four words or more."""
    marks = [""] * len(tokens)
    seen: set[tuple[int, ...]] = set()
    for at in range(len(ids) - 3):
        gram = tuple(ids[at : at + 4])
        if gram in seen:
            marks[at : at + 4] = ["again"] * 4
        seen.add(gram)
    end = loop(ids)
    if end.tokens:
        marks[end.start + end.period :] = ["loop"] * (end.tokens - end.period)
    spans: list[list[Any]] = []
    for at, kind in enumerate(marks):
        if not kind:
            continue
        stop = starts[at] + len(tokens[at])
        if spans and at and marks[at - 1] == kind:
            spans[-1][1] = stop
        else:
            spans.append([starts[at], stop, kind])
    if spans and not text.isascii() and max(text) > "\uffff":
        units = [0]
        for char in text:
            units.append(units[-1] + (2 if char > "\uffff" else 1))
        spans = [[units[begin], units[stop], kind] for begin, stop, kind in spans]
    return spans


def _mark_duplicates(rows: list[dict[str, Any]]) -> None:
    """Say of each answer which earlier one of its group it repeats, word by word or nearly."""
    from rapidfuzz.distance import Indel

    earlier: list[dict[str, Any]] = []
    for row in rows:
        if "failed" in row or not row["ids"]:
            continue
        same = next((one for one in earlier if one["text"] == row["text"]), None)
        if same is not None:
            row["like"] = [same["r"], 1]
        elif len(row["ids"]) <= _SLOW_PAIRS:
            near = _nearest(row, (one for one in earlier if len(one["ids"]) <= _SLOW_PAIRS), Indel.normalized_similarity)
            if near:
                row["like"] = near
        earlier.append(row)


def _nearest(row: dict[str, Any], earlier: Iterable[dict[str, Any]], similarity: Any) -> list[float] | None:
    found = [(similarity(row["ids"], one["ids"], score_cutoff=NEAR), -one["r"]) for one in islice(earlier, 64)]
    most, place = max(found, default=(0.0, 0))
    return [-place, round(most, 2)] if most >= NEAR else None
