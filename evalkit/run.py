"""A results folder: sweep into it, score it, load it. Every file of it is written from here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from evalkit import __version__
from evalkit import experiment as experiments
from evalkit.analysis import Analysis, Counts, analyse, encode, summary_csv
from evalkit.choice import Choice, choose, confirmed, recommended_yaml
from evalkit.errors import AuthError, EndpointError, ExperimentError, RecordError
from evalkit.experiment import LOCAL, PER_REPLICATE, Endpoint, Experiment
from evalkit.parameters import DEFAULT, canonical
from evalkit.plan import Plan, Request
from evalkit.records import FILE as RESPONSES
from evalkit.records import NOT_SENT_AGAIN, Completion, Kind, Writer, read
from evalkit.runner import Tally
from evalkit.scores import Scores, level_text, score, write_tables

if TYPE_CHECKING:
    from evalkit.client import Client
    from evalkit.preflight import Checked, Preflight
    from evalkit.probe import Probe

VERSION = 1
RUN_FILE = "run.json"
LOCK_FILE = ".lock"
PROBE_FILE = "probe.json"
CHOICE, RECOMMENDED = "choice.json", "recommended.yaml"
DERIVED = ("responses.parquet", "scores.parquet", "analysis.json", "summary.csv")
"""Files that can be made again from ``responses.jsonl`` and ``run.json``."""

_PACKAGES = ("openai", "aiohttp", "numpy", "msgspec", "regex", "duckdb")


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
        confirm_replicates: fresh replicates to send for the chosen cell, the best and the runner-up.
        confirm: asked before anything is sent; False ends without doing anything, and gives None.
        progress: called after every outcome.
        note: called with each thing the user should know, as it comes up.

    Raises:
        RecordError: the folder cannot be used, or another process uses it.
        EndpointError, AuthError: the endpoint cannot be used; what was recorded stays.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    experiment = narrowed(experiment, limit)
    folder = folder or Path("results") / experiment.name
    plan = Plan(experiment)
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    for warning in experiment.warnings():
        tell(f"warning: {warning}")
    for reason in plan.design.merged:
        tell(f"merged: {reason}")
    for reason in plan.design.beware:
        tell(f"design: {reason}")
    key = _key(experiment.endpoint)
    _make(folder)
    if fresh and _is_run(folder):
        with _locked(folder):
            aside = _move_aside(folder)
        tell(f"the run that stood there is kept in {aside}")
        _make(folder)
    with _locked(folder), Writer(folder) as writer:
        if writer.mended:
            tell(writer.mended)
        states = _states(folder)
        requests = sum(1 for _ in _unsent(plan, states, retry_failed))
        if requests and not confirm(Pending(requests, len(plan), experiment.endpoint.base_url == LOCAL)):
            return None
        tally = Tally(requests)
        _write_run(folder, experiment)
        progress(tally)
        if requests:
            with _endpoint(experiment.endpoint) as base_url:
                ways = _Ways(base_url(), key, min(concurrency or experiment.endpoint.concurrency, requests))
                checked = asyncio.run(_checked(experiment, ways))
                rejected = checked.rejected
                if rejected:
                    plan = Plan(_without_rejected(experiment, rejected, skip_rejected, tell))
                    tally = Tally(sum(1 for _ in _unsent(plan, states, retry_failed)))
                _write_run(folder, plan.experiment, preflight=checked)
                stopped = asyncio.run(_sent(plan, _unsent(plan, states, retry_failed), ways, writer, tally, progress))
            if stopped:
                tell(f"stopped: {stopped}")
        result = _scored(folder, plan, notes, tell, tally)
        again = _fresh(result, plan, confirm_replicates, tell) if confirm_replicates else None
        if again is None:
            return result
        states = _states(folder)
        requests = sum(1 for _ in _unsent(again, states, retry_failed))
        if requests and confirm(Pending(requests, len(again), experiment.endpoint.base_url == LOCAL)):
            with _endpoint(experiment.endpoint) as base_url:
                ways = _Ways(base_url(), key, min(concurrency or experiment.endpoint.concurrency, requests))
                stopped = asyncio.run(_sent(again, _unsent(again, states, retry_failed), ways, writer, Tally(requests), progress))
            if stopped:
                tell(f"stopped: {stopped}")
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


def pending(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Pending | None:
    """What a sweep would send now, given what stands in its folder; None where nothing stands there. Raises `RecordError`."""
    folder = folder or Path("results") / experiment.name
    if not _is_run(folder):
        return None
    plan = Plan(experiment)
    states = _states(folder)
    return Pending(sum(1 for _ in _unsent(plan, states, retry_failed)), len(plan), experiment.endpoint.base_url == LOCAL)


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
        raise ExperimentError("nothing to probe: give an experiment file, or --base-url URL and --model M")
    data = {"name": "probe", "endpoint": {"base_url": base_url, "model": model, "api_key_env": api_key_env}, "prompts": [{"id": "a", "user": "a"}]}
    return Subject(experiments.check(data, "the command line").endpoint, {}, None)


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
    key = _key(subject.endpoint)

    async def go(ways: _Ways) -> Probe:
        async with ways.client(subject.endpoint) as client:
            return await probes.probe(
                client,
                base_url=subject.endpoint.base_url,
                model=subject.endpoint.model,
                at=_now(),
                rng=np.random.default_rng(seed),
                most_calls=most_calls,
                at_once=at_once,
                swept=subject.swept,
            )

    with _endpoint(subject.endpoint) as base_url:
        result = asyncio.run(go(_Ways(base_url(), key, at_once)))
    if place is not None:
        if place.parent.name and not place.parent.exists():
            _make(place.parent)
        _replace(place, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result, place


def objections(result: Probe, subject: Subject) -> list[str]:
    """What speaks against sweeping the subject's levels on this endpoint, a sentence each."""
    from evalkit import probe as probes

    return probes.objections(result, subject.swept)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def rescore(folder: Path, note: Callable[[str], None] = lambda _: None) -> Run:
    """Score a results folder again from its records; sends nothing. Raises `RecordError`."""
    notes: list[str] = []

    def tell(text: str) -> None:
        notes.append(text)
        note(text)

    plan = Plan(load_experiment(folder))
    with _locked(folder), Writer(folder) as writer:
        if writer.mended:
            tell(writer.mended)
        return _scored(folder, plan, notes, tell, None)


