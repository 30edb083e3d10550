"""The experiment that ``evalkit init`` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from evalkit.errors import ExperimentError
from evalkit.experiment.files.writing import as_jsonl, as_yaml, fits_yaml
from evalkit.experiment.problems import shown, unknown
from evalkit.experiment.prompts import Prompt
from evalkit.experiment.schema import json_schema

USES = ("support", "extraction", "rag", "code", "creative", "summary", "brainstorm")
"""Use cases that there is an experiment for, each with twelve prompts and checks of what is right."""

_SCHEMA = "experiment.schema.json"

_RIGHT = """\
checks:                        # how much of what a prompt expects an answer holds, a line of it a fact; for labels take equals
  - facts

choose:                        # the setting whose answers are right most often
  prefer:
    facts: {goal: maximize}
    # cost: {goal: minimize}   # once the endpoint has prices: {input: 0.5, output: 1.5}, of a million tokens each
"""
_FACTS = re.compile(r"(?m)^( +)(- facts|facts: \{.*\})$")
_PROMPTS = re.compile(r"(?m)^prompts: prompts\.yaml.*$")


def write(folder: Path, use: str = "", own: Sequence[Prompt] = (), file: Path | None = None) -> Path:
    """Write the starter files into `folder` and give the experiment's path; raises `ExperimentError`, and never overwrites.

    Args:
        use: one of `USES`; the plain starter where empty.
        own: prompts instead of those that come with it; where some say what is expected, answers are checked by that.
        file: where they were read from; where that is the place at which they would be written, it stays.
    """
    if use and use not in USES:
        raise ExperimentError(f"use case: found {shown(use)}; {unknown('use case', use, USES)}")
    source = resources.files(__package__).joinpath("uses") if use else resources.files(__package__)
    text = source.joinpath(f"{use or 'experiment'}.yaml").read_text(encoding="utf-8")
    name = folder.resolve().name
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):  # so that two starters do not share one results folder
        text = text.replace(f"name: {use or 'starter'}\n", f"name: {name}\n")
    set_name = "prompts.yaml" if not own or fits_yaml(own) else "prompts.jsonl"
    if own:
        text = _of_own(text, own, set_name, use)
        prompts = as_yaml(own) if set_name.endswith(".yaml") else as_jsonl(own)
    else:
        prompts = source.joinpath(f"{use}.prompts.yaml" if use else set_name).read_text(encoding="utf-8")
    contents = {"experiment.yaml": text, set_name: prompts, _SCHEMA: json.dumps(json_schema(), indent=2) + "\n"}
    if file is not None and file.resolve() == (folder / set_name).resolve():
        del contents[set_name]
    standing = [name for name in contents if (folder / name).exists()]
    if standing:
        raise ExperimentError(f"{folder / standing[0]}: stands there already; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            with (folder / name).open("x", encoding="utf-8") as to:
                to.write(text)
    except OSError as fault:
        raise ExperimentError(f"{folder}: cannot be written: {fault.strerror}") from None
    return folder / "experiment.yaml"


def _of_own(text: str, own: Sequence[Prompt], set_name: str, use: str) -> str:
    """The starter's experiment for prompts of somebody's own, whose answers may have several paragraphs."""
    text = _PROMPTS.sub(f"prompts: {set_name}", text).replace('  stop: ["\\n\\n"]\n', "")
    if not any(prompt.expect is not None for prompt in own):
        return _FACTS.sub(r"\1# \2     # once prompts say what is expected", text)
    return text if use else text[: text.index("choose:")] + _RIGHT
