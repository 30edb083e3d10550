"""One generator, cut at 60 to 960 words: what metrics say on whole answers, and on the common prefix that evalkit compares on.

    python benchmarks/length_confound.py [--smallest]

Draws ``docs/length-confound.svg``, and ends with status 1 where a compared value moves by more than noise. With `--smallest` two prompts are
answered, and the figure goes nowhere.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from metrics import vocabulary

from evalkit.metrics import METRICS, score

LENGTHS = (60, 120, 240, 480, 960)
PROMPTS, K, PREFIX = 24, 8, 50
FIGURE = Path(__file__).resolve().parent.parent / "docs" / "length-confound.svg"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--smallest", action="store_true")
    smallest = parser.parse_args().smallest
    prompts, lengths = (2, LENGTHS[:2]) if smallest else (PROMPTS, LENGTHS)

    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "evalkit"
    from matplotlib import pyplot as plt

    rng = np.random.default_rng(3)
    words, share = vocabulary(rng)
    names = [metric.name for metric in METRICS if metric.confounded and metric.name != "duplicate_lines"]
    naive: dict[str, list[float]] = {name: [] for name in names}
    fair: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for length in lengths:
        drawn = words[np.minimum(np.searchsorted(share, rng.random((prompts, K, length))), len(words) - 1)]
        groups = [[" ".join(text) for text in group] for group in drawn]
        whole, cut = score(groups, names), score(groups, names, prefix=PREFIX)
        for name in names:
            naive[name].append(whole[name].mean())
            fair[name].append((cut[name].mean(), cut[name].std(ddof=1) / prompts**0.5))
    print(f"{'metric':>18} " + " ".join(f"{length:>8}" for length in lengths) + f"   at {PREFIX}: " + " ".join(f"{length:>8}" for length in lengths))
    good = True
    for name in names:
        print(f"{name:>18} " + " ".join(f"{one:>8.3f}" for one in naive[name]) + "          " + " ".join(f"{one:>8.3f}" for one, _ in fair[name]))
        middle = np.mean([one for one, _ in fair[name]])
        good &= all(abs(one - middle) <= 4 * se + 1e-9 for one, se in fair[name])
    figure, axes = plt.subplots(2, (len(names) + 1) // 2, figsize=(11, 5), sharex=True)
    for axis, name in zip(axes.flat, names, strict=False):
        axis.plot(lengths, naive[name], "o--", color="tab:red", label="whole answers")
        axis.errorbar(lengths, [one for one, _ in fair[name]], [2 * se for _, se in fair[name]], fmt="s-", color="tab:blue", label="first 50 words")
        axis.set_title(name, fontsize=9)
        axis.set_xscale("log")
        axis.set_xticks(lengths, [str(length) for length in lengths], fontsize=7)
        axis.minorticks_off()
        axis.tick_params(axis="y", labelsize=7)
    axes.flat[0].legend(fontsize=7)
    figure.suptitle("The same generator, answers cut at 60 to 960 words", fontsize=11)
    figure.tight_layout()
    figure.savefig(io.BytesIO() if smallest else FIGURE, metadata={"Date": None})
    sys.exit(0 if good or smallest else 1)


if __name__ == "__main__":
    main()
