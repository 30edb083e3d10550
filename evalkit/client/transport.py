"""How bytes go out and come back: aiohttp alone, all that calls have in common made once; bounded bodies, and faults of the network by their type."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from evalkit._version import __version__
from evalkit.client.certificates import trusting
from evalkit.client.outcome import Diagnosis
from evalkit.client.proxies import proxy_for
from evalkit.client.unpacking import TAKEN, PackedError, Unpacking

LONGEST_ANSWER = 64 * 2**20
"""Bytes of a body, be it an answer, an error or a stream, beyond which it is given up; of one that comes packed, once it is unpacked."""

_KEPT_OPEN_S = 60.0
_UNTIMED = aiohttp.ClientTimeout(total=None, sock_connect=None)
"""One clock for a whole call is enough, and its caller holds it."""

FAULTS = (aiohttp.ClientError, OSError)
"""What goes wrong on the way; `trouble` tells it."""
_WIRE = (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ConnectionTimeoutError)
_SLOW = (aiohttp.ServerTimeoutError, TimeoutError)


class TooLongError(Exception):
    """A body has no end in sight."""


class RefusedError(Exception):
    """A status that is no success.

    Attributes:
        body: decoded where it is JSON, else its text.
    """

    def __init__(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        super().__init__(f"Error code: {status}")
        self.status, self.headers = status, headers
        text = raw.decode(_charset(headers), "replace")
        try:
            self.body: Any = json.loads(text)
        except (ValueError, RecursionError):
            self.body = text or str(self)


class Came(NamedTuple):
    """A response that is a success, its body read. Names of `headers` are looked up whatever their case."""

    headers: Mapping[str, str]
    raw: bytes


class Transport:
    """Connections to one endpoint, opened as they are needed. Redirects, which would carry headers and prompts elsewhere, are not followed.

    Args:
        base_url, key, concurrency, loopback, headers, verify, organization, project: as `evalkit.client.client.Client` takes them.

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
        headers: Mapping[str, str],
        verify: str | None,
        organization: str | None,
        project: str | None,
    ) -> None:
        self._proxy = None if loopback else proxy_for(base_url)
        secured = any(one is not None and one.startswith("https:") for one in (base_url.lower(), self._proxy))
        # Loading the system's certificates takes as long as thirty calls, and a plain connection asks for none.
        self._context = trusting(verify) if secured or verify is not None else True
        self._most = concurrency
        own = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": f"evalkit/{__version__}", "Accept-Encoding": TAKEN}
        own |= {name: value for name, value in (("OpenAI-Organization", organization), ("OpenAI-Project", project)) if value is not None}
        self._headers = CIMultiDict(own)
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._own_authorization = any(name.lower() == "authorization" for name in headers)
        self._headers.update(headers)
        URL(base_url)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None

    def use(self, key: str) -> None:
        """Send this key with all calls that begin from now on, where no header of the user's own stands in its place."""
        if not self._own_authorization:
            self._headers = CIMultiDict(self._headers)
            self._headers["Authorization"] = f"Bearer {key}"

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def get(self, url: str) -> Came:
        """The response to a GET; raises as `post`."""
        async with self._asked("GET", url, None) as response:
            return Came(response.headers, await _whole(response))

    async def post(self, url: str, content: bytes) -> Came:
        """The response to a POST.

        Raises:
            RefusedError: its status is no success.
            TooLongError, PackedError: its body has no end, or cannot be unpacked.
            aiohttp.ClientError, OSError: the network failed it.
        """
        async with self._asked("POST", url, content) as response:
            return Came(response.headers, await _whole(response))

    async def ask(self, method: str, url: str, content: bytes | aiohttp.FormData | None, into: Callable[[bytes], object]) -> None:
        """Any request; the body of what comes is given to `into` piece by piece, however long it is. Raises as `post`, but for its length."""
        async with self._asked(method, url, content) as response:
            await _check(response)
            unpacking = Unpacking(",".join(response.headers.getall("Content-Encoding"))) if "Content-Encoding" in response.headers else None
            while packed := await response.content.readany():
                for piece in (packed,) if unpacking is None else unpacking.pieces(packed):
                    into(piece)
            if unpacking is not None:
                unpacking.end()

    async def stream(self, url: str, content: bytes, reads: list[bytes], times: list[float]) -> tuple[Mapping[str, str], Exception | None]:
        """The response to a POST, piece by piece as the network brings it: its headers, and what broke it off in the middle, if anything did.

        Args:
            reads: takes the pieces.
            times: takes when each came, in seconds of `time.perf_counter`.

        Raises:
            Exception: as `post`, but for what breaks off a body that has begun.
        """
        async with self._asked("POST", url, content) as response:
            await _check(response)
            try:
                await _read(response, reads, times)
            except FAULTS as fault:
                return response.headers, fault
            return response.headers, None

    def _asked(self, method: str, url: str, content: bytes | aiohttp.FormData | None) -> Any:
        if self._session is None:  # here, since it belongs to the loop that runs
            connector = aiohttp.TCPConnector(limit=self._most, keepalive_timeout=_KEPT_OPEN_S, ssl=self._context)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=_UNTIMED)
        whole = self._urls.get(url)
        if whole is None:
            whole = self._urls[url] = URL(url)
        headers = self._headers
        if isinstance(content, aiohttp.FormData):  # which tells its own type
            headers = CIMultiDict(headers)
            headers.pop("Content-Type", None)
        return self._session.request(method, whole, data=content, headers=headers, allow_redirects=False, proxy=self._proxy)


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    await _check(response)
    if "Content-Encoding" not in response.headers and 0 <= (response.content_length or -1) <= LONGEST_ANSWER:
        return await response.read()
    reads: list[bytes] = []
    await _read(response, reads, [])
    return b"".join(reads)


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raise `RefusedError` where it is no success."""
    if not 200 <= response.status < 300:
        reads: list[bytes] = []
        await _read(response, reads, [])
        raise RefusedError(response.status, response.headers, b"".join(reads))


async def _read(response: aiohttp.ClientResponse, reads: list[bytes], times: list[float]) -> None:
    """The body, unpacked, as it comes."""
    size = 0
    unpacking = Unpacking(",".join(response.headers.getall("Content-Encoding"))) if "Content-Encoding" in response.headers else None
    content = response.content
    while packed := await content.readany():
        for piece in (packed,) if unpacking is None else unpacking.pieces(packed):
            size += len(piece)
            if size > LONGEST_ANSWER:
                raise TooLongError
            reads.append(piece)
            times.append(time.perf_counter())
    if unpacking is not None:
        unpacking.end()


def trouble(fault: BaseException) -> Diagnosis:
    """What went wrong with a call: a slow answer, one that broke off, one that cannot be unpacked; else the connection."""
    chain = causes(fault)
    if any(isinstance(one, TooLongError) for one in chain):
        return Diagnosis("malformed", None, f"an answer of over {LONGEST_ANSWER // 2**20} MB")
    wire = any(isinstance(one, _WIRE) for one in chain)
    if not wire and any(isinstance(one, _SLOW) for one in chain):
        return Diagnosis("timeout", "nobody", "the endpoint accepted the request and did not answer in time")
    telling = chain[1:] if type(fault) is aiohttp.ClientResponseError else chain  # its own words only repeat the address
    words = next((str(one) for one in (*telling, fault) if str(one)), type(fault).__name__).replace(" ssl:default", "")
    if any(isinstance(one, aiohttp.ClientPayloadError) for one in chain):
        return Diagnosis("interrupted", "nobody", f"the answer broke off: {words}")
    return Diagnosis("malformed" if any(isinstance(one, PackedError) for one in chain) else "connection", "nobody", words)


def causes(fault: BaseException) -> list[BaseException]:
    """An exception and what lies under it, the outermost first."""
    return list(_causes(fault))


def _causes(fault: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    at: BaseException | None = fault
    while at is not None and at not in seen:
        seen.append(at)
        yield at
        at = at.__cause__ or at.__context__


def _charset(headers: Mapping[str, str]) -> str:
    """How a body's text is encoded, by its header."""
    for part in headers.get("Content-Type", "").split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() == "charset":
            try:
                found = codecs.lookup(value.strip().strip("\"'"))
            except (LookupError, ValueError):
                break
            return found.name if getattr(found, "_is_text_encoding", True) else "utf-8"
    return "utf-8"
