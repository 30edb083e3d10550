"""How bytes go out and come back: openai's public client over its aiohttp transport, bounded bodies, and faults of the network by their type."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from evalkit.client.outcome import Diagnosis
from evalkit.client.unpacking import TAKEN, PackedError, Unpacking
from evalkit.errors import EndpointError

LONGEST_ANSWER = 64 * 2**20
"""Bytes of a body, be it an answer, an error or a stream, beyond which it is given up; of one that comes packed, once it is unpacked."""

_UNSENT = [
    f"X-Stainless-{name}" for name in ("Lang", "Package-Version", "OS", "Arch", "Runtime", "Runtime-Version", "Async", "Retry-Count", "Read-Timeout")
]
"""Headers in which the openai client tells of the machine: no endpoint needs them, and they make a tenth of a call's cost."""


class TooLongError(Exception):
    """A body has no end in sight."""


class Transport:
    """openai's client for one endpoint, and the classes of what it raises.

    Args:
        base_url, key, concurrency, loopback, timeout_s, headers, verify, organization, project: as `evalkit.client.client.Client` takes them.

    Raises:
        Exception: whatever the libraries refuse, as they word it.
        EndpointError: `verify` is no file of certificates.
    """

    def __init__(
        self,
        base_url: str,
        key: str | None,
        *,
        concurrency: int,
        loopback: bool,
        timeout_s: float,
        headers: Mapping[str, str],
        verify: str | None,
        organization: str | None,
        project: str | None,
    ) -> None:
        import aiohttp
        import openai

        try:
            import httpx2 as hx  # what openai 3 stands on
        except ImportError:
            import httpx as hx  # type: ignore[import-not-found,no-redef,unused-ignore]
        self.openai, self.response_class = openai, hx.Response
        self.errors: tuple[type[BaseException], ...] = (openai.APIConnectionError, aiohttp.ClientError, hx.TransportError)
        self._slow = (hx.ReadTimeout, hx.WriteTimeout, aiohttp.ServerTimeoutError, TimeoutError)
        self._wire = (
            aiohttp.ClientConnectorError,
            aiohttp.ServerDisconnectedError,
            aiohttp.ClientOSError,
            aiohttp.ConnectionTimeoutError,
            hx.ConnectError,
        )
        self._cut, self._encoding = aiohttp.ClientPayloadError, hx.DecodingError
        http = openai.DefaultAioHttpClient(
            limits=hx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency, keepalive_expiry=60),
            trust_env=not loopback,
            # Loading the system's certificates takes as long as thirty calls, and a plain connection asks for none.
            verify=_trusting(verify) if verify is not None else not (loopback and base_url.startswith("http://")),
            event_hooks={"response": [_bounding(hx.AsyncByteStream, hx.DecodingError)]},
        )
        own = {**dict.fromkeys(_UNSENT, openai.Omit()), "Accept-Encoding": TAKEN, **headers}
        self._own_authorization = any(name.lower() == "authorization" for name in own)
        if key is None and not self._own_authorization:
            own["Authorization"] = openai.Omit()
        # A redirect would carry headers and prompts to wherever it points.
        self.options: Any = {"follow_redirects": False, "headers": own}
        self.client = openai.AsyncOpenAI(
            api_key=key if key is not None else "none", base_url=base_url, max_retries=0, timeout=timeout_s, http_client=http
        )
        # What the environment of OpenAI's own users holds is no other endpoint's business.
        self.client.organization, self.client.project = organization, project
        self.client._custom_headers = {}  # OPENAI_CUSTOM_HEADERS; could replace the key by another

    def use(self, key: str) -> None:
        """Send this key with all calls that begin from now on, where no header of the user's own stands in its place."""
        if not self._own_authorization:
            self.options = {**self.options, "headers": {**self.options["headers"], "Authorization": f"Bearer {key}"}}

    async def post(self, url: str, content: bytes) -> Any:
        """The response to a POST, its body read."""
        return await self.client.post(url, content=content, cast_to=self.response_class, options=self.options)

    async def stream(self, url: str, content: bytes) -> Any:
        """The response to a POST, its body still to be read."""
        kind: Any = self.openai.AsyncStream
        return await self.client.post(url, content=content, cast_to=self.response_class, options=self.options, stream=True, stream_cls=kind)

    def trouble(self, fault: BaseException) -> Diagnosis:
        """What lies under the client's one class for all of it: a slow answer, one that broke off, a bad encoding; else the connection."""
        chain = causes(fault)
        if any(isinstance(one, TooLongError) for one in chain):
            return too_long()
        wire = any(isinstance(one, self._wire) for one in chain)
        if not wire and any(isinstance(one, self._slow) for one in chain):
            return Diagnosis("timeout", "nobody", "the endpoint accepted the request and did not answer in time")
        words = next((str(one) for one in chain[1:] if str(one)), str(fault)).replace(" ssl:default", "")
        if any(isinstance(one, self._cut) for one in chain):
            return Diagnosis("interrupted", "nobody", f"the answer broke off: {words}")
        return Diagnosis("malformed" if any(isinstance(one, self._encoding) for one in chain) else "connection", "nobody", words)


def too_long() -> Diagnosis:
    """A body that was given up."""
    return Diagnosis("malformed", None, f"an answer of over {LONGEST_ANSWER // 2**20} MB")


def causes(fault: BaseException) -> list[BaseException]:
    """An exception and what lies under it, the outermost first."""
    chain: list[BaseException] = []
    at: BaseException | None = fault
    while at is not None and at not in chain:
        chain.append(at)
        at = at.__cause__ or at.__context__
    return chain


def _bounding(kind: Any, unreadable: type[Exception]) -> Callable[[Any], Awaitable[None]]:
    """What is to be done with each response, so that its body ends.

    Args:
        kind: the class of bodies.
        unreadable: what to raise for one that cannot be unpacked.
    """

    class Bounded(kind):  # type: ignore[misc]
        def __init__(self, body: Any, encodings: str) -> None:
            self._body, self._encodings = body, encodings

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            try:
                unpacking = Unpacking(self._encodings)
                async for packed in self._body:
                    for piece in unpacking.pieces(packed):
                        size += len(piece)
                        if size > LONGEST_ANSWER:
                            raise TooLongError
                        yield piece
                unpacking.end()
            except PackedError as fault:
                raise unreadable(str(fault)) from None

        async def aclose(self) -> None:
            await self._body.aclose()

    async def bound(response: Any) -> None:
        response.stream = Bounded(response.stream, ",".join(response.headers.get_list("content-encoding")))
        if "content-encoding" in response.headers:
            del response.headers["content-encoding"]  # nobody is to unpack it again

    return bound


def _trusting(bundle: str) -> Any:
    import ssl

    try:
        return ssl.create_default_context(cafile=bundle)
    except (OSError, ssl.SSLError) as fault:
        raise EndpointError(f"endpoint.verify: {bundle}: not a file of certificates: {fault}") from None
