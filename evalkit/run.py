"""A run read back: its experiment, analysis and choice, and its tables as DataFrames."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.analysis import Analysis
from evalkit.choice import Choice
from evalkit.collect.budget import Besides
from evalkit.collect.tally import Tally
from evalkit.errors import RecordError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import level_text
from evalkit.scoring.tables import parameter_columns
from evalkit.stats.intervals import Interval, within_range
from evalkit.store import artefacts
from evalkit.store.folder import ANALYSIS, CHOICE, RESPONSES_TABLE, SCORES_TABLE, experiment_in, outdated, read_whole
from evalkit.store.mirror import at_hand
from evalkit.text.hook import Shown, shown
from evalkit.text.notes import Note, warning

if TYPE_CHECKING:
    import pandas

Read = TypeVar("Read")


@dataclass(frozen=True)
class Run(Shown):
    """A results folder with its scores.

    Attributes:
        analysis: means with intervals, verdicts, effects.
        notes: what the user should know; of a run that was read back, whether its tables are older than its records.
        sent: how the requests of this time went; None where it was only scored or read.
        choice: what ``choose:`` of the experiment came to; None where it has none.
        beside: who else was asked this time, judges and the endpoint for embeddings.
    """

    folder: Path
    experiment: Experiment
    analysis: Analysis
    notes: tuple[Note, ...] = ()
    sent: Tally | None = None
    choice: Choice | None = None
    beside: tuple[Besides, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every planned request has its completion, and a race has come to its end."""
        race = self.analysis.race
        if race is not msgspec.UNSET and not race.over:
            return False
        return self.analysis.counts.completions == self.analysis.counts.planned

    @cached_property
    def _grids(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        shape = (len(self.analysis.cells), len(self.experiment.prompts))
        places = {prompt.id: number for number, prompt in enumerate(self.experiment.prompts)}
        table = self._read(SCORES_TABLE)
        rows, columns = table["cell_index"].to_numpy(), table["prompt_id"].map(places).to_numpy()
        if np.isnan(columns.astype(float)).any() or rows.max(initial=-1) >= shape[0]:
            raise RecordError(f"{self.folder / SCORES_TABLE}: of other settings or prompts than the run's; run: evalkit score {self.folder}")
        out: dict[str, dict[str, NDArray[np.float64]]] = {}
        for metric, here in table.groupby("metric", sort=False).indices.items():
            out[str(metric)] = {}
            for name in ("value", "value_full"):
                grid = np.full(shape, np.nan)
                grid[rows[here], columns[here].astype(int)] = table[name].to_numpy(dtype=float)[here]
                out[str(metric)][name] = grid
        return out

    def grid(self, metric: str) -> NDArray[np.float64]:
        """What the means of `metric` are taken over, NaN where undefined; shape (cells, prompts).

        Raises:
            RecordError: there is no such metric in the run, or its tables cannot be read.
        """
        info = next((one for one in self.analysis.metrics if one.name == metric), None)
        if info is None or metric not in self._grids:
            raise RecordError(
                f"{self.folder}: no metric {metric!r} was measured; expected one of {', '.join(one.name for one in self.analysis.metrics)}"
            )
        return self._grids[metric]["value" if info.compared else "value_full"]

    def shared_grid(self, metric: str) -> NDArray[np.float64]:
        """The same on the prompts that every setting was asked: all but in a race, where the other columns are NaN. Raises as `grid` does."""
        found, race = self.grid(metric), self.analysis.race
        if race is msgspec.UNSET:
            return found
        common = [prompt.id in race.common_prompts for prompt in self.experiment.prompts]
        return np.where(np.array(common)[None], found, math.nan)

    def interval(self, metric: str, values: NDArray[np.float64]) -> Interval:
        """The interval of the mean of `values` of `metric`, shape (prompts,), within its range."""
        info = next(one for one in self.analysis.metrics if one.name == metric)
        return within_range(values, -math.inf if info.low is None else info.low, math.inf if info.high is None else info.high)

    def answered(self, columns: Sequence[str]) -> pandas.DataFrame:
        """These columns of `responses` alone, a row for each planned request that has an answer with text in it.

        Raises:
            RecordError: the table cannot be read.
        """
        wanted = "planned AND outcome = 'completion' AND regexp_matches(text, '[^\\s\\pZ]')"
        once = 'QUALIFY row_number() OVER (PARTITION BY key ORDER BY "at") = 1 ORDER BY key'
        return self._read(RESPONSES_TABLE, f"SELECT {', '.join(columns)} FROM read_parquet(?) WHERE {wanted} {once}")  # noqa: S608 (names of ours)

    def _read(self, name: str, query: str = "SELECT * FROM read_parquet(?)") -> pandas.DataFrame:
        import duckdb

        path = self.folder / name
        try:
            with duckdb.connect() as database:
                return database.execute(query, [str(path)]).df()
        except duckdb.Error:
            raise RecordError(f"{path}: cannot be read; make it again with: evalkit score {self.folder}") from None

    def scores(self) -> pandas.DataFrame:
        """A row a cell, prompt and metric: a column a parameter, `value` (what cells are compared by), `value_full` (whole answers), and counts."""
        return _with_levels(self._read(SCORES_TABLE), self.analysis, parameter_columns(self.analysis.parameters))

    def responses(self) -> pandas.DataFrame:
        """A row a recorded answer or failure: a column a parameter, the text, tokens, latency; failures have `kind` and `message` instead.

        A parameter called like a column that stands here anyway, like ``model`` or ``seed``, has ``parameter_`` before its name.
        """
        table = self._read(RESPONSES_TABLE)
        cells = table["cell_index"]
        columns = parameter_columns(self.analysis.parameters, table.columns)
        for name, column in columns.items():
            levels = [None if np.isnan(at) else level_text(self.analysis.cells[int(at)][name]) for at in cells.to_numpy(dtype=float, na_value=np.nan)]
            table[column] = np.array(levels, dtype=object)
        return _with_levels(table, self.analysis, columns)

    def failures(self) -> pandas.DataFrame:
        """The rows of `responses` that are failures."""
        table = self.responses()
        return table[table["outcome"] == "failure"].reset_index(drop=True)

    def summary(self) -> pandas.DataFrame:
        """A row a cell and metric: a column a parameter, mean, standard error, 95 % interval, prompts, answers."""
        import pandas

        rows = [msgspec.structs.asdict(row) for row in self.analysis.by_cell]
        table = pandas.DataFrame(rows)
        columns = parameter_columns(self.analysis.parameters)
        for place, (name, column) in enumerate(columns.items()):
            levels = [level_text(self.analysis.cells[row["cell_index"]][name]) for row in rows]
            table.insert(1 + place, column, np.array(levels, dtype=object))
        return _with_levels(table, self.analysis, columns)

    def query(self, sql: str) -> pandas.DataFrame:
        """What duckdb answers to `sql` over the tables ``responses``, ``scores`` and ``summary``.

        Raises:
            RecordError: duckdb refuses the query, with its words.
        """
        import duckdb

        with duckdb.connect(config={"enable_external_access": "true"}) as database:
            for name in ("responses", "scores", "summary"):
                database.register(name, getattr(self, name)())
            try:
                return database.execute(sql).df()
            except duckdb.Error as fault:
                raise RecordError(f"query: {fault}") from None

    def show(self, prompt: str | int = 0, cells: Sequence[int | str] = (), replicates: int | None = None) -> str:
        """Answers to one prompt side by side, a column a setting, with what comes again in an answer marked; a notebook shows it as HTML.

        Args:
            prompt: its id, or its number from 0.
            cells: settings, each by its number, its name or its levels, like ``temperature=0.7``; where none, the recommended one and the reference.
            replicates: how many answers of each; all where None.

        Raises:
            RecordError: there is no such prompt or number, or the records cannot be read.
            ExperimentError: no setting, or more than one, has that name or those levels.
        """
        text: str = shown("answers", self, prompt, cells, replicates)
        return text

    def __repr__(self) -> str:
        return str(shown("words", self))


def _with_levels(table: pandas.DataFrame, analysis: Analysis, columns: Mapping[str, str]) -> pandas.DataFrame:
    """Parameters as numbers where all their levels are, else as ordered categories; void levels are missing."""
    import pandas

    for name, column in columns.items():
        levels = analysis.parameters[name]
        if all(isinstance(level, int | float) and not isinstance(level, bool) for level in levels):
            table[column] = pandas.to_numeric(table[column])
        else:
            table[column] = pandas.Categorical(table[column], categories=[level_text(level) for level in levels], ordered=True)
    return table


def load(folder: Path | str) -> Run:
    """The run in `folder`, as it was last scored; reads its small files only, the tables when they are asked for.

    Args:
        folder: on this machine, or in an object store, like ``s3://bucket/run``, which is fetched whole.

    Raises:
        RecordError: there is no run, or it has not been scored, or not since its experiment was changed.
    """
    folder = at_hand(folder)
    about = read_whole(folder)
    why = outdated(folder, about)
    notes = () if why is None else (warning(f"{why}: they are older than what is recorded; make them anew with: evalkit score {folder}"),)
    return replace(as_scored(folder, about), notes=notes)


def as_scored(folder: Path, about: dict[str, Any]) -> Run:
    """As `load`, of a folder whose ``run.json`` holds `about`, and without asking whether its records are still those that were scored."""
    experiment = experiment_in(about, folder)
    analysis = _artefact(folder / ANALYSIS, lambda content: artefacts.decode(content, Analysis))
    if analysis is None:
        raise RecordError(f"{folder}: the run has not been scored; run: evalkit score {folder}")
    if analysis.digest != about.get("digest", analysis.digest):
        raise RecordError(f"{folder}: the experiment was changed after the run was scored; run: evalkit score {folder}")
    choice = _artefact(folder / CHOICE, lambda content: artefacts.decode(content, Choice))
    if choice is None and experiment.choose is not None:
        raise RecordError(f"{folder / CHOICE}: is missing, though the experiment has 'choose:'; make it again with: evalkit score {folder}")
    return Run(folder, experiment, analysis, choice=choice)


def _artefact(path: Path, decode: Callable[[bytes], Read]) -> Read | None:
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise RecordError(f"{path}: cannot be read: {fault.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RecordError(f"{path}: not what this version of evalkit writes; make it again with: evalkit score {path.parent}") from None
