"""From scores to what they say, counted by hand, and the files that hold it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit import __version__
from evalkit.analysis.analysis import Analysis, CellMean, ComparedOn, LevelMean, analyse, summary_csv
from evalkit.experiment.experiment import check
from evalkit.metrics import METRICS, Metric
from evalkit.plan.requests import Plan
from evalkit.scoring.grids import Score
from evalkit.scoring.prefix import Prefix
from evalkit.scoring.scores import Lengths, Scores
from evalkit.stats.intervals import t_interval
from evalkit.store import artefacts
from evalkit.text.escaping import guarded

NAN = math.nan
NUMBERS = ["mean", "se", "ci_low", "ci_high", "n_prompts", "n_eligible"]
METRIC = METRICS[2]._replace(low=-math.inf)  # without a range, so that intervals are Student's alone


def plan(parameters: dict[str, Any], prompts: int, model: str = "none") -> Plan:
    data = {
        "name": "synthetic",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": model},
        "prompts": [{"id": f"p{number}", "user": "say"} for number in range(prompts)],
        "replicates": 2,
    }
    experiment = check(data)
    return Plan(experiment.model_copy(update={"parameters": {name: tuple(levels) for name, levels in parameters.items()}}))


def scores(planned: Plan, values: Sequence[Sequence[float]], metrics: Sequence[Metric] = (METRIC,), **counts: Any) -> Scores:
    """Scores with the same values, a row a cell and a column a prompt, for every metric."""
    value = np.array(values, dtype=float).reshape(len(planned.cells), len(planned.experiment.prompts))
    full = np.full(value.shape, 2)
    one = Score(value, value.copy(), full, np.where(np.isnan(value), 0, full))
    fixed: dict[str, Any] = {"tokenizer": "words", "k": 2, "groups_left_out": 0, "completions": int(full.sum())}
    return Scores(plan=planned, by_metric={metric.name: one for metric in metrics}, **fixed | counts)


def analysed(parameters: dict[str, Any], values: Sequence[Sequence[float]], **more: Any) -> Analysis:
    return analyse(scores(plan(parameters, len(values[0]), **more), values), [METRIC])


def numbers_of(row: CellMean | LevelMean) -> tuple[float, ...]:
    return row.mean, row.se, row.ci_low, row.ci_high


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


# Numbers


def test_a_cells_interval_is_over_its_prompts() -> None:
    found = analysed({"temperature": [0.5, 1.0]}, [[0.2, 0.4, 0.9], [0.5, NAN, 0.7]])
    first, second = found.by_cell
    assert (first.cell_index, first.metric, first.n_prompts, first.n_eligible) == (0, METRIC.name, 3, 6)
    assert first.mean == pytest.approx(0.5)
    assert first.se == pytest.approx(0.2081666)  # sd of .2 .4 .9 is .3605551, over the root of 3
    assert (first.ci_low, first.ci_high) == pytest.approx((0.5 - 4.302653 * 0.2081666, 0.5 + 4.302653 * 0.2081666), abs=1e-6)
    assert (second.mean, second.n_prompts, second.n_eligible) == (pytest.approx(0.6), 2, 4)
    assert second.se == pytest.approx(0.1)
    assert second.ci_high - second.mean == pytest.approx(12.7062 * 0.1, abs=1e-5)


def test_a_levels_interval_is_over_prompts_each_averaged_over_the_cells() -> None:
    # Cells in grid order: (0.5, 1), (0.5, 2), (1.0, 1), (1.0, 2).
    values = [[0.1, 0.5], [0.3, 0.7], [0.2, 0.2], [0.6, NAN]]
    found = {(row.parameter, row.level): row for row in analysed({"temperature": [0.5, 1.0], "max_tokens": [1, 2]}, values).by_level}
    by_prompt = {("temperature", 0.5): [0.2, 0.6], ("temperature", 1.0): [0.4, 0.2], ("max_tokens", 1): [0.15, 0.35], ("max_tokens", 2): [0.45, 0.7]}
    assert set(found) == set(by_prompt)
    for which, expected in by_prompt.items():
        assert numbers_of(found[which]) == pytest.approx(t_interval(expected)[:4]), which
        assert (found[which].n_prompts, found[which].n_cells) == (2, 2), which


def test_what_all_prompts_share_does_not_widen_a_levels_interval() -> None:
    # Prompts differ much and alike in all cells; a level's mean takes each prompt once, however many cells it has.
    hard, easy = 0.1, 0.9
    found = analysed({"temperature": [0.5, 1.0, 1.5], "max_tokens": [1, 2]}, [[hard, easy]] * 6)
    assert {row.n_prompts for row in found.by_level} == {2}
    assert all(numbers_of(row) == pytest.approx(t_interval([hard, easy])[:4]) for row in found.by_level)


def test_a_prompt_without_any_value_leaves_a_level() -> None:
    found = analysed({"temperature": [0.5, 1.0], "max_tokens": [1, 2]}, [[NAN, 0.2], [NAN, 0.4], [0.5, 0.5], [NAN, NAN]])
    first, second = found.by_level[:2]
    assert (first.mean, first.n_prompts) == (pytest.approx(0.3), 1)
    assert math.isnan(first.se)
    assert (second.mean, second.n_prompts) == (0.5, 2)


def test_what_is_undefined_everywhere_stays_undefined() -> None:
    found = analysed({"temperature": [0.5, 1.0]}, [[NAN, NAN]] * 2)
    for row in (*found.by_cell, *found.by_level):
        assert all(map(math.isnan, numbers_of(row)))
        assert row.n_prompts == 0
    assert {row.n_eligible for row in found.by_cell} == {0}


def test_every_metric_has_every_cell_and_level() -> None:
    planned = plan({"temperature": [0.5, 1.0], "max_tokens": [1, 2]}, 3)
    found = analyse(scores(planned, np.full((4, 3), 0.5).tolist(), METRICS))
    assert [(row.metric, row.cell_index) for row in found.by_cell] == [(metric.name, cell) for metric in METRICS for cell in range(4)]
    assert len(found.by_level) == len(METRICS) * 4
    assert [metric.name for metric in found.metrics] == [metric.name for metric in METRICS]


# Which cells have a level


def test_void_cells_belong_to_no_level() -> None:
    # Cells: (0, void), (1, 0.5), (1, 0.9).
    found = analysed({"temperature": [0, 1.0], "top_p": [0.5, 0.9]}, [[0.9], [0.2], [0.4]])
    assert {(row.parameter, row.level): (row.n_cells, row.mean) for row in found.by_level} == {
        ("temperature", 0): (1, 0.9),
        ("temperature", 1.0): (2, pytest.approx(0.3)),
        ("top_p", 0.5): (1, 0.2),
        ("top_p", 0.9): (1, 0.4),
    }


def test_a_level_that_is_void_everywhere_has_no_row() -> None:
    found = analysed({"temperature": [0], "top_p": [0.5, 0.9]}, [[0.9]])
    assert [(row.parameter, row.level) for row in found.by_level] == [("temperature", 0)]


def test_true_and_1_are_two_levels() -> None:
    found = analysed({"thinking": [1, True, [1], [True], "1", 0, False]}, [[value] for value in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)])
    assert [(repr(row.level), row.n_cells, row.mean) for row in found.by_level] == [
        ("1", 1, 0.1),
        ("True", 1, 0.2),
        ("[1]", 1, 0.3),
        ("[True]", 1, 0.4),
        ("'1'", 1, 0.5),
        ("0", 1, 0.6),
        ("False", 1, 0.7),
    ]


def test_0_and_0_point_0_are_one_level() -> None:
    planned = plan({"frequency_penalty": [0.0, {"bias": 1.0}]}, 1)
    # As an experiment is read back from JSON: 0.0 has become 0.
    again = Plan(planned.experiment.model_copy(update={"parameters": {"frequency_penalty": (0, {"bias": 1})}}))
    vars(again)["design"] = planned.design
    found = analyse(scores(again, [[0.1], [0.2]]), [METRIC])
    assert [(row.level, row.n_cells, row.mean) for row in found.by_level] == [(0, 1, 0.1), ({"bias": 1}, 1, 0.2)]


# analysis.json


def test_analysis_json_holds_what_was_found_with_null_for_undefined() -> None:
    planned = plan({"temperature": [0, 1.0], "top_p": ["default", 0.9], "stop": [["\n\n", "é"]]}, 2)
    counts = {"failures": {"server": 2}, "missing": 1, "outside": 3, "groups_left_out": 4, "completions": 9}
    analysis = analyse(scores(planned, [[0.1, NAN], [0.25, 0.75], [NAN, NAN]], **counts), [METRIC])
    found = json.loads(artefacts.encode(analysis))
    assert found["v"] == 1
    assert found["digest"] == planned.experiment.digest()
    assert found["parameters"] == {"temperature": [0, 1.0], "top_p": ["default", 0.9], "stop": [["\n\n", "é"]]}
    assert found["cells"][0] == {"temperature": 0, "top_p": None, "stop": ["\n\n", "é"]}
    fixed = {"cells": 3, "prompts": 2, "replicates": 2, "planned": 12, "k": 2}
    assert found["counts"] == fixed | counts
    assert [row["mean"] for row in found["by_cell"]] == [0.1, 0.5, None]
    assert [row["se"] for row in found["by_cell"]] == [None, 0.25, None]
    assert [row["n_prompts"] for row in found["by_cell"]] == [1, 2, 0]
    assert b"NaN" not in artefacts.encode(analysis)


def test_analysis_json_reads_back_as_the_same_analysis() -> None:
    analysis = analysed({"temperature": [0.5, 1.0], "top_p": [0.9, "default"]}, np.random.default_rng(3).random((4, 5)).tolist())
    assert msgspec.json.decode(artefacts.encode(analysis), type=Analysis) == analysis


def test_analysis_json_is_the_same_bytes_each_time() -> None:
    values = np.random.default_rng(3).random((2, 5)).tolist()
    assert artefacts.encode(analysed({"temperature": [0.5, 1.0]}, values)) == artefacts.encode(analysed({"temperature": [0.5, 1.0]}, values))


# summary.csv


def test_summary_csv_has_a_row_for_each_cell_and_metric() -> None:
    planned = plan({"temperature": [0, 1.0], "top_p": ["default", 0.9]}, 2)
    analysis = analyse(scores(planned, [[0.1, NAN], [0.25, 0.75], [NAN, NAN]], METRICS))
    text = summary_csv(analysis)
    assert text.splitlines()[0].split(",") == ["cell_index", "temperature", "top_p", "metric", *NUMBERS]
    rows = rows_of(text)
    assert [(row["metric"], row["cell_index"]) for row in rows] == [(metric.name, str(cell)) for metric in METRICS for cell in range(3)]
    first, second, third = rows[:3]
    assert [(row["temperature"], row["top_p"]) for row in (first, second, third)] == [("0", ""), ("1", "default"), ("1", "0.9")]
    assert [first[name] for name in NUMBERS] == ["0.1", "", "", "", "1", "2"]
    assert [second[name] for name in ("mean", "se", "n_prompts", "n_eligible")] == ["0.5", "0.25", "2", "4"]
    assert [third[name] for name in NUMBERS] == ["", "", "", "", "0", "0"]


@given(st.lists(st.floats(-1e100, 1e100), min_size=3, max_size=3))
def test_summary_csv_holds_every_digit(values: list[float]) -> None:
    analysis = analysed({"temperature": [0.5]}, [values])
    (row,) = rows_of(summary_csv(analysis))
    (found,) = analysis.by_cell
    assert [float(row[name]) for name in NUMBERS[:4]] == list(numbers_of(found))


def test_summary_csv_reads_as_numbers_and_nulls_in_duckdb(tmp_path: Path) -> None:
    file = tmp_path / "summary.csv"
    file.write_text(summary_csv(analysed({"temperature": [0.5, 1.0], "stop": [["a,b"]]}, [[-0.5, -0.25], [NAN, NAN]])), encoding="utf-8")
    with duckdb.connect() as database:
        rows = database.read_csv(str(file)).project("temperature, stop, mean, n_prompts").fetchall()
    assert rows == [(0.5, '["a,b"]', -0.375, 2), (1.0, '["a,b"]', None, 0)]


HOSTILE = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1"]


@pytest.mark.parametrize("level", HOSTILE)
def test_no_level_of_summary_csv_is_a_formula(level: str) -> None:
    for name in ("model", "stop"):
        rows = rows_of(summary_csv(analysed({name: [level, "harmless"]}, [[0.5], [-0.5]])))
        assert [row[name] for row in rows] == ["'" + level, "harmless"]
        assert rows[1]["mean"] == "-0.5"


@pytest.mark.parametrize("text", ["-1.5", "+1", "-1e-05", "-inf", "0", "", "name", "a=b", "[-1]", "'quoted", "1-2"])
def test_numbers_and_names_are_left_as_they_are(text: str) -> None:
    assert guarded(text) == text


def test_negative_levels_and_values_stay_numbers() -> None:
    rows = rows_of(summary_csv(analysed({"frequency_penalty": [-2, -0.5]}, [[-1e-7], [-3.0]])))
    assert [(row["frequency_penalty"], row["mean"]) for row in rows] == [("-2", "-1e-07"), ("-0.5", "-3.0")]


@pytest.mark.parametrize("level", ['a "quoted" word', "a,b;c", "two\nlines", "two\r\nlines", "a bare\rreturn", " blanks ", "天\u2028é", "'", '"'])
def test_any_level_comes_back_from_summary_csv(level: str) -> None:
    text = summary_csv(analysed({"stop": [level, "x"]}, [[0.5], [0.25]]))
    assert [row["stop"] for row in rows_of(text)] == [level, "x"]


def test_parameters_named_like_columns_keep_theirs() -> None:
    text = summary_csv(analysed({"metric": ["a"], "mean": [7], "value": [8]}, [[0.5]]))
    assert text.splitlines()[0] == "cell_index,parameter_metric,parameter_mean,parameter_value,metric,mean,se,ci_low,ci_high,n_prompts,n_eligible"
    assert text.splitlines()[1] == f"0,a,7,8,{METRIC.name},0.5,,,,1,2"


def test_without_a_swept_parameter_there_is_one_cell() -> None:
    analysis = analysed({}, [[0.5, 0.7]])
    assert analysis.by_level == []
    (row,) = rows_of(summary_csv(analysis))
    assert list(row) == ["cell_index", "metric", *NUMBERS]


def test_what_is_compared_on_a_prefix_says_so_and_without_one_whole_answers_are_shown() -> None:
    planned = plan({"top_k": [1, 2]}, 3)
    metric = next(one for one in METRICS if one.confounded)
    made = scores(planned, [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], [metric])
    (one,) = made.by_metric.values()
    made = replace(made, by_metric={metric.name: one._replace(value_full=one.value + 1)})
    assert [row.mean for row in analyse(made, [metric]).by_cell] == pytest.approx([1.2, 1.5])
    prefix = Prefix(50, np.array([1.0, 0.9]), (), 2)
    found = analyse(replace(made, prefix=prefix), [metric])
    assert [row.mean for row in found.by_cell] == pytest.approx([0.2, 0.5])
    assert found.compared_on == ComparedOn(tokens=50, k=2, eligible=[1.0, 0.9], left_out=[], biased=[1])


def test_natural_lengths_are_those_that_nothing_cuts_off() -> None:
    planned = plan({"max_tokens": [5, 50]}, 1)
    short = Lengths(np.array([3.0, 5, 5, 5]), np.array([False, True, True, True]))
    long = Lengths(np.array([3.0, 7, 9, 30]), np.zeros(4, dtype=bool))
    found = analyse(scores(planned, [[0.1], [0.2]], lengths=(short, long), length_unit="length_words"), [METRIC]).natural_length
    assert [(row.n, row.n_truncated, row.unit) for row in found] == [(4, 3, "length_words"), (4, 0, "length_words")]
    assert math.isnan(found[0].median)
    assert found[1].median == 7
    assert math.isnan(found[0].p)
    assert found[1].p > 0.5  # the limit alone makes no difference


# Named options


def test_bootstrap_t_intervals_where_they_are_asked_for() -> None:
    values = np.random.default_rng(5).lognormal(size=(2, 12)).tolist()
    planned = plan({"temperature": [0.5, 1.0]}, 12)
    other = Plan(planned.experiment.model_copy(update={"interval": "bootstrap_t"}))
    student, boot = (analyse(scores(one, values), [METRIC]).by_cell[0] for one in (planned, other))
    assert (boot.mean, boot.se) == (student.mean, student.se)
    assert boot.ci_high - boot.mean > boot.mean - boot.ci_low  # it follows the skew
    assert student.ci_high - student.mean == pytest.approx(student.mean - student.ci_low)
    assert analyse(scores(other, values), [METRIC]).by_cell[0] == boot


def test_the_reference_is_the_cell_asked_for_else_the_nearest_to_all_defaults() -> None:
    levels = {"temperature": [0, 0.5, 1.0], "top_p": ["default", 0.9], "max_tokens": [50, 100]}
    planned = plan(levels, 2)
    found = analyse(scores(planned, np.full((len(planned.cells), 2), 0.5).tolist()), [METRIC])
    assert found.cells[found.reference] == {"temperature": 1.0, "top_p": "default", "max_tokens": 100}
    asked = Plan(planned.experiment.model_copy(update={"reference": {"temperature": 0.5, "max_tokens": 50}}))
    found = analyse(scores(asked, np.full((len(planned.cells), 2), 0.5).tolist()), [METRIC])
    assert found.cells[found.reference] == {"temperature": 0.5, "top_p": "default", "max_tokens": 50}


def test_what_is_written_reads_back_undefined_numbers_included() -> None:
    planned = plan({"temperature": [0.5, 1.0]}, 4)
    found = analyse(scores(planned, [[0.1, 0.2, 0.3, 0.5], [math.nan] * 4]), [METRIC])
    assert any(math.isnan(row.mean) for row in found.by_cell)
    again = artefacts.decode(artefacts.encode(found), Analysis)
    assert artefacts.encode(again) == artefacts.encode(found)
    assert [math.isnan(row.mean) for row in again.by_cell] == [math.isnan(row.mean) for row in found.by_cell]
    with pytest.raises(msgspec.MsgspecError):
        artefacts.decode(b'{"name": 5}', Analysis)


def test_a_limit_is_controlled_on_the_prefix_that_metrics_are_compared_on() -> None:
    by_name = {metric.name: metric for metric in METRICS}
    some = [by_name["distinct_2"], by_name["length_words"], by_name["rep_4"]]
    planned = plan({"max_tokens": [20, 60]}, 8)
    values = np.random.default_rng(1).random((2, 8)) * 0.001 + np.array([[0.2], [0.7]])
    prefix = Prefix(tokens=25, eligible=np.ones(2), left_out=(), k=2)
    found = analyse(scores(planned, values.tolist(), some, prefix=prefix), some)
    (control,) = found.controls
    assert (control.tokens, control.failed) == (25, ["distinct_2"])  # the length may move, and rep_4 is not compared on so short a prefix
    assert any(one.startswith("Warning: max_tokens changes distinct_2 on the first 25 words") for one in found.answers)
    assert analyse(scores(planned, values.tolist(), some), some).controls == []
    assert artefacts.decode(artefacts.encode(found), Analysis) == found


def test_an_analysis_says_how_it_was_made() -> None:
    found = analysed({"temperature": [0.5, 1.0]}, [[0.1, 0.2], [0.3, 0.4]])
    for part in (f"evalkit {__version__}", found.digest, "model none", "2 settings × 2 prompts × 2 replicates", "Student's t", "seed 0"):
        assert part in found.signature


def test_where_no_effect_can_be_told_the_cells_are_held_against_the_reference() -> None:
    planned = plan({"temperature": [0.5, 1.0], "top_p": [0.5, 0.9]}, 8)
    cells = [{"temperature": 0.5, "top_p": 0.5}, {"temperature": 1.0, "top_p": 0.9}]
    named = Plan(planned.experiment.model_copy(update={"design": "list", "cells": dict(zip(("low", "high"), cells, strict=True))}))
    values = np.random.default_rng(1).random((2, 8)) * 0.01 + np.array([[0.2], [0.7]])
    found = analyse(scores(named, values.tolist()), [METRIC])
    assert found.verdicts == []
    assert found.answers[0].startswith("Against the reference (high), all settings")
    assert f"{METRIC.name} -0.499" in found.answers[1]


def test_undefined_numbers_come_back_from_inside_other_things_too() -> None:
    planned = plan({"temperature": [0.5, 1.0]}, 4)
    found = analyse(scores(planned, [[0.1, 0.2, 0.3, 0.5], [math.nan] * 4]), [METRIC])
    on = ComparedOn(tokens=32, k=2, eligible=[math.nan, 0.5], left_out=[], biased=[])
    again = artefacts.decode(artefacts.encode(msgspec.structs.replace(found, compared_on=on)), Analysis)
    assert again.compared_on is not None
    assert math.isnan(again.compared_on.eligible[0])
    assert again.compared_on.eligible[1] == 0.5


@given(st.lists(st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), min_size=7, max_size=7), min_size=2, max_size=2))
def test_no_interval_leaves_the_range_of_its_metric(values: list[list[float]]) -> None:
    share = METRIC._replace(low=0.0, high=1.0)
    planned = plan({"temperature": [0.5, 1]}, 7)
    found = analyse(scores(planned, values, (share,)), [share])
    for row in (*found.by_cell, *found.by_level):
        assert 0 <= row.ci_low <= row.mean <= row.ci_high <= 1
        if row.mean in (0, 1):
            assert row.ci_high - row.ci_low > 0.2
    for one in (*found.differences, *found.level_differences, *found.verdicts, *found.simple_effects):
        assert -1 <= one.ci_low <= one.difference <= one.ci_high <= 1
    assert (found.metrics[0].low, found.metrics[0].high) == (0, 1)
    assert (unbounded := analyse(scores(planned, values), [METRIC]).metrics[0]).low is unbounded.high is None
