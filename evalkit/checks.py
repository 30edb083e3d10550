"""Checks and scorers: what an answer must be, and numbers of your own, as metrics beside the others."""

from __future__ import annotations

import importlib
import inspect
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from evalkit.errors import ExperimentError, MissingExtraError
from evalkit.metrics import Group, Metric

KINDS = ("contains", "not_contains", "regex", "is_json", "json_schema", "equals", "refusal")

REFUSALS = (
    "i can't help", "i cannot help", "i can't assist", "i cannot assist", "i'm unable to", "i am unable to", "i'm not able to", "i am not able to",
    "i can't provide", "i cannot provide", "i won't", "i will not", "as an ai", "i'm sorry, but", "i am sorry, but", "je ne peux pas",
    "je suis désolé", "je ne suis pas en mesure",
)  # fmt: skip
"""What a refusal holds among its first 200 characters, in lower case, apostrophes straight: a rough sign, visible and no judge."""

_OPENING = 200
_REGEX_S = 5.0

Test = Callable[[str, str | None], float]
"""Of an answer and what its prompt expects: 1 where it passes, 0 where not, NaN where that cannot be said."""


def fault(spec: object) -> str | None:
    """What is wrong with a check as an experiment writes it: a kind, or a mapping from a kind to its argument; None where nothing is."""
    try:
        _test(*_parts(spec))
    except ValueError as error:
        return str(error)
    except MissingExtraError:
        return None  # told where it is used
    return None


def metric(spec: object) -> Metric:
    """The check as a metric: the share of answers that pass, the empty ones among them.

    Raises:
        ValueError: it is no check.
        MissingExtraError: it needs a package that is not installed.
    """
    kind, argument = _parts(spec)
    test = _test(kind, argument)

    def of(group: Group) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([test(text, group.expect) for text in group.texts], dtype=float)

    said = "" if argument is None else f" {json.dumps(argument, ensure_ascii=False)[:80]}"
    better: Literal["higher", "lower"] = "lower" if kind == "refusal" else "higher"
    return Metric(kind, "response", of, better, f"share of answers that pass: {kind}{said}", "check", content=False, bound="n")


def metrics(specs: Sequence[object], expects: bool) -> tuple[Metric, ...]:
    """The checks as metrics, each under a name of its own; where prompts say what they expect and no check uses it, ``contains`` does."""
    parts = [_parts(spec) for spec in specs]
    if expects and not any(kind in ("contains", "not_contains", "equals") and argument is None for kind, argument in parts):
        specs = [*specs, "contains"]
    found: list[Metric] = []
    for one in map(metric, specs):
        number = sum(other.name.partition(":")[0] == one.name for other in found)
        found.append(one._replace(name=f"{one.name}:{number + 1}" if number else one.name))
    return tuple(found)


def _parts(spec: object) -> tuple[str, Any]:
    if isinstance(spec, str) and spec in KINDS:
        return spec, None
    if isinstance(spec, Mapping) and len(spec) == 1 and next(iter(spec)) in KINDS:
        return next(iter(spec.items()))
    raise ValueError(f"expected one of {', '.join(KINDS)}, alone or with its argument, like contains: a text")


def _test(kind: str, argument: Any) -> Test:
    match kind:
        case "is_json" | "refusal" if argument is not None:
            raise ValueError(f"{kind} takes no argument")
        case "is_json":
            return lambda text, _: float(_json(text) is not _NO_JSON)
        case "refusal":
            return lambda text, _: float(any(phrase in text[:_OPENING].lower().replace("’", "'") for phrase in REFUSALS))
        case "json_schema":
            return _of_schema(argument)
        case "regex":
            return _of_regex(argument)
    if argument is not None and not isinstance(argument, str):
        raise ValueError(f"{kind} takes a text, or nothing for what the prompt expects")
    passes: dict[str, Callable[[str, str], bool]] = {
        "contains": lambda text, wanted: wanted in text,
        "not_contains": lambda text, wanted: wanted not in text,
        "equals": lambda text, wanted: text.strip() == wanted.strip(),
    }

    def compared(text: str, expect: str | None) -> float:
        wanted = expect if argument is None else argument
        return math.nan if wanted is None else float(passes[kind](text, wanted))

    return compared


