"""The seven experiments of `evalkit init --for`, each swept on a real small model: does a decision come of it that rests on what is right?

    python benchmarks/uses.py [USE ...] [--server gemma] [--replicates 2] [--keep DIR] [--outcomes FILE]

Writes each use's experiment, sweeps it on a server of benchmarks/servers.py (Gemma 3 270M on llama.cpp by default), and prints what was chosen, by
which measures of what is right (checks of the answers' content), how far these reached at the chosen setting, and how long it took. With
`--smallest` the embedded endpoint answers, once each.

Fails where an experiment is not whole, nothing is decided, or only form was judged. A decision is a setting to use, or that no setting keeps to the
bounds, by a measure of what is right: with so small a model both happen, and both are what the user has to know.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from servers import SERVERS, free_port, start

from evalkit.client.embedded import Embedded
from evalkit.experiment.experiment import load
from evalkit.experiment.starter import USES, write
from evalkit.metrics import CATALOGUE
from evalkit.race.deciding import goals_of
from evalkit.scoring.metric_set import measures
from evalkit.sweeping.options import DEFAULTS
from evalkit.sweeping.sweeping import run_sweep

MANNERS = {"gemma": ['request.stop=["<|im_end|>"]']}
"""Settings that a server's model wants: Gemma's base model knows no end of a turn, and writes the mark of one as text."""


def swept(use: str, place: Path, settings: list[str]) -> dict[str, Any]:
    """One use, from its files to a decision, as a row."""
    write(place, use)
    experiment = load(place / "experiment.yaml", settings)
    began = time.monotonic()
    run = run_sweep(experiment, place / "run", DEFAULTS)
    if run is None or run.choice is None:
        raise SystemExit(f"{use}: nothing was decided")
    choice, counts = run.choice, run.analysis.counts
    goals = goals_of(run.experiment, measures(run.experiment))
    right = [name for name in goals.names if name not in CATALOGUE]
    at = next(one for one in (choice.chosen, choice.nearest, run.analysis.reference) if one is not None)
    means = {row.metric: row for row in run.analysis.by_cell if row.cell_index == at}
    spread = {name: (max(values) - min(values)) for name in right if (values := [row.mean for row in run.analysis.by_cell if row.metric == name])}
    return {
        "use": use,
        "settings": counts.cells,
        "answers": counts.completions,
        "whole": counts.completions == counts.planned,
        "chosen": None if choice.chosen is None else {name: level for name, level in run.analysis.cells[choice.chosen].items() if level is not None},
        "tied": len(choice.tied),
        "right": {name: [means[name].mean, means[name].ci_low, means[name].ci_high, spread[name]] for name in right if name in means},
        "seconds": time.monotonic() - began,
    }


def told(row: dict[str, Any]) -> str:
    """A row in words."""
    apart = {
        name: f"{mean:.2f} [{low:.2f}, {high:.2f}] (settings differ by {spread:.2f})" for name, (mean, low, high, spread) in row["right"].items()
    }
    reached = ", ".join(f"{name} {words}" for name, words in apart.items())
    setting = "no setting keeps to the bounds" if row["chosen"] is None else ", ".join(f"{name} {level}" for name, level in row["chosen"].items())
    return f"{row['use']}: {row['answers']} answers, {row['settings']} settings, {row['seconds']:.0f} s: {setting}; by {reached or 'form alone'}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("uses", nargs="*", metavar="USE", help=f"of: {', '.join(USES)}; all where none")
    parser.add_argument("--server", default="gemma", help=f"of: {', '.join(SERVERS)}")
    parser.add_argument("--replicates", type=int, default=2, help="answers for each prompt in each setting")
    parser.add_argument("--keep", type=Path, help="install the server there, and use what is installed there")
    parser.add_argument("--outcomes", type=Path, help="append the rows there, each a line of JSON")
    parser.add_argument("--smallest", action="store_true", help="one answer each, of the embedded endpoint")
    options = parser.parse_args()
    if unknown := set(options.uses) - set(USES):
        parser.error(f"no such use: {', '.join(sorted(unknown))}; there are {', '.join(USES)}")
    rows = []
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as started:
        if options.smallest:
            address, model = started.enter_context(Embedded()).base_url(), "babbler"
        else:
            folder = ((options.keep or Path(temporary)) / options.server).resolve()
            folder.mkdir(parents=True, exist_ok=True)
            port = free_port()
            server = SERVERS[options.server](folder, port)
            start(server, port, folder, started)
            address, model = f"http://127.0.0.1:{port}/v1", server.model
        settings = [f"endpoint={json.dumps({'base_url': address, 'model': model})}", f"replicates={1 if options.smallest else options.replicates}"]
        settings += [] if options.smallest else MANNERS.get(options.server, [])
        for use in options.uses or USES:
            rows.append(swept(use, Path(temporary) / "uses" / use, settings))
            print(told(rows[-1]), flush=True)
            if options.outcomes:
                with options.outcomes.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    kept = all(row["whole"] and row["right"] for row in rows)
    print(f"{len(rows)} uses, each to a decision by a measure of what is right: {'PASS' if kept else 'FAIL'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
