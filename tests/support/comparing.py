"""Two runs on disk, made without an endpoint: what the tests of comparing start from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalkit.experiment.experiment import Experiment
from evalkit.plan.requests import Plan, Request
from evalkit.store.folder import make, write_run
from evalkit.store.records import Outcome, RecordWriter
from support.records import completion, experiment, record

PROMPTS = tuple(f"p{number}" for number in range(8))
TEXT = "the list holds what you put into it and each slice of it is a new list that holds some of the same things in order again"
WORDS = TEXT.split(" ")
Answer = Callable[[Request], Outcome]


def varied(request: Request) -> Outcome:
    """Sixty words that differ from replicate to replicate and prompt to prompt."""
    start = 7 * request.replicate + 3 * request.prompt_index + request.cell_index
    return completion(" ".join(f"{WORDS[(start + at * (1 + at % 3)) % len(WORDS)]}{at % (5 + request.replicate)}" for at in range(60)))


def repetitive(request: Request) -> Outcome:
    """Sixty words of which the last fifty are one pair again and again, nearly alike in each replicate."""
    return completion(" ".join(f"{word}{request.prompt_index}" for word in (WORDS[:10] + ["and", "so"] * 25)) + f" {request.replicate}")


def run(folder: Path, answer: Answer = varied, parameters: dict[str, Any] | None = None, prompts: Sequence[str] = PROMPTS, **more: Any) -> Path:
    """A results folder as a sweep leaves it, without what is derived from the records."""
    parameters = {"temperature": [0.5, 1.0]} if parameters is None else parameters
    return write(folder, experiment(parameters, prompts, **({"replicates": 3} | more)), answer)


def write(folder: Path, made: Experiment, answer: Answer = varied) -> Path:
    make(folder)
    with RecordWriter(folder) as writer:
        for request in Plan(made):
            writer.append(record(request, answer(request)))
    write_run(folder, made)
    return folder
