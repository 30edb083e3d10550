"""Files and batches of the local endpoint, in memory: a file of requests goes in, files of answers and of errors come out, late or at once."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalkit.local.draws import share_of, whole_number
from evalkit.local.errors import ApiError
from evalkit.local.rehearsal import Fault

MOST_LINES = 50_000
LARGEST_FILE = 200_000_000
"""Bytes of a file that is taken at the most."""

_ROUTE = "/v1/chat/completions"
_MOST_LISTED = 100
_LONGEST = 512
_KEPT_S = 24 * 3600

Answer = Callable[[object], Awaitable[tuple[int, Any]]]
"""Answers the body of one request: a status, and a body."""


@dataclass
class Stored:
    """A file: what it is called, and what stands in it."""

    id: str
    name: str
    purpose: str
    content: bytes
    created: int = field(default_factory=lambda: int(time.time()))

    def told(self) -> dict[str, Any]:
        """As the API tells of it."""
        about = {"id": self.id, "object": "file", "bytes": len(self.content), "created_at": self.created}
        return about | {"filename": self.name, "purpose": self.purpose, "status": "processed"}


@dataclass
class Batch:
    """A batch and how far it is."""

    id: str
    input_file_id: str
    window: str
    metadata: dict[str, str] | None
    status: str = "validating"
    created: int = field(default_factory=lambda: int(time.time()))
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    total: int = 0
    completed: int = 0
    failed: int = 0
    task: asyncio.Task[None] | None = None

    def told(self) -> dict[str, Any]:
        """As the API tells of it."""
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": _ROUTE,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created,
            "expires_at": self.created + _KEPT_S,
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "metadata": self.metadata,
        }


class Batches:
    """All files and batches of one server; `faults` are those that batches meet."""

    def __init__(self, answer: Answer, faults: Sequence[Fault] = (), seed: int = 0) -> None:
        self._answer = answer
        self._faults: Mapping[str, Fault] = {fault.name: fault for fault in faults}
        self._seed = seed
        self._files: dict[str, Stored] = {}
        self._batches: dict[str, Batch] = {}
        self._tried = 0

    # --- files

    def keep(self, name: str, purpose: str, content: bytes) -> Stored:
        """Take a file; raises `ApiError` where it is none for a batch."""
        if purpose != "batch":
            raise ApiError(400, f"Invalid value for 'purpose': {purpose[:40]!r}. Supported: 'batch'.", param="purpose")
        if not content:
            raise ApiError(400, "The file is empty.", param="file")
        return self._keep(name[:200], "batch", content)

    def _keep(self, name: str, purpose: str, content: bytes) -> Stored:
        file = Stored(f"file-{secrets.token_hex(12)}", name, purpose, content)
        self._files[file.id] = file
        return file

    def file(self, identity: str) -> Stored:
        """A file by its id; raises `ApiError` 404."""
        found = self._files.get(identity)
        if found is None:
            raise ApiError(404, f"No such File object: {identity[:80]}", param="id")
        return found

    def drop(self, identity: str) -> dict[str, Any]:
        """Forget a file."""
        self.file(identity)
        del self._files[identity]
        return {"id": identity, "object": "file", "deleted": True}

    def files(self, after: str | None, limit: str | None) -> dict[str, Any]:
        """A page of the list of files, the newest first."""
        return self._page([file.told() for file in reversed(self._files.values())], after, limit)

    # --- batches

    def batches(self, after: str | None, limit: str | None) -> dict[str, Any]:
        """A page of the list of batches, the newest first."""
        return self._page([batch.told() for batch in reversed(self._batches.values())], after, limit)

    def _page(self, rows: list[dict[str, Any]], after: str | None, limit: str | None) -> dict[str, Any]:
        if "unlisted" in self._faults:
            raise ApiError(404, "This server lists nothing.")
        try:
            many = min(_MOST_LISTED, max(1, int(limit))) if limit else 20
        except ValueError:
            raise ApiError(400, "Invalid value for 'limit'.", param="limit") from None
        if after:
            ids = [row["id"] for row in rows]
            rows = rows[ids.index(after) + 1 :] if after in ids else []
        page = rows[:many]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
        return {"object": "list", "data": page, "has_more": len(rows) > many, **ends}

    def batch(self, identity: str) -> Batch:
        """A batch by its id; raises `ApiError` 404."""
        found = self._batches.get(identity)
        if found is None:
            raise ApiError(404, f"No batch found with id '{identity[:80]}'.", param="id")
        return found

    def start(self, body: object) -> Batch:
        """Start a batch, in the running loop; raises `ApiError`."""
        if not isinstance(body, dict):
            raise ApiError(400, "The body of a batch is an object.")
        if body.get("endpoint") != _ROUTE:
            raise ApiError(400, f"Invalid value for 'endpoint'. Supported: '{_ROUTE}'.", param="endpoint")
        window, metadata = body.get("completion_window"), body.get("metadata")
        if window != "24h":
            raise ApiError(400, "Invalid value for 'completion_window'. Supported: '24h'.", param="completion_window")
        values = metadata.values() if isinstance(metadata, dict) else [] if metadata is None else [None]
        if any(not isinstance(one, str) or len(one) > _LONGEST for one in values):
            raise ApiError(400, "Invalid value for 'metadata': expected texts.", param="metadata")
        identity = body.get("input_file_id")
        file = self.file(identity if isinstance(identity, str) else "")
        batch = Batch(f"batch_{secrets.token_hex(12)}", file.id, window, metadata)
        self._batches[batch.id] = batch
        batch.task = asyncio.get_running_loop().create_task(self._run(batch, file.content))
        return batch

    def cancel(self, identity: str) -> Batch:
        """Stop a batch; what is answered of it stays."""
        batch = self.batch(identity)
        if batch.status in ("validating", "in_progress", "finalizing"):
            batch.status = "cancelling"
        return batch

    async def _run(self, batch: Batch, content: bytes) -> None:
        late = self._faults.get("late")
        if late is not None:
            await asyncio.sleep(late.seconds)
        requests = _requests(content, batch.errors)
        if "refused" in self._faults:
            batch.errors.append({"code": "token_limit_exceeded", "message": "Enqueued token limit reached.", "param": None, "line": None})
        if batch.errors:
            batch.status = "failed"
            return
        batch.total = len(requests)
        if batch.status != "cancelling":
            batch.status = "in_progress"
        expired = self._faults.get("expired")
        last = len(requests) if expired is None else int(len(requests) * (1 - expired.share))
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for at, one in enumerate(requests):
            if batch.status == "cancelling" or at >= last:
                code = "batch_cancelled" if batch.status == "cancelling" else "batch_expired"
                errors.append(_line(one, None, {"code": code, "message": "This request could not be executed before the batch ended."}))
                continue
            status, body = await self._answered(one)
            batch.completed, batch.failed = batch.completed + (status == 200), batch.failed + (status != 200)
            (output if status == 200 else errors).append(_line(one, {"status_code": status, "request_id": secrets.token_hex(8), "body": body}, None))
            await asyncio.sleep(0)
        ended = "cancelled" if batch.status == "cancelling" else "expired" if last < len(requests) else "completed"
        batch.output_file_id = self._out(f"{batch.id}_output.jsonl", self._disordered(output))
        batch.error_file_id = self._out(f"{batch.id}_error.jsonl", errors)
        batch.status = ended

    async def _answered(self, one: dict[str, Any]) -> tuple[int, Any]:
        failed = self._faults.get("failed")
        self._tried += 1  # so that the same request may be answered the next time
        if failed is not None and share_of(self._seed, f"batch/failed/{one['custom_id']}/{self._tried}") < failed.share:
            return 500, ApiError(500, "The server had an error while processing your request. Sorry about that!").body
        return await self._answer(one["body"])

    def _disordered(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The lines as they are written: some of them twice, in another order, where that is rehearsed."""
        twice = self._faults.get("line_twice")
        if twice is not None:
            lines = lines + [one for one in lines if share_of(self._seed, f"batch/twice/{one['custom_id']}") < twice.share]
        if "out_of_order" in self._faults:
            lines = sorted(lines, key=lambda one: whole_number(self._seed, f"batch/order/{one['custom_id']}"))
        return lines

    def _out(self, name: str, lines: list[dict[str, Any]]) -> str | None:
        if not lines:
            return None
        return self._keep(name, "batch_output", b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in lines)).id


