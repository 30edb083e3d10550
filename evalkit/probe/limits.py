"""Is a limit of tokens kept? Judged by counts: those of the endpoint, or words where it counts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.client.outcome import ending
from evalkit.probe.endpoint import SHORT, Probed, about, gathered, visible
from evalkit.probe.findings import Judged
from evalkit.store.records import Completion

_SMALL = 8
_NUMBER = 3


class _Counted(NamedTuple):
    """One answer: its length, whether the endpoint counted it (in tokens, else it is words), and whether it was cut off."""

    length: int
    counted: bool
    cut: bool


async def limit(endpoint: Probed, name: str) -> Judged:
    """A small limit, and a larger one that a long answer reaches."""
    answers: dict[int, list[_Counted]] = {}
    for asked in (_SMALL, SHORT):
        body = endpoint.body(**{endpoint.limit_field: None, name: asked})
        replies = await gathered([endpoint.ask(body, about(number)) for number in range(_NUMBER)])
        answers[asked] = [_measured(reply.completions[0], body) for reply in replies if reply.completions]
        if not answers[asked]:
            return Judged("inconclusive", f"no answers came{endpoint.why()}")
    counted = all(one.counted for some in answers.values() for one in some)
    unit = "tokens" if counted else "words (the endpoint counts no tokens)"
    evidence = "; ".join(_said(asked, some, unit) for asked, some in answers.items())
    if all(one.length <= _SMALL for one in answers[_SMALL]):
        return _kept(answers[_SMALL], answers[SHORT], counted, evidence)
    return _not_kept([one for one in answers[_SMALL] if one.length > _SMALL], counted, evidence)


def _kept(small: Sequence[_Counted], large: Sequence[_Counted], counted: bool, evidence: str) -> Judged:
    """No answer is over the small limit: the larger one may not be given, or answers be short by nature."""
    # Words are fewer than tokens, so only counted tokens show that a larger limit is not given.
    same = _cut_at(large)
    if counted and same is not None and same < SHORT:
        return Judged("clamped", evidence, float(same))
    # Answers that are short by nature keep every limit.
    held = any(one.cut for one in small) or any(one.length > _SMALL for one in large)
    return Judged("honoured" if held else "inconclusive", evidence)


def _not_kept(over: Sequence[_Counted], counted: bool, evidence: str) -> Judged:
    """Some answers are over the small limit: all cut off at one larger length, or not at all."""
    same = _cut_at(over)
    if counted and same is not None and same < SHORT:
        return Judged("clamped", evidence, float(same))
    # One answer over the limit would prove it; the end mark that some servers count is none.
    return Judged("ignored" if any(one.length > _SMALL + 1 for one in over) else "inconclusive", evidence)


def _measured(answer: Completion, body: Mapping[str, Any]) -> _Counted:
    tokens = answer.usage.completion_tokens if answer.usage else None
    length = len(visible(answer).split()) if tokens is None else tokens
    return _Counted(length, tokens is not None, ending(answer, body) == "cut")


def _said(asked: int, answers: Sequence[_Counted], unit: str) -> str:
    counts = [one.length for one in answers]
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"limit {asked}: answers of {span} {unit}, {sum(one.cut for one in answers)} of {len(answers)} cut off"


def _cut_at(answers: Sequence[_Counted]) -> int | None:
    """The one length at which `answers` are cut off: two of them at least, and none is longer."""
    cut = [one.length for one in answers if one.cut]
    return cut[0] if len(cut) >= 2 and set(cut) == {max(one.length for one in answers)} else None
