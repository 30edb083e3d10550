"""Whether a limit on length does anything that a limit cannot do."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from evalkit.analysis.effects import PrefixControl, Verdict
from evalkit.stats.conventions import ALPHA
from evalkit.stats.multiple import holm

LIMITS = ("max_tokens", "max_completion_tokens")
"""Parameters that only cut answers off."""


def controls(verdicts: Sequence[Verdict], on_prefix: Collection[str], tokens: int) -> list[PrefixControl]:
    """A control for each swept limit on length, over the metrics `on_prefix` that are compared on the first `tokens` tokens of answers."""
    of_limit = {name: [one for one in verdicts if one.parameter == name and one.metric in on_prefix] for name in LIMITS}
    return [_control(name, found, tokens) for name, found in of_limit.items() if found]


def _control(parameter: str, found: list[Verdict], tokens: int) -> PrefixControl:
    adjusted = holm([math.nan if one.p is None else one.p for one in found])
    failed = [one.metric for one, p in zip(found, adjusted, strict=True) if one.verdict == "effect" and p <= ALPHA]
    passed = [one.metric for one in found if one.verdict == "no effect"]
    rest = [one.metric for one in found if one.metric not in (*failed, *passed)]
    return PrefixControl(parameter=parameter, tokens=tokens, passed=passed, failed=failed, open=rest)
