"""The command for batches that are handed over by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands import Folder, Settings, app, placed
from evalkit.cli.terminal import tell
from evalkit.errors import ExperimentError
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted

_ACTIONS = ("write", "read")


@app.command()
def batch(
    action: Annotated[str, typer.Argument(metavar="ACTION", help="write EXPERIMENT, or read RUN FILE...")],
    place: Annotated[Path, typer.Argument(metavar="EXPERIMENT|RUN", parser=placed, help="What is to be asked; or the run that the answers are for.")],
    files: Annotated[list[Path] | None, typer.Argument(metavar="FILE...", help="Files of answers that batches brought.")] = None,
    output: Folder = None,
    settings: Settings = [],  # noqa: B006 (typer copies it)
) -> None:
    """Write the requests of an experiment as files for a provider's console or vllm run-batch, and read what comes of them.

    The files have the form of OpenAI's batches. Only what has no answer is written, and a request keeps the answer that it has. Nothing is sent.
    """
    from evalkit.experiment.experiment import load  # late: --help stays instant
    from evalkit.experiment.problems import unknown  # as above
    from evalkit.sweeping.by_hand import read_batches, write_batches  # as above

    if action not in _ACTIONS:
        raise ExperimentError(f"batch: {unknown('action', action, _ACTIONS)}")
    if action == "write":
        if files:
            raise ExperimentError("batch write: takes one experiment file, and writes its requests; name nothing else (to read answers: batch read)")
        written = write_batches(load(place, settings), output)
        for path in written.files:
            print(harmless(str(path)))
        print(f"{counted(written.requests, 'request')} to be answered; read what comes with: evalkit batch read {harmless(str(written.folder))} FILE")
        return
    if not files:
        raise ExperimentError("batch read: no file is named; expected RUN and the files of answers, like results/NAME output.jsonl")
    if output is not None or settings:
        raise ExperimentError("batch read: takes no -o and no --set; the run says what was asked")
    taken = read_batches(place, files, tell)
    print(f"{counted(taken.completions, 'answer')} recorded, {counted(taken.failures, 'failure')}; {taken.before:,} were there before")
    print(f"next: evalkit score {harmless(str(place))}")
