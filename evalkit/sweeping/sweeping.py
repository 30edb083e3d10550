"""A sweep into a results folder, or a new scoring of it: the one path that the command line, a notebook and a script take."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.client.connection import Access, bearer_key, opened
from evalkit.collect.budget import Asked, Budget, Spent
from evalkit.collect.interruption import Interruption
from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import INTERRUPTED, Policy
from evalkit.collect.session import Terms, looked, pace_of, sent, without_rejected
from evalkit.collect.tally import Tally
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.endpoint import LOCAL
from evalkit.experiment.experiment import Experiment
from evalkit.metrics import tokenizer as tokenizer_named
from evalkit.plan.requests import Plan, Request, Tokens
from evalkit.run import Run
from evalkit.scoring.judging import judge
from evalkit.scoring.metric_set import Measures, measures
from evalkit.store.folder import is_run, load_experiment, locked, make, make_inside, move_aside, now_text, replace, write_run
from evalkit.store.records import Standing, Writer, read, standing
from evalkit.sweeping.derivation import settle


@dataclass(frozen=True)
class Pending:
    """What a sweep is about to send."""

    requests: int
    planned: int
    local: bool


def sweep(
    experiment: Experiment,
    folder: Path | None = None,
    *,
    fresh: bool = False,
    retry_failed: bool = False,
    skip_rejected: bool = False,
    limit: int | None = None,
    concurrency: int | None = None,
    budget: Budget = Budget(),  # noqa: B008 (immutable)
    patience_s: float = 600.0,
    confirm_replicates: int = 0,
    confirm: Callable[[Pending], bool] = lambda _: True,
    progress: Callable[[Tally], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
    interruption: Interruption | None = None,
) -> Run | None:
    """Send what `experiment` plans and has no completion yet, record it, and score what there is.

    Args:
        folder: where it is kept; ``results/<name>`` where None.
        fresh: start over; a run that stands there moves aside, to ``<folder>.<UTC time>``.
        retry_failed: send again also what failed in a way that would fail again.
        skip_rejected: drop the levels that the endpoint rejects, instead of ending with its words.
        limit: use the first so many prompts only.
        concurrency: requests in flight at once, instead of the experiment's.
        budget: what may be spent this time; the look before the sweep and each try count.
        patience_s: how long the endpoint may be down before the run is given up.
        confirm_replicates: fresh replicates to send for the chosen cell, the best and the runner-up.
        confirm: asked before anything is sent; False ends without doing anything, and gives None.
        progress: called after every outcome.
        note: called with each thing the user should know, as it comes up.
        interruption: asks it to stop where it runs in a thread, which gets no signals.

    Raises:
        RecordError: the folder cannot be used, or another process uses it.
        EndpointError, AuthError: the endpoint cannot be used; what was recorded stays.
        ExperimentError: the budget cannot be kept.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    experiment = narrowed(experiment, limit)
    folder = folder or Path("results") / experiment.name
    plan = Plan(experiment)
    endpoint = experiment.endpoint
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    measured = measures(experiment)
    _check_means(experiment, budget)
    for warning in experiment.warnings():
        tell(f"warning: {warning}")
    for reason in plan.design.merged:
        tell(f"merged: {reason}")
    for reason in plan.design.beware:
        tell(f"design: {reason}")
    key = bearer_key(endpoint)
    fixed = concurrency or endpoint.concurrency
    make(folder)
    started, began = now_text(), time.monotonic()
    terms = Terms(began, budget, patience_s, retry_failed, progress, tell, interruption)
    policy = Policy(max_tries=endpoint.max_tries, deadline_s=endpoint.deadline_s, patience_s=patience_s, budget=budget)

    def send(what: Plan, there: Standing, access: Access, writer: Writer, tally: Tally, not_before: float) -> Pace:
        """Send what `what` asks for and is not there, tell why where it stops before the end, and note in ``run.json`` how it went."""
        pace = _pace(what, fixed and access.at_once, access.at_once)
        pace.hold(not_before)
        work = sent(
            endpoint,
            _unsent(what, there, retry_failed),
            access,
            tally,
            record=writer.append,
            sync=writer.sync,
            pace=pace,
            policy=_left(policy, began),
            progress=progress,
            note=tell,
            together=endpoint.replicates_per_call,
            proven=True,  # the look before it was answered
            interruption=interruption,
        )
        try:
            stopped = asyncio.run(work)
        except BaseException as fault:
            with suppress(RecordError):  # a full disk takes no more of this either, and the first fault is the one to tell
                write_run(folder, what.experiment, sweep=_how_it_went(started, tally, pace, type(fault).__name__))
            raise
        write_run(folder, what.experiment, sweep=_how_it_went(started, tally, pace, stopped))
        if stopped == INTERRUPTED:
            raise KeyboardInterrupt
        if stopped:
            tell(f"stopped: {stopped}")
        return pace

    with ExitStack() as stack:
        hold = stack.enter_context(ExitStack())
        hold.enter_context(locked(folder))
        fresh = fresh and is_run(folder)
        writer = None if fresh else hold.enter_context(_writer(folder, tell))
        there = Standing() if fresh else standing(folder)
        requests = sum(1 for _ in _unsent(plan, there, retry_failed))
        if requests and not confirm(Pending(requests, len(plan), endpoint.base_url == LOCAL)):
            return None
        tally = Tally(requests, spent=Spent(endpoint.prices))
        progress(tally)
        checked, access, not_before = None, None, began
        if requests:
            base_url = stack.enter_context(opened(endpoint))
            access = Access(base_url(), key, min(fixed or MOST_AT_ONCE, requests))
            checked, not_before = asyncio.run(looked(experiment, access, tally.spent, policy, tell))
            if checked.rejected:
                plan = Plan(without_rejected(experiment, checked.rejected, skip_rejected, tell))
                tally.planned = sum(1 for _ in _unsent(plan, there, retry_failed))
        if fresh:  # only now that the endpoint is known to be of use
            aside = move_aside(folder)
            tell(f"the run that stood there is kept in {aside}")
            hold.close()
            make(folder)
            hold.enter_context(locked(folder))
            writer = hold.enter_context(_writer(folder, tell))
        write_run(folder, plan.experiment, preflight=checked)
        if access is not None and writer is not None:
            pace = send(plan, there, access, writer, tally, not_before)
            tell(_paced(pace))
        beside = ask_others(folder, plan, measured, terms, (tally.spent,))
        result = settle(folder, plan, notes, tell, tally, measured, beside=beside)
        again = _fresh(result, plan, confirm_replicates, tell) if confirm_replicates else None
        if again is None or writer is None:
            return result
        there = standing(folder)
        requests = sum(1 for _ in _unsent(again, there, retry_failed))
        if requests and confirm(Pending(requests, len(again), endpoint.base_url == LOCAL)):
            url = stack.enter_context(opened(endpoint))() if access is None else access.base_url
            access = Access(url, key, min(fixed or MOST_AT_ONCE, requests))
            tally.spent.earlier = tuple(one.spent for one in beside)
            send(again, there, access, writer, Tally(requests, spent=tally.spent), began)
        beside += ask_others(folder, plan, measured, terms, (tally.spent, *(one.spent for one in beside)))
        return settle(folder, plan, notes, lambda _: None, tally, measured, beside=beside)


