"""The app on a port of this machine, and the address to open it by."""

from __future__ import annotations

import socket
import sys
import threading
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import RecordError

if TYPE_CHECKING:
    from evalkit.view.viewer import Viewer

PORT = 8090
_TRIED = 50
"""Ports after the first that are tried where it is taken."""


def serve(results: Path, port: int = PORT, raters: Sequence[str] = (), *, browser: bool = True, tell: Callable[[str], None] = print) -> None:
    """Serve the runs in a folder on 127.0.0.1 until interrupted.

    Args:
        port: where it is taken, the next free one is; 0 takes any.
        raters: who may rate, by name; anybody, by a name that they give, where empty.
        browser: open one, where there is one.
        tell: called with the address, and with each further one once a browser was let in.

    Raises:
        RecordError: there is no such folder, or no port is free.
    """
    if not results.is_dir():
        raise RecordError(f"{results}: no such folder; expected one with runs in it, like results, or a run's own, like results/quickstart")
    listener, at = _listening(port)
    if port and at != port:
        tell(f"Port {port} is taken; this is port {at}.")
    _serve(results, listener, at, raters, browser, tell)


def _listening(port: int) -> tuple[socket.socket, int]:
    """A socket that listens on 127.0.0.1, on `port` or the next that is free."""
    for at in (0,) if not port else range(port, min(port + _TRIED, 65_536)):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", at))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener, int(listener.getsockname()[1])
    raise RecordError(f"port {port}: it and the next {_TRIED - 1} are taken; choose another port, or 0 for any that is free")


def _serve(results: Path, listener: socket.socket, port: int, raters: Sequence[str], browser: bool, tell: Callable[[str], None]) -> None:
    import uvicorn

    from evalkit.view.app import app  # these here: who does not serve needs none of them
    from evalkit.view.guard import Guard, Keys, address  # as above

    keys = Keys()
    making = threading.Lock()
    made: list[Viewer] = []

    def viewer() -> Viewer:
        with making:
            if not made:
                from evalkit.view.runs import Runs  # what it imports takes longer than all of the start
                from evalkit.view.viewer import Viewer  # as above

                made.append(Viewer(Runs(results), keys.csrf, raters))
        return made[0]

    def again() -> None:
        tell(f"A browser was let in. The address for another: {address(port, keys.token)}")

    guard = Guard(app(viewer), keys, port, again)
    config = uvicorn.Config(guard, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1, server_header=False)
    tell(f"The runs in {results}: {address(port, keys.token)}\nThe address is good once. Ctrl-C ends it.")
    if browser:
        threading.Thread(target=_open, args=(address(port, keys.token),), daemon=True).start()
    threading.Thread(target=_ahead, args=(viewer,), daemon=True).start()
    uvicorn.Server(config).run(sockets=[listener])


def _open(where: str) -> None:
    """Open a browser that has a window; one that would take this terminal is none."""
    try:
        found = webbrowser.get()
    except webbrowser.Error:
        return
    if not isinstance(found, webbrowser.GenericBrowser) or sys.platform == "darwin" or isinstance(found, webbrowser.BackgroundBrowser):
        found.open(where)


def _ahead(viewer: Callable[[], Viewer]) -> None:
    """Read what pages need while the browser opens: the list's first."""
    import jinja2  # noqa: F401

    viewer().ahead()
