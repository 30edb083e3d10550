"""Answers that follow a JSON Schema: the text of a `response_format`, or calls of functions.

They are made as a whole, from the user's words and the model's, and handed out in pieces like any other answer. The sampling
parameters shape what the model contributes; at temperature 0 every choice is the same, whatever the seed.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evalkit.local.completion import FinishReason
from evalkit.local.errors import ApiError, wrong_value
from evalkit.local.fields import boolean, identifier, mapping, only, string
from evalkit.local.instances import NoValueError, Source, make
from evalkit.local.messages import Talk
from evalkit.local.model import BREAK, END, Conditioned, pieces, terms, tokenize
from evalkit.local.sampler import Sampler, Settings
from evalkit.local.schema import Schema, SchemaError
from evalkit.local.tools import ToolFunction

_BABBLE = 0.5
_LONGEST_PHRASE = 10
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,6})?(?![\w.]*\w)")
_ANY_OBJECT = Schema(
    {
        "type": "object",
        "properties": {
            "topics": {"type": "array", "items": {"type": "string", "maxLength": 20}, "minItems": 1, "maxItems": 3},
            "text": {"type": "string", "minLength": 60},
        },
        "required": ["topics", "text"],
    }
)


class Written:
    """A text that was made as a whole; iterate for its pieces, a token each."""

    def __init__(self, text: str, *, limit: int, stop: Sequence[str] = ()) -> None:
        cut = pieces(text)
        self.finish_reason: FinishReason = "stop" if len(cut) <= limit else "length"
        shown = "".join(cut[:limit])
        end = min((at for one in stop if (at := shown.find(one)) >= 0), default=-1)
        if end >= 0:
            self.finish_reason = "stop"
            cut = pieces(shown[:end])
        self._pieces = cut[:limit]
        self.tokens = len(self._pieces)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)


class WrittenCall(NamedTuple):
    """A call of a function; its arguments are JSON, in pieces of a token."""

    id: str
    name: str
    arguments: tuple[str, ...]


class Called:
    """Calls in the place of a text: there is nothing to read, so iterating gives no text."""

    def __init__(self, calls: Sequence[tuple[str, str]], *, limit: int) -> None:
        self.calls: list[WrittenCall] = []
        self.tokens = 0
        self.finish_reason: FinishReason = "tool_calls"
        for name, arguments in calls:
            if self.tokens >= limit:
                self.finish_reason = "length"
                break
            cut = pieces(arguments)
            room = max(0, limit - self.tokens - len(tokenize(name)))
            if len(cut) > room:
                self.finish_reason = "length"
            self.calls.append(WrittenCall(f"call_{secrets.token_hex(12)}", name, tuple(cut[:room])))
            self.tokens = min(limit, self.tokens + len(tokenize(name)) + len(cut))

    def __iter__(self) -> Iterator[str]:
        return iter(())


def read(given: Mapping[str, Any], texts: Sequence[str]) -> Schema | None:
    """What ``response_format`` asks the answer to be valid under, or None where any text will do."""
    where = "response_format"
    wanted = mapping(where, given.get(where, {"type": "text"}))
    kind = string(f"{where}.type", wanted.get("type"))
    if kind == "text":
        return None
    if kind == "json_object":
        if not any("json" in text.lower() for text in texts):
            raise ApiError(
                400,
                "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
                param="messages",
            )
        return _ANY_OBJECT
    if kind != "json_schema":
        raise wrong_value(f"{where}.type", kind, ("json_object", "json_schema", "text"))
    where = f"{where}.json_schema"
    described = {key: value for key, value in mapping(where, wanted.get("json_schema")).items() if value is not None}
    only(where, described, frozenset(("name", "description", "schema", "strict")))
    name = identifier(f"{where}.name", described.get("name"))
    string(f"{where}.description", described.get("description", ""))
    boolean(f"{where}.strict", described.get("strict", False))
    try:
        return Schema(mapping(f"{where}.schema", described.get("schema", {"type": "object"})))
    except SchemaError as error:
        raise ApiError(400, f"Invalid schema for response_format '{name}': {error}", param="response_format") from None


class Writer:
    """Makes the structured answers of one choice, under one prompt."""

    def __init__(self, model: Conditioned, settings: Settings, rng: np.random.Generator, talk: Talk) -> None:
        self._model, self._settings = model, settings
        self._rng = np.random.default_rng(0) if settings.temperature == 0 else rng
        self._talk = talk

    def text(self, schema: Schema, *, limit: int, stop: Sequence[str]) -> Written:
        """A text that is valid under `schema`, cut at the limit and at a stop like any other."""
        return Written(self._json(schema, "response_format", frozenset(), _BABBLE), limit=limit, stop=stop)

    def calls(self, functions: Sequence[ToolFunction], *, limit: int) -> Called:
        """Calls of the functions; their arguments speak of what the user said beside the function's own words."""
        made = [(one.name, self._json(one.schema, f"function '{one.name}'", one.named | one.described | one.taken, 0.0)) for one in functions]
        return Called(made, limit=limit)

    def _json(self, schema: Schema, whose: str, known: frozenset[str], babble: float) -> str:
        words = [word for word in dict.fromkeys(_WORD.findall(self._talk.asked)) if terms(word) and not word.isdecimal()]
        telling = [word for word in words if not known.issuperset(terms(word))] or words
        numbers = [float(one) if "." in one else int(one) for one in dict.fromkeys(_NUMBER.findall(self._talk.asked))]
        try:
            return _spelled(make(schema, Source(telling, numbers, self._phrase, babble), self._rng))
        except NoValueError as error:
            raise ApiError(400, f"Invalid schema for {whose}: {error}.", code="invalid_schema") from None

    def _phrase(self) -> str:
        """A few words of the model, up to the first sign between them."""
        sampler = Sampler(self._model, self._settings, self._rng)
        context, text = [BREAK], ""
        for _ in range(_LONGEST_PHRASE):
            token = sampler.draw(context)
            piece = self._model.model.vocabulary[token]
            if token in (END, BREAK) or (text and not piece[-1:].isalnum()):
                break
            context = [*context[-2:], token]
            text += piece
        return text.strip()


def _spelled(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, in a name or a value of the schema
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text
