"""The process of the answer: it runs the code that a model wrote, and does with it what the process of the tests asks."""

from __future__ import annotations

import builtins
import operator
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from evalkit.sandbox.within.line import GoneError, Line, Pipe
from evalkit.sandbox.within.remote import Remote, called, plain

NAME = "answer"
"""By which the code knows itself, so that what stands below ``if __name__ == "__main__"`` is not run."""


def answer(fd: int, code: str) -> None:
    """Run the code when asked to, and answer questions about it over `fd`, until nobody asks."""
    module = ModuleType(NAME)
    sys.modules[NAME] = module
    for name in [name for name in sys.modules if name.partition(".")[0] == "evalkit"]:
        del sys.modules[name]
    line: Line

    def begin() -> Any:
        exec(compile(code, NAME, "exec", dont_inherit=True), vars(module))  # noqa: S102 (what all of this is for)
        public = {name: one for name, one in vars(module).items() if name[0] != "_" and not isinstance(one, ModuleType)}
        # What Python has by this name the tests are to have from Python.
        names = {name: one for name, one in public.items() if not hasattr(builtins, name) and name != NAME}
        return [[[name, one] for name, one in names.items() if _goes(line, one)], module]

    def serve(what: str, given: list[Any]) -> Any:
        if what == "begin":
            return begin()
        if what == "call":
            return called(line, *given)
        return _DOES[what](*given)

    line = Line(Pipe(fd), serve, lambda _: None, Remote)
    try:
        line.answer()
    except GoneError:
        return


def _goes(line: Line, one: Any) -> bool:
    """Whether a value can be handed over: one nested too deeply is asked for by its name."""
    try:
        line.packed(one)
    except (TypeError, RecursionError):
        return False
    return True


def _exit(one: Any, kind: Any, values: list[Any]) -> Any:
    return type(one).__exit__(one, kind, None if kind is None else kind(*values), None)


def _awaited(one: Any) -> Any:
    import asyncio  # rarely wanted, and long to read

    async def through() -> Any:
        return await one

    return asyncio.run(through())


_DOES: dict[str, Callable[..., Any]] = {
    "get": getattr,
    "set": setattr,
    "delete": delattr,
    "eq": operator.eq,
    "plain": plain,
    "hash": hash,
    "truth": bool,
    "len": len,
    "iter": iter,
    "next": next,
    "reversed": reversed,
    "contains": operator.contains,
    "getitem": operator.getitem,
    "slice": lambda one, start, stop, step: one[start:stop:step],
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "str": str,
    "repr": repr,
    "format": format,
    "int": int,
    "float": float,
    "index": operator.index,
    "round": round,
    "has_instance": lambda one, other: isinstance(other, one),
    "has_subclass": lambda one, other: issubclass(other, one),
    "enter": lambda one: type(one).__enter__(one),
    "exit": _exit,
    "await": _awaited,
    "anext": lambda one: _awaited(one.__anext__()),
    "one": lambda one, name: getattr(operator, name)(one),
    "two": lambda _, name, left, right: getattr(operator, name)(left, right),
}
