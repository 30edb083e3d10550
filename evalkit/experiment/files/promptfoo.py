"""promptfoo's configuration: its prompts with the variables of its tests, and what a test expects. Nothing in it is run or fetched."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.values import is_chat, listed
from evalkit.experiment.problems import shown
from evalkit.experiment.strict_yaml import parse

_ELSEWHERE = re.compile(r"^(file|https?|exec|python|package|huggingface)://|\.(js|mjs|cjs|ts|py|txt|md|json|ya?ml|csv)(:\w+)?$", re.IGNORECASE)
_PLACE = re.compile(r"\{\{((?:(?!\{\{|\}\}).)*)\}\}|\{%|\{#")
_NAME = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*")
_LITERAL = re.compile(r"\s*(?:'[^'\\]*'|\"[^\"\\]*\")\s*")
COMPARED = ("equals", "contains", "icontains")
_OF_A_TEST = ("vars", "assert", "description", "metadata")
_MOST = 100_000


def stands_elsewhere(text: str) -> bool:
    """Whether promptfoo would read or run what the text names, instead of sending it."""
    return "\n" not in text and bool(_ELSEWHERE.match(text.strip())) and "://" in text and not text.strip().startswith("http")


def is_promptfoo(data: object) -> bool:
    """Whether a document is a configuration of promptfoo."""
    return isinstance(data, Mapping) and "prompts" in data and any(key in data for key in ("tests", "providers", "defaultTest", "scenarios"))


def from_promptfoo(data: Mapping[str, Any], source: str, said: Said) -> list[dict[str, Any]]:
    """The prompts of a configuration, each with the variables of each test.

    Raises:
        PromptError: it names files, scripts or templates that would have to be read or run.
    """
    given = data["prompts"]
    asked = [_asked(one, number, source) for number, one in enumerate(list(given) if isinstance(given, Mapping) else _listed(given))]
    default, tests = _beside(data, source)
    for key in [one for one in data if one not in ("prompts", "tests", "defaultTest", "description")]:
        said.add(f"left out: {shown(str(key))} of promptfoo's configuration")
    out: list[dict[str, Any]] = []
    for number, test in enumerate(tests):
        where = f"{source}: tests[{number}]"
        if not isinstance(test, Mapping):
            raise PromptError(f"{where}: found {shown(test)}; expected a mapping with vars")
        for key in [*default, *test]:
            if key not in _OF_A_TEST:
                said.add(f"left out: {shown(str(key))} of {{n}} of promptfoo", "test")
        values = {**values_of(default, f"{source}: defaultTest"), **values_of(test, where)}
        expected = expected_by(test, said) or expected_by(default, said)
        for one in _combined(asked, values, expected, where):
            out.append(one)
            if len(out) > _MOST:
                raise PromptError(f"{source}: its prompts, tests and lists of values make over {_MOST:,} combinations; leave some out")
    return out


def _beside(data: Mapping[str, Any], source: str) -> tuple[Mapping[str, Any], list[Any]]:
    """The default test and the tests; raises `PromptError` where they stand elsewhere."""
    if data.get("scenarios"):
        raise PromptError(f"{source}: scenarios have no counterpart here; write their tests under 'tests'")
    default = data.get("defaultTest") or {}
    if not isinstance(default, Mapping):
        raise PromptError(f"{source}: defaultTest: {shown(default)} stands elsewhere, which is neither read nor run; write its vars and assert there")
    tests = data.get("tests")
    if isinstance(tests, str | Mapping) or (isinstance(tests, list) and any(isinstance(one, str) for one in tests)):
        raise PromptError(f"{source}: tests: stand in another file, which is not read; give that file itself, with a template: for its columns")
    return default, tests if isinstance(tests, list) and tests else [{}]


def _combined(
    asked: list[tuple[list[dict[str, Any]], frozenset[str]]], values: Mapping[str, list[str]], expected: str | None, where: str
) -> Iterator[dict[str, Any]]:
    """Each prompt with each combination of a test's values."""
    if empty := [name for name, one in values.items() if not one]:
        raise PromptError(f"{where}: vars.{empty[0]}: the list is empty, so the test asks nothing; give it a value, or take the test out")
    for filled, (messages, used) in ((one, two) for one in _each(values) for two in asked):  # no product: that would hold all values first
        if lost := sorted(used - filled.keys()):
            raise PromptError(f"{where}: a prompt has {{{{{lost[0]}}}}}, for which the test has no value; add it under vars")
        one: dict[str, Any] = {"messages": messages}
        whole = _PLACE.fullmatch(str(messages[0].get("content")).strip()) if len(messages) == 1 else None
        if whole is not None and is_chat(chat := listed(filled[whole[1].strip()])):
            one["messages"] = chat  # a conversation as the value of a variable, as evalkit itself writes it
        elif values:
            one["vars"] = {name: value for name, value in filled.items() if name in used}
        if expected is not None:
            one["expect"] = _with(expected, filled)
        yield one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _asked(prompt: Any, number: int, source: str) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """The messages of one of its prompts, and the names that stand for a value in them."""
    where = f"{source}: prompts[{number}]"
    given = prompt
    if isinstance(prompt, Mapping):
        prompt = prompt.get("raw", prompt.get("content", prompt.get("id", prompt.get("label"))))
    if not isinstance(prompt, str):
        raise PromptError(f"{where}: found {shown(given)}; expected the prompt's text")
    if "\n" not in prompt and _ELSEWHERE.search(prompt.strip()):
        raise PromptError(f"{where}: {shown(prompt)} stands elsewhere, which is neither read nor run; write the prompt itself there")
    for found in _PLACE.finditer(prompt):
        if found[1] is None or not _NAME.fullmatch(found[1]):
            said = shown(found[0])
            raise PromptError(f"{where}: {said} is a template's command, which is not run; only {{{{name}}}} stands for a value here")
    used = frozenset(found[1].strip() for found in _PLACE.finditer(prompt))
    messages = listed(prompt)
    if prompt.lstrip().startswith("- role:"):
        try:
            messages = parse(prompt, where, PromptError).data
        except PromptError as fault:
            raise PromptError(f"{fault} in the conversation of this prompt") from None
    if is_chat(messages):
        return messages, used
    return [{"role": "user", "content": prompt}], used


