"""Asks judges for the judgements that a run lacks, and records each reply the moment it exists."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.client.outcome import ending, limit_of
from evalkit.collect.budget import Besides, Spent
from evalkit.collect.calls import Call
from evalkit.collect.session import Terms, asked
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.judges import Judge, messages, read_reply, reminded
from evalkit.plan.requests import Plan
from evalkit.scoring.gather import Column, scored_text, texts_of
from evalkit.store.journal import Journal
from evalkit.store.judgements import FILE, FORM, Judgement, Judgements, Keys, load
from evalkit.store.records import Completion, Outcome, Record, moment
from evalkit.text.notes import note, warning

if TYPE_CHECKING:
    from evalkit.client.client import Client
    from evalkit.client.reply import Reply

_KEPT = 500


def judge(folder: Path, plan: Plan, judges: Sequence[Judge], terms: Terms, earlier: tuple[Spent, ...] = ()) -> list[Besides]:
    """Ask each judge about the answers in `folder` that it has not judged, the same text to a prompt once; tells how many have no score.

    Args:
        plan: the answers that it asks for are judged, and fresh replicates.
        earlier: what was spent before, of the same budget.

    Raises:
        RecordError: the records cannot be read, or the judgements cannot be written.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    if not judges:
        return []
    found = load(folder)
    works = [_Work(folder, plan, one, found) for one in judges]
    for record, text in texts_of(folder, plan, frozenset(request.key for request in plan)):
        for work in works:
            work.take(record, text)
    out: list[Besides] = []
    for work in works:
        spent = Spent(work.judge.endpoint.prices, earlier=(*earlier, *(other.spent for other in out)))
        stopped = work.ask(terms, spent, first=True) or work.ask(terms, spent, first=False)
        if stopped:
            terms.tell(warning(f"judge {work.judge.name} stopped: {stopped}; run again to go on"))
        if told := work.unscored():
            terms.tell(warning(told))
        out.append(Besides(f"judge {work.judge.name}", spent))
    return out


def unjudged(folder: Path, plan: Plan, judges: Sequence[Judge]) -> list[int]:
    """How many different answers in `folder` each judge is still to be asked about. Raises `RecordError`."""
    found = load(folder)
    works = [_Work(folder, plan, one, found) for one in judges]
    for record, text in texts_of(folder, plan, frozenset(request.key for request in plan)) if judges else ():
        for work in works:
            work.take(record, text)
    return [len(work.lacking(first=True, retry_failed=False)) for work in works]


class _Answer(NamedTuple):
    """An answer without a score: where it stands, and what it says."""

    record: str
    prompt_id: str
    text: str


class _Work:
    """One judge's work on one folder: each answer that is to have a score is taken once, and its text kept only as long as it has none."""

    def __init__(self, folder: Path, plan: Plan, judge: Judge, found: Judgements) -> None:
        self.judge = judge
        self._folder, self._found = folder, found
        self._keys = Keys(judge, plan.experiment)
        self._counts: Counter[str] = Counter()
        self._answers: dict[str, _Answer] = {}

    def take(self, record: Record, text: str) -> None:
        """Note an answer that is to have a score."""
        key = self._keys.of(record.prompt_id, text)
        if key is None:
            return
        self._counts[key] += 1
        if key not in self._found.scores and key not in self._answers:
            self._answers[key] = _Answer(record.key, record.prompt_id, text)

    def lacking(self, *, first: bool, retry_failed: bool) -> list[tuple[str, int]]:
        """Keys and attempts that are to be asked for: all there are the `first` time, and then the reminders that have come to be needed."""
        attempts = ((key, self._found.wants(key, retry_failed and first)) for key in self._answers)
        return [(key, attempt) for key, attempt in attempts if attempt and (first or attempt > 1)]

    def ask(self, terms: Terms, spent: Spent, *, first: bool) -> str | None:
        """Make the calls; the reason where it stopped before all were made."""
        lacking = self.lacking(first=first, retry_failed=terms.retry_failed)  # listed before any is sent: what arrives meanwhile changes it
        if not lacking:
            return None
        again = "" if first else " once more, whose first judgement could not be read"
        terms.tell(note(f"judge {self.judge.name}: {len(lacking):,} answers to judge{again}"))
        with Journal(self._folder / FILE, FORM) as journal:
            if journal.mended:
                terms.tell(note(journal.mended))

            def append(judgement: Judgement) -> None:
                journal.append(judgement)
                self._found.add(judgement)

            calls = (self._call(key, attempt, append) for key, attempt in lacking)
            return asked(self.judge.endpoint, calls, len(lacking), terms, spent, journal.sync)

    def _call(self, key: str, attempt: int, append: Callable[[Judgement], None]) -> Call:
        answer = self._answers[key]
        sent = messages(self.judge, self._keys.cases[answer.prompt_id], answer.text, key)
        if attempt > 1:
            unread = self._found.unread[key]
            sent = reminded(self.judge, sent, unread.reply, unread.unreadable)
        body = self.judge.body()

        def send(client: Client, _: int) -> Awaitable[Reply]:
            return client.call(body, sent)

        def keep(outcome: Outcome, _: int) -> None:
            append(self._read(key, answer, attempt, outcome, body))

        return Call(key, send, keep, size=len(str(sent)) / 4)

    def _read(self, key: str, answer: _Answer, attempt: int, outcome: Outcome, body: Mapping[str, Any]) -> Judgement:
        about: dict[str, Any] = {
            "key": key,
            "judge": self.judge.name,
            "prompt_id": answer.prompt_id,
            "record": answer.record,
            "attempt": attempt,
            "at": moment(),
            "latency_s": outcome.latency_s,
        }
        if not isinstance(outcome, Completion):
            return Judgement(**about, failure=outcome)
        about |= {"model": outcome.model, "usage": outcome.usage}
        reply = scored_text(outcome, self.judge.endpoint.strip)
        try:
            score, reason = read_reply(reply, self.judge.scale)
        except ValueError as fault:
            cut = ending(outcome, body) == "cut"
            why = f"{fault}, and was cut off: set request: {{max_tokens: …}} of this judge above {limit_of(body)}" if cut else str(fault)
            return Judgement(**about, unreadable=why, reply=reply[:_KEPT])
        return Judgement(**about, score=score, reason=reason)

    def unscored(self) -> str:
        """How many answers have no score, and why; empty where all have one."""
        why: Counter[str] = Counter()
        for key, count in self._counts.items():
            if key not in self._found.scores:
                failure, unread = self._found.failed.get(key), self._found.unread.get(key)
                why[failure.kind if failure else f"no reply that can be read ({unread.unreadable})" if unread else "not asked"] += count
        if not why:
            return ""
        reasons = ", ".join(f"{count} {kind}" for kind, count in why.most_common(5))
        return f"judge {self.judge.name}: {why.total():,} of {self._counts.total():,} answers have no score, and are left out of it: {reasons}"


def columns(judges: Sequence[Judge], experiment: Experiment, found: Judgements) -> tuple[Column, ...]:
    """The judges' scores as columns of answers, NaN where an answer has none."""
    return tuple(_column(judge, Keys(judge, experiment), found) for judge in judges)


def _column(judge: Judge, keys: Keys, found: Judgements) -> Column:
    def of(record: Record, text: str) -> float:
        key = keys.of(record.prompt_id, text)
        return float(found.scores.get(key, math.nan)) if key is not None else math.nan

    return Column(judge.metric(), of)
