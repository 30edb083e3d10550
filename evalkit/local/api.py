"""The API of the local models, dict in and dict out: no sockets, no HTTP.

Bodies and errors have the form of OpenAI's; `ApiError` carries the status that goes with an error body.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from importlib import resources
from typing import Any

import numpy as np

from evalkit.local import embeddings, structured, tools, validation
from evalkit.local.completion import Answer
from evalkit.local.corpus import sections
from evalkit.local.embeddings import EMBEDDING_MODEL, Embedder, Floats, Wanted
from evalkit.local.errors import ApiError
from evalkit.local.manners import PLAIN, Manners
from evalkit.local.model import Conditioned, Model
from evalkit.local.structured import Called, Written
from evalkit.local.validation import CONTEXT_WINDOW, Chat

__all__ = ["CONTEXT_WINDOW", "DESCRIPTION", "MODEL_NAME", "Api", "ApiError", "Chat"]

MODEL_NAME = "babbler"
DESCRIPTION = "A word-level n-gram model of Python's own documentation. It babbles about the question; it does not answer it."

_PROMPTS_REMEMBERED = 32
_DECIDE_THE_TEXT = ("corpus", "model", "sampler", "completion", "tools", "structured", "instances", "schema")

AnyAnswer = Answer | Written | Called


class Api:
    """The endpoints over one model, which goes by `names` (the first is its own), and the embedding model beside it.

    `draw` gives so many random bits: the seed of an answer whose request names none.
    """

    def __init__(self, model: Model, names: Sequence[str] = (MODEL_NAME,), draw: Callable[[int], int] = secrets.randbits) -> None:
        self._model = model
        self._draw = draw
        self._names = tuple(dict.fromkeys(names))
        self._remembered: OrderedDict[tuple[tuple[str, float], ...], Conditioned] = OrderedDict()
        self.fingerprint = f"fp_{_fingerprint(model)}"
        self._since = int(time.time())

    def models(self) -> dict[str, Any]:
        """Body of ``GET /models``."""
        return {"object": "list", "data": [self.model(name) for name in dict.fromkeys([*self._names, EMBEDDING_MODEL])]}

    def model(self, name: str) -> dict[str, Any]:
        """Body of ``GET /models/{name}``; raises `ApiError` 404 for another model."""
        if name not in (*self._names, EMBEDDING_MODEL):
            raise validation.no_such_model(name, (*self._names, EMBEDDING_MODEL))
        about = DESCRIPTION if name in self._names else embeddings.DESCRIPTION
        return {"id": name, "object": "model", "created": self._since, "owned_by": "evalkit", "description": about}

    def chat(self, body: object, manners: Manners = PLAIN) -> Chat:
        """The chat request in `body`, checked; raises `ApiError` with OpenAI's words and the offending parameter."""
        if isinstance(body, dict) and body.get("model") == EMBEDDING_MODEL and EMBEDDING_MODEL not in self._names:
            raise _other_route(EMBEDDING_MODEL, "/embeddings")
        return validation.chat(body, self._names, len(self._model.vocabulary), manners)

    def answers(self, chat: Chat) -> list[AnyAnswer]:
        """The answers to `chat`, one a choice: texts not yet written, or what had to be made as a whole.

        Raises:
            ApiError: no value was found that a schema allows.
        """
        conditioned = self._condition(chat.queries)
        seed = self._draw(64) if chat.seed is None else chat.seed % 2**64
        functions = tools.called(chat.tools, chat.talk) if chat.tools else []
        manners = chat.settings.manners
        heard = [] if manners.counted == "answer" else [token for text, _ in chat.queries for token in self._model.heard(text)]

        def answer(index: int) -> AnyAnswer:
            rng = np.random.default_rng([seed, 0 if manners.copies else index])
            if functions:
                return structured.Writer(conditioned, chat.settings, rng, chat.talk).calls(functions, limit=chat.limit)
            if chat.schema:
                return structured.Writer(conditioned, chat.settings, rng, chat.talk).text(chat.schema, limit=chat.limit, stop=chat.stop)
            return Answer(conditioned, chat.settings, rng, limit=chat.limit, stop=chat.stop, logprobs=chat.logprobs, heard=heard)

        return [answer(index) for index in range(chat.choices)]

    def _condition(self, queries: tuple[tuple[str, float], ...]) -> Conditioned:
        known = self._remembered.pop(queries, None) or self._model.condition(queries)
        self._remembered[queries] = known
        if len(self._remembered) > _PROMPTS_REMEMBERED:
            self._remembered.popitem(last=False)
        return known

    def completion(self, chat: Chat, answers: Sequence[AnyAnswer], texts: Sequence[str]) -> dict[str, Any]:
        """Body of a plain answer, once all `answers` are written and their `texts` collected."""
        choices = [
            {
                "index": index,
                "message": _message(answer, text),
                "logprobs": _logprobs(chat, answer, 0),
                "finish_reason": answer.finish_reason,
            }
            for index, (answer, text) in enumerate(zip(answers, texts, strict=True))
        ]
        return self._envelope(chat, "chat.completion") | {"choices": choices, "usage": _usage(chat, answers)}

    def chunks(self, chat: Chat, answers: Sequence[AnyAnswer]) -> Iterator[dict[str, Any] | None]:
        """Bodies of a streamed answer, in order, choices taking turns; None where a token brought no text to show."""
        envelope = self._envelope(chat, "chat.completion.chunk")
        if chat.include_usage:
            envelope["usage"] = None

        def chunk(index: int, delta: dict[str, Any], finish_reason: str | None = None, logprobs: Any = None) -> dict[str, Any]:
            choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
            return envelope | {"choices": [choice]}

        for index, answer in enumerate(answers):
            yield chunk(index, {"role": "assistant", "content": None if isinstance(answer, Called) else "", "refusal": None})
        writing = {index: _deltas(answer) for index, answer in enumerate(answers)}
        scored = [0] * len(answers)
        while writing:
            for index, deltas in list(writing.items()):
                answer = answers[index]
                try:
                    delta = next(deltas)
                except StopIteration:
                    del writing[index]
                    yield chunk(index, {}, answer.finish_reason)
                    continue
                if delta is None:
                    yield None
                    continue
                logprobs = _logprobs(chat, answer, scored[index])
                scored[index] += len(logprobs["content"]) if logprobs else 0
                yield chunk(index, delta, logprobs=logprobs)
        if chat.include_usage:
            yield envelope | {"choices": [], "usage": _usage(chat, answers)}

    def _envelope(self, chat: Chat, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": chat.model,
            "system_fingerprint": self.fingerprint,
        }

    def embeddings(self, body: object) -> Wanted:
        """The request for embeddings in `body`, checked; raises `ApiError`."""
        if isinstance(body, dict) and body.get("model") in self._names and body["model"] != EMBEDDING_MODEL:
            raise _other_route(body["model"], "/chat/completions")
        return embeddings.read(body)

    def vectors(self, wanted: Wanted) -> Iterator[Floats]:
        """The vectors of the texts, in order; `embeddings.body` makes the answer of them."""
        return (self._embedder.embed(text, wanted.dimensions) for text in wanted.texts)

    @cached_property
    def _embedder(self) -> Embedder:
        return Embedder(sections())


