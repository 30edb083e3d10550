"""What is counted as a token of an answer, and which limit holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evalkit.client.outcome import ending
from evalkit.probe.endpoint import RejectedError, visible
from evalkit.probe.meaning.asking import Asking, Messages, prompts
from evalkit.probe.meaning.found import Answered, hangs, nothing, unsure
from evalkit.store.records import Completion

_SENTENCE = "Answer in one short sentence: "
_MOST = 220
_SMALL, _LARGE = 3, 9
_WORDS = 40
_MARK = 6


async def _asked(asking: Asking, talk: Messages, number: int, fields: Mapping[str, Any]) -> tuple[Completion | None, str]:
    """An answer whose text would come again, and how it ended."""
    fixed: dict[str, Any] = {"seed": asking.seeds[number]} if asking.basis != "greedy" else {"temperature": 0, "seed": None}
    body = {**fields, **fixed}
    reply = await asking.ask(talk, body)
    if not reply.completions:
        return None, "failed"
    answer = reply.completions[0]
    return answer, ending(answer, asking.endpoint.body(**body))


def _count(answer: Completion | None) -> int | None:
    return answer.usage.completion_tokens if answer is not None and answer.usage is not None else None


async def hidden(asking: Asking) -> Answered:
    """Answers that may have one token: how many are counted?"""
    counts = []
    for number in range(2):
        answer, _ = await _asked(asking, prompts()[number], number, {"temperature": 1, "tokens": asking.least})
        counts.append(_count(answer))
    known = [count for count in counts if count is not None]
    if not known:
        return nothing("the endpoint counts no tokens")
    words = f"answers that may have {asking.least} count {', '.join(map(str, known))}"
    more = min(known) - asking.least
    return Answered(f"{more}", words) if more > 0 else Answered("none", words)


def _less(known: Mapping[str, Answered]) -> int:
    """Tokens that are counted in every answer and not shown."""
    answer = known["count_hidden"].answer
    return int(answer) if answer is not None and answer.isdecimal() else 0


def _untold(asking: Asking, known: Mapping[str, Answered]) -> Answered | None:
    """Why counts of one answer cannot be held against those of the same again; None where they can."""
    if asking.basis is None:
        return unsure("no answer repeats here")
    return hangs(known, "count_hidden", "the endpoint counts no tokens") if known["count_hidden"].answer is None else None


async def end(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """An answer that ended by itself, again with as many tokens as it counted: it ends so only where the mark was among them."""
    if (why := _untold(asking, known)) is not None:
        return why
    for number in range(6):
        talk = [{"role": "user", "content": _SENTENCE + str(prompts()[number][-1]["content"])}]
        whole, how = await _asked(asking, talk, number, {"temperature": 1, "tokens": _MOST})
        counted = _count(whole)
        if whole is None or how != "whole" or counted is None or counted - _less(known) < 2:
            continue
        limit = counted - _less(known)
        again, ended = await _asked(asking, talk, number, {"temperature": 1, "tokens": limit})
        if again is None:
            continue
        words = f"an answer that ended by itself counts {counted}; allowed {limit} it ends {'by itself' if ended == 'whole' else 'by the limit'}"
        if visible(again).rstrip() == visible(whole).rstrip() and ended in ("whole", "cut"):
            return Answered("counted" if ended == "whole" else "not counted", words)
        return unsure(f"{words}, with another text")
    return unsure("no answer ended by itself")


async def stopped(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """An answer that a stop sequence ended, and the same with as many tokens as it counted: is the sequence among them?"""
    if (why := _untold(asking, known)) is not None:
        return why
    for number in range(4):
        fields: dict[str, Any] = {"temperature": 1, **asking.off, "tokens": _WORDS}
        words = (await asking.text(prompts()[number], number, fields) or "").split(" ")
        at = next((at for at in range(3, len(words) - 3) if words[at].isalpha() and words[at + 1].isalpha()), None)
        if at is None:
            continue
        sequence = f" {words[at]} {words[at + 1]}"
        short, how = await _asked(asking, prompts()[number], number, {**fields, "stop": [sequence]})
        counted = _count(short)
        if short is None or counted is None or how != "whole":
            continue
        if sequence in visible(short):
            return nothing("stop sequences are not trimmed")
        again, _ = await _asked(asking, prompts()[number], number, {**fields, "tokens": max(1, counted - _less(known))})
        if again is None:
            continue
        longer = len(visible(again).rstrip()) > len(visible(short).rstrip())
        told = f"ended by {sequence!r} an answer counts {counted}; with so many allowed it {'goes on' if longer else 'ends there too'}"
        return Answered("counted" if longer else "not counted", told)
    return unsure("no answer was ended by a stop sequence")


async def both(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """Two limits, each once the smaller one."""
    seen = []
    for one, other in ((_SMALL, _LARGE), (_LARGE, _SMALL)):
        fields = {"temperature": 1, asking.endpoint.limit_field: None, "tokens": None, "max_tokens": one, "max_completion_tokens": other}
        try:
            answer, _ = await _limited(asking, fields)
        except RejectedError as refusal:
            return Answered("refused", str(refusal))
        count = _count(answer)
        seen.append(None if answer is None else len(visible(answer).split()) if count is None else count - _less(known))
    words = f"max_tokens {_SMALL} and max_completion_tokens {_LARGE}: {seen[0]} tokens; the other way round: {seen[1]}"
    winners = {
        (_SMALL, _LARGE): "max_tokens",
        (_LARGE, _SMALL): "max_completion_tokens",
        (_SMALL, _SMALL): "smaller",
        (_LARGE, _LARGE): "larger",
    }
    winner = winners.get((seen[0], seen[1])) if None not in seen else None  # type: ignore[arg-type]
    return Answered(winner, words) if winner else unsure(words)


async def _limited(asking: Asking, fields: Mapping[str, Any]) -> tuple[Completion | None, str]:
    body = {name: value for name, value in fields.items() if value is not None}
    reply = await asking.ask(prompts()[0], {"tokens": None, "seed": asking.seeds[0], **body})
    return (reply.completions[0] if reply.completions else None), ""


async def none(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """A limit of 0, with a stop sequence that would soon end an answer without a limit."""
    fields: dict[str, Any] = {"temperature": 1, **asking.off, "tokens": _WORDS}
    words = (await asking.text(prompts()[0], 0, fields) or "").split(" ")
    stops = list(dict.fromkeys(f" {word}" for word in words[_MARK : _MARK + 4] if word)) if asking.basis else [" the", ".", ","]
    try:
        answer, _ = await _asked(asking, prompts()[0], 0, {**fields, "tokens": 0, "stop": stops or [" "]})
    except RejectedError as refusal:
        return Answered("refused", str(refusal))
    if answer is None:
        return Answered("refused", f"it fails{asking.endpoint.why()}") if "HTTP 5" in asking.endpoint.why() else unsure("no answer came")
    count, text = _count(answer), visible(answer) if answer.text else ""
    length = count - _less(known) if count is not None else len(text.split())
    told = f"max_tokens 0 gave {length} tokens"
    if not text and length <= 1:
        return Answered("none", told)
    return Answered("one" if length <= 1 else "unlimited", told)
