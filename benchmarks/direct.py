"""What a server does with each parameter, by calls made with the standard library alone: the truth that a probe is held against.

One call at a time, nothing else running, at other questions than the probe's; a parameter is *honoured* where it does in kind what OpenAI's
manual says of it (a penalty changes answers, a stop sequence ends them), *ignored* where it is accepted and does nothing, *rejected* where every
call with it is an error. What a server does otherwise than one would expect is told beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from typing import Any, NamedTuple

_QUESTIONS = ("Tell the story of a ship that is lost at sea, in many words.", "Explain how bread is made, from the corn to the loaf.")
_SEEDS = (11, 700_001, 1_234_567_891, 40_009)
_TOKENS = 40
_TOOL = {
    "name": "weather",
    "description": "Tell the weather of a town.",
    "parameters": {"type": "object", "properties": {"town": {"type": "string"}}},
}


class Truth(NamedTuple):
    """A verdict, and the calls' own words for it."""

    verdict: str
    seen: str


class RefusedError(Exception):
    """An HTTP status that is no success, with the server's words."""


class Direct:
    """A server, asked directly."""

    def __init__(self, port: int, model: str) -> None:
        self._port, self._model = port, model
        self.calls = 0

    def post(self, question: str, fields: dict[str, Any]) -> tuple[str, bytes]:
        """One call: the type of what came, and all of it. Raises `RefusedError`."""
        self.calls += 1
        body = {"model": self._model, "messages": [{"role": "user", "content": question}], "max_tokens": _TOKENS, **fields}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=300)
        try:
            text = json.dumps({name: value for name, value in body.items() if value is not None})
            connection.request("POST", "/v1/chat/completions", text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise RefusedError(f"HTTP {response.status}: {raw.decode('utf-8', 'replace')[:150]}")
        return response.headers.get_content_type(), raw

    def whole(self, question: int = 0, **fields: Any) -> dict[str, Any]:
        """The body of one answer."""
        body: dict[str, Any] = json.loads(self.post(_QUESTIONS[question], fields)[1])
        return body

    def text(self, question: int = 0, **fields: Any) -> str:
        """The text of one answer."""
        return self.whole(question, **fields)["choices"][0]["message"].get("content") or ""


def battery(port: int, model: str) -> tuple[dict[str, Truth], int]:
    """The truth on each parameter, and the calls it took."""
    direct = Direct(port, model)
    out = {}
    for parameter, ask in _ASKED.items():
        try:
            out[parameter] = ask(direct)
        except RefusedError as refusal:
            out[parameter] = Truth("rejected", str(refusal))
    return out, direct.calls


def _shown(changes: bool, seen: str) -> Truth:
    return Truth("honoured" if changes else "ignored", seen)


def _kinds(texts: Sequence[str]) -> str:
    return f"{len(set(texts))} of {len(texts)} texts"


def _temperature(direct: Direct) -> Truth:
    cold, hot = [[direct.text(temperature=value, seed=seed) for seed in _SEEDS] for value in (0, 1.5)]
    return _shown(len(set(hot)) > len(set(cold)), f"at 0 {_kinds(cold)}, at 1.5 {_kinds(hot)}")


def _top_p(direct: Direct) -> Truth:
    narrow, free = [[direct.text(temperature=1.2, top_p=value, seed=seed) for seed in _SEEDS] for value in (0.001, None)]
    return _shown(len(set(narrow)) < len(set(free)), f"at 0.001 {_kinds(narrow)}, without it {_kinds(free)}")


def _penalty(name: str) -> Callable[[Direct], Truth]:
    def ask(direct: Direct) -> Truth:
        plain, weak, strong = [
            [direct.text(question, temperature=0, max_tokens=90, **{name: value}) for question in range(2)] for value in (None, 1.0, 2.0)
        ]
        return _shown(plain != strong, f"at temperature 0, 2 against none: {_other(plain, strong)}; 2 against 1: {_other(weak, strong)}")

    return ask


def _other(some: Sequence[str], others: Sequence[str]) -> str:
    return f"{sum(a != b for a, b in zip(some, others, strict=True))} of {len(some)} differ"


def _limit(name: str) -> Callable[[Direct], Truth]:
    def ask(direct: Direct) -> Truth:
        lengths = []
        for limit in (5, 23):
            choice = direct.whole(**{"max_tokens": None, name: limit})
            lengths.append((choice.get("usage") or {}).get("completion_tokens") or len(choice["choices"][0]["message"]["content"].split()))
        return _shown(lengths[0] <= 6 and lengths[1] <= 24, f"limits 5 and 23: {lengths[0]} and {lengths[1]} tokens")

    return ask


def _stop(direct: Direct) -> Truth:
    text = direct.text(temperature=0, max_tokens=60)
    words = text.split(" ")
    inner = next((index for index in range(2, len(words) - 2) if words[index].isalpha() and words[index + 1].isalpha()), 2)
    ended = {}
    for sequence in (" ", " ".join(["", *words[inner : inner + 2]])):
        answer = direct.text(temperature=0, max_tokens=60, stop=[sequence])
        ended[sequence] = "went on" if len(answer) > text.find(sequence) + len(sequence) + 12 else f"gave {answer!r}"
    return _shown(any(seen != "went on" for seen in ended.values()), "; ".join(f"at {sequence!r} {seen}" for sequence, seen in ended.items()))


def _seed(direct: Direct) -> Truth:
    first, second = [[direct.text(temperature=1, seed=seed) for seed in _SEEDS] for _ in range(2)]
    return _shown(first == second and len(set(first)) > 1, f"again: {_other(first, second)}; {len(_SEEDS)} seeds gave {len(set(first))} texts")


def _n(direct: Direct) -> Truth:
    given = len(direct.whole(n=2, temperature=1)["choices"])
    return _shown(given == 2, f"asked for 2 choices: {given}")


def _logit_bias(direct: Direct) -> Truth:
    plain, biased = [[direct.text(question, temperature=0, logit_bias=bias) for question in range(2)] for bias in (None, {"1000": 100})]
    return _shown(plain != biased, f"100 for one token: {_other(plain, biased)}")


def _logprobs(direct: Direct) -> Truth:
    given = bool((direct.whole(logprobs=True, top_logprobs=2)["choices"][0].get("logprobs") or {}).get("content"))
    return _shown(given, "given" if given else "none given")


def _stream(direct: Direct) -> Truth:
    kind, raw = direct.post(_QUESTIONS[0], {"stream": True})
    events = raw.count(b"data:")
    return _shown(kind == "text/event-stream" and events > 2, f"{kind}, {events} events{'' if b'[DONE]' in raw else ', no [DONE]'}")


def _usage(direct: Direct) -> Truth:
    def counted(**fields: Any) -> bool:
        raw = direct.post(_QUESTIONS[0], {"stream": True, **fields})[1]
        events = [json.loads(line[5:]) for line in raw.splitlines() if line.startswith(b"data:") and b"[DONE]" not in line]
        return any((event.get("usage") or {}).get("completion_tokens") for event in events)

    asked, unasked = counted(stream_options={"include_usage": True}), counted()
    return _shown(asked, f"asked for: {asked}; not asked for: {unasked}")


def _response_format(direct: Direct) -> Truth:
    texts = [direct.text(question, response_format={"type": "json_object"}, max_tokens=300, temperature=0) for question in range(2)]
    return _shown(all(text.lstrip().startswith("{") for text in texts), f"answers begin {texts[0][:12]!r} and {texts[1][:12]!r}")


def _tools(direct: Direct) -> Truth:
    given = {"tools": [{"type": "function", "function": _TOOL}], "max_tokens": 600, "temperature": 0}
    named = {"type": "function", "function": {"name": "weather"}}
    called = []
    for choice in (named, "required"):
        try:
            called.append(bool(direct.whole(tool_choice=choice, **given)["choices"][0]["message"].get("tool_calls")))
        except RefusedError:
            if choice == "required":
                raise
            called.append(False)
    return _shown(any(called), f"by name: {called[0]}; required: {called[1]}")


_ASKED: dict[str, Callable[[Direct], Truth]] = {
    "temperature": _temperature,
    "top_p": _top_p,
    "frequency_penalty": _penalty("frequency_penalty"),
    "presence_penalty": _penalty("presence_penalty"),
    "max_tokens": _limit("max_tokens"),
    "max_completion_tokens": _limit("max_completion_tokens"),
    "stop": _stop,
    "seed": _seed,
    "n": _n,
    "logit_bias": _logit_bias,
    "logprobs": _logprobs,
    "stream": _stream,
    "stream_options.include_usage": _usage,
    "response_format": _response_format,
    "tools": _tools,
}