def narrowed(experiment: Experiment, limit: int | None) -> Experiment:
    """The experiment with its first `limit` prompts only."""
    return experiment if limit is None else experiment.model_copy(update={"prompts": experiment.prompts[:limit]})


def load_experiment(folder: Path) -> Experiment:
    """The experiment that a results folder was last run with. Raises `RecordError`."""
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such results folder; expected one that a sweep has made, like results/quickstart")
    data = _read_run(folder)
    if data is None:
        raise RecordError(f"{folder}: no {RUN_FILE} in it; expected a folder that a sweep has made")
    return experiments.check(data["experiment"], str(folder / RUN_FILE))


def _key(endpoint: Endpoint) -> str | None:
    name = endpoint.api_key_env
    if endpoint.base_url == LOCAL or name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise AuthError(f"the environment variable {name} is not set, and endpoint.api_key_env names it for the key; run: export {name}=...")
    return key


class _Ways(NamedTuple):
    """How the endpoint is reached this time; plain data, the key included, so never to be shown."""

    base_url: str
    key: str | None
    at_once: int

    def client(self, endpoint: Endpoint) -> Client:
        from evalkit.client import Client

        headers, secrets = {}, []
        for name, value in endpoint.headers.items():
            try:
                headers[name] = experiments.expand(value)
            except ValueError as fault:
                raise ExperimentError(f"endpoint.headers.{name}: {fault}") from None
            if headers[name] != value:
                secrets += [headers[name], headers[name].rpartition(" ")[2]]
        return Client(
            self.base_url,
            self.key,
            concurrency=self.at_once,
            loopback=endpoint.base_url == LOCAL,
            timeout_s=endpoint.timeout_s,
            headers=headers,
            secrets=secrets,
            verify=endpoint.verify,
            organization=endpoint.organization,
            project=endpoint.project,
        )


