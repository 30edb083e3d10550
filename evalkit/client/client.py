"""One chat call: send it, read what comes, say what it is. No retries here: whoever calls decides on them.

Requests go out as bytes through the openai client's public `post`, over its aiohttp transport: authentication, base URL,
timeouts and error classes are the official client's, and its request walk and response models, which cost three times the
call itself, are left out.
"""

from __future__ import annotations

import asyncio
import html
import json
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from evalkit.client.headers import Limits, limits_of
from evalkit.client.stream import MASK, Answered, BrokenStreamError, Delta, StreamedChoice, decode, mended, usage_of, word
from evalkit.errors import AuthError, EndpointError
from evalkit.plan.requests import Request
from evalkit.store.records import Completion, Failure, Kind, Usage

_WORDS_KEPT = 200
_LONGEST_ANSWER = 64 * 2**20
"""Bytes of a body, be it an answer, an error or a stream, beyond which it is given up."""
_WORDS_READ = 20_000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_KEY_LIKE = re.compile(r"(?i)\b(bearer )\S+|\b(?:sk|pk|rk|key|tok|ghp|gho|hf|xox[abp])[-_][A-Za-z0-9_*.-]{6,}")
_UNSENT = [
    f"X-Stainless-{name}" for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async", "Retry-Count", "Read-Timeout")
]
"""Headers in which the openai client tells of the machine: no endpoint needs them, and they make a tenth of a call's cost."""
_LONG_WORD = re.compile(r"[A-Za-z0-9_-]{32,}")


class _Message(Delta):
    """A whole message has the fields of a delta."""


class _Choice(msgspec.Struct):
    message: _Message
    index: int | None = None
    finish_reason: Any = None
    logprobs: dict[str, Any] | None = None


class _Answer(msgspec.Struct):
    """The answer is in the choices; what stands beside them may be of any type, and no answer is lost for it."""

    choices: list[_Choice]
    usage: Any = None
    model: Any = None
    system_fingerprint: Any = None
    id: Any = None


_decoder = msgspec.json.Decoder(_Answer, strict=False)
_encoder = msgspec.json.Encoder()


class Reply(NamedTuple):
    """What came of one call: a completion for each choice, by index, or a failure.

    Attributes:
        again: the trouble may pass, so it may be tried again.
        wait_s: how long the server asked to wait; None: it did not ask.
        streamed: the answer came as an event stream.
        done: the stream said ``[DONE]``.
        limits: what the endpoint says is left to use.
    """

    completions: tuple[Completion, ...] = ()
    failure: Failure | None = None
    again: bool = False
    wait_s: float | None = None
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


class _TooLongError(Exception):
    """A body has no end in sight."""


