"""Contrasts and shares of a design: equal to hand counts, to Montgomery's and Ishigami's, and to statsmodels' type II analysis of variance."""

from __future__ import annotations

import json
import math
from itertools import combinations, product

import numpy as np
import pytest
from support.process import ROOT

from evalkit.stats.factorial import Decomposition, contexts, differences, fractional, interactions

GOLDEN = {case["metric"]: case for case in json.loads((ROOT / "tests/golden/statistics.json").read_text(encoding="utf-8"))}
NAN = math.nan


def full(*sizes: int) -> np.ndarray:
    return np.array(list(product(*map(range, sizes))))


def whole(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape, dtype=bool)


def test_montgomerys_filtration_rates_give_his_effects_and_shares() -> None:
    case = GOLDEN["2^4 factorial effects"]
    y = np.array(case["inputs"]["y"])[:, None]
    codes = ((np.arange(16)[:, None] >> np.arange(4)[None, :]) & 1).astype(np.int64)  # Yates' order
    for name, expected in case["expected"]["effects"].items():
        places = ["ABCD".index(letter) for letter in name.split(":")]
        if len(places) == 1:
            found = differences(y, codes, places[0])
            assert found.pairs == [(0, 1)]
            assert found.values[0, 0] == pytest.approx(expected, abs=1e-9)
        else:
            assert interactions(y, codes, *places).values[0, 0] / 2 == pytest.approx(expected, abs=1e-9)  # Montgomery halves it
    shares = Decomposition(codes, whole(y)).of(y)
    assert shares.total == pytest.approx(case["expected"]["SS_total"])
    assert shares.terms[0].share == pytest.approx(case["expected"]["share_A"], abs=1e-9)
    assert sum(one.share for one in shares.terms) + shares.left_over == pytest.approx(1.0)
    assert shares.higher == pytest.approx(shares.left_over)  # without prompts all that is left are higher interactions


def test_shares_on_a_grid_are_ishigamis_sobol_indices() -> None:
    case = GOLDEN["Sobol indices Ishigami"]
    a, b = case["inputs"]["a"], case["inputs"]["b"]
    coarse = full(8, 8, 16)
    x = -np.pi + (coarse + 0.5) * 2 * np.pi / [8, 8, 16]
    y = (np.sin(x[:, 0]) + a * np.sin(x[:, 1]) ** 2 + b * x[:, 2] ** 4 * np.sin(x[:, 0]))[:, None]
    found = {one.factors: one.share for one in Decomposition(coarse, whole(y)).of(y).terms}
    assert [found[one,] for one in range(3)] == pytest.approx(case["expected"]["S1_exact"], abs=case["tolerance"])
    total = [sum(share for factors, share in found.items() if factor in factors) for factor in range(3)]
    assert total == pytest.approx(case["expected"]["ST_exact"], abs=case["tolerance"])


def test_the_five_parameter_fraction_is_box_and_hunters() -> None:
    design = 2 * fractional(5) - 1
    assert len(design) == GOLDEN["2^(5-1)_V fractional factorial"]["expected"]["runs"]
    assert (design.prod(axis=1) == 1).all()
    assert len({tuple(row) for row in design.tolist()}) == 16


@pytest.mark.parametrize(("factors", "cells"), [(1, 2), (2, 4), (3, 8), (4, 16), (5, 16), (6, 32), (7, 64), (8, 64)])
def test_fractions_keep_main_effects_and_pairs_apart(factors: int, cells: int) -> None:
    design = 2 * fractional(factors) - 1
    assert len(design) == cells
    columns = [design[:, [one]].prod(axis=1) for one in range(factors)] + [
        design[:, list(pair)].prod(axis=1) for pair in combinations(range(factors), 2)
    ]
    gram = np.array(columns) @ np.array(columns).T
    assert (gram == cells * np.eye(len(columns))).all()


