"""Which cells of a design can be held against each other: contrasts of one factor, or of two, with all others alike."""

from __future__ import annotations

import math
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.stats.precision import largest, minus, settled

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
"""Level of each factor in each cell, from 0; -1 where the factor is void there and so has all its levels at once. Shape (cells, factors)."""


class Contrasts(NamedTuple):
    """Differences between levels of one factor, one value a prompt.

    Attributes:
        pairs: (from, to) levels, all pairs that can be compared.
        values: to minus from, NaN where the prompt lacks them; shape (prompts, pairs).
        by_regression: the design has no two cells that differ in this factor alone, so the others were allowed for by least squares.
    """

    pairs: list[tuple[int, int]]
    values: Floats
    by_regression: bool = False


def contexts(codes: Codes, factor: int, chosen: NDArray[np.intp] | None = None) -> Codes:
    """Cells that differ in `factor` alone: a row a combination of the other factors' levels, a column a level, -1 where there is none.

    A cell in which some factor is void stands in every row that fits it.

    Args:
        chosen: numbers of the cells that count; all where None.
    """
    chosen = np.arange(len(codes)) if chosen is None else chosen
    codes = codes[chosen]
    width = int(codes[:, factor].max(initial=-1)) + 1
    if width < 2:
        return np.zeros((0, width), dtype=np.int64)
    rows: dict[tuple[int, ...], list[int]] = {}
    sizes = (codes.max(axis=0, initial=-1) + 1).tolist()
    for index, cell in zip(chosen.tolist(), codes.tolist(), strict=True):
        free = [range(size) if at < 0 else (at,) for at, size in zip(cell, sizes, strict=True)]
        free[factor] = range(width) if cell[factor] < 0 else (cell[factor],)
        for levels in product(*free):
            row = rows.setdefault((*levels[:factor], *levels[factor + 1 :]), [-1] * width)
            row[levels[factor]] = index
    table = np.array(list(rows.values()), dtype=np.int64).reshape(-1, width)
    return table[[len({one for one in row if one >= 0}) > 1 for row in table.tolist()]]


def at_level(codes: Codes, factor: int, level: int) -> NDArray[np.intp]:
    """The cells at a level of `factor`, those among them where it is void."""
    return np.flatnonzero((codes[:, factor] == level) | (codes[:, factor] < 0))


def difference(values: Floats, table: Codes, one: int, other: int) -> Floats | None:
    """Level `other` minus level `one`, each prompt's mean over the contexts of `table` with both, shape (prompts,); None where none has."""
    if max(one, other) >= table.shape[1]:
        return None
    first, second = table[:, one], table[:, other]
    both = (first >= 0) & (second >= 0) & (first != second)
    return _mean_of_rows(minus(values[second[both]], values[first[both]])) if both.any() else None


def differences(values: Floats, codes: Codes, factor: int, where: tuple[int, int] | None = None) -> Contrasts:
    """Differences between the levels of `factor`, each prompt's mean over all contexts in which it has both levels.

    Args:
        values: shape (cells, prompts), NaN where missing.
        where: (other factor, its level): contexts with that level only, which gives simple effects.
    """
    table = contexts(codes, factor, None if where is None else at_level(codes, *where))
    found: list[Floats] = []
    pairs: list[tuple[int, int]] = []
    for pair in combinations(range(table.shape[1]), 2):
        one = difference(values, table, *pair)
        if one is not None:
            pairs.append(pair)
            found.append(one)
    if not pairs and where is None and (codes[:, factor] >= 0).any():
        return _regressed(values, codes, factor)
    return Contrasts(pairs, np.array(found).T.reshape(values.shape[1], len(pairs)))


