"""Scores and records as tables on disk, by duckdb."""

from __future__ import annotations

import glob
import math
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import RecordError
from evalkit.experiment.parameters import level_text
from evalkit.scoring.grids import Grid
from evalkit.scoring.scores import Scores
from evalkit.store.records import RESPONSES

_ORDINARY_LINE = 16 * 2**20
_MEMORY = 32 * 2**20
"""Bytes that duckdb may hold beside eight of the longest lines."""
_AT_ONCE = 20_000
_OTHER_COLUMNS = frozenset(
    (
        *("cell_index", "prompt_id", "metric", "value", "value_full", "value_half", "value_double", "value_prefix"),
        *("n_texts", "n_eligible", "n_prompts", "mean", "se", "ci_low", "ci_high"),
    )
)
"""Columns that are no parameter's, in ``scores.parquet`` and ``summary.csv``."""


def write_tables(folder: Path, scores: Scores, temporary: str) -> None:
    """Write ``responses.parquet`` and ``scores.parquet`` into `folder`, under their names with `temporary` behind.

    A score that is undefined is NULL there, which averages in SQL leave out. Raises `RecordError` where they cannot be written.
    """
    import duckdb

    try:
        _write_tables(folder, scores, temporary)
    except duckdb.IOException as fault:
        raise RecordError(f"{folder}: the tables cannot be written: {_reason(str(fault))}") from None


def _reason(fault: str) -> str:
    """The system's words at the end of duckdb's, which may hold a second message as JSON."""
    said = fault.partition('": ')[2] if '": ' in fault else fault
    return said.splitlines()[0].partition('","')[0][:200] if said else "the disk refused them"


def _write_tables(folder: Path, scores: Scores, temporary: str) -> None:
    import duckdb

    # Without the sample, columns of strings are VARCHAR, also where a sample would find nothing but void levels.
    source, target = folder / RESPONSES, folder / f"responses.parquet{temporary}"
    longest = _longest_line(source)
    # One thread: each would hold a stretch of the records for itself, and one reads them nearly as fast. What is above the limit goes to the disk.
    config: dict[str, Any] = {"pandas_analyze_sample": 0, "threads": 1, "memory_limit": f"{_MEMORY + 8 * longest}B"}
    with tempfile.TemporaryDirectory(prefix="evalkit-") as spilled, duckdb.connect(config=config | {"temp_directory": spilled}) as database:
        query = _registered(database, scores)
        database.execute(f"COPY ({query}) TO {quoted(folder / f'scores.parquet{temporary}')} (FORMAT parquet, ROW_GROUP_SIZE 10240)")
        database.execute("CREATE TABLE planned (key VARCHAR, cell_index BIGINT)")
        requests = iter(scores.plan)
        while rows := [(request.key, request.cell_index) for request in islice(requests, _AT_ONCE)]:
            chunk = {"key": np.array([key for key, _ in rows], dtype=object), "cell_index": np.array([at for _, at in rows])}
            database.register("chunk", chunk)
            database.execute("INSERT INTO planned SELECT key, cell_index FROM chunk")
        database.execute(_RESPONSES.format(source=quoted(glob.escape(str(source))), longest=longest, target=quoted(target)))


