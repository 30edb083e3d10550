"""What all tests and intervals take for granted, said once."""

from __future__ import annotations

ALPHA = 0.05
"""The p, adjusted where there are many, at which a difference counts as found."""

CONFIDENCE = 0.95
"""Of two-sided intervals."""

POWER = 0.8
"""The chance with which a difference as large as said is found."""

FEW_PROMPTS = 8
"""Below, intervals are wide, and other prompts may say otherwise: more are asked for."""

FEWEST_PROMPTS = 6
"""Below, no rearrangement of signs reaches p < .05: the smallest two-sided p of n prompts is 2 / 2^n."""
