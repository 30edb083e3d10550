"""Who is let in: this machine's own browser, with the cookie that the address on the terminal was exchanged for.

Every answer says what its page may do: no script, style or picture but the app's own, no frame, no referrer. Nothing is shared with other origins.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from evalkit.text.escaping import harmless

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""What a page of the app may load: the app's own files."""

CSRF = "x-evalkit-csrf"
"""The header that what is written has to bear, with the value that the app's own pages hold."""

_READ, _WRITTEN = frozenset(("GET", "HEAD")), frozenset(("POST",))
_SAME = frozenset((b"same-origin", b"none"))
_SHUT = "This page is for the person who started it: open the address that evalkit view shows on the terminal.\n"


def policy_of(style: str, script: str = "") -> str:
    """What a page may load that brings its own style and script along, each named by its hash and nothing besides."""
    scripts = f"script-src 'sha256-{script}'; " if script else ""
    return f"default-src 'none'; {scripts}style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


class Keys:
    """The secrets of one server: the token of the address, good once, and what a browser is known by from then on."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(24)
        self._session = secrets.token_urlsafe(32)

    def exchange(self, token: str) -> str | None:
        """What a browser is given for the token, which is good no more; None where it is another."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return None
        self.token = secrets.token_urlsafe(24)
        return self._session

    def known(self, cookie: str) -> bool:
        """Whether this is what a browser was given."""
        return hmac.compare_digest(cookie.encode("utf-8", "replace"), self._session.encode())

    @property
    def csrf(self) -> str:
        """What the app's own pages hold, and nobody else's can read."""
        return hashlib.sha256(f"csrf {self._session}".encode()).hexdigest()


class Guard:
    """Stands before an ASGI application on 127.0.0.1 and a port.

    Args:
        exchanged: called when a browser was let in, for the next address to be told.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], keys: Keys, port: int, exchanged: Callable[[], None]) -> None:
        self._app, self._keys, self._exchanged = app, keys, exchanged
        self._hosts = frozenset(f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost"))
        self._cookie = f"evalkit-view-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or say why not."""
        if scope["type"] != "http":
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]

        async def sealed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_seals(message.get("headers", ()))]
            await send(message)

        status, why, more = self._judged(scope, headers)
        if status == 200:
            await self._app(scope, receive, sealed)
            return
        body = b"" if scope["method"] == "HEAD" else why.encode()
        kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(why.encode())).encode())]
        await sealed({"type": "http.response.start", "status": status, "headers": [*kind, *more]})
        await sealed({"type": "http.response.body", "body": body})

    def _judged(self, scope: Scope, headers: Headers) -> tuple[int, str, list[tuple[bytes, bytes]]]:
        """Status 200 where the request goes on, else the answer to it: status, words, further headers."""
        hosts = [value for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, "This server answers to 127.0.0.1 and localhost alone.\n", []
        origin = b"http://" + hosts[0].lower()
        origins = [value.lower() for name, value in headers if name == b"origin"]
        sites = [value for name, value in headers if name == b"sec-fetch-site"]
        if any(one != origin for one in origins):
            return 403, "A page of another origin asks for this.\n", []
        method = scope["method"]
        if method not in _READ | _WRITTEN:
            return 405, "Only GET and POST.\n", [(b"allow", b"GET, HEAD, POST")]
        if method in _READ and (let_in := self._exchange(scope)) is not None:
            return let_in
        if any(one not in _SAME for one in sites):
            return 403, "A page of another site asks for this; open it from the address bar.\n", []
        if not any(self._keys.known(one) for one in self._cookies(headers)):
            return 403, _SHUT, []
        if method in _WRITTEN:
            given = [value for name, value in headers if name == CSRF.encode()]
            if not origins or len(given) != 1 or not hmac.compare_digest(given[0], self._keys.csrf.encode()):
                return 403, "What is written has to come from a page of this app: reload the page.\n", []
        return 200, "", []

    def _exchange(self, scope: Scope) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """The redirection that gives the cookie for the token in the address; None where none stands there."""
        asked = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in asked if name == "token"]
        if not tokens or scope["path"].startswith("/static/"):
            return None
        session = self._keys.exchange(tokens[0])
        if session is None:
            return 403, "This address was used already, or is of another server. " + _SHUT, []
        rest = urlencode([one for one in asked if one[0] != "token"])
        place = quote("/" + scope["path"].lstrip("/"), safe="/") + (f"?{rest}" if rest else "")
        cookie = f"{self._cookie}={session}; Path=/; HttpOnly; SameSite=Strict"
        self._exchanged()
        return 303, "", [(b"location", place.encode()), (b"set-cookie", cookie.encode())]

    def _cookies(self, headers: Headers) -> Iterable[str]:
        for name, value in headers:
            if name == b"cookie":
                for part in value.decode("latin-1").split(";"):
                    key, _, said = part.strip().partition("=")
                    if key == self._cookie:
                        yield said


def _seals(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What every answer says of itself, where it does not say so already."""
    said = {name.lower() for name, _ in headers}
    wanted = {
        b"content-security-policy": POLICY.encode(),
        b"referrer-policy": b"no-referrer",
        b"x-content-type-options": b"nosniff",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"cache-control": b"no-store",
    }
    return [one for one in wanted.items() if one[0] not in said]


def address(port: int, token: str, path: str = "/") -> str:
    """Where to go with a token."""
    return f"http://127.0.0.1:{port}{harmless(path)}?token={token}"
