"""Made-up worlds for `race.py`: settings whose true means are known, seen with noise on prompts."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from evalkit.race.look import Bound

Floats = np.ndarray
CELLS = 56
NOISE = 0.05


class Drawn(NamedTuple):
    """One draw of a world.

    Attributes:
        true: true means of what is preferred, shape (settings,).
        keeps: which settings truly keep to the bounds.
        wanted: values, shape (1, settings, prompts).
        bounded: values of what has a bound, shape (bounds, settings, prompts).
        bounds: the bounds.
    """

    true: Floats
    keeps: Floats
    wanted: Floats
    bounded: Floats
    bounds: tuple[Bound, ...]


Noise = Callable[[np.random.Generator, int, int], Floats]


def normal(rng: np.random.Generator, cells: int, prompts: int) -> Floats:
    return rng.normal(size=(cells, prompts))


def skewed(rng: np.random.Generator, cells: int, prompts: int) -> Floats:
    return rng.exponential(size=(cells, prompts)) - 1


def skewed_down(rng: np.random.Generator, cells: int, prompts: int) -> Floats:
    return 1 - rng.exponential(size=(cells, prompts))


def heavy(rng: np.random.Generator, cells: int, prompts: int) -> Floats:
    return rng.standard_t(4, size=(cells, prompts)) / np.sqrt(2)


def unequal(rng: np.random.Generator, cells: int, prompts: int) -> Floats:
    """Noise that grows tenfold from setting to setting; the best, which stands anywhere, may have the most of it."""
    return np.geomspace(0.3, 3, cells)[:, None] * rng.normal(size=(cells, prompts))


def near_tied(rng: np.random.Generator) -> Floats:
    return 0.5 + rng.normal(0, 0.15 * NOISE, CELLS)


def smooth(rng: np.random.Generator) -> Floats:
    """A surface over a grid of three parameters with one summit somewhere."""
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 4), np.linspace(0, 1, 2), np.linspace(0, 1, 7), indexing="ij"), -1).reshape(-1, 3)
    summit = rng.random(3)
    return 0.7 - 0.4 * ((grid - summit) ** 2).sum(axis=1) / 1.5


def clear(rng: np.random.Generator) -> Floats:
    """A few good settings, and one that is better by more than noise hides."""
    true = 0.35 + 0.1 * rng.random(CELLS)
    true[rng.integers(CELLS)] = 0.6
    return true


def alike(rng: np.random.Generator) -> Floats:
    return np.full(CELLS, 0.5)


class World(NamedTuple):
    """How truth and noise are made; `bound` puts the best setting so near its bound."""

    true: Callable[[np.random.Generator], Floats]
    noise: Noise
    bound: float | None = None


WORLDS = {
    "near-tied": World(near_tied, normal),
    "near-tied, unequal noise": World(near_tied, unequal),
    "near-tied, skewed": World(near_tied, skewed),
    "near-tied, skewed down": World(near_tied, skewed_down),
    "near-tied, t4": World(near_tied, heavy),
    "smooth": World(smooth, normal),
    "clear": World(clear, normal),
    "best near its bound": World(smooth, normal, 0.8),
}


def draw(world: World, rng: np.random.Generator, prompts: int) -> Drawn:
    """A draw of so many prompts; prompts differ by twice the noise, alike for all settings."""
    true = world.true(rng)
    wanted = true[:, None] + NOISE * (world.noise(rng, len(true), prompts) + 2 * rng.normal(size=prompts))
    if world.bound is None:
        return Drawn(true, np.ones(len(true), dtype=bool), wanted[None], np.zeros((0, len(true), prompts)), ())
    at = 0.05
    # The better a setting, the more often it does what the bound forbids: the best that keeps to it is near it.
    rate = np.clip(at * world.bound * (1 + 12 * (true - np.quantile(true, 0.7))), 0.002, 0.5)
    hard = rng.gamma(2.0, 0.5, size=prompts)
    seen = rng.binomial(8, np.clip(rate[:, None] * hard, 0, 1)) / 8
    return Drawn(true, rate <= at, wanted[None], seen[None], (Bound("loop_rate", at, True, 0.0, 1.0),))
