"""Penalties: subtracted or multiplied, told apart, acting at temperature 0, and what they count, how far back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.probe.endpoint import OutOfCallsError, RejectedError
from evalkit.probe.meaning.asking import Asking, Fields, Messages, OutOfLongerError, Same, prompts
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.found import Answered, hangs, nothing, unsure
from evalkit.stats.sequential import Ratio

_WORDS, _LONG = 40, 90
_STRONG = 2.0
_TIMES, _TWICE, _THRICE = 6, 2, 3
_MILD = 0.5
_TAKEN = 0.03  # what a factor leaves of such a share, noise reckoned with
_BROKEN = "\ufffd"
_LISTED = 8
_ASKED = 3
_WHOLE_WORDS = 1.2  # tokens of a filler, where a vocabulary holds common words
_DISTANCES = (30, 100, 300)
_FIRST, _MOST = 12, 48
_FEWEST = 0.2
_LOOKED_AT = 6  # prompts, where one call tells what begins the answers
_FILLER = " ok"
_WORDLESS: Sequence[Messages] = [[{"role": "user", "content": mark}] for mark in ("¤", "¬")]
"""What hardly any answer says again."""
_OF_PROMPT = ("prompt too", "prompt alone")


async def kind(asking: Asking) -> Answered:
    """A frequency penalty of 1 does nothing where it is a multiplier."""
    plain = {"temperature": 1, **asking.off, "tokens": _WORDS}
    if asking.basis is None:
        return unsure("no answer repeats here")
    try:
        one = await asking.same(plain, {**plain, "frequency_penalty": 1.0}, pairs=3)
        if one.verdict is False:
            return Answered("additive", f"with 1 and without, {one}", p=one.p)
        two = await asking.same(plain, {**plain, "frequency_penalty": _STRONG}, pairs=3)
    except RejectedError as refusal:
        return nothing(f"frequency_penalty is refused: {refusal}")
    words = f"with 1 and without, {one}; with 2 and without, {two}"
    if one.verdict and two.verdict:
        return nothing(f"frequency_penalty does nothing: {words}")
    if one.verdict and two.verdict is False:
        return Answered("multiplicative", words, p=two.p)
    return unsure(words)


async def kind_by_odds(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> Answered:
    """Where a presence penalty does nothing and a frequency penalty of 1 does something: how much a word loses that the prompt holds once.

    What is subtracted makes its odds e ** -0.5 of what they were; a factor of 1.5 on logits, as it is in use, takes nearly all of them.
    """
    first = known["penalties_kind"].evidence
    if known["penalties_count"].answer not in _OF_PROMPT:
        return unsure(f"{first}; a presence penalty does nothing, so it may be a factor of 1 + its value as well")
    talk, share, words = await _invited(asking, ranked, 0, times=1)
    if talk is None:
        return unsure(f"{first}; no prompt was found whose words begin the answer")
    subtracted = share * math.exp(-_MILD) / (share * math.exp(-_MILD) + 1 - share)
    ratio, came = Ratio(), Counter[bool]()
    while ratio.decided is None and came.total() < 2 * _MOST:
        drawn = await asking.tokens(talk, 4, {"temperature": 1, **asking.off, "frequency_penalty": _MILD})
        if not drawn:
            break
        here = sum(count for token, count in drawn.items() if token in words)
        for inside, count in ((True, here), (False, drawn.total() - here)):
            came[inside] += count
            for _ in range(count):
                ratio.add(*((subtracted, _TAKEN) if inside else (1 - subtracted, 1 - _TAKEN)))
    told = f"words that the prompt holds once begin {share:.0%} of answers, and with frequency_penalty {_MILD:g} {came[True]} of {came.total()}"
    if ratio.decided is None:
        return unsure(told)
    return Answered("additive" if ratio.decided else "a factor above 1", told, ratio=ratio.value if ratio.decided else 1 / ratio.value)


async def apart(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """A frequency penalty counts, a presence penalty does not: answers in which a word would stand three times differ."""
    if asking.basis is None:
        return unsure("no answer repeats here")
    if known["penalties_kind"].answer is None:
        return hangs(known, "penalties_kind", "frequency_penalty does nothing")
    plain = {"temperature": 1, **asking.off, "tokens": _LONG}
    try:
        both, told = await _one_against_the_other(asking, plain)
        if both.verdict:
            return Answered("alike", told, p=both.p)
        short = {**plain, "tokens": _WORDS}  # as `kind` has asked for already
        alone = await asking.same(short, {**short, "presence_penalty": _STRONG}, pairs=3)
    except RejectedError as refusal:
        return nothing(f"presence_penalty is refused: {refusal}")
    words = f"{told}; with presence_penalty 2 and without: {alone}"
    if alone.verdict:
        return Answered("presence ignored", words, p=alone.p)
    return Answered("apart", words, p=both.p) if both.verdict is False and alone.verdict is False else unsure(words)


async def _one_against_the_other(asking: Asking, plain: Fields) -> tuple[Same, str]:
    """A frequency penalty and a presence penalty as strong; they part where a word is said a third time, so equal answers tell only where that is.

    Where it is not, negative penalties are tried, which invite it; where those are refused, or do no better, the verdict is None.
    """
    told: list[str] = []
    both = Same(None, 0, 0, None)
    for strength in (_STRONG, -_STRONG):
        one, other = ({**plain, name: strength} for name in ("frequency_penalty", "presence_penalty"))
        try:
            both = await asking.same(one, other, pairs=_ASKED)
        except RejectedError:
            if strength > 0:
                raise
            break
        told.append(f"frequency_penalty {strength:g} and presence_penalty {strength:g}: {both}")
        if not both.verdict:
            return both, "; ".join(told)
        texts = [await asking.text(talk, number, other) or "" for number, talk in enumerate(prompts()[:_ASKED])]  # known already
        again = sum(max(0, count - 2) for text in texts for count in Counter(text.split()).values())
        if again >= _THRICE:
            return both, "; ".join(told)
        told.append(f"words were said a third time or more {again} times there")
    return both._replace(verdict=None), "; ".join(told)


async def at_zero(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """Longer answers at temperature 0, with a penalty and without."""
    if known["penalties_kind"].answer is None:
        return hangs(known, "penalties_kind", "frequency_penalty does nothing")
    if known["temperature_0"].answer != "greedy":
        return hangs(known, "temperature_0", "temperature 0 is not greedy")
    cold = {"temperature": 0, "tokens": _LONG}
    same = await asking.same(cold, {**cold, "frequency_penalty": _STRONG}, pairs=2)
    words = f"at temperature 0, with frequency_penalty 2 and without: {same}"
    return unsure(words) if same.verdict is None else Answered("do not" if same.verdict else "act", words, p=same.p)


async def counted(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> Answered:
    """The first token after a prompt that holds the likely ones many times: a penalty can only change it by counting the prompt."""
    if known["penalties_kind"].answer is None and asking.basis is not None:
        return hangs(known, "penalties_kind", "frequency_penalty does nothing")
    talk, share, words = await _invited(asking, ranked, 0)
    if talk is None:
        return unsure(f"no prompt was found whose words begin the answer: {share:.0%} of answers did")
    if asking.basis == "seed":
        same = await _compared(asking, talk)
        told = f"after a prompt that holds the likely words {_TIMES} times, frequency_penalty 2 and none, same seed: of first tokens {same}"
        if same.verdict is not None:
            return Answered("answer" if same.verdict else "prompt too", told, p=same.p)
    ratio, said = await _ratio(asking, talk, share, words, known)
    told = f"its words begin {share:.0%} of answers without a penalty, and with 2 {said}"
    if ratio.decided is None:
        return unsure(told)
    return Answered("prompt too" if ratio.decided else "answer", told, ratio=ratio.value if ratio.decided else 1 / ratio.value)


async def _compared(asking: Asking, talk: Messages) -> Same:
    plain = {"temperature": 1, **asking.off}
    return await asking.same(plain, {**plain, "frequency_penalty": _STRONG}, pairs=8, topics=[talk])


async def answers_too(asking: Asking, known: Mapping[str, Answered]) -> Answered:
    """Where the prompt counts: does the answer count as well? Asked by prompts of one mark, which leave nothing to penalise where it does not.

    Answers that say a word three times are the same with a strong penalty and without only where they do not count themselves. What cannot be
    asked any more leaves the answer that there is.
    """
    first = known["penalties_count"]
    plain = {"temperature": 1, **asking.off, "tokens": _LONG}
    try:
        same = await asking.same(plain, {**plain, "frequency_penalty": _STRONG}, pairs=len(_WORDLESS), topics=_WORDLESS)
        texts = [await asking.text(_WORDLESS[number], number, plain) or "" for number in range(len(_WORDLESS))]
    except (OutOfCallsError, OutOfLongerError, RejectedError):
        return first
    told = f"{first.evidence}; after a prompt of one mark, answers of {_LONG} tokens with frequency_penalty 2 and without: {same}"
    if same.verdict and all(max(Counter(text.split()).values(), default=0) >= _THRICE for text in texts):
        return Answered("prompt alone", told, p=same.p)
    return first._replace(evidence=told)


async def window(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> Answered:
    """The same with the words further and further back."""
    if known["penalties_count"].answer not in _OF_PROMPT:
        return hangs(known, "penalties_count", "penalties do not count the prompt")
    told: list[str] = []
    below = 0
    tokens = await _of_filler(asking)
    for distance in _DISTANCES:
        talk, share, words = await _invited(asking, ranked, distance, tokens=tokens)
        if talk is None:
            return unsure("; ".join([*told, f"{distance} tokens back no words were found that begin the answer"]))
        ratio, said = await _ratio(asking, talk, share, words, known)
        told.append(f"{distance} tokens back: {share:.0%} without a penalty, with it {said}")
        if ratio.decided is None:
            return unsure("; ".join(told))
        if not ratio.decided and not below and not await _seen_at_all(asking, ranked, known):
            return unsure("; ".join([*told, "nor is the penalty seen by these words where they stand right before the answer"]))
        if not ratio.decided:
            return Answered(f"{below} to {distance}", "; ".join(told), ratio=1 / ratio.value)
        below = distance
    return Answered(f"over {below}", "; ".join(told), ratio=ratio.value)


async def _seen_at_all(asking: Asking, ranked: Sequence[Context], known: Mapping[str, Answered]) -> bool:
    """Whether the words lose where nothing stands between: in a prompt they may be other tokens than in an answer."""
    talk, share, words = await _invited(asking, ranked, 0)
    return talk is not None and bool((await _ratio(asking, talk, share, words, known))[0].decided)


async def _of_filler(asking: Asking) -> float:
    """Tokens of one filler, at least 1: of a small vocabulary it is several. As the counts of two prompts tell; 1 where they are not given."""
    counts: list[int] = []
    for times in (0, _DISTANCES[0]):
        talk: Messages = [{"role": "user", "content": "ok" + _FILLER * times}]
        reply = await asking.ask(talk, {"tokens": asking.least, "seed": None, "temperature": 1})
        usage = reply.usage
        if usage is None or usage.prompt_tokens is None:
            return 1.0
        counts.append(usage.prompt_tokens)
    return max(1.0, (counts[1] - counts[0]) / _DISTANCES[0])


async def _invited(
    asking: Asking, ranked: Sequence[Context], distance: int, *, times: int = _TIMES, tokens: float = 1
) -> tuple[Messages | None, float, set[str]]:
    """A prompt that holds, so many tokens back, words that begin its answers; how often they do without a penalty."""
    share = 0.0
    for context in ranked[: _LOOKED_AT if asking.logprobs else 2]:
        words = _likeliest(context.told or context.warm)
        # What is read last weighs most: some models take up what they are shown, others answer as they would have without it.
        for first in (False, True, False):
            listed = _likeliest(context.told or context.warm) if first else words
            # Behind words that stand first comes the question: about a token a word, unless the vocabulary is small; then nobody knows.
            if first and distance and tokens > _WHOLE_WORDS:
                continue
            between = len(context.messages[-1]["content"].split()) if first and distance else 0
            fillers = max(0, round(distance / tokens) - between)
            talk = _prompt(context.messages, sorted(listed), fillers, times=min(times, _TWICE) if first else times, first=first)
            came = await _beginning(asking, talk)
            if not came:
                break
            share = sum(weight for token, weight in came.items() if token in listed)
            if share >= _FEWEST:
                return talk, share, listed
            words = words if first else _likeliest(came)
    return None, share, set()


async def _beginning(asking: Asking, talk: Messages) -> Mapping[str, float]:
    """First tokens with their shares at temperature 1: as log probabilities tell, or as some answers do."""
    plain: dict[str, Any] = {"temperature": 1, **asking.off}
    if asking.logprobs:
        return {token: math.exp(value) for token, value in (await asking.likely(talk, plain)).items()}
    tokens = await asking.tokens(talk, _FIRST, plain)
    return {token: count / tokens.total() for token, count in tokens.items()}


def _likeliest(tokens: Mapping[str, float]) -> set[str]:
    """Few enough that they all stand within some twenty tokens."""
    return set(sorted((token for token in tokens if token.strip() and _BROKEN not in token), key=lambda token: -tokens[token])[:_LISTED])


def _prompt(messages: Messages, words: Sequence[str], distance: int, times: int, first: bool) -> Messages:
    listed = ("\n".join(word.rstrip() for word in words) + "\n") * times  # a space before a word is part of its token
    asked = messages[-1]["content"]
    content = f"{listed}{asked}" if first else f"{asked}\n{listed}"
    return [*messages[:-1], {"role": "user", "content": content + _FILLER * distance}]


async def _ratio(asking: Asking, talk: Messages, share: float, words: set[str], known: Mapping[str, Answered]) -> tuple[Ratio, str]:
    """How much likelier the first tokens are if the penalty has met the prompt's words than if it has not."""
    alike = "penalties_apart" in known and known["penalties_apart"].answer == "alike"
    weak = alike or known["penalties_kind"].answer == "multiplicative"  # then it is no matter how often a word stands there
    met = max(0.03, share / 3 if weak else share / 20)
    cautious = max(2 * met, 0.8 * share)
    ratio, came = Ratio(), Counter[bool]()
    fields = {"temperature": 1, **asking.off, "frequency_penalty": _STRONG}
    while ratio.decided is None and came.total() < _MOST:
        for token, count in (await asking.tokens(talk, 4, fields)).items():
            for _ in range(count):
                here = token in words
                ratio.add(met if here else 1 - met, cautious if here else 1 - cautious)
                came[here] += 1
        if not came:
            break
    return ratio, f"{came[True]} of {came.total()}"