def _check_means(experiment: Experiment, budget: Budget) -> None:
    """Raise where keys are not set or costs not known that the run will need."""
    every = [("endpoint", experiment.endpoint), *((f"judges[{at}].endpoint", one.endpoint) for at, one in enumerate(experiment.judges))]
    every += [("embeddings", experiment.embeddings)] if experiment.embeddings is not None else []
    for name, endpoint in every:
        bearer_key(endpoint)
        if budget.cost is None:
            continue
        if endpoint.prices is None:
            raise ExperimentError(f"--max-cost: costs are unknown; give {name}.prices: {{input: ..., output: ...}}, a million tokens each")
        if experiment.endpoint.prices is not None and endpoint.prices.currency != experiment.endpoint.prices.currency:
            raise ExperimentError(f"--max-cost: {name}.prices are in another currency than endpoint.prices; give both in one")


def _fresh(run: Run, plan: Plan, replicates: int, tell: Callable[[str], None]) -> Plan | None:
    """The requests that measure again what was chosen; None where nothing was."""
    choice = run.choice
    if choice is None or choice.chosen is None:
        tell("nothing to confirm: " + ("no setting was chosen" if choice else "the experiment has no 'choose:'"))
        return None
    cells = tuple(sorted({one for one in (choice.chosen, choice.best, choice.runner_up) if one is not None}))
    # Behind the replicates of the sweep, so that a seed per replicate is a fresh one.
    return Plan(plan.experiment, role="confirm", only=cells, first=plan.experiment.replicates, count=replicates)