@contextmanager
def _endpoint(endpoint: Endpoint) -> Iterator[Callable[[], str]]:
    """The base URL, to be asked for when it is needed: the embedded endpoint starts meanwhile."""
    if endpoint.base_url != LOCAL:
        yield lambda: endpoint.base_url
        return
    from evalkit.embedded import Embedded

    with Embedded() as child:
        import openai  # noqa: F401  (takes as long as the child takes to start: both at once)

        yield child.base_url


async def _checked(experiment: Experiment, ways: _Ways) -> Preflight:
    from evalkit.preflight import check

    async with ways.client(experiment.endpoint) as client:
        return await check(client, experiment)


async def _sent(plan: Plan, requests: Iterator[Request], ways: _Ways, writer: Writer, tally: Tally, progress: Callable[[Tally], None]) -> str | None:
    from evalkit import runner

    endpoint = plan.experiment.endpoint
    async with ways.client(endpoint) as client:
        return await runner.run(
            requests,
            client,
            writer.append,
            tally,
            concurrency=ways.at_once,
            together=endpoint.replicates_per_call,
            progress=progress,
            proven=True,  # the look before it was answered
        )


def _without_rejected(experiment: Experiment, rejected: list[Checked], skip: bool, tell: Callable[[str], None]) -> Experiment:
    from evalkit.preflight import advice, without

    told = []
    for one in rejected:
        failure = one.failure
        if failure is not None:
            told.append(f"{one.parameter}={level_text(one.level)} is rejected (HTTP {failure.status}): {failure.message}{advice(failure)}")
    if not skip:
        raise EndpointError(
            "the endpoint does not take every level of this experiment; nothing was sent of it.\n"
            + "\n".join(told)
            + "\nTake these levels out, or run with --skip-rejected to leave them out this time"
        )
    for line in told:
        tell(f"left out: {line}")
    return without(experiment, rejected)


def _states(folder: Path) -> dict[str, Kind | None]:
    """For each key in the file: None once it has a completion, else the kind of its last failure."""
    states: dict[str, Kind | None] = {}
    for record in read(folder):
        if isinstance(record.outcome, Completion):
            states[record.key] = None
        elif states.get(record.key, "") is not None:
            states[record.key] = record.outcome.kind
    return states


def _unsent(plan: Plan, states: dict[str, Kind | None], retry_failed: bool) -> Iterator[Request]:
    for request in plan:
        if request.key in states:
            kind = states[request.key]
            if kind is None or (kind in NOT_SENT_AGAIN and not retry_failed):
                continue
        yield request


def _scored(folder: Path, plan: Plan, notes: list[str], tell: Callable[[str], None], sent: Tally | None) -> Run:
    scores = score(plan, read(folder))
    analysis = analyse(scores)
    choice = choose(scores, analysis)
    again = _confirm_plan(folder, plan) if choice is not None else None
    if choice is not None and again is not None:
        choice = confirmed(choice, scores, score(again, read(folder)))
    _write_derived(folder, scores, analysis)
    _write_choice(folder, choice, plan.experiment)
    _write_run(folder, plan.experiment, analysis.counts)
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
    if scores.groups_left_out:
        tell(f"{scores.groups_left_out} groups have fewer than {scores.k} answers with text and are left out of the metrics over replicates")
    return Run(folder, plan.experiment, analysis, tuple(notes), sent, choice)


def _confirm_plan(folder: Path, plan: Plan) -> Plan | None:
    """The plan of the fresh replicates that the records hold; None where they hold none."""
    replicates = {record.replicate for record in read(folder) if record.role == "confirm"}
    if not replicates:
        return None
    return Plan(plan.experiment, role="confirm", first=min(replicates), count=max(replicates) - min(replicates) + 1)


