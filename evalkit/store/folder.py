"""The files of a results folder: who holds it, what was run in it, and how a file is replaced whole or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import EISDIR
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from evalkit._version import __version__
from evalkit.errors import RecordError
from evalkit.experiment.experiment import SEEDS, Experiment, Seeds, check
from evalkit.experiment.parameters import PER_REPLICATE, canonical
from evalkit.store.records import RESPONSES

VERSION = 1
RUN_FILE = "run.json"
LOCK_FILE = ".lock"
HOLDER_FILE = ".holder"
PROBE_FILE = "probe.json"
ANALYSIS, CHOICE, SUMMARY = "analysis.json", "choice.json", "summary.csv"
RESPONSES_TABLE, SCORES_TABLE = "responses.parquet", "scores.parquet"
RECOMMENDED = "recommended.yaml"

_MOST_SWEEPS = 100
_HASHED = 64 * 2**20
_PACKAGES = ("aiohttp", "numpy", "scipy", "msgspec", "regex", "rapidfuzz", "duckdb", "icu4py", "jsonschema")


def now_text() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def check_name(folder: Path) -> None:
    """Raise `RecordError` where a folder's name is no Unicode text, which no table or JSON file could tell of."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise RecordError(f"{folder}: this name is not in UTF-8; rename the folder, or give another place") from None


