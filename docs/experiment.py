"""Writes ``docs/experiment.md`` from the JSON Schema of experiment files: ``python docs/experiment.py``."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.experiment.parameters import KNOWN, OF_OPENAI, VOID_AT_TEMPERATURE_0
from evalkit.experiment.schema import json_schema
from evalkit.metrics.checks import KINDS

Schema = Mapping[str, Any]

_BESIDE = {
    "Choose": "How a recommendation is made of it is told in [Choosing](choice.md).",
    "Endpoint": "```yaml\nendpoint:\n  base_url: ${MY_URL:-http://localhost:8000/v1}\n  model: my-model\n  api_key_env: MY_KEY\n"
    "  prices: {input: 0.5, output: 1.5}\n```",
    "Judge": "How a judge is asked and read is told in [Checks, scorers and judges](scoring.md).",
    "Prompt": "`prompts` is a list of these, or the path of a file that holds one, relative to the experiment file:\n\n"
    "- `.yaml`: a list, as below, or a mapping from ids; or promptfoo's configuration, whose prompts are taken with the `vars` of its tests (a table "
    "or list of its tests alone wants a `template`).\n"
    "- `.csv`, `.tsv`, `.parquet`: a row a prompt. Columns called question, prompt, input, answer, expected, topic and the like are known, the signs "
    "between them and the encoding found out, a title above and columns without a name left out.\n"
    "- `.jsonl`, `.json`: the same keys, OpenAI's `messages` and batches, ShareGPT, Alpaca, the samples of Inspect and lm-evaluation-harness, tables "
    "as pandas writes them.\n"
    "- `.txt`: a prompt a line, without the bullets or numbers that begin every line, or between lines of `---`.\n\n"
    "What was made of a file is told by `plan` and `sweep`; `evalkit import FILE` writes it as a clean set. A prompt without an id gets one from what it "
    "asks, which stays where the file is sorted anew or grows. A conversation without an id that ends with the assistant's answer expects that answer; "
    "`keep_last: true` sends it instead. Which columns hold what can be said:\n\n"
    "```yaml\nprompts: {file: q.csv, user: Frage, expect: Antwort, tags: Thema, sample: {n: 40, by: tags}}\n```\n\n"
    '`template: "Translate: {{text}}"` instead of `user` puts a row\'s values into a text. `sample` draws a part, the same each time.\n\n'
    "```yaml\n# prompts.yaml\n- id: capital\n  system: Answer in one word.\n  user: What is the capital of {{country}}?\n"
    '  vars: {country: France}\n  expect: Paris\n- id: follow-up\n  messages:\n    - {role: user, content: "What is a list in Python?"}\n'
    '    - {role: assistant, content: A mutable sequence.}\n    - {role: user, content: "And a tuple?"}\n```',
}
"""What stands below the heading of a mapping, beside its own words."""

_WHOLE = """```yaml
name: support-tone
endpoint: {base_url: local, model: babbler}
prompts:
  - {id: refund, user: "How do I get my money back?"}
  - {id: import, user: "Why does my import fail?"}
parameters:
  temperature: [default, 0, 0.7]
  max_tokens: {min: 100, max: 300, step: 100}
request: {seed: per_replicate}
replicates: 4
margins: {distinct_2: 0.03, length_words: 10 %}
choose: {profile: precise}
```"""


def _told(description: str) -> tuple[str, dict[str, str]]:
    """The words of a class's docstring, and those of each of its attributes."""
    words, _, rest = description.partition("\n\nAttributes:\n")
    rest = re.split(r"\n\n(?=[A-Z]\w+:\n)", rest)[0]
    attributes: dict[str, str] = {}
    for names, text in re.findall(r"^ {4}([\w, ]+): (.*(?:\n {8}.*)*)", rest, flags=re.MULTILINE):
        attributes |= dict.fromkeys((name.strip() for name in names.split(",")), _line(text))
    return _prose(words), attributes


def _prose(text: str) -> str:
    return text.replace("``", "`")


def _line(text: str) -> str:
    return " ".join(_prose(text).split())


