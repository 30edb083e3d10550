"""Where a stop sequence cuts, and how many are taken."""

from __future__ import annotations

from typing import Any

from evalkit.probe.endpoint import RejectedError
from evalkit.probe.meaning.asking import Asking, Fields, Messages, prompts
from evalkit.probe.meaning.found import Answered, unsure

_TOKENS = 40
_LONG_WORD = 6
_COOL = 0.3  # ordinary words
_AGREE = 2
_NUMBERS = (4, 5, 8, 16, 32)
_NEVER = "zqxj"


async def cut(asking: Asking) -> Answered:
    """Sequences out of the middle of long words of a known answer; a word that is several tokens may be cut between two, so two have to agree."""
    if asking.basis is None:
        return unsure("no answer repeats here")
    plain: dict[str, Any] = {"temperature": _COOL, **asking.off, "tokens": _TOKENS}
    trimmed: list[str] = []
    for number in range(5):
        talk = prompts()[number]
        text = await asking.text(talk, number, plain) or ""
        for word in _words(text)[:_AGREE]:
            inside = word[2:5]
            at = text.index(inside)
            came = await asking.text(talk, number, {**plain, "stop": [inside]})
            if came is None:
                continue
            words = f"told to stop at {inside!r} inside {word!r}, an answer"
            if came.rstrip() == text[:at].rstrip():
                trimmed.append(f"{words} ends before it")
                if len(trimmed) >= _AGREE:
                    return Answered("trimmed", "; ".join(trimmed))
            elif came.startswith(text[: at + len(inside)]) and len(came.rstrip()) < len(text.rstrip()) - 1:
                return Answered("kept", f"{words} ends with {came[at:]!r}")
            elif came.startswith(text[: at + len(inside)]):
                return await _by_word(asking, talk, number, {**plain, "stop": [f" {word}"]}, text, f"{words} goes on")
    return unsure("; ".join(trimmed) or "no answer held a long word")


async def _by_word(asking: Asking, talk: Messages, number: int, fields: Fields, text: str, words: str) -> Answered:
    """The whole word, with the space before it."""
    came = await asking.text(talk, number, fields)
    if came is None:
        return unsure(words)
    if len(came.rstrip()) < len(text.rstrip()) - 1:
        return Answered("missed inside a token", f"{words}; told to stop at {fields['stop'][0]!r} it ends")
    return Answered("ignored", f"{words}; so it does told to stop at {fields['stop'][0]!r}")


def _words(text: str) -> list[str]:
    """Long words in the middle of a text whose middle stands nowhere else in it, ordinary ones, which are often one token."""
    return [one for one in text.split(" ")[2:-3] if len(one) >= _LONG_WORD and one.isalpha() and one.isascii() and text.count(one[2:5]) == 1]


async def most(asking: Asking) -> Answered:
    """Longer and longer lists of sequences that no answer holds."""
    taken = 0
    for number in _NUMBERS:
        stops = [f"{_NEVER}{at}" for at in range(number)]
        try:
            reply = await asking.ask(prompts()[0], {"tokens": asking.least, "temperature": 1, "seed": asking.seeds[0], "stop": stops})
        except RejectedError as refusal:
            if not taken:
                return Answered("fewer than 4", str(refusal))
            return Answered(f"{taken}" if number == taken + 1 else f"{taken} to {number - 1}", f"{number} are refused: {refusal}")
        if not reply.completions:
            return unsure(f"with {number} no answer came{asking.endpoint.why()}")
        taken = number
    return Answered(f"{taken} and more", f"a list of {taken} is taken")
