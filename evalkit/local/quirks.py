"""Quirks of real servers, put on: parameters that are forgotten, refused, clamped or have other defaults; noise; missing ends.

What a quirk does to a request it does to its body, here and nowhere else, before the body is checked; what it does to the meaning of a
parameter it does to the endpoint's `Manners`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from evalkit.local import embeddings, validation
from evalkit.local.draws import share_of, whole_number
from evalkit.local.errors import ApiError, unsupported
from evalkit.local.manners import PLAIN, Manners

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
MANNERS = frozenset(("order", "filters", "hidden", "penalties", "ends", "seeding", "counting", "stopping", "probabilities"))
"""Quirks that change what a parameter means; the `value` of such a quirk holds its fields."""

_NEIGHBOURS = 8  # seeds that one server takes for one
_HOTTEST = 100.0
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
    manners: Manners = PLAIN

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


def twist(body: object, quirks: Sequence[Quirk], route: str, seed: int, number: int, beside: int = 0) -> Twisted:
    """What request `number` of `route` (chat or embeddings) is answered for instead of `body`, while so many others are, `beside` it."""
    if not isinstance(body, dict):
        return Twisted(body)
    by: list[Quirk] = []
    manners = PLAIN
    for at, quirk in enumerate(quirks):
        if route == "chat" and quirk.name in MANNERS:
            by.append(quirk)
            manners = replace(manners, **_meant(quirk))
        try:
            changed = _changed(body, quirk, route, seed, f"{number}/{at}", beside)
        except ApiError as refusal:
            return Twisted(body, (*by, quirk), refusal)
        if quirk.name in MANNERS:
            body = changed
            continue
        if changed is not body or quirk.name == "no_usage" or (quirk.name == "no_done" and body.get("stream") is True):
            by.append(quirk)
        body = changed
    return Twisted(body, tuple(by), manners=manners)


def _meant(quirk: Quirk) -> dict[str, Any]:
    """The fields of `Manners` that a quirk of `MANNERS` sets."""
    given = quirk.value
    match quirk.name:
        case "order":
            return {"cuts_first": given["value"] == "top_p_first", "takes_filters": True}
        case "hidden" | "filters":
            return {"takes_filters": True}
        case "penalties":
            names = {"count": "counted", "window": "window", "kind": "kind", "apart": "apart", "at_zero": "at_zero"}
        case "counting":
            names = {"end": "counts_end", "trimmed": "counts_trimmed", "hidden": "hidden_tokens", "wins": "winner", "zero": "of_zero"}
        case "stopping":
            names = {"value": "stops", "most": "most_stops"}
        case "probabilities":
            names = {"of": "told"}
        case "ends":
            return {"hottest": _HOTTEST} if given.get("beyond") == "taken" else {}
        case _:
            return {"copies": True} if given["value"] == "copies" else {}
    return {field: given[name] for name, field in names.items() if name in given}


def _mannered(body: dict[str, Any], quirk: Quirk, seed: int, draw: str, beside: int) -> dict[str, Any]:
    """What a quirk of `MANNERS` makes of a chat request's body."""
    given = quirk.value
    match quirk.name:
        case "hidden":
            return {**given, **{name: value for name, value in body.items() if value is not None}}
        case "ends":
            return _ended(body, given)
        case "penalties" if given.get("kind") == "multiplicative" and _is_number(body.get("frequency_penalty")) and body["frequency_penalty"] <= 0:
            raise ApiError(500, "The penalty has to be a strictly positive number.", param="frequency_penalty")
        case "seeding" if _is_number(body.get("seed")):
            if given["value"] == "neighbours":
                return body | {"seed": int(body["seed"]) // _NEIGHBOURS}
            if given["value"] == "alone" and beside:
                return body | {"seed": whole_number(seed, f"beside/{draw}")}
    return body


def _ended(body: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Temperature and top_p at their ends, as the quirk `ends` has them."""
    heat = body.get("temperature")
    if body.get("top_p") == 0 and given.get("top_p_zero") == "refused":
        raise ApiError(400, "top_p must be in (0, 1], got 0.", param="top_p")
    if body.get("top_p") == 0 and given.get("top_p_zero") == "all":
        body = _without(body, "top_p")
    if isinstance(heat, bool) or not isinstance(heat, int | float):
        return body
    if heat == 0:
        return {"greedy": body, "unset": _without(body, "temperature"), "least": body | {"temperature": given.get("least", 1.0)}}[
            given.get("zero", "greedy")
        ]
    if heat > 2 and given.get("beyond") == "clamped":
        heat = 2.0
    return body | {"temperature": min(max(heat, given.get("least", 0.0)), given.get("most", _HOTTEST))}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _changed(body: dict[str, Any], quirk: Quirk, route: str, seed: int, draw: str, beside: int) -> dict[str, Any]:
    name = quirk.parameter
    if quirk.name in MANNERS:
        return _mannered(body, quirk, seed, draw, beside) if route == "chat" else body
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
