"""A results folder: sweep into it, score it, load it. Every file of it is written from here."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from evalkit import checks
from evalkit import experiment as experiments
from evalkit.access import Access, bearer_key, opened
from evalkit.analysis import Analysis, analyse, encode, summary_csv
from evalkit.budget import Budget, Spent
from evalkit.choice import Choice, choose, confirmed, recommended_yaml
from evalkit.drift import sentence, trends
from evalkit.endpoint import LOCAL, Endpoint
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment import PER_REPLICATE, Experiment
from evalkit.folder import PROBE_FILE, RUN_FILE, is_run, locked, make, move_aside, now_text, read_run, replace, write_run
from evalkit.metrics import UAX29, Metric, Tokenizer, named
from evalkit.metrics import tokenizer as tokenizer_named
from evalkit.pace import MOST_AT_ONCE, Pace
from evalkit.parameters import DEFAULT
from evalkit.plan import Plan, Request
from evalkit.records import Record, Standing, Writer, read, standing
from evalkit.runner import INTERRUPTED, Policy, Tally
from evalkit.scores import MEASURED, PREFIXES, Scores, score, write_tables
from evalkit.sending import looked, sent, without_rejected

if TYPE_CHECKING:
    from evalkit.probe import Probe

CHOICE, RECOMMENDED = "choice.json", "recommended.yaml"
DERIVED = ("responses.parquet", "scores.parquet", "analysis.json", "summary.csv")
"""Files that can be made again from ``responses.jsonl`` and ``run.json``."""

_MOST_COMPLAINTS = 5


@dataclass(frozen=True)
class Pending:
    """What a sweep is about to send."""

    requests: int
    planned: int
    local: bool


@dataclass(frozen=True)
class Run:
    """A results folder with its scores.

    Attributes:
        notes: what the user should know, a sentence each.
        sent: how the requests of this time went; None where it was only scored.
    """

    folder: Path
    experiment: Experiment
    analysis: Analysis
    notes: tuple[str, ...] = ()
    sent: Tally | None = None
    choice: Choice | None = None

    @property
    def complete(self) -> bool:
        """Whether every planned request has its completion."""
        return self.analysis.counts.completions == self.analysis.counts.planned


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

    if budget.cost is not None and endpoint.prices is None:
        raise ExperimentError("--max-cost: costs are unknown; give endpoint.prices: {input: ..., output: ...}, a million tokens each")
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
    policy = Policy(max_tries=endpoint.max_tries, deadline_s=endpoint.deadline_s, patience_s=patience_s, budget=budget)

    def send(what: Plan, there: Standing, access: Access, writer: Writer, tally: Tally) -> Pace:
        """Send what `what` asks for and is not there, tell why where it stops before the end, and note in ``run.json`` how it went."""
        pace = _pace(what, fixed and access.at_once, access.at_once)
        unsent = _unsent(what, there, retry_failed)
        try:
            stopped = asyncio.run(sent(what, unsent, access, writer, tally, pace=pace, policy=_left(policy, began), progress=progress, note=tell))
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
        checked = access = None
        if requests:
            base_url = stack.enter_context(opened(endpoint))
            access = Access(base_url(), key, min(fixed or MOST_AT_ONCE, requests))
            checked = asyncio.run(looked(experiment, access, tally.spent, budget))
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
            pace = send(plan, there, access, writer, tally)
            tell(_paced(pace))
        result = _scored(folder, plan, notes, tell, tally)
        again = _fresh(result, plan, confirm_replicates, tell) if confirm_replicates else None
        if again is None or writer is None:
            return result
        there = standing(folder)
        requests = sum(1 for _ in _unsent(again, there, retry_failed))
        if requests and confirm(Pending(requests, len(again), endpoint.base_url == LOCAL)):
            url = stack.enter_context(opened(endpoint))() if access is None else access.base_url
            access = Access(url, key, min(fixed or MOST_AT_ONCE, requests))
            send(again, there, access, writer, Tally(requests, spent=tally.spent))
        return _scored(folder, plan, notes, lambda _: None, tally)


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
    endpoint = plan.experiment.endpoint
    pace = Pace(
        fixed,
        requests_per_minute=endpoint.requests_per_minute,
        tokens_per_minute=endpoint.tokens_per_minute,
        most=most,
        now=time.monotonic(),
    )
    pace.expect(max(1.0, (plan.tokens_in()[1] + (plan.most_tokens() or 0)) / max(1, len(plan))))  # until an answer tells what one uses
    return pace


def _left(policy: Policy, began: float) -> Policy:
    """The policy with the time that is left of its budget."""
    seconds = policy.budget.seconds
    return policy if seconds is None else policy._replace(budget=policy.budget._replace(seconds=max(0.0, seconds - (time.monotonic() - began))))


def _how_it_went(started: str, tally: Tally, pace: Pace, stopped: str | None) -> dict[str, Any]:
    spent = tally.spent
    return {
        "started": started,
        "ended": now_text(),
        "stopped": stopped,
        "requests": spent.requests,
        "completions": tally.completed,
        "failures": dict(tally.failed),
        "tokens_in": spent.tokens_in,
        "tokens_out": spent.tokens_out,
        "answers_without_usage": spent.uncounted,
        "cost": spent.cost,
        "currency": None if spent.prices is None else spent.prices.currency,
        "at_once": {"adaptive": pace.adaptive, "highest": pace.highest, "throttled": pace.throttled, "changes": pace.history},
    }


def _paced(pace: Pace) -> str:
    throttled = {0: "never throttled", 1: "throttled once", 2: "throttled twice"}.get(pace.throttled, f"throttled {pace.throttled:,} times")
    held = f"held {pace.limit} at once" if pace.limit == pace.highest else f"held {pace.limit} at once, {pace.highest} at the most"
    return f"{held}; {throttled}"


def pending(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Pending | None:
    """What a sweep would send now, given what stands in its folder; None where nothing stands there. Raises `RecordError`."""
    folder = folder or Path("results") / experiment.name
    if not is_run(folder):
        return None
    plan = Plan(experiment)
    there = standing(folder)
    return Pending(sum(1 for _ in _unsent(plan, there, retry_failed)), len(plan), experiment.endpoint.base_url == LOCAL)


def outlook(experiment: Experiment, pilot: Path | None, variances: Sequence[str], effects: Sequence[str]) -> list[str]:
    """What `experiment` can see, from given variances (``METRIC=BETWEEN,WITHIN``) or a pilot's folder: lines of text.

    Raises:
        ExperimentError: a variance or an effect makes no sense.
        RecordError: there is no pilot, or it has fewer than two cells or prompts.
    """
    from evalkit import power

    seen = power.given(variances, experiment.replicates)
    if not seen:
        folder = pilot or Path("results") / experiment.name
        if not folder.is_dir():
            raise RecordError(f"{folder}: no such run; sweep a pilot (--limit 5), or give --variance METRIC=BETWEEN,WITHIN")
        seen = power.of_pilot(load_experiment(folder), lambda: read(folder))
        if not seen:
            raise RecordError(f"{folder}: tells no variance; a pilot needs two cells and two prompts with answers")
    return power.told(experiment, power.outlook(experiment, seen, power.wanted(effects)))


@dataclass(frozen=True)
class Subject:
    """What a probe is of: an endpoint, and the levels that an experiment wants there; `name` is None for an endpoint alone."""

    endpoint: Endpoint
    swept: Mapping[str, Sequence[Any]]
    name: str | None

    def names(self) -> list[str]:
        """The parameters that are probed."""
        from evalkit.probe import KNOWN

        return [*KNOWN, *(name for name in self.swept if name not in KNOWN and name != "model")]


def subject_of_probe(experiment: Experiment | None, base_url: str | None, model: str | None, api_key_env: str | None) -> Subject:
    """The subject that these arguments name. Raises `ExperimentError` where they name none, or two."""
    if experiment is not None:
        if base_url or model or api_key_env:
            raise ExperimentError("an experiment and --base-url, --model or --api-key-env: give one or the other")
        swept = {name: [level for level in levels if level != DEFAULT] for name, levels in experiment.parameters.items()}
        fixed = {name: [value] for name, value in {**experiment.request, **experiment.endpoint.extra_body}.items() if value != PER_REPLICATE}
        return Subject(experiment.endpoint, swept | fixed, experiment.name)
    if not base_url or not model:
        raise ExperimentError("nothing to probe: give an experiment file, or --base-url URL")
    data = {"name": "probe", "endpoint": {"base_url": base_url, "model": model, "api_key_env": api_key_env}, "prompts": [{"id": "a", "user": "a"}]}
    return Subject(experiments.check(data, "the command line").endpoint, {}, None)


def only_model(base_url: str, api_key_env: str | None) -> str:
    """The one model that an endpoint lists; asks it. Raises `ExperimentError` where it lists none or several."""
    from evalkit.probe import only_model

    subject = subject_of_probe(None, base_url, "unknown", api_key_env)

    async def go(access: Access) -> frozenset[str] | None:
        async with access.client(subject.endpoint) as client:
            return await client.models()

    with opened(subject.endpoint) as url:
        listed = asyncio.run(go(Access(url(), bearer_key(subject.endpoint), 1)))
    name = only_model(listed or ())
    if name is None:
        found = f"it lists {', '.join(sorted(listed)[:10])}" if listed else "it lists none"
        raise ExperimentError(f"which model of {base_url}? {found}; give --model M")
    return name


def probe(subject: Subject, place: Path | None = None, *, most_calls: int = 200, at_once: int = 8, seed: int = 1) -> tuple[Probe, Path | None]:
    """Probe an endpoint; the result, and where it is written: to `place`, else into the experiment's results folder, else nowhere.

    Raises:
        EndpointError: the endpoint cannot be used.
        RecordError: the result cannot be written.
    """
    import numpy as np

    from evalkit import probe as probes

    if place is None and subject.name is not None:
        place = Path("results") / subject.name / PROBE_FILE
    key = bearer_key(subject.endpoint)

    async def go(access: Access) -> Probe:
        async with access.client(subject.endpoint) as client:
            return await probes.probe(
                client,
                base_url=subject.endpoint.base_url,
                model=subject.endpoint.model,
                at=now_text(),
                rng=np.random.default_rng(seed),
                most_calls=most_calls,
                at_once=at_once,
                swept=subject.swept,
            )

    with opened(subject.endpoint) as base_url:
        result = asyncio.run(go(Access(base_url(), key, at_once)))
    if place is not None:
        if place.parent.name and not place.parent.exists():
            make(place.parent)
        replace(place, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result, place


def objections(result: Probe, subject: Subject) -> list[str]:
    """What speaks against sweeping the subject's levels on this endpoint, a sentence each."""
    from evalkit import probe as probes

    return probes.objections(result, subject.swept)