def _deltas(answer: AnyAnswer) -> Iterator[dict[str, Any] | None]:
    """What each chunk adds, None where it is nothing to show."""
    if not isinstance(answer, Called):
        for piece in answer:
            yield {"content": piece} if piece else None
        return
    for at, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": at, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}]}
        for piece in call.arguments:
            yield {"tool_calls": [{"index": at, "function": {"arguments": piece}}]}


def _message(answer: AnyAnswer, text: str) -> dict[str, Any]:
    if not isinstance(answer, Called):
        return {"role": "assistant", "content": text, "refusal": None}
    calls = [{"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.arguments)}} for call in answer.calls]
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": calls}


def _logprobs(chat: Chat, answer: AnyAnswer, since: int) -> dict[str, Any] | None:
    if chat.logprobs is None or not isinstance(answer, Answer):
        return None
    return {"content": answer.scores[since:], "refusal": None}


def _usage(chat: Chat, answers: Sequence[AnyAnswer]) -> dict[str, int]:
    written = sum(answer.tokens + chat.settings.manners.hidden_tokens for answer in answers)
    return {"prompt_tokens": chat.prompt_tokens, "completion_tokens": written, "total_tokens": chat.prompt_tokens + written}


def _other_route(name: str, route: str) -> ApiError:
    return ApiError(404, f"The model '{name}' does not work here; ask it at {route}.", param="model", code="model_not_found")


def _fingerprint(model: Model) -> str:
    """Hash of what was read and of the code that reads it: the same fingerprint and seed, the same text."""
    digest = hashlib.sha256("\0".join(model.vocabulary).encode())
    digest.update(model.positions)
    for name in _DECIDE_THE_TEXT:
        digest.update(resources.files(__package__).joinpath(f"{name}.py").read_bytes())
    return digest.hexdigest()[:12]
