"""Changes to an experiment file for one time, each a path and a value."""

from __future__ import annotations

import re
from typing import Any

from evalkit.errors import ExperimentError
from evalkit.experiment.problems import Marks, Path, shown, spelled
from evalkit.experiment.strict_yaml import parse


def changed(data: dict[str, Any], marks: Marks, setting: str) -> tuple[dict[str, Any], Marks]:
    """`data` and its marks with a `setting`, ``a.dotted.path=value`` with the value in YAML; raises `ExperimentError` where it is none."""
    dotted, equals, text = setting.partition("=")
    path: Path = tuple(dotted.strip().split("."))
    if not equals or not all(path):
        # Shows no more than a path: the rest may be a key.
        said = f" {dotted.strip()}" if _SETTING.fullmatch(dotted.strip()) else ""
        raise ExperimentError(f"--set{said}: expected a.dotted.path=value, like parameters.temperature=[0,1]")
    source = f"--set {spelled(path)}"
    value = parse(text, source).data
    root: dict[str, Any] = dict(data)
    table = root
    for step in path[:-1]:
        below = table.get(str(step))
        if below is not None and not isinstance(below, dict):
            kind = "a text" if isinstance(below, str) else shown(below)
            raise ExperimentError(f"{source}: '{step}' is {kind}, which has nothing below it; set {step} as a whole")
        table[str(step)] = table = dict(below or {})
    table[str(path[-1])] = value
    kept = {where: line for where, line in marks.items() if where[: len(path)] != path}
    return root, kept | {path: "given by --set"}


_SETTING = re.compile(r"[a-z_]+(?:\.[a-z_]+)*\.?")
