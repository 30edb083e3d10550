"""The commands: parse, one call, print where the result is."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from evalkit._version import __version__
from evalkit.cli.program import program
from evalkit.cli.shown import show_found, show_plan, show_run
from evalkit.cli.terminal import Findings, complain, console, in_flags, progress, seconds, tell
from evalkit.errors import ExperimentError, PromptError
from evalkit.sweeping.options import DEFAULTS, WORDS, Options
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.cli.terminal import Report
    from evalkit.collect.allowance import Budget
    from evalkit.experiment.experiment import Experiment
    from evalkit.plan.shard import Shard
    from evalkit.probe.findings import Probe
    from evalkit.run import Run
    from evalkit.sweeping.batching import Waiting
    from evalkit.sweeping.hooks import Pending
    from evalkit.sweeping.part import Part

DONE, CHECK_FAILED, USAGE, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130

_ASK_ABOVE = 200


class _Commands(TyperGroup):
    """The commands. An interrupt that none of them tells of is told here, for typer ends without a word then."""

    def make_context(self, *args: Any, **named: Any) -> Any:
        with _interrupt_told():
            return super().make_context(*args, **named)

    def invoke(self, ctx: Any) -> Any:
        before = _fetches.set(True)
        try:
            with _interrupt_told():
                return super().invoke(ctx)
        finally:
            _fetches.reset(before)


_fetches: ContextVar[bool] = ContextVar("_fetches", default=False)
"""Whether a command is being run, so that what it names is wanted; arguments may be read without that."""


@contextmanager
def _interrupt_told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        complain("interrupted")
        raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Sweep the sampling parameters of a chat API over a prompt set, and see which settings suit.",
    epilog="Exit status: 0 done; 1 a check failed; 2 wrong usage or input, or the endpoint cannot be used; "
    "3 the run is incomplete (run again to go on); 130 interrupted.",
)

ExperimentFile = Annotated[Path, typer.Argument(metavar="EXPERIMENT", help="The experiment file (YAML).")]


def placed(place: str) -> Path:
    """The folder of a run on this machine, whether it stands here or in an object store; for ``parser`` of an argument."""
    from evalkit.store.bucket import is_away  # late: --help stays instant

    if not is_away(place):
        return Path(place)
    from evalkit.store.mirror import at_hand, folder_of  # as above

    return at_hand(place, tell) if _fetches.get() else folder_of(place)


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", parser=placed, help="A results folder, like results/quickstart.")]
Settings = Annotated[
    list[str], typer.Option("--set", metavar="PATH=VALUE", help="Change the experiment for this time: parameters.temperature=[0,1].")
]
Limit = Annotated[int | None, typer.Option("--limit", min=1, metavar="N", help=WORDS["limit"])]
Folder = Annotated[
    Path | None, typer.Option("-o", "--output", metavar="DIR", parser=placed, help="The results folder, or s3://bucket/run. [default: results/NAME]")
]
Lock = Annotated[bool, typer.Option("--lock/--no-lock", help=WORDS["lock"])]
Parts = Annotated[
    str | None, typer.Option("--shard", metavar="I/N", help="Send one of N parts, like 3/16, into a folder of its own; 'merge' joins them.")
]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, metavar="N", help=WORDS["jobs"])]
Engine = Annotated[str | None, typer.Option("--engine", metavar="E", help=WORDS["engine"])]
Address = Annotated[str | None, typer.Option("--address", metavar="ADDR", help=WORDS["address"])]
Workers = Annotated[int | None, typer.Option("--workers", min=1, max=256, metavar="N", help=WORDS["workers"])]
RunCode = Annotated[bool, typer.Option("--run-code", help=WORDS["run_code"])]
Json = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; '-' for standard output, with nothing else there.")
]


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
    concurrency: Annotated[int | None, typer.Option("-j", "--concurrency", min=1, max=1024, metavar="N", help=WORDS["concurrency"])] = None,
    jobs: Jobs = 1,
    limit: Limit = None,
    settings: Settings = [],  # noqa: B006 (typer copies it)
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help=WORDS["retry_failed"])] = DEFAULTS.retry_failed,
    skip_rejected: Annotated[bool, typer.Option("--skip-rejected", help=WORDS["skip_rejected"])] = DEFAULTS.skip_rejected,
    confirm: Annotated[int, typer.Option("--confirm", min=0, metavar="N", help=WORDS["confirm"])] = DEFAULTS.confirm,
    fresh: Annotated[bool, typer.Option("--fresh", help=WORDS["fresh"])] = DEFAULTS.fresh,
    look: Annotated[bool, typer.Option("--look/--no-look", help=WORDS["look"])] = DEFAULTS.look,
    race: Annotated[bool, typer.Option("--race", help=WORDS["race"])] = DEFAULTS.race,
    race_budget: Annotated[str | None, typer.Option("--race-budget", metavar="B", help=WORDS["race_budget"])] = DEFAULTS.race_budget,
    run_code: RunCode = DEFAULTS.run_code,
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    shard: Parts = None,
    batch: Annotated[bool, typer.Option("--batch", help="Send by batches, often at half the price; the same command again collects them.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="With --batch: stay until all batches are through.")] = False,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="With --batch: give up batches of which nobody knows what became.")] = False,
    lock: Lock = DEFAULTS.lock,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask first. (A terminal asks before over 200 requests to an endpoint.)")] = False,
    max_requests: Annotated[int | None, typer.Option("--max-requests", min=1, metavar="N", help="Make at most N calls, each try counted.")] = None,
    max_tokens_total: Annotated[int | None, typer.Option("--max-tokens-total", min=1, metavar="N", help="Stop once N tokens are used.")] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, metavar="X", help="Stop once this sum is spent, by endpoint.prices.")] = None,
    max_time: Annotated[str | None, typer.Option("--max-time", metavar="T", help="Stop sending after 90s, 10m or 2h.")] = None,
    patience: Annotated[str, typer.Option("--patience", metavar="T", help=WORDS["patience_s"])] = "10m",
    json: Json = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show the result alone, without progress and notes.")] = False,
) -> None:
    """Send what has no answer yet; record, score, show."""
    from evalkit.plan.shard import shard_of  # these here, so that --help stays instant
    from evalkit.sweeping import outlook  # as above
    from evalkit.sweeping.racing import raced  # as above

    part = None if shard is None else shard_of(shard)
    loaded = raced(_load(experiment, settings), race, race_budget)
    if dry_run:
        show_plan(outlook.narrowed(loaded, limit), output, retry_failed, json, part)
        return
    options = Options(
        fresh=fresh, retry_failed=retry_failed, skip_rejected=skip_rejected, limit=limit, concurrency=concurrency, jobs=jobs,
        budget=_budget(max_requests, max_tokens_total, max_cost, max_time), patience_s=seconds("--patience", patience), confirm=confirm,
        look=look, lock=lock, engine=engine, address=address, workers=workers, run_code=run_code,
    )  # fmt: skip
    result = _swept(loaded, output, options, quiet, yes, _way(part, batch, wait, resubmit))
    _tell_of(result, console(), experiment, json)


def _tell_of(result: Run | Part | None, screen: Console, experiment: Path, json: Path | None) -> None:
    """Show what a sweep came to; ends with its status where it is not complete."""
    if result is None:
        complain("nothing was sent")
    else:
        show_found(result, screen, str(experiment), json)
    if result is None or not result.complete:
        raise typer.Exit(INCOMPLETE)


def _way(part: Shard | None, batch: bool, wait: bool, resubmit: bool) -> Shard | Waiting | None:
    """How a sweep goes that is no usual one: a shard of it, or by batches."""
    if not batch:
        if wait or resubmit:
            raise ExperimentError(f"--{'wait' if wait else 'resubmit'}: is about batches; give it with --batch")
        return part
    if part is not None:
        raise ExperimentError("--batch: does not go with --shard; a batch is split by its own bounds (endpoint.batch: {max_requests: ...})")
    from evalkit.sweeping.batching import Waiting  # late: --help stays instant

    return Waiting(wait, resubmit)


def _swept(loaded: Experiment, output: Path | None, options: Options, quiet: bool, yes: bool, way: Shard | Waiting | None) -> Run | Part | None:
    """The run, or how far it is where it is not scored, with its progress shown; None where nothing was to be sent after all."""
    from evalkit.plan.shard import Shard  # late: --help stays instant
    from evalkit.store.mirror import name_of  # as above
    from evalkit.sweeping.hooks import Hooks  # as above
    from evalkit.sweeping.sweeping import folder_of, run_shard, run_sweep  # as above

    place = output or (folder_of(loaded, way) if isinstance(way, Shard) else Path("results") / loaded.name)
    with progress(quiet) as report:
        try:
            hooks = Hooks(
                confirm=lambda pending: _begins(report, yes or _agreed(pending, loaded)),
                progress=report,
                note=report.note,
                recorded=report.watching(loaded),
            )
            if way is None:
                return run_sweep(loaded, place, options, hooks)
            if isinstance(way, Shard):
                return run_shard(loaded, way, place, options, hooks)
            from evalkit.sweeping.batching import run_batches  # as above

            return run_batches(loaded, place, options, hooks, way)
        except KeyboardInterrupt:
            report.stop()
            complain(f"interrupted: what arrived is kept in {harmless(name_of(place))}; run the same command again to go on")
            raise typer.Exit(INTERRUPTED) from None


def _budget(requests: int | None, tokens: int | None, cost: float | None, time: str | None) -> Budget:
    """What may be spent this time, as it is typed."""
    from evalkit.collect.allowance import Budget  # late: --help stays instant

    if cost is not None and not 0 < cost < float("inf"):
        raise ExperimentError(f"--max-cost: found {cost}; expected a sum above 0")
    return Budget(requests, tokens, cost, None if time is None else seconds("--max-time", time))


@app.command()
def plan(
    experiment: ExperimentFile,
    output: Folder = None,
    limit: Limit = None,
    settings: Settings = [],  # noqa: B006
    power: Annotated[bool, typer.Option("--power", help="Say how small a difference the experiment could find.")] = False,
    pilot: Annotated[
        Path | None, typer.Option("--pilot", metavar="RUN", help="A run to take variances from, with --power. [default: results/NAME]")
    ] = None,
    variance: Annotated[
        list[str],
        typer.Option("--variance", metavar="METRIC=BETWEEN,WITHIN", help="Variances in place of a pilot's: between prompts, within them."),
    ] = [],  # noqa: B006
    effect: Annotated[
        list[str], typer.Option("--effect", metavar="METRIC=DIFFERENCE", help="A difference to plan for. [default: the metric's margin]")
    ] = [],  # noqa: B006
    race: Annotated[bool, typer.Option("--race", help=WORDS["race"])] = DEFAULTS.race,
    race_budget: Annotated[str | None, typer.Option("--race-budget", metavar="B", help=WORDS["race_budget"])] = DEFAULTS.race_budget,
    json: Json = None,
) -> None:
    """Show what a sweep would send; sends nothing."""
    from evalkit.sweeping import outlook  # here, so that --help stays instant
    from evalkit.sweeping.racing import raced  # as above

    loaded = raced(outlook.narrowed(_load(experiment, settings), limit), race, race_budget)
    if power or pilot or variance or effect:
        if json is not None:
            raise ExperimentError("--json: what --power says has no form for programs; leave one of the two out")
        print(in_flags("\n".join(outlook.outlook(loaded, pilot or output, variance, effect))))
        return
    show_plan(loaded, output, False, json)


@app.command()
def score(
    run: RunFolder,
    metrics: Annotated[str, typer.Option("--metrics", metavar="NAMES", help="Measure these, with commas between, or 'default'.")] = "",
    tokenizer: Annotated[str, typer.Option("--tokenizer", metavar="NAME", help="uax29, whitespace, characters, or icu:LOCALE.")] = "uax29",
    sizes: Annotated[bool, typer.Option("--sizes", help="Score on half and on twice as much text too, for scores.parquet.")] = False,
    run_code: RunCode = DEFAULTS.run_code,
    jobs: Jobs = 1,
    lock: Lock = DEFAULTS.lock,
    engine: Engine = None,
    address: Address = None,
    workers: Workers = None,
    json: Json = None,
) -> None:
    """Score a run again from its records.

    Nothing is sent, but for judgements and embeddings that the experiment asks for and the run lacks; and no code is run without --run-code.
    """
    from evalkit.store.away import stored  # late: --help stays instant
    from evalkit.sweeping import rescoring  # as above

    screen = console()
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    with progress(False) as report:
        try:
            with stored(run, tell, lock=lock):
                result = rescoring.rescore(
                    run,
                    note=tell,
                    metrics=names,
                    tokenizer=tokenizer,
                    sizes=sizes,
                    jobs=jobs,
                    engine=engine,
                    address=address,
                    workers=workers,
                    run_code=run_code,
                    progress=report,
                )
        except KeyboardInterrupt:
            report.stop()
            complain(f"interrupted: the records of {harmless(str(run))} stay as they are; score it again")
            raise typer.Exit(INTERRUPTED) from None
    show_run(result, screen, "EXPERIMENT", json)
    if not result.complete:
        raise typer.Exit(INCOMPLETE)


@app.command()
def report(
    run: RunFolder,
    figures: Annotated[bool, typer.Option("--figures", help="Put PNG files beside report.md and show them in it.")] = False,
    lock: Lock = DEFAULTS.lock,
) -> None:
    """Write report.html, one file that opens anywhere, and report.md, for a merge request."""
    from evalkit.run import load  # late: --help stays instant
    from evalkit.store.away import stored  # as above
    from evalkit.sweeping import reports  # as above

    with stored(run, tell, lock=lock):
        paths = reports.report(load(run), figures=figures)
    for path in paths:
        print(harmless(str(path)))


@app.command()
def probe(
    experiment: Annotated[Path | None, typer.Argument(metavar="EXPERIMENT", help="An experiment file; its own parameters are probed too.")] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", metavar="URL", help="Probe this endpoint instead of an experiment's.")] = None,
    model: Annotated[str | None, typer.Option("--model", metavar="M", help="The model, with --base-url. [default: the only one listed]")] = None,
    api_key_env: Annotated[str | None, typer.Option("--api-key-env", metavar="NAME", help="Variable that holds the key, with --base-url.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Where the evidence goes. [default: results/NAME/probe.json]")
    ] = None,
    depth: Annotated[
        str, typer.Option("--depth", metavar="WHAT", help="usual: which parameters are honoured; meaning: what they mean, how it samples.")
    ] = "usual",
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option("--compare", metavar="A B", help="Show what two probes found differently; send nothing.")
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option(
            "--calls", min=20, metavar="N", help="Make at most this many calls. [default: 200; 460 for --depth meaning; 840 with --corners]"
        ),
    ] = None,
    corners: Annotated[
        bool, typer.Option("--corners", help="With --depth meaning: where no log probabilities are given, measure distances by up to 380 more calls.")
    ] = False,
    concurrency: Annotated[int, typer.Option("-j", "--concurrency", min=1, max=64, metavar="N", help="Calls in flight at once.")] = 8,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seeds the requests and the tests.")] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be probed, send nothing.")] = False,
    json: Json = None,
    settings: Settings = [],  # noqa: B006
) -> None:
    """Find out which parameters an endpoint honours.

    Each is called honoured, ignored, rejected, clamped or inconclusive, with its evidence; under 200 calls.

    --depth meaning asks how it samples: whether temperature acts before top_p, what is on where nothing is sent, what penalties count, what
    happens at the ends of the ranges, what seeds, limits and stops do; and at corners of the experiment's levels how far first tokens are from
    the definition. About 370 calls, at most 60 of more than one token.
    """
    from evalkit.cli.probing import announced, compared, shown_probe  # late: --help stays instant
    from evalkit.probe import subject  # as above

    if compare is not None:
        compared(*compare)
        return
    if depth not in ("usual", "meaning"):
        raise ExperimentError(f"--depth: found {depth!r}; expected usual or meaning")
    if base_url and not model and experiment is None:
        model = "(the only one listed there)" if dry_run else subject.only_model(base_url, api_key_env)
    probed = subject.subject_of_probe(None if experiment is None else _load(experiment, settings), base_url, model, api_key_env)
    if corners and depth != "meaning":
        raise ExperimentError("--corners: measures what parameters mean; give --depth meaning with it")
    words, about, planned = announced(probed, depth, calls, corners)
    if dry_run:
        print(f"{words}\n{about}")
        return
    complain(f"Probing {words}.")
    wanted: subject.Depth = "meaning" if depth == "meaning" else "usual"
    told = Findings(planned)
    result, place = subject.probe(probed, output, depth=wanted, most_calls=calls, corners=corners, at_once=concurrency, seed=seed, progress=told)
    shown_probe(result, place, json, depth)
    _end_of_probe(result, subject.objections(result, probed) if depth == "usual" else [])


def _end_of_probe(result: Probe, objections: Sequence[str]) -> None:
    """End with the status that a probe comes to, and say why where that is no success."""
    for one in objections:
        complain(f"this experiment should not be swept here as it is: {one}")
    if objections:
        raise typer.Exit(CHECK_FAILED)
    if result.ended:
        complain(f"the probe is incomplete: {result.ended}; what was found is kept, run the same command again for the rest")
        raise typer.Exit(INCOMPLETE)


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
    from evalkit.local import rehearsal, server  # late: --help stays instant
    from evalkit.local.api import DESCRIPTION, MODEL_NAME  # late: --help stays instant

    key = os.environ.get(api_key_env, "") if api_key_env else None
    if key == "":
        complain(f"error: the environment variable {api_key_env} is not set, and --api-key-env names it for the key")
        raise typer.Exit(USAGE)
    if key is None and not _is_loopback(host):
        complain(f"error: --host {host} is open to others; give a key with --api-key-env NAME")
        raise typer.Exit(USAGE)
    try:
        trouble = rehearsal.load(faults) if faults else None
    except rehearsal.RehearsalError as fault:
        complain(f"error: {fault}")
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
        complain(f"error: {host}:{port}: cannot listen there: {fault.strerror}; choose another --port")
        raise typer.Exit(USAGE) from None


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write them.")] = Path(),
    use: Annotated[
        str,
        typer.Option("--for", metavar="USE", help="With checks of what is right: support, extraction, rag, code, creative, summary, brainstorm."),
    ] = "",
    prompts: Annotated[
        Path | None, typer.Option("--prompts", metavar="FILE", help="Ask the prompts of this file, in any form that 'import' reads. [default: a few]")
    ] = None,
) -> None:
    """Write a starter experiment that runs as it is, of your own prompts with --prompts FILE."""
    from evalkit.experiment import starter  # late: --help stays instant

    if prompts is None:
        experiment = starter.write(folder, use)
        print(harmless(f"Wrote {experiment} and its prompts. Try:"))
        print(harmless(f"  {program()} sweep {shlex.quote(str(experiment))}"))
        return
    from evalkit.cli.importing import as_options, end_of_init  # as above
    from evalkit.experiment.files.reading import read_prompts  # as above

    in_import = f"{program()} import FILE "
    try:
        found = read_prompts(prompts)
    except PromptError as fault:
        raise PromptError(as_options(str(fault), in_import)) from None
    written = starter.write(folder, use, found.prompts, prompts)
    for line in (*(as_options(one, in_import) for one in found.told), *end_of_init(found, prompts, written, use)):
        print(harmless(line))


@app.command("import")
def import_(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Prompts in CSV, TSV, JSON, JSONL, Parquet, text or YAML: tables, chats, other tools' sets."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="Write them here: .yaml or .jsonl.")] = Path("prompts.yaml"),
    user: Annotated[str, typer.Option("--user", metavar="COLUMN", help="Column that holds the question. [default: one with a usual name]")] = "",
    expect: Annotated[str, typer.Option("--expect", metavar="COLUMN", help="Column that holds the answer that is wanted.")] = "",
    system: Annotated[str, typer.Option("--system", metavar="COLUMN", help="Column that holds the system message.")] = "",
    identity: Annotated[str, typer.Option("--id", metavar="COLUMN", help="Column that names the prompts.")] = "",
    tags: Annotated[str, typer.Option("--tags", metavar="COLUMN", help="Column that holds tags.")] = "",
    tests: Annotated[str, typer.Option("--tests", metavar="COLUMN", help="Column that holds tests of code, for the check 'runs'.")] = "",
    template: Annotated[str, typer.Option("--template", metavar="TEXT", help="The question, with {{COLUMN}} for a value of each row.")] = "",
    keep_last: Annotated[bool, typer.Option("--keep-last", help="Send a last message of the assistant, instead of expecting it.")] = False,
    sample: Annotated[int, typer.Option("--sample", metavar="N", min=0, help="Take N of them, drawn by tags. [default: all]")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Make a prompt set of a file as it is; an experiment can also name that file itself."""
    from pydantic import ValidationError  # late: --help stays instant

    from evalkit.cli.importing import as_options, end_of_import  # as above
    from evalkit.experiment.files.columns import PromptFile, Sample  # as above
    from evalkit.experiment.files.writing import write_prompts  # as above
    from evalkit.experiment.problems import from_pydantic  # as above

    named = {"user": user, "expect": expect, "system": system, "id": identity, "tags": tags, "tests": tests, "template": template}
    try:
        how = PromptFile(
            file=str(file),
            keep_last=keep_last or None,
            sample=Sample(n=sample, by="tags") if sample else None,
            **{name: value for name, value in named.items() if value},
        )
    except ValidationError as error:
        told = [": ".join(["--" + "-".join(map(str, path)), message]) if path else message for path, message in from_pydantic(error, {})]
        raise PromptError("\n".join(told)) from None
    try:
        found = write_prompts(how, output, over=force)
    except PromptError as fault:
        raise PromptError(as_options(str(fault))) from None
    wrote = f"Wrote {counted(len(found.prompts), 'prompt')} to {output}. In an experiment: prompts: {output}"
    for line in (*map(as_options, found.told), wrote, *end_of_import(found, file, output)):
        print(harmless(line))


