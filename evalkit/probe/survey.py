"""The whole of a probe: the parameters one after the other, within the budget, and what a left-out one equals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evalkit.client.reply import Reply
from evalkit.errors import EndpointError
from evalkit.probe.endpoint import GONE, NO_MORE, Caller, OutOfCallsError, Probed, RejectedError, Repeats, about, said
from evalkit.probe.findings import KNOWN, Finding, Judged, LeftOut, Probe, Verdict
from evalkit.probe.meaning.corners import CALLS_OF_CORNERS
from evalkit.probe.meaning.survey import MOST_CALLS_OF_MEANING, ask_meaning
from evalkit.probe.parameters import judge
from evalkit.probe.repetition import measure_noise
from evalkit.store.meanings import Meaning

MOST_CALLS = 200
_USUAL, _USUAL_OF_OTHER = 175, 22
# What it came to in benchmarks/probe_calibration.py (105 to 185), and what one more parameter takes: two levels, each tried and compared.


def usual_calls(others: int, most_calls: int = MOST_CALLS) -> int:
    """About how many calls a probe makes, with so many parameters beside `KNOWN`."""
    return min(_USUAL + others * _USUAL_OF_OTHER, most_calls)


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
    endpoint = Probed(caller, model, most_calls, at_once, rng)
    notes: list[str] = []
    first = await _first_answer(endpoint, notes)
    endpoint.sample = first.completions[0].text
    if first.completions[0].usage is None:
        notes.append("plain answers carry no usage, so tokens cannot be counted")
    await measure_noise(endpoint)
    findings: list[Finding] = []
    ended = await _gone(endpoint)
    swept = swept or {}
    others = [name for name in swept if name not in KNOWN and name != "model"]
    for name in (*KNOWN, *others):
        before = endpoint.calls
        judged = Judged("inconclusive", ended) if ended else await _judged(endpoint, name, swept.get(name, ()), notes)
        ended = ended or await _gone(endpoint)
        if ended and judged.verdict == "inconclusive":
            judged = Judged("inconclusive", ended)  # it died on the way
        if judged.verdict == "rejected":
            endpoint.unusable.add(name)
        findings.append(Finding(parameter=name, calls=endpoint.calls - before, **judged._asdict()))
        progress(findings[-1])
    left_out = [] if ended else await _left_out(endpoint, {one.parameter: one.verdict for one in findings})
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
        ended=ended,
    )


async def _gone(endpoint: Probed) -> str:
    """Why nothing more is asked: one call after the other failed, and a plain one does so too; empty where that is not so."""
    if endpoint.failed_in_a_row < GONE:
        return ""
    try:
        control = await endpoint.ask(endpoint.body(), about(0))
    except (OutOfCallsError, RejectedError):
        return ""
    return "" if control.completions else f"{NO_MORE}{endpoint.why()}"


async def probe_meaning(
    caller: Caller,
    *,
    base_url: str,
    model: str,
    at: str,
    rng: np.random.Generator,
    most_calls: int = MOST_CALLS_OF_MEANING,
    at_once: int = 8,
    progress: Callable[[Meaning], None] = lambda _: None,
    corners: Sequence[Mapping[str, Any]] = (),
    sampled: bool = False,
) -> Probe:
    """Find out what parameters mean at the endpoint, and how far first tokens are from the definition; `progress` is called with each finding.

    Args:
        corners: what to send where that distance is measured.
        sampled: measure it by answers where no log probabilities are given.

    Raises:
        EndpointError: as `probe`.
    """
    endpoint = Probed(caller, model, most_calls, at_once, rng)
    notes: list[str] = []
    await _first_answer(endpoint, notes)
    found = await ask_meaning(endpoint, progress, corners, sampled)
    if corners and not found.corners and not found.ended:
        notes.append(
            f"no log probabilities are given: --corners tells by up to {CALLS_OF_CORNERS} more calls how far first tokens are off the definition"
        )
    return Probe(
        base_url=base_url,
        model=model,
        at=at,
        calls=0,
        repeats_under_seed="not asked",
        repeats_at_temperature_0="not asked",
        findings=[],
        left_out=[],
        notes=notes,
        meaning=found.meaning,
        calls_of_meaning=endpoint.calls,
        corners=found.corners,
        ended=found.ended,
    )


async def _judged(endpoint: Probed, name: str, levels: Sequence[Any], notes: list[str]) -> Judged:
    """The verdict on one parameter, also where it is refused or the calls are used up."""
    endpoint.sent.clear()
    try:
        judged = await judge(endpoint, name, levels, notes)
        if judged.verdict != "inconclusive":
            return judged
        failure = await endpoint.always_fails(name)
        if failure is None:
            return judged
        return Judged("rejected", f"{said(failure)} (each request with it failed so, and one without it did not)")
    except RejectedError as refusal:
        return Judged("rejected", str(refusal))
    except OutOfCallsError:
        return Judged("inconclusive", f"the {endpoint.most_calls} calls were used up before it was its turn")


def _said(noise: Repeats | None) -> str:
    if noise is None:
        return "not found out"
    if noise.only_alone and noise.together is not None:
        return "only one call at a time: {} of {} repetitions differ where others run".format(*noise.together)
    return f"yes, in {noise.of} of {noise.of} repetitions" if noise.exact else f"no: {noise.differ} of {noise.of} repetitions differ"


async def _first_answer(endpoint: Probed, notes: list[str]) -> Reply:
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


async def _left_out(endpoint: Probed, verdicts: Mapping[str, Verdict]) -> list[LeftOut]:
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
            evidence = f"the same answers as with {equal:g}" if equal is not None else f"other answers than with any of {tried}"
            out.append(LeftOut(parameter=name, equals=equal, evidence=evidence))
    except (OutOfCallsError, RejectedError):
        pass  # told by its absence: what was found stands
    return out


async def _two(endpoint: Probed, fields: Mapping[str, Any]) -> list[str | None]:
    return await endpoint.texts([(endpoint.body(**{"seed": endpoint.seeds[number], **fields}), number) for number in range(2)])
