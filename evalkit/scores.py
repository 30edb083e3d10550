"""From records to scores: one value for each metric, in each cell, on each prompt."""

from __future__ import annotations

import glob
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.checks import Scorer
from evalkit.metrics import METRICS, RECORDED, UAX29, Group, Metric, Tokenizer, length, mean, tokenise, values
from evalkit.parameters import canonical
from evalkit.plan import Plan
from evalkit.records import FILE, Completion, Record

MEASURED = (*METRICS, *RECORDED)
"""What a run is scored by where nothing else is asked for."""

PREFIXES = (10, 25, 50, 100, 200, 400)
"""Tokens that answers may be compared on."""
ENOUGH_ANSWERS = 0.9
ENOUGH_CELLS = 0.8
FAR_APART = 0.05

_ENOUGH_GROUPS = 0.9
_ORDINARY_LINE = 16 * 2**20
_OTHER_COLUMNS = frozenset(
    (
        *("cell_index", "prompt_id", "metric", "value", "value_full", "value_half", "value_double"),
        *("n_texts", "n_eligible", "n_prompts", "mean", "se", "ci_low", "ci_high"),
    )
)
"""Columns that are no parameter's, in ``scores.parquet`` and ``summary.csv``."""

Grid = NDArray[np.float64]
"""Shape (cells, prompts)."""


class Score(NamedTuple):
    """One metric's values over an experiment.

    Attributes:
        value: what cells are compared by, NaN where undefined; shape (cells, prompts). Of a metric that longer answers alone move, it is taken on
            the first tokens of each answer (`Prefix`).
        value_full: on the whole answers.
        n_texts: answers there are.
        n_eligible: answers that the value rests on.
        value_half: as `value`, on half of the prefix; None where the metric is taken on whole answers.
        value_double: on twice the prefix.
    """

    value: Grid
    value_full: Grid
    n_texts: NDArray[np.int64]
    n_eligible: NDArray[np.int64]
    value_half: Grid | None = None
    value_double: Grid | None = None


class Prefix(NamedTuple):
    """The beginning of the answers that metrics biased by length are compared on.

    Attributes:
        tokens: its length T.
        eligible: the share of each cell's answers that have so many tokens, NaN for a cell without answers; shape (cells,).
        left_out: cells that too few answers of reach it, which are then not compared.
        k: replicates that group metrics are taken over there.
    """

    tokens: int
    eligible: NDArray[np.float64]
    left_out: tuple[int, ...]
    k: int

    @property
    def biased(self) -> tuple[int, ...]:
        """Cells whose share of eligible answers is more than five points below the highest: what is left of them is a selection."""
        highest = np.nanmax(self.eligible)
        return tuple(int(cell) for cell in np.flatnonzero(self.eligible < highest - FAR_APART - 1e-9))


class Lengths(NamedTuple):
    """How long the answers of a cell are, as sent, and which were cut off; both of shape (answers,)."""

    lengths: NDArray[np.float64]
    truncated: NDArray[np.bool]


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
        outside: requests of a sweep in the file that this plan does not ask for.
        metrics: what was measured, in order.
        prefix: what metrics biased by length are compared on; None where too few answers have ten tokens, and they are not compared.
        lengths: of each cell's answers that are not empty, in `length_unit`.
        length_unit: ``length_tokens`` where the endpoint counts every answer's tokens, else ``length_words``.
        complaints: what scorers could not do, a sentence for each record or group.
        uncounted: answers whose tokens the endpoint does not count one by one.
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
    metrics: tuple[Metric, ...] = ()
    prefix: Prefix | None = None
    lengths: tuple[Lengths, ...] = ()
    length_unit: str = "length_tokens"
    uncounted: int = 0
    complaints: tuple[str, ...] = ()

    def compared(self, metric: Metric) -> bool:
        """Whether `value` compares cells fairly: on whole answers, or on a common prefix that is long enough for the metric."""
        return not metric.confounded or (self.prefix is not None and self.prefix.tokens >= metric.shortest)