def interactions(values: Floats, codes: Codes, first: int, second: int) -> Contrasts:
    """Differences of differences: how the effect of `first` changes with the level of `second`; one value a prompt, shape (prompts, m).

    A pair is here the number of each 2 × 2 contrast, twice. Where no four cells make one, there are none.
    """
    table, levels = _quads(codes, first, second)
    found = []
    for (a, b), (c, d) in levels:
        corners = table[:, [a, b, a, b], [c, c, d, d]]
        rows = corners[(corners >= 0).all(axis=1) & (corners[:, 0] != corners[:, 1]) & (corners[:, 2] != corners[:, 3])]
        rows = rows[(rows[:, 0] != rows[:, 2]) & (rows[:, 1] != rows[:, 3])]
        if len(rows):
            doubled = values[rows[:, 3]] - values[rows[:, 2]] - values[rows[:, 1]] + values[rows[:, 0]]
            found.append(_mean_of_rows(settled(doubled, *(values[rows[:, corner]] for corner in range(4)))))
    if not found:
        return _regressed_interaction(values, codes, first, second)
    return Contrasts([(index, index) for index in range(len(found))], np.array(found).T)


def _quads(codes: Codes, first: int, second: int) -> tuple[Codes, list[tuple[tuple[int, int], tuple[int, int]]]]:
    sizes = codes.max(axis=0, initial=-1) + 1
    wide, deep = int(sizes[first]), int(sizes[second])
    if wide < 2 or deep < 2:
        return np.zeros((0, wide, deep), dtype=np.int64), []
    tables: dict[tuple[int, ...], Codes] = {}
    for index, cell in enumerate(codes):
        for levels in product(*(range(int(size)) if at < 0 else (int(at),) for at, size in zip(cell, sizes, strict=True))):
            key = tuple(level for place, level in enumerate(levels) if place not in (first, second))
            tables.setdefault(key, np.full((wide, deep), -1))[levels[first], levels[second]] = index
    stacked = np.array(list(tables.values())).reshape(-1, wide, deep)
    pairs = list(product(combinations(range(wide), 2), combinations(range(deep), 2)))
    if len(pairs) > _MOST_QUADS:
        pairs = [((a, a + 1), (c, c + 1)) for a in range(wide - 1) for c in range(deep - 1)]
    return stacked, pairs


def _mean_of_rows(array: Floats) -> Floats:
    present = ~np.isnan(array)
    with np.errstate(invalid="ignore"):  # a prompt without any value has a NaN mean, as it should
        mean: Floats = np.where(present, array, 0.0).sum(axis=0) / present.sum(axis=0)
    return mean


def coded(codes: Codes, factor: int) -> Floats:
    """Sum-to-zero columns of a factor, shape (cells, levels - 1); a void factor is 0 in all, its levels' average."""
    size = int(codes[:, factor].max(initial=-1)) + 1
    rows = np.vstack([np.eye(max(size - 1, 0)), np.full((1, max(size - 1, 0)), -1.0), np.zeros((1, max(size - 1, 0)))])
    return rows[codes[:, factor]] if size > 1 else np.zeros((len(codes), 0))


def pair_columns(codes: Codes, first: int, second: int) -> Floats:
    """Columns of an interaction: the products of those of its factors."""
    one, other = coded(codes, first), coded(codes, second)
    columns: Floats = (one[:, :, None] * other[:, None, :]).reshape(len(codes), -1)
    return columns


def _regressed(values: Floats, codes: Codes, factor: int) -> Contrasts:
    """Differences between levels by least squares on the main effects of all factors, for each prompt by itself."""
    factors = range(codes.shape[1])
    design = np.hstack([np.ones((len(codes), 1)), *(coded(codes, one) for one in factors)])
    start = 1 + sum(coded(codes, one).shape[1] for one in range(factor))
    size = coded(codes, factor).shape[1] + 1
    effects = np.vstack([np.eye(size - 1), np.full((1, size - 1), -1.0)])
    pairs = list(combinations(range(size), 2))
    wanted = np.zeros((len(pairs), design.shape[1]))
    for row, (one, other) in enumerate(pairs):
        wanted[row, start : start + size - 1] = effects[other] - effects[one]
    found = _estimated(values, design, wanted)
    kept = [index for index in range(len(pairs)) if not np.isnan(found[:, index]).all()]
    return Contrasts([pairs[index] for index in kept], settled(found[:, kept], largest(values).T), by_regression=True)


