"""A run under way in the browser: one page, and the events that keep it up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from evalkit.errors import RecordError
from evalkit.view.pages import page

if TYPE_CHECKING:
    from evalkit.view.viewer import Viewer

_PATIENCE = 3
_MOST_OPEN = 16


def live(request: Request, viewer: Viewer) -> Response:
    """The page of a run under way; of one that has ended it says so."""
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
            await asyncio.sleep(viewer.watched.every_s)
        yield "event: over\ndata: 0\n\n"
    finally:
        viewer.watched.open -= 1
