"""What ``import evalkit`` offers to a notebook or a script: the calls of the command line, as functions."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from evalkit.collect.interruption import Interruption
from evalkit.comparison import comparison, gate
from evalkit.comparison.comparison import Comparison
from evalkit.comparison.gate import Margins
from evalkit.errors import EvalkitError
from evalkit.experiment.experiment import Experiment
from evalkit.exports import formats
from evalkit.present.notebook.progress import Progress
from evalkit.run import Run, load
from evalkit.store.away import stored
from evalkit.store.mirror import at_hand
from evalkit.sweeping import reports, rescoring
from evalkit.sweeping.hooks import Hooks
from evalkit.sweeping.options import DEFAULTS, Options
from evalkit.sweeping.sweeping import run_sweep

Source = Experiment | Path | str


def sweep(
    experiment: Source,
    folder: Path | str | None = None,
    options: Options = DEFAULTS,
    *,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """Send what the experiment asks for and has no answer yet, record it, score it; the run.

    Works inside a running event loop, as in a notebook, where it shows its progress. Interrupting the cell ends it in good order: what is
    under way is waited for (a second time not), what arrived is kept, and the same call goes on.

    Args:
        experiment: an `Experiment`, or the path of its file.
        folder: where the run is kept, a folder or a place in an object store like ``s3://bucket/run``; ``results/<name>`` where None.
        options: how the sweep is to go.
        quiet: show nothing.
        changes: options by their names, like ``fresh=True`` or ``budget=ek.Budget(requests=100)``: ``fresh`` starts over, and a run that stands
            there moves aside; ``retry_failed`` sends again what failed in a way that would fail again; ``skip_rejected`` drops levels that the
            endpoint rejects; ``limit`` uses the first so many prompts; ``concurrency`` and ``budget`` bound calls and spending; ``patience_s`` is
            how long the endpoint may be down; ``confirm`` is how many fresh replicates measure the recommended setting again; ``look=False``
            goes without a look at the endpoint; ``race`` drops settings on the way, and ``race_budget`` says how much that may ask, like ``"1/3"``;
            ``run_code`` runs the code of answers in a sandbox, for checks ``runs``, which nothing else does.

    Raises:
        ExperimentError, PromptError: the experiment cannot be run as written, or there is no such option.
        EndpointError, AuthError: the endpoint cannot be used; what was recorded stays.
        RecordError: the folder cannot be used, or another process uses it.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    given, place, wanted = _experiment(experiment), None if folder is None else at_hand(folder), options.changed(**changes)
    with Progress(quiet) as progress:
        if not _inside_a_loop():
            return _swept(given, place, wanted, progress, None)
        return _in_a_thread(lambda interruption: _swept(given, place, wanted, progress, interruption))


async def asweep(
    experiment: Source,
    folder: Path | str | None = None,
    options: Options = DEFAULTS,
    *,
    quiet: bool = False,
    **changes: Any,
) -> Run:
    """`sweep`, to be awaited: other tasks go on meanwhile. Cancelled, it ends in good order, and what arrived is kept.

    Args:
        experiment, folder, options, quiet, changes: as `sweep` takes them.
    """
    given, place, wanted = _experiment(experiment), None if folder is None else at_hand(folder), options.changed(**changes)
    interruption = Interruption()

    def swept() -> Run | None:
        with suppress(KeyboardInterrupt):  # which in a task would end the caller's loop; here it can only be what a cancellation asked for
            return _swept(given, place, wanted, progress, interruption)
        return None

    with Progress(quiet) as progress:
        work = asyncio.ensure_future(asyncio.to_thread(swept))
        try:
            found = await asyncio.shield(work)
            if found is None:
                raise asyncio.CancelledError
            return found
        except asyncio.CancelledError:
            interruption.ask()
            await asyncio.wait([work])
            work.exception()  # seen, whatever it was: the cancellation is the answer
            raise


def _swept(experiment: Experiment, folder: Path | None, options: Options, progress: Progress, interruption: Interruption | None) -> Run:
    hooks = Hooks(progress=progress, note=progress.note, interruption=interruption)
    found = run_sweep(experiment, folder, options, hooks)
    if found is None:  # nobody was asked, so nobody refused
        raise EvalkitError("nothing was sent")
    return found


