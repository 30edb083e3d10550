"""Files and batches of an endpoint: put up, started, asked after, listed, fetched. No retries here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from aiohttp import FormData

from evalkit.client.client import Client, TroubleError
from evalkit.client.outcome import Diagnosis

_encoder = msgspec.json.Encoder()
_MOST_PAGES = 200
_A_PAGE = 100
_NOT_LISTED = (404, 405, 501)

OURS = "evalkit"
"""The name under which a batch's metadata holds its nonce."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, as its endpoint tells of it; what is missing is empty."""

    id: str
    status: str = ""
    input_file_id: str | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    errors: Any = None
    request_counts: Any = None

    @property
    def nonce(self) -> str:
        """What a batch of ours was started under; empty for others'."""
        found = (self.metadata or {}).get(OURS)
        return found if isinstance(found, str) else ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("completed", "failed", "expired", "cancelled")

    @property
    def done(self) -> int:
        """Requests that are through, as far as it says."""
        counts = self.request_counts if isinstance(self.request_counts, Mapping) else {}
        return sum(one for name in ("completed", "failed") if isinstance(one := counts.get(name), int))

    def why(self) -> str:
        """What it says went wrong with the whole of it."""
        data = self.errors.get("data") if isinstance(self.errors, Mapping) else self.errors
        words = [str(one.get("message") or one.get("code") or "") for one in data[:3] if isinstance(one, Mapping)] if isinstance(data, list) else []
        return "; ".join(filter(None, words))


class File(NamedTuple):
    """A file that the endpoint holds."""

    id: str
    name: str


class BatchApi:
    """What of an endpoint is about batches, by a `Client` whose end is not its own. All raise `TroubleError`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def harmless(self, words: str) -> str:
        """Somebody's words, fit to be kept."""
        return self._client.harmless(words)

    async def upload(self, path: Path, name: str) -> str:
        """Put a file of requests up; its id."""

        def form() -> FormData:
            data = FormData()
            data.add_field("purpose", "batch")
            data.add_field("file", path.open("rb"), filename=name, content_type="application/jsonl")
            return data

        told = await self._json("POST", "/files", form)
        identity = told.get("id") if isinstance(told, dict) else None
        if not isinstance(identity, str) or not identity:
            raise self._odd("no file with an id")
        return identity

    async def start(self, file: str, nonce: str, url: str, window: str) -> Told:
        """Start a batch of a file's requests; each call starts one more."""
        body = {"input_file_id": file, "endpoint": url, "completion_window": window, "metadata": {OURS: nonce}}
        return self._told(await self._json("POST", "/batches", lambda: _encoder.encode(body)))

    async def show(self, batch: str) -> Told | None:
        """How far a batch is; None where the endpoint knows of none."""
        try:
            return self._told(await self._json("GET", f"/batches/{quote(batch, safe='')}"))
        except TroubleError as fault:
            if fault.found.status == 404:
                return None
            raise

    async def batches(self) -> list[Told] | None:
        """Those that there are; None where the endpoint lists none."""
        rows = await self._listed("/batches")
        return None if rows is None else [self._told(row) for row in rows]

    async def files(self) -> list[File] | None:
        """The files that there are; None where the endpoint lists none."""
        rows = await self._listed("/files")
        return None if rows is None else [File(str(row.get("id", "")), str(row.get("filename", ""))) for row in rows]

    async def fetch(self, file: str, into: Callable[[bytes], object]) -> None:
        """What a file holds, piece by piece."""
        await self._client.ask("GET", f"/files/{quote(file, safe='')}/content", lambda: None, into)

    async def _listed(self, path: str) -> list[dict[str, Any]] | None:
        rows: list[dict[str, Any]] = []
        after = ""
        for _ in range(_MOST_PAGES):
            try:
                page = await self._json("GET", f"{path}?limit={_A_PAGE}" + (f"&after={quote(after, safe='')}" if after else ""))
            except TroubleError as fault:
                if fault.found.status in _NOT_LISTED:
                    return None
                raise
            data = page.get("data") if isinstance(page, dict) else None
            if not isinstance(data, list):
                return None
            new = [row for row in data if isinstance(row, dict) and isinstance(row.get("id"), str)]
            rows += new
            if not page.get("has_more") or not new or new[-1]["id"] == after:
                return rows
            after = new[-1]["id"]
        return rows

    def _told(self, found: Any) -> Told:
        try:
            return msgspec.convert(found, Told)
        except msgspec.ValidationError:
            raise self._odd("no batch with an id") from None

    async def _json(self, method: str, path: str, content: Callable[[], bytes | FormData | None] = lambda: None) -> Any:
        pieces: list[bytes] = []
        await self._client.ask(method, path, content, pieces.append)
        try:
            return msgspec.json.decode(b"".join(pieces))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._odd(f"nothing that can be read: {b''.join(pieces)[:200].decode('utf-8', 'replace')}") from None

    def _odd(self, what: str) -> TroubleError:
        return TroubleError(Diagnosis("malformed", "nobody", self.harmless(f"the endpoint answers with {what}")))
