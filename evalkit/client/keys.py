"""Keys that a command gives, and gives anew: tokens of clouds and gateways last an hour, and a long sweep outlives them."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

TIMEOUT_S = 30.0
"""The longest that a command may take."""

_LONGEST_OUTPUT = 100_000
_EARLY_S, _EARLY_SHARE = 60.0, 0.1
"""How long before its end a key is renewed: a minute, or of one that lives for less than ten a share of that."""


class NoKeyError(Exception):
    """A command gave no key. Says why, and shows nothing of what it printed."""


class KeyCommand:
    """The keys of one endpoint's ``api_key_command``. It is run when a key is wanted, by one caller at a time, for all who wait.

    May be used in one event loop after another.

    Attributes:
        given: every key that it ever gave.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = tuple(command)
        self._key: str | None = None
        self._renew_at = math.inf
        self._renewal: asyncio.Task[str] | None = None
        self.given: list[str] = []

    async def present(self) -> str:
        """A key that has not expired, for all that is known. Raises `NoKeyError`."""
        return await self._renewed() if self._key is None or time.time() >= self._renew_at else self._key

    async def after(self, refused: str) -> str:
        """The key to use since `refused` was: the present one where that is another by now, else a new one. Raises `NoKeyError`."""
        return await self._renewed() if self._key is None or self._key == refused else self._key

    async def _renewed(self) -> str:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.ensure_future(self._renew())
            self._renewal.add_done_callback(_seen)
        return await asyncio.shield(self._renewal)  # one who gives up waiting leaves it to the others

    async def _renew(self) -> str:
        key, expires_at = read_key(await printed(self._command))
        left_s = math.inf if expires_at is None else expires_at - time.time()
        # One that has ended already by its own word was told by another clock: the endpoint will say when it has.
        self._renew_at = time.time() + left_s - min(_EARLY_S, _EARLY_SHARE * left_s) if 0 < left_s < math.inf else math.inf
        self._key = key
        if key not in self.given:
            self.given.append(key)
        return key


def _seen(renewal: asyncio.Task[str]) -> None:
    """Whoever waits is told; where nobody waits any more, a fault is nobody's."""
    if not renewal.cancelled():
        renewal.exception()


async def printed(command: Sequence[str]) -> bytes:
    """What a command prints, run without a shell and without input; raises `NoKeyError` where it fails, prints too much, or takes too long."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # it asks nobody anything, and is ended with all that it starts
        )
    except OSError as fault:
        raise NoKeyError(f"endpoint.api_key_command cannot be started: {fault.strerror or type(fault).__name__}") from None
    output = bytearray()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while process.stdout is not None and (piece := await process.stdout.read(65_536)):
                output += piece
                if len(output) > _LONGEST_OUTPUT:
                    raise NoKeyError("endpoint.api_key_command printed far more than a key; it must print the key alone")
            status = await process.wait()
    except BaseException as fault:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(1):  # what it has left in the pipe, for only then that is closed
                await process.communicate()
        if isinstance(fault, TimeoutError):
            raise NoKeyError(f"endpoint.api_key_command did not end within {TIMEOUT_S:g} s; run it by itself to see why") from None
        raise
    if status:
        how = f"with status {status}" if status > 0 else f"by signal {-status}"
        raise NoKeyError(f"endpoint.api_key_command ended {how}; run it by itself to see why")
    return bytes(output)


def read_key(output: bytes) -> tuple[str, float | None]:
    """The key that a command printed, and when it expires, in seconds since 1970, where that is told.

    Raises:
        NoKeyError: it is neither a key on one line nor a JSON object with ``token``.
    """
    text = output.decode("utf-8", "replace").strip()
    if not text:
        raise NoKeyError("endpoint.api_key_command printed nothing; it must print the key")
    key, expires_at = _of_json(text) if text.startswith("{") else (text, None)
    if len(key.splitlines()) > 1:
        raise NoKeyError("endpoint.api_key_command printed several lines; it must print the key alone, or one JSON object with token and expires_at")
    if not (key.isascii() and key.isprintable()) or set(key) & set(" \"'"):
        raise NoKeyError("endpoint.api_key_command printed a line that is no key: spaces, quotes or letters that no header carries stand in it")
    return key, expires_at


def _of_json(text: str) -> tuple[str, float | None]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise NoKeyError("endpoint.api_key_command printed a '{' and no JSON object; expected the key, or token and expires_at") from None
    token, expires_at = told.get("token"), told.get("expires_at")
    if not isinstance(token, str) or not token.strip():
        raise NoKeyError("endpoint.api_key_command printed a JSON object without a token; expected token and expires_at")
    return token.strip(), None if expires_at is None else _moment(expires_at)


def _moment(told: object) -> float:
    """A time as it is told: seconds since 1970, or in ISO's form, in UTC where no zone stands there."""
    with suppress(ValueError, OverflowError):
        if isinstance(told, str) and not told.strip().replace(".", "", 1).isdecimal():
            when = datetime.fromisoformat(told.strip())
            return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
        if isinstance(told, str | int | float) and not isinstance(told, bool) and math.isfinite(seconds := float(told)):
            return seconds
    raise NoKeyError("endpoint.api_key_command printed an expires_at that is no time; expected one like 2030-01-31T12:00:00Z, or seconds since 1970")
