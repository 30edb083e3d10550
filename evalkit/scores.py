"""From records to scores: one value for each metric, in each cell, on each prompt."""

from __future__ import annotations

import glob
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.metrics import METRICS, UAX29, Metric, Response, Tokenizer
from evalkit.parameters import canonical
from evalkit.plan import Plan
from evalkit.records import FILE, Completion, Record

_ENOUGH_GROUPS = 0.9
_ORDINARY_LINE = 16 * 2**20
_OTHER_COLUMNS = frozenset(
    ("cell_index", "prompt_id", "metric", "value", "value_full", "n_texts", "n_eligible", "mean", "se", "ci_low", "ci_high", "n_prompts")
)
"""Columns that are no parameter's, in ``scores.parquet`` and ``summary.csv``."""

Grid = NDArray[np.float64]
"""Shape (cells, prompts)."""


class Score(NamedTuple):
    """One metric's values over an experiment.

    Attributes:
        value: what cells are compared by, NaN where undefined; shape (cells, prompts).
        value_full: on the whole answers.
        n_texts: answers there are.
        n_eligible: answers that the value rests on.
    """

    value: Grid
    value_full: Grid
    n_texts: NDArray[np.int64]
    n_eligible: NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """All scores of a run.

    Attributes:
        k: replicates that group metrics were taken over, alike in every group; 0 where nine tenths of the groups have no two.
        groups_left_out: groups with fewer than `k` answers that are not empty, left out of group metrics.
        failures: planned requests whose last outcome is a failure, by kind.
        missing: planned requests without any outcome.
        unmet: completions that lack something that was asked for, by what it is.
        without_effect: parameters whose change changed no answer, with the number of pairs of answers that show it.
        outside: requests in the file that this plan does not ask for, or that are no part of the sweep.
    """

    plan: Plan
    by_metric: dict[str, Score]
    tokenizer: str
    k: int
    groups_left_out: int
    completions: int
    failures: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    outside: int = 0
    unmet: Counter[str] = field(default_factory=Counter)
    without_effect: dict[str, int] = field(default_factory=dict)


class _Place(NamedTuple):
    cell: int
    prompt: int
    replicate: int


def score(plan: Plan, records: Iterable[Record], metrics: Sequence[Metric] = METRICS, tokenizer: Tokenizer = UAX29) -> Scores:
    """Score the completions that `plan` asks for; what else stands in the records is counted, not scored."""
    places = {request.key: _Place(request.cell_index, request.prompt_index, request.replicate) for request in plan}
    groups: dict[tuple[int, int], dict[int, Response]] = {}
    last: dict[str, str] = {}
    outside: set[str] = set()
    cut: dict[str, list[str]] = {}
    unmet: Counter[str] = Counter()
    strip = plan.experiment.endpoint.strip
    for record in records:
        place = places.get(record.key)
        if record.role != plan.role and "confirm" in (record.role, plan.role):
            continue  # fresh replicates are scored by themselves
        if place is None or record.role != plan.role:
            outside.add(record.key)
            continue
        if last.get(record.key) == "":
            continue  # has its completion
        if not isinstance(record.outcome, Completion):
            last[record.key] = record.outcome.kind
            continue
        last[record.key] = ""
        unmet.update({one.partition(":")[0] for one in record.outcome.unmet})
        text = scored_text(record.outcome, strip)
        tokens = cut.get(text)
        if tokens is None:  # at temperature 0 the same text comes many times
            tokens = cut[text] = list(tokenizer.cut(text))
        usage = record.outcome.usage if record.outcome.usage_shared_by == 1 else None
        groups.setdefault((place.cell, place.prompt), {})[place.replicate] = Response(
            text, tokens, record.outcome.finish_reason, usage.completion_tokens if usage else None
        )
    ordered = {where: [one for _, one in sorted(group.items())] for where, group in groups.items()}
    k = _common_k([sum(bool(one.tokens) for one in group) for group in ordered.values()])
    scores = {metric.name: _one(metric, plan, ordered, k) for metric in metrics}
    left_out = sum(sum(bool(one.tokens) for one in group) < k for group in ordered.values())
    return Scores(
        plan=plan,
        by_metric=scores,
        tokenizer=tokenizer.name,
        k=k,
        groups_left_out=left_out,
        completions=sum(map(len, ordered.values())),
        failures=Counter(kind for kind in last.values() if kind),
        missing=len(places) - len(last),
        outside=len(outside),
        unmet=unmet,
        without_effect=_without_effect(plan, groups),
    )


