"""evalkit: sweep the sampling parameters of a chat API over a prompt set, and say with honest statistics which suit.

    import evalkit as ek

    run = ek.sweep("experiments/quickstart.yaml")   # or ek.load("results/quickstart")
    run.summary()                                   # pandas DataFrames: also responses(), scores(), failures(), query(sql)
    ek.plots.main_effects(run, "distinct_2", "temperature")
    run.show("explain-slicing")                     # answers side by side
    run.choice, run.analysis                        # what to use, how sure, and why
    ek.compare("results/monday", "results/friday")

Names are looked up when they are first used, so that ``import evalkit`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit import metrics
    from evalkit.analysis.analysis import Analysis
    from evalkit.api import asweep, compare, export, rescore, sweep, write_report
    from evalkit.choice import Choice
    from evalkit.collect.allowance import Budget
    from evalkit.comparison.comparison import Comparison
    from evalkit.errors import AuthError, EndpointError, EvalkitError, ExperimentError, MissingExtraError, PromptError, RecordError
    from evalkit.experiment.experiment import Experiment
    from evalkit.experiment.prompts import Prompt
    from evalkit.present import plots
    from evalkit.run import Run, load

__all__ = [
    "Analysis",
    "AuthError",
    "Budget",
    "Choice",
    "Comparison",
    "EndpointError",
    "EvalkitError",
    "Experiment",
    "ExperimentError",
    "MissingExtraError",
    "Prompt",
    "PromptError",
    "RecordError",
    "Run",
    "__version__",
    "asweep",
    "compare",
    "export",
    "load",
    "metrics",
    "plots",
    "rescore",
    "sweep",
    "write_report",
]

_PLACES = {
    "evalkit._version": ("__version__",),
    "evalkit.analysis.analysis": ("Analysis",),
    "evalkit.api": ("asweep", "compare", "export", "rescore", "sweep", "write_report"),
    "evalkit.choice.choice": ("Choice",),
    "evalkit.collect.allowance": ("Budget",),
    "evalkit.comparison.comparison": ("Comparison",),
    "evalkit.errors": ("AuthError", "EndpointError", "EvalkitError", "ExperimentError", "MissingExtraError", "PromptError", "RecordError"),
    "evalkit.experiment.experiment": ("Experiment",),
    "evalkit.experiment.prompts": ("Prompt",),
    "evalkit.run": ("Run", "load"),
}
_PACKAGES = {"metrics": "evalkit.metrics", "plots": "evalkit.present.plots"}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        found = globals()[name] = import_module(_PACKAGES[name])
        return found
    if name in _PLACE_OF:
        found = globals()[name] = getattr(import_module(_PLACE_OF[name]), name)
        return found
    raise AttributeError(f"module 'evalkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
