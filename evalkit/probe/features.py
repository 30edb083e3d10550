"""What is there or is not: choices, probabilities, a stream, token counts in it, JSON, a call of a tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from evalkit.client.outcome import ending
from evalkit.client.reply import Reply
from evalkit.probe.endpoint import Probed, RejectedError, about, gathered, visible
from evalkit.probe.findings import Judged
from evalkit.store.records import Completion

_ENOUGH = 400
"""Tokens that a call of a tool or a whole object may take; one server needs some 110 for a call of two words."""

_TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look up a topic in the manual.",
        "parameters": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"], "additionalProperties": False},
    },
}


async def choices(endpoint: Probed) -> Judged:
    """Two answers in one call."""
    return await _given(endpoint, {"n": 2}, lambda reply, _: len(reply.completions) == 2, "asked for 2 choices")


async def logprobs(endpoint: Probed) -> Judged:
    """The probability of each token."""
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
    return await _given(endpoint, fields, lambda reply, _: bool(reply.completions[0].logprobs), "asked for the probability of each word")


async def _given(
    endpoint: Probed, fields: Mapping[str, Any], has: Callable[[Reply, Mapping[str, Any]], bool | None], asked: str, topic_extra: str = ""
) -> Judged:
    """A parameter whose effect is a thing that is there or is not; where `has` says None, the answer was cut off before it could be."""
    body = endpoint.body(**fields)
    replies = await gathered([endpoint.ask(body, about(number, topic_extra)) for number in range(3)])
    answered = [reply for reply in replies if reply.completions]
    told = [has(reply, body) for reply in answered]
    given, cut = told.count(True), told.count(None)
    evidence = f"{asked}: {given} of {len(answered)} answers did so"
    if cut:
        evidence += f", {cut} were cut off before they could"
    if len(answered) < len(replies):
        evidence += f", {len(replies) - len(answered)} failed{endpoint.why()}"
    if given and given + cut == len(answered):
        return Judged("honoured", evidence)
    if told.count(False) >= min(2, len(answered)) and not given and answered:
        return Judged("ignored", evidence)
    return Judged("inconclusive", evidence)


async def stream(endpoint: Probed, notes: list[str]) -> Judged:
    """Does the answer come in pieces?"""
    replies = await gathered([endpoint.ask(endpoint.body(), about(number), stream=True) for number in range(2)])
    answered = [reply for reply in replies if reply.completions]
    if not answered:
        return Judged("inconclusive", f"a streamed answer failed{endpoint.why()}")
    streamed = sum(reply.streamed for reply in answered)
    if streamed and not any(reply.done for reply in answered):
        notes.append("streams end without [DONE]")
    evidence = f"asked to stream: {streamed} of {len(answered)} answers came in pieces"
    return Judged("honoured" if streamed == len(answered) else "inconclusive" if streamed else "ignored", evidence)


async def stream_usage(endpoint: Probed) -> Judged:
    """Does a stream that is asked for them end with token counts?"""
    body = endpoint.body(stream_options={"include_usage": True})
    replies = await gathered([endpoint.ask(body, about(number), stream=True) for number in range(2)])
    answered = [reply for reply in replies if reply.completions]
    if not answered:
        return Judged("inconclusive", f"no answer came{endpoint.why()}")
    if not any(reply.streamed for reply in answered):
        return Judged("inconclusive", "answers do not stream here")
    given = sum(reply.completions[0].usage is not None for reply in answered)
    evidence = f"asked for token counts at the end of a stream: {given} of {len(answered)} had them"
    return Judged("honoured" if given == len(answered) else "ignored" if given == 0 else "inconclusive", evidence)


async def response_format(endpoint: Probed) -> Judged:
    """JSON where the question wants prose."""
    fields: dict[str, Any] = {"response_format": {"type": "json_object"}, "tokens": _ENOUGH}
    return await _given(endpoint, fields, _is_object, "told to write JSON while the question wants prose", " Answer in plain prose, not in JSON.")


def _is_object(reply: Reply, body: Mapping[str, Any]) -> bool | None:
    answer = reply.completions[0]
    try:
        return isinstance(json.loads(answer.text), dict)
    except ValueError:
        if ending(answer, body) != "cut":
            return False
        # What the limit cut off cannot be whole: an object begins with a brace, prose with a letter, and of anything else nobody knows.
        begins = answer.text.lstrip()[:1]
        return True if begins == "{" else False if begins.isalpha() else None


async def tools(endpoint: Probed) -> Judged:
    """A call that must come; by the function's name, and where that does nothing, of any function, which is all that some servers know."""
    named: dict[str, Any] = {"type": "function", "function": {"name": "look_up"}}

    async def demanded(choice: object, asked: str) -> Judged:
        fields = {"tools": [_TOOL], "tool_choice": choice, "tokens": _ENOUGH}
        return await _given(endpoint, fields, _calls, asked, " Answer in one short sentence.")

    try:
        by_name = await demanded(named, "told to call a tool")
    except RejectedError as refusal:
        any_tool = await demanded("required", "told to call any tool")
        return any_tool._replace(evidence=f"{any_tool.evidence} (to name one in tool_choice is rejected: {refusal})")
    if by_name.verdict == "honoured":
        return by_name
    any_tool = await demanded("required", "told to call any tool")
    if any_tool.verdict == "honoured":
        return any_tool._replace(evidence=f"{any_tool.evidence} (one named in tool_choice is not called)")
    if any_tool.verdict == by_name.verdict == "ignored":
        return any_tool
    return await _unseen(endpoint, any_tool)


def _calls(reply: Reply, body: Mapping[str, Any]) -> bool | None:
    answer = reply.completions[0]
    return True if answer.tool_calls else None if ending(answer, body) == "cut" else False


async def _unseen(endpoint: Probed, judged: Judged) -> Judged:
    """Answers were cut off before any call: where tools change neither the tokens of the prompt nor the answer, nobody reads them."""
    plain = endpoint.body(temperature=0)
    given = endpoint.body(temperature=0, tools=[_TOOL], tool_choice="required")
    replies = await gathered([endpoint.ask(body, about(number)) for number in range(2) for body in (plain, given)])
    answers = [reply.completions[0] for reply in replies if reply.completions]
    if len(answers) < len(replies) or not endpoint.repeats_greedily:
        return judged
    same = all(_seen(without) == _seen(with_it) for without, with_it in zip(answers[::2], answers[1::2], strict=True))
    if same:
        return Judged("ignored", f"{judged.evidence}; the prompt's tokens and the answer at temperature 0 are the same without tools")
    return judged


def _seen(answer: Completion) -> tuple[str, int | None]:
    return visible(answer), answer.usage.prompt_tokens if answer.usage else None
