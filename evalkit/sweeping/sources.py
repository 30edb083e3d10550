"""Whether a function of the user's gives the same numbers as before, as far as its source can tell."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import FunctionType
from typing import Any

_PURE = frozenset(
    name
    for line in (
        "__future__ abc base64 binascii bisect cmath collections contextlib copy dataclasses decimal difflib enum fractions functools hashlib heapq",
        "html itertools json keyword math numbers operator re statistics string struct textwrap types typing unicodedata warnings zlib",
    )
    for name in line.split()
)
"""Modules of Python by which a function learns nothing that its argument and its source do not tell. All others, and libraries, may read files, the
network, the clock or chance."""
_BEYOND_BY_NAME = frozenset(("open", "exec", "eval", "compile", "__import__", "input", "globals", "vars", "id", "hash", "__builtins__"))


def digest_of(function: Callable[..., Any]) -> str | None:
    """The hash of the module that a function stands in, and of all that this imports; None where that does not tell what it will give.

    That is where no source can be found, or where it reaches for something that is not in it: a library or a module of Python by which it may read
    files, the network, the clock or chance, or what is imported by a name that is made up as it runs.
    """
    if not isinstance(function, FunctionType) or function.__closure__:  # an object with a state of its own
        return None
    whole = hashlib.sha256(f"{function.__module__}\0{function.__qualname__}\0".encode())
    seen: set[str] = set()
    waiting = [function.__module__]
    while waiting:
        name = waiting.pop()
        if name in seen or name.partition(".")[0] in _PURE:
            continue
        seen.add(name)
        path = _path_of(name)
        if path is None or _is_library(path) or name.partition(".")[0] in sys.stdlib_module_names:
            return None
        try:
            source = path.read_bytes()
            found = list(_imported(ast.parse(source), name, path))
        except (OSError, SyntaxError, ValueError, RecursionError, _BeyondError):
            return None
        whole.update(f"{name}\0{len(source)}\0".encode() + source)
        waiting += sorted(found)
    return whole.hexdigest()


class _BeyondError(Exception):
    """A source reaches for what is not in it."""


def _path_of(name: str) -> Path | None:
    """The file of a module; None where it has none, like one that was typed in."""
    module = sys.modules.get(name)
    if module is not None:
        file = getattr(module, "__file__", None)
    else:
        try:
            spec = find_spec(name)
        except (ImportError, AttributeError, ValueError):
            return None
        file = None if spec is None else spec.origin
    return None if file is None or name == "__main__" else Path(file)


def _is_library(path: Path) -> bool:
    """Whether a file was installed, and is none of the user's own."""
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib", "stdlib")}
    return path.suffix != ".py" or any(path.is_relative_to(place) for place in places)


def _imported(tree: ast.Module, name: str, path: Path) -> Iterator[str]:
    """Names of the modules that a source imports, whether at once or later. Raises `_BeyondError`."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts)))  # a package is imported before what is in it
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _BEYOND_BY_NAME:
            raise _BeyondError
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - (node.level - 1)] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            # What is taken from a package may be a module of it.
            names = [base, *(whole for one in node.names if (whole := f"{base}.{one.name}") in sys.modules or _path_of(whole) is not None)]
        yield from names