def _regressed_interaction(values: Floats, codes: Codes, first: int, second: int) -> Contrasts:
    """The interaction of two two-level factors by least squares on main effects and all pairs, where the design allows it."""
    if coded(codes, first).shape[1] != 1 or coded(codes, second).shape[1] != 1:
        return Contrasts([], np.zeros((values.shape[1], 0)))
    factors = range(codes.shape[1])
    blocks = [np.ones((len(codes), 1)), *(coded(codes, one) for one in factors)]
    before = sum(one.shape[1] for one in blocks)
    for one, other in combinations(factors, 2):
        if {one, other} == {first, second}:
            place = before
        blocks.append(pair_columns(codes, one, other))
        before += blocks[-1].shape[1]
    wanted = np.zeros((1, before))
    wanted[0, place] = 4.0  # a difference of differences; the coefficient is a quarter of it
    found = _estimated(values, np.hstack(blocks), wanted)
    kept = [] if np.isnan(found).all() else [0]
    return Contrasts([(0, 0)] * len(kept), settled(found[:, kept], largest(values).T), by_regression=True)


def _estimated(values: Floats, design: Floats, wanted: Floats) -> Floats:
    """Linear combinations of the coefficients for each prompt, by its own cells alone; NaN where they do not determine it."""
    out = np.full((values.shape[1], len(wanted)), math.nan)
    known: dict[bytes, Floats | None] = {}
    for prompt in range(values.shape[1]):
        present = ~np.isnan(values[:, prompt])
        pattern = present.tobytes()
        if pattern not in known:
            inverse = np.linalg.pinv(design[present])
            projected = wanted @ inverse @ design[present]
            known[pattern] = wanted @ inverse if np.allclose(projected, wanted, atol=1e-8) else None
        weights = known[pattern]
        if weights is not None:
            out[prompt] = weights @ values[present, prompt]
    return out


class Share(NamedTuple):
    """What a term explains: its type II sum of squares, degrees of freedom, and share of the sum of squares within prompts."""

    factors: tuple[int, ...]
    df: int
    squares: float
    share: float


class Shares(NamedTuple):
    """How the variance within prompts divides.

    Attributes:
        terms: main effects, then pairs; a term without degrees of freedom is confounded with others and left out.
        total: sum of squares within prompts.
        left_over: share that main effects and pairs together do not explain: prompts that answer differently, noise, and higher interactions.
        higher: the part of `left_over` that differences between cells explain, beyond main effects and pairs; NaN where it is not known.
    """

    terms: list[Share]
    total: float
    left_over: float
    higher: float


_MOST_COLUMNS = 400
_MOST_QUADS = 60  # 2 × 2 contrasts of a pair of factors; beyond, those of neighbouring levels
_MOST_CELLS = 1_000  # beyond, with values missing, `higher` would cost more than it tells


