"""What stands on one side for an object of the other: whatever is done with it is done there, and what comes of it comes back as a value."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Generator, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from evalkit.sandbox.within.line import Line

_TWO = ("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift")
_ONE = ("neg", "pos", "abs", "invert")
_ORDER = ("lt", "le", "gt", "ge")
_CHANGING = (list, dict, set, bytearray, deque)
_PLAIN: tuple[Any, ...] = (bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset, deque)
"""Types whose value an object of a type below them may be asked for."""
_RECKONED = (bool, int, float, complex, Decimal, Fraction, set, frozenset)


class Remote:
    """An object of the other side.

    With a plain value it is never equal, whatever its own ``__eq__`` says, unless it is of a type below that value's (a named tuple, an enumeration
    of numbers): else whoever is tested could answer each question with an object that equals everything. Nor does it say what comes of reckoning with
    a plain number or set, where that is one again: else whatever is subtracted from it could be nothing, and it would be near to everything.
    """

    __slots__ = ("_difference", "_line", "_number")

    def __init__(self, line: Line, number: int) -> None:
        object.__setattr__(self, "_line", line)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_difference", False)  # whether it is one from a plain value, whose size is then no plain value either

    def __getattr__(self, name: str) -> Any:
        return _ask(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, "delete", name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """What the call gives there; those of the arguments that it changed are changed here."""
        found, changed = _ask(self, "call", list(given), named)
        for at, value in changed:
            _become(given[at] if isinstance(at, int) else named[at], value)
        return found

    def __eq__(self, other: object) -> bool:
        if type(other) is Remote:
            return bool(_ask(self, "eq", other))
        return bool((found := _ask(self, "plain")) is not None and found[0] == other)

    def __hash__(self) -> int:
        return int(_ask(self, "hash"))

    def __bool__(self) -> bool:
        return bool(_size(self, "truth"))

    def __len__(self) -> int:
        return int(_ask(self, "len"))

    def __iter__(self) -> Iterator[Any]:
        found: Iterator[Any] = iter(one) if type(one := _ask(self, "iter")) is not Remote else one
        return found

    def __next__(self) -> Any:
        return _ask(self, "next")

    def __reversed__(self) -> Any:
        return _ask(self, "reversed")

    def __contains__(self, one: object) -> bool:
        return bool(_ask(self, "contains", one))

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, slice):
            return _ask(self, "slice", key.start, key.stop, key.step)
        return _ask(self, "getitem", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _ask(self, "setitem", key, value)

    def __delitem__(self, key: Any) -> None:
        _ask(self, "delitem", key)

    def __str__(self) -> str:
        return str(_ask(self, "str"))

    def __repr__(self) -> str:
        return str(_ask(self, "repr"))

    def __format__(self, form: str) -> str:
        return str(_ask(self, "format", form))

    def __int__(self) -> int:
        return int(_size(self, "int"))

    def __float__(self) -> float:
        return float(_size(self, "float"))

    def __index__(self) -> int:
        return int(_size(self, "index"))

    def __round__(self, digits: int | None = None) -> Any:
        return _size(self, "round", digits)

    def __instancecheck__(self, one: Any) -> bool:
        return type(one) is Remote and bool(_ask(self, "has_instance", one))

    def __subclasscheck__(self, one: Any) -> bool:
        return type(one) is Remote and bool(_ask(self, "has_subclass", one))

    def __enter__(self) -> Any:
        return _ask(self, "enter")

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: Any) -> bool:
        handled = bool(_ask(self, "exit", kind, [] if value is None else list(value.args)))
        return handled and not isinstance(value, AssertionError)  # an answer has no say in whether a test fails

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return _ask(self, "await")

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return _ask(self, "anext")


def _ask(one: Remote, what: str, *given: Any) -> Any:
    line: Line = object.__getattribute__(one, "_line")
    return line.ask(what, one, *given)


def _size(one: Remote, what: str, *given: Any) -> Any:
    """How large an object says that it is; raises `TypeError` of a difference, of which it would say so too."""
    if object.__getattribute__(one, "_difference"):
        raise TypeError(_NOT_RECKONED)
    return _ask(one, what, *given)


_NOT_RECKONED = "an object of the answer's own is not reckoned with beside a plain value; compare what it holds"


def _reckoned(one: Remote, name: str, left: Any, right: Any) -> Any:
    """What comes of an operation on an object and another value."""
    found = _ask(one, "two", name, left, right)
    if not isinstance(right if left is one else left, _RECKONED) or type(right) is type(left) is Remote:
        return found
    if type(found) is Remote:
        object.__setattr__(found, "_difference", name == "sub")
    elif isinstance(found, _RECKONED):
        if (own := _ask(one, "plain")) is None:
            raise TypeError(_NOT_RECKONED)
        return getattr(operator, name)(*(own[0] if side is one else side for side in (left, right)))
    return found


def _become(old: Any, new: Any) -> None:
    """Make of an argument what a call made of its copy on the other side."""
    if isinstance(old, list | bytearray):
        old[:] = new
    elif isinstance(old, dict | set):
        old.clear()
        old.update(new)
    elif isinstance(old, deque):
        old.clear()
        old.extend(new)


def _of_two(name: str) -> tuple[Callable[[Remote, Any], Any], Callable[[Remote, Any], Any]]:
    def forward(self: Remote, other: Any) -> Any:
        return _reckoned(self, name, self, other)

    def reflected(self: Remote, other: Any) -> Any:
        return _reckoned(self, name, other, self)

    return forward, reflected


def _of_one(name: str) -> Callable[[Remote], Any]:
    def forward(self: Remote) -> Any:
        return _size(self, "one", name)

    return forward


def _of_order(name: str) -> Callable[[Remote, Any], bool]:
    does = getattr(operator, name)

    def ordered(self: Remote, other: Any) -> bool:
        if type(other) is Remote:
            return bool(_ask(self, "two", name, self, other))
        found = _ask(self, "plain")
        if found is None:
            raise TypeError("an object of the answer's own is not ordered beside a plain value; compare what it holds")
        return bool(does(found[0], other))

    return ordered


for _name in _TWO:
    _forward, _reflected = _of_two(f"{_name}_" if _name in ("and", "or") else _name)
    setattr(Remote, f"__{_name}__", _forward)
    setattr(Remote, f"__r{_name}__", _reflected)
for _name in _ONE:
    setattr(Remote, f"__{_name}__", _of_one(_name))
for _name in _ORDER:
    setattr(Remote, f"__{_name}__", _of_order(_name))


def called(line: Line, function: Any, given: list[Any], named: dict[str, Any]) -> Any:
    """What a call gives, and what it made of those of its arguments that can be changed, where it changed them."""
    every = [*enumerate(given), *named.items()]
    before = {at: line.packed(one) for at, one in every if isinstance(one, _CHANGING)}
    found = function(*given, **named)
    return [found, [[at, one] for at, one in every if at in before and line.packed(one) != before[at]]]


def plain(one: Any) -> Any:
    """The value of an object of a type below a plain one, in a list; None of any other."""
    for kind in _PLAIN:
        if isinstance(one, kind):
            return [kind(one)]
    return None
