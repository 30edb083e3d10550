"""Which way each parameter is judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalkit.probe import features, repetition
from evalkit.probe.comparison import compared, difference, narrowed, temperature
from evalkit.probe.endpoint import LONG, Probed, about
from evalkit.probe.findings import Judged
from evalkit.probe.limits import limit
from evalkit.probe.stops import stop


async def judge(endpoint: Probed, name: str, levels: Sequence[Any], notes: list[str]) -> Judged:
    """The verdict on one parameter."""
    match name:
        case "temperature":
            return await temperature(endpoint, levels)
        case "top_p":
            return await narrowed(endpoint, name)
        case "frequency_penalty" | "presence_penalty":
            return await compared(endpoint, name, strong=2.0, weak=1.0, temperature=1.0, tokens=LONG, clamped="high")
        case "max_tokens" | "max_completion_tokens":
            return await limit(endpoint, name)
        case "stop":
            return await stop(endpoint)
        case "seed":
            return await repetition.seed(endpoint)
        case "n":
            return await features.choices(endpoint)
        case "logit_bias":
            return await compared(endpoint, name, strong={"1000": 100}, weak=None, temperature=1.0, clamped=None)
        case "logprobs":
            return await features.logprobs(endpoint)
        case "stream":
            return await features.stream(endpoint, notes)
        case "stream_options.include_usage":
            return await features.stream_usage(endpoint)
        case "response_format":
            return await features.response_format(endpoint)
        case "tools":
            return await features.tools(endpoint)
        case _:
            return await _unknown(endpoint, name, levels)


async def _unknown(endpoint: Probed, name: str, levels: Sequence[Any]) -> Judged:
    """A parameter of the experiment that nobody here knows: its extreme levels against none."""
    numbers = sorted(level for level in levels if isinstance(level, int | float) and not isinstance(level, bool))
    tried = list(dict.fromkeys([numbers[0], numbers[-1]])) if numbers else [level for level in levels if level != "default"][:2]
    best = Judged("inconclusive", "no level but the default")
    for level in tried:
        await endpoint.ask(endpoint.body(**{name: level}), about(0))
        judged = await difference(endpoint, {"temperature": 1.0, "tokens": LONG}, {"temperature": 1.0, "tokens": LONG, name: level})
        if judged.verdict == "honoured":
            return judged._replace(evidence=f"at {level!r}: {judged.evidence}")
        words = f"accepted; at {level!r} {judged.evidence}; a value that does nothing by design would show the same"
        best = Judged("inconclusive", words)
    return best
