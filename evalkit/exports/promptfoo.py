"""A run as a configuration of promptfoo: a provider a setting, a test a prompt, an assertion a check.

promptfoo 0.123 sends temperature 0 and max_tokens 1024 where a configuration leaves them out, unless it says ``omitDefaults``, and knows of the
parameters beyond OpenAI's none but by ``passthrough``. Answers of before come from its cache, so the cache is off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.choice.recommendation import plain
from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import LOCAL
from evalkit.experiment.parameters import OF_OPENAI
from evalkit.experiment.prompts import Prompt
from evalkit.exports.settings import Exported, without_place
from evalkit.metrics.checks import with_arguments
from evalkit.run import Run
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted

_TEMPLATE = re.compile(r"\{(?=[{%#])|#(?=\})")
"""Signs that begin what promptfoo's templates fill in or leave out, and the end of a remark, which alone is a fault there."""
_READ = ("file:", "package:")
"""What promptfoo reads, and runs where it is a program, instead of taking it as the text that it is."""
NODE = "22.22"
"""The oldest version of Node that promptfoo 0.123 takes."""
_SHORT_NUMBER = re.compile(r"\d{1,4}")
_DIRECT = frozenset(OF_OPENAI) - {"model", "messages", "n", "stream", "stream_options", "logit_bias", "logprobs", "top_logprobs", "user", "metadata"}


def for_promptfoo(run: Run, settings: Sequence[Exported]) -> str:
    """``promptfooconfig.yaml``; what has no counterpart there stands in the comments at its head.

    Raises:
        ExperimentError: the run is of the embedded model, which has no address.
    """
    import yaml

    experiment = run.experiment
    if any(one.endpoint.base_url == LOCAL for one in settings):
        raise ExperimentError(f"{run.folder}: the embedded model has no address that promptfoo could call; export a run of another endpoint")
    missing: list[str] = []
    config = {
        "description": _shown(experiment.name),
        "prompts": ["{{messages}}"],
        "providers": [_provider(one) for one in settings],
        "tests": [_test(prompt, experiment.checks, missing) for prompt in experiment.prompts],
        "evaluateOptions": {"repeat": experiment.replicates, "cache": False},
    }
    if experiment.judges:
        missing.append("judges")
    if experiment.scorers:
        missing.append("scorers")
    calls = len(settings) * len(experiment.prompts) * experiment.replicates
    head = [
        f"# {harmless(experiment.name)}, exported by evalkit; run it with: npx promptfoo eval --no-cache",
        f"# That makes {counted(calls, 'call')}: {counted(len(settings), 'provider')} × {counted(len(experiment.prompts), 'test')} × "
        f"{counted(experiment.replicates, 'repeat')}. It needs Node {NODE} or newer.",
    ]
    if inside := _numbers(config["tests"]):
        head.append(
            f"# icontains-all finds parts of words too: {inside[0]} in {inside[0]}9 and in 1{inside[0]}, which the check 'facts' does not count."
        )
    for one in settings:
        missing += without_place(one.endpoint) + (["the version in the address"] if "?" in one.endpoint.base_url else [])
    head += [f"# No counterpart: {harmless(', '.join(dict.fromkeys(missing)))}."] if missing else []
    return "\n".join(head) + "\n" + yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=120)


def _provider(one: Exported) -> dict[str, Any]:
    endpoint = one.endpoint
    direct = {name: value for name, value in one.parameters.items() if name in _DIRECT}
    other = {name: value for name, value in one.parameters.items() if name not in _DIRECT}
    config: dict[str, Any] = {"apiBaseUrl": endpoint.base_url.partition("?")[0], "omitDefaults": True, **direct}
    config |= {"apiKeyEnvar": endpoint.api_key_env} if endpoint.api_key_env else {"apiKeyRequired": False, "apiKey": "none"}
    config |= {"passthrough": other} if other else {}
    return {"id": f"openai:chat:{one.model}", "label": _shown(one.name), "config": config}


def _test(prompt: Prompt, checks: Sequence[Any], missing: list[str]) -> dict[str, Any]:
    if prompt.fields():
        missing.append("tools and formats of prompts")
    # An escape within a JSON text: no template, whether or not promptfoo renders it, and the same text.
    messages = _TEMPLATE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", json.dumps(prompt.conversation(), ensure_ascii=False))
    out: dict[str, Any] = {"description": _shown(prompt.id), "vars": {"messages": messages}}
    wanted = list(_assertions(prompt, checks, missing))
    return out | ({"assert": wanted} if wanted else {})


def _assertions(prompt: Prompt, checks: Sequence[Any], missing: list[str]) -> Iterator[dict[str, Any]]:
    for kind, argument in with_arguments(checks, prompt.expect is not None):
        text = prompt.expect if argument is None else argument
        match kind:
            case "contains" | "not_contains" | "equals" if isinstance(text, str):
                yield {"type": kind.replace("_", "-"), "value": _raw(text.removesuffix("\n"))}
            case "regex":
                yield {"type": "regex", "value": _raw(str(argument))}
            case "is_json":
                yield {"type": "is-json"}
            case "json_schema" if isinstance(argument, Mapping):
                yield {"type": "is-json", "value": _raw(json.dumps(plain(argument))) if _refers(argument) else argument}
            case "facts":
                facts = argument if isinstance(argument, list | tuple) else str(text or "").split("\n")
                wanted = [_raw(one.strip()) for one in facts if one.strip()]
                if wanted:
                    yield {"type": "icontains-all", "value": wanted}
            case "words" if isinstance(argument, Mapping):
                yield {"type": "word-count", "value": dict(argument)}
            case "refusal":
                yield {"type": "not-is-refusal"}
            case "contains" | "not_contains" | "equals":
                continue  # this prompt expects nothing
            case _:
                missing.append(f"the check {kind}")


def _numbers(tests: Any) -> list[str]:
    """Short numbers that are looked for as parts of a text, which longer ones hold."""
    wanted = [one for test in tests for assertion in test.get("assert", ()) if assertion["type"] == "icontains-all" for one in assertion["value"]]
    return [one for one in wanted if _SHORT_NUMBER.fullmatch(one)]


def _raw(text: str) -> str:
    """A text as the template that comes to it, whatever stands in it, also the end of a part that is raw."""
    out = _TEMPLATE.sub(lambda sign: f'{{{{ "{sign[0]}" }}}}', text)
    return f'{{{{ "{text[0]}" }}}}{out[1:]}' if text.startswith(_READ) else out


def _shown(text: str) -> str:
    """A name that is only shown: without what could be a template."""
    return _TEMPLATE.sub(lambda sign: f"{sign[0]} ", text)


def _refers(value: Any) -> bool:
    """Whether a schema refers to another one, which promptfoo would look for in its own configuration, in a file or at an address."""
    if isinstance(value, Mapping):
        return "$ref" in value or any(map(_refers, value.values()))
    return isinstance(value, list | tuple) and any(map(_refers, value))
