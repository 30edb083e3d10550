"""The runs that stand in a folder, in a line each: read from their small files, as they are, whole or broken."""

from __future__ import annotations

import math
import os
import re
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from evalkit.analysis.sentences import in_words
from evalkit.errors import RecordError
from evalkit.experiment.parameters import level_text
from evalkit.metrics import label_of
from evalkit.store.folder import ANALYSIS, CHOICE, HOLDER_FILE, RUN_FILE, VERSION, check_name, is_run
from evalkit.store.records import RESPONSES
from evalkit.text.numbers import money

State = Literal["done", "incomplete", "running", "part", "broken"]

_MOST_RUNS = 2_000
_HELD = re.compile(r"process (\d+) on (.+) since \S+")
_QUIET_S = 120.0
"""A sweep on another machine that wrote nothing for so long is taken to have ended."""


class Dot(NamedTuple):
    """A level of the first parameter in the small picture: its mean and the ends of its interval, None where unknown."""

    level: str
    mean: float
    low: float | None
    high: float | None


class Line(NamedTuple):
    """A run in the list.

    Attributes:
        told: what is wrong with it or how far it is, in words; empty where all is well.
        answered, planned: requests; None where that cannot be told.
        recommended: the setting, in words; empty where none is.
        metric, parameter, dots: of the small picture.
    """

    name: str
    state: State
    told: str
    when: str = ""
    model: str = ""
    endpoint: str = ""
    size: str = ""
    answered: int | None = None
    planned: int | None = None
    failed: int = 0
    cost: str = ""
    recommended: str = ""
    metric: str = ""
    parameter: str = ""
    dots: tuple[Dot, ...] = ()


class _Endpoint(msgspec.Struct):
    base_url: str = ""
    model: str = ""


class _Experiment(msgspec.Struct):
    endpoint: _Endpoint | None = None
    endpoints: list[_Endpoint] = []
    prompts: list[msgspec.Raw] = []
    replicates: int = 1

    @property
    def asked(self) -> list[_Endpoint]:
        return self.endpoints or ([] if self.endpoint is None else [self.endpoint])


class _About(msgspec.Struct):
    """Of ``run.json`` what a line needs."""

    experiment: _Experiment
    v: int = VERSION
    updated: str = ""
    counts: dict[str, Any] | None = None
    sweeps: list[dict[str, Any]] = []
    shard: str = ""


class _Of(msgspec.Struct):
    parameter: str
    level: Any
    metric: str
    mean: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None


class _Analysed(msgspec.Struct):
    """Of ``analysis.json`` what a line needs."""

    cells: list[dict[str, Any]]
    parameters: dict[str, list[Any]]
    by_level: list[_Of] = []
    cell_names: list[str] = []


class _Weight(msgspec.Struct):
    metric: str
    say: float = 0.0


class _Chosen(msgspec.Struct):
    """Of ``choice.json`` what a line needs."""

    weights: list[_Weight] = []
    constraints: list[_Weight] = []
    chosen: int | None = None


