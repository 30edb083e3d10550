"""How each parameter is judged: by what it changes, or by a thing that is there or is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.client import Reply
from evalkit.probe.comparison import Judgement, compared, difference, temperature
from evalkit.probe.endpoint import LONG, SHORT, Endpoint, about, gathered, visible
from evalkit.records import Completion, Failure

_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up a topic in the manual.",
        "parameters": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"], "additionalProperties": False},
    },
}


async def judge(endpoint: Endpoint, name: str, levels: Sequence[Any], notes: list[str]) -> Judgement:
    """The verdict on one parameter."""
    match name:
        case "temperature":
            return await temperature(endpoint, levels)
        case "top_p":
            return await compared(endpoint, name, strong=0.05, weak=0.6, temperature=1.5, clamped="low")
        case "frequency_penalty" | "presence_penalty":
            return await compared(endpoint, name, strong=2.0, weak=1.0, temperature=1.0, tokens=LONG, clamped="high")
        case "max_tokens" | "max_completion_tokens":
            return await _limit(endpoint, name)
        case "stop":
            return await _stop(endpoint)
        case "seed":
            return await _seed(endpoint)
        case "n":
            return await _given(endpoint, {"n": 2}, lambda reply: len(reply.completions) == 2, "2 choices asked for", "2 given", "1 given")
        case "logit_bias":
            return await compared(endpoint, name, strong={"1000": 100}, weak=None, temperature=1.0, clamped=None)
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
    endpoint: Endpoint, fields: Mapping[str, Any], has: Callable[[Reply], bool], asked: str, yes: str, no: str, topic_extra: str = ""
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


async def _limit(endpoint: Endpoint, name: str) -> Judgement:
    """Counted: a small limit, and a larger one that a long answer reaches."""
    small, large = 8, SHORT
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


async def _stop(endpoint: Endpoint) -> Judgement:
    """A stop sequence that no answer of two words can avoid."""
    replies = await gathered([endpoint.ask(endpoint.body(stop=[" "]), about(number)) for number in range(3)])
    texts = [reply.completions[0].text for reply in replies if reply.completions]
    within = sum(" " in text.strip() for text in texts)
    evidence = f"asked to stop at the first space: {within} of {len(texts)} answers went on"
    if not texts or 0 < within < len(texts):
        return "inconclusive", evidence, None
    return ("ignored" if within else "honoured"), evidence, None


async def _seed(endpoint: Endpoint) -> Judgement:
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


async def _stream(endpoint: Endpoint, notes: list[str]) -> Judgement:
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


async def _stream_usage(endpoint: Endpoint) -> Judgement:
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


async def _response_format(endpoint: Endpoint) -> Judgement:
    def is_object(reply: Reply) -> bool:
        try:
            return isinstance(json.loads(reply.completions[0].text), dict)
        except ValueError:
            return False

    fields: dict[str, Any] = {"response_format": {"type": "json_object"}, "tokens": 400}
    extra = " Answer in plain prose, not in JSON."
    return await _given(endpoint, fields, is_object, "a JSON object demanded", "given", "prose given", extra)


async def _unknown(endpoint: Endpoint, name: str, levels: Sequence[Any]) -> Judgement:
    """A parameter of the experiment that nobody here knows: its extreme levels against none."""
    numbers = sorted(level for level in levels if isinstance(level, int | float) and not isinstance(level, bool))
    tried = list(dict.fromkeys([numbers[0], numbers[-1]])) if numbers else [level for level in levels if level != "default"][:2]
    best: Judgement = "inconclusive", "no level but the default", None
    for level in tried:
        await endpoint.ask(endpoint.body(**{name: level}), about(0))
        judged = await difference(endpoint, {"temperature": 1.0, "tokens": LONG}, {"temperature": 1.0, "tokens": LONG, name: level})
        if judged[0] == "honoured":
            return "honoured", f"at {level!r}: {judged[1]}", None
        best = "inconclusive", f"accepted; at {level!r} {judged[1]}, which a value without effect would give too", None
    return best
