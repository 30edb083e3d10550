"""One chat call: send it, read what comes, say what it is. No retries here: whoever calls decides on them.

Requests go out as bytes through the openai client's public `post`, over its aiohttp transport: authentication, base URL,
timeouts and error classes are the official client's, and its request walk and response models, which cost three times the
call itself, are left out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import msgspec

from evalkit.client.headers import Limits, limits_of, wait_of
from evalkit.client.keys import KeyCommand, NoKeyError
from evalkit.client.outcome import NO_KEY, Diagnosis, no_answer, read_error
from evalkit.client.redaction import Secrets, is_secret_header
from evalkit.client.reply import Asked, Reply, failed, reply_of
from evalkit.client.stream import BrokenStreamError, decode, read_body
from evalkit.client.transport import TooLongError, Transport, causes, too_long
from evalkit.errors import AuthError, EndpointError
from evalkit.plan.requests import Request
from evalkit.store.records import Completion, Usage

_encoder = msgspec.json.Encoder()
_MOST_KEYS = 3
"""Keys that one call is tried with, where the endpoint refuses each of them."""


class Client:
    """Calls one endpoint. An asynchronous context manager; not to be shared between event loops.

    Args:
        base_url: up to and without ``/chat/completions``; a query, like Azure's ``?api-version=``, stays behind each address.
        key: the bearer key, or what gives one whenever one is wanted; None sends no Authorization header.
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
        key: str | KeyCommand | None,
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
        self._timeout_s = timeout_s
        self._base_url, _, self._query = base_url.partition("?")
        self._chat_url = self._url("/chat/completions")  # whole, so that it is not put together anew for each call
        told = [value for name, value in (headers or {}).items() if is_secret_header(name)]
        self._keys = key if isinstance(key, KeyCommand) else None
        key = None if isinstance(key, KeyCommand) else key
        self._secrets = Secrets(key, (*told, *secrets))
        for one in self._keys.given if self._keys is not None else ():
            self._secrets.add(one)
        if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
            raise AuthError("the key holds characters that no header can carry; set it again, without quotes, spaces or line ends")
        try:
            self._transport = Transport(
                self._base_url,
                key,
                concurrency=concurrency,
                loopback=loopback,
                timeout_s=timeout_s,
                headers=headers or {},
                verify=verify,
                organization=organization,
                project=project,
            )
        except EndpointError:
            raise
        except Exception as fault:
            raise EndpointError(
                f"the client cannot be set up: {self.harmless(str(fault) or type(fault).__name__)}; "
                "check endpoint.base_url, and in the environment the proxies and SSL_CERT_FILE"
            ) from None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.client.close()

    def _url(self, path: str) -> str:
        return f"{self._base_url.rstrip('/')}{path}{'?' + self._query if self._query else ''}"

    def harmless(self, words: str) -> str:
        """Somebody's words, fit to be kept: without control characters and keys, 200 characters at the most."""
        return self._secrets.harmless(words)

    async def models(self) -> frozenset[str] | None:
        """The names that the endpoint lists under ``/models``; None where it does not list them. Raises `AuthError`."""
        if self._keys is None:
            return await self._listed()
        try:
            key = self._use(await self._keys.present())
            with suppress(AuthError):
                return await self._listed()
            self._use(await self._keys.after(key))
        except NoKeyError as fault:
            raise AuthError(str(fault)) from None
        return await self._listed()

    async def _listed(self) -> frozenset[str] | None:
        transport = self._transport
        try:
            async with asyncio.timeout(min(self._timeout_s, 30)):
                response = await transport.client.get(self._url("/models"), cast_to=transport.response_class, options=transport.options)
            listed = json.loads(response.content)["data"]
            return frozenset(one["id"] for one in listed if isinstance(one.get("id"), str))
        except transport.openai.APIStatusError as fault:
            if fault.status_code == 401:
                trouble = read_error(_body_of(fault), fault.status_code)
                raise AuthError(f"the endpoint refuses the key (HTTP {fault.status_code}): {self.harmless(trouble.message)}") from None
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

        async def once(started: float) -> Reply:
            if body.get("stream") is True:
                return await self._streamed(content, body, started)
            response = await self._transport.post(self._chat_url, content)
            reply = self._read(response.content, Asked(body, time.perf_counter() - started))
            limits = _limits(response)
            return reply if limits is None else reply._replace(limits=limits)

        return await self._tried(once)

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[bytes], Usage | None]) -> Reply:
        """Make a call to another address of the endpoint once, in all else as `call`; the completion that comes of it has no text.

        Args:
            path: behind the base URL, like ``/embeddings``.
            read: is given the answer as it came, and tells its usage; raises ValueError, with words, where it is none.
        """
        content = _encoder.encode(body)

        async def once(started: float) -> Reply:
            response = await self._transport.post(self._url(path), content)
            try:
                usage = read(response.content)
            except ValueError as fault:
                found = no_answer(response.content)
                return self._failed(found if found.fault not in ("nobody", "address") else Diagnosis("malformed", "nobody", str(fault)), started)
            completion = Completion(text="", finish_reason=None, usage=usage, latency_s=round(time.perf_counter() - started, 6), tries=1)
            return Reply((completion,), usage=usage, limits=_limits(response))

        return await self._tried(once)

    def _use(self, key: str) -> str:
        self._transport.use(key)
        self._secrets.add(key)
        return key

    async def _tried(self, once: Callable[[float], Awaitable[Reply]]) -> Reply:
        """What comes of one call, whatever endpoint or network do; where its key was refused and another can be had, of one with that.

        Args:
            once: makes the call, given when it began.
        """
        if self._keys is None:
            return await self._once(once)
        try:
            used = self._use(await self._keys.present())
            reply = await self._once(once)
            for _ in range(_MOST_KEYS - 1):
                if reply.failure is None or reply.fault != "key" or reply.failure.status != 401 or (key := await self._keys.after(used)) == used:
                    break
                used = self._use(key)
                reply = await self._once(once)
        except NoKeyError as fault:
            return self._failed(Diagnosis("auth", "key", str(fault), code=NO_KEY), time.perf_counter())
        return reply

    async def _once(self, once: Callable[[float], Awaitable[Reply]]) -> Reply:
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self._timeout_s):
                return await once(started)
        except TimeoutError:
            return self._failed(Diagnosis("timeout", "nobody", f"no whole answer within {self._timeout_s:g} s"), started)
        except self._transport.openai.APIStatusError as fault:
            return self._refused(fault, started)
        except self._transport.errors as fault:
            return self._failed(self._transport.trouble(fault), started)
        except TooLongError:
            return self._failed(too_long(), started)
        except Exception as fault:  # a body in an encoding that does not exist, for one; a run must not end for it
            words = f"an answer that cannot be read: {str(fault) or type(fault).__name__}"
            return self._failed(Diagnosis("malformed", "nobody", words), started)

    async def _streamed(self, content: bytes, body: Mapping[str, Any], started: float) -> Reply:
        response = await self._transport.stream(self._chat_url, content)
        reads: list[bytes] = []
        times: list[float] = []
        broke: BaseException | None = None
        try:
            async for piece in response.aiter_bytes():
                reads.append(piece)
                times.append(time.perf_counter())
        except self._transport.errors as fault:
            broke = fault
        finally:
            await response.aclose()
        raw = b"".join(reads)
        asked = Asked(body, (times[-1] if times else time.perf_counter()) - started)
        if raw.lstrip()[:1] in (b"{", b"["):  # no event begins so
            return self._read(raw, asked)  # a server that does not stream
        try:
            whole = decode(reads, asked.choices)
        except BrokenStreamError as fault:
            return self._failed(Diagnosis("malformed", "nobody", f"not a chunk of a stream: {fault}"), started)
        if whole.error is None and not whole.ended and (broke is not None or whole.choices):
            words = "the stream ended without a finish reason and without [DONE]" if broke is None else f"the stream broke off: {_innermost(broke)}"
            return failed(Diagnosis("interrupted", "nobody", words), asked.latency_s, self._secrets, whole.usage)
        if whole.error is None and not whole.choices:
            return self._failed(no_answer(raw), started)
        asked = asked._replace(first_s=None if whole.first is None else times[whole.first] - started)
        return reply_of(whole, asked, self._secrets, streamed=True)._replace(streamed=True, done=whole.done, limits=_limits(response))

    def _read(self, raw: bytes, asked: Asked) -> Reply:
        whole = read_body(raw, asked.choices)
        if whole is None or (whole.error is not None and not whole.choices):
            return failed(no_answer(raw), asked.latency_s, self._secrets, None if whole is None else whole.usage)
        return reply_of(whole, asked, self._secrets)

    def _refused(self, fault: Any, started: float) -> Reply:
        status, headers = fault.status_code, fault.response.headers
        trouble = read_error(_body_of(fault), status, wait_of(headers))
        if 300 <= status < 400:
            where = headers.get("location", "elsewhere")
            trouble = trouble._replace(message=f"the endpoint redirects to {where}, which is not followed; set endpoint.base_url to where it leads")
        return self._failed(trouble, started)

    def _failed(self, trouble: Diagnosis, started: float) -> Reply:
        return failed(trouble, time.perf_counter() - started, self._secrets)


def _body_of(fault: Any) -> Any:
    """The body of an error response, decoded where it can be; openai's client keeps what stands inside ``error`` alone."""
    text = fault.response.text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text or str(fault)


def _limits(response: Any) -> Limits | None:
    """What the endpoint says is left to use, where it says so: to read a header by its name takes ten times as long as to look for one."""
    told = any(name[:12].lower() == b"x-ratelimit-" for name, _ in response.headers.raw)
    return limits_of(response.headers) if told else None


def _innermost(fault: BaseException) -> str:
    return next((str(one) for one in reversed(causes(fault)) if str(one)), type(fault).__name__)