def rescore(folder: Path, note: Callable[[str], None] = lambda _: None, *, metrics: Sequence[str] = (), tokenizer: str = "uax29") -> Run:
    """Score a results folder again from its records; sends nothing.

    Args:
        metrics: names of what is measured, ``default`` for the default ones; all that a sweep measures where empty.
        tokenizer: ``uax29``, ``whitespace``, ``characters``, or ``icu:LOCALE``.

    Raises:
        RecordError: the folder cannot be used.
        ExperimentError: there is no metric or tokeniser of that name.
        MissingExtraError: the tokeniser needs a package that is not installed.
    """
    try:
        chosen = named(metrics) if metrics else MEASURED
        cut = tokenizer_named(tokenizer)
    except ValueError as fault:
        raise ExperimentError(str(fault)) from None
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    plan = Plan(load_experiment(folder))
    with locked(folder), Writer(folder) as writer:
        if writer.mended:
            tell(writer.mended)
        return _scored(folder, plan, notes, tell, None, chosen, cut)


def narrowed(experiment: Experiment, limit: int | None) -> Experiment:
    """The experiment with its first `limit` prompts only."""
    return experiment if limit is None else experiment.model_copy(update={"prompts": experiment.prompts[:limit]})


def load_experiment(folder: Path) -> Experiment:
    """The experiment that a results folder was last run with. Raises `RecordError`."""
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such results folder; expected one that a sweep has made, like results/quickstart")
    data = read_run(folder)
    if data is None:
        raise RecordError(f"{folder}: no {RUN_FILE} in it; expected a folder that a sweep has made")
    return experiments.check(data["experiment"], str(folder / RUN_FILE))


