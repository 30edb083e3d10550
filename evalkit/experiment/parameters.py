"""The parameters of a chat completion: their names, what values they take, and which of them mean nothing beside another."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from evalkit.experiment.problems import HALF_A_CHARACTER, Faults, Path, half_a_character, nearest, number_hint, shown

DEFAULT = "default"
"""The level that leaves a parameter out of the request."""

ENDPOINT = "endpoint"
"""The parameter that is none of a request's: which of several endpoints is asked."""

PER_REPLICATE = "per_replicate"
"""The value of ``request.seed`` that sends a seed of each prompt's and replicate's own."""

Kind = Literal["number", "integer", "boolean", "string", "strings", "mapping", "any"]


class Parameter(NamedTuple):
    """What values a parameter takes; `low` and `high` are inclusive and count for numbers only."""

    kind: Kind
    low: float = -math.inf
    high: float = math.inf


KNOWN: dict[str, Parameter] = {
    "temperature": Parameter("number", 0, 2),
    "top_p": Parameter("number", 0, 1),
    "frequency_penalty": Parameter("number", -2, 2),
    "presence_penalty": Parameter("number", -2, 2),
    "max_tokens": Parameter("integer", 1),
    "max_completion_tokens": Parameter("integer", 1),
    "stop": Parameter("strings"),
    "seed": Parameter("integer"),
    "model": Parameter("string"),
    "logit_bias": Parameter("mapping"),
    "logprobs": Parameter("boolean"),
    "top_logprobs": Parameter("integer", 0, 20),
    "user": Parameter("string"),
    "response_format": Parameter("mapping"),
    "tools": Parameter("any"),
    "tool_choice": Parameter("any"),
    "parallel_tool_calls": Parameter("boolean"),
    "reasoning_effort": Parameter("string"),
    "verbosity": Parameter("string"),
    "service_tier": Parameter("string"),
    "metadata": Parameter("mapping"),
    "store": Parameter("boolean"),
    "functions": Parameter("any"),
    "function_call": Parameter("any"),
    # beyond OpenAI's, common among servers
    "top_k": Parameter("integer", -1),
    "min_p": Parameter("number", 0, 1),
    "repetition_penalty": Parameter("number", 0),
    "length_penalty": Parameter("number"),
    "min_tokens": Parameter("integer", 0),
    "ignore_eos": Parameter("boolean"),
    "skip_special_tokens": Parameter("boolean"),
    "guided_json": Parameter("any"),
    "guided_regex": Parameter("string"),
    "guided_choice": Parameter("any"),
    "guided_grammar": Parameter("string"),
    "chat_template_kwargs": Parameter("mapping"),
}

OF_OPENAI = frozenset(list(KNOWN)[: list(KNOWN).index("top_k")])

REFUSED = {
    "n": "evalkit sends one answer a request; use 'replicates' at the top level",
    "messages": "messages come from the prompt set; write them under 'prompts'",
    "stream": "evalkit decides how an answer is fetched; leave it out",
    "stream_options": "evalkit decides how an answer is fetched; leave it out",
}

_NEVER_SENT = (
    dict.fromkeys(("name", "endpoint", "prompts", "parameters", "request", "replicates"), "this is a key of the top level; move it there")
    | dict.fromkeys(("base_url", "api_key_env", "api_key_command", "concurrency"), "this is a key of 'endpoint'; move it there")
    | dict.fromkeys(("headers", "extra_headers", "extra_query"), "only fields of the request's body can stand here; leave it out")
    | {"extra_body": "write the fields themselves here, without extra_body"}
)
"""Words of the experiment file and of the openai client that no server takes in a body."""

_SECRETS = frozenset(
    ("api_key", "apikey", "key", "token", "api_token", "access_token", "auth_token", "bearer", "authorization", "password", "secret")
)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]*")
_MOST_INTEGER = 2**63

VOID_AT_TEMPERATURE_0 = ("top_p", "top_k", "min_p")
"""Parameters that narrow a choice which temperature 0 has already narrowed to one token."""


def is_secret(name: str) -> bool:
    """Whether what stands under `name` is likely a key or a password."""
    return name.lower().replace("-", "_") in _SECRETS


NO_KEY_HERE = "keys do not belong in files; export the key as an environment variable and name that in endpoint.api_key_env"


