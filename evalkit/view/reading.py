"""Answers to any prompt in any settings side by side, as many as there are, read from the records when they are asked for; and search over all."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from evalkit.view.pages import page

if TYPE_CHECKING:
    from evalkit.present.text.reading import Read
    from evalkit.store.records import Record
    from evalkit.view.opened import Opened
    from evalkit.view.viewer import Viewer

MOST_COLUMNS = 4
_LONGEST = 20_000
_MOST_HITS = 60
_AROUND = 90
_MOST_MARKS = 500
_MOST_COMPARED = 6_000
"""Words and signs of a text that differences are looked for in."""
_MOST_SETTINGS = 400
_MOST_REPLICATES = 200
_PIECES = re.compile(r"\s+|\w+|[^\w\s]")


class Card(NamedTuple):
    """An answer as it is shown: pieces of its text each with what is marked there, and what is said above it.

    Attributes:
        place: setting and replicate, as addresses have them.
        more: characters that are not shown.
    """

    place: str
    number: int
    pieces: list[tuple[str, str]]
    said: list[tuple[str, bool]]
    failed: bool
    more: int
    reasoning: str


class Column(NamedTuple):
    """A setting and its answers; `hidden` how many follow on further pages."""

    cell: int
    name: str
    tags: list[tuple[str, str]]
    cards: list[Card]
    hidden: int


def answers(request: Request, viewer: Viewer) -> Response:
    """The page of answers."""
    from evalkit.text.escaping import visible  # late: the server stands before what pages need is read

    name, asked = request.path_params["name"], request.query_params
    opened = viewer.opened(name)
    with opened.lock:
        opened.refresh()
        prompts = opened.experiment.prompts
        prompt = _number(asked, "prompt", len(prompts), 0)
        cells = _cells(opened, asked.getlist("cell"))
        find = asked.get("find", "")[:200]
        count, hits = opened.holding(find, _MOST_HITS) if find.strip() else (0, [])
        first, second = (_place(opened, asked.get(end, "")) for end in ("a", "b"))
        whole = asked.get("whole", "")
        since = _number(asked, "from", opened.experiment.replicates, 0)
        return page(
            "answers.html.j2",
            name=name,
            tabs=viewer.tabs(name),
            here="answers",
            prompts=[visible(one.id) for one in prompts],
            prompt=prompt,
            conversation=[(visible(str(one.get("role"))), content_of(one)) for one in prompts[prompt].conversation()],
            columns=[_column(opened, prompt, cell, find, whole, since) for cell in cells],
            settings=[visible(opened.name_of(cell)) for cell in range(len(opened.plan.cells))] if len(opened.plan.cells) <= _MOST_SETTINGS else None,
            cells=cells,
            count=len(opened.plan.cells),
            most=MOST_COLUMNS,
            find=find,
            held=count,
            hits=[_hit(opened, place, text, find) for place, text in hits],
            first=None if first is None else f"{first[0]}.{first[1]}",
            difference=None if first is None or second is None else _difference(opened, prompt, first, second),
            unread=opened.unread,
            since=since,
            following=since + _MOST_REPLICATES,
        )


def _number(asked: Mapping[str, str], name: str, below: int, usual: int) -> int:
    """A whole number of the address; `usual` where none stands there, or one out of its range."""
    said = asked.get(name, "")
    return int(said) if said.isdecimal() and len(said) < 9 and int(said) < below else usual


def _cells(opened: Opened, said: Sequence[str]) -> list[int]:
    """The settings that the address names; where none, the recommended one and the reference."""
    below = len(opened.plan.cells)
    wanted = [int(one) for one in said if one.isdecimal() and len(one) < 9 and int(one) < below]
    if not wanted:
        run = opened.run
        first = [] if run is None else [None if run.choice is None else run.choice.chosen, run.analysis.reference]
        usual = [one for one in first if one is not None]
        wanted = [one for one in (*usual, below - 1, 0) if one < below][:2]
    return list(dict.fromkeys(wanted))[:MOST_COLUMNS]


def _place(opened: Opened, said: str) -> tuple[int, int] | None:
    """Setting and replicate that ``5.0`` names; None where it names none."""
    found = re.fullmatch(r"(\d{1,8})\.(\d{1,8})", said)
    if found is None:
        return None
    cell, replicate = int(found[1]), int(found[2])
    return (cell, replicate) if cell < len(opened.plan.cells) and replicate < opened.experiment.replicates else None


def content_of(message: Any) -> str:
    """A message of a prompt as it is shown."""
    from evalkit.experiment.prompts import text_of  # late, as above
    from evalkit.text.escaping import visible  # as above

    calls = message.get("tool_calls")
    return visible((text_of(message.get("content")) + (f"\n{json.dumps(calls, ensure_ascii=False)}" if calls else ""))[:_LONGEST])


def _column(opened: Opened, prompt: int, cell: int, find: str, whole: str, since: int) -> Column:
    from evalkit.present.text.reading import read_text, repeats  # late, as above
    from evalkit.text.escaping import visible  # as above

    every = sorted(opened.answers(prompt, cell).items())
    records = [record for _, record in every[since : since + _MOST_REPLICATES]]
    texts = [opened.text(record) for record in records]
    read = [
        None if text is None else read_text(text, None if whole == f"{cell}.{record.replicate}" else _LONGEST)
        for text, record in zip(texts, records, strict=True)
    ]
    cards = []
    for record, text, one, like in zip(records, texts, read, repeats(read), strict=True):
        told = None if like is None else (records[like[0]].replicate, like[1])
        cards.append(_card(record, cell, 0 if text is None else len(text), one, told, find))
    return Column(cell, visible(opened.name_of(cell)), _tags(opened, cell), cards, max(0, len(every) - since - _MOST_REPLICATES))


def _tags(opened: Opened, cell: int) -> list[tuple[str, str]]:
    run = opened.run
    if run is None:
        return []
    out = [("chosen", "recommended")] if run.choice is not None and run.choice.chosen == cell else []
    if run.choice is not None and cell in run.choice.tied and not out:
        out.append(("tied", "tied"))
    return [*out, ("reference", "reference")] if run.analysis.reference == cell else out


def _card(record: Record, cell: int, length: int, read: Read | None, like: tuple[int, float] | None, find: str) -> Card:
    from evalkit.client.outcome import ending  # late, as above
    from evalkit.store.records import Completion, Failure  # as above
    from evalkit.text.escaping import visible  # as above

    place = f"{cell}.{record.replicate}"
    outcome = record.outcome
    if not isinstance(outcome, Completion) or read is None:
        words = visible(outcome.message[:2000]) if isinstance(outcome, Failure) else ""
        kind = outcome.kind if isinstance(outcome, Failure) else ""
        return Card(place, record.replicate + 1, [("", words)], [(f"failed: {kind}", True)], True, 0, "")
    said: list[tuple[str, bool]] = []
    usage = outcome.usage if outcome.usage_shared_by == 1 else None
    if usage is not None and usage.completion_tokens is not None:
        said.append((f"{usage.completion_tokens:,} tokens", False))
    cut = ending(outcome, record.request) == "cut"
    said.append(("cut off by max_tokens" if cut else f"ended by {visible(outcome.finish_reason or 'nothing said')[:100]}", cut))
    if like is not None:
        said.append((f"the same as #{like[0] + 1}" if like[1] == 1 else f"near-duplicate of #{like[0] + 1} ({like[1]})", True))
    if any(span.kind == "loop" for span in read.spans):
        said.append(("ends in a loop", True))
    reasoning = visible((outcome.reasoning or "")[:_LONGEST])
    return Card(place, record.replicate + 1, list(pieces(read, find)), said, False, max(0, length - len(read.text)), reasoning)


def pieces(read: Read, find: str = "") -> Iterator[tuple[str, str]]:
    """A text cut where what is marked in it changes: each piece with its marks, like ``loop hit``."""
    edges = [(span.begin, span.end, span.kind) for span in read.spans]
    wanted, low = find.casefold(), read.text.casefold()
    if wanted.strip() and len(low) == len(read.text):
        at = low.find(wanted)
        while at >= 0 and len(edges) < _MOST_MARKS:
            edges.append((at, at + len(wanted), "hit"))  # type: ignore[arg-type]
            at = low.find(wanted, at + len(wanted))
    cuts = sorted({0, len(read.text), *(end for begin, stop, _ in edges for end in (begin, stop))})
    for begin, end in pairwise(cuts):
        kinds = dict.fromkeys(kind for start, stop, kind in edges if start <= begin and stop >= end)
        yield " ".join(kinds), read.text[begin:end]


def _hit(opened: Opened, place: Any, text: str, find: str) -> dict[str, Any]:
    from evalkit.text.escaping import visible  # late, as above

    at = text.casefold().find(find.casefold())
    begin, end = max(0, at - _AROUND), at + len(find) + _AROUND
    before, held, after = text[begin:at], text[at : at + len(find)], text[at + len(find) : end]
    return {
        "prompt": place.prompt,
        "cell": place.cell,
        "number": place.replicate + 1,
        "where": visible(f"{opened.experiment.prompts[place.prompt].id}, {opened.name_of(place.cell)}"),
        "before": ("… " if begin else "") + visible(before),
        "held": visible(held),
        "after": visible(after) + (" …" if end < len(text) else ""),
    }


def _difference(opened: Opened, prompt: int, first: tuple[int, int], second: tuple[int, int]) -> dict[str, Any] | None:
    from evalkit.plan.places import Place  # late, as above
    from evalkit.text.escaping import visible  # as above

    texts, names = [], []
    for cell, replicate in (first, second):
        record = opened.record(opened.key(Place(cell, prompt, replicate))) if opened.plan.has(cell, prompt) else None
        text = None if record is None else opened.text(record)
        if text is None:
            return None
        texts.append(visible(unicodedata.normalize("NFC", text[:_LONGEST])))
        names.append(visible(f"{opened.name_of(cell)}, #{replicate + 1}"))
    left, right, alike = differences(*texts)
    return {"sides": list(zip(names, (left, right), strict=True)), "alike": f"{alike:.0%}"}


def differences(one: str, other: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]], float]:
    """Both texts in pieces, each with ``del`` or ``ins`` where the other has it not; and how much of their words they have in common, 0 to 1."""
    from rapidfuzz.distance import Indel

    parts = [_PIECES.findall(text)[:_MOST_COMPARED] for text in (one, other)]
    left: list[tuple[str, str]] = []
    right: list[tuple[str, str]] = []
    for step in Indel.opcodes(*parts):
        gone, new = "".join(parts[0][step.src_start : step.src_end]), "".join(parts[1][step.dest_start : step.dest_end])
        if gone:
            left.append(("del" if step.tag != "equal" else "", gone))
        if new:
            right.append(("ins" if step.tag != "equal" else "", new))
    words = [[piece for piece in part if not piece.isspace()] for part in parts]
    return _closed(left), _closed(right), Indel.normalized_similarity(*words)


def _closed(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same with the blanks between two pieces that differ counted to them, so that a phrase is marked as one."""
    out: list[tuple[str, str]] = []
    for at, (kind, piece) in enumerate(found):
        between = not kind and piece.isspace() and 0 < at < len(found) - 1 and found[at - 1][0] and found[at + 1][0]
        marked = found[at - 1][0] if between else kind
        if out and out[-1][0] == marked:
            out[-1] = (marked, out[-1][1] + piece)
        else:
            out.append((marked, piece))
    return out
