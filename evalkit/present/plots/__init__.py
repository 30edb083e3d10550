"""Figures of a run, for notebooks and reports alike. Each takes ``ax=`` and returns it; intervals are always drawn.

    import evalkit as ek
    run = ek.load("results/quickstart")
    ek.plots.main_effects(run, "distinct_2", "temperature")

Colours are those of Okabe & Ito 2008, which people see apart whatever their colour vision; `style` sets them for light or dark pages.
"""

from __future__ import annotations

from evalkit.present.plots.comparing import compare
from evalkit.present.plots.effects import all_main_effects, heatmap, interaction, main_effects
from evalkit.present.plots.planning import replicates
from evalkit.present.plots.racing import race
from evalkit.present.plots.spread import distribution, survival
from evalkit.present.plots.style import save, style
from evalkit.present.plots.time import drift, latency
from evalkit.present.plots.tradeoffs import parallel, pareto

__all__ = [
    "all_main_effects",
    "compare",
    "distribution",
    "drift",
    "heatmap",
    "interaction",
    "latency",
    "main_effects",
    "parallel",
    "pareto",
    "race",
    "replicates",
    "save",
    "style",
    "survival",
]
