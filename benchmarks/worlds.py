"""Made-up worlds whose truly best setting is known, for the choice that `inference.py` puts to the test."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evalkit.stats.power import detectable

Floats = np.ndarray
CELLS = 12
NOISE = 0.05
"""Standard deviation of a value about its cell's mean, on a scale from 0 to 1 where differences below 0.02 do not matter."""
MARGIN = 0.02


class World(NamedTuple):
    """How the truth is made, and what is seen of it.

    Attributes:
        goals: metrics that are preferred, and which way.
        true: true means, shape (metrics, cells).
        seen: values around them on so many prompts, shape (metrics, cells, prompts).
    """

    goals: dict[str, str]
    true: Callable[[np.random.Generator, int], Floats]
    seen: Callable[[np.random.Generator, Floats, int], Floats]


def _noisy(rng: np.random.Generator, true: Floats, prompts: int) -> Floats:
    """Normal noise; prompts differ with twice its standard deviation."""
    common = 2 * NOISE * rng.normal(size=(len(true), 1, prompts))
    return true[:, :, None] + common + NOISE * rng.normal(size=(*true.shape, prompts))


def _skewed(rng: np.random.Generator, true: Floats, prompts: int) -> Floats:
    return true[:, :, None] + NOISE * (rng.exponential(size=(*true.shape, prompts)) - 1)


def _rates(rng: np.random.Generator, true: Floats, prompts: int) -> Floats:
    """Shares of eight replicates, prompts being unequally hard; at 0 nothing varies."""
    hard = rng.gamma(2.0, 0.5, size=prompts)
    return rng.binomial(8, np.clip(true[:, :, None] * hard, 0, 1)) / 8


def _unequal(best_too: bool) -> Callable[[np.random.Generator, Floats, int], Floats]:
    """Noise that grows from cell to cell up to tenfold; the best cell has the least of it, or the most."""

    def seen(rng: np.random.Generator, true: Floats, prompts: int) -> Floats:
        noise = NOISE * np.geomspace(0.3, 3, true.shape[1])
        noise = noise[::-1] if best_too else noise
        return true[:, :, None] + noise[None, :, None] * rng.normal(size=(*true.shape, prompts))

    return seen


def _clear(rng: np.random.Generator, prompts: int) -> Floats:
    return 0.3 + (np.arange(40) == 17)[None] * 3 * NOISE * detectable(prompts, math.sqrt(2))


def _near(rng: np.random.Generator, prompts: int) -> Floats:
    return 0.5 + rng.normal(0, 0.15 * NOISE, (1, CELLS))


def _first_ahead(rng: np.random.Generator, prompts: int) -> Floats:
    return 0.5 + np.array([[0.3 * NOISE] + [0.0] * (CELLS - 1)])


def _traded(rng: np.random.Generator, prompts: int) -> Floats:
    """Two aims, of which more of one is less of the other, so that the middle is best by little."""
    along = np.linspace(0, 1, CELLS) + rng.normal(0, 0.02, CELLS)
    return np.array([0.3 + 0.4 * along, 60 - 20 * along])


def _seen_of_two(rng: np.random.Generator, true: Floats, prompts: int) -> Floats:
    seen = _noisy(rng, true, prompts)
    seen[1] = true[1][:, None] + (seen[1] - true[1][:, None]) * 50  # tokens, not shares
    return seen


UP, DOWN = "maximize", "minimize"
WORLDS = {
    "clear best of 40": World({"distinct_2": UP}, _clear, _noisy),
    "near-tied": World({"distinct_2": UP}, _near, _noisy),
    "near-tied, skewed": World({"distinct_2": UP}, _near, _skewed),
    "all alike": World({"distinct_2": UP}, lambda rng, prompts: np.full((1, CELLS), 0.5), _noisy),
    "all alike, skewed": World({"distinct_2": UP}, lambda rng, prompts: np.full((1, CELLS), 0.5), _skewed),
    "best at its bound": World({"truncation_rate": DOWN}, lambda rng, prompts: 0.01 * np.arange(CELLS)[None, ::-1], _rates),
    "best with the least noise": World({"distinct_2": UP}, _first_ahead, _unequal(False)),
    "best with the most noise": World({"distinct_2": UP}, _first_ahead, _unequal(True)),
    "graded by the margin": World({"distinct_2": UP}, lambda rng, prompts: 0.7 - MARGIN * np.arange(CELLS)[None], _noisy),
    "two aims, traded": World({"distinct_2": UP, "length_tokens": DOWN}, _traded, _seen_of_two),
}