def fault_of_name(name: str, section: str) -> str | None:
    """Why `name` cannot stand in `section` ('parameters' or 'request'), or None."""
    if name in REFUSED:
        return REFUSED[name]
    if name == "model" and section == "request":
        return "the model stands under endpoint.model (or under 'parameters', to sweep it)"
    if name in KNOWN or (name == ENDPOINT and section == "parameters"):
        return None
    if is_secret(name):
        return NO_KEY_HERE
    if name in _NEVER_SENT:
        return _NEVER_SENT[name]
    if meant := nearest(name, [*KNOWN, *REFUSED]):
        return f"unknown parameter; did you mean '{meant}'?"
    if not _NAME.fullmatch(name) or len(name) > 100:
        return "this is no parameter's name; expected letters, digits and '_', the first a letter"
    return None


def fault_of_level(name: str, value: object) -> str | None:
    """What is wrong with one level of the parameter `name`, or None."""
    if name == ENDPOINT:
        return None if isinstance(value, str) and value != DEFAULT else f"found {shown(value)}; expected the name of one of the endpoints"
    if value == DEFAULT:
        return None
    fault = fault_of_value(name, value)
    if fault and isinstance(value, str) and nearest(value, [DEFAULT]):
        return f"{fault}; did you mean {DEFAULT}?"
    if fault and name == "seed" and value == PER_REPLICATE:
        return f"{fault}; {PER_REPLICATE} stands under 'request'"
    return fault


def fault_of_fixed(name: str, value: object) -> str | None:
    """What is wrong with a value of the parameter `name` that every request holds, or None."""
    if value == DEFAULT:
        return f"found '{DEFAULT}', which is a level under 'parameters'; to leave {name} out of every request, leave out this line"
    if value is None:
        return f"found nothing (null); to leave {name} out of every request, leave out this line"
    return fault_of_value(name, value)


def fault_of_value(name: str, value: object) -> str | None:
    """What is wrong with one value of the parameter `name`, or None; any JSON value suits a name nobody knows."""
    if value is None:
        return f"found nothing (null); to leave the parameter out, write {DEFAULT}"
    kind, low, high = KNOWN.get(name, Parameter("any"))
    expected = _EXPECTED[kind].format(range=_range(low, high))
    fault = f"found {shown(value)}; expected {expected}"
    match kind:
        case "number" | "integer":
            return _not_number(value, kind == "integer", low, high, fault)
        case "boolean":
            return None if isinstance(value, bool) else fault
        case "string":
            if not isinstance(value, str) or not value:
                return fault
        case "strings":
            many = [value] if isinstance(value, str) else value
            if not isinstance(many, list) or not 1 <= len(many) <= 4 or not all(isinstance(one, str) and one for one in many):
                return fault
        case "mapping":
            if not isinstance(value, dict):
                return fault
    return not_json(value)