def _unsent(plan: Plan, there: Standing, retry_failed: bool) -> Iterator[Request]:
    return (request for request in plan.sequence() if there.wants(request.key, retry_failed))


def _scored(
    folder: Path,
    plan: Plan,
    notes: list[str],
    tell: Callable[[str], None],
    sent: Tally | None,
    metrics: Sequence[Metric] = MEASURED,
    tokenizer: Tokenizer = UAX29,
) -> Run:
    scorers: list[checks.Scorer] = []
    if metrics is MEASURED:
        own = checks.metrics(plan.experiment.checks, any(prompt.expect is not None for prompt in plan.experiment.prompts))
        metrics, scorers = (*MEASURED, *own), [checks.scorer(one) for one in plan.experiment.scorers]
    beside: list[Record] = []  # anchors and fresh replicates, few as they are, so that the file is read once
    scores = score(plan, _of_the_sweep(read(folder), beside), metrics, tokenizer, scorers=scorers)
    for line in scores.complaints[:_MOST_COMPLAINTS]:
        tell(f"warning: a scorer failed, which leaves its value out: {line}")
    if len(scores.complaints) > _MOST_COMPLAINTS:
        tell(f"warning: {len(scores.complaints) - _MOST_COMPLAINTS} more failures of scorers")
    analysis = analyse(scores)
    choice = choose(scores, analysis)
    again = _confirm_plan(beside, plan) if choice is not None else None
    if choice is not None and again is not None:
        choice = confirmed(choice, scores, score(again, beside))
    _write_derived(folder, scores, analysis)
    _write_choice(folder, choice, plan.experiment)
    write_run(folder, plan.experiment, counts=analysis.counts)
    for name, pairs in scores.without_effect.items():
        tell(
            f"warning: {name} changed no answer in any of {pairs} pairs that differ in it alone: "
            f"the endpoint seems to ignore it; 'evalkit probe' finds out"
        )
    for name, count in scores.unmet.items():
        tell(f"warning: {count} answers are not as asked for in '{name}' (see 'unmet' in the records)")
    if scores.outside:
        tell(
            f"{scores.outside} recorded requests are not in this plan (other levels, prompts or replicates): kept in the file, left out of the scores"
        )
    anchors = plan.anchor_count
    if anchors and (found := trends(beside)) is not None:
        tell(sentence(found, anchors))
    if scores.groups_left_out:
        tell(f"{scores.groups_left_out} groups have fewer than {scores.k} answers with text and are left out of the metrics over replicates")
    if scores.completions:
        for line in _of_prefix(scores):
            tell(line)
    if scores.uncounted:
        tell(
            f"{scores.uncounted} answers have no length_tokens: the endpoint counts no tokens for them, or those of several answers together; "
            "natural lengths are then in words"
        )
    return Run(folder, plan.experiment, analysis, tuple(notes), sent, choice)


