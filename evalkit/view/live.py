"""A run under way in the browser: one page, and the events that keep it up to date."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from evalkit.errors import RecordError

if TYPE_CHECKING:
    from evalkit.view.app import Viewer
    from evalkit.view.watching import Watching

EVERY_S = 1.0
"""How often a run under way is looked at, however many browsers show it."""
_PATIENCE = 3
_MOST_OPEN = 16


class Watched:
    """The runs under way that are looked at, each once for all who look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Path, tuple[float, dict[str, Any], Watching]] = {}
        self.open = 0

    def state(self, folder: Path) -> dict[str, Any]:
        """Where the run stands, at most a second old. Raises `RecordError`."""
        from evalkit.view.watching import Watching  # late: the server stands before what pages need is read

        with self._lock:
            at, state, watching = self._kept.pop(folder, (0.0, {}, None))
            if watching is None:
                watching = Watching(folder)
            if time.monotonic() - at > 0.8 * EVERY_S or not state:
                before = time.process_time()
                at, state = time.monotonic(), watching.state()
                state["cpu_s"] = round(time.process_time() - before, 4)
            self._kept[folder] = (at, state, watching)
            while len(self._kept) > 4:
                self._kept.pop(next(iter(self._kept)))
            return state


def live(request: Request, viewer: Viewer) -> Response:
    """The page of a run under way; of one that has ended it says so."""
    from evalkit.view.app import page  # late, as above

    name = request.path_params["name"]
    state = viewer.watched.state(viewer.runs.folder(name))
    return page("live.html.j2", name=name, tabs=viewer.tabs(name), here="live", state=state)


def events(request: Request, viewer: Viewer) -> Response:
    """Where the run stands, each time that something changed, until it has ended or nobody looks any more."""
    folder = viewer.runs.folder(request.path_params["name"])
    if viewer.watched.open >= _MOST_OPEN:
        raise RecordError(f"{_MOST_OPEN} pages of runs under way are open already; close one")
    headers = {"x-accel-buffering": "no"}
    return StreamingResponse(_events(viewer, folder), media_type="text/event-stream", headers=headers)


async def _events(viewer: Viewer, folder: Path) -> AsyncIterator[str]:
    last, ended = "", 0
    viewer.watched.open += 1
    try:
        while ended < _PATIENCE:
            try:
                state = await run_in_threadpool(viewer.watched.state, folder)
            except RecordError as fault:
                yield f"event: gone\ndata: {json.dumps(str(fault))}\n\n"
                return
            text = json.dumps({name: value for name, value in state.items() if name != "cpu_s"})
            ended = 0 if state["running"] else ended + 1
            yield f"data: {text}\n\n" if text != last else ": nothing new\n\n"
            last = text
            await asyncio.sleep(EVERY_S)
        yield "event: over\ndata: 0\n\n"
    finally:
        viewer.watched.open -= 1