class Decomposition:
    """Type II sums of squares over (cell, prompt) values with prompt effects, for one pattern of missing values.

    Working with cross-products with the prompts swept out, so that it costs little for each further metric.
    Yates 1934; Langsrud 2003, "ANOVA for Unbalanced Data: Use Type II Instead of Type III Sums of Squares".
    """

    def __init__(self, codes: Codes, present: NDArray[np.bool_]) -> None:
        factors = [one for one in range(codes.shape[1]) if coded(codes, one).shape[1]]
        terms: list[tuple[int, ...]] = [(one,) for one in factors]
        blocks = [coded(codes, one) for one in factors]
        pairs = [(one, other, pair_columns(codes, one, other)) for one, other in combinations(factors, 2)]
        if sum(block.shape[1] for _, _, block in pairs) <= _MOST_COLUMNS:
            for one, other, block in pairs:
                if np.any(block):
                    terms.append((one, other))
                    blocks.append(block)
        self.terms = terms
        self._design = np.hstack(blocks) if blocks else np.zeros((len(codes), 0))
        self._block = np.repeat(np.arange(len(blocks)), [block.shape[1] for block in blocks])
        self._present = present
        counts = present.sum(axis=0)
        self._counts = np.where(counts > 0, counts, 1)
        weights = present.sum(axis=1)
        per_prompt = self._design.T @ present
        self._gram = (self._design * weights[:, None]).T @ self._design - (per_prompt / self._counts) @ per_prompt.T
        self._cells: Floats | None = None
        if not present.all() and len(codes) <= _MOST_CELLS:
            cells = np.diag(weights.astype(float)) - (present / self._counts) @ present.T.astype(float)
            self._cells = np.linalg.pinv(cells, rcond=1e-10, hermitian=True)
        self._models: dict[tuple[int, ...], tuple[Floats, int]] = {}

    def _inverse(self, terms: tuple[int, ...]) -> tuple[Floats, int, NDArray[np.bool_]]:
        columns = np.isin(self._block, terms)
        if terms not in self._models:
            gram = self._gram[np.ix_(columns, columns)]
            size, vectors = np.linalg.eigh(gram)
            kept = size > 1e-9 * max(size.max(initial=0.0), 1e-300)
            root = vectors[:, kept] / np.sqrt(size[kept])
            self._models[terms] = root, int(kept.sum())
        root, rank = self._models[terms]
        return root, rank, columns

    def of(self, values: Floats) -> Shares:
        """Shares of `values`, shape (cells, prompts), NaN just where this pattern has it."""
        filled = np.where(self._present, values, 0.0)
        centred = settled(np.where(self._present, values - filled.sum(axis=0) / self._counts, 0.0), largest(filled))
        total = float((centred**2).sum())
        sums = centred.sum(axis=1)
        cross = self._design.T @ sums
        if self._present.all():
            saturated = float(sums @ sums) / self._present.shape[1]
        else:
            saturated = math.nan if self._cells is None else float(sums @ self._cells @ sums)

        def explained(terms: tuple[int, ...]) -> tuple[float, int]:
            root, rank, columns = self._inverse(terms)
            return float(((cross[columns] @ root) ** 2).sum()), rank

        numbers = range(len(self.terms))
        full, _ = explained(tuple(numbers))
        out = []
        for number in numbers:
            own = set(self.terms[number])
            # Type II: beside all terms that do not contain this one.
            beside = tuple(other for other in numbers if other != number and not own < set(self.terms[other]))
            without, rank_without = explained(beside)
            with_it, rank_with = explained(tuple(sorted((*beside, number))))
            if rank_with > rank_without:
                squares = max(with_it - without, 0.0)
                out.append(Share(self.terms[number], rank_with - rank_without, squares, squares / total if total > 0 else 0.0))
        if total <= 0:
            return Shares(out, 0.0, 0.0, 0.0)
        return Shares(out, total, max(1 - full / total, 0.0), saturated if math.isnan(saturated) else max((saturated - full) / total, 0.0))


def fractional(factors: int) -> Codes:
    """A two-level fractional factorial of resolution V, shape (cells, factors), entries 0 and 1: main effects and pairs clear of each other.

    The full factorial where no smaller one is known here. Box & Hunter 1961, "The 2^(k-p) Fractional Factorial Designs".

    Raises:
        ValueError: no factor, or more than eight.
    """
    if not 1 <= factors <= 8:
        raise ValueError("a fractional design takes one to eight parameters")
    generators = _RESOLUTION_V.get(factors, ())
    base = factors - len(generators)
    # Yates' standard order: the first factor changes fastest.
    rows = (np.arange(2**base)[:, None] >> np.arange(base)[None, :]) & 1
    signed = 2 * rows - 1
    added = [signed[:, list(generator)].prod(axis=1, keepdims=True) for generator in generators]
    whole: Codes = ((np.hstack([signed, *added]) + 1) // 2).astype(np.int64)
    return whole


_RESOLUTION_V: dict[int, tuple[tuple[int, ...], ...]] = {
    5: ((0, 1, 2, 3),),
    6: ((0, 1, 2, 3, 4),),
    7: ((0, 1, 2, 3, 4, 5),),
    8: ((0, 1, 2, 3), (0, 1, 4, 5)),
}
"""Generators: which of the first factors each added one is the product of."""