def _inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_a_thread(work: Callable[[Interruption], Run]) -> Run:
    """`work` in a thread of its own, where no loop runs; an interrupt that comes here asks it to stop."""
    interruption = Interruption()
    found: list[Run] = []
    fault: list[BaseException] = []

    def go() -> None:
        try:
            found.append(work(interruption))
        except BaseException as error:
            fault.append(error)
        finally:
            over.set()

    over = threading.Event()  # not `join`: one that is interrupted takes the thread for ended on some versions of Python
    threading.Thread(target=go, name="evalkit sweep").start()
    while not over.is_set():
        try:
            over.wait(0.1)
        except KeyboardInterrupt:
            interruption.ask()
    if fault:
        raise fault[0]
    return found[0]


def _experiment(source: Source) -> Experiment:
    return source if isinstance(source, Experiment) else Experiment.load(source)


def compare(
    baseline: Run | Path | str,
    candidate: Run | Path | str | None = None,
    *,
    cells: Sequence[str | int] = (),
    margins: Mapping[str, float | str] | None = None,
    metrics: Sequence[str] = (),
) -> Comparison:
    """Compare a candidate with a baseline, paired by prompt and setting, a metric at a time.

    Args:
        baseline, candidate: runs or their folders; one run alone for two of its `cells`.
        cells: two settings, or one for the same in both runs: a number, a name in a list design, or levels like ``temperature=0.7``.
        margins: for a metric the difference too small to matter, in its unit or as a share like ``"5 %"``.
        metrics: names of what is compared; all that is measured where empty.

    Raises:
        RecordError: a folder cannot be read, or the two cannot be compared; with the reason.
        ExperimentError: a cell, a metric or a margin is not there.
    """
    given: Margins = gate.margins(None, [f"{name}={value}" for name, value in (margins or {}).items()])
    return comparison.compare(
        _folder(baseline), None if candidate is None else _folder(candidate), cells=[str(one) for one in cells], margins=given, metrics=metrics
    )


def _folder(run: Run | Path | str) -> Path:
    return run.folder if isinstance(run, Run) else at_hand(run)


def rescore(
    run: Run | Path | str,
    metrics: Sequence[str] = (),
    tokenizer: str = "uax29",
    sizes: bool = False,
    jobs: int = 1,
    engine: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    run_code: bool = False,
) -> Run:
    """Score a run again from its records; sends no request of the sweep.

    Args:
        metrics: names of what is measured, ``default`` for the default ones; all that a sweep measures where empty.
        tokenizer: ``uax29``, ``whitespace``, ``characters``, or ``icu:LOCALE``.
        sizes: score also on half and on twice as much text: ``value_half`` and ``value_double`` of `Run.scores`.
        jobs: processes that score.
        engine, address, workers: on a cluster, as `sweep` has them.
        run_code: run the code of answers that was not run yet, in a sandbox, for checks ``runs``; without it no code is ever run.

    Raises:
        RecordError: the folder cannot be used.
        ExperimentError: there is no metric or tokeniser of that name, or code is to be run and no sandbox works here.
    """
    folder = _folder(run)
    with stored(folder):
        return rescoring.rescore(
            folder, metrics=metrics, tokenizer=tokenizer, sizes=sizes, jobs=jobs, engine=engine, address=address, workers=workers, run_code=run_code
        )


def write_report(run: Run | Path | str, *, figures: bool = False) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the run's folder; the paths.

    Args:
        figures: put PNG files beside ``report.md`` and show them in it.

    Raises:
        RecordError: the run cannot be read, or the report cannot be written.
    """
    found = run if isinstance(run, Run) else load(run)
    with stored(found.folder):
        return reports.report(found, figures=figures)


def export(run: Run | Path | str, to: str, *, cells: Sequence[str | int] = (), place: str | None = None) -> str:
    """A run in the form of another tool: the text of it, or where a tracker has it now.

    Args:
        to: ``csv`` (the answers), ``promptfoo``, ``litellm``, ``vllm``, ``ollama``, ``python``, ``curl``, ``js``; or a tracker that is written to,
            ``mlflow`` or ``wandb``.
        cells: settings by number, name or levels like ``temperature=0.7``; the chosen one where empty, for trackers all.
        place: of a tracker: MLflow's tracking URI, ``sqlite:///mlflow.db`` where None; the folder of W&B's offline runs, this one where None.

    Raises:
        ExperimentError: there is no such format or setting, or nothing was chosen and nothing is named.
        MissingExtraError: the tracker is not installed.
        RecordError: the run cannot be read.
    """
    formats.check_format(to)
    found = run if isinstance(run, Run) else load(run)
    named = [str(one) for one in cells]
    return "\n".join(formats.tracked(found, to, place, named)) if to in formats.TRACKERS else formats.text_of(found, to, named)
