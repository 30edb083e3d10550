"""What stands on a metric's line: all that is shown of it and judged by it, and true of its worked examples."""

from __future__ import annotations

import ast
import math
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import pytest
from support.process import ROOT

from evalkit.experiment.judges import Judge
from evalkit.experiment.margins import fault_of_margin
from evalkit.metrics import CATALOGUE, RECORDED, Metric, checks, digits
from evalkit.metrics.metric import UNITS
from evalkit.scoring.gather import metric_of

JUDGE = Judge.model_validate(
    {"name": "helpful", "rubric": "Does it help?", "scale": {"min": 1, "max": 5}, "endpoint": {"base_url": "local", "model": "m"}}
)
OWN = [
    checks.metric("is_json"),
    checks.metric({"contains": "a text"}),
    JUDGE.metric(),
    metric_of("funny", "response", None, lambda group: group.lengths.astype(float)),
]


def _page() -> Any:
    spec = spec_from_file_location("metrics_page", ROOT / "docs/metrics.py")
    assert spec is not None
    assert spec.loader is not None
    page = module_from_spec(spec)
    spec.loader.exec_module(page)
    return page


@pytest.fixture(scope="module")
def examples() -> dict[str, float]:
    """The values of the worked examples, on the page of metrics."""
    found: dict[str, float] = _page()._examples()
    return found


@pytest.mark.parametrize("metric", [*CATALOGUE.values(), *OWN], ids=lambda one: one.name)
def test_a_metric_says_what_it_is(metric: Metric) -> None:
    assert metric.label.strip()
    assert metric.label != metric.name if metric.name in CATALOGUE else metric.label == metric.name.replace("_", " ")
    assert metric.unit in UNITS
    assert 0 <= metric.digits <= 6
    assert metric.low < metric.high
    assert metric.margin is None or fault_of_margin(metric.margin) is None
    assert metric.heading.count("\n") <= 1
    if metric.unit == "share":
        assert (metric.low, metric.high) == (0, 1)


@pytest.mark.parametrize("name", CATALOGUE)
def test_bounds_hold_the_worked_examples(name: str, examples: dict[str, float]) -> None:
    metric = CATALOGUE[name]
    assert metric.margin is not None
    assert metric.low <= examples[name] <= metric.high


def test_labels_and_headings_tell_metrics_apart() -> None:
    assert len({metric.label for metric in CATALOGUE.values()}) == len(CATALOGUE)
    headings = [metric.heading or metric.name for metric in CATALOGUE.values()]
    assert len(set(headings)) == len(headings)


def test_margins_are_numbers_on_scales_that_end_and_shares_elsewhere() -> None:
    for metric in CATALOGUE.values():
        assert isinstance(metric.margin, str) == math.isinf(metric.high), metric.name


def test_only_what_records_tell_is_not_gated_by_itself() -> None:
    assert {metric for metric in CATALOGUE.values() if not metric.gated} == set(RECORDED)


def test_what_is_not_in_the_catalogue_is_shown_like_a_share() -> None:
    assert digits("length_of_their_own") == digits("distinct_1") == 3
    assert digits("length_words") == 1


def test_nobody_tells_a_metric_by_how_its_name_begins_or_ends() -> None:
    """A name may be looked up in the catalogue; nothing is guessed from its letters."""
    ends = {end for name in CATALOGUE for end in (name.partition("_")[0], f"{name.partition('_')[0]}_", f"_{name.rpartition('_')[2]}")}
    guesses = []
    for path in sorted((ROOT / "evalkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("startswith", "endswith", "removesuffix"):
                said = [one.value for argument in node.args for one in ast.walk(argument) if isinstance(one, ast.Constant)]
                guesses += [f"{path}:{node.lineno}: {text!r}" for text in said if text in ends]
    assert guesses == []


def test_a_family_holds_what_goes_together() -> None:
    families: dict[str, set[str]] = {}
    for one in CATALOGUE.values():
        families.setdefault(one.family, set()).add(one.name)
    assert families["length"] == {"length_tokens", "length_words", "length_chars"}
    assert families["speed"] == {"latency_s", "time_to_first_token_s", "tokens_per_s"}
    assert families["cost"] == {"cost"}
    # Over the replicates all is variety; what alone stands in no family has no sibling that a wish could be about.
    assert families["variety"] >= {one.name for one in CATALOGUE.values() if one.level == "group"}
    assert families["repetition"] >= {"rep_2", "rep_4", "loop_rate", "loop_tail", "duplicate_lines"}
    assert families[""] == {"truncation_rate", "empty_rate", "loop_start_token"}
