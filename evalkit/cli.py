"""The command line: parse, one call, print where the result is. The only place where errors become messages."""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit import __version__
from evalkit.errors import EvalkitError, ExperimentError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.experiment import Experiment
    from evalkit.plan import Plan
    from evalkit.run import Pending, Run
    from evalkit.runner import Tally

DONE, CHECK_FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

_ASK_ABOVE = 200

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Sweep the sampling parameters of a chat API over a prompt set, and see which settings suit.",
    epilog="Exit status: 0 done; 1 a check failed; 2 wrong usage or input, or the endpoint cannot be used; "
    "3 the run is incomplete (run again to go on); 130 interrupted.",
)

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment file (YAML).")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change the experiment for this time: parameters.temperature=[0,1].")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help="Use the first N prompts only.")]
Folder = Annotated[Path | None, typer.Option("-o", "--output", metavar="DIR", help="The results folder. [default: results/NAME]")]


def main() -> None:
    """Run the command line; ends the process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_interrupt)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115 (for the rest of the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal cannot show is no reason to stop
    try:
        status = app(standalone_mode=False)  # the exit status of a typer.Exit
        sys.stdout.flush()
    except EvalkitError as error:
        _complain(f"error: {error}")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        _complain("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read this has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.exit(DONE)
    except OSError as error:
        _complain(f"error: {error.filename or 'a file'}: {error.strerror or error}. What was recorded is kept")
        sys.exit(USAGE)
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # click's own errors of usage
            error.show()
            sys.exit(error.exit_code)
        if "--debug" in sys.argv[1:2]:
            raise
        _complain(f"internal error: {type(error).__name__}: {error}")
        _complain("This is a fault of evalkit; 'evalkit --debug ...' shows where. What was recorded is kept.")
        sys.exit(CHECK_FAILED)
    sys.exit(status or DONE)


def _as_interrupt(number: int, frame: Any) -> None:  # noqa: ARG001 (the form of a signal handler)
    signal.raise_signal(signal.SIGINT)  # for which asyncio has an orderly way out


def _version(asked: bool) -> None:
    if asked:
        print(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an internal error comes from.")] = False,
) -> None:
    pass


@app.command()
def sweep(
    experiment: ExperimentFile,
    output: Folder = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, send nothing (as 'plan').")] = False,
    concurrency: Annotated[int | None, typer.Option("-j", "--concurrency", min=1, max=1024, metavar="N", help="Requests in flight at once.")] = None,
    limit: Limit = None,
    settings: Settings = [],  # noqa: B006 (typer copies it)
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Send again also what the endpoint refused.")] = False,
    skip_rejected: Annotated[bool, typer.Option("--skip-rejected", help="Leave out the levels that the endpoint rejects.")] = False,
    confirm: Annotated[int, typer.Option("--confirm", min=0, metavar="N", help="Send N fresh replicates for what was chosen and its runner-up.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start over; the old run is moved aside, not deleted.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask. (At a terminal, over 200 requests to another endpoint are.)")] = False,
    max_requests: Annotated[int | None, typer.Option("--max-requests", min=1, metavar="N", help="Make at most N calls, each try counted.")] = None,
    max_tokens_total: Annotated[
        int | None, typer.Option("--max-tokens-total", min=1, metavar="N", help="Stop once N tokens are used, in and out.")
    ] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, metavar="X", help="Stop once this is spent, by endpoint.prices.")] = None,
    max_time: Annotated[str | None, typer.Option("--max-time", metavar="T", help="Stop sending after 90s, 10m or 2h.")] = None,
    patience: Annotated[str, typer.Option("--patience", metavar="T", help="Wait so long for an endpoint that is down.")] = "10m",
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no notes; the result alone.")] = False,
) -> None:
    """Send what has no answer yet; record, score, show."""
    from evalkit import run as runs
    from evalkit.budget import Budget

    loaded = _load(experiment, settings)
    if dry_run:
        _show_plan(runs.narrowed(loaded, limit), output, retry_failed)
        return
    console = _console()
    started = time.monotonic()
    if max_cost is not None and not 0 < max_cost < float("inf"):
        raise ExperimentError(f"--max-cost: found {max_cost}; expected a sum above 0")
    budget = Budget(max_requests, max_tokens_total, max_cost, None if max_time is None else _seconds("--max-time", max_time))
    with _progress(quiet) as report:
        try:
            result = runs.sweep(
                loaded,
                output,
                fresh=fresh,
                retry_failed=retry_failed,
                skip_rejected=skip_rejected,
                limit=limit,
                concurrency=concurrency,
                budget=budget,
                patience_s=_seconds("--patience", patience),
                confirm_replicates=confirm,
                confirm=lambda pending: yes or _agreed(pending, loaded),
                progress=report,
                note=report.note,
            )
        except KeyboardInterrupt:
            report.stop()
            _complain(f"interrupted: what arrived is kept in {output or Path('results') / loaded.name}; run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None
    if result is None:
        _complain("nothing was sent")
        raise typer.Exit(INCOMPLETE)
    _show(result, console)
    _sum_up(result, console, time.monotonic() - started)
    if not result.complete:
        raise typer.Exit(INCOMPLETE)


@app.command()
def plan(
    experiment: ExperimentFile,
    output: Folder = None,
    limit: Limit = None,
    settings: Settings = [],  # noqa: B006
    power: Annotated[bool, typer.Option("--power", help="Say how small an effect the experiment can see.")] = False,
    pilot: Annotated[
        Path | None, typer.Option("--pilot", metavar="RUN", help="A run to take variances from, with --power. [default: results/NAME]")
    ] = None,
    variance: Annotated[
        list[str], typer.Option("--variance", metavar="METRIC=BETWEEN,WITHIN", help="Variances instead of a pilot's: between prompts, within.")
    ] = [],  # noqa: B006
    effect: Annotated[
        list[str], typer.Option("--effect", metavar="METRIC=DIFFERENCE", help="A difference to plan for. [default: the metric's margin]")
    ] = [],  # noqa: B006
) -> None:
    """Show what a sweep would send; sends nothing."""
    from evalkit import run as runs

    loaded = runs.narrowed(_load(experiment, settings), limit)
    if power or pilot or variance or effect:
        print("\n".join(runs.outlook(loaded, pilot or output, variance, effect)))
        return
    _show_plan(loaded, output, False)


@app.command()
def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A results folder, like results/quickstart.")],
    metrics: Annotated[str, typer.Option("--metrics", metavar="NAMES", help="Measure these, with commas between, or 'default'.")] = "",
    tokenizer: Annotated[str, typer.Option("--tokenizer", metavar="NAME", help="uax29, whitespace, characters, or icu:LOCALE.")] = "uax29",
) -> None:
    """Score a run again from its records; sends nothing."""
    from evalkit import run as runs

    console = _console()
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    result = runs.rescore(run, note=_complain, metrics=names, tokenizer=tokenizer)
    _show(result, console)
    _sum_up(result, console, None)
    if not result.complete:
        raise typer.Exit(INCOMPLETE)


@app.command()
def probe(
    experiment: Annotated[Path | None, typer.Argument(metavar="EXPERIMENT", help="An experiment file; its own parameters are probed too.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="Probe this endpoint instead of an experiment's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="The model, with --base-url. [default: the only one listed]")] = None,
    api_key_env: Annotated[str | None, typer.Option("--api-key-env", metavar="NAME", help="Variable that holds the key, with --base-url.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where the evidence goes. [default: results/NAME/probe.json]")
    ] = None,
    calls: Annotated[int, typer.Option("--calls", min=20, metavar="N", help="Make at most so many calls.")] = 200,
    concurrency: Annotated[int, typer.Option("-j", "--concurrency", min=1, max=64, metavar="N", help="Calls in flight at once.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seeds the requests and the tests.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be probed, send nothing.")] = False,
) -> None:
    """Find out which parameters an endpoint honours.

    Each is called honoured, ignored, rejected, clamped or inconclusive, with its evidence; under 200 calls.
    """
    from evalkit import run as runs
    from evalkit import tables
    from evalkit.probe import KNOWN, usual_calls

    if base_url and not model and experiment is None:
        model = "(the only one listed there)" if dry_run else runs.only_model(base_url, api_key_env)
    subject = runs.subject_of_probe(None if experiment is None else _load(experiment, []), base_url, model, api_key_env)
    names = subject.names()
    usual = usual_calls(len(names) - len(KNOWN), calls)
    announced = f"{tables.harmless(subject.endpoint.model)} at {subject.endpoint.base_url}: at most {calls} calls, usually about {usual}"
    if dry_run:
        print(announced)
        print("parameters: " + ", ".join(names))
        return
    _complain(f"Probing {announced}.")
    console = _console()
    result, place = runs.probe(subject, output, most_calls=calls, at_once=concurrency, seed=seed)
    console.print(tables.of_probe(result))
    for note in result.notes:
        console.print(f"note: {tables.harmless(note)}", markup=False)
    if place is not None:
        print(f"Evidence: {place}")
    objections = runs.objections(result, subject)
    for one in objections:
        _complain(f"this experiment should not be swept here as it is: {one}")
    if objections:
        raise typer.Exit(CHECK_FAILED)


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; any but this machine's own wants a key.")] = "127.0.0.1",
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", metavar="NAME", help="Environment variable with the key that requests must bear.")
    ] = None,
    model_name: Annotated[list[str], typer.Option("--model-name", metavar="NAME", help="A further name that the model answers to.")] = [],  # noqa: B006
    faults: Annotated[
        Path | None, typer.Option("--faults", metavar="FILE", help="Rehearse trouble: a YAML file of faults with their shares, and of quirks.")
    ] = None,
    until_input_ends: Annotated[bool, typer.Option("--until-input-ends", hidden=True)] = False,
) -> None:
    """Serve the embedded model to any OpenAI client.

    It answers /chat/completions, /embeddings and /models, under /v1 and /api/v2.

    With --faults, a share of the requests is limited, delayed, cut off or answered wrongly, and parameters are forgotten,
    refused or clamped, as other servers do; GET /faults counts what was done. The same file and order of requests bring
    the same trouble.
    """
    from evalkit.local import rehearsal, server
    from evalkit.local.api import DESCRIPTION, MODEL_NAME

    key = os.environ.get(api_key_env, "") if api_key_env else None
    if key == "":
        _complain(f"error: the environment variable {api_key_env} is not set, and --api-key-env names it for the key")
        raise typer.Exit(USAGE)
    if key is None and not _is_loopback(host):
        _complain(f"error: --host {host} is open to others; give a key with --api-key-env NAME")
        raise typer.Exit(USAGE)
    try:
        trouble = rehearsal.load(faults) if faults else None
    except rehearsal.RehearsalError as fault:
        _complain(f"error: {fault}")
        raise typer.Exit(USAGE) from None

    def announce(base_url: str) -> None:
        if until_input_ends:
            print(base_url, flush=True)
            return
        names = ", ".join([MODEL_NAME, *model_name])
        print(f"{DESCRIPTION}\nServing {names} at {base_url} and {base_url.removesuffix('/v1')}/api/v2. Ctrl-C ends it.", flush=True)
        if trouble:
            print(f"Rehearsing {faults}: GET {base_url.removesuffix('/v1')}/faults counts what was done.", flush=True)

    try:
        server.serve(host=host, port=port, key=key, names=model_name, rehearsal=trouble, announce=announce, until_input_ends=until_input_ends)
    except OSError as fault:
        _complain(f"error: {host}:{port}: cannot listen there: {fault.strerror}; choose another --port")
        raise typer.Exit(USAGE) from None


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")] = Path()) -> None:
    """Write a starter experiment that runs as it is."""
    from evalkit import starter

    experiment = starter.write(folder)
    print(f"Wrote {experiment} and its prompts. Try:\n  python -m evalkit sweep {experiment}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of experiment files, for editors."""
    import json

    from evalkit.experiment import json_schema

    print(json.dumps(json_schema(), indent=2))


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load(path: Path, settings: list[str]) -> Experiment:
    from evalkit.experiment import load

    return load(path, settings)


