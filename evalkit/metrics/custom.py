"""Scorers: functions of the user's own, whose numbers stand beside the metrics."""

from __future__ import annotations

import importlib
import inspect
import math
import re
import sys
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evalkit.errors import ExperimentError

Takes = Literal["text", "texts", "record"]
Better = Literal["higher", "lower"] | None

_TAKES: dict[str, Takes] = {"text": "text", "texts": "texts", "record": "record"}
_BETTER: dict[str, Better] = {"higher": "higher", "lower": "lower", "none": None, "None": None}
_CALL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:([A-Za-z_][A-Za-z0-9_]*)")
_KEY = re.compile(r"[A-Za-z0-9_-]{1,60}")
_MOST_NUMBERS = 50
_LONGEST_WORDS = 200


class Found(NamedTuple):
    """What a scorer gave: its numbers by the name of their metric, and what of it is no number, a sentence each."""

    numbers: dict[str, float]
    faults: tuple[str, ...] = ()


class Scorer(NamedTuple):
    """A function of your own, ``package.module:function``.

    What it is given follows from the name of its first parameter: ``text``, an answer; ``texts``, the k answers of a group; ``record``, an answer's
    `evalkit.store.records.Record`. It gives a number, or a mapping from names to numbers, which become metrics ``function.name``.
    """

    name: str
    takes: Takes
    function: Callable[[Any], Any]
    better: Better

    def found(self, argument: Any) -> Found:
        """What it gives for an argument; whatever it raises, but for an interrupt of the user, is a fault."""
        try:
            given = self.function(argument)
            if not isinstance(given, Mapping):
                return self._read({"": given})
            given = dict(given)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return Found({}, (f"{self.name}: {_words(error)}",))
        if len(given) > _MOST_NUMBERS:
            return Found({}, (f"{self.name}: gave {len(given):,} numbers; expected at most {_MOST_NUMBERS}",))
        return self._read(given)

    def _read(self, given: Mapping[Any, Any]) -> Found:
        numbers: dict[str, float] = {}
        faults = []
        for key, value in given.items():
            if key != "" and not (isinstance(key, str) and _KEY.fullmatch(key)):
                faults.append(f"{self.name}: gave a number under {_shown(key)}; expected a name of letters, digits, '_' and '-', 60 at most")
                continue
            name = f"{self.name}.{key}" if key else self.name
            try:
                numbers[name] = _number(value)
            except (TypeError, ValueError, OverflowError) as error:
                faults.append(f"{name}: {_words(error)}")
        return Found(numbers, tuple(faults))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"gave {type(value).__name__} {_shown(value)}; expected a number")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"gave {number}; expected a finite number")
    return number


def _shown(value: object) -> str:
    try:
        return repr(value)[:60]
    except Exception:  # it is the user's, and may raise there too
        return "something"


def _words(error: BaseException) -> str:
    try:
        said = str(error)[:_LONGEST_WORDS]
    except Exception:  # likewise
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def fault(spec: object) -> str | None:
    """What is wrong with how an experiment writes a scorer, without importing it; None where nothing is."""
    expected = "expected package.module:function, or a mapping of call and better (higher, lower or none)"
    if isinstance(spec, Mapping) and (set(spec) - {"call", "better"} or spec.get("better") not in (*_BETTER, None)):
        return expected
    return None if name_of(spec) else f"found {_shown(_call(spec))}; {expected}"


def name_of(spec: object) -> str | None:
    """The metric that a scorer gives: the function's name; None where it is written wrongly."""
    call = _call(spec)
    match = _CALL.fullmatch(call) if isinstance(call, str) else None
    return match[1] if match else None


def _call(spec: object) -> object:
    return spec.get("call") if isinstance(spec, Mapping) else spec


def load(spec: object) -> Scorer:
    """The scorer that ``package.module:function`` names, or a mapping with ``call`` and ``better``: higher, lower or none.

    Raises:
        ExperimentError: it cannot be imported, or is no such function.
    """
    name = name_of(spec)
    if name is None or (wrong := fault(spec)):
        raise ExperimentError(f"scorers: {fault(spec) if name is None else wrong}")
    call = str(_call(spec))
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        found = getattr(importlib.import_module(call.partition(":")[0]), name)
        first = next(iter(inspect.signature(found).parameters), None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may end the process on import
        raise ExperimentError(f"scorers: {call}: cannot be imported: {_words(error)}") from None
    if first not in _TAKES:
        raise ExperimentError(f"scorers: {call}: its first parameter is {first!r}; expected it to be called text, texts or record")
    return Scorer(name, _TAKES[first], found, _BETTER[str(spec.get("better")) if isinstance(spec, Mapping) else "none"])
