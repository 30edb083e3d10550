"""The command that shows the guide's pages, without a network."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands import app
from evalkit.cli.terminal import console
from evalkit.errors import ExperimentError

_HERE = Path(__file__).parents[1]
_PLACES = (_HERE / "guide", _HERE.parent / "docs")
"""In an installed package, and in a clone."""
_WIDEST = 110


@app.command()
def docs(
    topic: Annotated[str | None, typer.Argument(metavar="TOPIC", help="A page, like 'choice' or 'race'. [default: a list of them]")] = None,
) -> None:
    """Show a page of the guide; no network is needed.

    To a pipe it is written as it is, in Markdown.
    """
    from evalkit.experiment.problems import unknown  # late: --help stays instant

    pages = {path.stem: path for place in _PLACES if place.is_dir() for path in sorted(place.glob("*.md"))}
    if not pages:
        raise ExperimentError("docs: the guide's pages are not installed with this package; read them where evalkit came from, in its folder docs")
    if topic is None:
        width = max(map(len, pages))
        for name, path in pages.items():
            print(f"{name:{width}}  {_title(path)}")
        return
    if topic not in pages:
        raise ExperimentError(f"docs: {unknown('topic', topic, list(pages))}")
    text = pages[topic].read_text(encoding="utf-8")
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.markdown import Markdown  # late: slow to import

    to = console()
    to.print(Markdown(text), width=min(to.width, _WIDEST))


def _title(path: Path) -> str:
    found = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[1] if found else path.stem
