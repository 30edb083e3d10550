"""``judgements.jsonl``: one line for each reply of a judge, appended the moment it exists, so that no answer is judged twice."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evalkit.experiment.experiment import Experiment
from evalkit.experiment.judges import Case, Judge, hash_of, key_of
from evalkit.store import journal
from evalkit.store.journal import Form
from evalkit.store.records import NOT_SENT_AGAIN, Failure, Usage

FILE = "judgements.jsonl"
VERSION = 1
REPLIES = 2
"""A judge is asked so often for a reply that can be read."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a judge said of an answer.

    Attributes:
        key: what identifies it (`evalkit.experiment.judges.key_of`).
        judge: its name.
        record: key of the first record that holds the answer; others may hold the same text.
        attempt: 1, or 2 where its first reply could not be read.
        score: the number; None where there is none.
        reason: in the judge's words, which are as untrusted as any model's.
        unreadable: why the reply could not be read, and `reply` how it begins.
        failure: what came instead of a reply.
    """

    v: int = VERSION
    key: str
    judge: str
    prompt_id: str
    record: str
    attempt: int
    at: str
    score: int | None = None
    reason: str = ""
    unreadable: str = ""
    reply: str = ""
    failure: Failure | None = None
    model: str | None = None
    usage: Usage | None = None
    latency_s: float | None = None


FORM = Form(Judgement, VERSION, "judgement", "its answer is judged again")


class Judgements:
    """What stands in a results folder, by key: scores, and how far the others came."""

    def __init__(self) -> None:
        self.scores: dict[str, int] = {}
        self.unread: dict[str, Judgement] = {}
        self.failed: dict[str, Failure] = {}

    def add(self, one: Judgement) -> None:
        """Note a judgement; a score counts for ever, of what else came the last."""
        if one.key in self.scores:
            return
        if one.score is not None:
            self.scores[one.key] = one.score
            self.failed.pop(one.key, None)
            self.unread.pop(one.key, None)
        elif one.failure is not None:
            self.failed[one.key] = one.failure
        else:
            self.unread[one.key] = one
            self.failed.pop(one.key, None)

    def wants(self, key: str, retry_failed: bool) -> int:
        """Which reply is to be asked for, 1 or 2; 0 for none."""
        if key in self.scores:
            return 0
        failure = self.failed.get(key)
        if failure is not None and failure.kind in NOT_SENT_AGAIN and not retry_failed:
            return 0
        unread = self.unread.get(key)
        if unread is None:
            return 1
        return unread.attempt + 1 if unread.attempt < REPLIES else int(retry_failed)


def load(folder: Path) -> Judgements:
    """The judgements of a results folder. Raises `RecordError` where a line is none."""
    out = Judgements()
    for one in journal.read(folder / FILE, FORM):
        out.add(one)
    return out


class Keys:
    """The keys of one judge's judgements on the answers of an experiment."""

    def __init__(self, judge: Judge, experiment: Experiment) -> None:
        self.cases = {prompt.id: Case(prompt.conversation(), prompt.expect) for prompt in experiment.prompts}
        self._judge = judge.identity()
        self._cases = {name: hash_of(case) for name, case in self.cases.items()}

    def of(self, prompt_id: str, text: str) -> str | None:
        """The key for an answer; None for an empty answer, which is not judged."""
        return key_of(self._judge, self._cases[prompt_id], text) if prompt_id in self._cases and text.strip() else None