@pytest.mark.parametrize("factors", [0, 9])
def test_fractions_of_no_or_too_many_factors_are_refused(factors: int) -> None:
    with pytest.raises(ValueError, match="one to eight"):
        fractional(factors)


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("void", [False, True])
def test_sums_of_squares_are_those_of_statsmodels_type_2(missing: float, void: bool) -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(5)
    codes = full(3, 2, 2)
    if void:  # dropped cells leave an unbalanced design
        codes = np.delete(codes, [1, 6], axis=0)
    values = rng.normal(size=(len(codes), 7)) + codes[:, [0]] * 0.7 + codes[:, [0]] * codes[:, [1]] + rng.normal(size=7)
    values[rng.random(values.shape) < missing] = NAN
    rows = [
        {"y": values[cell, prompt], "a": str(codes[cell, 0]), "b": str(codes[cell, 1]), "c": str(codes[cell, 2]), "prompt": str(prompt)}
        for cell in range(len(codes))
        for prompt in range(7)
        if not math.isnan(values[cell, prompt])
    ]
    table = anova_lm(ols("y ~ C(prompt) + (C(a, Sum) + C(b, Sum) + C(c, Sum))**2", pd.DataFrame(rows)).fit(), typ=2)
    shares = Decomposition(codes, ~np.isnan(values)).of(values)
    names = {(0,): "C(a, Sum)", (1,): "C(b, Sum)", (2,): "C(c, Sum)"}
    names |= {(one, other): f"{names[one,]}:{names[other,]}" for one, other in combinations(range(3), 2)}
    assert {one.factors for one in shares.terms} == set(names)
    for one in shares.terms:
        assert one.squares == pytest.approx(table.loc[names[one.factors], "sum_sq"], rel=1e-8)
        assert one.df == table.loc[names[one.factors], "df"]
    assert shares.left_over * shares.total == pytest.approx(table.loc["Residual", "sum_sq"], rel=1e-8)


def test_a_void_cell_stands_beside_every_level_of_what_is_void() -> None:
    # temperature 0 with top_p void; temperature 1 with top_p at two levels.
    codes = np.array([[0, -1], [1, 0], [1, 1]])
    assert sorted(map(tuple, contexts(codes, 0).tolist())) == [(0, 1), (0, 2)]
    assert contexts(codes, 1).tolist() == [[1, 2]]  # at temperature 0 nothing can be compared
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    assert differences(values, codes, 0).values.tolist() == [[2.0], [20.0]]
    assert differences(values, codes, 1).values.tolist() == [[2.0], [20.0]]
    assert interactions(values, codes, 0, 1).pairs == []


def test_marginal_differences_are_means_over_what_a_prompt_has() -> None:
    codes = full(2, 2)
    values = np.array([[1.0, 1.0], [5.0, NAN], [2.0, 4.0], [8.0, 9.0]])
    found = differences(values, codes, 0)
    assert found.values[:, 0].tolist() == [(1 + 3) / 2, 3.0]  # the second prompt has one context only
    simple = differences(values, codes, 0, where=(1, 1))
    assert simple.values[0, 0] == 3.0
    assert math.isnan(simple.values[1, 0])
    assert interactions(values, codes, 0, 1).values[0, 0] == 2.0


def test_regression_allows_for_the_others_where_no_cells_match() -> None:
    codes = fractional(5)
    assert len(contexts(codes, 0)) == 0
    signed = 2 * codes - 1
    rng = np.random.default_rng(2)
    values = (signed @ [1.0, -2.0, 0.5, 0.0, 3.0] + 0.7 * signed[:, 0] * signed[:, 3])[:, None] + rng.normal(size=6)
    for factor, expected in enumerate([2.0, -4.0, 1.0, 0.0, 6.0]):
        found = differences(values, codes, factor)
        assert found.by_regression
        assert found.values[:, 0] == pytest.approx(expected)
    pair = interactions(values, codes, 0, 3)
    assert pair.by_regression
    assert pair.values[:, 0] == pytest.approx(2.8)
    assert interactions(values, codes, 1, 2).values[:, 0] == pytest.approx(0.0, abs=1e-9)


def test_what_the_design_cannot_tell_is_not_told() -> None:
    codes = np.array([[0, 0], [1, 1]])  # both factors change together
    values = np.array([[1.0, 2.0], [2.0, 4.0]])
    assert differences(values, codes, 0).pairs == []
    assert Decomposition(codes, whole(values)).of(values).terms == []


def test_values_without_spread_have_no_shares() -> None:
    values = np.full((4, 3), 0.25)
    shares = Decomposition(full(2, 2), whole(values)).of(values)
    assert (shares.total, shares.left_over) == (0.0, 0.0)
    assert [one.share for one in shares.terms] == [0.0, 0.0, 0.0]
