"""What each parameter does to each metric: contrasts paired by prompt, shares of the variance, and a verdict.

``results`` has the kinds of result, ``verdicts`` decides on one parameter and one metric, ``estimation`` goes through them all, and
``control`` looks whether a limit on length does what no limit can.
"""

from __future__ import annotations

from evalkit.effects.control import controls
from evalkit.effects.estimation import against_reference, codes_of, effects
from evalkit.effects.results import (
    ALPHA,
    FEWEST_PROMPTS,
    CellDifference,
    Effects,
    Interaction,
    LeftOver,
    LevelDifference,
    PrefixControl,
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
    "PrefixControl",
    "SimpleEffect",
    "VarianceShare",
    "Verdict",
    "against_reference",
    "codes_of",
    "controls",
    "effects",
]
