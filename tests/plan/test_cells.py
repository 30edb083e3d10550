"""Cells are told by their names or levels, and found again by what tells them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import check
from evalkit.plan.cells import cell_named, cell_text, fits
from evalkit.plan.requests import Plan

BASE: dict[str, Any] = {"name": "e", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"}, "prompts": [{"id": "p", "user": "say"}]}
NAMED = {"calm": {"temperature": 0, "top_p": 0.5}, "wild": {"temperature": 1.5}, "cold": {"temperature": 0.0, "top_p": 0.9}}
LEVELS = {
    "temperature": st.sampled_from(["default", 0, 0.5, 1, 2]),
    "top_p": st.sampled_from(["default", 0.5, 1]),
    "stop": st.sampled_from(["a", "b c", ["x", "y"], "1"]),
    "model": st.sampled_from(["1", "one", "a=b", "true"]),
}


def plan(**more: Any) -> Plan:
    return Plan(check({**BASE, **more}))


@given(st.fixed_dictionaries({}, optional={name: st.lists(level, min_size=1, max_size=3, unique_by=str) for name, level in LEVELS.items()}))
def test_a_cell_is_found_by_its_number_and_by_the_levels_that_tell_it(parameters):
    made = plan(parameters=parameters)
    assert made.design.names == ()
    for index, cell in enumerate(made.cells):
        assert cell_named(made, str(index)) == index
        assert fits(cell, cell)
        written = ",".join(f"{name}={json.dumps(level)}" for name, level in cell.items() if level is not None)
        assert not written or cell_named(made, written) == index


@pytest.mark.parametrize(("text", "index"), [("temperature=0.0", 0), ("temperature=1,top_p=0.9", 2), ("2", 2), (" temperature = 0 ", 0)])
def test_levels_name_the_one_cell_they_fit(text, index):
    made = plan(parameters={"temperature": [0, 1], "top_p": [0.5, 0.9]})  # at temperature 0 top_p is void, so that there are three cells
    assert cell_named(made, text) == index
    with pytest.raises(ExperimentError, match="2 settings of this run fit"):
        cell_named(made, "top_p=0.9")


def test_a_text_that_looks_like_something_else_is_found_as_written():
    made = plan(parameters={"model": ["1", "true"]})
    assert [cell_named(made, text) for text in ("model=1", "model=true", "model='true'")] == [0, 1, 1]


def test_a_named_cell_goes_by_its_name_and_one_merged_into_it_by_both():
    made = plan(cells=NAMED)
    assert [cell_text(made, index) for index in range(len(made.cells))] == ["calm", "wild"]
    assert [cell_named(made, text) for text in ("calm", "cold", "wild", "1", "temperature=1.5")] == [0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clam", "setting 'clam': expected a number below 2, calm, wild, cold, temperature=LEVEL, top_p=LEVEL"),
        ("9", "setting '9': this run has the settings 0 to 1"),
        ("temperature=7", "setting 'temperature=7': no setting of this run fits; expected one, like calm"),
    ],
)
def test_what_names_no_cell_is_told_with_what_would(text, said):
    with pytest.raises(ExperimentError) as caught:
        cell_named(plan(cells=NAMED), text)
    assert str(caught.value) == said
