"""How far a sweep is, as a notebook or a script shows it."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from evalkit.collect.tally import Tally
from evalkit.present.notebook.cards import text
from evalkit.text.escaping import harmless
from evalkit.text.notes import Note

_EVERY_S = {"notebook": 0.3, "plain": 10.0}


class Progress:
    """A bar in a notebook's cell, a line every ten seconds elsewhere, nothing where that is wanted."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._notes: list[str] = []
        self._line = ""
        self._started = self._last = time.monotonic()
        self._display: Any = None if quiet else _display()

    def note(self, one: Note) -> None:
        """Tell the user something; a warning also where it is quiet."""
        if self._quiet and not one.urgent:
            return
        if self._display is None:
            print(harmless(str(one)), file=sys.stderr, flush=True)  # noqa: T201 (a script's user reads it there)
            return
        self._notes.append(str(one))
        self._draw(None)

    def __call__(self, tally: Tally) -> None:
        """Show how far it is, where it is time for that."""
        if self._quiet or not tally.planned:
            return
        now = time.monotonic()
        every = _EVERY_S["plain" if self._display is None else "notebook"]
        if now - self._last < every and tally.done < tally.planned:
            return
        self._last = now
        seconds = max(now - self._started, 1e-9)
        rate = tally.done / seconds
        left = f", {(tally.planned - tally.done) / rate:.0f} s left" if rate and tally.done < tally.planned else ""
        failed = "".join(f", {count} {kind}" for kind, count in sorted(tally.failed.items()))
        paused = f"; {tally.paused}" if tally.paused else ""
        stage = f"{tally.stage}, " if tally.stage else ""
        tokens = f", {tally.tokens / seconds:,.0f} tokens/s" if tally.what == "requests" else ""
        self._line = f"{stage}{tally.done:,} of {tally.planned:,} {tally.what}, {rate:.0f}/s{tokens}{failed}{left}{paused}"
        if self._display is None:
            print(harmless(self._line), file=sys.stderr, flush=True)  # noqa: T201
        else:
            self._draw(tally.done / tally.planned)

    def _draw(self, share: float | None) -> None:
        from IPython.display import HTML

        bar = "" if share is None else f"<progress value='{share:.4f}' max='1' style='width:16rem'></progress> "
        notes = "".join(f"<div style='opacity:.75;font-size:90%'>{text(one)}</div>" for one in self._notes[-8:])
        self._display.update(HTML(f"<div>{bar}{text(self._line)}{notes}</div>"))  # type: ignore[no-untyped-call]

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        if self._display is not None and self._line:
            self._draw(None)


def _display() -> Any:
    """A place in the cell's output that can be written anew; None where there is no notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    if "ipykernel" not in sys.modules or shell is None or shell() is None:  # a script may import a kernel, and is none
        return None
    from IPython.display import HTML, display

    return display(HTML("<div>evalkit …</div>"), display_id=True)  # type: ignore[no-untyped-call]
