"""Batches at an endpoint: started once however often whoever starts them is killed, asked after, and their answers collected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TypeVar

from evalkit.client.batches import BatchApi, Told
from evalkit.client.client import TroubleError
from evalkit.client.outcome import Diagnosis
from evalkit.collect.pace import backoff
from evalkit.errors import AuthError, EndpointError
from evalkit.experiment.endpoint import Batching
from evalkit.plan.requests import Request
from evalkit.store import batches
from evalkit.store.batches import BatchWriter, Underway
from evalkit.store.records import moment
from evalkit.text.notes import Tell, note, warning
from evalkit.text.numbers import counted

SETTLES_S = 5.0
"""A start that was not answered is looked for so long after it was asked for: till then the endpoint may not list it yet."""

_ABSENT = (404, 405, 501)
_UNSURE = ("server", "timeout", "connection", "interrupted", "malformed")
"""Kinds of trouble after which a batch may have been started or not."""

Got = TypeVar("Got")


class Batches:
    """The batches of one results folder.

    Args:
        writer: of their journal, under the folder's lock.
        patience_s: how long trouble that may pass is borne.
        settles_s: see `SETTLES_S`.
        local: the endpoint ended with whoever started its batches, and they with it.
    """

    def __init__(
        self,
        folder: Path,
        api: BatchApi,
        writer: BatchWriter,
        settings: Batching,
        tell: Tell,
        *,
        patience_s: float,
        settles_s: float = SETTLES_S,
        local: bool = False,
    ) -> None:
        self._folder, self._api, self._writer, self._settings, self._tell = folder, api, writer, settings, tell
        self._patience_s, self._settles_s, self._local = patience_s, settles_s, local
        self.unresolved: list[Underway] = []
        self.underway: list[Underway] = []
        self._resubmit = False

    def harmless(self, words: str) -> str:
        """What the endpoint says, fit to be kept."""
        return self._api.harmless(words)

    async def take_up(self, *, resubmit: bool) -> None:
        """Find out what became of the batches that the journal knows; what cannot be found out is `unresolved`, or with `resubmit` given up.

        Raises:
            EndpointError: the endpoint serves no batches, or cannot be reached.
        """
        batches.drop_unsaid(self._folder)
        self._resubmit = resubmit
        for one in batches.underway(self._folder):
            if self._local:
                self.drop(one, "the embedded endpoint ended")
                continue
            if one.did == "starting":
                await self._look_for(one)
            if one.did in ("intended", "uploaded"):
                await self._start(one, anew=True)
            if one.did == "started":
                self.underway.append(one)
            elif one.did == "starting":
                self._unresolved(
                    one,
                    f"batch {one.nonce} ({counted(one.requests, 'request')}): unresolved. It was asked for and nobody answered, and the endpoint "
                    "does not list what it holds; look for that name in its console",
                )

    def _unresolved(self, one: Underway, words: str) -> None:
        """Tell of a batch of which nobody knows what became; or give it up, where that is asked for."""
        if self._resubmit:
            self.drop(one, "given up by resubmit")
            return
        self.unresolved.append(one)
        self._tell(warning(f"{words}. Nothing more is sent; where it is not there, give it up with the option resubmit"))

    def drop(self, one: Underway, why: str) -> None:
        """Wait for a batch no more; its requests are to be asked again."""
        self._writer.say(one.nonce, "dropped", status=why)
        batches.drop_requests(self._folder, one.nonce)
        one.did = "dropped"

    async def submit(self, requests: Iterator[Request]) -> None:
        """Start batches of `requests`, as many as their bounds make. Raises as `take_up`."""
        first = next(requests, None)
        while first is not None:
            nonce = batches.new_nonce()
            path = batches.path_of(self._folder, nonce)
            settings = self._settings
            count, first = batches.write_requests(
                path, requests, url=settings.url, most=settings.max_requests, most_bytes=settings.max_bytes, first=first
            )
            self._writer.say(nonce, "intended", requests=count)
            one = Underway(nonce=nonce, requests=count, did="intended", at="")
            await self._start(one)
            if one.did != "started":
                self.unresolved.append(one)
                self._tell(
                    warning(f"batch {one.nonce}: its start was not answered, and the endpoint does not list what it holds; run again to look for it")
                )
                return
            self._tell(note(f"batch {one.batch}: {counted(count, 'request')} under way"))
            self.underway.append(one)

    async def _start(self, one: Underway, *, anew: bool = False) -> None:
        """Put a batch's file up, where it is not, and start it.

        Args:
            anew: the file was put up long ago: where the endpoint does not find it, it is put up again.
        """
        path = batches.path_of(self._folder, one.nonce)
        began = time.monotonic()
        try:
            while one.did in ("intended", "uploaded"):
                if one.did == "intended":
                    one.file = await self._tried(lambda: self._api.upload(path, batches.name_of(one.nonce)))
                    self._writer.say(one.nonce, "uploaded", file=one.file)
                self._writer.say(one.nonce, "starting")
                one.did, one.at = "starting", moment()
                try:
                    self._started(one, await self._api.start(one.file, one.nonce, self._settings.url, self._settings.window))
                except TroubleError as fault:
                    if anew and fault.found.status in (400, 404):
                        one.did, anew = "intended", False
                        continue
                    await self._not_answered(one, fault.found, began)
        except TroubleError as fault:
            raise self._refused(one, fault.found) from None

    async def _not_answered(self, one: Underway, found: Diagnosis, began: float) -> None:
        """Go on after a start that failed: tried again where it was certainly none, or looked for. Raises `TroubleError` where it is refused."""
        if not found.again:
            raise TroubleError(found)
        if found.kind in _UNSURE:
            await self._look_for(one)
        else:
            self._back_to(one)
        if one.did == "uploaded":
            if time.monotonic() - began > self._patience_s:
                raise TroubleError(found)
            await asyncio.sleep(max(found.wait_s or 0.0, 1.0))

    def _back_to(self, one: Underway) -> None:
        """Write down that a batch was not started after all."""
        self._writer.say(one.nonce, "uploaded", file=one.file)
        one.did = "uploaded"

    def _started(self, one: Underway, told: Told) -> None:
        self._writer.say(one.nonce, "started", batch=told.id)
        one.did, one.batch = "started", told.id

    async def _look_for(self, one: Underway) -> None:
        """Find a batch whose start was not answered among those that the endpoint lists; its lists are trusted where they hold its file."""
        await asyncio.sleep(max(0.0, self._settles_s - _since(one.at)))
        listed = await self._again(self._api.batches)
        mine = next((told for told in listed or () if told.nonce == one.nonce or (one.file and told.input_file_id == one.file)), None)
        if mine is not None:
            self._started(one, mine)
            return
        files = None if listed is None else await self._again(self._api.files)
        if files is not None and any(file.id == one.file or file.name == batches.name_of(one.nonce) for file in files):
            self._back_to(one)

    def _refused(self, one: Underway, found: Diagnosis) -> EndpointError:
        """The error of an endpoint that starts no batch; the batch is given up, which is certain not to have been started."""
        if one.did in ("intended", "uploaded", "starting") and not found.again:
            self.drop(one, f"refused: {found.message}")
        said = _said(found)
        if found.status in _ABSENT:
            return EndpointError(
                f"the endpoint serves no batches ({said}); write the files yourself, evalkit batch write EXPERIMENT, hand them to its console or to "
                "vllm run-batch, and read what comes with evalkit batch read RUN FILE"
            )
        if found.fault == "key":
            return AuthError(f"the endpoint refuses the key ({said}); nothing was started")
        return EndpointError(f"the endpoint starts no batch ({said}); what was started before is kept, run again to go on")

    # --- what became of them

    async def ended(self) -> list[tuple[Underway, Told]]:
        """Those under way that have ended, with what the endpoint tells of each; what it knows no more is given up or unresolved."""
        out = []
        for one in list(self.underway):
            told = await self._again(lambda batch=one.batch: self._api.show(batch))  # type: ignore[misc]
            if told is None:
                self.underway.remove(one)
                if self._local:
                    self.drop(one, "the embedded endpoint ended")
                else:
                    self._unresolved(one, f"batch {one.batch} ({counted(one.requests, 'request')}): unresolved. The endpoint knows it no more")
                continue
            if told.ended:
                out.append((one, told))
            else:
                self._tell(note(f"batch {one.batch}: {told.status[:40] or 'under way'}, {told.done:,} of {counted(one.requests, 'request')} done"))
        return out

    async def fetched(self, told: Told) -> list[IO[bytes]]:
        """The files of answers and of errors of a batch that has ended, unnamed on the disk: what stands in them is anybody's text."""
        files = filter(None, (told.output_file_id, told.error_file_id))
        return [await self._again(lambda identity=identity: self._fetch(identity)) for identity in files]  # type: ignore[misc]

    async def _fetch(self, identity: str) -> IO[bytes]:
        file = TemporaryFile(dir=self._folder)  # noqa: SIM115 (its reader closes it)
        try:
            await self._api.fetch(identity, file.write)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file

    def collected(self, one: Underway, told: Told) -> None:
        """Write down that all of a batch is recorded, which must be on the disk by now."""
        self._writer.say(one.nonce, "collected", status=told.status)
        batches.drop_requests(self._folder, one.nonce)
        self.underway.remove(one)

    async def _again(self, ask: Callable[[], Awaitable[Got]]) -> Got:
        """What comes of a request that may be made any number of times. Raises `EndpointError`."""
        try:
            return await self._tried(ask)
        except TroubleError as fault:
            if fault.found.fault == "key":
                raise self._refused(_NOBODY, fault.found) from None
            raise EndpointError(
                f"the endpoint cannot be asked about its batches ({_said(fault.found)}); what was started is kept, run again to go on"
            ) from None

    async def _tried(self, ask: Callable[[], Awaitable[Got]]) -> Got:
        """The same; raises `TroubleError`."""
        began, tries = time.monotonic(), 0
        while True:
            try:
                return await ask()
            except TroubleError as fault:
                if not fault.found.again or time.monotonic() - began > self._patience_s:
                    raise
                tries += 1
                await asyncio.sleep(backoff(tries, 0.5, fault.found.wait_s))


_NOBODY = Underway(nonce="", requests=0, did="started", at="")


def _said(found: Diagnosis) -> str:
    return f"HTTP {found.status}: {found.message}" if found.status else found.message


def _since(at: str) -> float:
    """Seconds since a time of the journal; a clock that was set back counts as none."""
    try:
        then = datetime.fromisoformat(at)
    except ValueError:
        return 0.0
    return max(0.0, (datetime.now(UTC) - then).total_seconds())