@contextmanager
def _writer(folder: Path, tell: Callable[[str], None]) -> Iterator[Writer]:
    with Writer(folder) as writer:
        if writer.mended:
            tell(writer.mended)
        yield writer


def _pace(plan: Plan, fixed: int | None, most: int) -> Pace:
    pace = pace_of(plan.experiment.endpoint, fixed, most)
    pace.expect(max(1.0, (plan.tokens_in()[1] + (plan.most_tokens() or 0)) / max(1, len(plan))))  # until an answer tells what one uses
    return pace


def _left(policy: Policy, began: float) -> Policy:
    """The policy with the time that is left of its budget."""
    seconds = policy.budget.seconds
    return policy if seconds is None else policy._replace(budget=policy.budget._replace(seconds=max(0.0, seconds - (time.monotonic() - began))))


def _how_it_went(started: str, tally: Tally, pace: Pace, stopped: str | None) -> dict[str, Any]:
    return {
        "started": started,
        "ended": now_text(),
        "stopped": stopped,
        "completions": tally.completed,
        "failures": dict(tally.failed),
        **_what_it_took(tally.spent),
        "at_once": {"adaptive": pace.adaptive, "highest": pace.highest, "throttled": pace.throttled, "changes": pace.history},
    }


def _what_it_took(spent: Spent) -> dict[str, Any]:
    return {
        "requests": spent.requests,
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "answers_without_usage": spent.uncounted,
        "cost": spent.cost,
        "currency": None if spent.prices is None else spent.prices.currency,
    }


def _paced(pace: Pace) -> str:
    throttled = {0: "never throttled", 1: "throttled once", 2: "throttled twice"}.get(pace.throttled, f"throttled {pace.throttled:,} times")
    held = f"held {pace.limit} at once" if pace.limit == pace.highest else f"held {pace.limit} at once, {pace.highest} at the most"
    return f"{held}; {throttled}"


