"""Quirks of real servers, put on: parameters that are forgotten, refused, clamped or have other defaults; noise; missing ends.

What a quirk does to a request it does to its body, here and nowhere else, before the body is checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.local import embeddings, validation
from evalkit.local.draws import share_of, whole_number
from evalkit.local.errors import ApiError, unsupported

OF_OTHERS = frozenset(
    (
        *("top_k", "min_p", "repetition_penalty", "length_penalty", "min_tokens", "ignore_eos", "skip_special_tokens"),
        *("guided_json", "guided_regex", "guided_choice", "guided_grammar", "chat_template_kwargs"),
    )
)
"""Parameters of other servers, which this endpoint refuses unless they are ignored."""

_HANGS_ON = {"stream": ("stream_options",), "logprobs": ("top_logprobs",), "tools": ("tool_choice", "parallel_tool_calls")}
"""What makes no sense any more once a parameter is forgotten."""

_PARAMETERS = {"chat": validation.PARAMETERS | OF_OTHERS, "embeddings": embeddings.PARAMETERS}
_NOISE = 0.7
"""The temperature of what should have been the likeliest answer."""


class Quirk(NamedTuple):
    """One quirk; which of the fields count depends on its name."""

    name: str
    parameter: str = ""
    low: float | None = None
    high: float | None = None
    value: Any = None
    share: float = 1.0

    def __str__(self) -> str:
        return f"{self.name} {self.parameter}".rstrip()


class Twisted(NamedTuple):
    """A request's body after the quirks, those that had anything to do, and the refusal that one of them means.

    What `no_done` and `no_usage` do they do to the answer; here they only stand among `by`.
    """

    body: object
    by: tuple[Quirk, ...] = ()
    refusal: ApiError | None = None

    def asked(self) -> object:
        """The body that counts; raises `ApiError` where it is refused."""
        if self.refusal:
            raise self.refusal
        return self.body

    def told(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The body or the chunk of an answer as it is sent."""
        return _without(answer, "usage") if self.has("no_usage") else answer

    def has(self, name: str) -> bool:
        """Whether the quirk `name` is among them."""
        return any(quirk.name == name for quirk in self.by)


def twist(body: object, quirks: Sequence[Quirk], route: str, seed: int, number: int) -> Twisted:
    """What request `number` of `route` (chat or embeddings) is answered for instead of `body`."""
    if not isinstance(body, dict):
        return Twisted(body)
    by: list[Quirk] = []
    for at, quirk in enumerate(quirks):
        try:
            changed = _changed(body, quirk, route, seed, f"{number}/{at}")
        except ApiError as refusal:
            return Twisted(body, (*by, quirk), refusal)
        if changed is not body or quirk.name == "no_usage" or (quirk.name == "no_done" and body.get("stream") is True):
            by.append(quirk)
        body = changed
    return Twisted(body, tuple(by))


def _changed(body: dict[str, Any], quirk: Quirk, route: str, seed: int, draw: str) -> dict[str, Any]:
    name = quirk.parameter
    if name and name not in _PARAMETERS[route]:
        return body
    given = body.get(name)
    match quirk.name:
        case "ignore" if given is not None:
            return _without(body, name, *_HANGS_ON.get(name, ()))
        case "reject" if given is not None:
            raise unsupported(name)
        case "clamp" if isinstance(given, int | float) and not isinstance(given, bool):
            clamped = _clamped(given, quirk.low, quirk.high)
            return body if clamped == given else body | {name: clamped}
        case "default" if given is None:
            return body | {name: quirk.value}
        case "noisy" if route == "chat" and (body.get("seed") is not None or body.get("temperature") == 0):
            if share_of(seed, f"noise/{draw}") < quirk.share:
                warm = {"temperature": _NOISE} if body.get("temperature") == 0 else {}
                return body | warm | {"seed": whole_number(seed, f"seed/{draw}")}
        case "no_usage" if isinstance(body.get("stream_options"), dict):
            return body | {"stream_options": _without(body["stream_options"], "include_usage")}
    return body


def _clamped(value: float, low: float | None, high: float | None) -> float:
    if low is not None and value < low:
        return low
    return high if high is not None and value > high else value


def _without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in names}
