"""Which parameters does an endpoint honour? Found out by asking it, not by reading about it.

First the endpoint's own noise is measured (A/A: the same request again). Then each parameter is sent at a strong, non-default value where
it must show, beside the same requests without it:

- Where answers repeat under one seed, or at temperature 0, requests are compared pair by pair: the same text in every pair is 'ignored'
  by identity; a different one more often than the endpoint's own noise explains (Fisher's exact test) is 'honoured'.
- Where nothing repeats, two samples of answers are compared by a permutation test of their distances; 'ignored' is then said only where an
  equivalence test shows it, and 'inconclusive' otherwise.
- What has an outcome of its own (max_tokens, stop, n, logprobs, stream, tools, ...) is judged by that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from evalkit.client import Reply
from evalkit.errors import EndpointError
from evalkit.records import Completion, Failure
from evalkit.stats.equivalence import tost
from evalkit.stats.permutation import energy, more_often

Verdict = Literal["honoured", "ignored", "rejected", "clamped", "inconclusive"]

VERSION = 1
MOST_CALLS = 200

_TRIES = 3
_LONGEST_WAIT_S = 60.0
_PAIRS = 5
_SAMPLE = 8
_LEVEL = 0.02
_MARGIN = 0.1
_SHORT, _LONG = 48, 120
_TOPICS = (
    "how a program handles errors and exceptions",
    "how lists, slices and sequences work",
    "how classes, instances and their attributes work",
    "how names, scopes and modules work",
    "how functions are defined and called",
)
_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up a topic in the manual.",
        "parameters": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"], "additionalProperties": False},
    },
}
KNOWN = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "max_tokens",
    "max_completion_tokens",
    "stop",
    "seed",
    "n",
    "logit_bias",
    "logprobs",
    "stream",
    "stream_options.include_usage",
    "response_format",
    "tools",
)
"""What is probed of every endpoint, in the order of the report."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one parameter, the evidence in one line, and the calls it took."""

    parameter: str
    verdict: Verdict
    evidence: str
    calls: int
    beyond: float | None = None
    """Where clamped: the value from which on nothing changes."""


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint does when a parameter is left out: the explicit value that gives the same answers, if one was found."""

    parameter: str
    equals: float | None
    evidence: str


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What ``probe.json`` holds."""

    v: int = VERSION
    base_url: str
    model: str
    at: str
    calls: int
    repeats_under_seed: str
    repeats_at_temperature_0: str
    findings: list[Finding]
    left_out: list[LeftOut]
    notes: list[str]


class Caller(Protocol):
    """What makes one call and reads all choices of its answer."""

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """One call; never raises for what endpoint or network do."""
        ...


class OutOfCallsError(Exception):
    """The budget of calls is used up."""


class RejectedError(Exception):
    """The endpoint refuses what is being probed, with its own words."""


