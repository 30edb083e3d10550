"""Does an answer end where a stop sequence occurs, and is that all that is left out?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from evalkit.client.outcome import ending
from evalkit.probe.endpoint import Probed, about, gathered
from evalkit.probe.findings import Judged
from evalkit.store.records import Completion

_NUMBER = 4
_LONG = 6  # words of an answer that a stop at the first space must have made shorter

_Kept = Literal["trimmed", "kept", "went on"]


async def stop(endpoint: Probed) -> Judged:
    """A stop sequence that no answer of two words can avoid; where that does nothing, one of whole words out of a known answer."""
    body = endpoint.body(stop=[" "])
    replies = await gathered([endpoint.ask(body, about(number)) for number in range(_NUMBER)])
    ends = [_after_space(reply.completions[0], body) for reply in replies if reply.completions]
    over, kept = ends.count("went on"), ends.count("kept")
    evidence = f"told to stop at the first space: {over} of {len(ends)} answers went on after it"
    if not ends:
        return Judged("inconclusive", f"no answers came{endpoint.why()}")
    # One answer of two words proves nothing where others stop.
    if over >= 2 or over == len(ends):
        return await _by_words(endpoint, evidence)
    if len(endpoint.sample.split()) < 2 or over:
        return Judged("inconclusive", evidence if over else evidence + ", but answers hold no space here anyway")
    if kept:
        if len(endpoint.sample.split()) < _LONG:
            return Judged("inconclusive", f"{evidence}, but answers are of few words here anyway")
        words = f"{evidence}; {kept} ended with the word after it, so the token in which the sequence stands is kept"
        return Judged("honoured", words, None, "stops, but keeps the whole token")
    return Judged("honoured", evidence)


def _after_space(answer: Completion, body: Mapping[str, Any]) -> _Kept:
    """What an answer has after its first space: nothing, one word in which it ended by itself, or more."""
    _, space, rest = answer.text.strip().partition(" ")
    if not space:
        return "trimmed"
    return "kept" if len(rest.split()) == 1 and ending(answer, body) == "whole" else "went on"


async def _by_words(endpoint: Probed, evidence: str) -> Judged:
    """Told again with words that an answer at temperature 0 is known to hold: some servers find a sequence only where tokens begin or end."""
    plain = await endpoint.ask(endpoint.body(temperature=0), about(0))
    if not plain.completions:
        return Judged("ignored", evidence)
    text = plain.completions[0].text
    missed = []
    for sequence in _sequences(text):
        body = endpoint.body(temperature=0, stop=[sequence])
        reply = await endpoint.ask(body, about(0))
        if not reply.completions:
            continue
        answer = reply.completions[0]
        before = text[: text.index(sequence)]
        if ending(answer, body) == "whole" and answer.text.rstrip() in (before.rstrip(), (before + sequence).rstrip()):
            words = f"{evidence}; one stopped at {sequence!r}, so a sequence within one token is missed"
            return Judged("honoured", words, None, "misses a sequence within one token")
        missed.append(repr(sequence))
    return Judged("ignored", f"{evidence}; nor did any stop at {' or '.join(missed)}, which stands in it" if missed else evidence)


def _sequences(text: str) -> Sequence[str]:
    """Sequences out of a text that begin or end where tokens do: two words in a row, and a word with the space before it."""
    words = text.split(" ")
    inner = [index for index in range(2, len(words) - 2) if words[index].isalpha() and words[index + 1].isalpha()]
    return [f" {words[inner[0]]} {words[inner[0] + 1]}", f" {words[inner[0]]}"] if inner else []