def _console() -> Console:
    from rich.console import Console

    # Without a terminal (a file, a CI log) nothing says how wide it is: be generous, lines wrap or scroll there.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_columns())


def _columns() -> int:

    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) >= 40 else 120


def _complain(text: str) -> None:
    from evalkit.tables import harmless

    with suppress(BrokenPipeError):  # a sweep goes on though nobody reads its progress
        print("\n".join(map(harmless, text.split("\n"))), file=sys.stderr, flush=True)


def _agreed(pending: Pending, experiment: Experiment) -> bool:
    if pending.local or pending.requests <= _ASK_ABOVE or not sys.stdin.isatty():
        return True
    from rich.markup import escape
    from rich.prompt import Confirm

    return Confirm.ask(f"Send {pending.requests:,} requests to {escape(experiment.endpoint.base_url)}?", default=False)


def _show_plan(experiment: Experiment, output: Path | None, retry_failed: bool) -> None:

    from evalkit import run as runs
    from evalkit.plan import Plan
    from evalkit.tables import harmless

    planned = Plan(experiment)
    cells, prompts = len(planned.cells), len(experiment.prompts)
    for warning in experiment.warnings():
        _complain(f"warning: {warning}")
    print(f"{experiment.name}: {experiment.endpoint.model} at {experiment.endpoint.base_url}")
    for name, levels in experiment.parameters.items():
        print(harmless(f"  {name}: {', '.join(map(str, levels))}"))
    print(f"{_product(cells, prompts, experiment.replicates)} = {len(planned):,} requests")
    if planned.design.merged:
        print(f"{planned.design.combinations} combinations of levels, {planned.design.combinations - cells} of them merged:")
        for reason in planned.design.merged:
            print(f"  {reason}")
    for reason in planned.design.beware:
        print(f"beware: {reason}")
    recorded = runs.pending(experiment, output, retry_failed=retry_failed)
    if recorded is not None:
        where = harmless(str(output or Path("results") / experiment.name))
        print(f"{recorded.requests:,} of them still to send; the others stand in {where}/")
    key = experiment.endpoint.api_key_env
    if key and experiment.endpoint.base_url != "local" and not os.environ.get(key):
        print(f"a sweep will need the environment variable {key}, which is not set")
    most = planned.most_tokens()
    print(f"at most {most:,} tokens of answers" if most is not None else "tokens of answers: no upper bound (a cell sets no max_tokens)")
    print(_cost_of(planned))
    if planned.anchor_count:
        print(f"besides, the reference cell is asked {planned.anchor_count} times through the run, to show a drift (anchor: {{every: 0}} for none)")