def pending(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Tokens:
    """What a sweep would send now, given what stands in its folder, if anything does. Raises `RecordError`."""
    folder = folder or Path("results") / experiment.name
    plan = Plan(experiment)
    return plan.tokens_of(_unsent(plan, standing(folder), retry_failed)) if is_run(folder) else plan.tokens()


def outlook(experiment: Experiment, pilot: Path | None, variances: Sequence[str], effects: Sequence[str]) -> list[str]:
    """What `experiment` can see, from given variances (``METRIC=BETWEEN,WITHIN``) or a pilot's folder: lines of text.

    Raises:
        ExperimentError: a variance or an effect makes no sense.
        RecordError: there is no pilot, or it has fewer than two cells or prompts.
    """
    from evalkit.analysis import power

    seen = power.given(variances, experiment.replicates)
    if not seen:
        folder = pilot or Path("results") / experiment.name
        if not folder.is_dir():
            raise RecordError(f"{folder}: no such run; sweep a pilot (--limit 5), or give --variance METRIC=BETWEEN,WITHIN")
        seen = power.of_pilot(load_experiment(folder), lambda: read(folder))
        if not seen:
            raise RecordError(f"{folder}: tells no variance; a pilot needs two cells and two prompts with answers")
    return power.told(experiment, power.outlook(experiment, seen, power.wanted(effects)))


def rescore(
    folder: Path,
    note: Callable[[str], None] = lambda _: None,
    *,
    metrics: Sequence[str] = (),
    tokenizer: str = "uax29",
    progress: Callable[[Tally], None] = lambda _: None,
) -> Run:
    """Score a results folder again from its records; sends nothing, but for judgements and embeddings that it lacks.

    Args:
        metrics: names of what is measured, the experiment's own among them, ``default`` for the default ones; all that a sweep measures where empty.
        tokenizer: ``uax29``, ``whitespace``, ``characters``, or ``icu:LOCALE``.

    Raises:
        RecordError: the folder cannot be used.
        ExperimentError: there is no metric or tokeniser of that name.
        KeyboardInterrupt: interrupted; what judges said stays.
        MissingExtraError: the tokeniser needs a package that is not installed.
    """
    try:
        cut = tokenizer_named(tokenizer)
    except ValueError as fault:
        raise ExperimentError(str(fault)) from None
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    plan = Plan(load_experiment(folder))
    measured = measures(plan.experiment, metrics)
    with locked(folder), Writer(folder) as writer:
        if writer.mended:
            tell(writer.mended)
        beside = ask_others(folder, plan, measured, Terms(time.monotonic(), progress=progress, tell=tell))
        return settle(folder, plan, notes, tell, None, measured, cut, beside)


def ask_others(folder: Path, plan: Plan, measured: Measures, terms: Terms, earlier: tuple[Spent, ...] = ()) -> list[Asked]:
    """Ask judges and the endpoint for embeddings what the answers in `folder` lack of them; who was asked anything, and what it took."""
    from evalkit.scoring.embedding import embed

    out = judge(folder, plan, measured.judges, terms, earlier)
    if measured.embeddings is not None:
        out.append(embed(folder, plan, measured.embeddings, terms, (*earlier, *(one.spent for one in out))))
    out = [one for one in out if one.spent.requests]
    for one in out:
        write_run(folder, plan.experiment, sweep={"of": one.name, "ended": now_text(), **_what_it_took(one.spent)})
    return out


def narrowed(experiment: Experiment, limit: int | None) -> Experiment:
    """The experiment with its first `limit` prompts only."""
    return experiment if limit is None else experiment.model_copy(update={"prompts": experiment.prompts[:limit]})


def _unsent(plan: Plan, there: Standing, retry_failed: bool) -> Iterator[Request]:
    return (request for request in plan.sequence() if there.wants(request.key, retry_failed))


def report(run: Run, *, figures: bool = False) -> list[Path]:
    """Write ``report.html`` and ``report.md`` into the run's folder; the paths.

    Args:
        figures: put PNG files into its ``figures`` and show them in ``report.md``.

    Raises:
        RecordError: the run's records cannot be read, or the report cannot be written.
    """
    from evalkit.present.html import report as html
    from evalkit.present.markdown import report as markdown

    shown = _pictures(run) if figures else {}
    texts = {"report.html": html.page(run), "report.md": markdown.document(run, shown)}
    for name, text in texts.items():
        replace(run.folder / name, text.encode("utf-8", "replace"))
    return [*(run.folder / name for name in texts), *(run.folder / path for path in shown.values())]


def _pictures(run: Run) -> dict[str, str]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from evalkit.present import plots
    from evalkit.present.html.figures import pictures

    place = run.folder / "figures"
    make_inside(place)
    mpl.use("agg", force=False)
    out = {}
    for number, (title, draw) in enumerate(pictures(run).items()):
        name = f"{number}-{re.sub('[^A-Za-z0-9_-]', '_', title)[:60]}.png"
        with plots.style():
            plots.save(draw(), place / name)
        plt.close("all")
        out[title] = f"figures/{name}"
    return out
