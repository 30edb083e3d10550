"""Checks: what an answer must be, as metrics beside the others."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from evalkit.errors import MissingExtraError
from evalkit.metrics import Group, Metric, code, label_of

KINDS = ("contains", "not_contains", "facts", "regex", "is_json", "json_schema", "equals", "words", "python", "runs", "refusal")

_OF_EXPECTED = ("contains", "not_contains", "facts", "equals")
"""Kinds that look for what the prompt expects where they have no text of their own."""

REFUSALS = (
    "i can't help", "i cannot help", "i can't assist", "i cannot assist", "i'm unable to", "i am unable to", "i'm not able to", "i am not able to",
    "i can't provide", "i cannot provide", "i won't", "i will not", "as an ai", "i'm sorry, but", "i am sorry, but", "je ne peux pas",
    "je suis désolé", "je ne suis pas en mesure",
)  # fmt: skip
"""What a refusal holds among its first 200 characters, in lower case, apostrophes straight: a rough sign, visible and no judge."""

REFUSED = "refused"
"""Under this name a group records 1 for each answer that is the model's refusal by its own field or finish reason, else 0."""

_OPENING = 200
_REGEX_S = 5.0

Test = Callable[[str, str | None], float]
"""Of an answer and what its prompt expects: 1 where it passes, 0 where not, between them a share of it, NaN where that cannot be said."""


def fault(spec: object, expects: bool = True, tests: bool = True, expected: str = "expect: a text under the prompts") -> str | None:
    """What is wrong with a check as an experiment writes it: a kind, or a mapping from a kind to its argument; None where nothing is.

    Args:
        expects: whether any prompt says what it expects, which a check without a text of its own looks for.
        tests: whether any prompt has tests, which ``runs`` runs where it has none of its own.
        expected: what to write where no prompt expects anything.
    """
    try:
        kind, argument = _parts(spec)
        _test(kind, argument)
        if argument is None and kind in _OF_EXPECTED and not expects:
            text = "[a text]" if kind == "facts" else "a text"
            return f"{kind} has nothing to look for, because no prompt says what is expected; write {expected}, or {kind}: {text}"
        if kind == "runs" and code.runs(argument).then is None and not tests:
            return "runs has no tests to run; write tests: under the prompts, or {runs: {then: 'assert ...'}}"
    except ValueError as error:
        return str(error)
    except MissingExtraError:
        return None  # told where it is used
    return None


def metric(spec: object) -> Metric:
    """The check as a metric: the share of answers that pass, the empty ones among them; ``refusal`` counts the refusals, ``facts`` the facts.

    Of ``runs`` it is what the metric is called and which way it is better: its numbers come from where code is run.

    Raises:
        ValueError: it is no check.
        MissingExtraError: it needs a package that is not installed.
    """
    kind, argument = _parts(spec)
    test = _test(kind, argument)

    def of(group: Group) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        found = np.array([test(text, group.expect) for text in group.texts], dtype=float)
        # A model that declines in a field of its own has refused, whatever it says.
        return np.fmax(found, group.recorded[REFUSED]) if kind == "refusal" and REFUSED in group.recorded else found

    said = "" if argument is None else f" {json.dumps(argument, ensure_ascii=False)[:80]}"
    better: Literal["higher", "lower"] = "lower" if kind == "refusal" else "higher"
    what = _SAID.get(kind, f"share of answers that pass: {kind}")
    return Metric(
        kind,
        "response",
        of,
        better,
        f"{what}{said}",
        "check",
        content=False,
        bound="n",
        label=label_of(kind),
    )


_SAID = {
    "facts": "share of the facts that are expected which an answer holds",
    "runs": "share of answers whose code passes its tests",
}


def metrics(specs: Sequence[object], expects: bool) -> tuple[Metric, ...]:
    """The checks as metrics, each under a name of its own; where prompts say what they expect and no check uses it, ``contains`` does."""
    every = _with_expected(specs, expects)
    return tuple(metric(spec)._replace(name=name, label=label_of(name)) for spec, name in zip(every, names(specs, expects), strict=True))


