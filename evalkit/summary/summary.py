"""What is said of a run, by whatever way it is said: types alone, and no words of a terminal, a page or a file."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from evalkit.analysis.raced import Raced
from evalkit.text.notes import Level

VERSION = 1

Verdict = Literal["better", "worse", "same", "differs", "unclear"]
"""Of a setting against the reference in one metric; *differs* where nobody says which way is better."""
Outcome = Literal["chosen", "none satisfies", "undecided", "not asked", "no answers"]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """A setting as people name it.

    Attributes:
        cell_index: its place in the analysis.
        name: where the experiment names its settings; else None.
        values: the level of each parameter that is swept; what has no effect beside the others is not there.
        in_words: name and values in one line.
    """

    cell_index: int
    name: str | None
    values: dict[str, Any]
    in_words: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of the setting, beside the reference; numbers are in the metric's unit, None where they are undefined.

    Attributes:
        metric: its name, as in tables and files.
        label: what it is, in everyday words.
        mean, low, high: of the setting, with its 95 % interval over prompts.
        reference, reference_low, reference_high: of the reference; None where the setting is the reference.
        change, change_low, change_high: the setting minus the reference, paired by prompt.
        percent, percent_low, percent_high: the same in percent of the reference; None where that says nothing.
        verdict: None where there is nothing to compare with.
        decides: whether the choice was made by it.
    """

    metric: str
    label: str
    unit: str
    mean: float | None
    low: float | None
    high: float | None
    reference: float | None = None
    reference_low: float | None = None
    reference_high: float | None = None
    change: float | None = None
    change_low: float | None = None
    change_high: float | None = None
    percent: float | None = None
    percent_low: float | None = None
    percent_high: float | None = None
    verdict: Verdict | None = None
    decides: bool = False


class Unmet(msgspec.Struct, frozen=True, kw_only=True):
    """A bound that no setting keeps to, or that the nearest one misses.

    Attributes:
        excludes: how many settings miss it.
        nearest: the mean of the setting that comes nearest; None where that keeps to the bound.
        judged: the end of its interval that is held to the bound.
        best: the mean of the setting that comes nearest to this bound alone.
    """

    metric: str
    label: str
    unit: str
    low: float | None
    high: float | None
    excludes: int
    nearest: float | None
    judged: float | None
    best: float | None = None


class Mind(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to keep in mind; the level is that of `evalkit.text.notes.Note`."""

    level: Level
    text: str


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What calls took: of the sweep, or of a judge or the endpoint for embeddings.

    Attributes:
        uncounted: answers whose tokens the endpoint does not tell, which are then not in the sums.
        cost: in the currency of the prices; None where it is not known.
    """

    name: str
    calls: int
    tokens_in: int
    tokens_out: int
    uncounted: int
    cost: float | None
    currency: str | None


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What to do next: a command to paste, and what it is good for."""

    command: str
    what: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a run comes to.

    Attributes:
        outcome: ``chosen``; ``none satisfies`` the bounds; ``undecided``: there are bounds that some keep to and nothing to rank them by;
            ``not asked``: the experiment has no ``choose:``; ``no answers``.
        answers: completions of the sweep; `planned` how many there are to be; `failed` by kind.
        sent, took_s: requests of this time, and the seconds that they took; None where the run was only read.
        spent: what this time's calls took, by whom they were made to; `cost` of all together, None where it is not known.
        purpose: what was looked for, like "creative: many different answers"; empty where nothing was.
        use: the setting to use; None where none is recommended.
        where: which of several endpoints that is asked of, its model and address; None where there is one, or no setting to use.
        nearest: where no setting satisfies, the one that comes nearest.
        reference: what it is compared with; `reference_by`: why that is it, in few words.
        rows: what the setting buys, what the choice was made by first; without a setting to use, the figures of the reference.
        unmet: the bounds, where no setting keeps to all.
        sure: how sure the choice is, in sentences.
        matters: what each parameter does, in sentences.
        race: who was asked what, of a race; None of a full grid. `raced` says it in sentences.
        replayed: what a race would have asked in place of a full grid, in a sentence; empty where it would not have asked less.
        mind: what bears on all that, the gravest first.
        next: what to do next.
    """

    v: int = VERSION
    name: str
    outcome: Outcome
    model: str
    base_url: str
    settings: int
    prompts: int
    replicates: int
    answers: int
    planned: int
    failed: dict[str, int]
    sent: int | None
    took_s: float | None
    spent: list[Spending]
    cost: float | None
    purpose: str
    use: Setting | None
    nearest: Setting | None
    reference: Setting
    rows: list[Row]
    unmet: list[Unmet]
    sure: list[str]
    matters: list[str]
    mind: list[Mind]
    next: list[Next]
    parameters: dict[str, Any]
    race: Raced | None = None
    raced: list[str] = []
    replayed: str = ""
    where: str | None = None
    reference_by: str = ""

    @property
    def raced_label(self) -> str:
        """What stands before `raced`."""
        return "Race" if self.race is None else self.race.label