class Answer(NamedTuple):
    """A completion as it is scored; `recorded` holds what is known of it beside the text, by name, NaN where it is not."""

    text: str
    truncated: bool
    completion_tokens: float
    recorded: dict[str, float]


class _Place(NamedTuple):
    cell: int
    prompt: int
    replicate: int


@dataclass
class Gathered:
    """The answers of a run by cell and prompt, with what was counted on the way: what `scored` takes its values from.

    Attributes:
        answers: (cell, prompt) → replicate → answer; `cut` empties it.
        groups: (cell, prompt) → its answers, cut into tokens; `scored` empties it, so that what a group has computed goes with it.
        own: what the scorers of texts and records gave, as metrics.
    """

    plan: Plan
    scorers: tuple[Scorer, ...]
    answers: dict[tuple[int, int], dict[int, Answer]] = field(default_factory=dict)
    groups: dict[tuple[int, int], Group] = field(default_factory=dict)
    tokenizer: str = ""
    own: dict[str, Metric] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    completions: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    outside: int = 0
    unmet: Counter[str] = field(default_factory=Counter)
    without_effect: dict[str, int] = field(default_factory=dict)


class Basis(NamedTuple):
    """What runs that are compared have in common: the replicates of group metrics, and the prefix with the replicates on each of its lengths."""

    k: int
    prefix: Prefix | None
    ks: tuple[int, ...] = ()


def score(
    plan: Plan,
    records: Iterable[Record],
    metrics: Sequence[Metric] = MEASURED,
    tokenizer: Tokenizer = UAX29,
    prefix: int | None = None,
    scorers: Sequence[Scorer] = (),
) -> Scores:
    """Score the completions that `plan` asks for; what else stands in the records is counted, not scored.

    Args:
        prefix: compare on the first so many tokens; chosen from `PREFIXES` where None.
        scorers: measured beside `metrics`, under their own names.
    """
    gathered = cut(gather(plan, records, scorers), tokenizer)
    return scored(gathered, basis([gathered], prefix)[0], metrics)


def gather(plan: Plan, records: Iterable[Record], scorers: Sequence[Scorer] = ()) -> Gathered:
    """The completions that `plan` asks for; what else stands in the records is counted."""
    places = {request.key: _Place(request.cell_index, request.prompt_index, request.replicate) for request in plan}
    found = Gathered(plan, tuple(scorers))
    last: dict[str, str] = {}
    outside: set[str] = set()
    strip = plan.experiment.endpoint.strip
    for record in records:
        place = places.get(record.key)
        if record.role != plan.role:
            continue  # anchors show a drift, and fresh replicates are scored by themselves
        if place is None:
            outside.add(record.key)
            continue
        if last.get(record.key) == "":
            continue  # has its completion
        if not isinstance(record.outcome, Completion):
            last[record.key] = record.outcome.kind
            continue
        last[record.key] = ""
        found.unmet.update({one.partition(":")[0] for one in record.outcome.unmet})
        answer = _answer(record.outcome, strip)
        found.answers.setdefault((place.cell, place.prompt), {})[place.replicate] = answer
        _own(scorers, record, answer, found.own, found.complaints)
    found.failures = Counter(kind for kind in last.values() if kind)
    found.missing = len(places) - len(last)
    found.completions = len(last) - found.failures.total()
    found.outside = len(outside)
    found.without_effect = _without_effect(plan, found.answers)
    return found


def cut(gathered: Gathered, tokenizer: Tokenizer = UAX29) -> Gathered:
    """The same, with the answers cut into tokens."""
    expects = [prompt.expect for prompt in gathered.plan.experiment.prompts]
    names = (*(metric.name for metric in RECORDED), *gathered.own)
    gathered.tokenizer = tokenizer.name
    for where in sorted(gathered.answers):
        group = [one for _, one in sorted(gathered.answers.pop(where).items())]
        gathered.groups[where] = tokenise(
            [one.text for one in group],
            tokenizer,
            [one.truncated for one in group],
            [one.completion_tokens for one in group],
            {name: [one.recorded.get(name, math.nan) for one in group] for name in names},
            expects[where[1]],
        )
    return gathered


