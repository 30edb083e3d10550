"""A sweep as tests start it: options and hooks by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.experiment.experiment import Experiment
from evalkit.run import Run
from evalkit.sweeping.hooks import Hooks
from evalkit.sweeping.options import DEFAULTS
from evalkit.sweeping.sweeping import run_sweep

HOOKS = ("confirm", "progress", "note", "interruption")


def sweep(experiment: Experiment, folder: Path | None = None, **named: Any) -> Run | None:
    """`run_sweep` with its hooks and options by name; ``note`` is given texts; ``fresh_replicates`` is the option ``confirm``."""
    hooks = {name: named.pop(name) for name in HOOKS if name in named}
    if "note" in hooks:
        told = hooks["note"]
        hooks["note"] = lambda one: told(str(one))
    if "fresh_replicates" in named:
        named["confirm"] = named.pop("fresh_replicates")
    return run_sweep(experiment, folder, DEFAULTS.changed(**named), Hooks(**hooks))
