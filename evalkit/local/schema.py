"""JSON Schema, as far as values are made from it: which keywords are taken, how deep a value must go, whether one fits.

Taken are ``type``, ``enum``, ``const``, ``anyOf``, ``$ref`` within the schema, and what bounds strings, numbers, arrays and
objects (`_CHECKS`). Annotations are passed over. Any other keyword is refused by name: to pass it over would be to promise
values that it forbids.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard
from urllib.parse import unquote

from evalkit.local.errors import kind_of, sendable

Node = dict[str, Any] | bool

DEEPEST = 16
"""Levels that a value may be nested."""
MOST_PARTS = 5000
"""Schemas within the schemas of one request, names that they require and values that they list, all together."""

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$schema", "$comment", "$defs", "definitions")
)
FORMATS = ("date", "time", "date-time", "email", "hostname", "ipv4", "uri", "uuid")
"""Values of ``format`` that strings are made after; it is an annotation, so any string fits."""

_LONGEST_PATH = 100
_LONGEST_CHAIN = 8
_GREATEST = 1e300

_KINDS: dict[str, Callable[[object], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_whole(value),
    "number": lambda value: _is_number(value),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}
_KEYWORDS_OF = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}


class SchemaError(ValueError):
    """A schema that values cannot be made from; the message says where in it and why."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(sendable(f"In context={path[:20]!r}, {message}"))