def basis(runs: Sequence[Gathered], fixed: int | None = None) -> list[Basis]:
    """What all `runs` can be compared on together, as seen from each: one k and one length of the prefix, the cells of each counted by itself.

    Args:
        fixed: the length of the prefix; chosen from `PREFIXES` where None.
    """
    starts = [0, *accumulate(len(run.plan.cells) for run in runs)]
    joined = {(start + cell, prompt): group for start, run in zip(starts, runs, strict=False) for (cell, prompt), group in run.groups.items()}
    k = _common_k([int(np.count_nonzero(group.lengths)) for group in joined.values()])
    prefix = _prefix(joined, starts[-1], fixed)
    if prefix is None:
        return [Basis(k, None) for _ in runs]
    ks = tuple(_k_of(joined, tokens, prefix.left_out) for tokens in _beginnings(prefix))
    return [
        Basis(
            k,
            prefix._replace(eligible=prefix.eligible[first:end], left_out=tuple(cell - first for cell in prefix.left_out if first <= cell < end)),
            ks,
        )
        for first, end in pairwise(starts)
    ]


def scored(gathered: Gathered, on: Basis, metrics: Sequence[Metric] = MEASURED, *, beside: bool = True) -> Scores:
    """Every metric of a run, on the basis that `basis` found.

    Args:
        beside: take also what stands beside a value and is never compared: whole answers, half of the prefix and twice the prefix.
    """
    groups, complaints = gathered.groups, gathered.complaints
    sizes = [int(np.count_nonzero(group.lengths)) for group in groups.values()]
    lengths, unit = _lengths(groups, len(gathered.plan.cells))
    metrics = (*metrics, *gathered.own.values(), *(_of_texts(one, complaints) for one in gathered.scorers if one.takes == "texts"))
    uncounted = sum(int(np.isnan(group.completion_tokens).sum()) for group in groups.values())
    by_metric = _measured(metrics, gathered.plan, groups, on, beside)
    return Scores(
        plan=gathered.plan,
        by_metric=by_metric,
        tokenizer=gathered.tokenizer,
        k=on.k,
        groups_left_out=sum(size < on.k for size in sizes),
        completions=gathered.completions,
        failures=gathered.failures,
        missing=gathered.missing,
        outside=gathered.outside,
        unmet=gathered.unmet,
        without_effect=gathered.without_effect,
        metrics=tuple(metrics),
        prefix=on.prefix,
        lengths=lengths,
        length_unit=unit,
        uncounted=uncounted,
        complaints=tuple(complaints),
    )


def _answer(completion: Completion, strip: Sequence[str]) -> Answer:
    usage = completion.usage if completion.usage_shared_by == 1 else None
    tokens = usage.completion_tokens if usage else None
    speed = completion.tokens_per_s if completion.usage_shared_by == 1 else None
    recorded = {"latency_s": completion.latency_s, "time_to_first_token_s": completion.time_to_first_token_s, "tokens_per_s": speed}
    return Answer(
        scored_text(completion, strip),
        completion.finish_reason == "length",
        math.nan if tokens is None else float(tokens),
        {name: math.nan if one is None else float(one) for name, one in recorded.items()},
    )


def _own(scorers: Sequence[Scorer], record: Record, answer: Answer, own: dict[str, Metric], complaints: list[str]) -> None:
    """Add the numbers of the scorers of texts and records to `answer`, and their names to `own`; what goes wrong is told and stops nothing."""
    for one in scorers:
        if one.takes == "texts":
            continue
        try:
            found = one.values(answer.text if one.takes == "text" else record)
        except Exception as error:
            complaints.append(
                f"{one.name}: {type(error).__name__}: {error} (prompt {record.prompt_id}, replicate {record.replicate}, key {record.key})"
            )
            continue
        answer.recorded.update(found)
        for name in found.keys() - own.keys():
            of = partial(length.recorded, name=name)
            own[name] = Metric(
                name, "response", of, one.better, f"{one.name}, a scorer of this experiment", "own", content=False, low=-math.inf, high=math.inf
            )


