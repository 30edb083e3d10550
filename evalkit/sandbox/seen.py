"""What of this machine is seen behind the walls: the interpreter's standard library, and the libraries that it needs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/lib32", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/usr/share/zoneinfo")
_STORES = ("/nix/store", "/gnu/store")
_OF_OTHERS = ("site-packages", "dist-packages")


class Seen(NamedTuple):
    """Paths that are seen, and folders in them that are empty there."""

    see: tuple[str, ...]
    hide: tuple[str, ...]


def interpreter() -> str:
    """The path of the interpreter itself, which a virtual environment leads to."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def seen() -> Seen:
    """What this interpreter needs: no folder of anybody's own but the one it stands in itself, and no package that was installed into it."""
    prefix = Path(sys.base_prefix).resolve()
    folders = [*_SYSTEM, interpreter()]
    folders += [one for one in _STORES if prefix.is_relative_to(one)]
    library = Path(os.__file__).resolve().parent  # of the interpreter itself, never of a virtual environment
    folders.append(str(library))
    if prefix != Path("/usr"):
        folders += [str(prefix / "lib"), str(Path(sys.base_exec_prefix).resolve() / sys.platlibdir)]
    # A folder goes before what stands in it.
    see = tuple(sorted({one for one in folders if Path(one).exists()}, key=lambda one: (len(Path(one).parts), one)))
    hide = {str(folder / name) for folder in (library, prefix / "lib") for name in _OF_OTHERS}
    hide |= {f"/usr/lib/python3/{name}" for name in _OF_OTHERS} | {f"/usr/local/lib/python3/{name}" for name in _OF_OTHERS}
    return Seen(see, tuple(sorted(one for one in hide if Path(one).is_dir())))
