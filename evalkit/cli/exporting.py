"""The command that gives a run to other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli import comparing  # noqa: F401 (its command stands before this one)
from evalkit.cli.commands import RunFolder, app
from evalkit.errors import ExperimentError
from evalkit.text.escaping import harmless

FORMATS = ("csv", "promptfoo", "litellm", "vllm", "ollama", "python", "curl", "js", "mlflow", "wandb")


@app.command()
def export(
    run: RunFolder,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"{', '.join(FORMATS)}.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="PLACE", help="A file; for mlflow a tracking URI, for wandb a folder. [default: shown]")
    ] = None,
    cell: Annotated[
        list[str], typer.Option("--cell", metavar="CELL", help="This setting instead of the chosen one: a number, a name, or temperature=0.7.")
    ] = [],  # noqa: B006 (typer copies it)
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Give a run to other tools: its answers, its setting as a configuration or a call, its numbers to a tracker.

    csv: the answers; promptfoo: a configuration with the chosen setting, those tied with it, prompts and checks; litellm, vllm, ollama: the setting
    as a server's default; python, curl, js: a call with it; mlflow, wandb: a run a setting.
    """
    from evalkit.exports.formats import TRACKERS, check_format, text_of, tracked  # late: --help stays instant
    from evalkit.run import load  # as above
    from evalkit.store.folder import check_output, replace  # as above

    check_format(to)
    found = load(run)
    if to in TRACKERS:
        for line in tracked(found, to, output, cell):
            print(harmless(line))
        return
    text = text_of(found, to, cell)
    if output is None:
        sys.stdout.write(text)
        return
    check_output(Path(output))
    if Path(output).is_file() and not force:  # a device or a pipe is no file to lose
        raise ExperimentError(f"{output}: is there already; give another name, or --force to write over it")
    replace(Path(output), text.encode("utf-8", "replace"))
    print(harmless(f"Wrote {output}"))
