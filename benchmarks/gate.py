"""Does the gate of `evalkit compare` keep its promises: to pass what differs by its seed alone, and to fail what got worse? And what does it cost?

Run: python benchmarks/gate.py [PART ...]; parts: simulated, endpoint, size.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from evalkit.experiment import Experiment, check
from evalkit.gate import Margins
from evalkit.metrics import Metric
from evalkit.stats.multiple import holm
from evalkit.verdicts import Compared, judged

SEED = 11
SEEDS = int(os.environ.get("S","200"))
CELLS = 8
broken = 0


def row(what: str, figure: float, low: float | None = None, high: float | None = None) -> None:
    """Print a figure beside its limits; one that misses them counts."""
    global broken
    kept = (low is None or figure >= low) and (high is None or figure <= high)
    limits = "-" if low is None and high is None else f"{'' if low is None else f'{low:.2f}'}..{'' if high is None else f'{high:.2f}'}"
    print(f"{what:<96} {figure:8.3f}  {limits:<10} {'' if kept else 'MISSED'}", flush=True)
    broken += not kept


def _experiment(seed: int, prompts: int) -> Experiment:
    return check(
        {
            "name": "gate",
            "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
            "prompts": [{"id": f"p{number}", "user": f"about {number}"} for number in range(prompts)],
            "seed": seed,
        }
    )


def _values(rng: np.random.Generator, metrics: int, prompts: int, shared: float) -> np.ndarray:
    """Values of shape (metrics, cells, prompts) of which the differences of two runs have the same variance in each metric.

    A share of the noise of a prompt is the same for all metrics, as it is where several of them are about the same thing.
    """
    common = rng.normal(size=(1, CELLS, prompts)) + 0.5 * rng.normal(size=(1, 1, prompts))
    own = rng.normal(size=(metrics, CELLS, prompts)) + 0.5 * rng.normal(size=(metrics, 1, prompts))
    return math.sqrt(shared) * common + math.sqrt(1 - shared) * own


def _gate(seed: int, metrics: int, prompts: int, shared: float, margin_in_se: float, planted: int) -> list[Compared]:
    """Two simulated runs of which the second is worse by twice the margin in the first `planted` metrics."""
    rng = np.random.default_rng([SEED, seed, metrics, prompts, int(10 * shared), int(10 * margin_in_se), planted])
    names = [f"m{number}" for number in range(metrics)]
    margin = margin_in_se * math.sqrt(2 * (1 / CELLS + 0.25) / prompts)
    one, other = (_values(rng, metrics, prompts, shared) for _ in range(2))
    other[:planted] -= 2 * margin
    infos = [Metric(name, "group", len, "higher", name, high=math.inf) for name in names]
    given = Margins(dict.fromkeys(names, margin), {})
    return judged(infos, dict(zip(names, one, strict=True)), dict(zip(names, other, strict=True)), _experiment(seed, prompts), given)


def _fails(found: list[Compared]) -> bool:
    return any(one.verdict == "worse" for one in found)


def _fails_by_holm(found: list[Compared]) -> bool:
    """What the gate would say with p adjusted by Holm instead."""
    adjusted = holm([math.nan if one.p is None else one.p for one in found])
    clear = [one.ci_high < 0 and one.difference < -one.margin for one in found]
    return any(ok and p <= 0.05 for ok, p in zip(clear, adjusted, strict=True))


def simulated() -> None:
    """At the level of (cell, prompt) values: families of one metric and of twenty, independent ones and such that go together."""
    print(f"simulated: {SEEDS} seeds each, {CELLS} cells; share of runs that differ by their seed alone and pass")
    for metrics, shared in ((1, 0.0), (20, 0.0), (20, 0.5), (20, 0.9)):
        for prompts in (8, 20, 40):
            for width in (0.1, 2.0):
                found = [_gate(seed, metrics, prompts, shared, width, 0) for seed in range(SEEDS)]
                passed = float(np.mean([not _fails(one) for one in found]))
                row(f"passes: {metrics} metrics, shared {shared:.1f}, {prompts} prompts, margin {width:.1f} standard errors", passed, 0.95)
    print("worse by twice the margin: share that fails (and with Holm's p)")
    for metrics, planted, shared in ((1, 1, 0.0), (5, 1, 0.5), (20, 1, 0.5), (20, 5, 0.5), (20, 20, 0.9)):
        for prompts in (8, 20, 40):
            for width in (2.0, 3.0):
                found = [_gate(seed, metrics, prompts, shared, width, planted) for seed in range(SEEDS)]
                failed, by_holm = (float(np.mean([way(one) for one in found])) for way in (_fails, _fails_by_holm))
                promised = prompts >= 20 and (metrics == 1 or width > 2 or planted == metrics)
                what = f"fails: {planted} of {metrics} metrics worse, shared {shared:.1f}, {prompts} prompts, margin {width:.0f} se"
                row(f"{what} (Holm {by_holm:.3f})", failed, 0.95 if promised else None)


PARTS = {"simulated": simulated}


def main() -> None:
    for name in sys.argv[1:] or list(PARTS):
        PARTS[name]()
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