def _of_texts(scorer: Scorer, complaints: list[str]) -> Metric:
    def of(group: Group) -> float:
        try:
            return scorer.values(list(group.texts))[scorer.name]
        except Exception as error:
            complaints.append(f"{scorer.name}: {type(error).__name__}: {error} (a group that begins with {group.texts[0][:40]!r})")
            return math.nan

    said = f"{scorer.name}, a scorer of this experiment"
    return Metric(scorer.name, "group", of, scorer.better, said, "own", low=-math.inf, high=math.inf, bias="k")


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


def _without_effect(plan: Plan, groups: dict[tuple[int, int], dict[int, Answer]]) -> dict[str, int]:
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


def _prefix(groups: dict[tuple[int, int], Group], cells: int, fixed: int | None) -> Prefix | None:
    """The longest prefix that nine tenths of every cell's answers have; else of four fifths of the cells, the others left out; else None."""
    lengths: list[list[NDArray[np.int64]]] = [[] for _ in range(cells)]
    for (cell, _), group in groups.items():
        lengths[cell].append(group.lengths)
    joined = [np.concatenate(one) if one else np.zeros(0) for one in lengths]
    answered = [cell for cell in range(cells) if len(joined[cell])]
    if not answered:
        return None
    tried = []
    for tokens in sorted(PREFIXES, reverse=True) if fixed is None else (fixed,):
        eligible = np.array([np.mean(one >= tokens) if len(one) else math.nan for one in joined])
        short = tuple(cell for cell in answered if eligible[cell] < ENOUGH_ANSWERS - 1e-9)
        tried.append((tokens, eligible, short))
    whole = [one for one in tried if not one[2]]
    most = [one for one in tried if len(answered) - len(one[2]) >= ENOUGH_CELLS * len(answered)]
    if not whole and not most:
        return None
    tokens, eligible, short = (whole or most)[0]
    return Prefix(tokens, eligible, short, _k_of(groups, tokens, short))


def _beginnings(prefix: Prefix) -> tuple[int, int, int]:
    """The prefix, and its half and its double beside it."""
    return prefix.tokens, max(1, prefix.tokens // 2), 2 * prefix.tokens


def _k_of(groups: dict[tuple[int, int], Group], tokens: int, left_out: Sequence[int]) -> int:
    return _common_k([int(np.count_nonzero(group.lengths >= tokens)) for (cell, _), group in groups.items() if cell not in left_out])


def _lengths(groups: dict[tuple[int, int], Group], cells: int) -> tuple[tuple[Lengths, ...], str]:
    counted = not any(np.isnan(group.completion_tokens).any() for group in groups.values())
    found: list[list[tuple[float, bool]]] = [[] for _ in range(cells)]
    for (cell, _), group in groups.items():
        sizes = group.completion_tokens if counted else group.words
        found[cell] += [(float(size), bool(cut)) for size, cut, any_token in zip(sizes, group.truncated, group.lengths, strict=True) if any_token]
    each = tuple(Lengths(np.array([size for size, _ in one]), np.array([cut for _, cut in one], dtype=bool)) for one in found)
    return each, "length_tokens" if counted else "length_words"


def _measured(metrics: Sequence[Metric], plan: Plan, groups: dict[tuple[int, int], Group], on: Basis, beside: bool) -> dict[str, Score]:
    """Every metric of every group; takes the groups out of `groups`, so that what a group has computed goes with it."""
    shape = (len(plan.cells), len(plan.experiment.prompts))
    out = {}
    for metric in metrics:
        grids = [np.full(shape, math.nan) for _ in range(4)]
        half, double = (grids[2], grids[3]) if metric.confounded else (None, None)
        out[metric.name] = Score(grids[0], grids[1], np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64), half, double)
    left_out = on.prefix.left_out if on.prefix else ()
    beginnings: tuple[int, ...] = _beginnings(on.prefix)[: 3 if beside else 1] if on.prefix else ()
    for where in sorted(groups):
        group = groups.pop(where)
        whole = _Parts(group, on.k)
        parts = []
        if where[0] not in left_out:
            parts = [_Parts(group.take(np.flatnonzero(group.lengths >= at), at), its) for at, its in zip(beginnings, on.ks, strict=False)]
        for metric in metrics:
            one = out[metric.name]
            one.n_texts[where] = len(group)
            if beside or not metric.confounded:
                one.value_full[where], n = whole.value(metric)
            if not metric.confounded:
                one.value[where], one.n_eligible[where] = one.value_full[where], n
                continue
            for grid, part in zip((one.value, one.value_half, one.value_double), parts, strict=False):
                if grid is not None and beginnings[0] >= metric.shortest:
                    grid[where], n = part.value(metric)
                    if grid is one.value:
                        one.n_eligible[where] = n
    return out