def _not_number(value: object, whole: bool, low: float, high: float, fault: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -math.inf < value < math.inf:
        return fault + number_hint(value)
    if (whole and value != int(value)) or not low <= value <= high:
        return fault
    return not_json(int(value) if whole else value)


def settled(name: str, value: Any) -> Any:
    """A legal value of the parameter `name` as it is sent: 200.0 tokens are 200."""
    return int(value) if isinstance(value, float) and name in KNOWN and KNOWN[name].kind == "integer" else value


def settled_fields(given: Mapping[str, Any], fault_of: Callable[[str, Any], str | None]) -> dict[str, Any]:
    """Fields that requests hold, each as it is sent; raises `Faults` with what `fault_of` says of names and values, all of them."""
    faults: list[tuple[Path, str]] = [((str(name),), fault) for name, value in given.items() if (fault := fault_of(name, value))]
    if faults:
        raise Faults(faults)
    return {name: value if value == DEFAULT else settled(name, value) for name, value in given.items()}


def not_json(value: object) -> str | None:
    """What of `value` no request can hold as JSON, in words; None where all of it can be sent."""
    match value:
        case float() if not math.isfinite(value):
            return f"found {shown(value)}; expected a finite number"
        case bool() | None:
            return None
        case int() if not -_MOST_INTEGER <= value < _MOST_INTEGER:
            return f"found {shown(value)}; expected a whole number of at most 64 bits"
        case str() if half_a_character(value):
            return HALF_A_CHARACTER
        case dict():
            return next((fault for pair in value.items() for one in pair if (fault := not_json(one))), None)
        case list():
            return next((fault for one in value if (fault := not_json(one))), None)
        case int() | float() | str():
            return None
        case _:
            return f"found {shown(value)}; expected a number, a string, a list or a mapping"


_EXPECTED: dict[Kind, str] = {
    "number": "a number{range}",
    "integer": "a whole number{range}",
    "boolean": "true or false",
    "string": "a string that is not empty",
    "strings": "a string that is not empty, or a list of 1 to 4 of them",
    "mapping": "a mapping",
    "any": "a value",
}


def _range(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" of at least {low:g}"
    return f" from {low:g} to {high:g}"


def never(section: str) -> dict[str, str]:
    """The names that never stand in `section`, each with the reason; for the JSON Schema."""
    names = [*REFUSED, *_NEVER_SENT, *sorted(_SECRETS), *(["model"] if section == "request" else [])]
    return {name: reason for name in names if (reason := fault_of_name(name, section)) is not None}


def json_schema(name: str) -> dict[str, Any]:
    """JSON Schema of one value of the parameter `name`; of any legal value where nobody knows the name."""
    kind, low, high = KNOWN.get(name, Parameter("any"))
    text = {"type": "string", "minLength": 1}
    schema: dict[Kind, dict[str, Any]] = {
        "number": {"type": "number"},
        "integer": {"type": "integer"},
        "boolean": {"type": "boolean"},
        "string": text,
        "strings": {"anyOf": [text, {"type": "array", "items": text, "minItems": 1, "maxItems": 4}]},
        "mapping": {"type": "object"},
        "any": {"not": {"type": "null"}},
    }
    out = dict(schema[kind])
    if not math.isinf(low):
        out["minimum"] = low
    if not math.isinf(high):
        out["maximum"] = high
    return out


def schema_of_swept() -> dict[str, Any]:
    """JSON Schema of ``parameters:``."""
    levels = {name: _schema_of_levels(name) for name in KNOWN}
    name_of_one = {"type": "string", "not": {"const": DEFAULT}}
    levels[ENDPOINT] = {"anyOf": [name_of_one, {"type": "array", "items": name_of_one, "minItems": 1}], "description": "which of the endpoints"}
    return {
        "type": "object",
        "properties": levels | {name: {"not": {}, "description": why} for name, why in never("parameters").items()},
        "additionalProperties": _schema_of_levels(""),
        "description": "levels of each swept parameter",
    }


def schema_of_fixed() -> dict[str, Any]:
    """JSON Schema of ``request:``."""
    no_default = {"not": {"const": DEFAULT}}
    fixed: dict[str, Any] = {name: {"allOf": [json_schema(name), no_default]} for name in KNOWN}
    fixed["seed"] = {"anyOf": [json_schema("seed"), {"const": PER_REPLICATE}]}
    return {
        "type": "object",
        "properties": fixed | {name: {"not": {}, "description": why} for name, why in never("request").items()},
        "additionalProperties": {"allOf": [json_schema(""), no_default]},
        "description": "sent with every call, not swept",
    }


def _schema_of_levels(name: str) -> dict[str, Any]:
    """A list of levels, or one that is no list itself."""
    level = {"anyOf": [json_schema(name), {"const": DEFAULT}]}
    ways: list[dict[str, Any]] = [{"allOf": [level, {"not": {"type": "array"}}]}, {"type": "array", "items": level, "minItems": 1}]
    if name in KNOWN and KNOWN[name].kind in ("number", "integer"):
        ends = {"min": {"type": "number"}, "max": {"type": "number"}, "step": {"type": "number", "exclusiveMinimum": 0}}
        ways.append({"type": "object", "properties": ends, "required": list(ends), "additionalProperties": False, "description": "a range of levels"})
    return {"anyOf": ways}


def canonical(value: Any) -> Any:
    """`value` with numbers by value (1.0 becomes 1) and mappings in the order of their keys, so that equals look equal."""
    match value:
        case bool():
            return value
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: canonical(value[key]) for key in sorted(value)}
        case list() | tuple():
            return [canonical(one) for one in value]
        case _:
            return value


def level_key(level: Any) -> str:
    """What two levels have in common where they are one, and two different levels have not: for dictionaries, sets and sorting out doubles.

    Numbers count by value, so 1, 1.0 and 0.0, -0.0 are one each; True is no number; lists and mappings count by what they hold.
    """
    return repr(canonical(level))


def same_level(one: Any, other: Any) -> bool:
    """Whether two levels are one, by `level_key`. A void level, None, is the same as no level."""
    return level_key(one) == level_key(other)


def level_text(level: Any) -> str | None:
    """A level as tables write it: numbers by value, lists and mappings as JSON; None where void."""
    match level:
        case None | str():
            return level
        case bool():
            return "true" if level else "false"
        case int() | float():
            return repr(canonical(level) if abs(level) < 1e15 else level)
        case _:
            return json.dumps(canonical(level), ensure_ascii=False)
