"""What a probe finds, and what it means for an experiment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

Verdict = Literal["honoured", "ignored", "rejected", "clamped", "inconclusive"]

VERSION = 1

_NO_CHAT = re.compile("embed|tf-?idf|rerank|whisper|tts|moderation", re.IGNORECASE)

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


class Judged(NamedTuple):
    """What is made of one parameter.

    Attributes:
        evidence: in one line.
        beyond: where clamped, the value from which on nothing changes.
        remark: what has to be known beside the verdict, in one line; empty where nothing has.
    """

    verdict: Verdict
    evidence: str
    beyond: float | None = None
    remark: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one parameter, the evidence in one line, and the calls it took."""

    parameter: str
    verdict: Verdict
    evidence: str
    calls: int
    beyond: float | None = None
    """Where clamped: the value from which on nothing changes."""
    remark: str = ""
    """What has to be known beside the verdict: it is honoured, but not as one would expect."""


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


def only_model(listed: Iterable[str]) -> str | None:
    """The one model among those that an endpoint lists which may chat, as far as names tell; None where there is none or a choice."""
    chatting = [name for name in listed if not _NO_CHAT.search(name)]
    return chatting[0] if len(chatting) == 1 else None
