"""The experiment that ``evalkit init`` writes."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

from evalkit.errors import ExperimentError
from evalkit.experiment.schema import json_schema

_FILES = {"experiment.yaml": "experiment.yaml", "prompts.yaml": "prompts.yaml"}
_SCHEMA = "experiment.schema.json"


def write(folder: Path) -> Path:
    """Write the starter files into `folder` and give the experiment's path; raises `ExperimentError`, and never overwrites."""
    source = resources.files(__package__)
    contents = {name: source.joinpath(file).read_text(encoding="utf-8") for name, file in _FILES.items()}
    contents[_SCHEMA] = json.dumps(json_schema(), indent=2) + "\n"
    name = folder.resolve().name
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):  # so that two starters do not share one results folder
        contents["experiment.yaml"] = contents["experiment.yaml"].replace("name: starter", f"name: {name}")
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