def _cost_of(planned: Plan) -> str:
    from evalkit.budget import cost_of, money

    prices = planned.experiment.endpoint.prices
    if prices is None:
        return "cost: unknown (endpoint.prices: {input: ..., output: ...}, a million tokens each)"
    (low, high), most = planned.tokens_in(), planned.most_tokens()
    least = money(cost_of(prices, low, len(planned)), prices)
    if most is None:
        return f"cost: at least {least}, no upper bound"
    return f"cost: from {least} to {money(cost_of(prices, high, most), prices)}, by endpoint.prices and lengths of prompts in characters"


def _product(cells: int, prompts: int, replicates: int) -> str:
    counted = ((cells, "cell"), (prompts, "prompt"), (replicates, "replicate"))
    return " × ".join(f"{number:,} {noun}{'' if number == 1 else 's'}" for number, noun in counted)


def _show(run: Run, console: Console) -> None:
    from evalkit import tables

    if run.analysis.counts.completions == 0:
        return
    console.print(tables.by_cell(run.analysis, console))
    levels = tables.by_level(run.analysis, console)
    if levels is not None:
        console.print(levels)
    from evalkit import summary

    for part in (summary.verdicts(run.analysis, console), summary.answers(run.analysis, console)):
        if part is not None:
            console.print(part)
    if run.choice is not None:
        console.print(summary.choice(run.choice, run.analysis, console))