def values_of(test: Mapping[str, Any], where: str) -> dict[str, list[str]]:
    """The values of each variable."""
    given = test.get("vars") or {}
    if not isinstance(given, Mapping):
        raise PromptError(f"{where}: vars: stand elsewhere, which is neither read nor run; write them there, a value for each name")
    out: dict[str, list[str]] = {}
    for name, value in given.items():
        texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in _listed(value)]
        for text in texts:
            if stands_elsewhere(text):
                raise PromptError(f"{where}: vars.{name}: {shown(text)} stands elsewhere, which is neither read nor run; write the value itself")
            for found in _PLACE.finditer(text):
                if found[1] is None or not (_NAME.fullmatch(found[1]) or _LITERAL.fullmatch(found[1])):
                    said = f"{shown(found[0])} is a template's command, which is not run; write what it stands for"
                    raise PromptError(f"{where}: vars.{name}: {said}")
        out[str(name)] = texts
    return out


def _each(values: Mapping[str, list[str]]) -> Iterator[dict[str, str]]:
    """Every combination of the values."""
    for chosen in itertools.product(*values.values()):
        one = dict(zip(values, chosen, strict=True))
        yield {name: _with(value, one) for name, value in one.items()}  # promptfoo fills in values within values, too


def expected_by(test: Mapping[str, Any], said: Said) -> str | None:
    """What a test expects of an answer, where it compares with a text."""
    found = None
    given = test.get("assert") or []
    for one in given if isinstance(given, list) else [given]:
        kind = one.get("type") if isinstance(one, Mapping) else None
        value = one.get("value") if isinstance(one, Mapping) else None
        if found is None and kind in COMPARED and isinstance(value, str | int | float):
            found = str(value)
            tell_compared(str(kind), said)
        else:
            said.add(f"left out: {{n}} of type {shown(str(kind))}", "assertion")
    return found


def tell_compared(kind: str, said: Said) -> None:
    """Tell that the text which an assertion of that kind compares with is what is expected."""
    said.add(f"taken as what is expected: the text of {{n}} of type {shown(kind)}; write the check itself under 'checks'", "assertion")


def _with(text: str, values: Mapping[str, str]) -> str:
    def filled(match: re.Match[str]) -> str:
        return values.get(match[1], match[0]) if match[1] else (match[2] or match[3] or "")

    return re.sub(r"\{\{\s*(?:(\w+)|'([^'\\]*)'|\"([^\"\\]*)\")\s*\}\}", filled, text)