_about, _analysed, _chosen = (msgspec.json.Decoder(kind) for kind in (_About, _Analysed, _Chosen))
_version = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Runs:
    """The runs in a folder; what was read once is kept until its files change.

    Attributes:
        root: the folder, without links.
        only: the one run that is shown, where a run's own folder was named; else empty.
    """

    def __init__(self, results: Path) -> None:
        """Raises `RecordError` where there is no such folder."""
        if not results.is_dir():
            raise RecordError(f"{results}: no such folder; expected one with runs in it, like results, or a run's own, like results/quickstart")
        place = results.resolve()
        self.root, self.only = (place.parent, place.name) if is_run(place) else (place, "")
        self._kept: dict[str, tuple[Any, Line]] = {}

    def names(self) -> list[str]:
        """The folders in it that hold runs; a link is none. Raises `RecordError` where the folder is gone."""
        if self.only:
            return [self.only] if is_run(self.root / self.only) else []
        try:
            with os.scandir(self.root) as entries:
                found = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
        except OSError as fault:
            raise RecordError(f"{self.root}: cannot be read: {fault.strerror}") from None
        return sorted(name for name in found if is_run(self.root / name))

    def folder(self, name: str) -> Path:
        """The folder of a run by its name.

        Raises:
            RecordError: there is no run of that name here, or a file of it is a link or no file, which is not followed.
        """
        if (self.only and name != self.only) or name in ("", ".", "..") or "/" in name or "\0" in name:
            raise RecordError("there is no such run here")
        folder = self.root / name
        if folder.is_symlink() or not is_run(folder):
            raise RecordError("there is no such run here; it may have been moved or deleted")
        _about_in(folder)
        return folder

    def lines(self) -> list[Line]:
        """A line for each run, the newest first. Raises `RecordError` where the folder is gone."""
        names = self.names()[:_MOST_RUNS]
        for gone in self._kept.keys() - set(names):
            del self._kept[gone]
        return sorted((self.line(name) for name in names), key=lambda one: (one.when, one.name), reverse=True)

    def line(self, name: str) -> Line:
        """The line of a run."""
        folder = self.root / name
        stamp = _stamp(folder)
        running = is_running(folder)
        known = self._kept.get(name)
        if known is not None and known[0] == (stamp, running):
            return known[1]
        try:
            found = _read(folder, _about_in(folder), running)
        except RecordError as fault:
            found = Line(name, "broken", str(fault).removeprefix(f"{folder}: ").removeprefix(f"{folder}/"), _when(folder))
        self._kept[name] = ((stamp, running), found)
        return found


def _odd(folder: Path) -> str:
    """What keeps a folder from being read: a link or a device among its files. Empty where nothing does."""
    try:
        with os.scandir(folder) as entries:
            for one in entries:
                mode = one.stat(follow_symlinks=False).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    return f"{one.name} is {'a link, which is not followed' if stat.S_ISLNK(mode) else 'no file'}"
    except OSError as fault:
        return f"cannot be read: {fault.strerror}"
    return ""


def _stamp(folder: Path) -> tuple[tuple[int, int] | None, ...]:
    """What changes when a line has to be read again."""
    return tuple(_seen(folder / name) for name in (RUN_FILE, RESPONSES, ANALYSIS, CHOICE))


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _when(folder: Path) -> str:
    found = _seen(folder / RUN_FILE) or _seen(folder / RESPONSES)
    return "" if found is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found[0] / 1e9))