_NO_JSON = object()


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))
    except (ValueError, RecursionError):
        return _NO_JSON


def _of_schema(schema: Any) -> Test:
    if not isinstance(schema, Mapping):
        raise ValueError("json_schema takes a JSON Schema, as a mapping")
    try:
        import jsonschema
    except ImportError:
        raise MissingExtraError("the check json_schema needs jsonschema; run: pip install 'evalkit[checks]'") from None
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise ValueError(f"not a JSON Schema: {error.message}") from None
    validator = kind(dict(schema))
    return lambda text, _: float((data := _json(text)) is not _NO_JSON and validator.is_valid(data))


def _of_regex(pattern: Any) -> Test:
    import regex

    if not isinstance(pattern, str):
        raise ValueError("regex takes a regular expression, as a text")
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"not a regular expression: {error}") from None

    def found(text: str, _: str | None) -> float:
        with suppress(TimeoutError):
            return float(compiled.search(text, timeout=_REGEX_S) is not None)
        return math.nan

    return found


class Scorer(NamedTuple):
    """A function of your own, ``package.module:function``.

    What it is given follows from the name of its first parameter: ``text``, an answer; ``texts``, the k answers of a group; ``record``, an answer's
    `evalkit.records.Record`. It gives a number, or (but for ``texts``) a mapping from names to numbers.
    """

    name: str
    takes: Literal["text", "texts", "record"]
    function: Callable[[Any], Any]
    better: Literal["higher", "lower"] | None

    def values(self, argument: Any) -> dict[str, float]:
        """Its numbers by name. Raises whatever the function raises, and TypeError where it gives no number."""
        found = self.function(argument)
        if isinstance(found, Mapping) and self.takes != "texts":
            return {f"{self.name}.{key}": _number(value) for key, value in found.items()}
        return {self.name: _number(found)}


_TAKES: dict[str, Literal["text", "texts", "record"]] = {"text": "text", "texts": "texts", "record": "record"}
_BETTER: dict[str, Literal["higher", "lower"] | None] = {"higher": "higher", "lower": "lower", "none": None, "None": None}


def _number(value: object) -> float:
    if not isinstance(value, Real | np.bool):
        raise TypeError(f"gave {type(value).__name__}; expected a number")
    return float(value)


def scorer(spec: object) -> Scorer:
    """The scorer that ``package.module:function`` names, or a mapping with ``call`` and ``better``: higher, lower or none.

    Raises:
        ExperimentError: it cannot be imported, or is no such function.
    """
    better: object = None
    call = spec
    if isinstance(spec, Mapping):
        call, better = spec.get("call"), spec.get("better")
        if set(spec) - {"call", "better"} or better not in ("higher", "lower", "none", None):
            raise ExperimentError("scorers: expected package.module:function, or a mapping of call and better (higher, lower or none)")
    module, colon, function = str(call).partition(":")
    if not colon or not isinstance(call, str):
        raise ExperimentError(f"scorers: found {str(call)[:80]!r}; expected package.module:function")
    if str(Path.cwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as `python -m` has it
    try:
        found = getattr(importlib.import_module(module), function)
        first = next(iter(inspect.signature(found).parameters), None)
    except Exception as error:
        raise ExperimentError(f"scorers: {call}: cannot be imported: {type(error).__name__}: {error}") from None
    if first not in _TAKES:
        raise ExperimentError(f"scorers: {call}: its first parameter is {first!r}; expected it to be called text, texts or record")
    return Scorer(function, _TAKES[first], found, _BETTER[str(better)])