def _sum_up(run: Run, console: Console, seconds: float | None) -> None:
    counts = run.analysis.counts
    out = [f"{counts.completions:,} of {counts.planned:,} answers ({_product(counts.cells, counts.prompts, counts.replicates)})"]
    if run.sent is not None:
        took = f" in {seconds:.1f} s" if seconds is not None else ""
        out[0] += f"; {run.sent.done:,} requests sent{took}" if run.sent.planned else "; 0 requests sent, all were answered before"
    failed = sum(counts.failures.values())
    if failed:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.failures.items()))
        out.append(f"{failed:,} requests failed ({kinds}); run again to send them again" + _refused(counts.failures))
    if run.sent is not None and run.sent.spent.requests:
        out.append(_spent(run.sent))
    if counts.missing:
        out.append(f"{counts.missing:,} planned requests have no outcome yet; run the sweep to send them")
    out.append(f"Results: {run.folder}/ (summary.csv, responses.jsonl, scores.parquet, analysis.json{_chosen(run)})")
    if run.sent is not None:
        out.append("Next: read the answers in responses.jsonl; add levels, prompts or replicates and sweep again: only what is new is sent.")
    console.print("\n".join(out), soft_wrap=not console.is_terminal, markup=False)


def _spent(tally: Tally) -> str:
    from evalkit.budget import money

    spent = tally.spent
    tokens = f"{spent.tokens_in:,} tokens in, {spent.tokens_out:,} out"
    if spent.uncounted:
        tokens += f", and {spent.uncounted:,} answers that do not say"
    return f"Spent: {spent.requests:,} calls, {tokens}; cost {money(spent.cost, spent.prices)}"


