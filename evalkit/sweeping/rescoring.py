"""A results folder scored again, and judges and embeddings asked for what they lack."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from evalkit.client.connection import secrets_of
from evalkit.client.redaction import Secrets
from evalkit.collect.budget import Besides, Spent
from evalkit.collect.session import Terms
from evalkit.collect.tally import Tally
from evalkit.engine.processes import Elsewhere
from evalkit.errors import ExperimentError
from evalkit.metrics import tokens
from evalkit.plan.requests import Plan
from evalkit.run import Run
from evalkit.sandbox.running import Sandbox
from evalkit.scoring.executing import execute, found_sandbox
from evalkit.scoring.judging import judge
from evalkit.scoring.metric_set import Measures, measures
from evalkit.scoring.workers import check_jobs
from evalkit.store.folder import load_experiment, locked, now_text, write_run
from evalkit.store.records import RecordWriter
from evalkit.store.segments import join_left
from evalkit.sweeping.derivation import settle
from evalkit.sweeping.hooks import Hooks
from evalkit.sweeping.options import Options
from evalkit.sweeping.racing import course_of
from evalkit.sweeping.ways import check_engine_name
from evalkit.text.notes import Note, Tell, nobody


def rescore(
    folder: Path,
    note: Tell = nobody,
    *,
    metrics: Sequence[str] = (),
    tokenizer: str = "uax29",
    sizes: bool = False,
    jobs: int = 1,
    engine: str | None = None,
    address: str | None = None,
    workers: int | None = None,
    run_code: bool = False,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Run:
    """Score a results folder again from its records; sends nothing, but for judgements and embeddings that it lacks.

    Args:
        metrics: names of what is measured, the experiment's own among them, ``default`` for the default ones; all that a sweep measures where empty.
        tokenizer: ``uax29``, ``whitespace``, ``characters``, or ``icu:LOCALE``.
        sizes: score also on half and on twice as much text.
        jobs: processes that score.
        engine, address, workers, run_code: as in `evalkit.sweeping.options.Options`.

    Raises:
        RecordError: the folder cannot be used.
        ExperimentError: there is no metric or tokeniser of that name, or code is to be run and cannot be.
        KeyboardInterrupt: interrupted; what judges said stays.
        MissingExtraError: the tokeniser needs a package that is not installed.
    """
    check_engine_name(engine, address, workers)
    check_jobs(jobs)
    try:
        cut = tokens.tokenizer(tokenizer)
    except ValueError as fault:
        raise ExperimentError(str(fault)) from None
    notes: list[Note] = []

    def tell(one: Note) -> None:
        notes.append(one)
        note(one)

    experiment = load_experiment(folder)
    course = course_of(experiment, folder)
    plan = Plan(experiment) if course is None or course.start is None else course.plan
    measured = measures(experiment, metrics)
    where = sandbox_for(measured) if run_code else None
    with locked(folder), RecordWriter(folder) as writer:
        if writer.mended:
            tell(Note("note", writer.mended))
        join_left(folder, writer, tell)
        terms = Terms(time.monotonic(), progress=progress, tell=tell, secrets=secrets_of(one for _, one in experiment.called_at()))
        beside, _ = ask_and_run(folder, plan, measured, terms, where)
        with ExitStack() as stack:
            there = None if engine is None else _there(stack, address, workers, tell)
            return settle(folder, plan, notes, None, measured, cut, beside, sizes=sizes, jobs=jobs, course=course, there=there)


def _there(stack: ExitStack, address: str | None, workers: int | None, tell: Tell) -> Elsewhere:
    """The processes of a cluster, for as long as `stack` is open."""
    from evalkit.engine.ray import cluster  # late: a heavy library, and an extra

    found = stack.enter_context(cluster(address, workers, tell))
    found.check(None)
    return found


def sandbox_for(measured: Measures) -> Sandbox:
    """The sandbox that code is to be run in, tried; raises `ExperimentError` where none works, or nothing that is measured runs code."""
    if not measured.runs:
        raise ExperimentError("run_code: nothing that is measured here runs code; add runs under checks:, with tests: under the prompts")
    return found_sandbox()


def terms_of(options: Options, hooks: Hooks, began: float, tell: Tell, secrets: Secrets) -> Terms:
    """What calls beside the sweep's own keep to, in a sweep that `began` then."""
    return Terms(
        began,
        options.budget,
        options.patience_s,
        options.retry_failed,
        progress=hooks.progress,
        tell=tell,
        interruption=hooks.interruption,
        secrets=secrets,
    )


def ask_and_run(
    folder: Path, plan: Plan, measured: Measures, terms: Terms, where: Sandbox | None, earlier: tuple[Spent, ...] = ()
) -> tuple[list[Besides], int]:
    """Ask others, then run code where a sandbox is given for it; who was asked, and how many codes were run."""
    beside = ask_others(folder, plan, measured, terms, earlier)
    return beside, 0 if where is None else execute(folder, plan, measured.runs, terms, where)


def ask_others(folder: Path, plan: Plan, measured: Measures, terms: Terms, earlier: tuple[Spent, ...] = ()) -> list[Besides]:
    """Ask judges and the endpoint for embeddings what the answers in `folder` lack of them; who was asked anything, and what it took."""
    from evalkit.scoring.embedding import embed  # rarely asked for

    out = judge(folder, plan, measured.judges, terms, earlier)
    if measured.embeddings is not None:
        out.append(embed(folder, plan, measured.embeddings, terms, (*earlier, *(one.spent for one in out))))
    out = [one for one in out if one.spent.requests]
    for one in out:
        write_run(folder, plan.experiment, sweep={"of": one.name, "ended": now_text(), **what_it_took(one.spent)})
    return out


def summed(every: Sequence[Besides]) -> list[Besides]:
    """The same, each who was asked once."""
    out: dict[str, Spent] = {}
    for one in every:
        out.setdefault(one.name, Spent(one.spent.prices)).take(one.spent.used)
    return [Besides(name, spent) for name, spent in out.items()]


def what_it_took(spent: Spent) -> dict[str, Any]:
    """What calls took, as ``run.json`` keeps it."""
    return {
        "requests": spent.requests,
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "answers_without_usage": spent.uncounted,
        "cost": spent.cost,
        "currency": None if spent.prices is None else spent.prices.currency,
    }
