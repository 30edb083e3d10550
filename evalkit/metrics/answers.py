"""Answers as wholes, not as words: which are the same, and how many different ones there may be. For labels and taglines, too short for the rest."""

from __future__ import annotations

import math
from collections import Counter

from evalkit.metrics.group import Group


def near_duplicates(group: Group) -> float:
    """1 - texts that differ in their words, case folded / k, in [0, 1); at least `evalkit.metrics.variety.exact_duplicates`."""
    return 1.0 - len(set(group.plain)) / len(group)


def entropy_of_answers(group: Group) -> float:
    """Shannon entropy of the answers, near duplicates as one, corrected for what did not come up; in nats, ≥ 0; NaN for one text alone.

    Chao & Shen 2003, "Nonparametric estimation of Shannon's index of diversity when there are unseen species in sample": shares are scaled by the
    coverage 1 - f/k, f being the answers that came once, and each is weighed by the chance that it came up at all. Where all k differ, that coverage
    is 0 and nothing follows; there f is taken as k - 1, as the authors of the R package entropy (Hausser & Strimmer) do.
    """
    k = len(group)
    if k < 2:
        return math.nan
    counts = Counter(group.plain).values()
    once = sum(count == 1 for count in counts)
    coverage = 1 - (once if once < k else k - 1) / k
    shares = [coverage * count / k for count in counts]
    return math.fsum(-p * math.log(p) / -math.expm1(k * math.log1p(-p)) if p < 1 else 0.0 for p in shares)