def _chosen(run: Run) -> str:
    return ", recommended.yaml" if run.choice is not None and run.choice.chosen is not None else ""


def _refused(failures: dict[str, int]) -> str:
    from evalkit.records import NOT_SENT_AGAIN

    return "; what the endpoint refused only with --retry-failed" if NOT_SENT_AGAIN & failures.keys() else ""


class _Report:
    """Shows how far a sweep is: a bar on a terminal, a line every ten seconds elsewhere, nothing where that is wanted."""

    EVERY_S = 10.0

    def __init__(self, quiet: bool) -> None:
        self._started = self._last = time.monotonic()
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet

    def note(self, text: str) -> None:
        """Tell the user something; a warning also where it is quiet."""
        if not self._quiet or text.startswith("warning"):
            _complain(text)

    def __call__(self, tally: Tally) -> None:
        if self._quiet or not tally.planned:
            return
        if self._terminal:
            self._draw(tally)
            return
        now = time.monotonic()
        if now - self._last >= self.EVERY_S or tally.done == tally.planned:
            self._last = now
            _complain(f"{tally.done:,} of {tally.planned:,} requests, {self._details(tally)}, {_time(self._left(tally))} left")

    def _left(self, tally: Tally) -> float:
        rate = tally.done / max(time.monotonic() - self._started, 1e-9)
        return (tally.planned - tally.done) / rate if rate else 0.0

    def _details(self, tally: Tally) -> str:
        from evalkit.budget import money

        elapsed = max(time.monotonic() - self._started, 1e-9)
        parts = [f"{tally.done / elapsed:.0f}/s", f"{tally.tokens / elapsed:,.0f} tokens/s", f"{tally.in_flight} of {tally.at_once} in flight"]
        if tally.failed:
            parts.append(", ".join(f"{count} {kind}" for kind, count in sorted(tally.failed.items())))
        if tally.waiting:
            parts.append(f"{tally.waiting} to be tried again")
        if tally.spent.prices is not None:
            parts.append(money(tally.spent.cost, tally.spent.prices))
        return ", ".join(parts)

    def _draw(self, tally: Tally) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                BarColumn(bar_width=20),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
                TextColumn("{task.description}", markup=False),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=tally.planned, left="")
            self._bar.start()
        from evalkit.tables import harmless

        words = harmless(tally.paused) if tally.paused else self._details(tally)
        left = f"{_time(self._left(tally))} left" if tally.done else ""
        self._bar.update(self._bar.tasks[0].id, completed=tally.done, total=tally.planned, description=words, left=left)

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _time(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _seconds(option: str, text: str) -> float:
    """A duration as it is typed: 90, 90s, 10m, 2h."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ExperimentError(f"{option}: found {text!r}; expected a time like 90s, 10m or 2h")
    return seconds


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@contextmanager
def _progress(quiet: bool) -> Iterator[_Report]:
    report = _Report(quiet)
    try:
        yield report
    finally:
        report.stop()
