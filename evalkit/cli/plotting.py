"""The command that draws one figure of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli import exporting  # noqa: F401 (its command stands before this one)
from evalkit.cli.commands import app, placed

if TYPE_CHECKING:
    from evalkit.run import Run

# For each kind the arguments of its function that the command line fills, each with the option that gives it.
KINDS: Mapping[str, Mapping[str, str]] = {
    "main_effects": {"metric": "metric", "parameter": "parameter"},
    "all_main_effects": {"metric": "metric"},
    "interaction": {"metric": "metric", "x": "x", "by": "by"},
    "heatmap": {"metric": "metric", "x": "x", "y": "y"},
    "pareto": {"x": "x", "y": "y"},
    "parallel": {"metrics": "metric"},
    "distribution": {"metric": "metric", "parameter": "parameter"},
    "survival": {"parameter": "parameter"},
    "latency": {"parameter": "parameter"},
    "drift": {"number": "metric"},
    "replicates": {"metric": "metric"},
    "race": {},
    "compare": {"comparison": "candidate"},
}


@app.command()
def plot(
    folder: Annotated[Path, typer.Argument(metavar="RUN", parser=placed, help="A results folder.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(KINDS)}.")],
    metric: Annotated[str | None, typer.Option("--metric", metavar="NAME", help="[default: the one that the choice rests on most]")] = None,
    parameter: Annotated[str | None, typer.Option("--parameter", metavar="NAME", help="[default: the first that is swept]")] = None,
    x: Annotated[str | None, typer.Option("--x", metavar="NAME", help="A parameter across; for pareto a metric.")] = None,
    y: Annotated[str | None, typer.Option("--y", metavar="NAME", help="A parameter upwards; for pareto a metric.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="The parameter that has a line a level, for interaction.")] = None,
    candidate: Annotated[
        Path | None, typer.Option("--candidate", metavar="RUN", parser=placed, help="For compare: what RUN is held against.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="png, svg or pdf, by its ending. [default: RUN/figures/KIND.png]")
    ] = None,
    dark: Annotated[bool, typer.Option("--dark", help="For a dark page.")] = False,
) -> None:
    """Draw one figure of a run, with its intervals, as png, svg or pdf."""
    from evalkit.errors import ExperimentError  # late: --help stays instant
    from evalkit.present import plots  # late: --help stays instant
    from evalkit.present.plots.style import checked_ending  # late: --help stays instant
    from evalkit.run import load  # late: --help stays instant
    from evalkit.store.folder import make_inside  # late: --help stays instant

    if kind not in KINDS:
        raise ExperimentError(f"found the kind of figure {kind!r}; expected one of {', '.join(KINDS)}")
    given = {"metric": metric, "parameter": parameter, "x": x, "y": y, "by": by, "candidate": candidate}
    taken = set(KINDS[kind].values())
    for name, value in given.items():
        if value is not None and name not in taken:
            raise ExperimentError(f"--{name}: {kind} does not take it; it takes {', '.join(f'--{one}' for one in given if one in taken)}")
    path = output or folder / "figures" / f"{kind}.png"
    checked_ending(path)
    run = load(folder)
    arguments = _arguments(run, kind, {name: given[option] for name, option in KINDS[kind].items()})
    with plots.style(dark=dark):
        drawn = getattr(plots, kind)(**arguments) if kind == "compare" else getattr(plots, kind)(run, **arguments)
        if output is None:
            make_inside(path.parent)
        plots.save(drawn, path)
    print(path)


def _arguments(run: Run, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """What the figure is drawn of: what was given, and for the rest what matters most in this run."""
    from evalkit.comparison import comparison  # late: --help stays instant
    from evalkit.errors import ExperimentError  # late: --help stays instant
    from evalkit.present.html.figures import metrics_that_matter  # late: --help stays instant

    out = {name: value for name, value in given.items() if value is not None}
    if kind == "compare":
        if "comparison" not in out:
            raise ExperimentError("compare: it takes two runs; give the other with --candidate RUN")
        return {"comparison": comparison.compare(run.folder, out["comparison"])}
    if "metrics" in out:
        out["metrics"] = [name.strip() for name in out["metrics"].split(",")]
    if "metric" in given and "metric" not in out:
        measured = [one.name for one in run.analysis.metrics]
        out["metric"] = next(iter(metrics_that_matter(run, 1) or measured), "")
    if kind not in ("pareto", "survival", "latency", "drift", "parallel", "race"):
        out |= _parameters(run, kind, [name for name in given if name in ("parameter", "x", "y", "by") and name not in out], list(out.values()))
    return out


def _parameters(run: Run, kind: str, wanted: list[str], taken: list[Any]) -> dict[str, str]:
    """For each argument that nobody gave a parameter that is not `taken`, the swept ones first."""
    from evalkit.errors import ExperimentError  # late: --help stays instant
    from evalkit.present.plots.style import swept  # late: --help stays instant

    free = [name for name in dict.fromkeys((*swept(run), *run.analysis.parameters)) if name not in taken]
    if len(free) < len(wanted):
        there = ", ".join(run.analysis.parameters) or "none"
        raise ExperimentError(f"{run.folder}: {kind}: no parameter is left for --{wanted[len(free)]}; the run has {there}")
    return dict(zip(wanted, free, strict=False))
