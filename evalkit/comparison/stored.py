"""The scores that a sweep left in its folder, where they are still those of its answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from evalkit._version import __version__
from evalkit.analysis.analysis import Analysis, SampledOn
from evalkit.errors import RecordError
from evalkit.plan.requests import Plan
from evalkit.scoring.gather import Gathered
from evalkit.scoring.tables import quoted
from evalkit.store import artefacts
from evalkit.store.folder import ANALYSIS, SCORES_TABLE, read_run

Grid = NDArray[np.float64]

_PROOF = "length_chars"


class On(NamedTuple):
    """What scores were taken on. Two runs alike in it have it together too.

    Attributes:
        k: replicates, on the prompt with most.
        tokens: of the prefix, `prefix_k` the replicates there.
        samples: of each prompt.
    """

    k: int
    tokens: int | None
    prefix_k: int
    samples: SampledOn | None


class Stored(NamedTuple):
    """Values by metric, each of shape (cells, prompts)."""

    on: On
    values: dict[str, Grid]


def tokenizer_of(folder: Path) -> str | None:
    """The tokeniser that a run was last scored with; None where that is not known."""
    analysis = _analysis(folder)
    return None if analysis is None else analysis.tokenizer


def _analysis(folder: Path) -> Analysis | None:
    try:
        return artefacts.decode((folder / ANALYSIS).read_bytes(), Analysis)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # they can be made again, so that nothing rests on them


def stored(folder: Path, plan: Plan, gathered: Gathered, names: Sequence[str], tokenizer: str) -> Stored | None:
    """The values of the metrics `names` in ``scores.parquet``; None where it does not hold what `gathered` would be scored to.

    It does where this evalkit wrote it with this tokeniser, every cell was long enough for one prefix, and each cell and prompt has as many
    answers there, with as many characters, as in the records.
    """
    analysis = _analysis(folder)
    if analysis is None or analysis.tokenizer != tokenizer or not _of_this_version(folder):
        return None
    counts, on = analysis.counts, analysis.compared_on
    if (counts.cells, counts.prompts, counts.completions) != (len(plan.cells), len(plan.experiment.prompts), gathered.completions):
        return None
    if on is not None and (on.left_out or on.biased):
        return None  # together with another run the choice of cells may be another
    table = _values(folder, plan, {*names, _PROOF})
    if table is None or any(name not in table for name in names):
        return None
    texts, lengths = table.pop("n_texts"), table[_PROOF]
    for index, (row, characters) in enumerate(zip(texts.tolist(), lengths.tolist(), strict=True)):
        for prompt, n in enumerate(row):
            group = gathered.answers.get((index, prompt), {})
            if len(group) != n or (n and not math.isclose(sum(len(one.text) for one in group.values()) / n, characters[prompt], rel_tol=1e-12)):
                return None
    return Stored(
        On(counts.k, None if on is None else on.tokens, 0 if on is None else on.k, analysis.sampled_on), {name: table[name] for name in names}
    )


def _of_this_version(folder: Path) -> bool:
    try:
        about = read_run(folder) or {}
    except RecordError:
        return False
    versions = about.get("versions")
    return isinstance(versions, dict) and versions.get("evalkit") == __version__


def _values(folder: Path, plan: Plan, names: set[str]) -> dict[str, Grid] | None:
    """Each metric's values, and ``n_texts``; None where the table cannot be read or is of other cells and prompts."""
    import duckdb

    path = folder / SCORES_TABLE
    if not path.is_file():
        return None
    prompts = {prompt.id: index for index, prompt in enumerate(plan.experiment.prompts)}
    try:
        with duckdb.connect() as database:
            query = f"SELECT metric, cell_index, prompt_id, value, n_texts FROM read_parquet({quoted(path)})"  # noqa: S608 (quoted)
            columns = database.execute(query + " WHERE metric IN (SELECT unnest(?))", [sorted(names)]).fetchnumpy()
    except duckdb.Error:
        return None
    metric, cell = columns["metric"], np.asarray(columns["cell_index"], dtype=np.int64)
    where = np.array([prompts.get(name, -1) for name in map(str, columns["prompt_id"])], dtype=np.int64)
    shape = (len(plan.cells), len(prompts))
    if len(cell) == 0 or (where < 0).any() or cell.min() < 0 or cell.max() >= shape[0]:
        return None
    value: Grid = np.ma.filled(np.ma.asarray(columns["value"], dtype=float), math.nan)
    out: dict[str, Grid] = {}
    for name in names:
        rows = np.asarray(metric == name)
        if rows.sum() != shape[0] * shape[1]:
            continue
        out[name] = np.full(shape, math.nan)
        out[name][cell[rows], where[rows]] = value[rows]
        if name == _PROOF:
            out["n_texts"] = np.zeros(shape)
            out["n_texts"][cell[rows], where[rows]] = np.asarray(columns["n_texts"], dtype=float)[rows]
    return out if "n_texts" in out else None
