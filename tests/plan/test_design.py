"""Cells: every combination of levels once, those that cannot differ merged."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.experiment.experiment import check
from evalkit.experiment.parameters import VOID_AT_TEMPERATURE_0, canonical
from evalkit.plan.design import body_of, design_of, from_defaults, grid, nearest_default

LEVELS = {
    "temperature": st.sampled_from(["default", 0, 0.0, 0.5, 1, 2]),
    "top_p": st.sampled_from(["default", 0, 0.5, 0.9, 1]),
    "top_k": st.sampled_from(["default", 1, 50]),
    "stop": st.sampled_from(["default", "a", ["a"], ["a", "b"]]),
    "frequency_penalty": st.sampled_from([0, 1.5]),
}
DESIGNS = st.fixed_dictionaries(
    {}, optional={name: st.lists(level, min_size=1, max_size=3, unique_by=lambda one: repr(canonical(one))) for name, level in LEVELS.items()}
)


def test_a_grid_is_every_combination_in_the_order_of_the_file():
    design = grid({"temperature": [0.5, 1], "stop": ["default", "x"]}, {})
    assert design.cells == (
        {"temperature": 0.5, "stop": "default"},
        {"temperature": 0.5, "stop": "x"},
        {"temperature": 1, "stop": "default"},
        {"temperature": 1, "stop": "x"},
    )
    assert (design.combinations, design.merged) == (4, ())


def test_without_parameters_there_is_one_cell():
    assert grid({}, {"temperature": 0}) == (({},), 1, (), (), ())


def test_top_p_is_void_at_temperature_0_and_its_levels_are_one_cell_there():
    design = grid({"temperature": [0, 1.0], "top_p": ["default", 0.9]}, {})
    assert design.cells == ({"temperature": 0, "top_p": None}, {"temperature": 1.0, "top_p": "default"}, {"temperature": 1.0, "top_p": 0.9})
    assert design.combinations == 4
    assert design.merged == ("at temperature 0 top_p has no effect, so its 2 levels are one setting there",)


def test_a_fixed_temperature_of_0_makes_the_swept_void_too():
    design = grid({"top_p": [0.5, 0.9], "min_p": [0.1], "max_tokens": [1, 2]}, {"temperature": 0.0})
    assert design.cells == ({"top_p": None, "min_p": None, "max_tokens": 1}, {"top_p": None, "min_p": None, "max_tokens": 2})
    assert design.merged == ("at temperature 0 top_p has no effect, so its 2 levels are one setting there",)


def test_the_default_is_not_the_level_that_is_documented_as_the_default():
    design = grid({"temperature": ["default", 1], "top_p": ["default", 1]}, {})
    assert len(design.cells) == 4
    assert [body_of(cell, {}) for cell in design.cells] == [{}, {"top_p": 1}, {"temperature": 1}, {"temperature": 1, "top_p": 1}]


def test_a_true_level_is_not_the_level_1():
    assert len(grid({"echo": [1, True, "1", "true"]}, {}).cells) == 4


@given(DESIGNS)
def test_every_combination_has_its_cell_and_no_two_cells_are_alike(levels):
    design = grid(levels, {})
    assert design.combinations == prod(map(len, levels.values()))
    assert len({repr(sorted(cell.items())) for cell in design.cells}) == len(design.cells) <= design.combinations
    for cell in design.cells:
        assert list(cell) == list(levels)
        assert all(level in levels[name] or (level is None and name in VOID_AT_TEMPERATURE_0) for name, level in cell.items())
        assert all((cell[name] is None) == (cell.get("temperature") == 0) for name in VOID_AT_TEMPERATURE_0 if name in cell)
    assert (len(design.cells) < design.combinations) == bool(design.merged)


@given(DESIGNS, st.data())
def test_a_body_is_the_same_wherever_its_parameters_stand(levels, data):
    for cell in grid(levels, {}).cells:
        fixed = {name: level for name, level in cell.items() if level not in (None, "default")}
        swept = data.draw(st.sets(st.sampled_from(sorted(fixed)))) if fixed else set()
        parts = {name: [fixed[name]] for name in swept}, {name: level for name, level in fixed.items() if name not in swept}
        (moved,) = grid(*parts).cells
        assert body_of(moved, parts[1]) == body_of(cell, {}) == fixed


def test_what_is_void_is_left_out_of_the_body_fixed_or_swept():
    fixed = {"top_p": 0.9, "seed": 1}
    assert body_of({"temperature": 0}, fixed) == {"temperature": 0, "seed": 1}
    assert body_of({"temperature": 1}, fixed) == {"temperature": 1, "top_p": 0.9, "seed": 1}
    assert body_of({"temperature": "default"}, fixed) == fixed
    assert body_of({"top_p": None}, {"temperature": 0.0}) == {"temperature": 0.0}
    assert fixed == {"top_p": 0.9, "seed": 1}


# Other designs


def designed(parameters=None, **more):
    data = {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}], "parameters": parameters or {}}
    return design_of(check({key: value for key, value in (data | more).items() if value}))


def test_named_cells_are_the_cells_and_what_they_lack_is_left_out():
    cells = {"warm": {"temperature": 1.2, "top_p": 0.9}, "cold": {"temperature": 0, "top_p": 0.5}, "plain": {}}
    found = designed(design="list", cells=cells)
    assert [dict(cell) for cell in found.cells] == [
        {"temperature": 1.2, "top_p": 0.9},
        {"temperature": 0, "top_p": None},
        {"temperature": "default", "top_p": "default"},
    ]
    assert body_of(found.cells[2], {}) == {}
    assert found.names == ("warm", "cold", "plain")


def test_cells_that_cannot_differ_are_one_and_bear_the_first_name():
    found = designed(
        design="list", cells={"cold": {"temperature": 0, "top_p": 0.5}, "warm": {"temperature": 1}, "cool": {"temperature": 0.0, "top_p": 1}}
    )
    assert found.names == ("cold", "warm")
    assert len(found.cells) == 2


def test_an_experiment_with_named_cells_reads_back_as_itself():
    data = {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}]}
    experiment = check({**data, "cells": {"one": {"temperature": 1}, "two": {"temperature": 2.0}}, "reference": "two"})
    assert check(experiment.resolved()) == experiment


def test_one_at_a_time_has_the_base_and_every_other_level_by_itself():
    found = designed({"temperature": [0.5, 1.0, 1.5], "top_p": ["default", 0.9], "max_tokens": [50, 100]}, design="one_at_a_time")
    assert found.cells[0] == {"temperature": 1.0, "top_p": "default", "max_tokens": 100}
    assert len(found.cells) == 1 + 2 + 1 + 1
    assert all(sum(cell[name] != found.cells[0][name] for name in cell) == 1 for cell in found.cells[1:])
    assert "cannot see interactions" in found.beware[0]
    based = designed({"temperature": [0.5, 1.0], "top_p": [0.5, 0.9]}, design="one_at_a_time", reference={"temperature": 0.5})
    assert based.cells[0] == {"temperature": 0.5, "top_p": 0.9}


def test_five_parameters_at_two_levels_make_sixteen_cells():
    levels = {"temperature": [0.5, 1], "top_p": [0.5, 0.9], "frequency_penalty": [0, 1], "presence_penalty": [0, 1], "max_tokens": [50, 100]}
    found = designed({**levels, "min_p": [0.1]}, design="fractional")
    assert len(found.cells) == 16
    assert all(cell["min_p"] == 0.1 for cell in found.cells)
    assert "aliased" in found.beware[0]
    for name, pair in levels.items():
        assert [sum(cell[name] == level for cell in found.cells) for level in pair] == [8, 8]
    assert designed({"temperature": [0.5, 1], "top_p": [0.5, 0.9]}, design="fractional").beware == ()


def test_a_range_stands_for_its_levels():
    found = designed({"temperature": {"min": 0.1, "max": 0.7, "step": 0.2}, "max_tokens": {"min": 50, "max": 100, "step": 25}})
    assert [cell["temperature"] for cell in found.cells[::3]] == [0.1, 0.3, 0.5, 0.7]
    assert [cell["max_tokens"] for cell in found.cells[:3]] == [50, 75, 100]


def test_distance_from_the_defaults_by_hand():
    levels = {"temperature": [0, 0.5, 1.5], "top_p": ["default", 0.9], "max_tokens": [60, 200], "reasoning_effort": ["low", "high"]}
    assert nearest_default("temperature", levels["temperature"]) == 0.5
    cell = {"temperature": 0, "top_p": 0.9, "max_tokens": 60, "reasoning_effort": "high"}
    assert from_defaults(cell, levels) == pytest.approx(1 + 1 + 1 + 1)
    assert from_defaults({"temperature": 0.5, "top_p": None, "max_tokens": 200, "reasoning_effort": "low"}, levels) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"design": "list"}, "design: list needs named settings"),
        ({"design": "latin"}, "design: found 'latin'; expected 'grid', 'list', 'one_at_a_time' or 'fractional'"),
        ({"design": "fractional", "parameters": {"temperature": [0, 1, 2]}}, "parameters.temperature: has 3 levels; design: fractional takes two"),
        ({"design": "fractional", "parameters": {f"p{n}": [0, 1] for n in range(9)}}, "at most eight swept parameters, and there are 9"),
        ({"design": "grid", "cells": {"a": {"temperature": 1}}}, "cells: cells go with design: list"),
        ({"cells": {"a": {"temperature": 9}}}, "cells.a.temperature: found 9; expected a number from 0 to 2"),
        ({"cells": {"a": {"temprature": 1}}}, "cells.a.temprature: unknown parameter; did you mean 'temperature'?"),
        ({"cells": {"a": 3}}, "cells.a: found 3; expected a mapping of parameters to levels"),
        ({"cells": {"a": {"temperature": 1}}, "parameters": {"temperature": [0]}}, "parameters: stands beside 'cells'"),
        ({"cells": {"warm": {"temperature": 1}}, "reference": "worm"}, "reference: found 'worm'; unknown setting; did you mean 'warm'?"),
        ({"parameters": {"temperature": {"min": 0, "max": 1, "step": 0}}}, "parameters.temperature: found min 0, max 1, step 0; expected"),
        ({"parameters": {"temperature": {"min": "a", "max": 1, "step": 1}}}, "min, max and step of a range must be numbers"),
        ({"parameters": {"temperature": {"min": 0, "max": 1, "step": 1e-6}}}, "1,000,001 levels; expected at most 1000"),
        ({"parameters": {"temperature": {"min": 0, "max": 4, "step": 2}}}, "found 4; expected a number from 0 to 2"),
    ],
)
def test_designs_that_make_no_sense_are_told(more, message):
    from evalkit.errors import ExperimentError

    with pytest.raises(ExperimentError) as fault:
        designed(**{"parameters": {}, **more})
    assert message in str(fault.value)
    assert len(str(fault.value).splitlines()) == 1


def test_what_the_endpoint_rejects_leaves_named_cells_and_bases():
    from evalkit.collect.preflight import Checked, without
    from evalkit.errors import EndpointError

    data = {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}]}
    named = check({**data, "cells": {"one": {"temperature": 1}, "two": {"temperature": 2.0}}})
    rejected = [Checked(parameter="temperature", level=2, failure=None)]
    assert [dict(cell) for cell in design_of(without(named, {"": rejected})).cells] == [{"temperature": 1}]
    with pytest.raises(EndpointError, match="every setting under 'cells'"):
        without(named, {"": [*rejected, Checked(parameter="temperature", level=1.0, failure=None)]})
    single = check({**data, "parameters": {"temperature": [0.5, 1, 2]}, "design": "one_at_a_time", "reference": {"temperature": 2}})
    assert [dict(cell) for cell in design_of(without(single, {"": rejected})).cells] == [{"temperature": 1}, {"temperature": 0.5}]
