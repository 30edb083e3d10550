"""The process of the tests: it never runs a byte of the answer, asks the answer's process for values, and alone decides what they are worth."""

from __future__ import annotations

import ast
import builtins
import functools
import io
import os
import sys
import types
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from evalkit.sandbox.within.line import GoneError, Line, Pipe
from evalkit.sandbox.within.remote import Remote, called, plain

NAME = "tests"
_LONGEST_WHY = 300
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType, types.MethodDescriptorType, functools.partial)
_OF_A_FUNCTION = ("__name__", "__qualname__", "__doc__")
_INTO = ("gi_", "cr_", "ag_", "f_", "tb_", "co_", "func_")


def verdict(fd: int, tests: str) -> tuple[bool, str]:
    """Whether the answer behind `fd` passes the tests, and why not."""
    line = Line(Pipe(fd), _serving(lambda: line), _may, Remote)
    try:
        names, module = line.ask("begin")
    except GoneError as gone:
        return False, f"the answer: {gone}"
    except BaseException as raised:
        return False, f"the answer raises {_said(raised)}"
    before = line.asked
    space = ModuleType(NAME)
    sys.modules[NAME] = space
    # What has a name of Python's own stays Python's: the answer has no say in what `sorted` or `isinstance` means here.
    given = {name: one for name, one in names if isinstance(name, str) and name[:1] != "_" and not hasattr(builtins, name)}
    vars(space).update(given, answer=module)
    try:
        _run(tests, space)
    except BaseException as raised:
        return False, f"the answer: {line.gone}" if line.gone else _said(raised) + _where(raised, tests)
    if line.gone:  # and the tests took it for an exception of their own making
        return False, f"the answer: {line.gone}"
    if line.asked == before and not _named(tests) & {name for name, one in given.items() if type(one) is not Remote}:
        return False, "the tests ask nothing of the answer"
    return True, ""


def _run(tests: str, space: ModuleType) -> None:
    """Run the tests, and then what they define as functions called ``test_...``, as pytest would."""
    before = dict(vars(space))
    exec(compile(tests, NAME, "exec", dont_inherit=True), vars(space))  # noqa: S102 (whoever wrote the experiment wrote them, and they run behind the walls too)
    for name, one in list(vars(space).items()):
        if name.startswith("test_") and isinstance(one, types.FunctionType) and one is not before.get(name) and not one.__code__.co_argcount:
            found = one()
            if isinstance(found, types.CoroutineType):
                import asyncio

                asyncio.run(found)


def _named(tests: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)}


def _said(raised: BaseException) -> str:
    """An exception in a few words."""
    try:
        words = str(raised)
    except Exception:  # of an exception of the answer's making
        words = ""
    return f"{type(raised).__name__}{': ' if words else ''}{words}"[:_LONGEST_WHY]


def _where(raised: BaseException, tests: str) -> str:
    """The last line of the tests that was come to."""
    at, trace = 0, raised.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == NAME:
            at = trace.tb_lineno
        trace = trace.tb_next
    lines = tests.split("\n")
    return f" (tests, line {at}: {lines[at - 1].strip()[:_LONGEST_WHY]})" if 0 < at <= len(lines) else ""


# What the answer may do with what it is given: no more than the tests would let any function do that they call.


def _may(one: Any) -> None:
    """Raise `TypeError` for what is not handed to the answer: what leads from a value to the process that holds it."""
    if not (isinstance(one, _FUNCTIONS) or _is_iterator(one) or _is_own(one) or callable(one)) or isinstance(one, ModuleType):
        raise TypeError(f"a {type(one).__name__} of the tests cannot be handed to the answer; give it plain values, functions or objects of your own")


def _is_iterator(one: Any) -> bool:
    return isinstance(one, Iterator)


def _is_own(one: Any) -> bool:
    """Whether a value is an object of a class that the tests define, or a file."""
    return (type(one).__module__ == NAME and not isinstance(one, type)) or isinstance(one, io.IOBase)


def _serving(line: Callable[[], Line]) -> Callable[[str, list[Any]], Any]:
    def serve(what: str, given: list[Any]) -> Any:
        one, *rest = given
        if not line().gave(one):
            raise TypeError("the tests did not hand that over")
        if what == "call" and callable(one):
            return called(line(), one, *rest)
        if what == "get":
            return _attribute(one, *rest)
        if what in ("iter", "next") and (_is_iterator(one) or _is_own(one)):
            return iter(one) if what == "iter" else next(one)
        if what in _DOES and _is_own(one):
            return _DOES[what](one, *rest)
        if what in ("truth", "hash", "repr", "str", "plain", "eq"):
            return {"truth": True, "hash": id(one), "repr": NAME, "str": NAME, "plain": None, "eq": rest and rest[0] is one}[what]
        raise TypeError("the tests do not hand over what this would need")

    return serve


def _attribute(one: Any, name: Any) -> Any:
    if not isinstance(name, str):
        raise TypeError("an attribute has a name")
    if name in _OF_A_FUNCTION and isinstance(one, types.FunctionType):
        found = getattr(one, name)
        return found if isinstance(found, str | None) else None
    if _is_own(one) and not name.startswith(("_", *_INTO)):
        return getattr(one, name)
    raise AttributeError(name)


_DOES: dict[str, Callable[..., Any]] = {
    "len": len,
    "contains": lambda one, other: other in one,
    "getitem": lambda one, key: one[key],
    "truth": bool,
    "str": str,
    "repr": repr,
    "hash": hash,
    "plain": plain,
    "eq": lambda one, other: one == other,
}


def ended(pid: int) -> str:
    """How the answer's process ended, in words; empty where it goes on."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if not done:
        return ""
    if os.WIFSIGNALED(status):
        return f"it was ended by signal {os.WTERMSIG(status)}"
    return f"it ended by itself with status {os.waitstatus_to_exitcode(status)}, before the tests did"
