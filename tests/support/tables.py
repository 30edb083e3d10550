"""What a results folder's tables on disk hold."""

from __future__ import annotations

from pathlib import Path

import duckdb


def values(folder: Path, metric: str = "good") -> list[float | None]:
    query = f"SELECT value FROM '{folder}/scores.parquet' WHERE metric = '{metric}' ORDER BY cell_index, prompt_id"  # noqa: S608
    return [value for (value,) in duckdb.sql(query).fetchall()]
