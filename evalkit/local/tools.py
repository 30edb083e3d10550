"""Functions that a request offers to the model, and which of them it calls."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from evalkit.local.errors import ApiError, wrong_type, wrong_value
from evalkit.local.fields import at_most, boolean, identifier, mapping, only, string
from evalkit.local.messages import Talk
from evalkit.local.model import terms
from evalkit.local.schema import MOST_PARTS, Schema, SchemaError

_MOST_FUNCTIONS = 128
_MOST_CALLS = 4
_OF_NAME, _ENOUGH = 2, 2
"""A word of a function's name says as much as two of its description, and that much makes a call."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class ToolFunction(NamedTuple):
    """A function on offer, with the telling words of its name, of its description beside them, and of its parameters' names."""

    name: str
    named: frozenset[str]
    described: frozenset[str]
    taken: frozenset[str]
    schema: Schema


class Tools(NamedTuple):
    """What may be called: `choice` is none, auto, required, or function with the one that `forced` names."""

    functions: tuple[ToolFunction, ...]
    choice: str = "auto"
    forced: str | None = None
    parallel: bool = True


def read(given: Mapping[str, Any]) -> Tools | None:
    """The tools of a request, or None where it has none that may be called; raises `ApiError` where they are wrong."""
    tools = given.get("tools", [])
    if not isinstance(tools, list):
        raise wrong_type("tools", tools, "an array")
    at_most("tools", tools, _MOST_FUNCTIONS)
    functions = tuple(_function(f"tools[{at}]", tool) for at, tool in enumerate(tools))
    if sum(function.schema.size for function in functions) > MOST_PARTS:
        raise ApiError(400, f"Invalid 'tools': their schemas together have over {MOST_PARTS} parts.", param="tools")
    parallel = boolean("parallel_tool_calls", given.get("parallel_tool_calls", True))
    choice, forced = _choice(given.get("tool_choice", "auto" if functions else "none"))
    if not functions and choice not in ("none", "auto"):
        raise ApiError(400, "Invalid value for 'tool_choice': it is only allowed when 'tools' are specified.", param="tool_choice")
    if forced is not None and forced not in {function.name for function in functions}:
        raise ApiError(400, f"Invalid value for 'tool_choice': the function '{forced}' is not among 'tools'.", param="tool_choice")
    return Tools(functions, choice, forced, parallel) if functions and choice != "none" else None


def called(tools: Tools, talk: Talk) -> list[ToolFunction]:
    """The functions that are called after `talk`, best first; none where nothing forces a call and the words have little in common."""
    if tools.choice == "function":
        return [next(function for function in tools.functions if function.name == tools.forced)]
    if tools.choice == "auto" and talk.answered:  # else a client that calls whatever it is told to would never come to an end
        return []
    asked = frozenset(terms(talk.asked))
    rated = [(_OF_NAME * len(asked & one.named) + len(asked & one.described), one) for one in tools.functions]
    rated.sort(key=lambda pair: -pair[0])
    enough = [function for rating, function in rated if rating >= _ENOUGH][:_MOST_CALLS]
    if tools.choice == "required" and not enough:
        enough = [rated[0][1]]
    return enough if tools.parallel else enough[:1]


def _function(where: str, tool: object) -> ToolFunction:
    tool = mapping(where, tool)
    kind = string(f"{where}.type", tool.get("type"))
    if kind != "function":
        raise wrong_value(f"{where}.type", kind, ("function",))
    only(where, tool, frozenset(("type", "function")))
    function = mapping(f"{where}.function", tool.get("function"))
    only(f"{where}.function", function, frozenset(("name", "description", "parameters", "strict")))
    name = identifier(f"{where}.function.name", function.get("name"))
    given = {key: value for key, value in function.items() if value is not None}
    description = string(f"{where}.function.description", given.get("description", ""))
    boolean(f"{where}.function.strict", given.get("strict", False))
    schema = _parameters(f"{where}.function.parameters", name, given.get("parameters", {}))
    named, described = _words(name), frozenset(terms(description))
    properties = given.get("parameters", {}).get("properties", {})
    return ToolFunction(name, named, described - named, _words(" ".join(properties)), schema)


def _words(names: str) -> frozenset[str]:
    return frozenset(terms(_CAMEL.sub(" ", names)))


def _parameters(where: str, name: str, parameters: object) -> Schema:
    node = mapping(where, parameters)
    try:
        if node.get("type", "object") != "object":
            raise SchemaError((), "the schema must be of type 'object'.")
        return Schema(node | {"type": "object"})
    except SchemaError as error:
        raise ApiError(400, f"Invalid schema for function '{name}': {error}", param=where, code="invalid_function_parameters") from None


def _choice(value: object) -> tuple[str, str | None]:
    if isinstance(value, str):
        if value not in ("none", "auto", "required"):
            raise wrong_value("tool_choice", value, ("none", "auto", "required"))
        return value, None
    if not isinstance(value, dict):
        raise wrong_type("tool_choice", value, "a string or an object")
    kind = string("tool_choice.type", value.get("type"))
    if kind != "function":
        raise wrong_value("tool_choice.type", kind, ("function",))
    only("tool_choice", value, frozenset(("type", "function")))
    return kind, identifier("tool_choice.function.name", mapping("tool_choice.function", value.get("function")).get("name"))
