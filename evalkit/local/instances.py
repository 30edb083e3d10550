"""Values that are valid under a JSON Schema, drawn from what the user said and what the model babbles."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evalkit.local.schema import ANNOTATIONS, Node, Schema, fits, kinds

_TRIES = 12
_MOST_STEPS = 20_000
_ROOM_TO_SPARE = 4
"""Levels that a value may be nested beyond the flattest."""
_LARGEST = sys.float_info.max


class NoValueError(ValueError):
    """No value was found that fits."""


class Source(NamedTuple):
    """Where values come from.

    Attributes:
        words: of the user.
        numbers: in the user's text.
        phrase: gives a few words of the model.
        babble: how often a string is a phrase although a word would fit.
    """

    words: Sequence[str]
    numbers: Sequence[float]
    phrase: Callable[[], str]
    babble: float = 0.0


def make(schema: Schema, source: Source, rng: np.random.Generator) -> Any:
    """A value that is valid under `schema`; raises `NoValueError` where none is found, or only one that is too large."""
    maker = _Maker(schema, source, rng)
    for _ in range(_TRIES):  # what keywords beside an anyOf or a $ref forbid shows only in the end
        try:
            value = maker.value(schema.root, schema.least(schema.root) + _ROOM_TO_SPARE)
        except _MisfitError:
            continue
        if fits(schema, value, schema.root, maker.spend):
            return value
    raise NoValueError("no value was found that fits")


class _MisfitError(Exception):
    """This way leads to no value; another may."""


class _Maker:
    def __init__(self, schema: Schema, source: Source, rng: np.random.Generator) -> None:
        self._schema, self._source, self._rng = schema, source, rng
        self._steps = 0
        self._makers: dict[str, Callable[[dict[str, Any], float], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _, __: bool(self._rng.random() < 0.5),
            "null": lambda _, __: None,
        }

    def spend(self, steps: float = 1) -> None:
        self._steps += int(min(steps, _MOST_STEPS))
        if self._steps > _MOST_STEPS:
            raise NoValueError(f"the smallest value that was found has over {_MOST_STEPS} parts, or takes too long to find")

    def value(self, node: Node, room: float) -> Any:
        self.spend()
        if self._schema.least(node) > room:
            raise _MisfitError
        if isinstance(node, bool):
            return self._string({}, room)
        flat = self._flat(node, room)
        if "const" in flat:
            return flat["const"]
        if "enum" in flat:
            others = {keyword: value for keyword, value in flat.items() if keyword != "enum"}
            for option in self._shuffled(flat["enum"]):
                if fits(self._schema, option, others, self.spend):
                    return option
            raise _MisfitError
        for kind in self._shuffled(kinds(flat)):
            try:
                return self._makers[kind](flat, room)
            except _MisfitError:
                continue
        raise _MisfitError

    def _flat(self, node: Node, room: float) -> dict[str, Any]:
        """The node with its reference followed and one of its alternatives taken."""
        self.spend()
        if isinstance(node, bool):
            if not node:
                raise _MisfitError
            return {}
        flat = {keyword: value for keyword, value in node.items() if keyword not in ANNOTATIONS and keyword not in ("$ref", "anyOf")}
        if "$ref" in node:
            flat = _both(flat, self._flat(self._schema.target(node["$ref"]), room))
        if "anyOf" in node:
            within = [one for one in node["anyOf"] if self._schema.least(one) <= room]
            if not within:
                raise _MisfitError
            flat = _both(flat, self._flat(self._one_of(within), room))
        return flat

    def _object(self, flat: dict[str, Any], room: float) -> dict[str, Any]:
        properties, rest = flat.get("properties", {}), flat.get("additionalProperties", True)
        required = dict.fromkeys(flat.get("required", ()))
        made: dict[str, Any] = {}
        for name, node in properties.items():
            if name in required:
                made[name] = self.value(node, room - 1)
            elif not self._frugal and self._rng.random() < 0.5:
                try:
                    made[name] = self.value(node, room - 1)
                except _MisfitError:
                    continue
        for name in required:
            if name not in properties:
                made[name] = self.value(rest, room - 1)
        if isinstance(rest, dict) and not properties and not made and not self._frugal and self._schema.least(rest) < room:
            for word in self._shuffled(self._source.words)[:2]:  # a mapping with free keys would always be empty
                made[word] = self.value(rest, room - 1)
        return made

    def _array(self, flat: dict[str, Any], room: float) -> list[Any]:
        items, low, high = flat.get("items", True), int(flat.get("minItems", 0)), flat.get("maxItems", math.inf)
        if low > high:
            raise _MisfitError
        self.spend(low)
        count = low
        if self._schema.least(items) < room and not self._frugal:
            count = int(self._rng.integers(int(max(low, min(1, high))), int(min(low + 3, high)), endpoint=True))
        return [self.value(items, room - 1) for _ in range(count)]

    def _string(self, flat: dict[str, Any], _: float) -> str:
        low, high = flat.get("minLength", 0), flat.get("maxLength", math.inf)
        if low > high:
            raise _MisfitError
        self.spend(low)
        if "format" in flat:
            text = _FORMATS[flat["format"]](self._rng)
            if low <= len(text) <= high:
                return text
        fitting = [word for word in self._source.words if low <= len(word) <= high]
        if fitting and self._rng.random() >= self._source.babble:
            return str(self._one_of(fitting))
        text = self._source.phrase()
        while len(text) < low:
            more = self._source.phrase() or "word"
            self.spend(len(more))
            text = f"{text} {more}" if text else more
        if len(text) <= high:
            return text
        at_a_space = text[: int(high) + 1].rsplit(" ", 1)[0]
        return at_a_space if low <= len(at_a_space) <= high else text[: int(high)]

    def _integer(self, flat: dict[str, Any], _: float) -> int:
        lowest, highest = _bounds(flat)
        low = None if lowest is None else math.floor(lowest) + 1 if lowest == flat.get("exclusiveMinimum") else math.ceil(lowest)
        high = None if highest is None else math.ceil(highest) - 1 if highest == flat.get("exclusiveMaximum") else math.floor(highest)
        said = [int(one) for one in self._source.numbers if float(one).is_integer()]
        fitting = [one for one in said if (low is None or low <= one) and (high is None or one <= high)]
        if fitting:
            return int(self._one_of(fitting))
        if low is None:
            low = 1 if high is None or high >= 1 else high - 99
        if high is None:
            high = low + 99
        if low > high:
            raise _MisfitError
        return min(high, low + int(self._rng.random() * (high - low + 1)))

    def _number(self, flat: dict[str, Any], _: float) -> float:
        lowest, highest = _bounds(flat)
        of_numbers: dict[str, Any] = {
            keyword: flat[keyword] for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if keyword in flat
        }
        low = lowest if lowest is not None else 0.0 if highest is None or highest > 0 else highest - _span(highest)
        high = highest if highest is not None else low + _span(low)
        low, high = (float(min(max(one, -_LARGEST), _LARGEST)) for one in (low, high))
        drawn = low + self._rng.random() * (high - low) if math.isfinite(high - low) else low
        edges = (low, high, math.nextafter(low, math.inf), math.nextafter(high, -math.inf))
        candidates: list[float] = [*self._shuffled(self._source.numbers), round(drawn, 2), drawn, low / 2 + high / 2, *edges]
        for one in candidates:
            if fits(self._schema, one, of_numbers, self.spend):
                return one
        raise _MisfitError

    @property
    def _frugal(self) -> bool:
        """Half of what may be spent is: leave out what may be left out."""
        return self._steps > _MOST_STEPS / 2

    def _one_of(self, options: Sequence[Any]) -> Any:
        return options[int(self._rng.integers(len(options)))]

    def _shuffled(self, options: Sequence[Any]) -> list[Any]:
        return [options[at] for at in self._rng.permutation(len(options))] if len(options) > 1 else list(options)


def _bounds(flat: Mapping[str, Any]) -> tuple[float | None, float | None]:
    lows = [flat[keyword] for keyword in ("minimum", "exclusiveMinimum") if keyword in flat]
    highs = [flat[keyword] for keyword in ("maximum", "exclusiveMaximum") if keyword in flat]
    return max(lows, default=None), min(highs, default=None)


def _span(bound: float) -> float:
    """How far from its one bound a number is sought: far enough that a float differs from the bound."""
    return max(100.0, abs(float(bound)))


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """A node that asks for what two ask for, as far as one can; what it misses is found out by `fits`."""
    merged = one | other
    for keyword in one.keys() & other.keys():
        here, there = one[keyword], other[keyword]
        if keyword == "required":
            merged[keyword] = [*here, *there]
        elif keyword == "properties":
            merged[keyword] = here | there
        elif keyword.startswith(("min", "exclusiveMin")):
            merged[keyword] = max(here, there)
        elif keyword.startswith(("max", "exclusiveMax")):
            merged[keyword] = min(here, there)
        elif keyword == "type":
            merged[keyword] = [kind for kind in kinds(one) if kind in kinds(other) or (kind == "integer" and "number" in kinds(other))] + [
                "integer" for kind in kinds(one) if kind == "number" and "integer" in kinds(other) and "number" not in kinds(other)
            ]
    return merged


def _hexadecimal(rng: np.random.Generator, count: int) -> str:
    return "".join("0123456789abcdef"[int(one)] for one in rng.integers(16, size=count))


def _date(rng: np.random.Generator) -> str:
    return f"20{int(rng.integers(20, 40))}-{int(rng.integers(1, 13)):02}-{int(rng.integers(1, 29)):02}"


def _time(rng: np.random.Generator) -> str:
    return f"{int(rng.integers(24)):02}:{int(rng.integers(60)):02}:00Z"


_FORMATS: dict[str, Callable[[np.random.Generator], str]] = {
    "date": _date,
    "time": _time,
    "date-time": lambda rng: f"{_date(rng)}T{_time(rng)}",
    "email": lambda rng: f"{_hexadecimal(rng, 6)}@example.com",
    "hostname": lambda rng: f"{_hexadecimal(rng, 6)}.example.com",
    "ipv4": lambda rng: f"192.0.2.{int(rng.integers(1, 255))}",
    "uri": lambda rng: f"https://example.com/{_hexadecimal(rng, 6)}",
    "uuid": lambda rng: f"{_hexadecimal(rng, 8)}-{_hexadecimal(rng, 4)}-4{_hexadecimal(rng, 3)}-a{_hexadecimal(rng, 3)}-{_hexadecimal(rng, 12)}",
}
