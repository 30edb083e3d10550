"""A chat request, checked: dict in, `Chat` out, or `ApiError` in OpenAI's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.local import messages, structured, tools
from evalkit.local.errors import ApiError, kind_of, unknown, unsupported, wrong_type
from evalkit.local.fields import NUMBERS, at_most, boolean, mapping, number, string
from evalkit.local.manners import PLAIN, Manners
from evalkit.local.messages import Talk
from evalkit.local.model import tokenize
from evalkit.local.sampler import Settings
from evalkit.local.schema import Schema
from evalkit.local.tools import Tools

CONTEXT_WINDOW = 8192
"""Tokens of prompt and answers together."""

_OF_NUMBERS = frozenset(NUMBERS) - {"dimensions"}
_TAKEN = _OF_NUMBERS | {
    *("messages", "model", "stop", "stream", "stream_options", "logit_bias", "user", "logprobs"),
    *("response_format", "tools", "tool_choice", "parallel_tool_calls"),
}
# What the API knows and this model does not do, with the values that ask for nothing.
_IDLE: dict[str, tuple[object, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "modalities": (["text"],),
    "reasoning_effort": (),
    "verbosity": (),
    "audio": (),
    "prediction": (),
    "store": (False,),
    "metadata": (),
    "service_tier": ("auto", "default"),
}
PARAMETERS = frozenset({*_TAKEN, *_IDLE}) - {"messages", "model"}
"""All that a chat request may hold and may leave out."""


class Chat(NamedTuple):
    """A valid request, ready to be answered.

    Attributes:
        limit: tokens of each choice at the most. All choices share what the prompt leaves of the context window.
        logprobs: how many of the likeliest tokens to tell with each; None for no log probabilities at all.
        tools: what may be called.
        schema: what the text must be valid under.
    """

    model: str
    talk: Talk
    prompt_tokens: int
    settings: Settings
    stop: tuple[str, ...]
    limit: int
    choices: int
    seed: int | None
    stream: bool
    include_usage: bool
    logprobs: int | None = None
    tools: Tools | None = None
    schema: Schema | None = None

    @property
    def queries(self) -> tuple[tuple[str, float], ...]:
        """The text of each message with its importance."""
        return self.talk.queries


def chat(body: object, names: Sequence[str], vocabulary: int, manners: Manners = PLAIN) -> Chat:
    """The request in `body` to a model that goes by `names` and knows so many tokens, at an endpoint of such manners."""
    given = fields(body)
    numbers = _numbers(given, manners)
    name = model_name(given, names)
    talk = messages.read(given.get("messages"))
    choices = int(numbers.get("n", 1))
    prompt_tokens, room = _room(talk)
    limit = _limit(numbers, room, manners)
    stream, include_usage = _streaming(given)
    schema = structured.read(given, [text for text, _ in talk.queries])
    logprobs = _logprobs(given, numbers)
    if schema is not None and logprobs is not None:
        raise ApiError(
            400,
            "Unsupported value: 'logprobs' does not work with a 'response_format' of JSON, which this model does not write token by token.",
            param="logprobs",
            code="unsupported_value",
        )
    return Chat(
        model=name,
        talk=talk,
        prompt_tokens=prompt_tokens,
        settings=Settings(
            temperature=float(numbers.get("temperature", 1.0)),
            top_p=float(numbers.get("top_p", 1.0)),
            frequency_penalty=float(numbers.get("frequency_penalty", 0.0)),
            presence_penalty=float(numbers.get("presence_penalty", 0.0)),
            logit_bias=_bias(given.get("logit_bias", {}), vocabulary),
            top_k=int(numbers.get("top_k", 0)),
            min_p=float(numbers.get("min_p", 0.0)),
            manners=manners,
        ),
        stop=_stop(given.get("stop", []), manners.most_stops),
        limit=max(min(1, limit), min(limit, room // choices)),
        choices=choices,
        seed=int(numbers["seed"]) if "seed" in numbers else None,
        stream=stream,
        include_usage=include_usage,
        logprobs=logprobs,
        tools=tools.read(given),
        schema=schema,
    )


def _numbers(given: Mapping[str, Any], manners: Manners) -> dict[str, float]:
    """The numbers of a request that holds nothing but what is taken."""
    filters = {"top_k", "min_p"} if manners.takes_filters else set()
    for key, value in given.items():
        if key in _IDLE:
            if value not in _IDLE[key]:
                raise unsupported(key)
        elif key not in _TAKEN and key not in filters:
            raise unknown(key)
    ends = {"temperature": {"high": manners.hottest}} | dict.fromkeys(("max_tokens", "max_completion_tokens"), _lowest_limit(manners))
    return {name: number(name, given[name], **ends.get(name, {})) for name in given if name in _OF_NUMBERS or name in filters}


def _lowest_limit(manners: Manners) -> dict[str, float]:
    return {} if manners.of_zero == "refused" else {"low": 0}


def _limit(numbers: Mapping[str, float], room: int, manners: Manners) -> int:
    """The limit of tokens that holds, of the two that may be sent."""
    names = ("max_tokens", "max_completion_tokens") if manners.winner == "max_tokens" else ("max_completion_tokens", "max_tokens")
    sent = [int(numbers[name]) for name in names if name in numbers]
    limit = room if not sent else min(sent) if manners.winner == "smaller" else sent[0]
    if limit > 0:
        return limit
    return {"none": 0, "one": 1}.get(manners.of_zero, room)


def fields(body: object) -> dict[str, Any]:
    """What `body` says; null is as good as left out."""
    if not isinstance(body, dict):
        raise ApiError(400, f"The request body must be a JSON object, not {kind_of(body)}.")
    return {key: value for key, value in body.items() if value is not None}


def model_name(given: Mapping[str, Any], names: Sequence[str]) -> str:
    """The model that a request names, which must be one of `names`."""
    if "model" not in given:
        raise ApiError(400, "you must provide a model parameter", param="model", code="missing_required_parameter")
    name = string("model", given["model"])
    if name not in names:
        raise no_such_model(name, names)
    return name


def no_such_model(name: str, names: Sequence[str]) -> ApiError:
    """The answer to a request of a model that is not there."""
    return ApiError(404, f"The model '{name[:100]}' does not exist. This endpoint serves: {', '.join(names)}.", param="model", code="model_not_found")


def _room(talk: Talk) -> tuple[int, int]:
    """Tokens of the prompt, and how many it leaves for answers."""
    prompt_tokens = sum(len(tokenize(text)) for text, _ in talk.queries)
    if prompt_tokens >= CONTEXT_WINDOW:
        raise ApiError(
            400,
            f"This model's maximum context length is {CONTEXT_WINDOW} tokens. However, your messages resulted in {prompt_tokens} tokens.",
            param="messages",
            code="context_length_exceeded",
        )
    return prompt_tokens, CONTEXT_WINDOW - prompt_tokens


def _streaming(given: Mapping[str, Any]) -> tuple[bool, bool]:
    options = mapping("stream_options", given.get("stream_options", {}))
    stream = boolean("stream", given.get("stream", False))
    if options and not stream:
        raise ApiError(400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream_options")
    return stream, boolean("stream_options.include_usage", options.get("include_usage", False))


def _logprobs(given: Mapping[str, Any], numbers: Mapping[str, float]) -> int | None:
    if boolean("logprobs", given.get("logprobs", False)):
        return int(numbers.get("top_logprobs", 0))
    if "top_logprobs" in numbers:
        raise ApiError(400, "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.", param="top_logprobs")
    return None


def _stop(value: object, most: int) -> tuple[str, ...]:
    stop = [value] if isinstance(value, str) else value
    if not isinstance(stop, list) or not all(isinstance(one, str) and one for one in stop):
        raise wrong_type("stop", value, "a non-empty string or an array of them")
    at_most("stop", stop, most)
    return tuple(stop)


def _bias(value: object, vocabulary: int) -> dict[int, float]:
    bias: dict[int, float] = {}
    for key, amount in mapping("logit_bias", value).items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or not -100 <= amount <= 100:
            raise ApiError(400, "Invalid value for 'logit_bias': a bias is a number from -100 to 100.", param="logit_bias")
        digits = str(key)[:40]
        if not digits.isdecimal() or int(digits) >= vocabulary:
            raise ApiError(400, f"Invalid key in 'logit_bias': {digits!r}. Expected a token id from 0 to {vocabulary - 1}.", param="logit_bias")
        bias[int(digits)] = float(amount)
    return bias