def of_expected(specs: Sequence[object], expects: bool) -> list[str]:
    """The kinds among the checks that look for what the prompt expects."""
    return list(dict.fromkeys(kind for kind, argument in map(_parts, _with_expected(specs, expects)) if kind in _OF_EXPECTED and argument is None))


def names(specs: Sequence[object], expects: bool) -> list[str]:
    """The names of `metrics`: the kind, with a number behind it from its second time on."""
    seen: Counter[str] = Counter()
    found = []
    for kind, _ in map(_parts, _with_expected(specs, expects)):
        seen[kind] += 1
        found.append(f"{kind}:{seen[kind]}" if seen[kind] > 1 else kind)
    return found


def with_arguments(specs: Sequence[object], expects: bool) -> list[tuple[str, Any]]:
    """The kind of each check of `metrics` and its argument, None where it has none."""
    return [_parts(one) for one in _with_expected(specs, expects)]


def _with_expected(specs: Sequence[object], expects: bool) -> Sequence[object]:
    used = any(kind in _OF_EXPECTED and argument is None for kind, argument in map(_parts, specs))
    return [*specs, "contains"] if expects and not used else specs


def _parts(spec: object) -> tuple[str, Any]:
    if isinstance(spec, str) and spec in KINDS:
        return spec, None
    if isinstance(spec, Mapping) and len(spec) == 1 and next(iter(spec)) in KINDS:
        return next(iter(spec.items()))
    raise ValueError(f"expected one of {', '.join(KINDS)}, alone or with its argument, like contains: a text")


def _test(kind: str, argument: Any) -> Test:
    match kind:
        case "is_json" | "refusal" | "python" if argument is not None:
            raise ValueError(f"{kind} takes no argument")
        case "is_json":
            return lambda text, _: float(_json(text) is not _NO_JSON)
        case "refusal":
            return lambda text, _: float(any(phrase in text[:_OPENING].lower().replace("’", "'") for phrase in REFUSALS))
        case "python":
            return lambda text, _: code.parses("\n".join(code.FENCED.findall(text)) or text)
        case "runs":
            code.runs(argument)
            return lambda *_: math.nan  # whoever runs code knows it, and no function of a text
        case "facts":
            return _of_facts(argument)
        case "words":
            return _of_words(argument)
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
        # A block scalar of YAML ends with a line end that nobody means.
        return math.nan if wanted is None else float(passes[kind](text, wanted.removesuffix("\n")))

    return compared


def _of_facts(wanted: Any) -> Test:
    """The share of some texts that an answer holds as whole words, without case: those given, else the lines of what the prompt expects."""
    if wanted is not None and not (isinstance(wanted, list | tuple) and wanted and all(isinstance(one, str) and one.strip() for one in wanted)):
        raise ValueError("facts takes a list of texts, or nothing for the lines of what the prompt expects")

    def share(text: str, expect: str | None) -> float:
        facts = [fact for one in wanted or (expect or "").split("\n") if (fact := _plain(one))]
        answer = f" {_plain(text)} "
        return sum(f" {fact} " in answer for fact in facts) / len(facts) if facts else math.nan

    return share


def _plain(text: str) -> str:
    """The words of a text, case folded, with one blank between them."""
    return " ".join(re.findall(r"\w+(?:[.,]\d+)*", unicodedata.normalize("NFKC", text).casefold()))


def _of_words(bounds: Any) -> Test:
    wrong = "words takes bounds of how many an answer may have, like {min: 20, max: 60}"
    if not isinstance(bounds, Mapping) or not bounds or set(bounds) - {"min", "max"}:
        raise ValueError(wrong)
    if any(not isinstance(one, int) or isinstance(one, bool) or one < 0 for one in bounds.values()):
        raise ValueError(wrong)
    low, high = bounds.get("min", 0), bounds.get("max", math.inf)
    if low > high:
        raise ValueError(f"words: min {low} is above max {high}")
    return lambda text, _: float(low <= len(text.split()) <= high)


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
        raise MissingExtraError("the check json_schema needs jsonschema; run: pip install jsonschema") from None
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