def kinds(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that `node` asks for; where it names none, the one that its keywords speak of."""
    given = node.get("type")
    if given is not None:
        return (given,) if isinstance(given, str) else tuple(given)
    spoken_of = (kind for kind, keywords in _KEYWORDS_OF.items() if any(keyword in node for keyword in keywords))
    return (next(spoken_of, "string"),)


class Schema:
    """A schema that was found fit to make values from.

    Raises:
        SchemaError: it is none, or holds a keyword that is not taken.
    """

    def __init__(self, root: object) -> None:
        self.root: Node = {}
        self._targets: dict[str, Node] = {}
        self._nodes: dict[int, dict[str, Any]] = {}
        self._least: dict[int, float] = {}
        self._document = root
        self._waiting: list[tuple[object, tuple[str | int, ...]]] = [(root, ())]
        while self._waiting:  # what is referred to comes later, so that a chain of references needs no stack
            self._check(*self._waiting.pop())
        assert isinstance(root, dict | bool)  # noqa: S101 (`_check` has seen to it)
        self.root = root
        if self.size > MOST_PARTS:
            raise SchemaError((), f"all its schemas, required names and enum values are over {MOST_PARTS}.")
        self._forbid_endless_chains()
        self._measure()
        if self.least(root) > DEEPEST:
            raise SchemaError((), f"no value fits: it would be nested over {DEEPEST} levels or without end, or hold what is forbidden.")

    @property
    def size(self) -> int:
        """How many parts it has: schemas, required names and listed values."""
        return len(self._nodes) + sum(len(node.get("required", ())) + len(node.get("enum", ())) for node in self._nodes.values())

    def target(self, reference: str) -> Node:
        """What a ``$ref`` refers to."""
        return self._targets[reference]

    def least(self, node: Node) -> float:
        """How many levels the flattest value for `node` is nested; infinite where there is no end."""
        if isinstance(node, bool):
            return 0 if node else math.inf
        known = self._least.get(id(node))
        return self._flattest(node) if known is None else known

    def _flattest(self, node: dict[str, Any]) -> float:
        parts: list[float] = [0]
        if "$ref" in node:
            parts.append(self.least(self.target(node["$ref"])))
        if "anyOf" in node:
            parts.append(min(map(self.least, node["anyOf"])))
        if "const" not in node and "enum" not in node:
            parts.append(min(self._flattest_of(kind, node) for kind in kinds(node)))
        return max(parts)

    def _flattest_of(self, kind: str, node: dict[str, Any]) -> float:
        if kind == "object":
            properties, rest = node.get("properties", {}), node.get("additionalProperties", True)
            return max((1 + self.least(properties.get(name, rest)) for name in node.get("required", ())), default=0)
        if kind == "array" and node.get("minItems", 0) > 0:
            return 1 + self.least(node.get("items", True))
        return 0

    def _measure(self) -> None:
        """Fill `least`: nothing is known to end but what ends by itself, and then what leads there."""
        self._least = dict.fromkeys(self._nodes, math.inf)
        changed = True
        while changed:
            changed = False
            for key, node in reversed(self._nodes.items()):
                found = self._flattest(node)
                found = found if found <= DEEPEST else math.inf
                if found < self._least[key]:
                    self._least[key] = found
                    changed = True

    def _forbid_endless_chains(self) -> None:
        """Refuse what refers to itself before it has said anything: ``{"$ref": "#"}``."""
        lengths: dict[int, int] = {}

        def length(node: Node, above: int) -> int:
            if isinstance(node, bool):
                return 0
            if above > _LONGEST_CHAIN:
                raise SchemaError((), f"'$ref' and 'anyOf' lead over {_LONGEST_CHAIN} steps or in a circle, before anything is said.")
            if id(node) not in lengths:
                ahead = [*([self.target(node["$ref"])] if "$ref" in node else []), *node.get("anyOf", ())]
                lengths[id(node)] = max((1 + length(one, above + 1) for one in ahead), default=0)
            if above + lengths[id(node)] > _LONGEST_CHAIN:
                raise SchemaError((), f"'$ref' and 'anyOf' lead over {_LONGEST_CHAIN} steps before anything is said.")
            return lengths[id(node)]

        for node in self._nodes.values():
            length(node, 0)

    def _check(self, node: object, path: tuple[str | int, ...]) -> None:
        if isinstance(node, bool):
            return
        if not isinstance(node, dict):
            raise SchemaError(path, f"a schema must be an object or a boolean, not {kind_of(node)}.")
        if id(node) in self._nodes:
            return
        self._nodes[id(node)] = node
        if len(self._nodes) > MOST_PARTS or len(path) > _LONGEST_PATH:
            raise SchemaError(path, f"the schema holds over {MOST_PARTS} others, or nests them over {_LONGEST_PATH // 2} deep.")
        for keyword, value in node.items():
            here = (*path, keyword)
            if keyword in ("$defs", "definitions", "properties"):
                if not isinstance(value, dict):
                    raise SchemaError(here, f"expected an object, not {kind_of(value)}.")
                for name, inner in value.items():
                    self._check(inner, (*here, name))
            elif keyword in ("items", "additionalProperties"):
                self._check(value, here)
            elif keyword == "anyOf":
                if not isinstance(value, list) or not value:
                    raise SchemaError(here, f"expected an array of schemas, not {kind_of(value)}.")
                for number, inner in enumerate(value):
                    self._check(inner, (*here, number))
            elif keyword == "$ref":
                self._refer(value, here)
            elif keyword in _CHECKS:
                expected, right = _CHECKS[keyword]
                if not right(value):
                    raise SchemaError(here, f"expected {expected}, not {kind_of(value)}.")
            elif keyword not in ANNOTATIONS:
                raise SchemaError(path, f"'{keyword[:60]}' is not supported.")

    def _refer(self, reference: object, path: tuple[str | int, ...]) -> None:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaError(path, "expected a reference within the schema, like '#/$defs/name'.")
        node: Any = self._document
        for step in reference.split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict) and name in node:
                node = node[name]
            elif isinstance(node, list) and name.isascii() and name.isdecimal() and len(name) < 9 and int(name) < len(node):
                node = node[int(name)]
            else:
                raise SchemaError(path, f"'{reference[:80]}' leads nowhere.")
        self._targets[reference] = node
        self._waiting.append((node, path))


def fits(schema: Schema, value: object, node: Node, spend: Callable[[], None]) -> bool:
    """Whether `value` is valid under `node` of `schema`; `spend` is called at each step and may raise to put an end to it."""
    spend()
    if isinstance(node, bool):
        return node
    if "$ref" in node and not fits(schema, value, schema.target(node["$ref"]), spend):
        return False
    if "anyOf" in node and not any(fits(schema, value, one, spend) for one in node["anyOf"]):
        return False
    if "type" in node and not any(_KINDS[kind](value) for kind in kinds(node)):
        return False
    if "const" in node and not same(value, node["const"]):
        return False
    if "enum" in node and not any(same(value, one) for one in node["enum"]):
        return False
    if isinstance(value, str):
        return _within(len(value), node, "minLength", "maxLength")
    if isinstance(value, list):
        return _within(len(value), node, "minItems", "maxItems") and all(fits(schema, one, node.get("items", True), spend) for one in value)
    if isinstance(value, dict):
        properties, rest = node.get("properties", {}), node.get("additionalProperties", True)
        return all(name in value for name in node.get("required", ())) and all(
            fits(schema, one, properties.get(name, rest), spend) for name, one in value.items()
        )
    if _is_number(value):
        strictly = node.get("exclusiveMinimum", -math.inf) < value < node.get("exclusiveMaximum", math.inf)
        return bool(strictly and _within(value, node, "minimum", "maximum"))
    return True


def same(one: object, other: object) -> bool:
    """Equality of JSON values: 1 is 1.0, and true is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return one == other


def _within(value: Any, node: dict[str, Any], low: str, high: str) -> bool:
    return bool(node.get(low, -math.inf) <= value <= node.get(high, math.inf))


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_bound(value: object) -> TypeGuard[float]:
    return _is_number(value) and -_GREATEST <= value <= _GREATEST


def _is_whole(value: object) -> bool:
    return _is_bound(value) and value == math.floor(value)


def _is_count(value: object) -> bool:
    return _is_whole(value) and value >= 0  # type: ignore[operator]


def _is_literal(value: object, left: int = DEEPEST) -> bool:
    """Whether `value` can be written as JSON, and is not nested without reason."""
    if isinstance(value, dict):
        return left > 0 and all(_is_literal(one, left - 1) for one in value.values())
    if isinstance(value, list):
        return left > 0 and all(_is_literal(one, left - 1) for one in value)
    return _is_bound(value) if _is_number(value) else True


def _is_type(value: object) -> bool:
    named = [value] if isinstance(value, str) else value
    return isinstance(named, list) and bool(named) and all(isinstance(one, str) and one in _KINDS for one in named)


_CHECKS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "type": (f"one of {', '.join(_KINDS)}, or an array of them", _is_type),
    "enum": (f"an array of values, nested {DEEPEST} deep at the most", lambda value: isinstance(value, list) and bool(value) and _is_literal(value)),
    "const": (f"a value, nested {DEEPEST} deep at the most", _is_literal),
    "required": ("an array of strings", lambda value: isinstance(value, list) and all(isinstance(one, str) for one in value)),
    "format": (f"one of {', '.join(FORMATS)}", lambda value: isinstance(value, str) and value in FORMATS),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), ("a whole number of at least 0", _is_count)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), ("a number", _is_bound)),
}
