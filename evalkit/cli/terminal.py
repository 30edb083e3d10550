"""What a terminal gets beside results: messages, the console and its width, progress, and durations as they are typed and read."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from evalkit.errors import ExperimentError
from evalkit.text.notes import Note
from evalkit.text.numbers import duration

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.collect.tally import Tally
    from evalkit.experiment.experiment import Experiment
    from evalkit.probe import Finding
    from evalkit.scoring.glimpse import Glimpse
    from evalkit.store.meanings import Meaning
    from evalkit.store.records import Record


def console() -> Console:
    """Standard output as rich sees it."""
    from rich.console import Console

    # Without a terminal (a file, a CI log) nothing says how wide it is: be generous, lines wrap or scroll there.
    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=_columns())


def _columns() -> int:
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() and int(said) >= 40 else 120


_FLAGS = {
    "run_code": "--run-code",
    "skip_rejected": "--skip-rejected",
    "retry_failed": "--retry-failed",
    "patience_s": "--patience",
    "race_budget": "--race-budget",
    "budget.requests": "--max-requests",
    "budget.tokens": "--max-tokens-total",
    "budget.cost": "--max-cost",
    "budget.seconds": "--max-time",
    "the option fresh": "--fresh",
    "the option resubmit": "--resubmit",
    "its batches with it; add wait": "its batches with it; add --wait",
    "the option limit with 5": "--limit 5",
    "give variance METRIC": "give --variance METRIC",
    "give another folder": "give another place with -o",
    "give an empty or a new one": "give an empty or a new one with -o",
    "give a sweep another folder": "give a sweep another place with -o",
}
"""What Python calls an option, and how it is typed here."""


def in_flags(text: str) -> str:
    """A message with the names of options as they are typed on a command line."""
    for name, flag in _FLAGS.items():
        text = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", flag, text)
    return text


def tell(one: Note) -> None:
    """Say a note on standard error."""
    complain(in_flags(str(one)))


def complain(text: str) -> None:
    """Say something on standard error, control characters shown and not obeyed."""
    from evalkit.text.escaping import harmless  # as above

    with suppress(BrokenPipeError):  # a sweep goes on though nobody reads its progress
        print("\n".join(map(harmless, text.split("\n"))), file=sys.stderr, flush=True)


_FEWEST_DONE, _SHORTEST_S = 5, 3.0
"""Requests that are done, and seconds, before the time that is left is told."""


class Report:
    """Shows how far a sweep is: a bar on a terminal, a line every ten seconds elsewhere, nothing where that is wanted."""

    EVERY_S = 10.0

    def __init__(self, quiet: bool) -> None:
        self._glimpse: Glimpse | None = None
        self._started = self._last = time.monotonic()
        self._told = 0
        self._bar: Any = None
        self._terminal = sys.stderr.isatty()
        self._quiet = quiet

    def watching(self, experiment: Experiment) -> Callable[[Record], None] | None:
        """What takes the records of a sweep, to show means of its answers below the bar; None where there is no bar."""
        if self._quiet or not self._terminal:
            return None
        from evalkit.scoring.glimpse import Glimpse  # late: only who watches needs it

        self._glimpse = Glimpse(experiment)
        return self._glimpse.take

    def note(self, one: Note) -> None:
        """Tell the user something; a warning, and why it stops, also where it is quiet."""
        if not self._quiet or one.urgent:
            tell(one)

    def __call__(self, tally: Tally) -> None:
        """Show how far it is, where it is time for that."""
        if self._quiet or not tally.planned:
            return
        if self._terminal:
            self._draw(tally)
            return
        now = time.monotonic()
        if now - self._last >= self.EVERY_S or tally.done == tally.planned != self._told:
            self._last, self._told = now, tally.done
            left = self._left(tally)
            complain(f"{tally.done:,} of {tally.planned:,} {tally.what}, {tally.paused or self._details(tally)}{', ' if left else ''}{left}")

    def _left(self, tally: Tally) -> str:
        """How long it will take yet, in words; nothing while so few answers came in so short a time that it would be a guess."""
        elapsed = time.monotonic() - self._started
        if tally.done < _FEWEST_DONE or elapsed < _SHORTEST_S:
            return ""
        return f"{duration((tally.planned - tally.done) * elapsed / tally.done)} left"

    def _details(self, tally: Tally) -> str:
        from evalkit.collect.budget import priced  # late: --help stays instant

        elapsed = max(time.monotonic() - self._started, 1e-9)
        parts = [tally.stage] if tally.stage else []
        if tally.what == "requests":
            parts += [f"{tally.done / elapsed:.0f}/s", f"{tally.tokens / elapsed:,.0f} tokens/s", f"{tally.in_flight} of {tally.at_once} in flight"]
        else:
            parts.append(f"{tally.in_flight} at once")
        if tally.failed:
            parts.append(", ".join(f"{count} {kind}" for kind, count in sorted(tally.failed.items())))
        if tally.waiting:
            parts.append(f"{tally.waiting} to be tried again")
        if (held_s := tally.held_s(time.monotonic())) >= 1:
            parts.append(f"waits {duration(held_s)} as the endpoint asks")
        if tally.spent.prices is not None:
            parts.append(priced(tally.spent.cost, tally.spent.prices))
        return ", ".join(parts)

    def begin(self) -> None:
        """Show, on a terminal, that the endpoint is looked at, until the first of its answers is there."""
        if self._terminal and not self._quiet:
            self._start(None)

    def _start(self, planned: int | None) -> None:
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        from evalkit.present.terminal.glimpse import glimpsed  # late: --help stays instant

        report = self
        on = Console(stderr=True)

        class WithGlimpse(Progress):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield from super().get_renderables()
                if report._glimpse is not None and (line := glimpsed(report._glimpse, on)) is not None:
                    yield line

        columns = (
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = WithGlimpse(*columns, console=on, transient=True)
        self._bar.add_task("checking the endpoint", total=planned, left="")
        self._bar.start()

    def _draw(self, tally: Tally) -> None:
        if self._bar is None:
            self._start(tally.planned)
        from evalkit.text.escaping import harmless  # late: --help stays instant

        words = harmless(tally.paused) if tally.paused else self._details(tally)
        left = self._left(tally)
        self._bar.update(self._bar.tasks[0].id, completed=tally.done, total=tally.planned, description=words, left=left)

    def stop(self) -> None:
        """Take the bar off the terminal."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class Findings:
    """Shows how far a probe is: a plain line every ten seconds at most, on a terminal as elsewhere, with what was found last."""

    def __init__(self, planned: int) -> None:
        self._planned, self._done, self._calls = planned, 0, 0
        self._last = time.monotonic()

    def __call__(self, found: Finding | Meaning) -> None:
        """Tell of a finding, where it is time for that."""
        self._done += 1
        self._calls += found.calls
        now = time.monotonic()
        if now - self._last >= Report.EVERY_S and self._done < self._planned:
            self._last = now
            from evalkit.store.meanings import Meaning  # late: --help stays instant

            last = found.says if isinstance(found, Meaning) else f"{found.parameter} is {found.verdict}"
            what = "questions" if isinstance(found, Meaning) else "parameters"
            complain(f"{self._done} of {self._planned} {what}, {self._calls} calls on them; {last}")


def seconds(option: str, text: str) -> float:
    """A duration as it is typed: 90, 90s, 10m, 2h."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        seconds = float(number) * _UNITS[unit]
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise ExperimentError(f"{option}: found {text!r}; expected a time like 90s, 10m or 2h")
    return seconds


_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@contextmanager
def progress(quiet: bool) -> Iterator[Report]:
    """A report that is taken off the terminal at the end."""
    report = Report(quiet)
    try:
        yield report
    finally:
        report.stop()
