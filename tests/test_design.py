"""Cells: every combination of levels once, those that cannot differ merged."""

from __future__ import annotations

from math import prod

from hypothesis import given
from hypothesis import strategies as st

from evalkit.design import body_of, grid
from evalkit.parameters import VOID_AT_TEMPERATURE_0, canonical

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
    assert grid({}, {"temperature": 0}) == (({},), 1, ())


def test_top_p_is_void_at_temperature_0_and_its_levels_are_one_cell_there():
    design = grid({"temperature": [0, 1.0], "top_p": ["default", 0.9]}, {})
    assert design.cells == ({"temperature": 0, "top_p": None}, {"temperature": 1.0, "top_p": "default"}, {"temperature": 1.0, "top_p": 0.9})
    assert design.combinations == 4
    assert design.merged == ("at temperature 0 top_p has no effect, so its 2 levels are one cell there",)


def test_a_fixed_temperature_of_0_makes_the_swept_void_too():
    design = grid({"top_p": [0.5, 0.9], "min_p": [0.1], "max_tokens": [1, 2]}, {"temperature": 0.0})
    assert design.cells == ({"top_p": None, "min_p": None, "max_tokens": 1}, {"top_p": None, "min_p": None, "max_tokens": 2})
    assert design.merged == ("at temperature 0 top_p has no effect, so its 2 levels are one cell there",)


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
