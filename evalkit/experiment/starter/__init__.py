"""The experiment that ``evalkit init`` writes."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

from evalkit.errors import ExperimentError
from evalkit.experiment.problems import shown, unknown
from evalkit.experiment.schema import json_schema

USES = ("support", "extraction", "rag", "code", "creative", "summary", "brainstorm")
"""Use cases that there is an experiment for, each with twelve prompts and checks of what is right."""

_SCHEMA = "experiment.schema.json"


def write(folder: Path, use: str = "") -> Path:
    """Write the starter files into `folder` and give the experiment's path; raises `ExperimentError`, and never overwrites.

    Args:
        use: one of `USES`; the plain starter where empty.
    """
    if use and use not in USES:
        raise ExperimentError(f"use case: found {shown(use)}; {unknown('use case', use, USES)}")
    source = resources.files(__package__).joinpath("uses") if use else resources.files(__package__)
    files = {"experiment.yaml": f"{use}.yaml", "prompts.yaml": f"{use}.prompts.yaml"} if use else {}
    contents = {name: source.joinpath(files.get(name, name)).read_text(encoding="utf-8") for name in ("experiment.yaml", "prompts.yaml")}
    contents[_SCHEMA] = json.dumps(json_schema(), indent=2) + "\n"
    name = folder.resolve().name
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):  # so that two starters do not share one results folder
        contents["experiment.yaml"] = contents["experiment.yaml"].replace(f"name: {use or 'starter'}\n", f"name: {name}\n")
    standing = [name for name in contents if (folder / name).exists()]
    if standing:
        raise ExperimentError(f"{folder / standing[0]}: stands there already; give another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in contents.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as fault:
        raise ExperimentError(f"{folder}: cannot be written: {fault.strerror}") from None
    return folder / "experiment.yaml"
