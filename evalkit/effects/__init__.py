"""What each parameter does to each metric: contrasts paired by prompt, shares of the variance, and a verdict.

``results`` has the kinds of result, ``verdicts`` decides on one parameter and one metric, ``estimation`` goes through them all.
"""

from __future__ import annotations

from evalkit.effects.estimation import against_reference, codes_of, effects
from evalkit.effects.results import (
    ALPHA,
    FEWEST_PROMPTS,
    CellDifference,
    Effects,
    Interaction,
    LeftOver,
    LevelDifference,
    SimpleEffect,
    VarianceShare,
    Verdict,
)

__all__ = [
    "ALPHA",
    "FEWEST_PROMPTS",
    "CellDifference",
    "Effects",
    "Interaction",
    "LeftOver",
    "LevelDifference",
    "SimpleEffect",
    "VarianceShare",
    "Verdict",
    "against_reference",
    "codes_of",
    "effects",
]
