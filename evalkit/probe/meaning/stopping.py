"""Where a stop sequence cuts, and how many are taken."""

from __future__ import annotations

from typing import Any

from evalkit.probe.endpoint import RejectedError
from evalkit.probe.meaning.asking import Asking, Messages, prompts
from evalkit.probe.meaning.found import Answered, unsure

_TOKENS = 40
_LONG_WORD = 6
_NUMBERS = (4, 5, 8, 16, 32)
_NEVER = "zqxj"


async def cut(asking: Asking) -> Answered:
    """A sequence out of the middle of a long word of a known answer."""
    if asking.basis is None:
        return unsure("no answer repeats here")
    plain: dict[str, Any] = {"temperature": 1, **asking.off, "tokens": _TOKENS}
    for number in range(5):
        talk = prompts()[number]
        text = await asking.text(talk, number, plain)
        word = _word(text or "")
        if text is None or word is None:
            continue
        inside = word[2:5]
        at = text.index(inside)
        came = await asking.text(talk, number, {**plain, "stop": [inside]})
        if came is None:
            continue
        words = f"told to stop at {inside!r} inside {word!r}, an answer"
        if came.rstrip() == text[:at].rstrip():
            return Answered("trimmed", f"{words} ends before it")
        if came.startswith(text[: at + len(inside)]) and len(came.rstrip()) < len(text.rstrip()) - 1:
            return Answered("kept", f"{words} ends with {came[at:]!r}")
        if came.startswith(text[: at + len(inside)]):
            return await _by_word(asking, talk, number, text, f"{words} goes on")
    return unsure("no answer held a long word")


async def _by_word(asking: Asking, talk: Messages, number: int, text: str, words: str) -> Answered:
    """The whole word, with the space before it."""
    word = _word(text)
    came = await asking.text(talk, number, {"temperature": 1, **asking.off, "tokens": _TOKENS, "stop": [f" {word}"]})
    if came is None:
        return unsure(words)
    if len(came.rstrip()) < len(text.rstrip()) - 1:
        return Answered("missed inside a token", f"{words}; told to stop at {f' {word}'!r} it ends")
    return Answered("ignored", f"{words}; so it does told to stop at {f' {word}'!r}")


def _word(text: str) -> str | None:
    """A long word in the middle of a text, whose middle stands nowhere else in it."""
    return next((one for one in text.split(" ")[2:-3] if len(one) >= _LONG_WORD and one.isalpha() and text.count(one[2:5]) == 1), None)


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
