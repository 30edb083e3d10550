"""One chat call: send it, read what comes, say what it is. No retries here: whoever calls decides on them.

Requests go out as bytes through aiohttp, with headers and address made once: to walk a request and to build models of its answer, as client
libraries do, costs several times the call itself.
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
from aiohttp import FormData

from evalkit.client.defaults import OwnDefaults, defaults_of
from evalkit.client.headers import limits_of, wait_of
from evalkit.client.keys import KeyCommand, NoKeyError
from evalkit.client.outcome import NO_KEY, Diagnosis, no_answer, read_error
from evalkit.client.redaction import Secrets, is_secret_header
from evalkit.client.reply import Asked, Reply, failed, reply_of
from evalkit.client.stream import BrokenStreamError, decode, read_body
from evalkit.client.transport import FAULTS, Came, RefusedError, TooLongError, Transport, causes, trouble
from evalkit.client.unpacking import PackedError
from evalkit.errors import AuthError, EndpointError
from evalkit.plan.requests import Request
from evalkit.store.records import Completion, Failure, Usage

_encoder = msgspec.json.Encoder()
_MOST_KEYS = 3
"""Keys that one call is tried with, where the endpoint refuses each of them."""


class TroubleError(Exception):
    """A request that brought no success; `found` says what that means, in harmless words."""

    def __init__(self, found: Diagnosis) -> None:
        super().__init__(found.message)
        self.found = found


class Client:
    """Calls one endpoint. An asynchronous context manager; not to be shared between event loops.

    Args:
        base_url: up to and without ``/chat/completions``; a query, like Azure's ``?api-version=``, stays behind each address.
        key: the bearer key, or what gives one whenever one is wanted; None sends no Authorization header.
        concurrency: connections kept open at the most.
        loopback: the endpoint is the embedded one: proxies of the environment are not for it.
        timeout_s: the longest a whole call may take.
        headers: sent with every call.
        secrets: what must not stand in any message or answer beside the key, which is added to it: those who are asked by one run share it, for a
            gateway between them may quote to one the key of another.
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
        secrets: Secrets | None = None,
        verify: str | None = None,
        organization: str | None = None,
        project: str | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._base_url, _, self._query = base_url.partition("?")
        self._chat_url = self._url("/chat/completions")  # whole, so that it is not put together anew for each call
        self._tells_props = False
        self._keys = key if isinstance(key, KeyCommand) else None
        key = None if isinstance(key, KeyCommand) else key
        self._secrets = Secrets(None) if secrets is None else secrets
        for one in (key,) if key else self._keys.given if self._keys is not None else ():
            self._secrets.add(one)
        for name, value in (headers or {}).items():
            if is_secret_header(name):
                self._secrets.add_value(value)
        if key is not None and not (key.isascii() and key.isprintable() and key.strip()):
            raise AuthError("the key holds characters that no header can carry; set it again, without quotes, spaces or line ends")
        try:
            self._transport = Transport(
                self._base_url,
                key,
                concurrency=concurrency,
                loopback=loopback,
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

    @property
    def address(self) -> str:
        """The base URL, without a query."""
        return self._base_url

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        await self._transport.close()

    def _url(self, path: str) -> str:
        return f"{self._base_url.rstrip('/')}{path}{('&' if '?' in path else '?') + self._query if self._query else ''}"

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
        try:
            async with asyncio.timeout(min(self._timeout_s, 30)):
                came = await self._transport.get(self._url("/models"))
            listed = json.loads(came.raw)["data"]
            self._tells_props = "llama.cpp" in came.headers.get("Server", "") or any(one.get("owned_by") == "llamacpp" for one in listed)
            return frozenset(one["id"] for one in listed if isinstance(one.get("id"), str))
        except RefusedError as fault:
            if fault.status == 401:
                said = read_error(fault.body, fault.status)
                raise AuthError(f"the endpoint refuses the key (HTTP {fault.status}): {self.harmless(said.message)}") from None
            return None
        except Exception:  # whatever stands there instead of a list, it is no list
            return None

    async def own_defaults(self) -> OwnDefaults | None:
        """What is on where a request names nothing, as llama.cpp's server tells it beside its API; None where the endpoint is another.

        Which server it is, its list of models has told, so `models` is to be asked first.
        """
        if not self._tells_props:
            return None
        root = self._base_url.rstrip("/").removesuffix("/v1")
        try:
            async with asyncio.timeout(min(self._timeout_s, 30)):
                came = await self._transport.get(f"{root}/props")
            return defaults_of(json.loads(came.raw))
        except Exception:  # it is good to know and nothing hangs on it
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
            came = await self._transport.post(self._chat_url, content)
            reply = self._read(came.raw, Asked(body, time.perf_counter() - started))
            limits = limits_of(came.headers)
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
            came: Came = await self._transport.post(self._url(path), content)
            try:
                usage = read(came.raw)
            except ValueError as fault:
                found = no_answer(came.raw)
                return self._failed(found if found.fault not in ("nobody", "address") else Diagnosis("malformed", "nobody", str(fault)), started)
            completion = Completion(text="", finish_reason=None, usage=usage, latency_s=round(time.perf_counter() - started, 6), tries=1)
            return Reply((completion,), usage=usage, limits=limits_of(came.headers))

        return await self._tried(once)

    async def ask(self, method: str, path: str, content: Callable[[], bytes | FormData | None], into: Callable[[bytes], object]) -> None:
        """Any request to the endpoint, once, but for a key that can be renewed.

        Args:
            path: behind the base URL; may end in a query.
            content: gives what is sent, anew for each try.
            into: is given the body of what comes, piece by piece.

        Raises:
            TroubleError: what came is no success, or nothing came.
        """
        try:
            used = None if self._keys is None else self._use(await self._keys.present())
            for last in (False, True):
                try:
                    async with asyncio.timeout(self._timeout_s):
                        return await self._transport.ask(method, self._url(path), content(), into)
                except RefusedError as fault:
                    renewed = None if self._keys is None or used is None or fault.status != 401 or last else await self._keys.after(used)
                    if renewed is None or renewed == used:
                        raise self._trouble(read_error(fault.body, fault.status, wait_of(fault.headers))) from None
                    used = self._use(renewed)
        except NoKeyError as fault:
            raise self._trouble(Diagnosis("auth", "key", str(fault), code=NO_KEY)) from None
        except TimeoutError:
            raise self._trouble(Diagnosis("timeout", "nobody", f"no whole answer within {self._timeout_s:g} s")) from None
        except (*FAULTS, PackedError) as fault:
            raise self._trouble(trouble(fault)) from None

    def _trouble(self, found: Diagnosis) -> TroubleError:
        return TroubleError(found._replace(message=self.harmless(found.message)))

    def read_answer(self, status: int, raw: bytes, body: Mapping[str, Any]) -> Reply:
        """The reply that a body with a status is which did not come by a call of this client; nobody timed it.

        Args:
            body: the fields of its request without the messages.
        """
        return read_answer(status, raw, body, self._secrets)

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
        except RefusedError as fault:
            return self._refused(fault, started)
        except (*FAULTS, TooLongError, PackedError) as fault:
            return self._failed(trouble(fault), started)
        except Exception as fault:  # a body in an encoding that does not exist, for one; a run must not end for it
            words = f"an answer that cannot be read: {str(fault) or type(fault).__name__}"
            return self._failed(Diagnosis("malformed", "nobody", words), started)

    async def _streamed(self, content: bytes, body: Mapping[str, Any], started: float) -> Reply:
        reads: list[bytes] = []
        times: list[float] = []
        headers, broke = await self._transport.stream(self._chat_url, content, reads, times)
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
        return reply_of(whole, asked, self._secrets, streamed=True)._replace(streamed=True, done=whole.done, limits=limits_of(headers))

    def _read(self, raw: bytes, asked: Asked) -> Reply:
        whole = read_body(raw, asked.choices)
        if whole is None or (whole.error is not None and not whole.choices):
            return failed(no_answer(raw), asked.latency_s, self._secrets, None if whole is None else whole.usage)
        return reply_of(whole, asked, self._secrets)

    def _refused(self, fault: RefusedError, started: float) -> Reply:
        found = read_error(fault.body, fault.status, wait_of(fault.headers))
        if 300 <= fault.status < 400:
            where = fault.headers.get("location", "elsewhere")
            found = found._replace(message=f"the endpoint redirects to {where}, which is not followed; set endpoint.base_url to where it leads")
        return self._failed(found, started)

    def _failed(self, found: Diagnosis, started: float) -> Reply:
        return failed(found, time.perf_counter() - started, self._secrets)


def read_answer(status: int, raw: bytes, body: Mapping[str, Any], secrets: Secrets) -> Reply:
    """As `Client.read_answer`, with the secrets that must not stand in it."""
    asked = Asked(body, 0.0)
    whole = read_body(raw, asked.choices) if 200 <= status < 300 else None
    if whole is not None and (whole.error is None or whole.choices):
        reply = reply_of(whole, asked, secrets)
        untimed = (msgspec.structs.replace(one, latency_s=None, tokens_per_s=None, batched=True) for one in reply.completions)
        return reply._replace(completions=tuple(untimed), failure=_untimed(reply.failure))
    found = no_answer(raw) if 200 <= status < 300 else read_error(_decoded(raw), status)
    reply = failed(found, 0.0, secrets, None if whole is None else whole.usage)
    return reply._replace(failure=_untimed(reply.failure))


def _untimed(failure: Failure | None) -> Failure | None:
    return None if failure is None else msgspec.structs.replace(failure, latency_s=None)


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def _innermost(fault: BaseException) -> str:
    return next((str(one) for one in reversed(causes(fault)) if str(one)), type(fault).__name__)