def scored_text(completion: Completion, strip: Sequence[str] = ()) -> str:
    """What is scored of an answer: its content without what `strip` matches, then each tool call as its name and canonical JSON arguments.

    Args:
        strip: regular expressions; one that takes over five seconds on a text is given up, and the text stays as it is.
    """
    text = completion.text
    if strip:
        import regex

        for pattern in strip:
            with suppress(TimeoutError):
                text = regex.sub(pattern, "", text, timeout=5.0)
    calls = [f"{call['function']['name']} {_canonical_json(call['function']['arguments'])}" for call in completion.tool_calls or ()]
    return "\n".join(filter(None, [text, *calls]))


def _canonical_json(text: str) -> str:
    try:
        return json.dumps(canonical(json.loads(text)), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return text


_SAME_PAIRS = 12
_NO_TEXT_OF_THEIRS = frozenset({"max_tokens", "max_completion_tokens", "stop", "model", "seed"})


def _without_effect(plan: Plan, groups: dict[tuple[int, int], dict[int, Response]]) -> dict[str, int]:
    """Parameters that seem to be ignored: the number of pairs of answers that differ in that parameter alone and are all the same text.

    Such a pair tells something only where an answer depends on nothing else: under one seed, or at temperature 0.
    """
    seeded = plan.experiment.request.get("seed") is not None
    by_rest: dict[tuple[str, str], list[int]] = {}
    for index, cell in enumerate(plan.cells):
        greedy = cell.get("temperature", plan.experiment.request.get("temperature")) == 0
        for name, level in cell.items():
            if name in _NO_TEXT_OF_THEIRS or level is None or not (seeded or (greedy and name != "temperature")):
                continue
            rest = repr([(other, canonical(at)) for other, at in cell.items() if other != name])
            by_rest.setdefault((name, rest), []).append(index)
    pairs: Counter[str] = Counter()
    differ: set[str] = set()
    for (name, _), cells in by_rest.items():
        for one, other in pairwise(cells):
            for prompt in range(len(plan.experiment.prompts)):
                first, second = groups.get((one, prompt), {}), groups.get((other, prompt), {})
                for replicate in first.keys() & second.keys():
                    pairs[name] += 1
                    if first[replicate].text != second[replicate].text:
                        differ.add(name)
    return {name: count for name, count in pairs.items() if name not in differ and count >= _SAME_PAIRS}


def _common_k(sizes: Sequence[int]) -> int:
    """The largest k that at least nine tenths of the groups with any answer reach; 0 where that is below 2."""
    if not sizes:
        return 0
    falling = sorted(sizes, reverse=True)
    k = falling[math.ceil(_ENOUGH_GROUPS * len(falling)) - 1]
    return k if k >= 2 else 0


def _one(metric: Metric, plan: Plan, groups: dict[tuple[int, int], list[Response]], k: int) -> Score:
    shape = (len(plan.cells), len(plan.experiment.prompts))
    value = np.full(shape, math.nan)
    n_texts = np.zeros(shape, dtype=np.int64)
    n_eligible = np.zeros(shape, dtype=np.int64)
    for where, group in groups.items():
        texts = [one for one in group if one.tokens] if metric.content else group
        n_texts[where] = len(group)
        if metric.level == "group":
            if k and len(texts) >= k:
                value[where] = metric.of(texts[:k])
                n_eligible[where] = 0 if math.isnan(value[where]) else k
        else:
            values = [one for one in map(metric.of, texts) if not math.isnan(one)]
            n_eligible[where] = len(values)
            if values:
                value[where] = math.fsum(values) / len(values)
    return Score(value, value.copy(), n_texts, n_eligible)


def write_tables(folder: Path, scores: Scores, temporary: str) -> None:
    """Write ``responses.parquet`` and ``scores.parquet`` into `folder`, under their names with `temporary` behind.

    A score that is undefined is NULL there, which averages in SQL leave out.
    """
    import duckdb

    plan = scores.plan
    # Without the sample, columns of strings are VARCHAR, also where a sample would find nothing but void levels.
    with duckdb.connect(config={"pandas_analyze_sample": 0}) as database:
        _register_scores(database, scores)
        database.execute(f"COPY scores TO {_quoted(folder / f'scores.parquet{temporary}')} (FORMAT parquet)")
        rows = [(request.key, request.cell_index) for request in plan]
        database.register("planned", {"key": np.array([key for key, _ in rows], dtype=object), "cell_index": np.array([at for _, at in rows])})
        source, target = folder / FILE, folder / f"responses.parquet{temporary}"
        database.execute(_RESPONSES.format(source=_quoted(glob.escape(str(source))), longest=_longest_line(source), target=_quoted(target)))


def _register_scores(database: Any, scores: Scores) -> None:
    prompts = [prompt.id for prompt in scores.plan.experiment.prompts]
    cells, width = len(scores.plan.cells), len(prompts)
    names = list(scores.by_metric)
    stacked = list(scores.by_metric.values())
    columns: dict[str, NDArray[Any]] = {
        "cell_index": np.tile(np.repeat(np.arange(cells), width), len(names)),
        "prompt_id": np.tile(np.array(prompts, dtype=object), cells * len(names)),
        "metric": np.repeat(np.array(names, dtype=object), cells * width),
        "value": np.concatenate([one.value.ravel() for one in stacked]),
        "value_full": np.concatenate([one.value_full.ravel() for one in stacked]),
        "n_texts": np.concatenate([one.n_texts.ravel() for one in stacked]),
        "n_eligible": np.concatenate([one.n_eligible.ravel() for one in stacked]),
    }
    for name, column in parameter_columns(scores.plan.experiment.parameters).items():
        levels = np.array([level_text(cell[name]) for cell in scores.plan.cells], dtype=object)
        columns[column] = np.tile(np.repeat(levels, width), len(names))
    database.register("scores", columns)


def parameter_columns(parameters: Iterable[str]) -> dict[str, str]:
    """The column of each parameter in tables: its name, behind ``parameter_`` where SQL would take it for another column's."""
    taken = set(_OTHER_COLUMNS)
    columns: dict[str, str] = {}
    for name in parameters:
        column = name
        while column.lower() in taken:  # to SQL, Value and value are one
            column = f"parameter_{column}"
        taken.add(column.lower())
        columns[name] = column
    return columns


def level_text(level: Any) -> str | None:
    """A level as tables write it: numbers by value, lists and mappings as JSON; None where void."""
    import json

    match level:
        case None | str():
            return level
        case bool():
            return "true" if level else "false"
        case int() | float():
            return repr(canonical(level) if abs(level) < 1e15 else level)
        case _:
            return json.dumps(canonical(level), ensure_ascii=False)


def _quoted(path: Path | str) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _longest_line(path: Path) -> int:
    """Bytes that duckdb must be ready to take at once; it holds twice as many in memory for each thread."""
    with path.open("rb") as file:
        return max(_ORDINARY_LINE, max(map(len, file), default=0))


# The columns are declared: guessing takes twice as long and can guess wrong.
_RESPONSES = """
COPY (
    SELECT r.key, r.role, r.prompt_id, p.cell_index, p.key IS NOT NULL AND r.role = 'sweep' AS planned,
           CAST(r.cell AS VARCHAR) AS cell, r.replicate, r.seed, r.model, CAST(r.request AS VARCHAR) AS request, r."at" AT TIME ZONE 'UTC' AS "at",
           r.outcome.type AS outcome, r.outcome.text, r.outcome.finish_reason,
           r.outcome.usage.prompt_tokens, r.outcome.usage.completion_tokens,
           r.outcome.latency_s, r.outcome.tries, r.outcome.model AS model_answered, r.outcome.system_fingerprint,
           r.outcome.kind, r.outcome.message, r.outcome.status
    FROM read_json({source}, format = 'newline_delimited', maximum_object_size = {longest}, columns = {{
        key: 'VARCHAR', role: 'VARCHAR', prompt_id: 'VARCHAR', cell: 'JSON', replicate: 'BIGINT', seed: 'BIGINT', model: 'VARCHAR',
        request: 'JSON', "at": 'TIMESTAMPTZ',
        outcome: 'STRUCT(type VARCHAR, text VARCHAR, finish_reason VARCHAR, usage STRUCT(prompt_tokens BIGINT, completion_tokens BIGINT),
                         latency_s DOUBLE, tries BIGINT, model VARCHAR, system_fingerprint VARCHAR, kind VARCHAR, message VARCHAR, status BIGINT)'
    }}) r LEFT JOIN planned p ON p.key = r.key
) TO {target} (FORMAT parquet)
"""
