"""The command that shows runs in a browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands import app
from evalkit.text.escaping import harmless


@app.command()
def view(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder of results folders, or one of them.")] = Path("results"),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port on this machine; the next free one where it is taken, 0 for any.")
    ] = 8090,
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open a browser, where there is one.")] = True,
    raters: Annotated[
        str, typer.Option("--raters", metavar="NAMES", help="Who may rate, with commas between. [default: anybody who gives a name]")
    ] = "",
) -> None:
    """Show runs in a browser, while they happen and after, and let people rate.

    On 127.0.0.1 alone, for the browser that opens the address shown. It reads; what it writes are ratings, into the run's ratings.jsonl.
    """
    from evalkit.view.serving import serve  # late: --help stays instant

    names = [name.strip() for name in raters.split(",") if name.strip()]
    serve(results, port, names, browser=open_, tell=lambda text: print("\n".join(map(harmless, text.split("\n"))), flush=True))