def _registered(database: Any, scores: Scores) -> str:
    """What stands in ``scores.parquet``, as a query: the values are read from where they are, metric by metric."""
    prompts = [prompt.id for prompt in scores.plan.experiment.prompts]
    cells, width = len(scores.plan.cells), len(prompts)
    where: dict[str, NDArray[Any]] = {
        "cell_index": np.repeat(np.arange(cells), width),
        "prompt_id": np.tile(np.array(prompts, dtype=object), cells),
    }
    parameters = parameter_columns(scores.plan.experiment.parameters)
    for name, column in parameters.items():
        levels = np.array([level_text(cell[name]) for cell in scores.plan.cells], dtype=object)
        where[column] = np.repeat(levels, width)
    database.register("places", where)
    parts = []
    for number, (name, one) in enumerate(scores.by_metric.items()):
        grids = {
            "value": one.value.ravel(),
            "value_full": one.value_full.ravel(),
            "n_texts": one.n_texts.ravel(),
            "n_eligible": one.n_eligible.ravel(),
            "value_half": _or_undefined(one.value_half, one.value),
            "value_double": _or_undefined(one.value_double, one.value),
            "value_prefix": _or_undefined(one.value_prefix, one.value),
        }
        database.register(f"grids{number}", grids)
        columns = ", ".join([f"{quoted(name)} AS metric", *grids, *map(_named, parameters.values())])
        parts.append(f"SELECT cell_index, prompt_id, {columns} FROM places POSITIONAL JOIN grids{number}")  # noqa: S608 (quoted)
    return " UNION ALL ".join(parts)


def _named(column: str) -> str:
    """A column in SQL."""
    return '"' + column.replace('"', '""') + '"'


def _or_undefined(grid: Grid | None, like: Grid) -> Grid:
    return np.full(like.size, math.nan) if grid is None else grid.ravel()


def parameter_columns(parameters: Iterable[str], others: Iterable[str] = _OTHER_COLUMNS) -> dict[str, str]:
    """The column of each parameter in tables: its name, behind ``parameter_`` where SQL would take it for one of the `others`."""
    taken = {name.lower() for name in others}
    columns: dict[str, str] = {}
    for name in parameters:
        column = name
        while column.lower() in taken:  # to SQL, Value and value are one
            column = f"parameter_{column}"
        taken.add(column.lower())
        columns[name] = column
    return columns


def quoted(text: Path | str) -> str:
    """A path, or any text, in SQL."""
    return "'" + str(text).replace("'", "''") + "'"


def _longest_line(path: Path) -> int:
    """Bytes that duckdb must be ready to take at once; it holds twice as many in memory for each thread."""
    if not path.is_file():  # which is told where it is read
        return _ORDINARY_LINE
    with path.open("rb") as file:
        return max(_ORDINARY_LINE, max(map(len, file), default=0))


# The columns are declared: guessing takes twice as long and can guess wrong.
_RESPONSES = """
COPY (
    SELECT r.key, r.role, r.prompt_id, p.cell_index, p.key IS NOT NULL AND r.role = 'sweep' AS planned,
           CAST(r.cell AS VARCHAR) AS cell, r.replicate, r.seed, r.model, CAST(r.request AS VARCHAR) AS request, r."at" AT TIME ZONE 'UTC' AS "at",
           r.outcome.type AS outcome, r.outcome.text, r.outcome.finish_reason, r.outcome.ending,
           r.outcome.usage.prompt_tokens, r.outcome.usage.completion_tokens,
           r.outcome.latency_s, r.outcome.tries, r.outcome.model AS model_answered, r.outcome.system_fingerprint,
           r.outcome.kind, r.outcome.message, r.outcome.status
    FROM read_json({source}, format = 'newline_delimited', maximum_object_size = {longest}, columns = {{
        key: 'VARCHAR', role: 'VARCHAR', prompt_id: 'VARCHAR', cell: 'JSON', replicate: 'BIGINT', seed: 'BIGINT', model: 'VARCHAR',
        request: 'JSON', "at": 'TIMESTAMPTZ',
        outcome: 'STRUCT(type VARCHAR, text VARCHAR, finish_reason VARCHAR, ending VARCHAR,
                         usage STRUCT(prompt_tokens BIGINT, completion_tokens BIGINT),
                         latency_s DOUBLE, tries BIGINT, model VARCHAR, system_fingerprint VARCHAR, kind VARCHAR, message VARCHAR, status BIGINT)'
    }}) r LEFT JOIN planned p ON p.key = r.key
) TO {target} (FORMAT parquet, ROW_GROUP_SIZE 10240)
"""
