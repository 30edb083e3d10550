"""The choice by hand: constraints, Pareto set, ties to the cheapest, and the nearest miss; and what is written and shown of it."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.cells import cell_len
from rich.console import Console
from support.comparing import run as made
from support.records import completion
from support.sweeps import sweep

from evalkit.analysis.analysis import analyse
from evalkit.choice import Choice, call_of, choose, recommended_yaml
from evalkit.choice.constraints import wanted_of
from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import check
from evalkit.experiment.goals import PROFILES, Choose, Preference, metric_names, profile
from evalkit.metrics import CATALOGUE, METRICS
from evalkit.plan.requests import Plan, Request
from evalkit.present.terminal import listings
from evalkit.present.text.decision import why
from evalkit.run import load
from evalkit.scoring.grids import Score
from evalkit.scoring.scores import Scores
from evalkit.store.records import Outcome
from evalkit.summary import summarise
from evalkit.sweeping.rescoring import rescore

NAN = math.nan
PROMPTS = 10
BASE: dict[str, Any] = {
    "name": "made-up",
    "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
    "prompts": [{"id": f"p{number}", "user": "say"} for number in range(PROMPTS)],
    "parameters": {"temperature": [0, 0.5, 1.0, 1.5], "top_k": ["default", 40]},
    "request": {"stop": ["x"], "seed": "per_replicate"},
    "replicates": 2,
}
# Cells: (0, void), (0.5, default), (0.5, 40), (1, default), (1, 40), (1.5, default), (1.5, 40)
MEANS = {
    "distinct_2": [0.1, 0.4, 0.4, 0.8, 0.8, 0.81, 0.95],
    "length_tokens": [50, 50, 50, 80, 60, 60, 60],
    "truncation_rate": [0, 0, 0, 0, 0, 0, 0.5],
}
WANTED: dict[str, Any] = {"require": {"truncation_rate": {"max": 0.1}}, "prefer": {"distinct_2": {"goal": "maximize"}}}


def decided(
    choose_: dict[str, Any],
    means: dict[str, list[float]] = MEANS,
    noise: float = 0.01,
    blank: dict[str, list[int]] | None = None,
    keep: int = PROMPTS,
    **more: Any,
):
    """A choice among made-up values; `blank` cells of a metric have none, and nothing has any beyond the first `keep` prompts."""
    experiment = check({**BASE, "choose": choose_, **more})
    planned = Plan(experiment)
    by_metric = {}
    for metric in METRICS:
        rng = np.random.default_rng([1, *metric.name.encode()])  # so that a further metric moves no other's noise
        rows = np.array(means.get(metric.name, [0.05] * len(planned.cells)))
        scale = noise * (100 if metric.name.startswith("length") else 1)
        value = rows[:, None] + scale * rng.normal(size=(len(rows), PROMPTS)) * (metric.name in ("distinct_2", "length_tokens"))
        value[(blank or {}).get(metric.name, [])] = NAN
        value[:, keep:] = NAN
        by_metric[metric.name] = Score(value, value.copy(), np.full(value.shape, 2), np.full(value.shape, 2))
    scores = Scores(plan=planned, by_metric=by_metric, tokenizer="t", k=2, groups_left_out=0, completions=len(planned), metrics=METRICS)
    analysis = analyse(scores)
    choice = choose(scores, analysis)
    assert choice is not None
    return choice, analysis, experiment


def test_constraints_go_first_then_the_tied_then_the_cheapest() -> None:
    choice, _, _ = decided(WANTED)
    assert choice.satisfying == [0, 1, 2, 3, 4, 5]
    assert choice.constraints[0].excludes == choice.constraints[0].excludes_alone == 1
    assert set(choice.tied) <= {3, 4, 5}
    assert choice.best in choice.tied
    assert choice.chosen in choice.tied
    lengths = {index: MEANS["length_tokens"][index] for index in choice.tied}
    assert lengths[choice.chosen] <= 1.06 * min(lengths.values())
    assert choice.pareto == [choice.best]
    assert choice.desirability[6] is None
    assert 0 < choice.resample_share <= 1


def test_ties_at_one_price_go_to_the_nearest_of_the_defaults() -> None:
    same = {"distinct_2": [0.1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8], "length_tokens": [50] * 7}
    choice, _, _ = decided(WANTED, same, noise=0.0001)
    assert len(choice.tied) >= 3
    if 3 in choice.tied:
        assert choice.chosen == 3  # temperature 1, top_k left out
    best, _, _ = decided({**WANTED, "among": "best"}, same, noise=0.0001)
    assert best.chosen == best.best


def test_the_bad_end_of_the_interval_judges_and_the_mean_where_asked() -> None:
    limit = {"distinct_2": {"min": 0.795}}
    strict, _, _ = decided({**WANTED, "require": limit}, noise=0.05)
    lenient, _, _ = decided({**WANTED, "require": {"distinct_2": {"min": 0.7, "by": "mean"}}}, noise=0.05)
    assert set(strict.satisfying) < set(lenient.satisfying)
    assert {3, 4, 5, 6} == set(lenient.satisfying)


def test_where_none_satisfies_each_constraint_and_the_nearest_miss_are_told() -> None:
    choice, analysis, _ = decided({"require": {"distinct_2": {"min": 0.97}, "truncation_rate": {"max": 0.6}}, "prefer": WANTED["prefer"]})
    assert choice.chosen is None
    assert choice.parameters == {}
    assert [one.excludes for one in choice.constraints] == [7, 0]
    assert choice.nearest == 6
    assert [(one.metric, one.bound) for one in choice.misses] == [("distinct_2", 0.97)]
    text = shown(choice, analysis, 80)
    assert "No setting keeps to all bounds: all 7 miss at least one." in text
    assert "distinct_2 at least 0.97 on the mean (too few prompts to prove it): excludes 7, 7 of them for this alone." in " ".join(text.split())
    assert "Nearest: temperature=1.5, top_k=40" in text


def test_what_is_not_measured_is_left_out_of_preferences_and_never_satisfied() -> None:
    choice, _, _ = decided({"require": {"latency_s": {"max": 3}}, "prefer": {**WANTED["prefer"], "cost": {"goal": "minimize"}}})
    assert choice.chosen is None
    assert choice.nearest is None
    assert any("latency_s has a bound, but this run does not measure it" in one for one in choice.notes)
    assert any("preferences are left out" in one and "cost" in one for one in choice.notes)
    only, _, _ = decided({"prefer": {"cost": {"goal": "minimize"}}})
    assert only.chosen is None
    assert any("nothing can be chosen" in one for one in only.notes)


def test_what_is_measured_and_too_short_to_compare_is_not_called_unmeasured() -> None:
    _, prefer, _, notes = wanted_of(
        Choose(prefer={"distinct_2": Preference(goal="maximize"), "cost": Preference(goal="minimize")}), {"rep_4"}, {"rep_4", "distinct_2"}
    )
    assert not prefer
    assert notes == [
        "preferences are left out: too many answers are too short to compare settings by different word pairs",
        "preferences are left out: this run does not measure cost",
    ]


def test_it_is_said_what_bounds_are_judged_by() -> None:
    choice, analysis, _ = decided({**WANTED, "require": {"distinct_2": {"min": 0.1}, "truncation_rate": {"max": 1, "by": "mean"}}})
    kept = why(choice, analysis)[0].texts[0]
    assert kept.endswith("keep to distinct_2 at least 0.1, even at the bad end of the 95 % interval; truncation_rate at most 1 on the mean.")


@pytest.mark.parametrize("name", PROFILES)
def test_what_no_clean_setting_can_prove_is_judged_by_the_mean_and_told(name: str) -> None:
    means = {**MEANS, "loop_rate": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5], "rep_4": [0.01] * 7, "truncation_rate": [0.0] * 7}
    choice, analysis, _ = decided({"profile": name}, means)
    (bound,) = [one for one in choice.constraints if one.metric == "loop_rate"]
    assert (bound.by, bound.provable) == ("mean", False)
    assert choice.satisfying == [0, 1, 2, 3, 4, 5]
    (row,) = [one for one in choice.unproved if one.metric == "loop_rate"]
    assert (row.seen, row.answers, row.mean) == (0, 20, 0.0)
    assert row.reaches == pytest.approx(0.2775, abs=5e-4)  # Wilson's upper end of 0 in 10
    text = " ".join(shown(choice, analysis, 120).split())
    assert f"loop_rate at most {bound.max:g} (not proved: 0 of 20 seen, up to 28 % possible)" in text


def test_a_bound_within_reach_is_judged_by_the_interval() -> None:
    means = {**MEANS, "loop_rate": [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5]}
    choice, _, _ = decided({**WANTED, "require": {"loop_rate": {"max": 0.3}}}, means)
    assert (choice.constraints[0].by, choice.constraints[0].provable, choice.unproved) == ("interval", True, [])
    asked, _, _ = decided({**WANTED, "require": {"loop_rate": {"max": 0.02, "by": "mean"}}}, means)
    assert (asked.constraints[0].provable, asked.unproved) == (True, [])


def test_a_share_that_counts_no_answers_is_told_as_it_is() -> None:
    part, analysis, _ = decided({"prefer": {"distinct_2": {"goal": "maximize"}}, "require": {"distinct_2": {"min": 0.93}}}, noise=0.05)
    assert part.chosen == 6
    (row,) = part.unproved
    assert row.seen is None
    assert f"(not proved: {row.mean:.3g} seen, {row.reaches:.3g} possible)" in " ".join(shown(part, analysis, 120).split())
    few, analysis, _ = decided({**WANTED, "require": {"hdd_42": {"min": 0.95}}}, {**MEANS, "hdd_42": [1.0] * 7})
    assert "hdd_42 at least 0.95 (not proved: all of 20 seen, down to 72 % possible)" in " ".join(shown(few, analysis, 120).split())


def test_a_range_within_the_margin_is_not_blown_up() -> None:
    close = {"distinct_2": [0.5 + 0.001 * number for number in range(7)], "length_tokens": [90, 80, 70, 60, 50, 40, 30]}
    choice, _, _ = decided({"prefer": {"distinct_2": {"goal": "minimize"}, "length_tokens": {"goal": "minimize"}}}, close, noise=0.0001)
    (variety,) = [one for one in choice.weights if one.metric == "distinct_2"]
    assert variety.worst - variety.best == pytest.approx(0.02)
    assert choice.best == 6


def test_what_it_changes_against_the_reference() -> None:
    choice, analysis, _ = decided({"prefer": WANTED["prefer"]}, reference={"temperature": 0.5, "top_k": "default"})
    assert (analysis.reference, choice.chosen) == (1, 6)
    change = {one.metric: one for one in choice.changes}
    assert change["distinct_2"].clear == "changed"
    assert change["distinct_2"].percent == pytest.approx(100 * 0.55 / 0.4, rel=0.05)
    assert change["distinct_2"].percent_low < change["distinct_2"].percent < change["distinct_2"].percent_high
    assert change["length_tokens"].difference == pytest.approx(10, abs=1.5)


def test_the_recommended_parameters_are_ready_to_paste() -> None:
    choice, _, _ = decided({"prefer": WANTED["prefer"]})
    text = recommended_yaml(choice.parameters, ["Recommended.", "of two\nlines"])
    assert yaml.safe_load(text) == {"model": "m", "stop": ["x"], "temperature": 1.5, "top_k": 40}
    call = call_of(choice.parameters)
    assert "temperature=1.5," in call
    assert "extra_body={'top_k': 40}," in call  # the client has no such argument
    compile(call, "call", "eval")


def test_a_model_that_wants_another_field_gets_it() -> None:
    endpoint = {**BASE["endpoint"], "max_tokens_field": "max_completion_tokens"}
    choice, _, _ = decided({"prefer": WANTED["prefer"]}, endpoint=endpoint, request={"max_tokens": 9})
    assert choice.parameters["max_completion_tokens"] == 9
    assert "max_tokens" not in choice.parameters


def shown(choice: Choice, analysis: Any, width: int, encoding: str = "utf-8") -> str:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=file, width=width, legacy_windows=False)
    for part in (listings.verdicts(analysis, console), listings.answers(analysis, console), listings.choice(choice, analysis, console)):
        if part is not None:
            console.print(part)
    file.flush()
    return file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_terminal_says_what_to_use_why_how_sure_and_what_else_would_do(width: int, encoding: str) -> None:
    choice, analysis, _ = decided({"profile": "creative"})
    text = shown(choice, analysis, width, encoding)
    for word in ("Use ", "Why ", "How sure ", "What else ", "Recommendation for creative", "2,000", "client.chat.completions.create("):
        assert word in text
    assert f"temperature={choice.parameters['temperature']}" in text
    assert all(cell_len(line) <= width for line in text.split("\n"))


@pytest.mark.parametrize("prompts", [1, 5])
def test_what_stands_in_the_way_of_a_choice_is_said(prompts: int) -> None:
    choice, analysis, _ = decided({"profile": "creative"}, blank={"truncation_rate": [6]}, keep=prompts)
    text = " ".join(shown(choice, analysis, 120).split())
    if prompts == 1:
        assert choice.chosen is None
        assert "loop_rate has a value on one prompt only in 7 settings, which gives no interval to judge by: add prompts, or write by: mean" in text
    else:
        assert 6 not in choice.satisfying
        assert "truncation_rate has no value in 1 setting, which therefore does not keep to its bound" in text


def test_settings_without_a_preferred_value_are_not_ranked_and_that_is_said() -> None:
    choice, analysis, _ = decided(WANTED, blank={"distinct_2": [3, 4]})
    assert choice.desirability[3] is None
    assert choice.chosen not in (3, 4)
    assert "2 of the 6 settings that keep to the bounds have no value in a preferred metric and are not ranked" in " ".join(
        shown(choice, analysis, 120).split()
    )


def test_the_words_for_how_sure_a_choice_is() -> None:
    def said(means: list[float], noise: float = 0.0001, **wanted: Any) -> str:
        choice, analysis, _ = decided({**WANTED, **wanted}, {"distinct_2": means, "length_tokens": [50] * 7}, noise=noise)
        return " ".join(shown(choice, analysis, 120).split())

    clear = said([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9])
    assert "How sure Yes: better than every other setting that keeps to the bounds" in clear
    assert "What else Nothing else does as well on these prompts." in clear
    alone = said([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9], require={"distinct_2": {"min": 0.8}})
    assert "No other setting keeps to the bounds, so there was nothing to compare it with." in alone
    tied = said([0.1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert "How sure Not of this one alone: " in tied
    assert "What else Any of these would do, as far as these prompts tell" in tied
    near = said([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.9], prefer={"distinct_2": {"goal": "target", "target": 0.4}})
    assert "ranked by how well they bring distinct_2 near 0.4 (100%)" in near
    assert "distinct_2: unique word pairs / word pairs, replicates pooled" in near


@pytest.mark.parametrize("goal", ["maximize", "minimize"])
def test_equals_are_told_as_a_group_though_one_of_them_is_first(goal: str) -> None:
    same = {"distinct_2": [0.5] * 7, "length_tokens": [50] * 7}
    choice, analysis, _ = decided({"prefer": {"distinct_2": {"goal": goal}}}, same, noise=0.05)
    assert len(choice.tied) == 7
    assert choice.resample_share < 0.5
    text = " ".join(shown(choice, analysis, 120).split())
    assert "How sure Not of this one alone: " in text
    assert "allowing for luck" in text


def test_where_no_setting_comes_up_to_the_worst_that_is_wanted_all_are_alike() -> None:
    choice, _, _ = decided({"prefer": {"distinct_2": {"goal": "maximize", "worst": 0.97}}})
    assert choice.desirability == [0.0] * 7
    assert len(choice.tied) == 7


def test_prices_below_0_leave_a_choice() -> None:
    choice, _, _ = decided(WANTED, {"distinct_2": [0.8] * 7, "length_tokens": [-50, -40, -30, -20, -10, -5, -1]}, noise=0.0)
    assert choice.chosen == 0


def test_a_difference_within_the_margin_is_shown_as_what_it_is() -> None:
    means = {"distinct_2": [0.5, 0.5, 0.505, 0.5, 0.505, 0.5, 0.505], "length_tokens": [50] * 7}
    choice, analysis, _ = decided(WANTED, means, noise=0.0005)
    text = shown(choice, analysis, 120)
    assert "~ 0 +0.005" in text
    assert "~ 0: there is a difference, shown beside it, and the same test shows that it is within the margin: too small to matter." in text


def test_every_profile_says_why_and_asks_for_metrics_that_exist() -> None:
    for name in PROFILES:
        found = profile(name)
        for metric, one in {**found.require, **found.prefer}.items():
            assert one.because
            assert metric in metric_names()
        choice, _, _ = decided({"profile": name, "require": {metric: {"max": min(1e9, CATALOGUE[metric].high)} for metric in found.require}})
        assert choice.about == found.about
        assert choice.weights


def test_what_stands_beside_a_profile_goes_before_it() -> None:
    choice, _, _ = decided({"profile": "creative", "require": {"truncation_rate": {"max": 0.9}}, "prefer": {"distinct_2": {"goal": "minimize"}}})
    assert {one.metric: one.max for one in choice.constraints}["truncation_rate"] == 0.9
    assert {one.metric: one.goal for one in choice.weights}["distinct_2"] == "minimize"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"choose": {"profile": "creativ"}}, "choose.profile: found 'creativ'; unknown profile; did you mean 'creative'?"),
        ({"choose": {}}, "choose: says nothing about what is better; name a profile"),
        ({"choose": {"prefer": {"distinct2": {"goal": "maximize"}}}}, "choose.prefer.distinct2: unknown metric; did you mean 'distinct_2'?"),
        ({"choose": {"prefer": {"rep_2": {"goal": "max"}}}}, "choose.prefer.rep_2.goal: found 'max'; expected 'maximize', 'minimize' or 'target'"),
        ({"choose": {"prefer": {"rep_2": {"goal": "target"}}}}, "goal: target and target: NUMBER go together"),
        ({"choose": {"prefer": {"rep_2": {"goal": "maximize", "weight": 0}}}}, "choose.prefer.rep_2.weight: found 0; expected a number above 0"),
        ({"choose": {"prefer": {"rep_2": {"goal": "maximize", "worst": 1, "best": 0}}}}, "do not fit goal: maximize; swap them"),
        (
            {"choose": {"profile": "brief", "require": {"rep_2": 0.05}}},
            "choose.require.rep_2: found 0.05; write {max: 0.05} for at most that, or {min: 0.05} for at least that",
        ),
        ({"choose": {"profile": "brief", "require": {"rep_2": "5%"}}}, "choose.require.rep_2: found '5%'; write {max: 0.05} for at most that"),
        ({"choose": {"profile": "brief", "require": {"rep_2": {"max": "5%"}}}}, "rep_2.max: found '5%'; expected a number; write 0.05 for 5 %"),
        ({"choose": {"prefer": {"rep_2": "minimize"}}}, "choose.prefer.rep_2: found 'minimize'; write {goal: minimize}"),
        ({"choose": "precise"}, "choose: found 'precise'; write {profile: precise}"),
        ({"choose": "exact"}, "choose: found 'exact'; write {profile: NAME}, where NAME is one of creative, precise, balanced, brief"),
        ({"choose": {"profile": "brief", "require": {"rep_2": {}}}}, "choose.require.rep_2: holds neither min nor max"),
        ({"choose": {"profile": "brief", "require": {"rep_2": {"min": 1, "max": 0}}}}, "choose.require.rep_2: min 1.0 is above max 0.0; swap them"),
        ({"choose": {"profile": "brief", "amongst": "best"}}, "choose.amongst: unknown key; did you mean 'among'?"),
        ({"margins": {"rep_2": -1}}, "margins.rep_2: found -1; expected a number above 0"),
        (
            {"margins": {"rep_2": "5"}},
            "margins.rep_2: found '5'; expected a number above 0 in the metric's unit, or a share",
        ),
        ({"margins": {"rep2": 1}}, "margins.rep2: unknown metric; did you mean 'rep_2'?"),
        ({"reference": {"temprature": 1}}, "reference.temprature: unknown swept parameter; did you mean 'temperature'?"),
        ({"reference": {"temperature": 0.7}}, "reference.temperature: found 0.7; expected one of its levels: 0, 0.5, 1.0, 1.5"),
        ({"reference": "warm"}, "reference: found 'warm'; expected levels of the swept parameters"),
    ],
)
def test_wishes_that_make_no_sense_are_told_in_one_line(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ExperimentError) as fault:
        check({**BASE, **more})
    assert message in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1


def test_wishes_do_not_change_what_is_sent() -> None:
    plain, wished = check(BASE), check({**BASE, "choose": WANTED, "margins": {"rep_2": 0.1}, "reference": {"temperature": 1}})
    assert plain.digest() == wished.digest()
    assert check(wished.resolved()) == wished


def test_a_choice_is_confirmed_on_fresh_answers_only(tmp_path: Path) -> None:
    experiment = check(
        {
            "name": "small",
            "endpoint": {"base_url": "local", "model": "babbler"},
            "prompts": [{"id": f"p{number}", "user": f"Tell me about {word}"} for number, word in enumerate(("lists", "files", "names"))],
            "parameters": {"temperature": [0, 1.0]},
            "request": {"max_tokens": 20, "seed": "per_replicate"},
            "replicates": 3,
            "choose": {"prefer": {"exact_duplicates": {"goal": "minimize"}}, "among": "best"},  # whatever the model has read
        }
    )
    result = sweep(experiment, tmp_path / "run", fresh_replicates=3)
    assert result is not None
    assert result.choice is not None
    assert result.choice.chosen == 1
    assert result.complete
    assert result.analysis.counts.outside == 0
    lines = (tmp_path / "run/responses.jsonl").read_text(encoding="utf-8").splitlines()
    fresh = [line for line in lines if '"role":"confirm"' in line]
    assert len(lines) == 2 * 3 * 3 + len(fresh)
    assert len(fresh) == 2 * 3 * 3  # the winner and the runner-up
    assert {line.split('"replicate":')[1][0] for line in fresh} == {"3", "4", "5"}
    (winner,) = [one for one in result.choice.confirmed if one.cell_index == 1]
    assert (winner.metric, winner.n_prompts, winner.replicates) == ("exact_duplicates", 3, 3)
    assert winner.ci_low <= winner.fresh <= winner.ci_high
    again = sweep(experiment, tmp_path / "run", fresh_replicates=3)
    assert again is not None
    assert again.choice == result.choice
    assert len((tmp_path / "run/responses.jsonl").read_text(encoding="utf-8").splitlines()) == len(lines)
    assert yaml.safe_load((tmp_path / "run/recommended.yaml").read_text(encoding="utf-8")) == {
        "model": "babbler",
        "max_tokens": 20,
        "temperature": 1.0,
    }


def test_nothing_is_confirmed_where_nothing_is_chosen(tmp_path: Path) -> None:
    data = {**BASE, "endpoint": {"base_url": "local", "model": "babbler"}, "parameters": {}, "prompts": BASE["prompts"][:1], "replicates": 1}
    told: list[str] = []
    result = sweep(check({**data, "request": {"max_tokens": 5}}), tmp_path / "run", fresh_replicates=2, note=told.append)
    assert result is not None
    assert result.choice is None
    assert any("nothing to confirm" in one for one in told)
    assert not (tmp_path / "run/recommended.yaml").exists()


def test_an_experiments_own_checks_and_scorers_can_be_bounded_and_preferred(tmp_path: Path) -> None:
    own = {"checks": [{"contains": "e"}, {"contains": "zzz"}], "scorers": ["statistics:mean"]}
    wanted = {
        "require": {"contains": {"min": 0.5, "by": "mean"}, "contains:2": {"max": 0.5, "by": "mean"}},
        "prefer": {"mean.x": {"goal": "maximize"}},
    }
    assert set(check({**BASE, **own, "choose": wanted, "margins": {"contains": 0.1}}).choose.require) == {"contains", "contains:2"}
    with pytest.raises(ExperimentError, match=r"choose\.require\.contain: unknown metric; did you mean 'contains'"):
        check({**BASE, **own, "choose": {**wanted, "require": {"contain": {"min": 1}}}})
    with pytest.raises(ExperimentError, match=r"margins\.is_json: unknown metric"):
        check({**BASE, **own, "margins": {"is_json": 0.1}})
    data = {
        "name": "own",
        "endpoint": {"base_url": "local", "model": "babbler"},
        "prompts": BASE["prompts"][:3],
        "parameters": {"temperature": [0, 1.0]},
        "request": {"max_tokens": 20, "seed": "per_replicate"},
        "replicates": 2,
        "checks": own["checks"],
        "choose": {"require": wanted["require"], "prefer": {"contains": {"goal": "maximize"}}},
    }
    result = sweep(check(data), tmp_path / "run")
    assert result is not None
    assert result.choice is not None
    assert result.choice.chosen is not None
    assert [one.metric for one in result.choice.constraints] == ["contains", "contains:2"]
    assert [one.metric for one in result.choice.weights] == ["contains"]


@pytest.mark.parametrize("name", PROFILES)
def test_labels_are_chosen_among_though_no_answer_is_long_enough_to_repeat_itself(name: str, tmp_path: Path) -> None:
    def label(request: Request) -> Outcome:
        return completion(f"label{request.prompt_index}" if request.cell["temperature"] == 0.2 else f"word{request.replicate}")

    rescore(made(tmp_path / "run", label, {"temperature": [0.2, 1.0]}, choose={"profile": name}, replicates=8))
    run = load(tmp_path / "run")
    assert run.choice is not None
    assert run.choice.satisfying == [0, 1]
    assert run.choice.chosen == {"precise": 0, "creative": 1}.get(name, run.choice.chosen)
    assert "nan" not in repr(run)
    assert not any("rep_4" in one.text for one in summarise(run).mind if "left out" not in one.text)