def _line(one: dict[str, Any], response: Any, error: Any) -> dict[str, Any]:
    return {"id": f"batch_req_{secrets.token_hex(8)}", "custom_id": one["custom_id"], "response": response, "error": error}


def _requests(content: bytes, errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The requests of a file; what is wrong with it goes into `errors`."""
    out: list[dict[str, Any]] = []
    seen: set[str] = set()

    def wrong(number: int, code: str, message: str) -> None:
        if len(errors) < _MOST_LISTED:
            errors.append({"code": code, "message": message, "param": None, "line": number})

    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            wrong(number, "invalid_json_line", "This line is not parseable as valid JSON.")
            continue
        if not isinstance(one, dict) or not isinstance(one.get("custom_id"), str) or not isinstance(one.get("body"), dict):
            wrong(number, "invalid_request", "A line has custom_id, method, url and body.")
        elif one.get("method") != "POST" or one.get("url") != _ROUTE:
            wrong(number, "mismatched_endpoint", f"The method is POST and the url {_ROUTE}.")
        elif one["custom_id"] in seen:
            wrong(number, "duplicate_custom_id", "The custom_id for this request is a duplicate of another request.")
        else:
            seen.add(one["custom_id"])
            out.append(one)
    if len(out) > MOST_LINES:
        wrong(MOST_LINES + 1, "too_many_requests", f"A batch has {MOST_LINES:,} requests at the most.")
    if not out and not errors:
        wrong(1, "empty_file", "The file holds no request.")
    return out


def parts_of(content: bytes, content_type: str) -> dict[str, tuple[str, bytes]]:
    """The parts of a form by their names: the name of a part's file, empty where it has none, and what it holds. Raises `ApiError`."""
    boundary = next((part.strip()[9:].strip('"') for part in content_type.split(";") if part.strip().lower().startswith("boundary=")), "")
    if not content_type.lower().startswith("multipart/form-data") or not boundary:
        raise ApiError(400, "A file is sent as multipart/form-data.")
    out: dict[str, tuple[str, bytes]] = {}
    for piece in content.split(b"--" + boundary.encode())[1:]:
        head, _, held = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        about = {}
        for line in head.decode("utf-8", "replace").split("\r\n"):
            if line.lower().startswith("content-disposition:"):
                about = {key.strip(): value.strip().strip('"') for key, _, value in (field.partition("=") for field in line.split(";")[1:])}
        if "name" in about:
            out[about["name"]] = (about.get("filename", ""), held.removesuffix(b"\r\n"))
    return out
