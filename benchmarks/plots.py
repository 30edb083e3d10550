"""Each figure of a run of 100,000 answers: CPU seconds from the call to the PNG file, against a limit of 5 s.

python benchmarks/plots.py
python benchmarks/plots.py --smallest # of a run of 64 answers, no limit held
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

LIMIT_S = 5.0


def main() -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    from report import SMALLEST, experiment, fill

    import evalkit as ek

    smallest = sys.argv[1:] == ["--smallest"]
    shape = next(iter(SMALLEST.values())) if smallest else (5, 5, 5, 100, 8)
    broken = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "large"
        folder.mkdir()
        fill(folder, experiment(*shape))
        before = time.process_time()
        ek.rescore(folder, metrics=["distinct_2", "truncation_rate", "length_words"])  # scoring is measured elsewhere
        print(f"{math.prod(shape):,} answers scored by three metrics in {time.process_time() - before:.1f} s of CPU")
        run = ek.load(folder)
        plots = ek.plots
        figures: dict[str, Any] = {
            "main_effects": partial(plots.main_effects, run, "distinct_2", "temperature"),
            "all_main_effects": partial(plots.all_main_effects, run, "distinct_2"),
            "interaction": partial(plots.interaction, run, "distinct_2", "temperature", "max_tokens"),
            "heatmap": partial(plots.heatmap, run, "distinct_2", "temperature", "max_tokens"),
            "pareto": partial(plots.pareto, run),
            "parallel": partial(plots.parallel, run),
            "distribution": partial(plots.distribution, run, "distinct_2", "temperature"),
            "survival": partial(plots.survival, run, "temperature"),
            "latency": partial(plots.latency, run),
            "drift": partial(plots.drift, run),
            "replicates": partial(plots.replicates, run, "length_words"),
        }
        print(f"{'figure':<18} {'CPU s':>7}   limit {LIMIT_S:g}")
        for name, figure in figures.items():
            before = time.process_time()
            plots.save(figure(), Path(place) / "figure.png")
            took = time.process_time() - before
            plt.close("all")
            broken |= took > LIMIT_S
            print(f"{name:<18} {took:>7.2f}{'   over' if took > LIMIT_S else ''}", flush=True)
    sys.exit(broken and not smallest)


if __name__ == "__main__":
    main()