class Client:
    """Calls one endpoint. An asynchronous context manager; not to be shared between event loops.

    Args:
        base_url: up to and without ``/chat/completions``.
        key: the bearer key; None sends no Authorization header.
        concurrency: connections kept open at the most.
        loopback: the endpoint is the embedded one: proxies of the environment are not for it.
        timeout_s: the longest a whole call may take.
        headers: sent with every call.
        secrets: what must not stand in any message beside the key.
        verify: file of the certificates to trust instead of the system's.
        organization, project: OpenAI's headers; sent only where given.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None,
        *,
        concurrency: int,
        loopback: bool = False,
        timeout_s: float = 600.0,
        headers: Mapping[str, str] | None = None,
        secrets: Sequence[str] = (),
        verify: str | None = None,
        organization: str | None = None,
        project: str | None = None,
    ) -> None:
        import aiohttp
        import openai

        try:
            import httpx2 as hx  # what openai 3 stands on
        except ImportError:
            import httpx as hx  # type: ignore[import-not-found,no-redef,unused-ignore]
        self._openai, self._hx, self._http_errors = openai, hx, (openai.APIConnectionError, aiohttp.ClientError, hx.TransportError)
        self._timeout_s = timeout_s
        self._chat_url = f"{base_url.rstrip('/')}/chat/completions"  # whole, so that it is not put together anew for each call
        # The key, and what becomes of it where a server quotes it in JSON, in an address or in HTML.
        self._secrets = {key, key.replace("/", "\\/"), quote(key), quote(key, safe=""), html.escape(key)} if key else set()
        self._secrets |= {value for name, value in (headers or {}).items() if _is_secret(name) and len(value) > 3}
        self._secrets |= {value for value in secrets if len(value) > 3}
        if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
            raise AuthError("the key holds characters that no header can carry; set it again, without quotes, spaces or line ends")
        try:
            http = openai.DefaultAioHttpClient(
                limits=hx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=60),
                trust_env=not loopback,
                # Loading the system's certificates takes as long as thirty calls, and a plain connection asks for none.
                verify=_trusting(verify) if verify is not None else not (loopback and base_url.startswith("http://")),
                event_hooks={"response": [_bounding(hx.AsyncByteStream)]},
            )
            own = {**dict.fromkeys(_UNSENT, openai.Omit()), **(headers or {})}
            if key is None and not any(name.lower() == "authorization" for name in own):
                own["Authorization"] = openai.Omit()
            # A redirect would carry headers and prompts to wherever it points.
            self._options: Any = {"follow_redirects": False, "headers": own}
            self._client = openai.AsyncOpenAI(
                api_key=key if key is not None else "none",
                base_url=base_url,
                max_retries=0,
                timeout=timeout_s,
                http_client=http,
            )
        except Exception as fault:
            raise EndpointError(
                f"the client cannot be set up: {self.harmless(str(fault) or type(fault).__name__)}; "
                "check endpoint.base_url, and in the environment the proxies and SSL_CERT_FILE"
            ) from None
        # What the environment of OpenAI's own users holds is no other endpoint's business.
        self._client.organization, self._client.project = organization, project
        self._client._custom_headers = {}  # OPENAI_CUSTOM_HEADERS; could replace the key by another

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        await self._client.close()

    async def models(self) -> frozenset[str] | None:
        """The names that the endpoint lists under ``/models``; None where it does not list them."""
        try:
            async with asyncio.timeout(min(self._timeout_s, 30)):
                response = await self._client.get("/models", cast_to=self._hx.Response, options=self._options)
            listed = json.loads(response.content)["data"]
            return frozenset(one["id"] for one in listed if isinstance(one.get("id"), str))
        except self._openai.APIStatusError as fault:
            if fault.status_code in (401, 403):
                words = _said(fault)[0]
                raise AuthError(f"the endpoint refuses the key (HTTP {fault.status_code}): {self.harmless(words)}") from None
            return None
        except Exception:  # whatever stands there instead of a list, it is no list
            return None

    async def send(self, request: Request, choices: int = 1) -> Reply:
        """Make one call for `request`, asking for so many choices."""
        return await self.call(request.body if choices == 1 else {**request.body, "n": choices}, request.messages)

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """Make a call once; never raises for what the endpoint or the network does. `tries` of what comes is 1.

        Args:
            body: the fields of the request without the messages, sent as they are.
            stream: ask for an event stream; a body that holds ``stream: true`` does so itself.
        """
        if stream:
            body = {**body, "stream": True}
        content = _encoder.encode({**body, "messages": messages})
        started = time.perf_counter()

        async def once() -> Reply:
            if body.get("stream") is True:
                return await self._streamed(content, body, started)
            response = await self._client.post(self._chat_url, content=content, cast_to=self._hx.Response, options=self._options)
            reply = self._read(response.content, body, started, time.perf_counter())
            limits = _limits(response)
            return reply if limits is None else reply._replace(limits=limits)

        return await self._tried(once, started)

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], Usage | None]) -> Reply:
        """Make a call to another address of the endpoint once, in all else as `call`; the completion that comes of it has no text.

        Args:
            path: behind the base URL, like ``/embeddings``.
            read: is given the answer as it came, and tells its usage; raises ValueError, with words, where it is none.
        """
        content = _encoder.encode(body)
        started = time.perf_counter()

        async def once() -> Reply:
            response = await self._client.post(path, content=content, cast_to=self._hx.Response, options=self._options)
            try:
                usage = read(response.content)
            except ValueError as fault:
                return self._failed("malformed", str(fault), started, again=True)
            completion = Completion(text="", finish_reason=None, usage=usage, latency_s=round(time.perf_counter() - started, 6), tries=1)
            return Reply((completion,), limits=_limits(response))

        return await self._tried(once, started)

    async def _tried(self, once: Callable[[], Awaitable[Reply]], started: float) -> Reply:
        """What comes of one call, whatever endpoint or network do."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await once()
        except TimeoutError:
            return self._failed("timeout", f"no whole answer within {self._timeout_s:g} s", started, again=True)
        except self._openai.APIStatusError as fault:
            return self._refused(fault, started)
        except self._http_errors as fault:
            if _is_too_long(fault):
                return self._too_long(started)
            kind, words = _connection_fault(fault)
            return self._failed(kind, words, started, again=True)
        except _TooLongError:
            return self._too_long(started)
        except Exception as fault:  # a body in an encoding that does not exist, for one; a run must not end for it
            return self._failed("malformed", f"an answer that cannot be read: {str(fault) or type(fault).__name__}", started, again=True)

    async def _streamed(self, content: bytes, body: Mapping[str, Any], started: float) -> Reply:
        response: Any = await self._client.post(
            self._chat_url,
            content=content,
            cast_to=self._hx.Response,
            options=self._options,
            stream=True,
            stream_cls=self._openai.AsyncStream[Any],
        )
        reads: list[bytes] = []
        times: list[float] = []
        size = 0
        broke: BaseException | None = None
        try:
            async for piece in response.aiter_bytes():
                reads.append(piece)
                times.append(time.perf_counter())
                size += len(piece)
                if size > _LONGEST_ANSWER:  # unpacked
                    raise _TooLongError
        except self._http_errors as fault:
            broke = fault
        finally:
            await response.aclose()
        raw = b"".join(reads)
        if raw.lstrip()[:1] in (b"{", b"["):  # no event begins so
            return self._read(raw, body, started, times[-1])  # a server that does not stream
        try:
            whole = decode(reads)
        except BrokenStreamError as fault:
            return self._failed("malformed", f"not a chunk of a stream: {fault}", started, again=True)
        if whole.error is not None:
            return self._stream_error(whole.error, started)
        if broke is not None and not whole.ended:
            return self._failed("interrupted", f"the stream broke off: {_innermost(broke)}", started, again=True)
        if not whole.ended:
            if not whole.choices:
                return self._malformed(raw, started)
            return self._failed("interrupted", "the stream ended without a finish reason and without [DONE]", started, again=True)
        if not whole.choices:
            return self._malformed(raw, started)
        first = None if whole.first is None else times[whole.first] - started
        about = (whole.usage, whole.model, whole.system_fingerprint, whole.id)
        choices = sorted(whole.choices.items())
        reply = self._completed([one for _, one in choices], about, body, started, times[-1], first, repaired=whole.repaired)
        return reply._replace(streamed=True, done=whole.done, limits=_limits(response))

    def _read(self, raw: bytes, body: Mapping[str, Any], started: float, ended: float) -> Reply:
        repaired = False
        try:
            answer = _decoder.decode(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # Lone surrogates are legal for json and for no encoding; NaN and a byte order mark do occur; all else is the server's fault.
            try:
                data = json.loads(raw, parse_constant=lambda _: None)
                sound = mended(data)
                answer = msgspec.convert(sound, _Answer, strict=False)
                repaired = sound != data
            except (ValueError, RecursionError, msgspec.MsgspecError):
                return self._malformed(raw, started)
        if not answer.choices:
            return self._malformed(raw, started)
        choices = []
        for choice in sorted(answer.choices, key=lambda one: one.index or 0):
            taken = Answered()
            taken.add(StreamedChoice(choice.index, choice.message, word(choice.finish_reason), choice.logprobs))
            taken.finish_reason = word(choice.finish_reason)  # as sent, be it empty
            choices.append(taken)
        about = (usage_of(answer.usage), word(answer.model), word(answer.system_fingerprint), word(answer.id))
        return self._completed(choices, about, body, started, ended, None, repaired=repaired)

    def _completed(
        self,
        choices: Sequence[Answered],
        about: tuple[Usage | None, str | None, str | None, str | None],
        body: Mapping[str, Any],
        started: float,
        ended: float,
        first_s: float | None,
        *,
        repaired: bool,
    ) -> Reply:
        usage, model, fingerprint, identity = about
        if all(one.finish_reason == "content_filter" for one in choices):
            return self._failed("refused_by_filter", f"a content filter held the answer back; it kept: {choices[0].text}", started)
        latency_s = max(ended - started, 1e-9)
        tokens = usage.completion_tokens if usage else None
        # A server that quotes the key in its answer must not bring it into a file.
        repaired = sum(one.mask(self._secrets) for one in choices) > 0 or repaired
        model, fingerprint, identity = (None if word is None else self._masked(word) for word in (model, fingerprint, identity))
        completions = tuple(
            Completion(
                text=one.text,
                finish_reason=None if one.finish_reason is None else self._masked(one.finish_reason),
                usage=usage,
                latency_s=round(latency_s, 6),
                tries=1,
                model=model,
                system_fingerprint=fingerprint,
                id=identity,
                repaired=repaired,
                tool_calls=one.tool_calls,
                reasoning=one.reasoning,
                refusal=one.refusal,
                logprobs=one.logprobs,
                time_to_first_token_s=None if first_s is None else round(first_s, 6),
                tokens_per_s=None if tokens is None else round(tokens / latency_s, 3),
                usage_shared_by=len(choices),
                unmet=_unmet(one, len(choices), tokens, body),
            )
            for one in choices
        )
        return Reply(completions)

    def _malformed(self, raw: bytes, started: float) -> Reply:
        words = raw.decode("utf-8", "replace")
        return self._failed("malformed", f"not a chat completion: {words}" if words.strip() else "an empty body", started, again=True)

    def _too_long(self, started: float) -> Reply:
        return self._failed("malformed", f"an answer of over {_LONGEST_ANSWER // 2**20} MB", started)

    def _stream_error(self, error: Any, started: float) -> Reply:
        """An error that came in mid-stream, where no status can tell its kind."""
        about = error if isinstance(error, Mapping) else {"message": error}
        told = f"{about.get('code')} {about.get('type')} {about.get('status')}".lower()
        kind: Kind = "rate_limited" if "rate" in told or "429" in told else "refused_by_filter" if "content_filter" in told else "server"
        return self._failed(kind, f"in mid-stream: {_flat(about.get('message') or dict(about))}", started, again=kind != "refused_by_filter")

    def _refused(self, fault: Any, started: float) -> Reply:
        status = fault.status_code
        words, param, code = _said(fault)
        kind: Kind
        if 300 <= status < 400:
            where = fault.response.headers.get("location", "elsewhere")
            words = f"the endpoint redirects to {where}, which is not followed; set endpoint.base_url to where it leads"
        if status in (401, 403):
            kind, again = "auth", False
        elif status == 429:
            kind, again = "rate_limited", code != "insufficient_quota"
        elif status in (408, 409) or status >= 500:
            kind, again = "timeout" if status == 408 else "server", True
        else:
            filtered = code is not None and code.lower() in ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
            kind, again = "refused_by_filter" if filtered else "rejected", False
        wait_s = _wait(fault.response.headers) if again else None
        return self._failed(kind, words, started, status=status, param=param, code=code, again=again, wait_s=wait_s)

    def _failed(
        self,
        kind: Kind,
        words: str,
        started: float,
        *,
        status: int | None = None,
        param: str | None = None,
        code: str | None = None,
        again: bool = False,
        wait_s: float | None = None,
    ) -> Reply:
        failure = Failure(
            kind=kind,
            message=self.harmless(words),
            tries=1,
            status=status,
            param=None if param is None else self.harmless(param),
            code=None if code is None else self.harmless(code),
            latency_s=round(time.perf_counter() - started, 6),
        )
        return Reply(failure=failure, again=again, wait_s=wait_s)

    def _masked(self, words: str) -> str:
        for secret in self._secrets:
            words = words.replace(secret, MASK)
        return words

    def harmless(self, words: str) -> str:
        """Somebody's words, fit to be kept: without control characters and keys, 200 characters at the most."""
        words = " ".join(_CONTROL.sub(" ", self._masked(words)[:_WORDS_READ]).split())
        words = _KEY_LIKE.sub(lambda match: f"{match[1] or ''}{MASK}", words)
        return _LONG_WORD.sub(_hidden, words)[:_WORDS_KEPT]


def _hidden(word: re.Match[str]) -> str:
    """A long word of letters and digits is taken for a key."""
    return MASK if any(map(str.isalpha, word[0])) and any(map(str.isdigit, word[0])) else word[0]


def _bounding(kind: Any) -> Callable[[Any], Awaitable[None]]:
    """What is to be done with each response, so that its body ends; `kind` is the class of bodies."""

    class Bounded(kind):  # type: ignore[misc]
        def __init__(self, body: Any) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for piece in self._body:
                size += len(piece)
                if size > _LONGEST_ANSWER:
                    raise _TooLongError
                yield piece

        async def aclose(self) -> None:
            await self._body.aclose()

    async def bound(response: Any) -> None:
        response.stream = Bounded(response.stream)

    return bound


def _is_too_long(fault: BaseException) -> bool:
    return isinstance(fault, _TooLongError) or (fault.__cause__ is not None and _is_too_long(fault.__cause__))


def _limits(response: Any) -> Limits | None:
    """What the endpoint says is left to use, where it says so: to read a header by its name takes ten times as long as to look for one."""
    told = any(name[:12].lower() == b"x-ratelimit-" for name, _ in response.headers.raw)
    return limits_of(response.headers) if told else None


def _said(fault: Any) -> tuple[str, str | None, str | None]:
    """The server's words, the parameter it names and its code, from any of the usual shapes of an error body."""
    body: object = fault.body
    if isinstance(body, Mapping):
        inner = body.get("error", body)
        if isinstance(inner, Mapping):
            said = inner.get("message", inner.get("detail"))
            param, code = inner.get("param"), inner.get("code")
            if said is not None:
                return _flat(said), _flat(param) if param else None, _flat(code) if code else None
        elif isinstance(inner, str):
            return inner, None, None
    elif isinstance(body, str) and body:
        return body, None, None  # the client has taken it out of {"error": ...}
    return fault.response.text or str(fault), None, None


def _flat(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _connection_fault(fault: BaseException) -> tuple[Kind, str]:
    """What lies under the client's one class for all of it: a slow answer, one that broke off, a bad encoding; else the connection."""
    chain: list[BaseException] = []
    at: BaseException | None = fault
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    names = [type(one).__name__ for one in chain]
    slow = any(name in ("ReadTimeout", "WriteTimeout", "SocketTimeoutError", "ServerTimeoutError", "TimeoutError") for name in names)
    wire = any(
        name.startswith(("ClientConnector", "ServerDisconnected", "ClientOSError", "ConnectionTimeout")) or name == "ConnectError" for name in names
    )
    if slow and not wire:
        return "timeout", "the endpoint accepted the request and did not answer in time"
    words = next((str(one) for one in chain[1:] if str(one)), str(fault)).replace(" ssl:default", "")
    if "ClientPayloadError" in names:
        return "interrupted", f"the answer broke off: {words}"
    return "malformed" if "DecodingError" in names else "connection", words


def _wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date)."""
    milliseconds, said = _number(headers.get("retry-after-ms")), headers.get("retry-after")
    seconds = _number(said) if milliseconds is None else milliseconds / 1000
    if seconds is None and said is not None:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if seconds is None else max(0.0, seconds)


def _number(said: str | None) -> float | None:
    try:
        number = float(said or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _unmet(answer: Answered, given: int, tokens: int | None, body: Mapping[str, Any]) -> list[str]:
    """What was asked for and not given, a sentence each."""
    out = []
    asked = body.get("n")
    if isinstance(asked, int) and given < asked:
        out.append(f"n: {given} of {asked} choices given")
    limits = [body[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(body.get(name), int)]
    if limits and tokens is not None and given == 1 and tokens > min(limits):
        out.append(f"max_tokens: {tokens} tokens given where {min(limits)} were allowed")
    if body.get("logprobs") is True and not answer.logprobs:
        out.append("logprobs: none given")
    if body.get("stream") is True and tokens is None and (body.get("stream_options") or {}).get("include_usage"):
        out.append("stream_options.include_usage: no usage given")
    return out


def _is_secret(header: str) -> bool:
    return any(part in header.lower() for part in ("auth", "key", "token", "secret", "cookie"))


def _trusting(bundle: str) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as fault:
        raise EndpointError(f"endpoint.verify: {bundle}: not a file of certificates: {fault}") from None


def _innermost(fault: BaseException) -> str:
    chain = [fault]
    while (below := chain[-1].__cause__ or chain[-1].__context__) is not None and below not in chain:
        chain.append(below)
    return next((str(one) for one in reversed(chain) if str(one)), type(fault).__name__)
