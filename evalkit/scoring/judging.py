"""Asks judges for the judgements that a run lacks, and records each reply the moment it exists."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.collect.budget import Asked, Spent
from evalkit.collect.session import Terms, asked
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.judges import Judge, messages, read_reply, reminded
from evalkit.plan.requests import Plan, Request
from evalkit.scoring.gather import Column, scored_text, texts_of
from evalkit.store.journal import Journal
from evalkit.store.judgements import FILE, FORM, Judgement, Judgements, Keys, load
from evalkit.store.records import Completion, Record

_KEPT = 500


def judge(folder: Path, plan: Plan, judges: Sequence[Judge], terms: Terms, earlier: tuple[Spent, ...] = ()) -> list[Asked]:
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
    wanted = frozenset(request.key for request in plan)
    found = load(folder)
    out: list[Asked] = []
    for one in judges:
        work = _Work(folder, plan, wanted, one, found)
        spent = Spent(one.endpoint.prices, earlier=(*earlier, *(other.spent for other in out)))
        stopped = work.ask(terms, spent, first=True) or work.ask(terms, spent, first=False)
        if stopped:
            terms.tell(f"warning: judge {one.name} stopped: {stopped}; run again to go on")
        if told := work.lacking():
            terms.tell(told)
        out.append(Asked(f"judge {one.name}", spent))
    return out


class _Work:
    """One judge's work on one folder."""

    def __init__(self, folder: Path, plan: Plan, wanted: frozenset[str], one: Judge, found: Judgements) -> None:
        self._folder, self._plan, self._wanted, self._judge, self._found = folder, plan, wanted, one, found
        self._keys = Keys(one, plan.experiment)

    def _answers(self) -> Iterator[tuple[str, Record, str]]:
        """Each answer that is to have a score, with its key."""
        for record, text in texts_of(self._folder, self._plan, self._wanted):
            key = self._keys.of(record.prompt_id, text)
            if key is not None:
                yield key, record, text

    def _lacking(self, first: bool, retry_failed: bool) -> Iterator[Request]:
        """The requests that are to be made: all there are the `first` time, and then the reminders that have come to be needed."""
        seen: set[str] = set()
        for key, record, text in self._answers():
            attempt = self._found.wants(key, retry_failed and first)
            if key in seen or not attempt or (attempt == 1 and not first):
                continue
            seen.add(key)
            case = self._keys.cases[record.prompt_id]
            sent = messages(self._judge, case, text, key)
            if attempt > 1:
                unread = self._found.unread[key]
                sent = reminded(self._judge, sent, unread.reply, unread.unreadable)
            body = self._judge.body()
            # What a record says of its cell is here the answer's own record.
            yield Request(key, 0, 0, record.prompt_id, {"record": record.key}, attempt, None, body["model"], body, sent)

    def ask(self, terms: Terms, spent: Spent, *, first: bool) -> str | None:
        """Make the requests; the reason where it stopped before all were made."""
        # Listed before any is sent: what arrives meanwhile changes what is lacking.
        lacking = sum(1 for _ in self._lacking(first, terms.retry_failed))
        if not lacking:
            return None
        terms.tell(f"judge {self._judge.name}: {lacking:,} answers to judge{'' if first else ' once more, whose first judgement could not be read'}")
        with Journal(self._folder / FILE, FORM) as journal:
            if journal.mended:
                terms.tell(journal.mended)

            def record(one: Record) -> None:
                judgement = self._read(one)
                journal.append(judgement)
                self._found.add(judgement)

            requests = self._lacking(first, terms.retry_failed)
            return asked(self._judge.endpoint, requests, lacking, terms, spent, record=record, sync=journal.sync)

    def _read(self, record: Record) -> Judgement:
        outcome = record.outcome
        about = {
            "key": record.key,
            "judge": self._judge.name,
            "prompt_id": record.prompt_id,
            "record": record.cell["record"],
            "attempt": record.replicate,
            "at": record.at,
            "latency_s": outcome.latency_s,
        }
        if not isinstance(outcome, Completion):
            return Judgement(**about, failure=outcome)
        about |= {"model": outcome.model, "usage": outcome.usage}
        reply = scored_text(outcome, self._judge.endpoint.strip)
        try:
            score, reason = read_reply(reply, self._judge.scale)
        except ValueError as fault:
            return Judgement(**about, unreadable=str(fault), reply=reply[:_KEPT])
        return Judgement(**about, score=score, reason=reason)

    def lacking(self) -> str:
        """How many answers have no score, and why; empty where all have one."""
        why: Counter[str] = Counter()
        answers = 0
        for key, _, _ in self._answers():
            answers += 1
            if key in self._found.scores:
                continue
            failure, unread = self._found.failed.get(key), self._found.unread.get(key)
            why[failure.kind if failure else f"no reply that can be read ({unread.unreadable})" if unread else "not asked"] += 1
        if not why:
            return ""
        reasons = ", ".join(f"{count} {kind}" for kind, count in why.most_common(5))
        return f"warning: judge {self._judge.name}: {why.total():,} of {answers:,} answers have no score, and are left out of it: {reasons}"


def columns(judges: Sequence[Judge], experiment: Experiment, found: Judgements) -> tuple[Column, ...]:
    """The judges' scores as columns of answers, NaN where an answer has none."""
    return tuple(_column(judge, Keys(judge, experiment), found) for judge in judges)


def _column(judge: Judge, keys: Keys, found: Judgements) -> Column:
    def of(record: Record, text: str) -> float:
        key = keys.of(record.prompt_id, text)
        return float(found.scores.get(key, math.nan)) if key is not None else math.nan

    return Column(judge.metric(), of)
