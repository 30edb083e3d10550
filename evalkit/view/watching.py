"""A sweep seen from outside: what its records tell while they are added to the file; the sweep knows nothing of it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from evalkit.analysis.sentences import in_words
from evalkit.collect.budget import Spent, priced
from evalkit.errors import RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.several import endpoint_name
from evalkit.metrics import label_of
from evalkit.plan.requests import Plan, Role
from evalkit.scoring.gather import text_scored
from evalkit.scoring.glimpse import Glimpse, deciding
from evalkit.store.folder import RUN_FILE, read_experiment
from evalkit.store.race import RACE
from evalkit.store.records import FORM, RESPONSES, BriefOutcome, Completion, Usage, packed
from evalkit.text.escaping import visible
from evalkit.text.numbers import counted, duration
from evalkit.view.opened import course_in
from evalkit.view.runs import is_running
from evalkit.view.tail import Tail, line_at

EVERY_S = 1.0
"""How often a run under way is looked at, however many browsers show it."""
_LATEST = 8
_LONGEST = 1_200
_OVER_S = 60.0
"""The rate is that of so many seconds before."""
_MOST_METRICS = 4
_MOST_TOLD = 16
_OTHER_FORM = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class _Outcome(BriefOutcome, gc=False):
    """Of an outcome what progress and cost are told by."""

    usage: Usage | None = None


class _Seen(msgspec.Struct, gc=False):
    """Of a record the same."""

    key: str
    role: Role
    at: str
    cell: msgspec.Raw
    outcome: _Outcome
    model: str = ""


_seen = msgspec.json.Decoder(_Seen)


class Watching:
    """One run that is under way."""

    def __init__(self, folder: Path) -> None:
        """Raises `RecordError` where the folder cannot be read."""
        self._folder = folder
        self._begin()

    def _begin(self) -> None:
        self._of = _stamp(self._folder / RUN_FILE)
        self.experiment: Experiment = read_experiment(self._folder)
        self._plan = Plan(self.experiment)
        self._planned = len(self._plan)
        self._raced: tuple[Any, list[str], dict[str, Any] | None] = (None, [], None)
        self._tail = Tail(self._folder / RESPONSES)
        self._anew()

    def _anew(self) -> None:
        self._begun = self._tail.begun
        self._done: set[bytes] = set()
        self._failed: dict[bytes, str] = {}
        asked = self.experiment.asked
        self._spents = {endpoint_name(one): Spent(one.prices) for one in asked}
        self._spent = Spent(self.experiment.priced, parts=tuple(self._spents.values()))
        self._times: deque[float] = deque()
        self._latest: deque[int] = deque(maxlen=_LATEST)
        self._glimpses = [Glimpse(self.experiment, one) for one in deciding(self.experiment, bounded=True)[:_MOST_METRICS]]
        self._since = ""
        self._taken = 0  # answers that the first look rests on
        self._drawn: tuple[int, list[dict[str, Any]]] = (-1, [])
        self._shown: dict[int, dict[str, Any] | None] = {}
        self._sated: set[bytes] = set()  # settings of which further answers would tell nothing

    def refresh(self) -> None:
        """Take what was added since the last time. Raises `RecordError`."""
        if _stamp(self._folder / RUN_FILE) != self._of:
            self._begin()
        lines = self._tail.lines()
        if self._tail.begun != self._begun:
            self._anew()
        self._since = datetime.fromtimestamp(time.time() - _OVER_S, UTC).isoformat()  # sorts as the records' own times do
        for at, line in lines:
            try:
                self._take(at, line)
            except _OTHER_FORM:
                continue  # a line of another form: the sweep itself says what is to be done about it

    def _take(self, at: int, line: bytes) -> None:
        found = _seen.decode(line)
        outcome, key = found.outcome, packed(found.key)
        answered = outcome.type == "completion"
        endpoint = self.experiment.endpoint_of(msgspec.json.decode(found.cell), found.model) if len(self._spents) > 1 else self.experiment.asked[0]
        if (spent := self._spents.get(endpoint_name(endpoint))) is not None:  # None where a level was taken out
            spent.add(outcome.usage, answered=answered)
        if found.role != "sweep":
            return
        if found.at > self._since:
            self._times.append(_moment(found.at))
        if not answered:
            if key not in self._done:
                self._failed[key] = outcome.kind or "malformed"
            return
        self._done.add(key)
        self._failed.pop(key, None)
        self._latest.append(at)
        cell = bytes(found.cell)
        if cell in self._sated:
            return
        levels = msgspec.json.decode(cell)
        if not any(one.wants(levels) for one in self._glimpses):
            self._sated.add(cell)
            return
        record = FORM.decode(line)
        self._taken += 1
        for one in self._glimpses:
            one.take(record)

    def state(self) -> dict[str, Any]:
        """What the page shows, its texts made visible. Raises `RecordError`."""
        self.refresh()
        now = time.time()
        while self._times and self._times[0] < now - _OVER_S:
            self._times.popleft()
        span = min(_OVER_S, max(1.0, now - self._times[0])) if self._times else _OVER_S
        rate, done = len(self._times) / span, len(self._done)
        self._spent.add_up()
        left = max(0, self._planned - done - len(self._failed))
        race, who = self._race()
        return {
            "running": is_running(self._folder),
            "done": done,
            "planned": self._planned,
            "most": self.experiment.search is not None,
            "failed": [[kind, count] for kind, count in Counter(self._failed.values()).most_common()],
            "rate": f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}",
            "left": duration(left / rate) if rate > 0 and left and done >= 5 and self.experiment.search is None else "",
            "cost": self._cost(done, left),
            "tokens": f"{self._spent.tokens:,}",
            "metrics": self._metrics(),
            "latest": self._answers(),
            "race": race,
            "who": who,
        }

    def _cost(self, done: int, left: int) -> list[str]:
        """What was spent so far, and what is about to be."""
        prices = self._spent.prices
        if prices is None or self._spent.cost is None:
            return []
        out = [priced(self._spent.cost, prices)]
        if done and self.experiment.search is None:
            out.append(priced(self._spent.cost / done * left, prices))
        return out

    def _metrics(self) -> list[dict[str, Any]]:
        """The first look, made again where further answers came into it."""
        if self._drawn[0] != self._taken:
            self._drawn = (self._taken, [_levels(one) for one in self._glimpses if one.parameter is not None])
        return self._drawn[1]

    def _answers(self) -> list[dict[str, Any]]:
        """The last answers, the newest first; each is read once."""
        self._shown = {at: self._shown[at] if at in self._shown else self._answer(at) for at in reversed(self._latest)}
        return [one for one in self._shown.values() if one is not None]

    def _answer(self, at: int) -> dict[str, Any] | None:
        try:
            record = FORM.decode(line_at(self._folder / RESPONSES, at))
        except (*_OTHER_FORM, RecordError):
            return None
        if not isinstance(record.outcome, Completion):
            return None
        text = text_scored(record.outcome, record, self.experiment)
        levels = {name: level for name, level in record.cell.items() if len(self.experiment.parameters.get(name, (0, 0))) > 1}
        shown = visible(text[:_LONGEST]) + (" …" if len(text) > _LONGEST else "")
        return {"key": record.key, "prompt": visible(record.prompt_id), "setting": visible(in_words(levels)), "text": _sound(shown)}

    def _race(self) -> tuple[list[str], dict[str, Any] | None]:
        """Where a race stands, in sentences, and who is in and who has left; nothing of a full grid."""
        if self.experiment.search is None:
            return [], None
        stamp = _stamp(self._folder / RACE)
        if self._raced[0] != stamp:
            self._raced = (stamp, *self._course())
        return self._raced[1], self._raced[2]

    def _course(self) -> tuple[list[str], dict[str, Any] | None]:
        course = course_in(self._folder, self.experiment)
        if course is None or course.start is None:
            return ["The race has not begun."], None
        cells = course.whole.cells
        swept = {name for name, levels in self.experiment.parameters.items() if len(levels) > 1} or set(self.experiment.parameters)

        def name(cell: int) -> str:
            return visible(in_words({one: level for one, level in cells[cell].items() if one in swept or self.experiment.search is not None}))

        last = sorted(course.gone, key=lambda one: -one.prompts)  # who stayed longest first
        gone = [[name(one.cell_index), _left(one), one.prompts] for one in last[:_MOST_TOLD]]
        said = f"{counted(len(course.staying), 'setting')} in, {len(last):,} left, after {counted(len(course.looks), 'look')}."
        self._planned = max(len(self._done), course.most_blocks * self.experiment.replicates)
        return [said + (" The race is over." if course.over else "")], {
            "in": [name(cell) for cell in course.staying[:_MOST_TOLD]],
            "gone": gone,
            "more": max(0, len(last) - _MOST_TOLD),
        }


def _left(one: Any) -> str:
    metric = label_of(one.metric) if one.metric else ""
    return {"bound": f"misses the bound on {metric}", "worse": "shown worse", "aside": "set aside, not shown worse"}[one.why]


def _levels(one: Glimpse) -> dict[str, Any]:
    metric = one.metric
    return {
        "metric": visible(label_of(metric.name)),
        "parameter": visible(one.parameter or ""),
        "share": metric.unit == "share",
        "levels": [[visible(seen.level), seen.mean, seen.low, seen.high, seen.answers] for seen in one.seen()],
    }


def _moment(said: str) -> float:
    try:
        return datetime.fromisoformat(said).timestamp()
    except ValueError:
        return 0.0


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


class Watched:
    """The runs under way that are looked at, each once for all who look.

    Attributes:
        every_s: how often a page asks.
        open: pages that ask now.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Path, tuple[float, dict[str, Any], Watching]] = {}
        self.every_s = EVERY_S
        self.open = 0

    def state(self, folder: Path) -> dict[str, Any]:
        """Where the run stands, at most a second old. Raises `RecordError`."""
        with self._lock:
            at, state, watching = self._kept.pop(folder, (0.0, {}, None))
            if watching is None:
                watching = Watching(folder)
            if time.monotonic() - at > 0.8 * self.every_s or not state:
                before = time.process_time()
                at, state = time.monotonic(), watching.state()
                state["cpu_s"] = round(time.process_time() - before, 4)
            self._kept[folder] = (at, state, watching)
            while len(self._kept) > 4:
                self._kept.pop(next(iter(self._kept)))
            return state
