"""The command that makes one run of several."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands import INTERRUPTED, app, placed
from evalkit.cli.terminal import complain, tell
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted


@app.command()
def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", parser=placed, help="Results folders of one experiment: results/NAME.*-of-16.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="RUN", parser=placed, help="A new results folder for the run that they make.")],
) -> None:
    """Join runs of one experiment: shards, halves from two machines, other levels, prompts or replicates.

    A request has one answer, the earliest; where another one differs, both stand in conflicts.jsonl. Nothing is sent or scored, and FOLDER stays as
    it is.
    """
    from evalkit.store.away import stored  # late: --help stays instant
    from evalkit.store.merge import merge_runs  # as above
    from evalkit.store.mirror import name_of  # as above

    try:
        with stored(output, tell):
            found = merge_runs(folders, output, tell)
    except KeyboardInterrupt:
        complain(f"interrupted: nothing stands in {harmless(str(output))} yet; merge again")
        raise typer.Exit(INTERRUPTED) from None
    where = harmless(name_of(output))
    print(f"{where}: {counted(found.runs, 'run')} merged, {counted(found.records, 'record')}")
    print(f"{found.answers:,} answers, where the experiment asks for {found.planned:,}")
    if found.dropped:
        print(f"{counted(found.dropped, 'line')} left out that others say too")
    print(f"next: evalkit score {shlex.quote(where)}")