def _make(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        raise RecordError(f"{folder}: the results folder cannot be made: {fault.strerror}; give another place with -o") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{folder}: the results folder cannot be written to; give another place with -o")
    if not _is_run(folder) and any(one.name not in (LOCK_FILE, PROBE_FILE) and one.suffix != ".tmp" for one in folder.iterdir()):
        raise RecordError(f"{folder}: this folder holds other files and no run; give an empty or a new one with -o")


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RUN_FILE, RESPONSES))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RecordError(
            f"{folder}: another sweep is writing into this folder; wait for it to end (or give a sweep another place with -o)"
        ) from None
    except OSError as fault:
        raise RecordError(f"{folder}: cannot be locked: {fault.strerror}") from None
    try:
        yield
    finally:
        lock.release()


def _move_aside(folder: Path) -> Path:
    folder = folder.absolute()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for number in range(100):
        aside = folder.with_name(f"{folder.name}.{stamp}Z" + (f"-{number}" if number else ""))
        if not aside.exists():
            try:
                folder.rename(aside)
            except OSError as fault:
                raise RecordError(f"{folder}: cannot be moved aside: {fault.strerror}; move it yourself") from None
            return aside
    raise RecordError(f"{folder}: cannot be moved aside; move it yourself")


def _read_run(folder: Path) -> dict[str, Any] | None:
    path = folder / RUN_FILE
    try:
        data = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    except msgspec.MsgspecError:
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict) or not isinstance(data.get("prompts"), dict):
        raise RecordError(f"{path}: not a run.json of evalkit; mend it, or move it away and run again")
    return data


def _write_run(folder: Path, experiment: Experiment, counts: Counts | None = None, preflight: Preflight | None = None) -> None:
    """``run.json``: what was run with what. Versions of prompts that were ever sent are added to, never taken away.

    `counts` are those of the last scoring, None while a sweep is under way.
    """
    before = _read_run(folder) or {}
    now = _now()
    prompts: dict[str, list[Any]] = before.get("prompts", {})
    for prompt in experiment.prompts:
        messages = prompt.conversation()
        digest = hashlib.sha256(msgspec.json.encode(canonical(messages))).hexdigest()[:16]
        versions = prompts.setdefault(prompt.id, [])
        if all(one["hash"] != digest for one in versions):
            versions.append({"hash": digest, "since": now, "tags": prompt.tags, "messages": messages})
    data = {
        "v": VERSION,
        "name": experiment.name,
        "digest": experiment.digest(),
        "created": before.get("created", now),
        "updated": now,
        "versions": {"evalkit": __version__, "python": platform.python_version(), "system": platform.platform(), **_versions()},
        "counts": counts,
        "preflight": preflight or before.get("preflight"),
        "experiment": experiment.resolved(),
        "prompts": prompts,
    }
    _replace(folder / RUN_FILE, msgspec.json.format(msgspec.json.encode(data), indent=1))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write_derived(folder: Path, scores: Scores, analysis: Analysis) -> None:
    temporary = f".{os.getpid()}.tmp"
    try:
        write_tables(folder, scores, temporary)
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").replace(folder / name)
    finally:
        for name in DERIVED[:2]:
            (folder / f"{name}{temporary}").unlink(missing_ok=True)
    _replace(folder / "analysis.json", encode(analysis))
    _replace(folder / "summary.csv", summary_csv(analysis).encode("utf-8"))


def _write_choice(folder: Path, choice: Choice | None, experiment: Experiment) -> None:
    """``choice.json``, and ``recommended.yaml`` where something is recommended; what an earlier choice left behind is taken away."""
    (folder / RECOMMENDED).unlink(missing_ok=True)
    if choice is None:
        (folder / CHOICE).unlink(missing_ok=True)
        return
    _replace(folder / CHOICE, msgspec.json.format(msgspec.json.encode(choice), indent=1))
    if choice.chosen is not None:
        _replace(folder / RECOMMENDED, recommended_yaml(choice, experiment, experiment.digest()).encode("utf-8"))


def _replace(path: Path, content: bytes) -> None:
    """Write a whole file or none of it."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as fault:
        raise RecordError(f"{path}: cannot be written: {fault.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