class _Parts:
    """A group with those of its answers that group metrics are taken over."""

    def __init__(self, group: Group, k: int) -> None:
        self._group = group
        self._k = k
        self._first: dict[bool, Group | None] = {}

    def value(self, metric: Metric) -> tuple[float, int]:
        """The metric, NaN where undefined, and the answers that it rests on."""
        if metric.level == "response":
            found = values(metric, self._group)
            return mean(found), int(np.count_nonzero(~np.isnan(found)))
        taken = self._taken(metric.content)
        if taken is None:
            return math.nan, 0
        value = float(metric.of(taken))
        return value, 0 if math.isnan(value) else self._k

    def _taken(self, content: bool) -> Group | None:
        if content not in self._first:
            group = self._group.with_text if content else self._group
            self._first[content] = group.take(np.arange(self._k)) if self._k and len(group) >= self._k else None
        return self._first[content]


def write_tables(folder: Path, scores: Scores, temporary: str) -> None:
    """Write ``responses.parquet`` and ``scores.parquet`` into `folder`, under their names with `temporary` behind.

    A score that is undefined is NULL there, which averages in SQL leave out.
    """
    import duckdb

    plan = scores.plan
    # Without the sample, columns of strings are VARCHAR, also where a sample would find nothing but void levels.
    with duckdb.connect(config={"pandas_analyze_sample": 0}) as database:
        _register_scores(database, scores)
        database.execute(f"COPY scores TO {quoted(folder / f'scores.parquet{temporary}')} (FORMAT parquet)")
        rows = [(request.key, request.cell_index) for request in plan]
        database.register("planned", {"key": np.array([key for key, _ in rows], dtype=object), "cell_index": np.array([at for _, at in rows])})
        source, target = folder / FILE, folder / f"responses.parquet{temporary}"
        database.execute(_RESPONSES.format(source=quoted(glob.escape(str(source))), longest=_longest_line(source), target=quoted(target)))


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
        "value_half": np.concatenate([_or_undefined(one.value_half, one.value) for one in stacked]),
        "value_double": np.concatenate([_or_undefined(one.value_double, one.value) for one in stacked]),
    }
    for name, column in parameter_columns(scores.plan.experiment.parameters).items():
        levels = np.array([level_text(cell[name]) for cell in scores.plan.cells], dtype=object)
        columns[column] = np.tile(np.repeat(levels, width), len(names))
    database.register("scores", columns)


def _or_undefined(grid: Grid | None, like: Grid) -> Grid:
    return np.full(like.size, math.nan) if grid is None else grid.ravel()


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


def quoted(path: Path | str) -> str:
    """The path as a string of SQL."""
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
