"""How each parameter is judged: by what it changes, or by a thing that is there or is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evalkit.client.reply import Reply
from evalkit.probe.comparison import Judgement, compared, difference, temperature
from evalkit.probe.endpoint import LONG, SHORT, Endpoint, RejectedError, about, gathered, visible
from evalkit.store.records import Completion, Failure

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
            return await _given(endpoint, {"n": 2}, lambda reply: len(reply.completions) == 2, "asked for 2 choices")
        case "logit_bias":
            return await compared(endpoint, name, strong={"1000": 100}, weak=None, temperature=1.0, clamped=None)
        case "logprobs":
            fields: dict[str, Any] = {"logprobs": True, "top_logprobs": 2}
            return await _given(endpoint, fields, lambda reply: bool(reply.completions[0].logprobs), "asked for the probability of each word")
        case "stream":
            return await _stream(endpoint, notes)
        case "stream_options.include_usage":
            return await _stream_usage(endpoint)
        case "response_format":
            return await _response_format(endpoint)
        case "tools":
            return await _tools(endpoint)
        case _:
            return await _unknown(endpoint, name, levels)


async def _given(endpoint: Endpoint, fields: Mapping[str, Any], has: Callable[[Reply], bool], asked: str, topic_extra: str = "") -> Judgement:
    """A parameter whose effect is a thing that is there or is not."""
    replies = await gathered([endpoint.ask(endpoint.body(**fields), about(number, topic_extra)) for number in range(3)])
    answered = [reply for reply in replies if reply.completions]
    given = sum(map(has, answered))
    failed = f", {len(replies) - len(answered)} failed" if len(answered) < len(replies) else ""
    evidence = f"{asked}: {given} of {len(answered)} answers did so{failed}"
    if not answered or 0 < given < len(answered):
        return "inconclusive", evidence, None
    return ("honoured" if given else "ignored"), evidence, None


async def _tools(endpoint: Endpoint) -> Judgement:
    """A call that must come; by the function's name, and where that does nothing, of any function, which is all that some servers know."""
    named: dict[str, Any] = {"type": "function", "function": {"name": "look_up"}}

    async def demanded(choice: object, asked: str) -> Judgement:
        return await _given(endpoint, {"tools": [_TOOL], "tool_choice": choice}, lambda reply: bool(reply.completions[0].tool_calls), asked)

    try:
        by_name = await demanded(named, "told to call a tool")
    except RejectedError as refusal:
        any_tool = await demanded("required", "told to call any tool")
        return any_tool[0], f"{any_tool[1]} (to name one in tool_choice is rejected: {refusal})", None
    if by_name[0] != "ignored":
        return by_name
    any_tool = await demanded("required", "told to call any tool")
    return any_tool if any_tool[0] == "ignored" else (any_tool[0], f"{any_tool[1]} (one named in tool_choice is not called)", None)


async def _limit(endpoint: Endpoint, name: str) -> Judgement:
    """Counted: a small limit, and a larger one that a long answer reaches."""
    small, large = 8, SHORT
    answers: dict[int, list[Completion]] = {}
    for asked in (small, large):
        bodies = [endpoint.body(**{endpoint.limit_field: None, name: asked}) for _ in range(3)]
        replies = await gathered([endpoint.ask(body, about(number)) for number, body in enumerate(bodies)])
        answers[asked] = [reply.completions[0] for reply in replies if reply.completions]
        if not answers[asked]:
            return "inconclusive", "no answers came", None
    counted = all(_counted(answer) is not None for some in answers.values() for answer in some)
    unit = "tokens" if counted else "words (the endpoint counts no tokens)"
    evidence = "; ".join(_of_limit(asked, some, unit) for asked, some in answers.items())
    over = [answer for answer in answers[small] if _tokens(answer) > small]
    if not over:
        # Words are fewer than tokens, so only counted tokens show that a larger limit is not given.
        same = _cut_at(answers[large])
        if counted and same is not None and same < large:
            return "clamped", evidence, float(same)
        # Answers that are short by nature keep every limit.
        held = any(_is_cut(answer) for answer in answers[small]) or any(_tokens(answer) > small for answer in answers[large])
        return ("honoured" if held else "inconclusive"), evidence, None
    same = _cut_at(over)
    if counted and same is not None and same < large:
        return "clamped", evidence, float(same)
    # One answer over the limit would prove it; the end mark that some servers count is none.
    return ("ignored" if any(_tokens(answer) > small + 1 for answer in over) else "inconclusive"), evidence, None


