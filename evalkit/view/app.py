"""The application: which address shows what. Handlers read, and one writes: a person's rating."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from evalkit.errors import EvalkitError, RecordError
from evalkit.view import live, rating, reading
from evalkit.view.guard import policy_of
from evalkit.view.pages import STATIC, page, static, told

if TYPE_CHECKING:
    from evalkit.view.opened import Opened
    from evalkit.view.viewer import Viewer


def app(viewer: Callable[[], Viewer]) -> Starlette:
    """The ASGI application; `viewer` is asked for when the first page is."""

    def of(handler: Callable[[Request, Viewer], Any]) -> Callable[[Request], Any]:
        def handle(request: Request) -> Any:
            return handler(request, viewer())

        return handle

    def slowly(handler: Callable[[Request, Viewer], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return await handler(request, viewer())

        return handle

    routes = [
        Route("/", of(_list), methods=["GET"]),
        Route("/compare", slowly(_compare), methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
        Route("/run/{name}", of(_run), methods=["GET"]),
        Route("/run/{name}/report", slowly(_report), methods=["GET"]),
        Route("/run/{name}/answers", of(reading.answers), methods=["GET"]),
        Route("/run/{name}/live", of(live.live), methods=["GET"]),
        Route("/run/{name}/events", of(live.events), methods=["GET"]),
        Route("/run/{name}/rate", of(rating.desk), methods=["GET"]),
        Route("/run/{name}/rate/next", of(rating.following), methods=["GET"]),
        Route("/run/{name}/rate", rating.receiving(viewer), methods=["POST"]),
        Route("/run/{name}/ratings", of(rating.ratings), methods=["GET"]),
    ]
    found = Starlette(routes=routes, exception_handlers={EvalkitError: _refused, HTTPException: _missing, Exception: _fault})
    found.router.redirect_slashes = False
    return found


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    return Response(static(name), media_type=STATIC[name], headers={"cache-control": "no-cache"})


def _list(_: Request, viewer: Viewer) -> Response:
    from evalkit.view.pictures import small  # late: the server stands before what pages need is read

    with viewer.lock:
        lines = viewer.runs.lines()
    return page("list.html.j2", lines=lines, pictures=[small(one) for one in lines], root=str(viewer.runs.root))


def _run(request: Request, viewer: Viewer) -> Response:
    name = request.path_params["name"]
    folder = viewer.runs.folder(name)
    from evalkit.view.runs import is_running  # as above

    if is_running(folder):
        return RedirectResponse(f"/run/{quote(name, safe='')}/live", 303)
    opened = viewer.opened(name)
    with opened.lock:
        return page("overview.html.j2", name=name, tabs=viewer.tabs(name), here="", **_overview(opened))


def _overview(opened: Opened) -> dict[str, Any]:
    from evalkit.present.html import decision  # as above
    from evalkit.present.text.words import about  # as above
    from evalkit.summary import summarise  # as above
    from evalkit.view.rating import in_short  # as above

    if opened.run is None:
        opened.refresh()
        return {"first": None, "ties": None, "unscored": opened.unscored, "answered": len(opened), "stale": "", "ratings": [], "about": ""}
    run = opened.run
    stale = " ".join(one.text for one in run.notes)
    first = decision.first_screen(run, summarise(run))
    return {"first": first, "ties": decision.ties(run), "about": about(run), "stale": stale, "ratings": in_short(opened)}


async def _made(kind: str, viewer: Viewer, *names: str) -> Response:
    """A page that takes long to make, from a process of its own, so that others are shown meanwhile."""
    from evalkit.view.making import made  # as above

    text, style, script = await made(kind, [viewer.runs.folder(name) for name in names])
    return HTMLResponse(text, headers={"content-security-policy": policy_of(style, script)})


async def _report(request: Request, viewer: Viewer) -> Response:
    return await _made("report", viewer, request.path_params["name"])


async def _compare(request: Request, viewer: Viewer) -> Response:
    names = request.query_params.getlist("run")
    if len(names) != 2 or names[0] == names[1]:
        raise RecordError("two different runs are compared: tick two of the list")
    when = {name: viewer.runs.line(name).when for name in names if viewer.runs.folder(name)}
    return await _made("comparison", viewer, *sorted(names, key=lambda name: when[name]))


def _refused(_: Request, error: Exception) -> Response:
    return told("This cannot be shown", str(error), 404)


def _missing(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 404
    return told("There is no such page", "The address leads nowhere; it may be of a run that was moved.", status)


def _fault(_: Request, error: Exception) -> Response:
    traceback.print_exception(error, file=sys.stderr)
    return told("A fault of evalkit", f"{type(error).__name__}; the terminal that evalkit view runs in shows where.", 500)
