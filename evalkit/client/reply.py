"""What one call brings: completions, or a failure, and what is to be known beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from evalkit.client.answered import Answered
from evalkit.client.headers import Limits
from evalkit.client.outcome import Diagnosis, Fault, ending, ending_of, limit_of, read_error
from evalkit.client.redaction import Secrets
from evalkit.client.stream import Whole
from evalkit.store.records import Completion, Failure, Usage


class Reply(NamedTuple):
    """What one call brought: a completion for each choice, by index, or a failure.

    Attributes:
        fault: whom a failure is about; None where nobody says.
        certain: fields of the reply tell that, not words alone; of an address: this one reply tells, not only many such.
        again: the trouble may pass, so it may be tried again.
        wait_s: how long the server asked to wait; None: it did not ask.
        usage: what the call used, be it answered or not.
        streamed: the answer came as an event stream.
        done: the stream said ``[DONE]``.
        limits: what the endpoint says is left to use.
    """

    completions: tuple[Completion, ...] = ()
    failure: Failure | None = None
    fault: Fault | None = None
    certain: bool = True
    again: bool = False
    wait_s: float | None = None
    usage: Usage | None = None
    streamed: bool = False
    done: bool = False
    limits: Limits | None = None

    @property
    def outcome(self) -> Completion | Failure:
        """The first choice's completion, or the failure."""
        if self.completions:
            return self.completions[0]
        if self.failure is None:
            raise ValueError("a reply holds a completion or a failure")
        return self.failure


class Asked(NamedTuple):
    """The fields of a request without its messages, and how its answer took: seconds to the last byte, and to the first visible part."""

    body: Mapping[str, Any]
    latency_s: float
    first_s: float | None = None

    @property
    def choices(self) -> int:
        """How many choices were asked for."""
        wanted = self.body.get("n")
        return wanted if isinstance(wanted, int) and not isinstance(wanted, bool) and wanted > 0 else 1


def reply_of(whole: Whole, asked: Asked, secrets: Secrets, *, streamed: bool = False) -> Reply:
    """The reply that a body or a stream makes which was read to its end; what it says of itself decides what it is."""
    choices = [one for _, one in sorted(whole.choices.items())]
    if whole.error is not None:
        trouble = read_error(whole.error)
        return failed(
            trouble._replace(message=f"in mid-stream: {trouble.message}" if streamed else trouble.message), asked.latency_s, secrets, whole.usage
        )
    broken = next((one for one in choices if ending_of(one.finish_reason) == "broken"), None)
    if broken is not None:
        words = f"the endpoint broke off (finish reason {broken.finish_reason}) after: {broken.text}"
        return failed(Diagnosis("server", "nobody", words), asked.latency_s, secrets, whole.usage)
    filtered = [one for one in choices if ending_of(one.finish_reason) == "filtered"]
    if len(filtered) == len(choices):
        words = f"a content filter held the answer back; it kept: {choices[0].text}"
        return failed(Diagnosis("refused_by_filter", "prompt", words), asked.latency_s, secrets, whole.usage)
    return Reply(tuple(_completion(one, whole, len(choices), asked, secrets) for one in choices), usage=whole.usage)


def _completion(one: Answered, whole: Whole, given: int, asked: Asked, secrets: Secrets) -> Completion:
    masked = secrets.mask_answer(one)  # a server that quotes the key in its answer must not bring it into a file
    tokens = whole.usage.completion_tokens if whole.usage else None
    latency_s = max(asked.latency_s, 1e-9)
    made = Completion(
        text=one.text,
        finish_reason=secrets.mask_name(one.finish_reason),
        usage=whole.usage,
        latency_s=round(latency_s, 6),
        tries=1,
        model=secrets.mask_name(whole.model),
        system_fingerprint=secrets.mask_name(whole.system_fingerprint),
        id=secrets.mask_name(whole.id),
        repaired=whole.repaired,
        masked=masked,
        tool_calls=one.tool_calls,
        reasoning=one.reasoning,
        refusal=one.refusal,
        logprobs=one.logprobs,
        time_to_first_token_s=None if asked.first_s is None else round(asked.first_s, 6),
        tokens_per_s=None if tokens is None else round(tokens / latency_s, 3),
        usage_shared_by=given,
        unmet=_unmet(one, given, tokens, asked.body),
    )
    came = ending(made, asked.body)
    return made if came == ending_of(made.finish_reason) else msgspec.structs.replace(made, ending=came)


def failed(trouble: Diagnosis, latency_s: float, secrets: Secrets, usage: Usage | None = None) -> Reply:
    """The reply that a trouble makes; its words are made harmless."""
    failure = Failure(
        kind=trouble.kind,
        message=secrets.harmless(trouble.message),
        tries=1,
        status=trouble.status,
        param=None if trouble.param is None else secrets.harmless(trouble.param),
        code=None if trouble.code is None else secrets.harmless(trouble.code),
        latency_s=round(latency_s, 6),
        usage=usage,
    )
    wait_s = trouble.wait_s if trouble.again else None
    return Reply(failure=failure, fault=trouble.fault, certain=trouble.certain, again=trouble.again, wait_s=wait_s, usage=usage)


def _unmet(answer: Answered, given: int, tokens: int | None, body: Mapping[str, Any]) -> list[str]:
    """What was asked for and not given, a sentence each."""
    out = []
    asked = body.get("n")
    if isinstance(asked, int) and given < asked:
        out.append(f"n: {given} of {asked} choices given")
    limit = limit_of(body)
    if limit is not None and tokens is not None and given == 1 and tokens > limit:
        out.append(f"max_tokens: {tokens} tokens given where {limit} were allowed")
    if body.get("logprobs") is True and not answer.logprobs:
        out.append("logprobs: none given")
    if body.get("stream") is True and tokens is None and (body.get("stream_options") or {}).get("include_usage"):
        out.append("stream_options.include_usage: no usage given")
    return out
