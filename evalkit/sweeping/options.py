"""How a sweep is to go: one value, from which the command line and Python take names, defaults and words."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from evalkit.collect.allowance import Budget
from evalkit.errors import ExperimentError

_NO_BOUND = Budget()


def _option(default: Any, words: str) -> Any:
    return field(default=default, metadata={"words": words})


@dataclass(frozen=True)
class Options:
    """How a sweep is to go. `words` tells what each is for.

    Attributes:
        fresh: a run that stands there moves aside, to ``<folder>.<UTC time>``.
        retry_failed: what failed in a way that would come again.
        skip_rejected: instead of ending with the endpoint's words.
        limit: prompts; all where None.
        concurrency: instead of the experiment's.
        budget: of this time; the look before the sweep and each try count.
        patience_s: seconds.
        confirm: fresh replicates, for the chosen cell, the best and the runner-up.
        jobs: processes that score; no value depends on how many.
        look: whether the endpoint is looked at before the sweep.
        race: instead of the full grid, as by ``search: {method: race}``.
        race_budget: of the race, instead of the experiment's; asks for one.
        lock: of a run in an object store, make sure that nobody else writes there.
        engine: ``ray``: by workers on a Ray cluster; this process alone where None.
        address: of a cluster that runs; None starts one on this machine.
        workers: as many as there are CPUs where None.
        run_code: for checks ``runs``; without it no code is ever run.
    """

    fresh: bool = _option(False, "Start over; the old run is moved aside, not deleted.")
    retry_failed: bool = _option(False, "Send again also what the endpoint refused.")
    skip_rejected: bool = _option(False, "Leave out the levels that the endpoint rejects.")
    limit: int | None = _option(None, "Use the first N prompts only.")
    concurrency: int | None = _option(None, "Requests in flight at once.")
    budget: Budget = _option(_NO_BOUND, "What may be spent this time.")  # noqa: RUF009 (immutable)
    patience_s: float = _option(600.0, "Wait this long for an endpoint that is down.")
    confirm: int = _option(0, "Send N fresh replicates for what was chosen and its runner-up.")
    jobs: int = _option(1, "Processes that score.")
    look: bool = _option(True, "Look at the endpoint first, by requests of the sweep itself.")
    race: bool = _option(False, "Drop settings on the way: a third of the full grid's requests.")
    race_budget: str | None = _option(None, "As --race, with this share of the requests, like 1/4, or proof.")
    lock: bool = _option(True, "Of a run in an object store: make sure that nobody else writes there.")
    engine: str | None = _option(None, "Spread the work over a Ray cluster: ray.")
    address: str | None = _option(None, "With --engine ray: a cluster that runs, HOST:PORT or auto. [default: one is started here]")
    workers: int | None = _option(None, "With --engine ray: how many workers. [default: one a CPU]")
    run_code: bool = _option(False, "Run the code of answers in a sandbox, for checks 'runs'; never done without this.")

    def changed(self, **changes: Any) -> Options:
        """The same with `changes`; raises `ExperimentError` for a name that is none."""
        known = [one.name for one in fields(self)]
        for name in changes:
            if name not in known:
                raise ExperimentError(f"sweep: there is no option {name!r}; expected one of {', '.join(known)}")
        return replace(self, **changes)


WORDS: dict[str, str] = {one.name: str(one.metadata["words"]) for one in fields(Options)}
"""What each option is for, in a sentence."""
DEFAULTS = Options()
"""How a sweep goes where nothing else is said."""
