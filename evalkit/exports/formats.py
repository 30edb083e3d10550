"""The formats, by their names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from evalkit.errors import ExperimentError
from evalkit.experiment.problems import unknown
from evalkit.exports.answers import as_csv
from evalkit.exports.calls import in_curl, in_javascript, in_python
from evalkit.exports.promptfoo import for_promptfoo
from evalkit.exports.servers import for_litellm, for_ollama, for_vllm
from evalkit.exports.settings import Exported, all_of, exported
from evalkit.exports.trackers import to_mlflow, to_wandb
from evalkit.run import Run
from evalkit.text.escaping import harmless


class Text(NamedTuple):
    """A format that is a text.

    Attributes:
        several: it holds the settings tied with the chosen one too.
    """

    write: Callable[[Run, Sequence[Exported]], str]
    several: bool = False


TEXTS = {
    "promptfoo": Text(for_promptfoo, several=True),
    "litellm": Text(for_litellm, several=True),
    "vllm": Text(for_vllm),
    "ollama": Text(for_ollama),
    "python": Text(in_python),
    "curl": Text(in_curl),
    "js": Text(in_javascript),
}
TRACKERS = {"mlflow": (to_mlflow, "sqlite:///mlflow.db"), "wandb": (to_wandb, ".")}
"""What writes all settings, and where to unless a place is named."""
FORMATS = ("csv", *TEXTS, *TRACKERS)


def check_format(name: str) -> None:
    """Raise `ExperimentError` where no format has that name."""
    if name not in FORMATS:
        raise ExperimentError(f"{harmless(name)}: {unknown('format', name, FORMATS)}")


def text_of(run: Run, name: str, named: Sequence[str] = ()) -> str:
    """A run in the format of that name, which is one of a text.

    Args:
        named: the settings; the chosen one where none, in formats of several those tied with it too.

    Raises:
        ExperimentError: nothing was chosen and nothing is named, there is no such setting, or it does not fit the format.
    """
    if name == "csv":
        return as_csv(run)
    found = exported(run, named)
    return TEXTS[name].write(run, found if TEXTS[name].several or named else found[:1])


def tracked(run: Run, name: str, place: str | None, named: Sequence[str] = ()) -> list[str]:
    """Write a run into the tracker of that name; what was done, in sentences."""
    write, usual = TRACKERS[name]
    return write(run, exported(run, named) if named else all_of(run), place or usual)