def make(folder: Path) -> None:
    """Make the folder, readable by its owner alone; raises `RecordError` where it cannot be used."""
    check_name(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as fault:
        raise RecordError(f"{folder}: the results folder cannot be made: {fault.strerror}; give another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecordError(f"{folder}: the results folder cannot be written to; give another folder")
    if not is_run(folder) and any(one.name not in (LOCK_FILE, HOLDER_FILE, PROBE_FILE) and one.suffix != ".tmp" for one in folder.iterdir()):
        raise RecordError(f"{folder}: this folder holds other files and no run; give an empty or a new one")


def make_inside(folder: Path) -> None:
    """Make a folder in a results folder; raises `RecordError` where it cannot be made."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as fault:
        raise RecordError(f"{folder}: cannot be made: {fault.strerror}") from None


def is_run(folder: Path) -> bool:
    """Whether a run stands there."""
    return any((folder / name).exists() for name in (RUN_FILE, RESPONSES))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder; raises `RecordError`, saying by whom, where another process does."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RecordError(
            f"{folder}: another sweep{_holder(folder)} is writing into this folder; wait for it to end (or give a sweep another folder)"
        ) from None
    except OSError as fault:
        raise RecordError(f"{folder}: cannot be locked: {fault.strerror}") from None
    holder = folder / HOLDER_FILE
    mine = f"process {os.getpid()} on {socket.gethostname()} since {now_text()}"
    try:
        # Beside the lock and not in it: who finds it taken may truncate it.
        holder.write_text(mine)
        yield
    except OSError as fault:
        if fault.filename != str(holder):
            raise
        raise RecordError(f"{holder}: cannot be written: {fault.strerror}") from None
    finally:
        with suppress(OSError):
            if holder.read_text() == mine:  # the folder may have been moved, and another made in its place
                holder.unlink()
        lock.release()


def _holder(folder: Path) -> str:
    try:
        said = (folder / HOLDER_FILE).read_text(errors="replace").strip()
    except OSError:
        return ""
    return f" ({said[:200]})" if said else ""


def move_aside(folder: Path) -> Path:
    """Rename the folder to ``<folder>.<UTC time>``; gives the new path."""
    folder = folder.absolute()
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for number in range(100):
        aside = folder.with_name(f"{folder.name}.{stamp}Z" + (f"-{number}" if number else ""))
        if not aside.exists():
            try:
                folder.rename(aside)
                (aside / HOLDER_FILE).unlink(missing_ok=True)
            except OSError as fault:
                raise RecordError(f"{folder}: cannot be moved aside: {fault.strerror}; move it yourself") from None
            return aside
    raise RecordError(f"{folder}: cannot be moved aside; move it yourself")


def read_run(folder: Path) -> dict[str, Any] | None:
    """What ``run.json`` holds; None where there is none. Raises `RecordError` where it is something else."""
    path = folder / RUN_FILE
    try:
        data = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    except (msgspec.MsgspecError, RecursionError):
        data = None
    if not isinstance(data, dict) or not isinstance(data.get("experiment"), dict) or not isinstance(data.get("prompts"), dict):
        raise RecordError(f"{path}: not a run.json of evalkit; mend it, or move it away and run again")
    return data


def shard_in(folder: Path) -> str:
    """Which shard of an experiment a results folder holds, like ``3/16``; empty where it is none. Raises `RecordError`."""
    return _shard_in(read_run(folder) or {})


def _shard_in(run: dict[str, Any]) -> str:
    said = run.get("shard", "")
    return said if isinstance(said, str) else ""


def is_merged(folder: Path) -> bool:
    """Whether a results folder was joined from several, so that its records stand in the order of those. Raises `RecordError`."""
    return bool((read_run(folder) or {}).get("merged"))


def check_shard(folder: Path, wanted: str) -> None:
    """Raise `RecordError` where a folder holds another part of an experiment than `wanted`, which is empty for the whole."""
    if not is_run(folder):
        return
    there = shard_in(folder)
    if there and there != wanted:
        raise RecordError(
            f"{folder}: holds shard {there} of an experiment, and {f'shard {wanted}' if wanted else 'the whole'} is asked for; "
            f"go on with shard {there}, give another folder, or merge the shards first"
        )
    if wanted and not there:
        raise RecordError(f"{folder}: holds a run that is no shard, and shard {wanted} is asked for; give another folder")


def load_experiment(folder: Path) -> Experiment:
    """The experiment that a results folder was last run with, none of whose commands is run. Raises `RecordError`, also for a shard of one."""
    return experiment_in(read_whole(folder), folder)


def read_experiment(folder: Path) -> Experiment:
    """As `load_experiment`, also of a shard."""
    return experiment_in(_read_some(folder), folder)


def experiment_in(run: dict[str, Any], folder: Path) -> Experiment:
    """The experiment that stands in what the ``run.json`` of `folder` holds. Raises `RecordError`."""
    return check(run["experiment"], str(folder / RUN_FILE)).stored().with_seeds(_seeds_in(run, folder))


def read_whole(folder: Path) -> dict[str, Any]:
    """What the ``run.json`` of a results folder holds that is no shard. Raises `RecordError`."""
    run = _read_some(folder)
    if there := _shard_in(run):
        raise RecordError(
            f"{folder}: holds shard {there} of an experiment, and a part is neither scored nor decided on; "
            "merge it with the others: evalkit merge FOLDER... -o RUN"
        )
    return run


def _read_some(folder: Path) -> dict[str, Any]:
    check_name(folder)
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such results folder; expected one that a sweep has made, like results/quickstart")
    run = read_run(folder)
    if run is None:
        raise RecordError(f"{folder}: no {RUN_FILE} in it; expected a folder that a sweep has made")
    return run


def seeds_of(folder: Path) -> Seeds:
    """How the seeds of replicates are made in a results folder: as it was begun, for a seed is part of what identifies a request.

    Raises:
        RecordError: its ``run.json`` cannot be read, or names a way that this evalkit does not know.
    """
    return _seeds_in(read_run(folder), folder)


def _seeds_in(run: dict[str, Any] | None, folder: Path) -> Seeds:
    if run is None:
        return "hashed"
    said = run.get("seeds")
    if said is None:  # of an evalkit that knew one way alone
        request = run["experiment"].get("request")
        return "consecutive" if isinstance(request, dict) and request.get("seed") == PER_REPLICATE else "hashed"
    for one in SEEDS:
        if said == one:
            return one
    raise RecordError(
        f"{folder / RUN_FILE}: its seeds are made in a way that this evalkit does not know; use the evalkit that wrote it, or a newer one"
    )


def _digest(messages: list[dict[str, Any]]) -> str:
    return hashlib.sha256(msgspec.json.encode(canonical(messages))).hexdigest()[:16]


def reworded(folder: Path, experiment: Experiment) -> list[str]:
    """Prompts, by their ids, that were asked in other words before, and never in these. Raises `RecordError`."""
    known = (read_run(folder) or {}).get("prompts", {}) if is_run(folder) else {}
    asked = {name: {one["hash"] for one in versions} for name, versions in known.items()}
    return [prompt.id for prompt in experiment.prompts if prompt.id in asked and _digest(prompt.conversation()) not in asked[prompt.id]]


def write_run(
    folder: Path,
    experiment: Experiment,
    *,
    counts: Any = None,
    preflight: Any = None,
    sweep: Any = None,
    made: Any = None,
    shard: str = "",
    before: dict[str, Any] | None = None,
) -> None:
    """``run.json``: what was run with what. Versions of prompts that were ever sent are added to, never taken away.

    Args:
        counts: those of the last scoring, None while a sweep is under way.
        preflight: what was tried before the last sweep.
        sweep: how a sweep went, to be added to those before.
        made: what the tables were made of, None while they are not made.
        shard: which part of the experiment stands there, like ``3/16``; once said it stays.
        before: what stood there before; what the folder holds where None.
    """
    before = (read_run(folder) or {}) if before is None else before
    now = now_text()
    prompts: dict[str, list[Any]] = before.get("prompts", {})
    for prompt in experiment.prompts:
        messages = prompt.conversation()
        digest = _digest(messages)
        versions = prompts.setdefault(prompt.id, [])
        if all(one["hash"] != digest for one in versions):
            versions.append({"hash": digest, "since": now, "tags": prompt.tags, "messages": messages})
    data = {
        "v": VERSION,
        "name": experiment.name,
        "digest": experiment.digest(),
        "created": before.get("created", now),
        "updated": now,
        "versions": {"evalkit": __version__, "python": platform.python_version(), "system": platform.platform(), **package_versions()},
        "counts": counts,
        "made": made,
        "preflight": preflight or before.get("preflight"),
        "sweeps": [*before.get("sweeps", []), *([] if sweep is None else [sweep])][-_MOST_SWEEPS:],
        "seeds": experiment.seeds,
        "experiment": experiment.resolved(),
        "prompts": prompts,
    }
    data.update({name: before[name] for name in ("shard", "merged") if name in before})
    if shard:
        data["shard"] = shard
    replace(folder / RUN_FILE, msgspec.json.format(msgspec.json.encode(data), indent=1))


def fingerprint(path: Path) -> str | None:
    """What tells a file from what it was, its size and its hash; None where there is none."""
    try:
        with path.open("rb") as file:
            return f"{os.fstat(file.fileno()).st_size} {hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError:
        return None


def _as_it_was(path: Path, was: str | None) -> bool:
    """Whether a file has the fingerprint that it had; of a large one the size alone is looked at."""
    try:
        size = path.stat().st_size
    except OSError:
        return was is None
    if was is None or was.partition(" ")[0] != str(size):
        return False
    return size > _HASHED or fingerprint(path) == was


def outdated(folder: Path, run: dict[str, Any]) -> str | None:
    """Why the tables of a run may not be those of what is recorded; None where nothing says so. `run` is what its ``run.json`` holds."""
    if "made" not in run:
        return None  # of an evalkit that did not say
    if not isinstance(run["made"], dict):
        return "a sweep was begun after these tables were made and goes on, or was cut off"
    files = run["made"].get("files")
    changed = [name for name, was in files.items() if not _as_it_was(folder / name, was)] if isinstance(files, dict) else []
    return f"{' and '.join(changed)} changed after these tables were made" if changed else None


def write_joined(folder: Path, experiment: Experiment, runs: Sequence[dict[str, Any]], names: Sequence[str]) -> None:
    """``run.json`` of several runs put together: every version of a prompt that any of them sent, and how the sending of each went.

    Args:
        runs: what their ``run.json`` hold; `names` of their folders.
    """
    prompts: dict[str, list[Any]] = {}
    for run in runs:
        for name, versions in run.get("prompts", {}).items():
            there = prompts.setdefault(name, [])
            there += [one for one in versions if all(one.get("hash") != other.get("hash") for other in there)]
    sweeps = [one for run in runs for one in run.get("sweeps", []) if isinstance(one, dict)]
    before = {
        "created": min((str(run["created"]) for run in runs if run.get("created")), default=now_text()),
        "prompts": {name: sorted(versions, key=lambda one: str(one.get("since", ""))) for name, versions in prompts.items()},
        "preflight": next((run["preflight"] for run in runs if run.get("preflight")), None),
        "sweeps": sorted(sweeps, key=lambda one: str(one.get("ended", ""))),
        "merged": list(dict.fromkeys([*(name for run in runs for name in run.get("merged", [])), *names])),
    }
    write_run(folder, experiment, before=before)


@cache
def package_versions() -> dict[str, str]:
    """The versions of the packages that a run stands on, as far as they are installed."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_output(path: Path) -> None:
    """Raise `RecordError` where a file that a user names is one that nothing can make again."""
    if path.name in (RESPONSES, RUN_FILE) and path.exists():
        raise RecordError(f"{path}: this file records a run and is not written over; give another name")


def replace(path: Path, content: bytes) -> None:
    """Write a whole file or none of it; a device or a pipe, like ``/dev/stdout``, is written to and stays. Raises `RecordError`."""
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(content)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as fault:
        raise RecordError(f"{path}: cannot be written: {fault.strerror}") from None
