"""Comparing two runs: the laws, a known number, what is paired with what, what is refused, and what a gate says."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from support.comparing import PROMPTS, repetitive, run, varied, write
from support.records import completion, experiment, failure

from evalkit.comparison import measurement
from evalkit.comparison.comparison import Comparison, compare, headline, objections
from evalkit.comparison.gate import Margins, fail_on, margins
from evalkit.comparison.verdict import Compared, directions, judged
from evalkit.errors import ExperimentError, RecordError
from evalkit.experiment.experiment import check
from evalkit.metrics import CATALOGUE, UAX29, Metric
from evalkit.plan.requests import Request
from evalkit.stats.multiple import max_t
from evalkit.store.folder import locked
from evalkit.store.records import Usage
from evalkit.sweeping.rescoring import rescore

OTHER = {"better": "worse", "worse": "better"}


def by_name(found: Comparison) -> dict[str, Compared]:
    return {one.metric: one for one in found.metrics}


def metric(name: str = "m", better: Any = "higher") -> Metric:
    return Metric(name, "group", len, better, "a test's", high=math.inf)


def judge(prompts: int) -> Any:
    return experiment(prompts=[f"p{number}" for number in range(prompts)])


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("sound") / "run")


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("broken") / "run", repetitive)


def test_a_run_is_equivalent_to_itself(sound: Path) -> None:
    found = compare(sound, sound)
    assert found.metrics
    assert all(one.difference == 0 and one.verdict == "equivalent" for one in found.metrics)
    assert found.passed
    assert found.same_answers == found.same_of == 2 * len(PROMPTS) * 3
    assert found.differs == []
    assert "both are the same folder" in found.notes


def test_swapping_the_runs_negates_differences_and_swaps_better_and_worse(sound: Path, broken: Path) -> None:
    there, back = by_name(compare(sound, broken)), by_name(compare(broken, sound))
    assert {"better", "worse"} & {one.verdict for one in there.values()}
    for name, one in there.items():
        assert back[name].difference == pytest.approx(-one.difference, nan_ok=True)
        assert (back[name].ci_low, back[name].ci_high) == pytest.approx((-one.ci_high, -one.ci_low), nan_ok=True)
        if one.margin_from == "0-1 scale":  # a share of the baseline is another margin the other way round
            assert back[name].verdict == OTHER.get(one.verdict, one.verdict)
            assert back[name].p_adjusted == pytest.approx(one.p_adjusted)


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(2, 12), st.sampled_from(["higher", "lower"]))
def test_the_verdict_turns_with_the_sign_whatever_the_values(seed: int, prompts: int, better: Any) -> None:
    rng = np.random.default_rng(seed)
    one, other = ({"m": rng.normal(size=(3, prompts)) + shift} for shift in (0.0, rng.choice([0.0, 0.5, 2.0])))
    there, back = (judged([metric(better=better)], *pair, judge(prompts), Margins({"m": 0.1}))[0] for pair in ((one, other), (other, one)))
    assert back.difference == pytest.approx(-there.difference)
    assert back.verdict == OTHER.get(there.verdict, there.verdict)
    assert there.reachable >= abs(there.difference)
    if there.verdict == "worse":
        assert (there.difference < -0.1) == (better == "higher")
        assert there.p_adjusted is not None
        assert there.p_adjusted <= 0.05


def test_the_numbers_are_those_of_scipy_on_one_difference_a_prompt() -> None:
    rng = np.random.default_rng(5)
    one, other = rng.normal(size=(2, 4, 9))
    (found,) = judged([metric()], {"m": one}, {"m": other}, judge(9), Margins({"m": 0.4}))
    differences = (other - one).mean(axis=0)
    test = stats.ttest_1samp(differences, 0)
    assert found.difference == pytest.approx(test.statistic * found.se)
    assert (found.ci_low, found.ci_high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    assert found.p == max_t(differences[:, None], rng).p[0]  # all 2^9 are gone through, so no generator matters
    narrow = test.confidence_interval(0.90)
    assert found.reachable == pytest.approx(max(abs(narrow.low), abs(narrow.high)))
    within = max(stats.ttest_1samp(differences, -0.4, alternative="greater").pvalue, stats.ttest_1samp(differences, 0.4, alternative="less").pvalue)
    assert found.p_equivalent == pytest.approx(within)


def test_one_metric_that_got_worse_is_found_among_twenty_with_eight_prompts() -> None:
    rng = np.random.default_rng(3)
    names = [f"m{number}" for number in range(20)]
    one = {name: rng.normal(size=(4, 8)) for name in names}
    other = {name: one[name] + 0.05 * rng.normal(size=(4, 8)) for name in names}
    other["m7"] = other["m7"] - 1
    found = judged([metric(name) for name in names], one, other, judge(8), Margins(dict.fromkeys(names, 0.2)))
    assert {row.metric: row.verdict for row in found if row.verdict != "equivalent"} == {"m7": "worse"}
    row = next(row for row in found if row.metric == "m7")
    assert row.p == row.p_adjusted == 2 / 2**8  # the other nineteen do not make it larger, as Holm's would: 0.16


def test_below_six_prompts_no_p_is_given_and_nothing_is_worse(tmp_path: Path) -> None:
    one, other = (run(tmp_path / name, answer, prompts=PROMPTS[:5]) for name, answer in (("a", varied), ("b", repetitive)))
    found = compare(one, other)
    assert found.passed
    assert all(row.p is None and row.p_adjusted is None and row.verdict in ("equivalent", "inconclusive") for row in found.metrics)
    assert any("fewer than 6" in note and "the gate cannot fail" in note for note in found.notes)
    assert not compare(one, other, fail_on=("inconclusive",)).passed


def test_what_got_worse_fails_the_gate_and_is_named_with_its_cells(sound: Path, broken: Path) -> None:
    found = compare(sound, broken)
    rows = by_name(found)
    assert rows["rep_4"].verdict == rows["distinct_2"].verdict == "worse"
    assert not found.passed
    assert headline(found).startswith("FAILED: ")
    assert any(line.startswith("rep_4 is worse: +") for line in found.objections)
    assert {cell.cell for cell in found.by_cell} == {"temperature=0.5", "temperature=1"}
    assert compare(sound, broken, fail_on=("nothing",)).passed


def test_samples_prefix_and_replicates_are_chosen_over_both_runs_together(tmp_path: Path, sound: Path) -> None:
    def short(request: Request) -> Any:
        return completion(" ".join(str(varied(request).text).split()[:30]))

    other = run(tmp_path / "short", short, replicates=2)
    found = compare(sound, other)
    assert (found.tokens, found.replicates) == (25, 2)
    assert found.words is not None
    assert 2 * 30 <= found.words[0] == found.words[1] <= 2 * 31
    assert compare(sound, sound).tokens == 50
    rows = by_name(found)
    assert rows["distinct_2"].difference == 0  # the same first words of the same answers
    assert rows["rep_2"].n_cells == rows["vendi_ngram"].n_cells == 2
    one_word = run(tmp_path / "label", lambda _: completion("yes"))
    assert compare(sound, one_word).not_compared["rep_2"] == "the answers to no prompt have words enough for it on both sides"


def test_answers_that_are_the_same_do_not_differ_by_who_cut_them(tmp_path: Path) -> None:
    """Scores that another release of regex cut are made anew, also where both runs were cut by different ones."""
    folders = [run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 1))]
    for folder, release in zip(folders, ("", "regex-2026.11.15/"), strict=True):
        rescore(folder)
        written = (folder / "analysis.json").read_text(encoding="utf-8")
        assert UAX29.name in written
        (folder / "analysis.json").write_text(written.replace(UAX29.name, f"uax29-words/{release}nfc/cased"), encoding="utf-8")
    (folders[1] / "scores.parquet").unlink()
    found = compare(*folders)
    assert found.tokenizer == UAX29.name
    assert found.same_answers == found.same_of
    assert all(one.difference == 0 for one in found.metrics)


def test_only_common_cells_and_prompts_count_and_the_others_are_named(tmp_path: Path, sound: Path) -> None:
    other = run(tmp_path / "b", parameters={"temperature": [1.0, 0.5, 1.5]}, prompts=[*PROMPTS[2:], "new`one"])
    found = compare(sound, other)
    assert found.cells == ["temperature=0.5", "temperature=1"]
    assert found.prompts == list(PROMPTS[2:])
    assert found.left_out == [
        "prompts of the baseline alone: 'p0', 'p1'",
        "settings of the candidate alone: 'temperature=1.5'",
        "prompts of the candidate alone: 'new`one'",
    ]
    assert (found.baseline.requests, found.candidate.requests) == (2 * 6 * 3, 2 * 6 * 3)


def test_a_parameter_that_only_one_run_sweeps_is_matched_with_its_fixed_value_in_the_other(tmp_path: Path, sound: Path) -> None:
    other = run(tmp_path / "b", parameters={"temperature": [0.5, 1.0], "top_p": ["default", 0.9]})
    assert compare(sound, other).cells == [f"temperature={at} → temperature={at}, top_p=default" for at in ("0.5", "1")]
    fixed = run(tmp_path / "c", request={"top_p": 0.9})
    assert compare(other, fixed).cells == [f"temperature={at}, top_p=0.9 → temperature={at}" for at in ("0.5", "1")]


def test_the_one_endpoint_of_a_run_is_known_among_the_several_of_another(tmp_path: Path, sound: Path) -> None:
    plain = experiment({"temperature": [0.5, 1.0]}, PROMPTS, 3).resolved()
    several = [{"name": "new", "base_url": "http://127.0.0.1:9/v2", "model": "other"}, {"name": "old", **plain.pop("endpoint")}]
    both = write(tmp_path / "b", check({**plain, "endpoints": several}))
    found = compare(sound, both)
    assert found.cells == [f"temperature={at} → endpoint=old, temperature={at}" for at in ("0.5", "1")]
    assert any("of the candidate alone: 'endpoint=new" in one for one in (*found.notes, *found.left_out))
    assert not any(row.what.startswith(("endpoints.old", "stripped", "prices")) for row in found.differs)
    assert compare(both, sound).cells == [f"endpoint=old, temperature={at} → temperature={at}" for at in ("0.5", "1")]


def test_what_differs_is_said(tmp_path: Path, sound: Path) -> None:
    other = run(
        tmp_path / "b", endpoint={"base_url": "http://127.0.0.1:9/v2", "model": "other"}, request={"max_tokens": 99}, replicates=2, seed=5
    )  # fmt: skip
    rows = {row.what: (row.baseline, row.candidate) for row in compare(sound, other).differs}
    assert rows["model"] == ("none", "other")
    assert rows["endpoint"] == ("http://127.0.0.1:9/v1", "http://127.0.0.1:9/v2")
    assert rows["request.max_tokens"] == ("not set", "99")
    assert rows["replicates"] == ("3", "2")
    assert rows["seed"] == ("0", "5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompts": ["another"]}, "no prompt in common"),
        ({"parameters": {"temperature": [0.1]}}, "no setting in common"),
    ],
)
def test_runs_without_anything_in_common_are_refused(tmp_path: Path, sound: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=f"cannot be compared: .*{words}"):
        compare(sound, run(tmp_path / "b", **change))


def test_a_prompt_that_asks_something_else_under_the_same_id_is_refused(tmp_path: Path) -> None:
    folders = []
    for name, text in (("a", "one"), ("b", "another")):
        data = experiment({"temperature": [1.0]}).resolved()
        data["prompts"][1]["messages"][0]["content"] = text
        folders.append(write(tmp_path / name, check(data)))
    with pytest.raises(RecordError, match="'q' does not ask the same in both; give a changed prompt another id"):
        compare(*folders)


def test_answers_in_another_script_are_refused_and_what_does_not_count_words_is_not(tmp_path: Path, sound: Path) -> None:
    other = run(tmp_path / "b", lambda _: completion("列表是一种有序的集合" * 10))
    with pytest.raises(RecordError, match="8 of 8 prompts are answered in another script \\(Chinese or Japanese instead of Latin\\)"):
        compare(sound, other)
    assert by_name(compare(sound, other, metrics=["length_chars", "truncation_rate"])).keys() == {"length_chars", "truncation_rate"}


def test_runs_scored_with_different_tokenisers_are_refused_until_one_is_named(tmp_path: Path) -> None:
    folders = [run(tmp_path / name) for name in ("a", "b")]
    rescore(folders[0])
    rescore(folders[1], tokenizer="whitespace")
    with pytest.raises(RecordError, match=r"different tokenisers .*give a tokenizer"):
        compare(*folders)
    assert compare(*folders, tokenizer="whitespace").tokenizer == "whitespace/cased"
    rescore(folders[0], tokenizer="whitespace")
    assert compare(*folders).tokenizer == "whitespace/cased"


def test_a_side_without_answers_is_refused_with_its_failures(tmp_path: Path, sound: Path) -> None:
    dead = run(tmp_path / "dead", lambda _: failure("auth"))
    with pytest.raises(RecordError, match="none of the 48 requests of the candidate has an answer \\(48 auth\\)"):
        compare(sound, dead)
    (tmp_path / "empty").mkdir()
    for folder, words in ((tmp_path / "empty", "no run.json"), (tmp_path / "nowhere", "no such results folder")):
        with pytest.raises(RecordError, match=words):
            compare(sound, folder)


def test_failures_are_counted_told_and_judged_when_asked_for(tmp_path: Path, sound: Path) -> None:
    def some(request: Request) -> Any:
        return failure("timeout") if request.replicate == 0 and request.prompt_index < 3 else varied(request)

    other = run(tmp_path / "b", some)
    found = compare(sound, other)
    assert found.candidate.failures == {"timeout": 6}
    assert any("6 of the candidate's 48 requests have no answer" in note for note in found.notes)
    assert found.passed
    failing = compare(sound, other, fail_on=("failures", "incomplete"))
    assert failing.objections == [
        "more failures of kind timeout: 6 of 48 requests, 0 of 48 before",
        "the candidate is incomplete: 42 of 48 requests have an answer",
    ]
    assert compare(other, sound, fail_on=("failures", "incomplete")).passed


def test_time_and_cost_are_judged_only_where_a_margin_is_given(tmp_path: Path) -> None:
    def slow(request: Request) -> Any:
        return msgspec.structs.replace(
            varied(request), latency_s=5.0 + request.prompt_index / 100, usage=Usage(prompt_tokens=10, completion_tokens=90)
        )

    def fast(request: Request) -> Any:
        return msgspec.structs.replace(varied(request), usage=Usage(prompt_tokens=10, completion_tokens=40))

    endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "prices": {"input": 1.0, "output": 2.0}}
    one, other = run(tmp_path / "a", fast, endpoint=endpoint), run(tmp_path / "b", slow, endpoint=endpoint)
    found = compare(one, other)
    assert found.passed
    rows = by_name(found)
    assert rows["latency_s"].verdict == rows["cost"].verdict == "worse"
    assert not rows["latency_s"].gated
    assert rows["cost"].baseline == pytest.approx((10 + 2 * 40) / 1e6)
    assert found.candidate.cost == pytest.approx(48 * (10 + 2 * 90) / 1e6)
    judged_too = compare(one, other, margins=margins(None, ["latency_s=20 %", "cost=1e-6"]))
    assert {line.split()[0] for line in judged_too.objections} == {"latency_s", "cost"}
    assert by_name(judged_too)["latency_s"].margin == pytest.approx(0.1)


def test_costs_in_two_currencies_are_not_compared(tmp_path: Path) -> None:
    folders = []
    for currency in ("USD", "EUR"):
        endpoint = {"base_url": "http://127.0.0.1:9/v1", "model": "none", "prices": {"input": 1.0, "output": 2.0, "currency": currency}}
        folders.append(run(tmp_path / currency, endpoint=endpoint))
    found = compare(*folders)
    assert "cost" not in by_name(found)
    assert "one currency" in found.not_compared["cost"]


def test_a_cell_is_compared_with_another_of_the_same_run_or_of_another(tmp_path: Path, sound: Path, broken: Path) -> None:
    found = compare(sound, cells=["0", "temperature=1.0"])
    assert found.cells == ["temperature=0.5 → temperature=1"]
    assert [row.what for row in found.differs] == ["cell"]
    assert (found.baseline.requests, found.candidate.requests) == (24, 24)
    assert compare(sound, broken, cells=["temperature=0.5"]).cells == ["temperature=0.5"]
    crossed = compare(sound, broken, cells=["1", "0"])
    assert crossed.cells == ["temperature=1 → temperature=0.5"]
    named = run(tmp_path / "list", cells={"cold, odd": {"temperature": 0}, "warm": {"temperature": 1.2, "top_p": 0.9}}, parameters={})
    assert compare(named, cells=["cold, odd", "warm"]).cells == ["cold, odd → warm"]
    assert compare(named, cells=["warm", "temperature=0,top_p=default"]).cells == ["warm → cold, odd"]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["0"], "one run and 1 setting"),
        (["0", "0"], "two different ones"),
        (["0", "9"], "the settings 0 to 1"),
        (["0", "temperature=3"], "no setting of this run fits"),
        (["0", "top_q=3"], "expected a number below 2, temperature=LEVEL"),
        (["0", "1", "0"], "one run and 3 settings"),
    ],
)
def test_a_cell_that_is_none_is_refused(sound: Path, cells: list[str], words: str) -> None:
    with pytest.raises(ExperimentError, match=words):
        compare(sound, cells=cells)


def test_the_experiment_says_which_way_is_better(tmp_path: Path) -> None:
    choose = {"prefer": {"distinct_2": {"goal": "minimize"}, "length_words": {"goal": "minimize"}, "self_bleu_4": {"goal": "target", "target": 0.3}}}
    one, other = run(tmp_path / "a", choose=choose), run(tmp_path / "b", repetitive, choose=choose)
    rows = by_name(compare(one, other))
    assert (rows["distinct_2"].better, rows["distinct_2"].verdict) == ("lower", "better")
    assert rows["length_words"].gated
    assert (rows["self_bleu_4"].better, rows["self_bleu_4"].gated) == (None, False)


@pytest.mark.parametrize(
    ("choose", "ways"),
    [
        ({"profile": "creative"}, {"distinct_1": "higher", "self_bleu_4": "lower", "exact_duplicates": "lower", "hdd_42": None, "rep_2": "lower"}),
        ({"profile": "precise"}, {"distinct_1": "lower", "self_bleu_4": "higher", "exact_duplicates": "higher", "hdd_42": None, "rep_2": "lower"}),
        ({"profile": "brief"}, {"distinct_2": None, "length_words": "lower", "length_tokens": "lower", "rep_2": "lower", "loop_rate": "lower"}),
        ({"prefer": {"distinct_2": {"goal": "minimize"}, "vendi_ngram": {"goal": "maximize"}}}, {"distinct_2": "lower", "distinct_1": None}),
        ({"prefer": {"latency_s": {"goal": "minimize"}}}, {"tokens_per_s": "higher", "time_to_first_token_s": "lower", "distinct_1": None}),
        (None, {"distinct_1": "higher", "hdd_42": "higher", "length_words": None, "rep_2": "lower"}),
    ],
)
def test_siblings_of_a_metric_go_the_same_way(choose: Any, ways: dict[str, Any]) -> None:
    judging = experiment(**({} if choose is None else {"choose": choose}))
    found = directions(judging, list(CATALOGUE.values()))
    assert {name: found[name] for name in ways} == ways


def test_no_table_calls_more_variety_better_and_worse(tmp_path: Path) -> None:
    choose = {"profile": "precise"}
    found = compare(run(tmp_path / "a", choose=choose), run(tmp_path / "b", repetitive, choose=choose))
    less = {"distinct_1": -1, "distinct_2": -1, "vendi_ngram": -1, "self_bleu_4": 1, "self_rouge_l": 1, "exact_duplicates": 1}
    rows = [one for one in found.metrics if one.metric in less and one.verdict in ("better", "worse")]
    assert rows
    assert {one.verdict for one in rows if one.difference * less[one.metric] > 0} <= {"better"}


def test_margins_go_before_each_other(tmp_path: Path) -> None:
    one, other = run(tmp_path / "a"), run(tmp_path / "b", margins={"distinct_1": 0.5, "distinct_2": 0.5, "rep_4": 0.5})
    file = tmp_path / "margins.yaml"
    file.write_text("distinct_1: 0.3\ndistinct_2: 3 %\n", encoding="utf-8")
    rows = by_name(compare(one, other, margins=margins(file, ["distinct_1=0.1"])))
    assert (rows["distinct_1"].margin, rows["distinct_1"].margin_from) == (0.1, "--margin")
    assert rows["distinct_2"].margin == pytest.approx(0.03 * rows["distinct_2"].baseline)
    assert rows["distinct_2"].margin_from == str(file)
    assert (rows["rep_4"].margin, rows["rep_4"].margin_from) == (0.5, "the experiment")
    assert (rows["loop_rate"].margin, rows["loop_rate"].margin_from) == (0.02, "0-1 scale")


@pytest.mark.parametrize("text", ["distinct_2", "distinct_2=", "=0.1", "distinct_2=0", "distinct_2=-1", "distinct_2=much", "m=.nan", "x=true"])
def test_a_margin_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ExperimentError, match="--margin"):
        margins(None, [text])


def test_a_margin_of_a_metric_that_is_not_measured_is_refused_with_the_nearest(sound: Path) -> None:
    with pytest.raises(ExperimentError, match="--margin: 'distinct2': these runs do not measure that; did you mean 'distinct_2'"):
        compare(sound, sound, margins=margins(None, ["distinct2=0.1"]))


def test_a_file_of_margins_tells_all_its_faults(tmp_path: Path) -> None:
    file = tmp_path / "margins.yaml"
    file.write_text("distinct_2: -1\nrep_4: [1]\n", encoding="utf-8")
    with pytest.raises(ExperimentError) as caught:
        margins(file)
    assert str(caught.value).count("expected a number above 0") == 2
    file.write_text("- 1\n", encoding="utf-8")
    with pytest.raises(ExperimentError, match="expected a mapping"):
        margins(file)


def test_what_a_gate_fails_on_is_chosen_by_name() -> None:
    assert fail_on([]) == ("worse",)
    assert fail_on([], strict=True) == ("worse", "inconclusive")
    assert fail_on(["failures, worse", "differs"]) == ("worse", "differs", "failures")
    for wrong in (["bad"], ["nothing", "worse"], ["nothing,failures"]):
        with pytest.raises(ExperimentError, match=r"^fail_on: "):
            fail_on(wrong)
    with pytest.raises(ExperimentError, match=r"^fail_on: "):
        fail_on(["nothing"], strict=True)


def test_a_metric_without_a_direction_fails_only_a_gate_on_what_differs(tmp_path: Path, sound: Path) -> None:
    longer = run(tmp_path / "b", lambda request: completion(f"{varied(request).text} " + "more words here " * (8 + request.prompt_index % 2)))
    found = compare(sound, longer)
    assert by_name(found)["length_words"].verdict == "differs"
    assert not [line for line in found.objections if line.startswith("length")]
    assert [line for line in compare(sound, longer, fail_on=("differs",)).objections if line.startswith("length_words differs")]


def test_checks_and_expectations_are_the_candidates(tmp_path: Path) -> None:
    one = run(tmp_path / "a")
    other = run(tmp_path / "b", checks=[{"contains": "the"}])
    found = compare(one, other)
    row = next(row for row in found.metrics if row.metric.startswith("contains"))
    assert row.n_prompts == len(PROMPTS)
    assert any("judged by those of the candidate" in note for note in found.notes)


def test_the_tables_of_the_sweeps_say_the_same_as_scoring_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [run(tmp_path / name, checks=[{"contains": "the"}], **more) for name, more in (("a", {}), ("b", {"seed": 1}))]
    afresh = compare(*folders)
    for folder in folders:
        rescore(folder)
    with monkeypatch.context() as patched:
        patched.setattr(measurement, "cut", None)  # scoring anew would need it
        assert compare(*folders) == afresh
    # An answer more, and the tables are those of other answers.
    (folders[1] / "responses.jsonl").write_bytes((folders[1] / "responses.jsonl").read_bytes().replace(b"the", b"they"))
    changed = compare(*folders)
    assert by_name(changed)["length_chars"].difference != by_name(afresh)["length_chars"].difference


@pytest.mark.parametrize("spoil", ["analysis.json", "scores.parquet", "run.json"])
def test_tables_that_are_spoiled_or_of_another_version_are_not_used(tmp_path: Path, spoil: str) -> None:
    folders = [run(tmp_path / "a"), run(tmp_path / "b", seed=1)]
    afresh = compare(*folders)
    for folder in folders:
        rescore(folder)
    path = folders[1] / spoil
    if spoil == "run.json":
        data = json.loads(path.read_text(encoding="utf-8"))
        data["versions"]["evalkit"] = "0.0.1"
        path.write_text(json.dumps(data), encoding="utf-8")
    else:
        path.write_bytes(b"no " + path.read_bytes()[:100])
    found = compare(*folders)
    assert found.metrics == afresh.metrics


def test_comparing_changes_nothing_and_reads_folders_that_cannot_be_written(sound: Path) -> None:
    before = {path.name: path.read_bytes() for path in sound.iterdir()}
    os.chmod(sound, 0o500)  # noqa: PTH101
    try:
        compare(sound, sound)
    finally:
        os.chmod(sound, 0o700)  # noqa: PTH101
    assert {path.name: path.read_bytes() for path in sound.iterdir()} == before


def test_a_run_that_is_still_being_written_can_be_compared(tmp_path: Path, sound: Path) -> None:
    other = run(tmp_path / "b")
    with (other / "responses.jsonl").open("ab") as file:
        file.write(b'{"v":1,"key":"torn')
    with locked(other):
        assert compare(sound, other).passed


def test_objections_are_a_function_of_what_was_found(sound: Path, broken: Path) -> None:
    found = compare(sound, broken)
    assert objections(found) == found.objections


@pytest.mark.parametrize(
    ("one", "other", "told"),
    [
        ({"request": {"seed": "per_replicate"}, "seed": 1}, {"request": {"seed": "per_replicate"}, "seed": 2}, False),
        ({"request": {"seed": 4}}, {"request": {"seed": 5}}, True),
        ({"request": {"seed": "per_replicate"}, "seed": 1}, {"request": {"seed": "per_replicate"}, "seed": 1}, False),
        ({"request": {"seed": "per_replicate"}, "seed": 1}, {"seed": 2}, False),
        ({"seed": 1}, {"seed": 2}, False),
    ],
)
def test_seeds_that_make_prompts_depend_on_each_other_are_told(tmp_path: Path, one: dict[str, Any], other: dict[str, Any], told: bool) -> None:
    found = compare(run(tmp_path / "a", **one), run(tmp_path / "b", **other))
    assert any("one seed to all prompts" in note for note in found.notes) == told
