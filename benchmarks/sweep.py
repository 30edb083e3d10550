"""CPU and wall time of whole commands: this evalkit against another one, round by round in turn.

    git worktree add /tmp/before COMMIT
    python benchmarks/sweep.py --against /tmp/before [--rounds 5] [--quickstart]

A sweep of 1,000 answers that take 100 ms, 32 at once, plain and streamed; the same command again, which finds nothing to send; ``--help`` and
``plan``. With ``--quickstart`` the quickstart too, which takes minutes, and again with nothing to send. Each evalkit keeps folders of its own. Limits
are of the medians of the rounds' ratios, and hold where ``--against`` is commit 5cf8993.

With `--smallest` it runs once, with a few requests, against itself, and no limit is held.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parents[1]
LIMITS = {"plain": 0.35, "streamed": 0.35, "again": 0.15, "quickstart": None, "quickstart again": 0.15, "help": None, "plan": None}

EXPERIMENT = """
name: bench
endpoint: {{base_url: "{url}", model: m, concurrency: 32, stream: {stream}}}
prompts: [{prompts}]
parameters: {{temperature: [0.2, 0.5, 1.0, 1.5], top_p: [0.5, 0.6, 0.7, 0.8, 0.9]}}
replicates: {replicates}
"""


class Took(NamedTuple):
    """Seconds of CPU, of the command and all that it started, and of wall time."""

    cpu: float
    wall: float


def run(tree: Path, *arguments: str) -> Took:
    """Run the command of one evalkit to its end; raises where it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever uses it compiles it once
    done = subprocess.run([sys.executable, "-m", "evalkit", *arguments], cwd=tree, env=environment, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} in {tree}: status {done.returncode}: {done.stderr[-2_000:]}")
    return Took(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began)


def commands(folder: Path, url: str, replicates: int) -> dict[str, Callable[[Path, str], Took]]:
    """What is measured, by name; each is given an evalkit, and a name for its folder in this round."""
    prompts = ", ".join(f'{{id: p{number}, user: "Say it, {number}."}}' for number in range(5))
    files = {}
    for stream in ("false", "true"):
        files[stream] = folder / f"{stream}.yaml"
        files[stream].write_text(EXPERIMENT.format(url=url, stream=stream, prompts=prompts, replicates=replicates), encoding="utf-8")
    quickstart = "experiments/quickstart.yaml"
    return {
        "plain": lambda tree, name: run(tree, "sweep", str(files["false"]), "-q", "-o", str(folder / f"plain-{name}")),
        "again": lambda tree, name: run(tree, "sweep", str(files["false"]), "-q", "-o", str(folder / f"plain-{name}")),
        "streamed": lambda tree, name: run(tree, "sweep", str(files["true"]), "-q", "-o", str(folder / f"streamed-{name}")),
        "help": lambda tree, _: run(tree, "--help"),
        "plan": lambda tree, _: run(tree, "plan", quickstart),
        "quickstart": lambda tree, name: run(tree, "sweep", quickstart, "-q", "-o", str(folder / f"quickstart-{name}")),
        "quickstart again": lambda tree, name: run(tree, "sweep", quickstart, "-q", "-o", str(folder / f"quickstart-{name}")),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--against", type=Path, default=HERE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quickstart", action="store_true")
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    server = subprocess.Popen(
        [sys.executable, str(HERE / "benchmarks/client.py"), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
    trees = {"other": options.against.resolve(), "this": HERE}
    took: dict[str, dict[str, list[Took]]] = {}
    for tree in trees.values():
        run(tree, "plan", "experiments/quickstart.yaml")
    with tempfile.TemporaryDirectory() as place:
        measured = commands(Path(place), url, 1 if options.smallest else 10)
        if not options.quickstart:
            measured = {name: one for name, one in measured.items() if not name.startswith("quickstart")}
        for number in range(1 if options.smallest else options.rounds):
            for name, measure in measured.items():
                for which, tree in trees.items():
                    if options.smallest and which == "other":
                        continue
                    took.setdefault(name, {"other": [], "this": []})[which].append(measure(tree, f"{which}-{number}"))
    server.communicate()
    failed = False
    for name, found in took.items():
        this, other = ([statistics.median(kind) for kind in zip(*found[which], strict=True)] for which in ("this", "other"))
        line = f"{name:17} this {this[0]:6.2f} s of CPU, {this[1]:6.2f} s"
        if other:
            ratio = statistics.median(a.cpu / b.cpu for a, b in zip(found["this"], found["other"], strict=True))
            limit = LIMITS[name]
            failed |= limit is not None and ratio > limit
            line += f"; other {other[0]:6.2f} and {other[1]:6.2f}; ratio {ratio:.3f}"
            line += "" if limit is None else f", limit {limit:.2f}: {'PASS' if ratio <= limit else 'FAIL'}"
        print(line)
    print(f"load {os.getloadavg()[0]:.1f}")
    return int(failed and not options.smallest)


if __name__ == "__main__":
    sys.exit(main())