def _type(schema: Schema, where: str = "") -> str:
    """What values a schema takes, in a few words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(one, where) for one in schema["anyOf"] if one.get("type") != "null"))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": one}, where) for one in kind if one != "null")
    if kind == "array":
        many = _type(schema["items"], where) if "items" in schema else "anything"
        return f"list of {many}"
    if kind == "object":
        values = schema.get("additionalProperties")
        return f"mapping to {_type(values, where)}" if isinstance(values, Mapping) and values.keys() - {"allOf"} else "mapping"
    names = {"string": "text", "integer": "integer", "number": "number", "boolean": "`true` or `false`"}
    return names.get(str(kind), "anything") + _bounds(schema)


def _bounds(schema: Schema) -> str:
    if schema.get("type") == "string":
        return f", at most {schema['maxLength']:,} characters" if "maxLength" in schema else ""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low:,} to {high:,}"
    ends = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{word} {schema[key]:,}" for key, word in ends.items() if key in schema]
    return f", {', '.join(said)}" if said else ""


def _default(key: str, schema: Schema, required: Collection[str]) -> str:
    if key in required:
        return "**required**"
    default = schema.get("default")
    return "–" if default in (None, [], {}) else f"`{json.dumps(default) if not isinstance(default, str) else default}`"


def _table(schema: Schema, attributes: Mapping[str, str]) -> str:
    required = list(schema.get("required", []))
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for key, one in schema["properties"].items():
        meaning = attributes.get(key) or _line(one.get("description", ""))
        named = len(one.get("properties", ())) > 0  # a mapping whose keys have a section of their own
        kind = "[mapping](#parameters-and-request)" if named else _type(one)
        rows.append(f"| `{key}` | {kind} | {_default(key, one, required)} | {meaning} |")
    return "\n".join(rows)


def _referred(schema: Any) -> Iterator[str]:
    """Names of the mappings that a schema refers to, in their order."""
    if isinstance(schema, Mapping):
        if "$ref" in schema:
            yield str(schema["$ref"]).rpartition("/")[2]
        for value in schema.values():
            yield from _referred(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _referred(value)


def _ordered(schema: Schema) -> list[str]:
    """The mappings, each after the one that refers to it, and before that one's neighbour."""
    out: list[str] = []

    def visit(one: Any) -> None:
        for name in _referred(one):
            if name not in out:
                out.append(name)
                visit(schema["$defs"][name])

    visit(schema["properties"])
    return out


def _parameters() -> str:
    rows = ["| parameter | value | of OpenAI's |", "|---|---|---|"]
    words = {
        "number": "number",
        "integer": "integer",
        "boolean": "`true` or `false`",
        "string": "text",
        "strings": "text, or a list of texts",
        "mapping": "mapping",
        "any": "anything",
    }
    for name, one in KNOWN.items():
        low, high = (None if abs(end) == float("inf") else f"{end:g}" for end in (one.low, one.high))
        bounds = f", {low} to {high}" if low is not None and high is not None else f", from {low}" if low is not None else ""
        rows.append(f"| `{name}` | {words[one.kind]}{bounds} | {'yes' if name in OF_OPENAI else 'no'} |")
    return "\n".join(rows)


def text() -> str:
    """The page."""
    schema = json_schema()
    _, attributes = _told(schema["description"])
    void = ", ".join(f"`{name}`" for name in VOID_AT_TEMPERATURE_0)
    parts = [
        "# The experiment file",
        "This page is written by `python docs/experiment.py` from the JSON Schema that `evalkit schema` prints.",
        "An experiment is one YAML file. It is checked as a whole before anything is sent, and every fault is told at once, with its line. An unknown key is a fault. "
        "A first line `# yaml-language-server: $schema=experiment.schema.json` lets an editor check and complete it; `evalkit init` writes that schema beside it.",
        _WHOLE,
        "`--set PATH=VALUE` on the command line changes any key for one time, like `--set replicates=2` or `--set parameters.temperature=[0,1]`.",
        "## Top level",
        _table(schema, attributes),
        "## Parameters and request",
        "`parameters` names what is swept, each with its levels: a list, one value, or for numbers a range `{min: 0, max: 1, step: 0.25}`, both ends included. The level "
        "`default` leaves the parameter out of the request, so the server decides; that is another setting than the documented default value written out.",
        "`request` names what is sent with every call. A parameter stands in one of the two. `seed: per_replicate` sends a seed of its own for each prompt and replicate, alike in every cell, and other ones with another `seed` of the experiment.",
        f"At `temperature: 0` these have no effect and are left out of the request: {void}. Cells that differ in nothing else become one, and the plan says so.",
        "These are known and checked. Any other name is sent as it stands, with a warning, for a server may ignore or refuse it.",
        _parameters(),
        "`n`, `stream` and `messages` cannot stand here: evalkit sends them itself (`replicates`, `endpoint.replicates_per_call`, `endpoint.stream`, `prompts`). Neither can anything that looks like a key.",
        "## Checks and scorers",
        f"An entry of `checks` is one of {', '.join(f'`{kind}`' for kind in KINDS)}, or a mapping from one of them to its argument. An entry of `scorers` is `package.module:function`, or a mapping with "
        "`call` and `better` (`higher`, `lower`, `none`). [Checks, scorers and judges](scoring.md) shows them at work.",
        "```yaml\nchecks: [is_json, {contains: refund}, {regex: '^Dear '}]\n```",
    ]
    for name in _ordered(schema):
        one = schema["$defs"][name]
        words, attributes = _told(one.get("description", ""))
        parts += [f"## {name}", words, *([_BESIDE[name]] if name in _BESIDE else []), _table(one, attributes)]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "experiment.md").write_text(text(), encoding="utf-8")