@app.command()
def schema(
    of: Annotated[str, typer.Argument(metavar="OF", help="experiment, or what --json writes: summary, plan, probe, comparison.")] = "experiment",
) -> None:
    """Print a JSON Schema: of experiment files, for editors, or of what --json writes, for programs."""
    import json

    from evalkit.cli.shown import schema_of  # late: --help stays instant

    print(json.dumps(schema_of(of), indent=2))


def _begins(report: Report, agreed: bool) -> bool:
    """Show that a sweep begins, where somebody agreed to it."""
    if agreed:
        report.begin()
    return agreed


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load(path: Path, settings: list[str]) -> Experiment:
    from evalkit.experiment.experiment import load  # late: --help stays instant

    return load(path, settings)


def _agreed(pending: Pending, experiment: Experiment) -> bool:
    if pending.local or pending.requests <= _ASK_ABOVE or not sys.stdin.isatty():
        return True
    from rich.markup import escape
    from rich.prompt import Confirm

    beside = [f"judge {one.name}" for one in experiment.judges] + (["the endpoint for embeddings"] if experiment.embeddings is not None else [])
    also = f", and their answers to {escape(', '.join(beside))}" if beside else ""
    return Confirm.ask(f"Send {pending.requests:,} requests to {escape(experiment.addresses)}{also}?", default=False)
