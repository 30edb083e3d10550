"""Which sandbox there is on this machine, tried before anything is run in it."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from evalkit.sandbox.limits import ROOM, Limits
from evalkit.sandbox.running import MEMORY, Sandbox, WallsError
from evalkit.sandbox.seen import seen

_TRIAL = Limits(seconds=10.0, memory_mb=256)
_INSIDE = "/evalkit"
_LOOKED_AT = 50
_OWN = ("/tmp", "/dev/null")  # noqa: S108 (what a sandbox has of its own)


class NoSandboxError(Exception):
    """No sandbox works here; says why of each way."""


def sandbox() -> Sandbox:
    """The first way to have walls that hold on this machine. Raises `NoSandboxError`."""
    if sys.platform != "linux":
        raise NoSandboxError("code in answers is run on Linux alone, whose namespaces are its sandbox; run it there, on a copy of the results folder")
    said = []
    for one in ways():
        try:
            broken = [name for name, holds in proven(one).items() if not holds]
        except (WallsError, OSError) as fault:
            said.append(f"{one.name}: {fault}")
            continue
        if not broken:
            return one
        said.append(f"{one.name}: its self-test misses {', '.join(broken)}")
    raise NoSandboxError(
        f"no sandbox works on this machine, and without one no code is run ({'; '.join(said)}). Allow user namespaces to everybody (on a kernel from "
        "5.14 on), or install bubblewrap (bwrap); a container must be allowed to make namespaces. Or score a copy of the results folder elsewhere"
    )


def ways() -> Iterator[Sandbox]:
    """The ways to have walls that there may be here, tried in this order."""
    yield Sandbox("namespaces of Linux")
    if (program := shutil.which("bwrap")) is not None:
        yield Sandbox("bubblewrap", tuple(_bubblewrapped(program)), _INSIDE)


def _bubblewrapped(program: str) -> Iterator[str]:
    yield from (
        program,
        "--unshare-all",
        "--unshare-user",
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--clearenv",
    )
    yield from ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox")
    for name, value in MEMORY.items():
        yield from ("--setenv", name, value)
    there = seen()
    for one in there.see:
        if os.path.islink(one):  # noqa: PTH114 (a text as it is)
            yield from ("--symlink", os.readlink(one), one)  # noqa: PTH115
        else:
            yield from ("--ro-bind", one, one)
    for one in there.hide:
        yield from ("--size", "4096", "--tmpfs", one, "--remount-ro", one)
    package = Path(__file__).parents[1]
    for one in ("__init__.py", "sandbox"):
        yield from ("--ro-bind", str(package / one), f"{_INSIDE}/evalkit/{one}")
    for one in ("null", "zero", "urandom", "random"):
        yield from ("--dev-bind", f"/dev/{one}", f"/dev/{one}")
    yield from ("--size", str(ROOM), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/")  # noqa: S108 (its own)


def proven(one: Sandbox) -> dict[str, bool]:
    """By the name of each wall whether it holds: tried from inside, against things that are there outside. Raises `WallsError`."""
    with tempfile.TemporaryDirectory(prefix="evalkit-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        Path(folder, "secret").write_text("not to be read", encoding="utf-8")
        given = {"port": server.getsockname()[1], "paths": [str(Path(folder, "secret")), *_not_to_be_seen()], "place": folder}
        return one.prove(given, _TRIAL)


def _not_to_be_seen() -> Iterator[str]:
    """Some of what is there outside: folders of people, and what stands in this one's, where evalkit was started, and among installed packages."""
    needed = [Path(path) for path in (*seen().see, *_OWN)]
    own = (os.path.expanduser("~"), os.getcwd(), sysconfig.get_path("purelib"))  # noqa: PTH111, PTH109 (texts, without a fault)
    for folder in map(Path, ("/etc/passwd", "/home", "/root", *map(os.path.abspath, own))):
        for path in (folder, *_some_of(folder)):
            # An interpreter may stand in a home folder: then what leads to it is there, and empty but for that.
            if not any(one.is_relative_to(path) or path.is_relative_to(one) for one in needed):
                yield str(path)


def _some_of(folder: Path) -> list[Path]:
    try:
        return list(islice(folder.iterdir(), _LOOKED_AT))
    except OSError:
        return []
