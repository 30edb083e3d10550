"""Settings proposed from what those that were asked came to, by Optuna's tree-structured Parzen estimator under ask and tell.

Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization". A model proposes and never tests: who leaves a race is decided on what was
measured alone. A study is built anew for each proposal from what the records tell, with a seed of its own, so that a search that was killed proposes
the same again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import MissingExtraError
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.levels import with_levels_of_cells
from evalkit.experiment.parameters import level_key
from evalkit.experiment.sampled import axis_of
from evalkit.plan.design import design_of, settled
from evalkit.race.look import Bound, Seen
from evalkit.stats.selection import Aim, desirability

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Floats = NDArray[np.float64]
Point = tuple[float, ...]
"""A setting as the sampler has it: for each axis a place from 0 to 1, or the number of a level where levels have no order."""

_PROPOSAL = "proposal-"
_UNKNOWN = 1e6
"""How far a setting is taken to be beyond a bound that nothing is known of."""


@dataclass(frozen=True)
class Axis:
    """A parameter that is searched over: its values, in order of size where `ordered`, else as they were written."""

    name: str
    values: Sequence[Any]
    ordered: bool

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {level_key(one): number for number, one in enumerate(self.values)}

    def place(self, level: Any) -> float:
        """Where a level lies; in the middle where it is none of the values, as one that has no effect."""
        found = self._numbers.get(level_key(level))
        if not self.ordered:
            return float(found or 0)
        return 0.5 if found is None else (found + 0.5) / len(self.values)

    def level(self, place: float) -> Any:
        """The value at a place."""
        return self.values[min(len(self.values) - 1, int(place * len(self.values) if self.ordered else place))]


class Trial(NamedTuple):
    """What is known of a setting.

    Attributes:
        worth: the more, the better; None where it is not known, or not yet.
        beyond: by how much it is beyond each bound, 0 or less where it keeps to it.
    """

    point: Point
    worth: float | None
    beyond: tuple[float, ...] = ()


def axes_of(over: Mapping[str, Any]) -> list[Axis]:
    """The parameters that have more than one value."""
    out = []
    for name, given in over.items():
        values = list(axis_of(name, given))
        numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
        if len(values) > 1:
            out.append(Axis(name, sorted(values) if numeric else values, numeric))
    return out


def sampler() -> str:
    """Who proposes, with its version.

    Raises:
        MissingExtraError: Optuna is not installed (the extra ``search``).
    """
    try:
        import optuna  # an extra, and slow to import
    except ImportError:
        raise MissingExtraError('search: {method: bayes} needs Optuna; run: pip install -e ".[search]"') from None
    return f"optuna {optuna.__version__}, TPESampler"


def ask(axes: Sequence[Axis], told: Sequence[Trial], seed: int) -> Point:
    """A proposal: where, by `told`, settings are likely to be better than most; those whose worth is not known yet are kept clear of.

    The same for the same arguments and the same version of Optuna.
    """
    import optuna  # as above
    from optuna.trial import TrialState, create_trial

    names = [axis.name for axis in axes]
    space: dict[str, BaseDistribution] = {
        axis.name: optuna.distributions.FloatDistribution(0.0, 1.0)
        if axis.ordered
        else optuna.distributions.CategoricalDistribution(tuple(range(len(axis.values))))
        for axis in axes
    }

    def params(point: Point) -> dict[str, Any]:
        return {axis.name: one if axis.ordered else int(one) for axis, one in zip(axes, point, strict=True)}

    with _quiet(optuna):
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True))
        for one in told:
            state = TrialState.RUNNING if one.worth is None else TrialState.COMPLETE
            bounds = {str(number): beyond for number, beyond in enumerate(one.beyond)}
            study.add_trial(create_trial(state=state, value=one.worth, params=params(one.point), distributions=space, constraints=bounds or None))
        found = study.ask(space).params
    return tuple(float(found[name]) for name in names)


def grown(experiment: Experiment, reference: int, proposed: Sequence[Mapping[str, Any]]) -> Experiment:
    """The experiment with settings among its cells that were proposed, as far as they are not there yet; the reference stays the one it is."""
    cells = dict(experiment.cells or {})
    there = {tuple(map(level_key, settled(cell, experiment.request).values())) for cell in cells.values()}
    made = sum(name.startswith(_PROPOSAL) for name in cells)
    for cell in proposed:
        if tuple(map(level_key, settled(cell, experiment.request).values())) not in there:
            made += 1
            cells[f"{_PROPOSAL}{made:02d}"] = dict(cell)
    levels = with_levels_of_cells({"cells": cells})["parameters"]
    named = experiment.reference if experiment.reference is not None else design_of(experiment).names[reference]
    return experiment.model_copy(update={"cells": cells, "parameters": {name: tuple(one) for name, one in levels.items()}, "reference": named})


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Without a line for every study that is made."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def measured(seen: Seen, aims: Sequence[Aim], bounds: Sequence[Bound], whole: Sequence[int]) -> tuple[Floats, Floats]:
    """What settings came to that were asked different prompts: their desirability, shape (settings,), and by how much they are beyond each bound.

    A setting that was asked a few prompts is not held to be better for their being easy: what prompts have in common is taken out, as far as the
    settings of `whole`, which were asked all of them, tell.

    Returns:
        Desirability, NaN where it is not known; distances in standard deviations over settings, shape (bounds, settings).
    """
    settings = seen.wanted.shape[1]
    means = np.array([_adjusted(values, whole) for values in seen.wanted]).reshape(len(aims), settings)
    with np.errstate(invalid="ignore"):
        worth = desirability(means, aims) if aims else np.full(settings, math.nan)
    beyond = []
    for bound, values in zip(bounds, seen.bounded, strict=True):
        found = _adjusted(values, whole)
        known = found[~np.isnan(found)]
        spread = float(known.std()) if len(known) > 1 else 0.0
        distance = (found - bound.at) * (1 if bound.upper else -1) / (spread if spread > 0 else 1.0)
        beyond.append(np.where(np.isnan(distance), _UNKNOWN, distance))
    return worth, np.array(beyond).reshape(len(bounds), settings)


def _adjusted(values: Floats, whole: Sequence[int]) -> Floats:
    """The mean of each row with what prompts have in common, by the rows of `whole`, taken out; NaN where it has no value."""
    here = values[list(whole)]
    known = ~np.isnan(here)
    n = known.sum(axis=1)
    level = np.where(known, here, 0.0).sum(axis=1) / np.maximum(n, 1)
    each = np.where(known, here - level[:, None], 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    left = np.where(np.isnan(values), 0.0, values - each)
    counts = (~np.isnan(values)).sum(axis=1)
    found: Floats = np.where(counts > 0, left.sum(axis=1) / np.maximum(counts, 1), math.nan)
    return found
