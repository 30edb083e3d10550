"""What a probe finds, and what it means for an experiment."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import msgspec

from evalkit.errors import RecordError
from evalkit.probe.endpoint import unreached
from evalkit.store.meanings import Corner, Meaning

Verdict = Literal["honoured", "ignored", "rejected", "clamped", "inconclusive"]

VERSION = 3
"""2 added what parameters mean, 3 how far first tokens are from the definition, and why a probe ended early."""

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
    meaning: list[Meaning] = []
    """What parameters mean, where that was asked (``--depth meaning``)."""
    calls_of_meaning: int = 0
    corners: list[Corner] = []
    """How far first tokens are from the definition, at corners of the levels that are wanted, where that was asked."""
    ended: str = ""
    """Why it ended early: the endpoint answers no more; empty where it did not."""


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


def read_probe(path: Path) -> tuple[Probe, list[str]]:
    """The probe in a file, and what is to be told of that file: that it is of an older version, of which all is kept that it holds.

    Raises:
        RecordError: it is not there, or no probe, or of a version that is not known yet.
    """
    again = "make it with 'evalkit probe -o FILE'"
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}; {again}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RecordError(f"{path}: not JSON, so no probe; {again}") from None
    version = data.get("v") if isinstance(data, dict) else None
    if not isinstance(version, int) or version > VERSION:
        raise RecordError(f"{path}: found version {version!r}; expected at most {VERSION}: use the evalkit that wrote it, or {again}")
    try:
        found = msgspec.convert(data, Probe)
    except msgspec.ValidationError as fault:
        raise RecordError(f"{path}: no probe: {fault}; {again}") from None
    if version == VERSION:
        return found, []
    adds = "what parameters mean" if version < 2 else "how far first tokens are from the definition"
    older = f"{path} is of an older evalkit (version {version}): what it found is kept; 'evalkit probe --depth meaning' adds {adds}"
    return msgspec.structs.replace(found, v=VERSION), [older]


def with_earlier(result: Probe, earlier: Probe) -> Probe:
    """A probe with what an earlier one of the same endpoint and model found: all of the other depth, and of its own what it did not come to.

    That is what is inconclusive since the endpoint answered no more, or the calls were used up. What is kept so says in its evidence from when it
    is, and a note names it.
    """
    if (result.base_url, result.model) != (earlier.base_url, earlier.model):
        return result
    if result.meaning:
        named = ("findings", "left_out", "calls", "repeats_under_seed", "repeats_at_temperature_0")
        whole = msgspec.structs.replace(result, **{name: getattr(earlier, name) for name in named})
    else:
        whole = msgspec.structs.replace(result, meaning=earlier.meaning, corners=earlier.corners, calls_of_meaning=earlier.calls_of_meaning)
    return _kept_on(whole, earlier)


def _kept_on(result: Probe, earlier: Probe) -> Probe:
    """With what the earlier one found and this one did not come to, and a note of it."""
    kept: list[str] = []

    def or_earlier(now: Sequence[_Kind], before: Sequence[_Kind], named: Callable[[_Kind], str]) -> list[_Kind]:
        there = {named(one): one for one in before if not _open(one)}
        out = []
        for one in now:
            other = there.get(named(one))
            if other is not None and _open(one) and unreached(one.evidence):
                kept.append(named(one))
                words = other.evidence if _KEPT in other.evidence else f"{other.evidence}{_KEPT}{earlier.at})"
                out.append(msgspec.structs.replace(other, evidence=words))
            else:
                out.append(one)
        return out

    findings = or_earlier(result.findings, earlier.findings, lambda one: one.parameter)
    meaning = or_earlier(result.meaning, earlier.meaning, lambda one: one.question)
    corners = or_earlier(result.corners, earlier.corners, lambda one: f"distance at temperature {one.temperature}, top_p {one.top_p}")
    left_out = result.left_out
    if any(unreached(one.evidence) for one in result.findings):
        equal = {one.parameter for one in left_out}
        left_out = [*left_out, *(one for one in earlier.left_out if one.parameter not in equal)]
    if not kept:
        return result
    note = f"kept from the probe of {earlier.at}, for this one did not come to it: {', '.join(kept)}"
    return msgspec.structs.replace(result, findings=findings, meaning=meaning, corners=corners, left_out=left_out, notes=[*result.notes, note])


_KEPT = " (kept from "
_Kind = TypeVar("_Kind", Finding, Meaning, Corner)


def _open(one: Finding | Meaning | Corner) -> bool:
    return (one.verdict if isinstance(one, Finding) else one.standing) == "inconclusive"
