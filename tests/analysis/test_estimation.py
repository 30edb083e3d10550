"""What is said of parameters whose effects are planted: found, shown to be none, or left open, as the data allow."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from evalkit.analysis.control import controls
from evalkit.analysis.effects import Effects
from evalkit.analysis.estimation import against_reference, codes_of, effects
from evalkit.analysis.sentences import answers, of_cells
from evalkit.analysis.verdicts import MOST_TESTED
from evalkit.experiment.margins import margin_of
from evalkit.metrics import CATALOGUE
from evalkit.stats.power import detectable
from evalkit.text.numbers import signed

LEVELS = {"temperature": [0.5, 1.0, 1.5], "top_p": ["default", 0.9], "presence_penalty": [0, 1]}
CELLS = [dict(zip(LEVELS, one, strict=True)) for one in product(*LEVELS.values())]


def planted(prompts: int = 12, noise: float = 0.01, fail: float = 0.0) -> np.ndarray:
    """Temperature raises by .1 a step, but not at top_p 0.9; presence_penalty does nothing."""
    rng = np.random.default_rng(3)
    truth = np.array([0.1 * LEVELS["temperature"].index(cell["temperature"]) * (cell["top_p"] == "default") for cell in CELLS])
    values = 0.3 + truth[:, None] + 0.1 * rng.normal(size=prompts) + noise * rng.normal(size=(len(CELLS), prompts))
    values[rng.random(values.shape) < fail] = math.nan
    return values


def found(values: np.ndarray, margin: float = 0.02) -> Effects:
    return effects({"distinct_2": values}, CELLS, LEVELS, {"distinct_2": (margin, "0-1 scale")}, 7)


@pytest.mark.parametrize("fail", [0.0, 0.1])
def test_planted_effects_get_their_verdicts(fail: float) -> None:
    result = found(planted(fail=fail))
    by_name = {one.parameter: one for one in result.verdicts}
    heat = by_name["temperature"]
    assert (heat.verdict, heat.from_level, heat.to_level) == ("effect", 0.5, 1.5)
    assert heat.difference == pytest.approx(0.1, abs=0.015)  # .2 at one of two levels of top_p
    assert heat.ci_low < 0.1 < heat.ci_high
    assert heat.per_step == pytest.approx(0.05, abs=0.01)
    assert by_name["presence_penalty"].verdict == "no effect"
    assert by_name["presence_penalty"].p_equivalence <= 0.05
    assert by_name["presence_penalty"].prompts_needed is None
    pairs = {one.parameters: one for one in result.interactions}
    assert pairs["temperature", "top_p"].p_adjusted <= 0.05
    (simple,) = [one for one in result.simple if (one.parameter, one.at_level) == ("temperature", 0.9)]
    assert abs(simple.difference) < 0.02
    shares = {one.parameters: one.share for one in result.shares}
    assert shares["temperature",] > 0.2
    assert shares["presence_penalty",] < 0.02
    said = answers(result, list(LEVELS), 12)
    assert any("temperature: explains" in one and "top_p 0.9 undoes it" in one for one in said)
    assert any(one.startswith("presence_penalty does nothing here") for one in said)


def test_too_few_prompts_leave_the_question_open_and_say_how_many_would_do() -> None:
    result = found(planted(prompts=6, noise=0.05))
    (penalty,) = [one for one in result.verdicts if one.parameter == "presence_penalty"]
    assert penalty.verdict == "inconclusive"
    assert penalty.prompts_needed > 6
    more = found(planted(prompts=2 * penalty.prompts_needed, noise=0.05))
    assert [one.verdict for one in more.verdicts if one.parameter == "presence_penalty"] == ["no effect"]
    assert any("prompts would tell" in one for one in answers(result, list(LEVELS), 6))


def test_an_effect_within_the_margin_is_no_effect_and_both_are_said() -> None:
    result = found(planted(noise=0.001), margin=0.5)
    assert [(one.verdict, one.beside_zero) for one in result.verdicts if one.parameter == "temperature"] == [("no effect", True)]
    assert any("there are differences, too small to matter: distinct_2 +0.1" in one for one in answers(result, list(LEVELS), 12))


def test_five_prompts_get_no_p() -> None:
    result = found(planted(prompts=5))
    assert {one.p for one in result.verdicts} == {None}
    assert {one.p_adjusted for one in result.interactions} == {None}
    assert {(one.verdict, one.sure) for one in result.verdicts if one.parameter == "temperature"} == {("effect", False)}
    assert any("temperature: perhaps changes distinct_2 (too few prompts for a p)" in one for one in answers(result, list(LEVELS), 5))
    assert any("no test can reach p < .05" in one for one in answers(result, list(LEVELS), 5))


def test_a_two_level_difference_is_the_paired_t_interval() -> None:
    values = planted(noise=0.03)
    (one,) = [one for one in found(values).verdicts if one.parameter == "presence_penalty"]
    by_prompt = (values[1::2] - values[::2]).mean(axis=0)
    oracle = stats.ttest_1samp(by_prompt, 0).confidence_interval()
    assert (one.difference, one.ci_low, one.ci_high) == pytest.approx((by_prompt.mean(), oracle.low, oracle.high))


def test_the_same_seed_gives_the_same_numbers_and_other_metrics_do_not_move_them() -> None:
    values = planted(prompts=20)
    margins = {"a": (0.02, ""), "b": (0.02, "")}
    alone = effects({"a": values}, CELLS, LEVELS, margins, 1)
    both = effects({"b": values * 2, "a": values}, CELLS, LEVELS, margins, 1)
    assert alone.verdicts == [one for one in both.verdicts if one.metric == "a"]


def test_cells_are_compared_with_the_reference_by_prompt() -> None:
    values = planted(prompts=10)
    values[3, 2] = math.nan
    rows = against_reference({"m": values}, 4, 1)
    assert [one.cell_index for one in rows] == [0, 1, 2, 3, *range(5, 12)]
    third = rows[3]
    paired = np.delete(values[3] - values[4], 2)
    assert (third.difference, third.n_prompts) == (pytest.approx(paired.mean()), 9)
    oracle = stats.ttest_1samp(paired, 0).confidence_interval()
    assert (third.ci_low, third.ci_high) == pytest.approx((oracle.low, oracle.high))
    assert all(one.p <= one.p_adjusted for one in rows)
    assert against_reference({"m": values[:1]}, 0, 1) == []


def test_what_cannot_be_told_is_said() -> None:
    cells = [{"temperature": 0, "top_p": None}, {"temperature": 1, "top_p": 0.5}, {"temperature": 1, "top_p": 0.9}]
    levels = {"temperature": [0, 1], "top_p": [0.5, 0.9]}
    assert codes_of(cells, levels).tolist() == [[0, -1], [1, 0], [1, 1]]
    result = effects({"m": np.random.default_rng(1).random((3, 8))}, cells, levels, {"m": (0.02, "")}, 1)
    said = " ".join(result.not_estimated)
    assert "top_p at temperature 0: not applicable there (1 of 3 settings)" in said
    assert "interactions that this design cannot see: temperature × top_p" in said
    together = [{"temperature": 0.5, "top_p": 0.5}, {"temperature": 1, "top_p": 0.9}]
    result = effects({"m": np.random.default_rng(1).random((2, 8))}, together, {"temperature": [0.5, 1], "top_p": [0.5, 0.9]}, {"m": (0.02, "")}, 1)
    assert result.verdicts == []
    assert sum("cannot tell its effect" in one for one in result.not_estimated) == 2


def test_a_metric_without_any_value_has_no_verdict() -> None:
    assert found(np.full((12, 8), math.nan)).verdicts == []
    assert effects({}, CELLS, LEVELS, {}, 1).verdicts == []


def test_a_parameter_that_is_ignored_under_one_seed_has_no_effect() -> None:
    same = np.repeat(np.random.default_rng(1).random((1, 8)), 12, axis=0)
    assert {one.verdict for one in found(same).verdicts} == {"no effect"}


@pytest.mark.parametrize(
    ("metric", "given", "expected"),
    [
        ("distinct_2", {}, (0.02, "0-1 scale")),
        ("length_tokens", {}, (2.0, "share of the reference")),
        ("distinct_2", {"distinct_2": 0.1}, (0.1, "experiment")),
        ("length_tokens", {"length_tokens": "10 %"}, (4.0, "experiment")),
    ],
)
def test_margins(metric: str, given: dict, expected: tuple) -> None:
    assert margin_of(CATALOGUE[metric], 40.0, given) == (pytest.approx(expected[0]), expected[1])


def test_a_share_of_a_reference_of_0_is_no_margin() -> None:
    assert math.isnan(margin_of(CATALOGUE["length_tokens"], 0.0, {}).value)


def test_differences_are_written_to_what_they_are_worth() -> None:
    assert [signed(one) for one in (0.4127, -1.5, 33.26, 12345.6, 0.00031, 0.0)] == ["+0.413", "-1.50", "+33.3", "+12,346", "+0.0003", "+0.000"]


def test_alike_on_a_handful_of_prompts_is_not_yet_no_effect() -> None:
    same = np.repeat(np.random.default_rng(1).random((1, 5)), 12, axis=0)
    assert {(one.verdict, one.prompts_needed) for one in found(same).verdicts} == {("inconclusive", 6)}


def test_a_difference_that_a_handful_of_prompts_share_is_not_yet_an_effect() -> None:
    values = np.repeat(np.random.default_rng(1).random((1, 5)), 12, axis=0)
    values[6:] += 0.5  # of temperature 1.0 at the first levels, and of 1.5
    assert {(one.verdict, one.prompts_needed) for one in found(values).verdicts if one.parameter == "temperature"} == {("inconclusive", 6)}


def test_where_no_p_can_be_small_enough_that_is_said() -> None:
    said = answers(found(planted(prompts=6)), list(LEVELS), 6)
    assert any(
        "With 6 prompts the smallest possible p, allowing for 3 parameters, is 0.094" in one and "use at least 7 prompts" in one for one in said
    )
    result = found(planted(prompts=7))
    assert any(one.sure for one in result.verdicts)
    assert not any("smallest possible p" in one for one in answers(result, list(LEVELS), 7))


def test_what_arithmetic_leaves_of_0_is_0() -> None:
    values = np.full((12, 10), 0.3) + 1e-17 * np.random.default_rng(2).normal(size=(12, 10))
    values += 1e-16 * np.arange(12)[:, None]
    assert {(one.verdict, one.beside_zero, one.difference, one.detectable) for one in found(values).verdicts} == {("no effect", False, 0.0, None)}


def test_the_detectable_difference_is_that_of_the_power_of_the_t_test() -> None:
    values = planted(prompts=20, noise=0.05)
    (one,) = [one for one in found(values).verdicts if one.parameter == "presence_penalty"]
    by_prompt = (values[1::2] - values[::2]).mean(axis=0)
    assert one.detectable == pytest.approx(detectable(20, by_prompt.std(ddof=1)), rel=0.01)
    (three,) = [one for one in found(values).verdicts if one.parameter == "temperature"]
    assert three.detectable > detectable(20, by_prompt.std(ddof=1)) / 2


LIMITED = [{"max_tokens": limit, "temperature": heat} for limit in (20, 60) for heat in (0.5, 1.0)]


@pytest.mark.parametrize(("moved", "failed", "passed"), [(0.3, ["a"], ["b"]), (0.0, [], ["a", "b"])])
def test_a_limit_on_length_that_moves_a_prefix_is_found_out(moved: float, failed: list[str], passed: list[str]) -> None:
    noise = 0.005 * np.random.default_rng(5).normal(size=(3, 4, 10))
    values = {
        "a": 0.4 + noise[0] + moved * np.array([0, 0, 1, 1])[:, None],
        "b": 0.4 + noise[1],
        "c": 40 * np.array([1, 1, 3, 3])[:, None] + noise[2],
    }
    levels = {"max_tokens": [20, 60], "temperature": [0.5, 1.0]}
    result = effects(values, LIMITED, levels, {"a": (0.02, ""), "b": (0.02, ""), "c": (2.0, "")}, 3)
    (control,) = controls(result.verdicts, {"a", "b"}, 25)
    assert (control.parameter, control.tokens, control.failed, control.passed, control.open) == ("max_tokens", 25, failed, passed, [])
    said = answers(result, list(levels), 10, [control])[-1]
    assert said.startswith(
        "Warning: max_tokens changes a on the first 25 words" if moved else "Control passed: max_tokens cannot change the first 25"
    )


def test_a_control_that_cannot_tell_says_what_is_open() -> None:
    values = {"a": np.random.default_rng(5).random((4, 10))}
    levels = {"max_tokens": [20, 60], "temperature": [0.5, 1.0]}
    result = effects(values, LIMITED, levels, {"a": (0.02, "")}, 3)
    (control,) = controls(result.verdicts, {"a"}, 10)
    assert (control.failed, control.passed, control.open) == ([], [], ["a"])
    assert "is shown for 0 of 1 metric, and is unclear for a." in answers(result, list(levels), 10, [control])[-1]
    assert controls(result.verdicts, set(), 10) == []


def test_named_cells_are_held_against_the_reference_in_words() -> None:
    cells = [{"temperature": 1.0, "top_p": "default"}, {"temperature": 0.2, "top_p": 0.5}, {"temperature": 1.0, "top_p": None}]
    rng = np.random.default_rng(6)
    values = 0.5 + 0.01 * rng.normal(size=(3, 10)) - 0.2 * np.array([0, 1, 0])[:, None]
    said = of_cells(against_reference({"m": values}, 0, 1), cells, 0)
    assert said[0] == "Against the reference (temperature=1, top_p=default), all settings of a metric counted together:"
    assert said[1].startswith("temperature=0.2, top_p=0.5: m -0.2")
    assert said[2] == "temperature=1: no difference that is sure."
    assert of_cells([], cells, 0) == []


def test_of_hundreds_of_levels_some_are_tested_and_that_is_said() -> None:
    rng = np.random.default_rng(3)
    levels = [round(0.005 * number, 3) for number in range(200)]
    cells = [{"temperature": level} for level in levels]
    values = {"distinct_2": np.clip(0.3 + 0.5 * np.array(levels)[:, None] + rng.normal(0, 0.02, (200, 8)), 0, 1)}
    result = effects(values, cells, {"temperature": levels}, {"distinct_2": (0.02, "0-1 scale")}, seed=1)
    (one,) = result.verdicts
    assert one.verdict == "effect"
    assert (one.from_level, one.to_level) == (0.0, 0.995)
    assert len(result.levels) == MOST_TESTED * (MOST_TESTED - 1) // 2
    assert any("has 200 levels: differences are tested between 24 of them" in line for line in result.not_estimated)


def test_money_is_told_of_a_thousand_answers() -> None:
    values = planted() * 1e-5
    result = effects({"cost": values}, CELLS, LEVELS, {"cost": (1e-7, "given")}, 1, {"cost": 1.0})
    (one,) = [said for said in answers(result, list(LEVELS), 12) if "temperature: explains" in said]
    assert "cost of 1,000 answers: +0.00" in one
    assert "e-" not in one.partition("undoes")[0]
