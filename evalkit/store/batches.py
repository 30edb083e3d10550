"""``batches.jsonl``: what was intended, put up, started and collected, each written down before or as soon as it is done; and files of requests.

A batch is known by its nonce, which is written here before the endpoint hears of it, and stands in the name of the file that is put up and in the
batch's metadata there: whoever is killed finds it again by that.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec

from evalkit.errors import RecordError
from evalkit.plan.requests import Request
from evalkit.store import journal
from evalkit.store.journal import Form, Journal
from evalkit.store.records import moment, packed
from evalkit.text.numbers import counted

FILE = "batches.jsonl"
FOLDER = "batches"
VERSION = 1

Happened = Literal["intended", "uploaded", "starting", "started", "collected", "dropped"]
"""What happened to a batch. ``starting`` is written before the endpoint is asked to start it; ``dropped``: it is not waited for any more."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a batch.

    Attributes:
        nonce: names the batch for ever.
        requests: how many it holds.
        file, batch: ids that the endpoint gave.
        status: how it ended, as the endpoint says; or why it was dropped.
    """

    v: int = VERSION
    nonce: str
    did: Happened
    at: str
    requests: int = 0
    file: str = ""
    batch: str = ""
    status: str = ""


FORM = Form(Step, VERSION, "step of a batch", "the batch is looked for at the endpoint")


class Underway(msgspec.Struct, kw_only=True):
    """A batch that is not through: what is known of it, and what happened to it last and when."""

    nonce: str
    requests: int
    did: Happened
    at: str
    file: str = ""
    batch: str = ""


def underway(folder: Path) -> list[Underway]:
    """The batches of a results folder that are not through, in the order they were made. Raises `RecordError`."""
    found: dict[str, Underway] = {}
    for step in journal.read(folder / FILE, FORM):
        if step.did in ("collected", "dropped"):
            found.pop(step.nonce, None)
            continue
        one = found.setdefault(step.nonce, Underway(nonce=step.nonce, requests=step.requests, did=step.did, at=step.at))
        one.did, one.at = step.did, step.at
        one.file, one.batch = step.file or one.file, step.batch or one.batch
    return list(found.values())


def check_none(folder: Path) -> None:
    """Raise `RecordError` where batches of a folder are under way: what stands in them would be asked, and paid for, twice."""
    if left := underway(folder):
        raise RecordError(
            f"{folder}: batches of it are under way ({counted(sum(one.requests for one in left), 'request')}), and would be asked twice; "
            "collect them first: evalkit sweep --batch"
        )


class BatchWriter(Journal[Step]):
    """Writes down what happens to batches; on the disk before it returns, for the endpoint hears of it next."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / FILE, FORM)

    def say(self, nonce: str, did: Happened, **more: Any) -> None:
        """Write a step down. Raises `RecordError`."""
        self.append(Step(nonce=nonce, did=did, at=moment(), **more))
        self.sync()


class _Id(msgspec.Struct, gc=False):
    custom_id: str


def path_of(folder: Path, nonce: str) -> Path:
    """Where the requests of a batch stand until it is through."""
    return folder / FOLDER / f"{nonce}.jsonl"


def name_of(nonce: str) -> str:
    """What the file of a batch is called at the endpoint."""
    return f"evalkit-{nonce}.jsonl"


def write_requests(path: Path, requests: Iterator[Request], *, url: str, most: int, most_bytes: int, first: Request) -> tuple[int, Request | None]:
    """Write a file of requests, each a line in the form of OpenAI's batches; how many, and the first that found no room.

    Args:
        url: the address that each names.
        most, most_bytes: bounds of the file.
        first: stands before `requests`.

    Raises:
        RecordError: the file cannot be written, or one request alone is larger than a file may be.
    """
    encoder = msgspec.json.Encoder()
    count = size = 0
    left: Request | None = first
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        with path.open("xb") as file:
            while left is not None and count < most:
                body = {**left.body, "messages": left.messages}
                line = encoder.encode({"custom_id": left.key, "method": "POST", "url": url, "body": body}) + b"\n"
                if size + len(line) > most_bytes:
                    if not count:
                        raise RecordError(
                            f"prompt {left.prompt_id!r}: makes a request of {len(line):,} bytes, where a batch takes {most_bytes:,} in all"
                        )
                    break
                file.write(line)
                count, size = count + 1, size + len(line)
                left = next(requests, None)
            file.flush()
            os.fsync(file.fileno())
    except OSError as fault:
        raise RecordError(f"{path}: cannot be written: {fault.strerror}; nothing was sent") from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return count, left


def keys_in(folder: Path, batches: Iterable[Underway]) -> set[bytes]:
    """The keys of all requests that stand in batches. Raises `RecordError` where a file of requests is gone or is none."""
    decoder = msgspec.json.Decoder(_Id)
    out: set[bytes] = set()
    for one in batches:
        path = path_of(folder, one.nonce)
        try:
            with path.open("rb") as file:
                out.update(packed(decoder.decode(line).custom_id) for line in file)
        except OSError as fault:
            raise RecordError(
                f"{path}: cannot be read: {fault.strerror}; it holds what was asked in a batch that is under way. Put it back, "
                "or give that batch up with the option resubmit"
            ) from None
        except msgspec.MsgspecError:
            raise RecordError(f"{path}: not a file of requests; it was changed. Give that batch up with the option resubmit") from None
    return out


def drop_requests(folder: Path, nonce: str) -> None:
    """Take the file of requests away that a batch was made of, where it is through."""
    path_of(folder, nonce).unlink(missing_ok=True)
    with suppress(OSError):  # others stand in it
        (folder / FOLDER).rmdir()


def drop_unsaid(folder: Path) -> None:
    """Take away files of requests that no step tells of: whoever wrote them was killed before anybody heard of them."""
    known = {f"{step.nonce}.jsonl" for step in journal.read(folder / FILE, FORM)}
    place = folder / FOLDER
    for path in place.glob("*.jsonl") if place.is_dir() else ():
        if path.name not in known:
            path.unlink(missing_ok=True)


def new_nonce() -> str:
    """A name that no other batch has."""
    return secrets.token_hex(12)
