"""From records to scores: which answers count, how many of them, and what the tables on disk hold."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.records import completion, experiment, failure, record, records

from evalkit.experiment.parameters import level_text
from evalkit.metrics import METRICS
from evalkit.metrics.rarefaction import Sample
from evalkit.plan.requests import Plan, Request, seed_of
from evalkit.scoring.metric_set import MEASURED
from evalkit.scoring.scores import Scores, score
from evalkit.scoring.tables import parameter_columns, write_tables
from evalkit.store.records import Completion, Outcome, Record, RecordWriter, Usage, read

CONTENT = [metric.name for metric in METRICS if metric.content]
GROUP = [metric.name for metric in METRICS if metric.level == "group"]


def requests(plan: Plan) -> dict[tuple[int, int, int], Request]:
    return {(one.cell_index, one.prompt_index, one.replicate): one for one in plan}


def same(one: Scores, other: Scores) -> bool:
    return all(
        a is b is None or np.array_equal(a, b, equal_nan=True)
        for name in one.by_metric
        for a, b in zip(one.by_metric[name], other.by_metric[name], strict=True)
    )


# Which outcome counts


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]])
def test_a_completion_wins_over_failures_before_and_after(order: list[int]) -> None:
    plan = Plan(experiment(prompts=["p"], replicates=1))
    (request,) = plan
    outcomes: list[Outcome] = [failure("timeout"), completion("one two"), failure("server")]
    found = score(plan, [record(request, outcomes[at]) for at in order])
    assert found.completions == 1
    assert not found.failures
    assert found.missing == 0
    assert found.by_metric["length_words"].value[0, 0] == 2


def test_of_two_completions_the_first_counts() -> None:
    plan = Plan(experiment(prompts=["p"], replicates=1))
    (request,) = plan
    found = score(plan, [record(request, completion("one")), record(request, completion("one two"))])
    assert found.completions == 1
    assert found.by_metric["length_words"].value[0, 0] == 1


def test_the_last_failure_is_the_one_that_is_counted() -> None:
    plan = Plan(experiment(prompts=["p"], replicates=2))
    first, second = plan
    found = score(plan, [record(first, failure("timeout")), record(second, failure("auth")), record(first, failure("server"))])
    assert found.failures == {"server": 1, "auth": 1}
    assert found.completions == found.missing == 0


def test_failures_are_counted_and_never_scored() -> None:
    plan = Plan(experiment({"temperature": [0.5, 1.0]}))
    found = score(plan, [record(request, failure()) for request in plan])
    assert found.failures == {"server": 8}
    assert found.k == found.groups_left_out == 0
    for name, one in found.by_metric.items():
        assert np.isnan(one.value).all(), name
        assert not one.n_texts.any(), name
        assert not one.n_eligible.any(), name


def test_what_has_no_outcome_is_missing() -> None:
    plan = Plan(experiment())
    found = score(plan, [record(request, completion("a b")) for request in list(plan)[:3]])
    assert (found.completions, found.missing, found.outside) == (3, 1, 0)


def test_what_the_plan_does_not_ask_for_is_counted_and_not_scored() -> None:
    plan = Plan(experiment())
    narrower = Plan(experiment(prompts=["p"], replicates=1))
    every = records(plan, lambda request: f"about {request.prompt_id}")
    found = score(narrower, [*every, every[0]])
    assert (found.completions, found.missing, found.outside) == (1, 0, 3)
    assert found.by_metric["length_words"].n_texts.sum() == 1


@pytest.mark.parametrize("role", ["anchor", "confirm"])
def test_answers_that_are_no_part_of_the_sweep_are_not_scored(role: str) -> None:
    plan = Plan(experiment())
    found = score(plan, [record(request, completion("a b"), role=role) for request in plan])
    assert (found.completions, found.missing, found.outside) == (0, 4, 0)


def test_fresh_replicates_are_scored_by_their_own_plan() -> None:
    sweep = Plan(experiment())
    again = Plan(experiment(), role="confirm", only=(0,), first=2, count=3)
    requests = list(again)
    assert len(requests) == len(again) == 3 * len(sweep.experiment.prompts)
    assert {(request.role, request.cell_index) for request in requests} == {("confirm", 0)}
    assert {request.replicate for request in requests} == {2, 3, 4}
    assert not {request.key for request in requests} & {request.key for request in sweep}
    answers = [record(request, completion("a b"), role="confirm") for request in requests]
    others = [record(request, completion("c d")) for request in sweep]
    found = score(again, [*others, *answers])
    assert (found.completions, found.missing, found.outside) == (len(answers), 0, 0)
    assert score(sweep, [*answers, *others]).completions == len(others)


def test_the_key_alone_says_where_an_answer_belongs() -> None:
    before = Plan(experiment({"temperature": [0.5, 1.0]}, request={"top_p": 0.9}))
    answers = records(before, lambda request: f"{request.cell['temperature']} {request.prompt_id}")
    # The same requests, elsewhere in the grid: levels turned round and added to, a fixed parameter swept, prompts in another order.
    after = Plan(experiment({"top_p": [0.9, 0.8], "temperature": [1.0, 0.7, 0.5]}, prompts=["new", "q", "p"]))
    found = score(after, answers)
    assert found.completions == len(answers) == 8
    assert found.outside == 0
    where = {(cell["top_p"], cell["temperature"]): index for index, cell in enumerate(after.cells)}
    texts = found.by_metric["length_words"].n_texts
    assert set(zip(*np.nonzero(texts), strict=True)) == {(where[0.9, level], prompt) for level in (0.5, 1.0) for prompt in (1, 2)}


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_records_changes_nothing(shuffler: random.Random) -> None:
    plan = Plan(experiment({"temperature": [0.5, 1.0]}, replicates=3))
    texts = ["a b c", "a b d", "e e e e"]  # which two are taken decides every group metric
    every = records(plan, lambda request: None if request.replicate == 2 and request.prompt_id == "q" else texts[request.replicate])
    assert score(plan, every).ks == (3, 2)
    assert same(score(plan, every), score(plan, shuffler.sample(every, len(every))))


# How many answers a group metric rests on


def long(word: str) -> str:
    """A text long enough for every metric, also on its first ten words; no two words alike."""
    return " ".join(f"{word}-{number}".ljust(40, "x") for number in range(60)).replace("-", "")


def with_sizes(sizes: Sequence[Sequence[int]], text: Callable[[int], str] = lambda replicate: long(f"answer{replicate}")) -> Scores:
    """Scores of a prompt for each list, which says how often it is answered in each cell, the lowest replicates first."""
    cells = range(1, len(sizes[0]) + 1)
    prompts = [f"p{number}" for number in range(len(sizes))]
    plan = Plan(experiment({"top_k": list(cells)}, prompts=prompts, replicates=max(2, *(size for one in sizes for size in one))))
    return score(plan, records(plan, lambda one: text(one.replicate) if one.replicate < sizes[one.prompt_index][one.cell_index] else None))


@pytest.mark.parametrize(
    ("sizes", "k", "left_out"),
    [
        ([4] * 10, 4, 0),
        ([4] * 9 + [2], 4, 1),  # nine tenths are enough
        ([4] * 8 + [2] * 2, 2, 0),
        ([8] * 9 + [4] * 9 + [3, 2], 4, 2),
        ([4] * 9 + [0], 4, 0),  # nobody answered: no group
        ([4] * 9 + [1], 4, 1),
        ([4] * 8 + [1] * 2, 0, 10),  # k would be 1, and one answer is no group
        ([1] * 5, 0, 5),
        ([2], 2, 0),
    ],
)
def test_k_is_the_largest_number_that_nine_tenths_of_a_prompts_groups_have(sizes: list[int], k: int, left_out: int) -> None:
    found = with_sizes([sizes, [2] * len(sizes)])
    assert found.ks == (k, 2)
    assert (found.k, found.groups_left_out) == (max(k, 2), left_out)
    for name in GROUP:
        eligible = found.by_metric[name].n_eligible[:, 0]
        assert eligible.tolist() == [k if k and size >= k else 0 for size in sizes], name
        assert np.isnan(found.by_metric[name].value[:, 0]).tolist() == [not one for one in eligible], name
        assert found.by_metric[name].n_eligible[:, 1].tolist() == [2] * len(sizes), name


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=25))
def test_k_and_what_it_leaves_out_follow_from_the_sizes(sizes: list[int]) -> None:
    found = with_sizes([sizes])
    answered = [size for size in sizes if size]
    expected = max((k for k in range(7) if 10 * sum(size >= k for size in answered) >= 9 * len(answered)), default=0) if answered else 0
    assert found.k == (expected if expected >= 2 else 0)
    assert found.groups_left_out == (sum(size < found.k for size in answered) if found.k else 0)
    assert found.completions == sum(sizes)


def test_numbers_of_answers_are_those_of_as_many_on_every_prompt() -> None:
    """Where no two answers share a word, there are k of them: 4 to one prompt, and to the other 2 of 2, which are as many as 4 of 4."""
    found = with_sizes([[4] * 3, [2] * 3])
    assert found.ks == (4, 2)
    assert found.by_metric["vendi_ngram"].value == pytest.approx(np.full((3, 2), 4.0))
    assert found.by_metric["vendi_ngram"].n_eligible.tolist() == [[4, 2]] * 3


def test_of_a_larger_group_the_lowest_replicates_are_taken() -> None:
    sizes = [4] + [2] * 9
    found = with_sizes([sizes], lambda replicate: "same" if replicate < 2 else f"other {replicate}")
    assert found.k == 2
    assert found.by_metric["exact_duplicates"].value[:, 0].tolist() == [0.5] * 10
    assert found.by_metric["exact_duplicates"].n_texts[:, 0].tolist() == sizes


def test_one_replicate_leaves_group_metrics_undefined() -> None:
    plan = Plan(experiment(replicates=1))
    found = score(plan, records(plan, lambda _: long("w")))
    assert found.k == 0
    for metric in METRICS:
        assert np.isnan(found.by_metric[metric.name].value).all() == (metric.level == "group"), metric.name


# Empty answers, short answers, answers without usage


@pytest.mark.parametrize("blank", ["", " \n\t", "\u3000"])
def test_an_empty_answer_counts_for_its_length_and_not_for_its_content(blank: str) -> None:
    plan = Plan(experiment(prompts=["p"], replicates=4))
    found = score(plan, records(plan, lambda request: blank if request.replicate == 0 else "a b a b a b"))
    assert found.k == 3
    for name, one in found.by_metric.items():
        assert one.n_texts[0, 0] == 4
        if name in ("exact_duplicates", "loop_tail", "rep_w_16"):
            assert name in CONTENT
            assert one.n_eligible[0, 0] == 3, name
        if name in ("length_words", "length_tokens", "truncation_rate", "empty_rate", "latency_s"):
            assert one.n_eligible[0, 0] == 4, name
    assert found.by_metric["rep_2"].value_full[0, 0] == pytest.approx(3 / 5)
    assert found.by_metric["length_words"].value[0, 0] == 18 / 4
    assert found.by_metric["exact_duplicates"].value[0, 0] == pytest.approx(2 / 3)


def test_empty_answers_alone_leave_content_undefined() -> None:
    plan = Plan(experiment(prompts=["p"]))
    found = score(plan, [record(request, completion("", "length", 7)) for request in plan])
    assert all(math.isnan(found.by_metric[name].value[0, 0]) for name in CONTENT)
    assert found.by_metric["truncation_rate"].value[0, 0] == 1
    assert found.by_metric["length_tokens"].value[0, 0] == 7
    assert found.by_metric["length_words"].value[0, 0] == 0


def test_answers_too_short_for_a_metric_leave_its_mean() -> None:
    plan = Plan(experiment(prompts=["p"]))
    found = score(plan, records(plan, lambda request: ["a a a a a", "a"][request.replicate]))
    assert found.by_metric["rep_4"].value_full[0, 0] == 0.5
    short = score(plan, records(plan, lambda _: "a"))
    assert math.isnan(short.by_metric["rep_4"].value_full[0, 0])
    assert math.isnan(short.by_metric["distinct_2"].value_full[0, 0])
    assert short.by_metric["distinct_2"].n_eligible[0, 0] == 0


def test_without_usage_there_is_no_length_in_tokens() -> None:
    plan = Plan(experiment(prompts=["p", "q"]))
    at = requests(plan)
    found = score(plan, [record(one, completion("a b", tokens=None if where[1] == 0 or where[2] else 9)) for where, one in at.items()])
    assert math.isnan(found.by_metric["length_tokens"].value[0, 0])
    assert found.by_metric["length_tokens"].value[0, 1] == 9
    assert found.by_metric["length_tokens"].n_eligible.tolist() == [[0, 1]]
    bare = score(plan, [record(one, Completion(text="a", finish_reason=None, usage=Usage(), latency_s=0, tries=1)) for one in plan])
    assert np.isnan(bare.by_metric["length_tokens"].value).all()


def test_values_are_means_over_the_replicates_of_a_prompt() -> None:
    plan = Plan(experiment({"temperature": [0.5, 1.0]}, replicates=3))
    found = score(plan, records(plan, lambda request: "w " * (1 + request.replicate + 10 * request.prompt_index + 100 * request.cell_index)))
    assert found.by_metric["length_words"].value.tolist() == [[2, 12], [102, 112]]


def test_a_metric_can_be_added_as_a_value() -> None:
    plan = Plan(experiment(prompts=["p"]))
    shouting = METRICS[5]._replace(name="shouting", of=lambda group: np.array([float(text.isupper()) for text in group.texts]))
    found = score(plan, records(plan, lambda request: ["YES", "no"][request.replicate]), [shouting])
    assert found.by_metric["shouting"].value.tolist() == [[0.5]]


# The tables on disk


def written(folder: Path, plan: Plan, every: Iterable[Record]) -> Scores:
    folder.mkdir(parents=True, exist_ok=True)
    with RecordWriter(folder) as writer:
        for one in every:
            writer.append(one)
    found = score(plan, read(folder))
    write_tables(folder, found, "")
    return found


def table(path: Path, query: str = "SELECT * FROM it") -> tuple[list[str], list[tuple[Any, ...]]]:
    with duckdb.connect() as database:
        database.read_parquet([str(path)]).create_view("it")
        cursor = database.execute(query)
        return [column[0] for column in cursor.description], cursor.fetchall()


def or_null(value: float) -> float | None:
    return None if math.isnan(value) else value


def test_scores_parquet_holds_a_row_for_each_cell_prompt_and_metric(tmp_path: Path) -> None:
    plan = Plan(experiment({"temperature": [0, 0.5], "top_p": ["default", 0.9]}, prompts=["p", "q'\""]))
    found = written(tmp_path, plan, records(plan, lambda request: None if request.prompt_index else long("w")))
    columns, rows = table(tmp_path / "scores.parquet")
    assert columns == [
        "cell_index",
        "prompt_id",
        "metric",
        "value",
        "value_full",
        "n_texts",
        "n_eligible",
        "value_half",
        "value_double",
        "value_prefix",
        "temperature",
        "top_p",
    ]
    assert len(rows) == len(plan.cells) * 2 * len(MEASURED)
    levels = [("0", None), ("0.5", "default"), ("0.5", "0.9")]
    for cell, prompt, metric, value, value_full, n_texts, n_eligible, _, _, _, *level in rows:
        where = cell, ["p", "q'\""].index(prompt)
        expected = found.by_metric[metric]
        assert (n_texts, n_eligible) == (expected.n_texts[where], expected.n_eligible[where])
        assert tuple(level) == levels[cell]
        assert (value, value_full) == (or_null(expected.value[where]), or_null(expected.value_full[where]))
        if metric not in ("time_to_first_token_s", "tokens_per_s", "cost"):
            assert (value is None) == (where[1] == 1)  # nobody answered there: neither 0 nor what an average would be spoilt by


def test_responses_parquet_holds_a_row_for_each_record(tmp_path: Path) -> None:
    plan = Plan(experiment({"temperature": [0.5, 1.0]}, prompts=["p"], request={"seed": "per_replicate", "stop": ["\n\n"]}, seed=5))
    at = requests(plan)
    outside = record(at[0, 0, 0], completion("elsewhere"), key="0" * 32)
    anchor = record(at[0, 0, 0], completion("anchor"), role="anchor")
    answer = Completion(
        text="yes",
        finish_reason="length",
        usage=Usage(prompt_tokens=4, completion_tokens=6),
        latency_s=0.25,
        tries=2,
        model="m-1",
        system_fingerprint="fp",
    )
    written(tmp_path, plan, [record(at[0, 0, 1], failure()), record(at[0, 0, 1], answer), outside, anchor])
    columns, rows = table(tmp_path / "responses.parquet")
    by_text = {row[columns.index("text")]: dict(zip(columns, row, strict=True)) for row in rows}
    assert len(rows) == len(by_text) == 4
    first, second, third, fourth = (by_text[text] for text in (None, "yes", "elsewhere", "anchor"))
    assert first["outcome"] == "failure"
    assert (first["kind"], first["message"], first["status"], first["text"], first["tries"]) == ("server", "no", 500, None, 3)
    assert second["outcome"] == "completion"
    assert (second["text"], second["finish_reason"], second["prompt_tokens"], second["completion_tokens"]) == ("yes", "length", 4, 6)
    assert (second["latency_s"], second["tries"], second["model_answered"], second["system_fingerprint"]) == (0.25, 2, "m-1", "fp")
    assert (second["cell_index"], second["replicate"], second["model"], second["prompt_id"]) == (0, 1, "none", "p")
    assert second["seed"] == seed_of(5, "p", 1)
    assert second["cell"] == '{"temperature":0.5}'
    assert '"stop":["\\n\\n"]' in second["request"]
    assert second["at"].isoformat() == "2026-01-31T12:00:00.500000"  # UTC
    assert [one["planned"] for one in (first, second, third, fourth)] == [True, True, False, False]
    assert third["cell_index"] is None


TEXTS = [
    "plain",
    "",
    "quotes \" and ' and \\ and `",
    "lines\nand\r\nlines\ttabs",
    "a\x00b",
    "\u2028\u2029\x85\ufeff",
    "天气 ไม่รู้ 👨‍👩‍👧‍👦 e\u0301 \U0010ffff",
    '{"json": [1, null]}',
    "NULL",
    ",;|'); DROP TABLE scores; --",
    "long " * 20_000,
]


def test_texts_come_through_unchanged(tmp_path: Path) -> None:
    plan = Plan(experiment(prompts=["p"], replicates=len(TEXTS)))
    written(tmp_path, plan, records(plan, lambda request: TEXTS[request.replicate]))
    _, rows = table(tmp_path / "responses.parquet", "SELECT text FROM it ORDER BY replicate")
    assert [text for (text,) in rows] == TEXTS


def test_an_answer_longer_than_any_buffer_comes_through(tmp_path: Path) -> None:
    plan = Plan(experiment(prompts=["p"], replicates=1))
    text = "\n" * (18 * 2**20)  # twice as long in JSON
    with RecordWriter(tmp_path) as writer:
        writer.append(*records(plan, lambda _: text))
    write_tables(tmp_path, score(plan, []), "")
    assert table(tmp_path / "responses.parquet", "SELECT length(text) FROM it")[1] == [(len(text),)]


def test_a_run_without_any_record_has_empty_tables(tmp_path: Path) -> None:
    plan = Plan(experiment())
    found = written(tmp_path, plan, [])
    assert table(tmp_path / "responses.parquet")[1] == []
    assert len(table(tmp_path / "scores.parquet")[1]) == 2 * len(MEASURED)
    assert found.missing == 4


@pytest.mark.parametrize("name", ['it\'s "mine" and yours', "a*b?[1]", "{x,y}", "%20 #=&", "~", "new\nline", "été 天", "back\\slash"])
def test_a_folder_of_any_name_will_do(tmp_path: Path, name: str) -> None:
    plan = Plan(experiment())
    written(tmp_path / name, plan, records(plan, lambda _: "a b"))
    for file, rows in (("scores.parquet", 2 * len(MEASURED)), ("responses.parquet", 4)):
        (tmp_path / name / file).rename(tmp_path / "it.parquet")
        assert len(table(tmp_path / "it.parquet")[1]) == rows


def test_a_folder_named_like_a_pattern_holds_its_own_records_only(tmp_path: Path) -> None:
    plan = Plan(experiment())
    written(tmp_path / "xyz", plan, records(plan, lambda _: "another run"))
    written(tmp_path / "x*z", plan, records(plan, lambda _: "this run"))
    (tmp_path / "x*z" / "responses.parquet").rename(tmp_path / "it.parquet")
    assert {text for (text,) in table(tmp_path / "it.parquet", "SELECT text FROM it")[1]} == {"this run"}


CLASHING = ["metric", "value", "Value", "prompt_id", "CELL_INDEX", "n_texts", "mean", "parameter_metric", "Foo", "foo", "select"]


def test_parameters_named_like_columns_get_columns_of_their_own(tmp_path: Path) -> None:
    levels: dict[str, Any] = {name: [f"level of {name}"] for name in CLASHING}
    plan = Plan(experiment(levels, prompts=["p"]))
    found = written(tmp_path, plan, records(plan, lambda _: "a b c"))
    columns, rows = table(tmp_path / "scores.parquet")
    assert len({column.lower() for column in columns}) == len(columns)
    assert columns[:7] == ["cell_index", "prompt_id", "metric", "value", "value_full", "n_texts", "n_eligible"]
    for row in rows:
        named = dict(zip(columns, row, strict=True))
        assert (named["cell_index"], named["prompt_id"]) == (0, "p")
        assert named["value"] == or_null(found.by_metric[named["metric"]].value[0, 0])
        for name, column in parameter_columns(levels).items():
            assert named[column] == f"level of {name}"


@given(st.lists(st.sampled_from([*CLASHING, "Parameter_Metric", "parameter_parameter_metric"]), unique=True))
def test_every_parameter_has_a_column_that_sql_tells_from_the_others(names: list[str]) -> None:
    columns = parameter_columns(names)
    fixed = {"cell_index", "prompt_id", "metric", "value", "value_full", "n_texts", "n_eligible", "mean", "se", "ci_low", "ci_high", "n_prompts"}
    assert list(columns) == names
    assert len({column.lower() for column in columns.values()} | fixed) == len(names) + len(fixed)
    assert all(column == name or column.startswith("parameter_") for name, column in columns.items())


def test_levels_are_text_also_where_all_are_void(tmp_path: Path) -> None:
    plan = Plan(experiment({"temperature": [0], "top_p": [0.5, 0.9]}))
    written(tmp_path, plan, [])
    with duckdb.connect() as database:
        read = database.read_parquet([str(tmp_path / "scores.parquet")])
        types = dict(zip(read.columns, map(str, read.types), strict=True))
    assert types["temperature"] == types["top_p"] == "VARCHAR"
    assert table(tmp_path / "scores.parquet", "SELECT DISTINCT temperature, top_p FROM it")[1] == [("0", None)]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, None),
        ("default", "default"),
        (" ", " "),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1234567, "0.1234567"),
        (123456.75, "123456.75"),
        (1e-7, "1e-07"),
        (1e30, "1e+30"),
        (2**53 + 1, "9007199254740993"),
        (["\n\n", "é"], '["\\n\\n", "é"]'),
        ({"b": 1.0, "a": True}, '{"a": true, "b": 1}'),
    ],
)
def test_a_level_is_written_by_its_value(level: Any, expected: str | None) -> None:
    assert level_text(level) == expected


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_written_to_full_precision(level: float) -> None:
    text = level_text(level)
    assert text is not None
    assert type(level)(text) == level if isinstance(level, int) else float(text) == level


# Length does not decide: prefixes


def numbered(size: int) -> str:
    return " ".join(f"w{number % 37}" for number in range(size))


def test_metrics_biased_by_length_are_compared_on_samples_or_on_a_common_prefix() -> None:
    plan = Plan(experiment({"max_tokens": [60, 600]}))
    found = score(plan, records(plan, lambda request: numbered(request.cell["max_tokens"] // 2 + 25)), sizes=True)
    assert found.samples == (Sample((55, 55)),) * 2
    assert found.prefix is not None
    assert (found.prefix.tokens, found.prefix.k, found.prefix.left_out, found.prefix.biased) == (50, 2, (), ())
    for metric in METRICS:
        one = found.by_metric[metric.name]
        assert found.on(metric) == ("whole" if not metric.confounded else "prefix" if metric.sampled is None else "sample")
        if metric.confounded and metric.name != "duplicate_lines":
            assert one.value[0] == pytest.approx(one.value[1]), metric.name
            assert one.value_prefix is None or one.value_prefix[0].tolist() == one.value_prefix[1].tolist(), metric.name
        assert (one.value_half is None) == (not metric.confounded)
        assert (one.value_prefix is None) == (metric.sampled is None)
    rep, distinct = (found.by_metric[name] for name in ("rep_2", "distinct_2"))
    assert rep.value[0, 0] == pytest.approx(1 - 37 / 49)  # of a stretch of fifty words
    assert rep.value_prefix is not None
    assert rep.value_prefix[0, 0] == pytest.approx(1 - 37 / 49)
    assert rep.value_full[1, 0] == pytest.approx(1 - 37 / 324)
    assert rep.value_half is not None
    assert rep.value_half[0, 0] == 0
    assert distinct.value[1, 0] == pytest.approx(37 / 108)
    assert distinct.value_double is not None
    assert np.isnan(distinct.value_double).tolist() == [[True, True], [False, False]]


def test_half_and_twice_as_much_text_are_scored_where_asked_for_and_move_nothing_else() -> None:
    plan = Plan(experiment({"max_tokens": [60, 600]}))
    there = list(records(plan, lambda request: numbered(request.cell["max_tokens"] // 2 + 25)))
    with_them, without = (score(plan, there, sizes=one) for one in (True, False))
    for name, one in without.by_metric.items():
        assert one.value_half is None
        assert one.value_double is None
        for field in ("value", "value_full", "value_prefix", "n_eligible"):
            its, other = getattr(one, field), getattr(with_them.by_metric[name], field)
            assert its is other is None or np.array_equal(its, other, equal_nan=True), (name, field)


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([[30] * 10], [30] * 10),
        ([[30] * 5 + [3] * 5, [60] * 10], [30] * 5 + [3] * 5),  # half of the answers are so long, and the others count with what they have
        ([[4] * 10, [400] * 10], [4] * 10),
        ([[1] * 10, [4] * 10], [1] * 10),
        ([[4] * 3, [5] * 10], [4] * 3),
        ([*[[20] * 10] * 9, [2] * 10], [20] * 10),  # nine tenths of the cells are enough
    ],
)
def test_a_sample_is_as_large_as_most_cells_allow_to_that_prompt(sizes: list[list[int]], lengths: list[int]) -> None:
    plan = Plan(experiment({"top_k": list(range(1, len(sizes) + 1))}, prompts=["p", "long"], replicates=10))

    def text(request: Request) -> str | None:
        mine = sizes[request.cell_index]
        size = 70 if request.prompt_id == "long" else mine[request.replicate] if request.replicate < len(mine) else 0
        return numbered(size) if size else None

    found = score(plan, records(plan, text))
    assert found.samples == (Sample(tuple(lengths)), Sample((70,) * 10))
    value = found.by_metric["distinct_1"].value
    assert np.isnan(value[:, 0]).tolist() == [mine == [2] * 10 for mine in sizes]
    assert not np.isnan(value[:, 1]).any()


@pytest.mark.parametrize(
    ("sizes", "tokens", "left_out"),
    [
        ([[30] * 10], 25, ()),
        ([[30] * 9 + [3], [400] * 10], 25, ()),  # nine tenths are enough
        ([[30] * 8 + [3] * 2, [60] * 10, [60] * 10], None, ()),  # two thirds of the cells are not
        ([[30] * 8 + [3] * 2, *[[60] * 10] * 4], 50, (0,)),  # four fifths are
        ([[9] * 10], None, ()),
        ([[5000] * 10], 400, ()),
        ([[10] * 10], 10, ()),
    ],
)
def test_the_prefix_is_the_longest_that_enough_answers_have(sizes: list[list[int]], tokens: int | None, left_out: tuple[int, ...]) -> None:
    plan = Plan(experiment({"top_k": list(range(1, len(sizes) + 1))}, prompts=["p"], replicates=10))
    found = score(plan, records(plan, lambda request: numbered(sizes[request.cell_index][request.replicate])))
    assert (found.prefix and found.prefix.tokens) == tokens
    bleu = found.by_metric["self_bleu_4"].value[:, 0]
    if found.prefix is None:
        assert np.isnan(bleu).all()
        assert not np.isnan(found.by_metric["self_bleu_4"].value_full).any()
    else:
        repeated = found.by_metric["rep_4"].value_prefix
        assert repeated is not None
        assert np.isnan(repeated).all() == (found.prefix.tokens < 50), "ten words show no repetition"
        assert found.prefix.left_out == left_out
        assert np.flatnonzero(np.isnan(bleu)).tolist() == list(left_out)
        assert found.prefix.eligible.tolist() == [sum(size >= found.prefix.tokens for size in one) / 10 for one in sizes]


def test_cells_that_lose_more_answers_than_others_are_told() -> None:
    plan = Plan(experiment({"top_k": [1, 2]}, prompts=["p"], replicates=10))
    found = score(plan, records(plan, lambda request: numbered(3 if request.cell_index and not request.replicate else 30)))
    assert found.prefix is not None
    assert found.prefix.biased == (1,)


def test_what_records_tell_stands_in_the_same_tables() -> None:
    plan = Plan(experiment(prompts=["p"]))
    streamed = Completion(text="a", finish_reason="stop", usage=None, latency_s=2.0, tries=1, time_to_first_token_s=0.5, tokens_per_s=8.0)
    shared = Completion(text="b", finish_reason="stop", usage=Usage(completion_tokens=9), latency_s=1.0, tries=1, usage_shared_by=2, tokens_per_s=4.0)
    found = score(plan, [record(request, one) for request, one in zip(plan, (streamed, shared), strict=True)])
    values = {name: found.by_metric[name].value[0, 0] for name in ("latency_s", "time_to_first_token_s", "tokens_per_s", "length_tokens")}
    assert values == pytest.approx({"latency_s": 1.5, "time_to_first_token_s": 0.5, "tokens_per_s": 8.0, "length_tokens": math.nan}, nan_ok=True)
    assert found.uncounted == 2
    assert found.length_unit == "length_words"


def test_the_cost_of_an_answer_follows_from_prices_and_its_own_usage() -> None:
    priced = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "prices": {"input": 2, "output": 8}}
    usage = Usage(prompt_tokens=1_000, completion_tokens=500)
    own = Completion(text="a", finish_reason="stop", usage=usage, latency_s=1, tries=1)
    shared = Completion(text="b", finish_reason="stop", usage=usage, latency_s=1, tries=1, usage_shared_by=2)
    untold = completion("c", tokens=5)  # of what the prompt took nothing is said
    silent = completion("d", tokens=None)
    for endpoint, expected, unpriced in ((priced, (1_000 * 2 + 500 * 8) / 1e6, 3), (None, math.nan, 0)):
        plan = Plan(experiment(prompts=["p"], replicates=4, **({} if endpoint is None else {"endpoint": endpoint})))
        found = score(plan, [record(request, one) for request, one in zip(plan, (own, shared, untold, silent), strict=True)])
        assert found.by_metric["cost"].value[0, 0] == pytest.approx(expected, nan_ok=True)
        assert found.by_metric["cost"].n_eligible[0, 0] == (endpoint is not None)
        assert found.unpriced == unpriced


def test_fresh_answers_are_taken_on_the_samples_of_the_sweep() -> None:
    plan = Plan(experiment(prompts=["p"], replicates=4))
    sweep = score(plan, records(plan, lambda _: numbered(20)))
    fresh = Plan(plan.experiment, role="confirm", only=(0,), first=4, count=4)
    answers = [record(request, completion(numbered(60)), role="confirm") for request in fresh]
    assert sweep.samples == (Sample((20,) * 4),)
    found = score(fresh, answers, samples=sweep.samples)
    assert found.by_metric["distinct_1"].value == pytest.approx(sweep.by_metric["distinct_1"].value)
    assert score(fresh, answers).by_metric["distinct_1"].value[0, 0] == pytest.approx(37 / 240)
