"""What the app's handlers share: the runs, and what was opened of them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from evalkit.view.runs import Runs, is_running

if TYPE_CHECKING:
    from evalkit.view.desk import Desks
    from evalkit.view.opened import Opened, Shelf
    from evalkit.view.watching import Watched

TABS = (("", "Overview"), ("report", "Report"), ("answers", "Answers"), ("rate", "Rate"), ("ratings", "Ratings"))
_LIVE = ("live", "Live")


class Viewer:
    """What handlers share; what the list does not need is read when the first run is opened, or ahead of that.

    Args:
        csrf: what a page that writes holds.
        raters: names of who may rate; none where anybody gives a name.
    """

    def __init__(self, runs: Runs, csrf: str, raters: Sequence[str]) -> None:
        self.runs, self.csrf, self.raters = runs, csrf, tuple(raters)
        self.lock = threading.Lock()
        self._making = threading.Lock()

    def ahead(self) -> None:
        """Read what runs need."""
        with self._making:
            self._all  # noqa: B018 (made once, and kept)

    @cached_property
    def _all(self) -> tuple[Shelf, Watched, Desks]:
        from evalkit.view.desk import Desks  # late: the list is shown before this is read
        from evalkit.view.opened import Shelf  # as above
        from evalkit.view.watching import Watched  # as above

        return Shelf(), Watched(), Desks()

    @property
    def shelf(self) -> Shelf:
        """The runs that are looked at."""
        self.ahead()
        return self._all[0]

    @property
    def watched(self) -> Watched:
        """Those under way."""
        self.ahead()
        return self._all[1]

    @property
    def desks(self) -> Desks:
        """Those that are rated."""
        self.ahead()
        return self._all[2]

    def opened(self, name: str) -> Opened:
        """A run by its name. Raises `RecordError`."""
        return self.shelf.opened(self.runs.folder(name))

    def tabs(self, name: str) -> tuple[tuple[str, str], ...]:
        """The pages that a run has."""
        return (_LIVE, *TABS) if is_running(self.runs.root / name) else TABS