class _Endpoint:
    """Calls within a budget, and what is known of the endpoint so far."""

    def __init__(self, caller: Caller, model: str, most_calls: int, at_once: int, rng: np.random.Generator) -> None:
        self._caller, self._model, self._most = caller, model, most_calls
        self._gate = asyncio.Semaphore(at_once)
        self.calls = 0
        self.rng = rng
        self.unusable: set[str] = set()
        self.limit_field = "max_tokens"
        self.seeds = [int(seed) for seed in rng.choice(10**6, _PAIRS, replace=False)]
        self.by_seed: tuple[int, int] | None = None
        self.greedy: tuple[int, int] | None = None

    @property
    def seeded(self) -> bool:
        """Answers repeat under one seed."""
        return self.by_seed is not None and self.by_seed[0] == 0

    @property
    def repeats_greedily(self) -> bool:
        """Answers repeat at temperature 0."""
        return self.greedy is not None and self.greedy[0] == 0

    def body(self, **fields: Any) -> dict[str, Any]:
        """A request with the fields that the endpoint takes, `tokens` its limit; None leaves a field out."""
        out = {"model": self._model, self.limit_field: fields.pop("tokens", _SHORT)} | fields
        return {name: value for name, value in out.items() if value is not None and name not in self.unusable}

    async def ask(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """One answer, tried again where the trouble passes; raises `RejectedError` with its words, `EndpointError` where it cannot be used."""
        async with self._gate:
            for tries in range(_TRIES):
                if self.calls >= self._most:
                    raise OutOfCallsError
                self.calls += 1
                reply = await self._caller.call(body, messages, stream=stream)
                if not reply.again or tries == _TRIES - 1:
                    break
                await asyncio.sleep(min(max(0.2 * 2**tries, reply.wait_s or 0.0), _LONGEST_WAIT_S))
        failure = reply.failure
        if failure is None:
            return reply
        if failure.kind == "auth":
            raise EndpointError(f"the endpoint refuses the key: {failure.message}")
        if failure.kind == "rejected":
            raise RejectedError(f"HTTP {failure.status}: {failure.message}")
        return reply

    async def texts(self, bodies: Sequence[tuple[Mapping[str, Any], int]]) -> list[str | None]:
        """What came of requests, each with the number of its topic: visible text and calls as one string; None for a failure."""
        replies = await gathered([self.ask(body, about(topic)) for body, topic in bodies])
        return [visible(reply.completions[0]) if reply.completions else None for reply in replies]

    async def pairs(self, **fields: Any) -> list[str | None]:
        """The answers to the standing pairs of topic and seed, with `fields`."""
        return await self.texts([(self.body(**{"seed": seed, **fields}), number % len(_TOPICS)) for number, seed in enumerate(self.seeds)])


async def gathered(calls: Sequence[Any]) -> list[Any]:
    """All results, in order; the first error ends the rest, all of them awaited."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return list(await asyncio.gather(*tasks))
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def about(topic: int, extra: str = "") -> list[dict[str, Any]]:
    """The conversation on one of the topics."""
    return [{"role": "user", "content": f"Write a long and detailed text on {_TOPICS[topic]}.{extra}"}]


def visible(completion: Completion) -> str:
    """An answer as one text: content, or what came in its place."""
    return completion.text or completion.reasoning or json.dumps(completion.tool_calls or "")


def distance(a: str, b: str) -> float:
    """Share of words that two texts do not have in common, in [0, 1]: 1 - Jaccard index of their sets of words."""
    first, second = set(a.split()), set(b.split())
    return 1.0 - len(first & second) / len(first | second) if first | second else 0.0


async def probe(
    caller: Caller,
    *,
    base_url: str,
    model: str,
    at: str,
    rng: np.random.Generator,
    most_calls: int = MOST_CALLS,
    at_once: int = 8,
    swept: Mapping[str, Sequence[Any]] | None = None,
    progress: Callable[[Finding], None] = lambda _: None,
) -> Probe:
    """Find out what the endpoint honours.

    Args:
        swept: levels that an experiment wants, by parameter; its other body parameters are probed too.
        progress: called with each finding.

    Raises:
        EndpointError: it cannot be reached, refuses the key, or answers nothing at all.
    """
    endpoint = _Endpoint(caller, model, most_calls, at_once, rng)
    notes: list[str] = []
    first = await _first_answer(endpoint, notes)
    if first.completions[0].usage is None:
        notes.append("plain answers carry no usage, so tokens cannot be counted")
    await _measure_noise(endpoint)
    findings: list[Finding] = []
    swept = swept or {}
    others = [name for name in swept if name not in KNOWN and name != "model"]
    for name in (*KNOWN, *others):
        before = endpoint.calls
        try:
            verdict, evidence, beyond = await _probe_one(endpoint, name, swept.get(name, ()), notes)
        except RejectedError as refusal:
            verdict, evidence, beyond = "rejected", str(refusal), None
            endpoint.unusable.add(name)
        except OutOfCallsError:
            verdict, evidence, beyond = "inconclusive", f"the {most_calls} calls were used up before it was its turn", None
        findings.append(Finding(parameter=name, verdict=verdict, evidence=evidence, calls=endpoint.calls - before, beyond=beyond))
        progress(findings[-1])
    left_out = await _left_out(endpoint, {one.parameter: one.verdict for one in findings})
    return Probe(
        base_url=base_url,
        model=model,
        at=at,
        calls=endpoint.calls,
        repeats_under_seed=_said(endpoint.by_seed),
        repeats_at_temperature_0=_said(endpoint.greedy),
        findings=findings,
        left_out=left_out,
        notes=notes,
    )


def _said(noise: tuple[int, int] | None) -> str:
    if noise is None:
        return "not found out"
    differ, of = noise
    return f"yes, in {of} of {of} repetitions" if differ == 0 else f"no: {differ} of {of} repetitions differ"


async def _first_answer(endpoint: _Endpoint, notes: list[str]) -> Reply:
    """Any answer at all; tells by which field the endpoint takes a limit."""
    refused = ""
    for field in ("max_tokens", "max_completion_tokens"):
        endpoint.limit_field = field
        try:
            reply = await endpoint.ask(endpoint.body(), about(0))
        except RejectedError as refusal:
            refused = str(refusal)
            continue
        if reply.completions:
            if field != "max_tokens":
                notes.append("this model wants max_completion_tokens: set endpoint.max_tokens_field: max_completion_tokens")
            return reply
        failed = reply.failure
        raise EndpointError(f"the endpoint gives no answer ({failed.kind if failed else '?'}): {failed.message if failed else ''}")
    raise EndpointError(f"the endpoint refuses a plain request ({refused})")


async def _measure_noise(endpoint: _Endpoint) -> None:
    """A/A: how often the same request gives another text, at temperature 0 and under one seed."""
    # A refusal or an ignored field is told where that parameter is probed.
    for fields, note in (({"temperature": 0}, "greedy"), ({"temperature": 1.0, "seed": True}, "by_seed")):
        bodies = []
        for number in range(3):
            seed = {"seed": endpoint.seeds[number]} if fields.get("seed") else {}
            body = endpoint.body(**{**fields, "seed": None, **seed})
            bodies += [(body, number)] * 3
        try:
            texts = await endpoint.texts(bodies)
        except RejectedError:
            continue
        pairs = [(texts[3 * n], texts[3 * n + m]) for n in range(3) for m in (1, 2)]
        known = [(a, b) for a, b in pairs if a is not None and b is not None]
        if known:
            setattr(endpoint, note, (sum(a != b for a, b in known), len(known)))


Judgement = tuple[Verdict, str, float | None]


async def _probe_one(endpoint: _Endpoint, name: str, levels: Sequence[Any], notes: list[str]) -> Judgement:
    match name:
        case "temperature":
            return await _temperature(endpoint, levels)
        case "top_p":
            return await _compared(endpoint, name, strong=0.05, weak=0.6, temperature=1.5, clamped="low")
        case "frequency_penalty" | "presence_penalty":
            return await _compared(endpoint, name, strong=2.0, weak=1.0, temperature=1.0, tokens=_LONG, clamped="high")
        case "max_tokens" | "max_completion_tokens":
            return await _limit(endpoint, name)
        case "stop":
            return await _stop(endpoint)
        case "seed":
            return await _seed(endpoint)
        case "n":
            return await _given(endpoint, {"n": 2}, lambda reply: len(reply.completions) == 2, "2 choices asked for", "2 given", "1 given")
        case "logit_bias":
            return await _compared(endpoint, name, strong={"1000": 100}, weak=None, temperature=1.0, clamped=None)
        case "logprobs":
            fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
            return await _given(endpoint, fields, lambda reply: bool(reply.completions[0].logprobs), "logprobs asked for", "given", "none given")
        case "stream":
            return await _stream(endpoint, notes)
        case "stream_options.include_usage":
            return await _stream_usage(endpoint)
        case "response_format":
            return await _response_format(endpoint)
        case "tools":
            forced = {"tools": [_TOOL], "tool_choice": {"type": "function", "function": {"name": "look_up"}}}
            return await _given(endpoint, forced, lambda reply: bool(reply.completions[0].tool_calls), "a tool call demanded", "given", "none given")
        case _:
            return await _unknown(endpoint, name, levels)


async def _given(
    endpoint: _Endpoint, fields: Mapping[str, Any], has: Callable[[Reply], bool], asked: str, yes: str, no: str, topic_extra: str = ""
) -> Judgement:
    """A parameter whose effect is a thing that is there or is not."""
    replies = await gathered([endpoint.ask(endpoint.body(**fields), about(number, topic_extra)) for number in range(3)])
    answered = [reply for reply in replies if reply.completions]
    given = sum(map(has, answered))
    if not answered or 0 < given < len(answered):
        return "inconclusive", f"{asked}: {yes} in {given} of {len(answered)} answers, {len(replies) - len(answered)} failed", None
    if given:
        return "honoured", f"{asked}, {yes} in {given} of {given}", None
    return "ignored", f"{asked}, {no} in {len(answered)} of {len(answered)}", None


async def _compared(
    endpoint: _Endpoint, name: str, *, strong: Any, weak: Any, temperature: float, tokens: int = _SHORT, clamped: Literal["high", "low"] | None
) -> Judgement:
    """A parameter that changes which words come: strong against absent, and against a weaker value that must still differ from it."""
    absent = {"temperature": temperature, "tokens": tokens}
    judged = await _difference(endpoint, absent, {**absent, name: strong})
    if judged[0] != "honoured" or clamped is None or not endpoint.seeded:
        return judged
    same = await _same(endpoint, {**absent, name: strong}, {**absent, name: weak})
    if same:
        return "clamped", f"{name}={strong:g} gives the very answers of {weak:g} in {same} of {same} pairs", float(weak)
    return judged


async def _difference(endpoint: _Endpoint, absent: Mapping[str, Any], present: Mapping[str, Any]) -> Judgement:
    """Do the two requests differ in what they give?"""
    if endpoint.seeded:
        noise = endpoint.by_seed
        how = "under the same seed"
        first, second = await endpoint.pairs(**absent), await endpoint.pairs(**present)
    elif endpoint.repeats_greedily and "top_p" not in present and present.get("temperature") != 0:
        # At temperature 0 all but a narrowed choice shows.
        noise = endpoint.greedy
        how = "at temperature 0"
        first = await endpoint.pairs(**{**absent, "temperature": 0, "seed": None})
        second = await endpoint.pairs(**{**present, "temperature": 0, "seed": None})
    else:
        return await _distributions(endpoint, absent, present)
    known = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    differ = sum(a != b for a, b in known)
    if len(known) < 4:
        return "inconclusive", f"only {len(known)} pairs of answers came", None
    if differ == 0:
        return "ignored", f"the same answers with and without, {how}, in {len(known)} of {len(known)} pairs", None
    moved, of = noise or (0, 0)
    p = more_often(differ, len(known), moved, of)
    evidence = f"other answers {how} in {differ} of {len(known)} pairs, its own noise {moved} of {of} (p = {p:.2g})"
    return ("honoured" if p <= _LEVEL else "inconclusive"), evidence, None


async def _same(endpoint: _Endpoint, one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Number of pairs where all are the same text; 0 where any differs or fails."""
    first, second = await endpoint.pairs(**one), await endpoint.pairs(**other)
    return len(first) if all(a is not None and a == b for a, b in zip(first, second, strict=True)) else 0


async def _distributions(endpoint: _Endpoint, absent: Mapping[str, Any], present: Mapping[str, Any]) -> Judgement:
    """Two samples of answers where nothing repeats, on the same topics: a permutation test, and an equivalence test of their inner variety."""
    samples = []
    for fields in (absent, present):
        bodies = [(endpoint.body(**{**fields, "seed": None}), number % 2) for number in range(_SAMPLE)]
        samples.append([text for text in await endpoint.texts(bodies) if text is not None])
    first, second = samples
    if min(len(first), len(second)) < 4:
        return "inconclusive", "too few answers came", None
    both = first + second
    distances = np.array([[distance(a, b) for b in both] for a in both])
    _, p = energy(distances, len(first), endpoint.rng)
    if p <= _LEVEL:
        return "honoured", f"answers with and without it differ (permutation test of {len(first)} against {len(second)}, p = {p:.2g})", None
    inner = [np.array([distance(a, b) for a, b in combinations(sample, 2)]) for sample in samples]
    size = min(map(len, inner))
    if tost(inner[1][:size] - inner[0][:size], -_MARGIN, _MARGIN).p <= _LEVEL / 10 and p > 0.5:
        return "ignored", f"as varied with as without, within {_MARGIN:g} (equivalence test), no difference seen (p = {p:.2g})", None
    return "inconclusive", f"answers do not repeat here, and {len(first)} against {len(second)} show no difference (p = {p:.2g})", None


async def _temperature(endpoint: _Endpoint, levels: Sequence[Any]) -> Judgement:
    hottest = 2.0
    try:
        await endpoint.ask(endpoint.body(temperature=hottest), about(0))
    except RejectedError:
        if any(isinstance(level, int | float) and level > 1 for level in levels):
            raise
        hottest = 1.0
    if endpoint.seeded:
        judged = await _difference(endpoint, {"temperature": 0}, {"temperature": hottest})
    else:
        judged = await _spread(endpoint, hottest)
    if judged[0] != "honoured" or hottest <= 1 or not endpoint.seeded:
        return judged
    for below in (1.5, 1.0):
        same = await _same(endpoint, {"temperature": hottest}, {"temperature": below})
        if not same:
            break
        judged = "clamped", f"temperature=2 gives the very answers of {below:g} in {same} of {same} pairs", below
    return judged


async def _spread(endpoint: _Endpoint, hottest: float) -> Judgement:
    """Without seeds: at temperature 0 answers to one question are alike, hot ones are not."""
    hot = await endpoint.texts([(endpoint.body(temperature=hottest), 0)] * 6)
    cold = await endpoint.texts([(endpoint.body(temperature=0), 0)] * 6)
    warm, still = [text for text in hot if text is not None], [text for text in cold if text is not None]
    if min(len(warm), len(still)) < 4:
        return "inconclusive", "too few answers came", None
    other = sum(text != warm[0] for text in warm[1:])
    other_cold = sum(text != still[0] for text in still[1:])
    p = more_often(other, len(warm) - 1, other_cold, len(still) - 1)
    evidence = f"answers to one question differ in {other} of {len(warm) - 1} at {hottest:g}, in {other_cold} of {len(still) - 1} at 0 (p = {p:.2g})"
    if p <= _LEVEL:
        return "honoured", evidence, None
    if other == 0:
        return "ignored", f"all answers to one question are the same at {hottest:g} as at 0" if warm[0] == still[0] else evidence, None
    return await _distributions(endpoint, {"temperature": 0}, {"temperature": hottest})


async def _limit(endpoint: _Endpoint, name: str) -> Judgement:
    """Counted: a small limit, and a larger one that a long answer reaches."""
    small, large = 8, _SHORT
    counts: dict[int, list[int]] = {}
    cut: dict[int, int] = {}
    for asked in (small, large):
        bodies = [endpoint.body(**{endpoint.limit_field: None, name: asked}) for _ in range(3)]
        replies = await gathered([endpoint.ask(body, about(number)) for number, body in enumerate(bodies)])
        answers = [reply.completions[0] for reply in replies if reply.completions]
        if not answers:
            return "inconclusive", "no answers came", None
        counts[asked] = [_tokens(answer) for answer in answers]
        cut[asked] = sum(answer.finish_reason == "length" for answer in answers)
    said = ", ".join(f"asked for {asked}: {min(seen)} to {max(seen)} tokens, {cut[asked]} of {len(seen)} cut" for asked, seen in counts.items())
    if max(counts[small]) <= small:
        full = [count for count in counts[large] if count < large]
        if cut[large] == len(counts[large]) and len(full) == len(counts[large]) and len(set(full)) == 1:
            return "clamped", said, float(full[0])
        return "honoured", said, None
    if cut[small] == len(counts[small]) and len(set(counts[small])) == 1 and max(counts[small]) < large:
        return "clamped", said, float(counts[small][0])
    if min(counts[small]) > small:
        return "ignored", said, None
    return "inconclusive", said, None


def _tokens(answer: Completion) -> int:
    counted = answer.usage.completion_tokens if answer.usage else None
    return len(visible(answer).split()) if counted is None else counted


async def _stop(endpoint: _Endpoint) -> Judgement:
    """A stop sequence that no answer of two words can avoid."""
    replies = await gathered([endpoint.ask(endpoint.body(stop=[" "]), about(number)) for number in range(len(_TOPICS))])
    texts = [reply.completions[0].text for reply in replies if reply.completions]
    within = sum(" " in text.strip() for text in texts)
    evidence = f"asked to stop at the first space: {within} of {len(texts)} answers went on"
    # One that went on is enough to know, but for a farm of unlike servers; one of a single word tells nothing.
    if not texts or 0 < within <= len(texts) / 2:
        return "inconclusive", evidence, None
    return ("ignored" if within else "honoured"), evidence, None


async def _seed(endpoint: _Endpoint) -> Judgement:
    if endpoint.by_seed is None:
        await endpoint.ask(endpoint.body(seed=endpoint.seeds[0]), about(0))  # tells of a refusal
        return "inconclusive", "too few answers came", None
    differ, of = endpoint.by_seed
    free = await endpoint.texts([(endpoint.body(temperature=1.0), 0)] * 4)
    known = [text for text in free if text is not None]
    varied = len(set(known)) > 1
    evidence = f"the same seed gave another answer in {differ} of {of} repetitions"
    if differ == 0 and varied:
        return "honoured", evidence + "; without a seed they differ", None
    if differ == 0:
        return "inconclusive", evidence + ", but so do answers without a seed", None
    if differ == of:
        return "ignored", evidence, None
    return "inconclusive", evidence, None


async def _stream(endpoint: _Endpoint, notes: list[str]) -> Judgement:
    replies = await gathered([endpoint.ask(endpoint.body(), about(number), stream=True) for number in range(2)])
    answered = [reply for reply in replies if reply.completions]
    if not answered:
        failure: Failure | None = replies[0].failure
        return "inconclusive", f"a streamed answer failed: {failure.message if failure else ''}", None
    streamed = sum(reply.streamed for reply in answered)
    if streamed and not any(reply.done for reply in answered):
        notes.append("streams end without [DONE]")
    if streamed == len(answered):
        return "honoured", f"{streamed} of {streamed} came as event streams", None
    return ("inconclusive" if streamed else "ignored"), f"{len(answered) - streamed} of {len(answered)} came as one piece", None


async def _stream_usage(endpoint: _Endpoint) -> Judgement:
    body = endpoint.body(stream_options={"include_usage": True})
    replies = await gathered([endpoint.ask(body, about(number), stream=True) for number in range(2)])
    answered = [reply for reply in replies if reply.completions]
    if not answered:
        return "inconclusive", "no answer came", None
    if not any(reply.streamed for reply in answered):
        return "inconclusive", "answers do not stream here", None
    given = sum(reply.completions[0].usage is not None for reply in answered)
    evidence = f"usage came in {given} of {len(answered)} streams that asked for it"
    return ("honoured" if given == len(answered) else "ignored" if given == 0 else "inconclusive"), evidence, None


async def _response_format(endpoint: _Endpoint) -> Judgement:
    def is_object(reply: Reply) -> bool:
        try:
            return isinstance(json.loads(reply.completions[0].text), dict)
        except ValueError:
            return False

    fields: dict[str, Any] = {"response_format": {"type": "json_object"}, "tokens": 400}
    extra = " Answer in plain prose, not in JSON."
    return await _given(endpoint, fields, is_object, "a JSON object demanded", "given", "prose given", extra)


async def _unknown(endpoint: _Endpoint, name: str, levels: Sequence[Any]) -> Judgement:
    """A parameter of the experiment that nobody here knows: its extreme levels against none."""
    numbers = sorted(level for level in levels if isinstance(level, int | float) and not isinstance(level, bool))
    tried = list(dict.fromkeys([numbers[0], numbers[-1]])) if numbers else [level for level in levels if level != "default"][:2]
    best: Judgement = "inconclusive", "no level but the default", None
    for level in tried:
        await endpoint.ask(endpoint.body(**{name: level}), about(0))
        judged = await _difference(endpoint, {"temperature": 1.0, "tokens": _LONG}, {"temperature": 1.0, "tokens": _LONG, name: level})
        if judged[0] == "honoured":
            return "honoured", f"at {level!r}: {judged[1]}", None
        best = "inconclusive", f"accepted; at {level!r} {judged[1]}, which a value without effect would give too", None
    return best


async def _left_out(endpoint: _Endpoint, verdicts: Mapping[str, Verdict]) -> list[LeftOut]:
    """Which explicit value gives the same answers as none."""
    out: list[LeftOut] = []
    if not endpoint.seeded:
        return out
    candidates = {
        "temperature": (1.0, 0.7, 0.6, 0.8, 0.5, 0.3, 0.2, 0.0),
        "top_p": (1.0, 0.95, 0.9, 0.8),
        "frequency_penalty": (0.0,),
        "presence_penalty": (0.0,),
    }
    try:
        for name, values in candidates.items():
            if verdicts.get(name) not in ("honoured", "clamped"):
                continue
            others = {} if name == "temperature" else {"temperature": 1.5 if name == "top_p" else 1.0}
            absent = await _two(endpoint, others)
            equal = None
            for value in values:
                if await _two(endpoint, {**others, name: value}) == absent and None not in absent:
                    equal = value
                    break
            tried = ", ".join(f"{value:g}" for value in values)
            evidence = f"the very answers of {equal:g}" if equal is not None else f"other answers than any of {tried}"
            out.append(LeftOut(parameter=name, equals=equal, evidence=evidence))
    except (OutOfCallsError, RejectedError):
        pass  # told by its absence: what was found stands
    return out


async def _two(endpoint: _Endpoint, fields: Mapping[str, Any]) -> list[str | None]:
    return await endpoint.texts([(endpoint.body(**{"seed": endpoint.seeds[number], **fields}), number) for number in range(2)])


def objections(result: Probe, swept: Mapping[str, Sequence[Any]]) -> list[str]:
    """What speaks against sweeping these levels on this endpoint, a sentence each: what is ignored, rejected, or clamped within them."""
    out = []
    for one in result.findings:
        levels = [level for level in swept.get(one.parameter, ()) if isinstance(level, int | float) and not isinstance(level, bool)]
        if one.parameter not in swept:
            continue
        if one.verdict in ("ignored", "rejected"):
            out.append(f"{one.parameter} is {one.verdict}: {one.evidence}")
        elif one.verdict == "clamped" and one.beyond is not None:
            outside = [level for level in levels if (level < one.beyond if one.parameter in ("top_p",) else level > one.beyond)]
            if outside or not levels:
                out.append(f"{one.parameter} is clamped at {one.beyond:g}: {one.evidence}")
    return out
