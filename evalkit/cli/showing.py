"""The command that shows a run again, by itself or one of its tables whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from evalkit.cli import plotting  # noqa: F401 (its command stands before this one)
from evalkit.cli.commands import Json, RunFolder, app
from evalkit.cli.shown import written
from evalkit.cli.terminal import console
from evalkit.errors import RecordError
from evalkit.text.escaping import harmless

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from evalkit.choice import Choice
    from evalkit.present.text.answers import ShownAnswer
    from evalkit.run import Run

Table = Literal["settings", "levels", "effects", "choice", "answers", "failures", "notes", "metrics", "ratings"]
TABLES: tuple[Table, ...] = get_args(Table)

_USUAL_ANSWERS, _USUAL_SETTINGS = 2, 64
_LONGEST_NUMBER = 8


@app.command()
def show(
    run: RunFolder,
    table: Annotated[str | None, typer.Argument(metavar="TABLE", help=f"{', '.join(TABLES)}. [default: what to use, on one screen]")] = None,
    metric: Annotated[str, typer.Option("--metric", metavar="NAMES", help="Only these metrics, with commas between.")] = "",
    sort: Annotated[str, typer.Option("--sort", metavar="METRIC", help="Settings by this metric, the best first; 'desirability' by that.")] = "",
    top: Annotated[int | None, typer.Option("--top", min=0, metavar="N", help="How many settings, or answers of each setting; 0 for all.")] = None,
    prompt: Annotated[str, typer.Option("--prompt", metavar="ID", help="Answers to this prompt: its id, or its number from 0.")] = "",
    cell: Annotated[
        list[str], typer.Option("--cell", metavar="CELL", help="Answers of this setting: a number, a name, or temperature=0.7,top_p=0.9.")
    ] = [],  # noqa: B006 (typer copies it)
    json: Json = None,
) -> None:
    """Show a run: what to use and why, or one of its tables.

    settings: a row a setting; levels: a row a level of each parameter; effects: what each parameter does; choice: how the setting was chosen;
    answers: to one prompt; failures; notes: all that was noticed, and how it was measured; metrics: what each is;
    ratings: what people prefer, and how far judges agree with them.
    """
    from evalkit.experiment.problems import unknown  # late: --help stays instant
    from evalkit.run import load  # as above

    if table is not None and table not in TABLES:
        raise RecordError(f"{table}: {unknown('table', table, TABLES)}")
    if table is None and (unused := [name for name, given in _options(metric, sort, top, prompt, cell).items() if given]):
        wanted = "answers" if unused[0] in ("--prompt", "--cell") else "settings"
        raise RecordError(f"{unused[0]}: chooses what a table shows; name one: evalkit show {harmless(str(run))} {wanted} {unused[0]} ...")
    found = load(run)
    measured = [one.name for one in found.analysis.metrics]
    names = [name.strip() for name in metric.split(",") if name.strip()]
    for name in [*names, *([sort] if sort and sort != "desirability" else [])]:
        if name not in measured:
            raise RecordError(f"{run}: {harmless(name)}: {unknown('metric', name, measured)}")
    if json is not None:
        written(json, _data(found, table, names, _place(prompt), _cells(cell), top))
        return
    to = console()
    to.print(_shown(found, table, to, names, sort, top, _place(prompt), _cells(cell)))
    if table == "settings":
        to.print("--metric NAMES, --sort METRIC and --top N (0: all) choose what is shown.", style="dim")


def _options(metric: str, sort: str, top: int | None, prompt: str, cell: Sequence[str]) -> dict[str, bool]:
    """Options that choose what a table shows, and whether each was given."""
    return {"--metric": bool(metric), "--sort": bool(sort), "--top": top is not None, "--prompt": bool(prompt), "--cell": bool(cell)}


def _place(prompt: str) -> str | int:
    return int(prompt) if prompt.isdecimal() and len(prompt) < _LONGEST_NUMBER else prompt or 0


def _cells(texts: Sequence[str]) -> list[int | str]:
    return [int(one) if one.isdecimal() and len(one) < _LONGEST_NUMBER else one for one in texts]


def _shown(
    run: Run, table: str | None, console: Console, names: Sequence[str], sort: str, top: int | None, prompt: str | int, cells: Sequence[int | str]
) -> RenderableType:
    from rich.console import Group  # late: --help stays instant
    from rich.text import Text  # as above

    from evalkit.present.terminal import answers, listings, ratings, tables  # as above
    from evalkit.present.terminal.screen import screen  # as above
    from evalkit.scoring.preference import rated  # as above
    from evalkit.summary import summarise  # as above
    from evalkit.summary.rows import currency_of  # as above

    analysis = run.analysis
    match table:
        case None:
            return screen(summarise(run), console)
        case "settings":
            return tables.by_cell(
                analysis, console, names, listings.order_of(run, sort, _USUAL_SETTINGS if top is None else top), run.choice, currency_of(run)
            )
        case "levels":
            return tables.by_level(analysis, console, names, run.choice, currency_of(run)) or Text("Nothing is swept: each parameter has one level.")
        case "effects":
            parts = (listings.verdicts(analysis, console, names, run.choice, currency_of(run)), listings.answers(analysis, console))
            return Group(*(one for one in parts if one is not None))
        case "choice":
            return listings.choice(_choice(run), analysis, console)
        case "answers":
            return answers.answers(run, console, prompt, cells, _USUAL_ANSWERS if top is None else top or None)
        case "failures":
            return listings.failures(run, console)
        case "notes":
            return listings.notes(run, console)
        case "ratings":
            return ratings.ratings(run, rated(run.folder, run.experiment), console)
    return listings.metrics(run, console)


def _choice(run: Run) -> Choice:
    if run.choice is None:
        wanted = "write choose: {profile: balanced} into the experiment"
        raise RecordError(f"{run.folder}: nothing was chosen; {wanted}, and run the sweep again: nothing new is sent")
    return run.choice


def _texts(shown: Sequence[ShownAnswer]) -> list[dict[str, Any]]:
    return [{"text": one.read.text, "said": [words for words, _ in one.said]} for one in shown]


def _data(run: Run, table: str | None, names: Sequence[str], prompt: str | int, cells: Sequence[int | str], top: int | None) -> Any:
    """What stands in the file for programs: the summary, or the rows of a table."""
    import msgspec  # late: --help stays instant

    from evalkit.present.text.answers import answers_of  # as above
    from evalkit.present.text.ratings import asdict  # as above
    from evalkit.present.text.words import failures  # as above
    from evalkit.scoring.preference import rated  # as above
    from evalkit.summary import summarise  # as above
    from evalkit.summary.summing import mind  # as above

    analysis = run.analysis

    def of(rows: Sequence[Any]) -> list[Any]:
        return [row for row in rows if not names or row.metric in names]

    match table:
        case None:
            return summarise(run)
        case "settings":
            return [msgspec.structs.asdict(row) | {"setting": analysis.cells[row.cell_index]} for row in of(analysis.by_cell)]
        case "levels":
            return of(analysis.by_level)
        case "effects":
            return of(analysis.verdicts)
        case "choice":
            return _choice(run)
        case "answers":
            found = answers_of(run, prompt, cells, top or None)
            return {"prompt_id": found.prompt_id, "prompt": found.prompt, "settings": {name: _texts(shown) for name, shown in found.beside.items()}}
        case "failures":
            return failures(run)
        case "notes":
            return mind(run)
        case "ratings":
            return asdict(rated(run.folder, run.experiment))
    return [one for one in analysis.metrics if not names or one.name in names]
