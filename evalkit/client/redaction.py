"""Secrets, and where they must not stand.

A message, a header or an error of somebody else's holds no secret of ours, long or short. An answer is never altered, but where a secret that can be
nothing else stands in it: the manuals of local servers prescribe keys like ``ollama`` or ``EMPTY``, which are words, and answers hold them.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from urllib.parse import quote

from evalkit.client.answered import Answered

MASK = "[key]"
"""What stands where a secret stood."""

_SHORTEST_IN_ANSWERS = 16
_LONGEST_MESSAGE = 200
_WORDS_READ = 20_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_KEY_LIKE = re.compile(r"(?i)\b(bearer )\S+|\b(?:sk|pk|rk|key|tok|ghp|gho|hf|xox[abp])[-_][A-Za-z0-9_*.-]{6,}")
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{32,}")


def is_key_like(secret: str) -> bool:
    """Whether a secret can be nothing but a secret: 16 characters or more, letters and digits mixed, not words and small numbers put together."""
    if len(secret) < _SHORTEST_IN_ANSWERS or not (any(map(str.isalpha, secret)) and any(map(str.isdigit, secret))):
        return False
    parts = re.split(r"[^A-Za-z0-9]+", secret)
    return any((any(map(str.isalpha, one)) and any(map(str.isdigit, one))) or (one.isdigit() and len(one) >= 8) for one in parts)


class Secrets:
    """The secrets of all that is asked: every key that was ever given to any of it, and the values of its secret headers."""

    def __init__(self, key: str | None, others: Iterable[str] = ()) -> None:
        self._all: set[str] = set()
        self._in_answers: tuple[str, ...] = ()  # the longest first
        if key:
            self.add(key)
        for one in others:
            self.add_value(one)

    def add_value(self, value: str) -> None:
        """Mask this value of a secret header too from now on; one that is too short to be a secret is none."""
        if len(value) > 3:
            self._all.add(value)
            self._keep_from_answers(value, {value})

    def add(self, key: str) -> None:
        """Mask this key too from now on, and what becomes of it where a server quotes it in JSON, in an address or in HTML."""
        forms = {key, key.replace("/", "\\/"), quote(key), quote(key, safe=""), html.escape(key)}
        self._all |= forms
        self._keep_from_answers(key, forms)

    def _keep_from_answers(self, secret: str, forms: set[str]) -> None:
        if is_key_like(secret):
            self._in_answers = tuple(sorted({*self._in_answers, *forms}, key=len, reverse=True))

    def mask(self, words: str) -> str:
        """`words` with `MASK` for every secret."""
        for secret in sorted(self._all, key=len, reverse=True):
            words = words.replace(secret, MASK)
        return words

    def harmless(self, words: str) -> str:
        """Somebody's words, fit to be kept as a message: without control characters and keys, 200 characters at the most."""
        words = " ".join(_CONTROL.sub(" ", self.mask(words)[:_WORDS_READ]).split())
        words = _KEY_LIKE.sub(lambda match: f"{match[1] or ''}{MASK}", words)
        return _LONG_WORD.sub(_hidden, words)[:_LONGEST_MESSAGE]

    def mask_answer(self, answer: Answered) -> bool:
        """Put `MASK` for each key-like secret wherever the answer quotes it; tells whether it did. Log probabilities, which spell it, go then."""
        if not self._in_answers:
            return False
        found = False
        for parts in (answer.texts, answer.thoughts, answer.refusals, *(call.arguments for call in answer.calls)):
            whole = "".join(parts)
            masked = self._masked_in_answer(whole)
            if masked != whole:
                parts[:] = [masked]
                found = True
        for call in answer.calls:
            names = (call.id, call.name)
            call.id, call.name = map(self._masked_in_answer, names)
            found = found or (call.id, call.name) != names
        if found:
            answer.forget_logprobs()
        return found

    def mask_name(self, name: str | None) -> str | None:
        """A word that the server tells beside its answer, such as the model's name."""
        return None if name is None else self._masked_in_answer(name)

    def _masked_in_answer(self, words: str) -> str:
        for secret in self._in_answers:
            words = words.replace(secret, MASK)
        return words


def is_secret_header(name: str) -> bool:
    """Whether a header's value is taken for a secret, by its name."""
    return any(part in name.lower() for part in ("auth", "key", "token", "secret", "cookie"))


def _hidden(word: re.Match[str]) -> str:
    """A long word of letters and digits is taken for a key."""
    return MASK if any(map(str.isalpha, word[0])) and any(map(str.isdigit, word[0])) else word[0]
