"""The command that compares two runs, or two cells, and lets a build pass or fail."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.commands import CHECK_FAILED, app, placed
from evalkit.cli.shown import STANDARD_OUTPUT, written
from evalkit.cli.terminal import console, tell

if TYPE_CHECKING:
    from evalkit.comparison.comparison import Comparison


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE", parser=placed, help="A results folder to compare with.")],
    candidate: Annotated[
        Path | None, typer.Argument(metavar="CANDIDATE", parser=placed, help="The results folder that is judged; leave it out with two --cell.")
    ] = None,
    cell: Annotated[
        list[str], typer.Option("--cell", metavar="CELL", help="Compare one setting with another: a number, a name, or temperature=0.7,top_p=0.9.")
    ] = [],  # noqa: B006 (typer copies it)
    margin: Annotated[
        list[str], typer.Option("--margin", metavar="METRIC=MARGIN", help="A difference too small to matter: distinct_2=0.02 or length_words=5%.")
    ] = [],  # noqa: B006
    margins: Annotated[Path | None, typer.Option("--margins", metavar="FILE", help="Margins in YAML.")] = None,
    metrics: Annotated[str, typer.Option("--metrics", metavar="NAMES", help="Compare these, with commas between, or 'default'.")] = "",
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", metavar="NAME", help="uax29, whitespace, characters, or icu:LOCALE. [default: the runs' own]")
    ] = None,
    fail_on: Annotated[
        list[str],
        typer.Option("--fail-on", metavar="WHAT", help="worse, unclear, differs, failures, incomplete, nothing. [default: worse]"),
    ] = [],  # noqa: B006
    strict: Annotated[bool, typer.Option("--strict", help="Fail on unclear too.")] = False,
    markdown: Annotated[Path | None, typer.Option("--markdown", metavar="FILE", help="For a merge request or a job's summary.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="All numbers; '-' is standard output, in place of the text.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="A test case a metric, as GitLab and GitHub show it.")] = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="A page by itself.")] = None,
    annotations: Annotated[bool, typer.Option("--annotations", help="Show why it failed beside a build on GitHub, as its annotations.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Show every metric, with its p, interval and margin.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only the last line, which says whether the gate is passed.")] = False,
) -> None:
    """Compare a run with a baseline; exit 1 where it got worse.

    Paired by prompt and setting; each metric is better, worse, the same within its margin, or unclear. Writes into neither folder.
    """
    from evalkit.comparison import comparison, gate  # late: --help stays instant
    from evalkit.store.folder import check_output, replace  # late: --help stays instant

    for path in filter(None, (markdown, json, junit, html)):
        check_output(path)
    found = comparison.compare(
        baseline,
        candidate,
        cells=cell,
        margins=gate.margins(margins, margin),
        metrics=[name.strip() for name in metrics.split(",") if name.strip()],
        tokenizer=tokenizer,
        fail_on=gate.fail_on(fail_on, strict=strict),
        note=tell,
    )
    for path, content in _documents(found, markdown, junit, html):
        replace(path, content)
    if json is not None:
        written(json, found)
    if json is None or str(json) != STANDARD_OUTPUT:
        _show(found, quiet, every)
        if annotations:
            _annotate(found)
    if not found.passed:
        raise typer.Exit(CHECK_FAILED)


def _show(found: Comparison, quiet: bool, every: bool) -> None:
    from evalkit.comparison.comparison import headline  # late: --help stays instant
    from evalkit.present.terminal.comparison import comparison_screen, comparison_table  # as above
    from evalkit.text.escaping import harmless  # as above

    if quiet:
        print(harmless(headline(found)))
        return
    screen = console()
    screen.print(comparison_table(found, screen) if every else comparison_screen(found, screen))


def _annotate(found: Comparison) -> None:
    from evalkit.present.github import commands_of  # late: --help stays instant

    for line in commands_of(found):
        print(line)


def _documents(found: Comparison, markdown: Path | None, junit: Path | None, html: Path | None) -> Iterator[tuple[Path, bytes]]:
    """The files to read that are asked for, each with what stands in it."""
    from evalkit.present.html.comparison import comparison_page  # late: --help stays instant
    from evalkit.present.junit import comparison_junit  # late: --help stays instant
    from evalkit.present.markdown.comparison import comparison_markdown  # late: --help stays instant

    if markdown is not None:
        yield markdown, comparison_markdown(found).encode()
    if junit is not None:
        yield junit, comparison_junit(found).encode()
    if html is not None:
        yield html, comparison_page(found).encode()
