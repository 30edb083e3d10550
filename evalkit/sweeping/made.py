"""What the tables of a run were made of: where nothing of that has changed since, they are read and not made again.

Everything that they come of is hashed: the records, judgements, embeddings, executions, ratings and the course of a race, the experiment as it is
read, what is measured, the sources of scorers, of evalkit itself with its profiles, and the versions of what it stands on. ``run.json`` keeps the
hash and one of each table, for a table that was deleted or altered is made again too.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from evalkit.metrics.tokens import UAX29, Tokenizer
from evalkit.plan.requests import Plan
from evalkit.run import Run, as_scored
from evalkit.scoring.metric_set import Measures
from evalkit.store import embeddings, executions, judgements, ratings
from evalkit.store.folder import ANALYSIS, CHOICE, RECOMMENDED, RESPONSES_TABLE, SCORES_TABLE, SUMMARY, fingerprint, package_versions, read_run
from evalkit.store.race import RACE
from evalkit.store.records import RESPONSES
from evalkit.sweeping.rules import rules
from evalkit.sweeping.sources import digest_of

TABLES = (RESPONSES_TABLE, SCORES_TABLE, ANALYSIS, SUMMARY, CHOICE, RECOMMENDED)
"""Files that can be made again."""
_RECORDED = (RESPONSES, judgements.FILE, embeddings.FILE, executions.FILE, ratings.FILE, RACE)


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What tables were made of.

    Attributes:
        inputs: the hash of all that they come of; None where they are to be made anew each time.
        tables: the hash of each, None where there is none.
        files: what the files that hold what was recorded were like, as `evalkit.store.folder.fingerprint` gives it.
    """

    v: int = 1
    inputs: str | None
    tables: dict[str, str | None]
    files: dict[str, str | None]


def inputs_of(folder: Path, plan: Plan, measured: Measures, tokenizer: Tokenizer = UAX29, files: dict[str, str | None] | None = None) -> str | None:
    """The hash of all that the tables of a run come of; None where a scorer may give other numbers next time, as far as can be seen.

    Args:
        files: as `files_of` gives them, where somebody has asked already.
    """
    scorers = []
    for one in measured.scorers:
        source = digest_of(one.function)
        if source is None:
            return None
        scorers.append((one.name, one.takes, one.better, source))
    experiment = plan.experiment
    parts: dict[str, Any] = {
        "versions": [platform.python_version(), platform.machine(), package_versions(), _package()],
        "experiment": [experiment.resolved(), experiment.seeds],
        "measured": [
            [metric.name for metric in measured.metrics],
            [judge.name for judge in measured.judges],
            measured.embeddings is not None,
            [one.metric.name for one in measured.runs],
        ],
        "scorers": scorers,
        "tokenizer": tokenizer.name,
        "rules": [one.text for one in rules(folder, experiment)],
        "files": files_of(folder) if files is None else files,
    }
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def made(folder: Path, inputs: str | None, files: dict[str, str | None]) -> Made:
    """What is to be kept of tables that were just made of `inputs`, and of these files."""
    return Made(inputs=inputs, tables=_tables(folder), files=files)


def files_of(folder: Path) -> dict[str, str | None]:
    """What the files that hold what was recorded are like."""
    return {name: fingerprint(folder / name) for name in _RECORDED}


def as_made(folder: Path, plan: Plan, measured: Measures) -> Run | None:
    """The run in `folder`, where its tables are what they would be if they were made now; None where they must be made. Raises `RecordError`."""
    kept = read_run(folder) or {}
    try:
        before = msgspec.convert(kept.get("made"), Made)
    except msgspec.ValidationError:
        return None
    if kept.get("experiment") != msgspec.json.decode(msgspec.json.encode(plan.experiment.resolved())) or before.tables != _tables(folder):
        return None
    if before.inputs is None or before.inputs != inputs_of(folder, plan, measured):
        return None
    return as_scored(folder, kept)


def _tables(folder: Path) -> dict[str, str | None]:
    return {name: fingerprint(folder / name) for name in TABLES}


@cache
def _package() -> str:
    """The hash of evalkit's own files: between two versions of it lie many changes, and profiles are texts."""
    whole = hashlib.sha256()
    for path in sorted(own_files()):
        whole.update(f"{path.name}\0".encode() + path.read_bytes())
    return whole.hexdigest()


def own_files() -> Iterator[Path]:
    """Evalkit's sources and texts."""
    return (path for path in Path(__file__).parents[1].rglob("*") if path.suffix in (".py", ".yaml") and path.is_file())