def _of_limit(asked: int, answers: Sequence[Completion], unit: str) -> str:
    counts = [_tokens(answer) for answer in answers]
    span = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    return f"limit {asked}: answers of {span} {unit}, {sum(map(_is_cut, answers))} of {len(answers)} cut off"


def _is_cut(answer: Completion) -> bool:
    return answer.finish_reason == "length"


def _cut_at(answers: Sequence[Completion]) -> int | None:
    """The one length at which `answers` are cut off: two of them at least, and none is longer."""
    cut = [_tokens(answer) for answer in answers if _is_cut(answer)]
    return cut[0] if len(cut) >= 2 and set(cut) == {max(map(_tokens, answers))} else None


def _counted(answer: Completion) -> int | None:
    return answer.usage.completion_tokens if answer.usage else None


def _tokens(answer: Completion) -> int:
    counted = _counted(answer)
    return len(visible(answer).split()) if counted is None else counted


async def _stop(endpoint: Endpoint) -> Judgement:
    """A stop sequence that no answer of two words can avoid."""
    replies = await gathered([endpoint.ask(endpoint.body(stop=[" "]), about(number)) for number in range(4)])
    texts = [reply.completions[0].text for reply in replies if reply.completions]
    over = sum(" " in text.strip() for text in texts)
    evidence = f"told to stop at the first space: {over} of {len(texts)} answers went on after it"
    if over >= 2 or (texts and over == len(texts)):  # an answer of one word proves nothing, so not all of them need to
        return "ignored", evidence, None
    if not texts or over:
        return "inconclusive", evidence, None
    if " " not in endpoint.sample.strip():
        return "inconclusive", evidence + ", but answers hold no space here anyway", None
    return "honoured", evidence, None


async def _seed(endpoint: Endpoint) -> Judgement:
    if endpoint.by_seed is None:
        await endpoint.ask(endpoint.body(seed=endpoint.seeds[0]), about(0))  # tells of a refusal
        return "inconclusive", "too few answers came", None
    differ, of = endpoint.by_seed
    free = await endpoint.texts([(endpoint.body(temperature=1.0), 0)] * 4)
    known = [text for text in free if text is not None]
    varied = len(set(known)) > 1
    evidence = f"asked again with the same seed, {differ} of {of} answers differ"
    if differ == 0 and varied:
        return "honoured", evidence + "; without a seed they do", None
    if differ == 0:
        return "inconclusive", evidence + ", but without a seed they do not either: no effect could show", None
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
    evidence = f"asked to stream: {streamed} of {len(answered)} answers came in pieces"
    return ("honoured" if streamed == len(answered) else "inconclusive" if streamed else "ignored"), evidence, None


async def _stream_usage(endpoint: Endpoint) -> Judgement:
    body = endpoint.body(stream_options={"include_usage": True})
    replies = await gathered([endpoint.ask(body, about(number), stream=True) for number in range(2)])
    answered = [reply for reply in replies if reply.completions]
    if not answered:
        return "inconclusive", "no answer came", None
    if not any(reply.streamed for reply in answered):
        return "inconclusive", "answers do not stream here", None
    given = sum(reply.completions[0].usage is not None for reply in answered)
    evidence = f"asked for token counts at the end of a stream: {given} of {len(answered)} had them"
    return ("honoured" if given == len(answered) else "ignored" if given == 0 else "inconclusive"), evidence, None


async def _response_format(endpoint: Endpoint) -> Judgement:
    def is_object(reply: Reply) -> bool:
        answer = reply.completions[0]
        try:
            return isinstance(json.loads(answer.text), dict)
        except ValueError:
            # What the limit cut off cannot be whole; prose does not begin like that.
            return answer.finish_reason == "length" and answer.text.lstrip().startswith("{")

    fields: dict[str, Any] = {"response_format": {"type": "json_object"}, "tokens": 400}
    return await _given(endpoint, fields, is_object, "told to write JSON while the question wants prose", " Answer in plain prose, not in JSON.")


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
        best = "inconclusive", f"accepted; at {level!r} {judged[1]}; a value that does nothing by design would show the same", None
    return best
