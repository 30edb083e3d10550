"""The line between the answer's process and that of the tests: values come over it as they are, and nothing comes that leads further."""

from __future__ import annotations

import datetime
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.sandbox.within import asking
from evalkit.sandbox.within.answering import answer
from evalkit.sandbox.within.line import GoneError, Line, Pipe
from evalkit.sandbox.within.remote import Remote

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(max_size=8) | st.decimals(allow_nan=False)
    | st.fractions() | st.datetimes() | st.dates() | st.timedeltas() | st.complex_numbers(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=6,
)  # fmt: skip
plain = st.recursive(
    hashable, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hashable, inner, max_size=3) | st.sets(hashable, max_size=3), max_leaves=8
)


def line(fd: int = -1) -> Line:
    return Line(Pipe(fd), lambda *_: None, lambda _: None, Remote)


@settings(max_examples=50)
@given(plain)
def test_a_plain_value_comes_over_as_it_is(value: Any) -> None:
    there = line().unpacked(line().packed(value))
    assert there == value
    assert type(there) is type(value)


@pytest.mark.parametrize(
    "value",
    [len, str.upper, int, ValueError, range(1, 9, 2), Path("x", "y"), Ellipsis, Decimal("1.50"), Fraction(1, 3), datetime.time(1, 2)],
)
def test_what_python_has_itself_comes_over_by_its_name(value: Any) -> None:
    assert line().unpacked(line().packed(value)) == value


@pytest.mark.parametrize("value", [eval, exec, open, compile, getattr, setattr, globals, vars, __import__, input])
def test_no_function_that_runs_a_text_or_looks_around_comes_over_by_its_name(value: Any) -> None:
    assert list(line().packed(value)) == ["h"]
    with pytest.raises(KeyError):
        line().unpacked({"n": value.__name__})


@contextmanager
def answered(code: str) -> Iterator[int]:
    """The end of the line of an answer's process, here a thread: its code is this test's own."""
    here, there = socket.socketpair()
    known = set(sys.modules)
    kept = {name: one for name, one in sys.modules.items() if name.partition(".")[0] == "evalkit"}
    thread = threading.Thread(target=answer, args=(there.fileno(), code))
    thread.start()
    try:
        yield here.fileno()
    finally:
        here.shutdown(socket.SHUT_RDWR)
        thread.join()
        here.close()
        there.close()
        sys.modules.update(kept)
        for name in {"answer", "tests"} & (sys.modules.keys() - known):
            del sys.modules[name]


def test_the_tests_decide_by_values() -> None:
    for tests, passes in (("assert f(1) == 2", True), ("assert f(1) == 3", False), ("assert answer.f(1) == 2", True), ("x = 1", False)):
        with answered("def f(x):\n    return x + 1") as fd:
            assert asking.verdict(fd, tests)[0] is passes, tests


def test_an_answer_that_speaks_for_itself_on_the_line_gets_nothing() -> None:
    """Whatever the other process sends in place of an answer's values: no name of Python's own, no object of the tests' making."""
    hostile = [
        {"gives": {"d": []}},
        {"gives": [[["sorted", 1], ["__builtins__", {"d": []}], ["f", {"n": "type"}]], {"h": 1}]},
        {"do": "call", "with": [{"n": "type"}, ["X", {"t": [{"n": "int"}]}, {"d": []}], {"d": []}]},
        {"do": "get", "with": [{"y": 1}, "__globals__"]},
        {"do": "next", "with": [{"y": 99}]},
        {"raised": [{"n": "int"}, [], {}]},
        {"raised": [{"x": [1, "X", "print"]}, [], {}]},
        [],
        "passed",
    ]
    for message in hostile:
        here, there = socket.socketpair()
        with here, there:
            Pipe(there.fileno()).write(message)
            there.shutdown(socket.SHUT_WR)
            passed, why = asking.verdict(here.fileno(), "assert f(1) == 2 and sorted([2, 1]) == [1, 2]")
        assert not passed
        assert why
    sys.modules.pop("tests", None)


def test_a_message_that_is_too_long_is_not_read() -> None:
    here, there = socket.socketpair()
    with here, there:
        os.write(there.fileno(), b"\xff\xff\xff\xff")
        with pytest.raises(GoneError):
            Pipe(here.fileno()).read()
