"""The line between two processes that do not trust each other: plain values go over it, and for all else a name, of which the other side asks.

Both sides are alike. Either asks the other to do something with what it knows by name (`Line.ask`), and answers what it is asked meanwhile. No code
and no pickle goes over it, so that what arrives can be of any kind of wrong but runs nothing.
"""

from __future__ import annotations

import builtins
import json
import os
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

from evalkit.sandbox.within.values import packed_plain, unpacked_plain

LONGEST = 16 * 2**20
"""Bytes of a message."""
_DEEPEST = 100
_HEAD = 4

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_IN_ORDER: dict[type, str] = {tuple: "t", set: "s", frozenset: "z", deque: "k"}
_MADE: dict[str, Callable[[list[Any]], Any]] = {"t": tuple, "s": set, "z": frozenset, "k": deque}


class GoneError(BaseException):
    """The other side is gone, or says what cannot be read; no program that catches `Exception` stops it."""


class Pipe:
    """Whole messages over a socket or a pipe."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def read(self) -> Any:
        """The next message; raises `GoneError` where none comes or it cannot be read."""
        size = int.from_bytes(self._exactly(_HEAD), "big")
        if size > LONGEST:
            raise GoneError("it sent more than is taken")
        try:
            return json.loads(self._exactly(size))
        except (ValueError, RecursionError):
            raise GoneError("what it sent cannot be read") from None

    def write(self, message: Any) -> None:
        """Send a message; raises `ValueError` where it is too long, `GoneError` where nobody reads it."""
        data = json.dumps(message).encode()
        if len(data) > LONGEST:
            raise ValueError(f"a value of more than {LONGEST >> 20} MB is not handed over")
        rest = memoryview(len(data).to_bytes(_HEAD, "big") + data)
        while rest:
            try:
                rest = rest[os.write(self.fd, rest) :]
            except OSError:
                raise GoneError("it ended") from None

    def _exactly(self, size: int) -> bytes:
        out = bytearray()
        while len(out) < size:
            try:
                some = os.read(self.fd, min(size - len(out), 2**20))
            except OSError:
                some = b""
            if not some:
                raise GoneError("it ended")
            out += some
        return bytes(out)


class Line:
    """One end of the line.

    Args:
        serve: does what the other side asks: of the operation and its values.
        may: raises `TypeError` for a value that must not be handed over, by name, to the other side.
        proxy: what stands here for what the other side knows by a name.
    """

    def __init__(self, pipe: Pipe, serve: Callable[[str, list[Any]], Any], may: Callable[[Any], None], proxy: type[Any]) -> None:
        self._pipe, self._serve, self._may, self._proxy = pipe, serve, may, proxy
        self._mine: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._classes: dict[int, type[BaseException]] = {}
        self._theirs: dict[type[BaseException], int] = {}
        self.asked = 0
        self.gone: GoneError | None = None

    def ask(self, what: str, *given: Any) -> Any:
        """What the other side gives for it.

        Raises what was raised there, `TypeError` for what cannot be handed over, and `GoneError` where nobody is there any more.
        """
        message = {"do": what, "with": [self.packed(one) for one in given]}
        self.asked += 1
        try:
            self._pipe.write(message)
            while "do" in (reply := self._read()):
                self._reply(reply)
        except GoneError as gone:
            self.gone = self.gone or gone
            raise
        if "raised" in reply:
            raise self._exception(reply["raised"])
        return self._unpacked_or_gone(reply.get("gives"))

    def answer(self) -> None:
        """Do what the other side asks, until it is gone."""
        while True:
            self._reply(self._read())

    def _read(self) -> dict[str, Any]:
        message = self._pipe.read()
        if not isinstance(message, dict):
            raise GoneError("what it sent cannot be read")
        return message

    def _reply(self, message: dict[str, Any]) -> None:
        try:
            given = [self._unpacked_or_gone(one) for one in message.get("with", ())]
            reply = {"gives": self.packed(self._serve(str(message.get("do")), given))}
        except GoneError:
            raise
        except BaseException as raised:
            reply = {"raised": self._raised(raised)}
        try:
            self._pipe.write(reply)
        except ValueError as fault:
            self._pipe.write({"raised": self._raised(fault)})

    # Values

    def packed(self, value: Any, deep: int = 0) -> Any:
        """A value as it goes over the line; raises `TypeError` where it must not."""
        kind = type(value)
        if kind is self._proxy:
            return {"y": object.__getattribute__(value, "_number")}
        if deep > _DEEPEST:
            raise TypeError(f"a value nested over {_DEEPEST} deep is not handed over")
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if -(2**63) <= value < 2**63 else {"i": hex(value)}
        if kind is list:
            return [self.packed(one, deep + 1) for one in value]
        if kind in _IN_ORDER:
            return {_IN_ORDER[kind]: [self.packed(one, deep + 1) for one in value]}
        if kind in _MAPPINGS:
            return {"d": [[self.packed(key, deep + 1), self.packed(one, deep + 1)] for key, one in value.items()]}
        plain = packed_plain(value, kind)
        return plain if plain is not None else self._named(value)

    def _named(self, value: Any) -> Any:
        if isinstance(value, type) and issubclass(value, BaseException):
            if value in self._theirs:
                return {"y": self._theirs[value]}
            return {"x": [self._number(value), value.__name__, _base(value)]}
        self._may(value)
        return {"h": self._number(value)}

    def _number(self, value: Any) -> int:
        """By which the other side knows it, which is kept for as long as the line is."""
        number = self._numbers.setdefault(id(value), len(self._mine) + 1)
        if number > len(self._mine):
            self._mine.append(value)
        return number

    def mine(self, number: Any) -> Any:
        """What the other side knows by this number."""
        if not isinstance(number, int) or not 0 < number <= len(self._mine):
            raise GoneError("it asked for what it was not given")
        return self._mine[number - 1]

    def gave(self, value: Any) -> bool:
        """Whether the other side knows this very object by a number, for it was given it."""
        return id(value) in self._numbers and self._mine[self._numbers[id(value)] - 1] is value

    def _unpacked_or_gone(self, data: Any) -> Any:
        try:
            return self.unpacked(data)
        except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError, AttributeError) as fault:
            raise GoneError(f"what it sent cannot be read ({type(fault).__name__})") from None

    def unpacked(self, data: Any) -> Any:
        """The value that came over the line."""
        if isinstance(data, list):
            return [self.unpacked(one) for one in data]
        if not isinstance(data, dict):
            return data
        ((kind, held),) = data.items()
        if kind in _MADE:
            return _MADE[kind]([self.unpacked(one) for one in held])
        match kind:
            case "d":
                return {self.unpacked(key): self.unpacked(one) for key, one in held}
            case "h":
                return self._proxy(self, int(held))
            case "y":
                return self.mine(held)
            case "x":
                return self._class(*held)
            case _:
                return unpacked_plain(kind, held)

    # What is raised

    def _class(self, number: int, name: str, base: str) -> type[BaseException]:
        """The exception class here that stands for one of the other side's."""
        if number not in self._classes:
            under = getattr(builtins, base)
            if not (isinstance(under, type) and issubclass(under, BaseException)):
                raise TypeError(base)
            made = type(str(name), (under,), {})
            self._classes[number] = made
            self._theirs[made] = number
        return self._classes[number]

    def _raised(self, raised: BaseException) -> Any:
        values = []
        for one in raised.args:
            try:
                values.append(self.packed(one))
            except TypeError:
                values.append(self.packed(str(one)))
        own = {name: one for name, one in vars(raised).items() if isinstance(one, str | int | float) and name[0] != "_"}
        return [self.packed(type(raised)), values, own]

    def _exception(self, data: Any) -> BaseException:
        try:
            packed, values, own = data
            kind = self.unpacked(packed)
            given = [self.unpacked(one) for one in values]
            if not (isinstance(kind, type) and issubclass(kind, BaseException)):
                raise TypeError(kind)
            if issubclass(kind, GoneError):
                raise TypeError(kind)
            try:
                made = kind(*given)
            except Exception:  # its own way of being made is not known here
                made = kind.__new__(kind)
                made.args = tuple(given)
            for name, one in own.items():
                setattr(made, name, one)
        except Exception as fault:
            return GoneError(f"what it raised cannot be read ({type(fault).__name__})")
        return made


def _base(kind: type[BaseException]) -> str:
    """The nearest class of Python's own above an exception class."""
    return next(str(one.__name__) for one in kind.__mro__ if getattr(builtins, one.__name__, None) is one)
