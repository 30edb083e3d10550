"""The command that makes one run of several."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands import INTERRUPTED, app
from evalkit.cli.terminal import complain, tell
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Results folders of one experiment, like results/NAME.*-of-16.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", help="A new results folder for the run that they make together.")],
) -> None:
    """Join runs of one experiment: shards, halves from two machines, other levels, prompts or replicates.

    A request has one answer, the earliest; where another one differs, both stand in conflicts.jsonl. Nothing is sent or scored, and FOLDER stays as
    it is.
    """
    from evalkit.store.merge import merge_runs  # late: --help stays instant

    try:
        found = merge_runs(folders, output, tell)
    except KeyboardInterrupt:
        complain(f"interrupted: nothing stands in {harmless(str(output))} yet; merge again")
        raise typer.Exit(INTERRUPTED) from None
    print(f"{harmless(str(output))}: {counted(found.runs, 'run')} merged, {counted(found.records, 'record')}")
    print(f"{found.answers:,} answers, where the experiment asks for {found.planned:,}")
    if found.dropped:
        print(f"{counted(found.dropped, 'line')} left out that others say too")
    print(f"next: evalkit score {shlex.quote(harmless(str(output)))}")