def is_running(folder: Path) -> bool:
    """Whether a sweep is writing into a folder, by what it says of itself: its lock is not touched, for that would disturb it."""
    try:
        said = (folder / HOLDER_FILE).read_bytes()[:300].decode("utf-8", "replace")
    except OSError:
        return False
    found = _HELD.fullmatch(said)
    if found is None:
        return False
    if found[2] == socket.gethostname():
        try:
            os.kill(int(found[1]), 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            return True
        return True
    last = _seen(folder / RESPONSES)
    return last is not None and time.time() - last[0] / 1e9 < _QUIET_S


def _load(path: Path, decoder: msgspec.json.Decoder[Any]) -> Any:
    """What a small file holds; None where there is none. Raises `RecordError` where it is something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise RecordError(f"{path.name}: cannot be read: {fault.strerror}") from None
    try:
        found = decoder.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RecordError(_newer(content) or f"{path.name} is cut off or not evalkit's: mend it, or move it away and run the sweep again") from None
    if getattr(found, "v", VERSION) > VERSION:
        raise RecordError(_newer(content))
    return found


def _newer(content: bytes) -> str:
    """That a file is of a newer evalkit, where it says so."""
    try:
        said = msgspec.json.decode(_version.decode(content).get("v", b"0"))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    newer = isinstance(said, int) and said > VERSION
    return f"written by a newer evalkit (format {said}, this one reads {VERSION}): update evalkit" if newer else ""


def _about_in(folder: Path) -> _About:
    """What ``run.json`` holds of a folder that can be read, and is not led out of by a link or by prompts that are another file.

    Raises:
        RecordError: it is none; says why.
    """
    check_name(folder)
    if told := _odd(folder):
        raise RecordError(told)
    about: _About | None = _load(folder / RUN_FILE, _about)
    if about is None:
        raise RecordError(f"no {RUN_FILE} in it: half a run, whose sweep was ended before it began")
    return about


def _read(folder: Path, about: _About, running: bool) -> Line:
    experiment = about.experiment
    counts = about.counts or {}
    answered, planned, failed = _how_far(folder, counts)
    cells = counts.get("cells")
    size = f"{cells:,} × " if isinstance(cells, int) else ""
    line = Line(
        folder.name,
        "running" if running else "part" if about.shard else "done" if planned is not None and answered == planned else "incomplete",
        f"shard {about.shard} of a run: merge it with the others" if about.shard else "" if running or counts else "cut off before it was scored",
        about.updated,
        ", ".join(dict.fromkeys(one.model for one in experiment.asked)),
        ", ".join(dict.fromkeys("embedded" if one.base_url == "local" else one.base_url for one in experiment.asked)),
        f"{size}{len(experiment.prompts):,} × {experiment.replicates:,}",
        answered,
        planned,
        failed,
        _cost(about.sweeps),
    )
    return line if running else line._replace(**_pictured(folder))


def _how_far(folder: Path, counts: Mapping[str, Any]) -> tuple[int | None, int | None, int]:
    """Answers, of how many planned, and how many failed; of a run that is not scored the lines of its records."""
    answered, planned, failures = counts.get("completions"), counts.get("planned"), counts.get("failures")
    if isinstance(answered, int) and isinstance(planned, int):
        return answered, planned, sum(failures.values()) if isinstance(failures, dict) else 0
    try:
        with (folder / RESPONSES).open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b"")), None, 0
    except OSError:
        return None, None, 0


def _cost(sweeps: list[dict[str, Any]]) -> str:
    """What all sweeps of a run cost; empty where one of them does not say."""
    known = [(one.get("cost"), one.get("currency")) for one in sweeps]
    sums = [cost for cost, _ in known if isinstance(cost, int | float) and math.isfinite(cost)]
    currencies = {currency for _, currency in known}
    if not sums or len(sums) < len(known) or len(currencies) != 1:
        return ""
    currency = currencies.pop()
    return money(sum(sums), currency if isinstance(currency, str) else "")


def _pictured(folder: Path) -> dict[str, Any]:
    """What was recommended, and the small picture: the metric that decided most, by the first parameter."""
    analysed: _Analysed | None = _load(folder / ANALYSIS, _analysed)
    if analysed is None:
        return {}
    chosen: _Chosen | None = _load(folder / CHOICE, _chosen)
    out: dict[str, Any] = {}
    at = None if chosen is None else chosen.chosen
    if at is not None and 0 <= at < len(analysed.cells):
        levels = {name: level for name, level in analysed.cells[at].items() if level is not None and len(analysed.parameters.get(name, ())) > 1}
        name = analysed.cell_names[at] if at < len(analysed.cell_names) else ""
        out["recommended"] = name or in_words(levels)
    parameter = next((name for name, levels in analysed.parameters.items() if len(levels) > 1), None)
    wanted = [one.metric for one in sorted(chosen.weights, key=lambda one: -one.say)] + [one.metric for one in chosen.constraints] if chosen else []
    there = dict.fromkeys(one.metric for one in analysed.by_level if one.parameter == parameter and one.mean is not None)
    metric = next((name for name in (*wanted, "distinct_2", *there) if name in there), None)
    if metric is None or parameter is None:
        return out
    dots = [
        Dot(level_text(one.level) or "", one.mean, one.ci_low, one.ci_high)
        for one in analysed.by_level
        if one.metric == metric and one.parameter == parameter and one.mean is not None
    ]
    return {**out, "metric": label_of(metric) or metric, "parameter": parameter, "dots": tuple(dots)}