def _of_the_sweep(records: Iterable[Record], beside: list[Record]) -> Iterator[Record]:
    """The records of the sweep; the others go into `beside`."""
    for record in records:
        if record.role == "sweep":
            yield record
        else:
            beside.append(record)


def _confirm_plan(beside: Sequence[Record], plan: Plan) -> Plan | None:
    """The plan of the fresh replicates that the records hold; None where they hold none."""
    replicates = {record.replicate for record in beside if record.role == "confirm"}
    if not replicates:
        return None
    return Plan(plan.experiment, role="confirm", first=min(replicates), count=max(replicates) - min(replicates) + 1)


def _of_prefix(scores: Scores) -> Iterator[str]:
    """What must be said of the prefix that metrics biased by length are compared on."""
    uncompared = ", ".join(metric.name for metric in scores.metrics if not scores.compared(metric))
    if scores.prefix is None:
        if uncompared:
            yield (
                f"too few answers have {PREFIXES[0]} tokens: {uncompared} depend on length, and are shown on whole answers, not to be compared "
                "where lengths differ"
            )
        return
    if uncompared:
        yield (
            f"the {scores.prefix.tokens} tokens that all cells' answers have are too few for {uncompared}, which are shown on whole answers, "
            "not to be compared where lengths differ"
        )
    if scores.prefix.left_out:
        yield (
            f"cells {_numbers(scores.prefix.left_out)} have too few answers of {scores.prefix.tokens} tokens, on which metrics biased by "
            "length are compared: they are left out of those"
        )
    biased = [cell for cell in scores.prefix.biased if cell not in scores.prefix.left_out]
    if biased:
        yield (
            f"warning: in cells {_numbers(biased)} markedly fewer answers reach the {scores.prefix.tokens} tokens that metrics biased by length "
            "are compared on; what is left of them is a selection"
        )


def _numbers(cells: Sequence[int]) -> str:
    return ", ".join(map(str, cells[:10])) + (f" and {len(cells) - 10} more" if len(cells) > 10 else "")


def _write_derived(folder: Path, scores: Scores, analysis: Analysis) -> None:
    temporary = f".{os.getpid()}.tmp"
    try:
        write_tables(folder, scores, temporary)
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").replace(folder / name)
    finally:
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").unlink(missing_ok=True)
    replace(folder / "analysis.json", encode(analysis))
    replace(folder / "summary.csv", summary_csv(analysis).encode("utf-8"))


def _write_choice(folder: Path, choice: Choice | None, experiment: Experiment) -> None:
    """``choice.json``, and ``recommended.yaml`` where something is recommended; what an earlier choice left behind is taken away."""
    (folder / RECOMMENDED).unlink(missing_ok=True)
    if choice is None:
        (folder / CHOICE).unlink(missing_ok=True)
        return
    replace(folder / CHOICE, msgspec.json.format(msgspec.json.encode(choice), indent=1))
    if choice.chosen is not None:
        replace(folder / RECOMMENDED, recommended_yaml(choice, experiment, experiment.digest()).encode("utf-8"))
