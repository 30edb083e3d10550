"""Does the gate of `evalkit compare` keep its promises: to pass what differs by its seed alone, and to fail what got worse? And what does it cost?

Run: python benchmarks/gate.py [PART ...] [--smallest]; parts: simulated, endpoint, size. With `--smallest` each part runs on one seed and on
few cells, prompts and replicates, and no limit is held.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evalkit.comparison.comparison import compare
from evalkit.comparison.gate import Margins
from evalkit.comparison.verdict import Compared, judged
from evalkit.experiment.experiment import Experiment, check, load
from evalkit.metrics import Metric
from evalkit.plan.requests import Plan
from evalkit.stats.multiple import holm
from evalkit.store.folder import make, write_run
from evalkit.store.records import Completion, Record, RecordWriter, Usage
from evalkit.sweeping.rescoring import rescore
from evalkit.sweeping.sweeping import run_sweep

SEED = 11
CELLS = 8
PLANTED = "hdd_42"
ROOT = Path(__file__).resolve().parent.parent
broken = 0


class Size(NamedTuple):
    """How much of each part is run: `seeds` simulated, pairs of sweeps of `prompts`, and of what `levels` a large run is made."""

    seeds: int = 200
    sweeps: int = 20
    prompts: int = 10
    replicates: int = 4
    levels: tuple[int, int, int] = (5, 5, 8)
    large: int = 50


SMALLEST = Size(seeds=1, sweeps=1, prompts=2, replicates=2, levels=(2, 2, 2), large=3)


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


def simulated(of: Size) -> None:
    """At the level of (cell, prompt) values: families of one metric and of twenty, independent ones and such that go together."""
    print(f"simulated: {of.seeds} seeds each, {CELLS} cells; share of runs that differ by their seed alone and pass")
    for metrics, shared in ((1, 0.0), (20, 0.0), (20, 0.5)):
        for prompts in (10, 20):
            for width in (0.1, 2.0):
                found = [_gate(seed, metrics, prompts, shared, width, 0) for seed in range(of.seeds)]
                passed = float(np.mean([not _fails(one) for one in found]))
                row(f"passes: {metrics} metrics, shared {shared:.1f}, {prompts} prompts, margin {width:.1f} standard errors", passed, 0.95)
    print("worse by twice the margin: share that fails (and with Holm's p)")
    for metrics, planted, shared in ((1, 1, 0.0), (4, 1, 0.5), (20, 1, 0.5), (20, 5, 0.5)):
        for prompts in (10, 20):
            for width in (2.0, 3.0):
                found = [_gate(seed, metrics, prompts, shared, width, planted) for seed in range(of.seeds)]
                failed, by_holm = (float(np.mean([way(one) for one in found])) for way in (_fails, _fails_by_holm))
                promised = prompts >= 20 and (metrics == 1 or width > 2)
                what = f"fails: {planted} of {metrics} metrics worse, shared {shared:.1f}, {prompts} prompts, margin {width:.0f} se"
                row(f"{what} (Holm {by_holm:.3f})", failed, 0.95 if promised else None)


def endpoint(of: Size) -> None:
    """Through the embedded endpoint: sweeps that differ by chance alone, and such whose answers repeat more, by a negative presence penalty."""
    print(f"endpoint: {of.sweeps} pairs of sweeps each, 8 cells, {of.prompts} prompts, {of.replicates} replicates")
    data = load(ROOT / "experiments/quickstart.yaml").resolved()
    data["prompts"] = data["prompts"][: of.prompts]
    command = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--until-input-ends"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        data["endpoint"]["base_url"] = child.stdout.readline().strip()
        _sweeps(of, data)
        child.communicate()


def _sweeps(of: Size, data: dict[str, Any]) -> None:
    for name in ("frequency_penalty", "presence_penalty"):
        del data["parameters"][name]
    data |= {"replicates": of.replicates, "parameters": {**data["parameters"], "temperature": [0.5, 1.0]}}
    with tempfile.TemporaryDirectory() as place:

        def swept(seed: int, penalty: float = 0, sent: bool = False) -> Path:
            """A sweep; with a `sent` seed each prompt's replicate has one, alike in all cells, else the endpoint draws its own for each answer."""
            folder = Path(place) / f"{seed}-{penalty}-{sent}"
            request = {name: value for name, value in data["request"].items() if sent or name != "seed"}
            made = check({**data, "seed": seed, "request": {**request, "presence_penalty": penalty}})
            with contextlib.redirect_stderr(None):
                run_sweep(made, folder)
            return folder

        baselines = [swept(seed) for seed in range(of.sweeps)]
        same = [compare(folder, swept(1_000 + seed)) for seed, folder in enumerate(baselines)]
        row("passes: no seed sent, default metrics and margins", float(np.mean([one.passed for one in same])), 0.95)
        worse = [swept(2_000 + seed, -1) for seed in range(of.sweeps)]
        first = [compare(*pair, fail_on=("nothing",)) for pair in zip(baselines, worse, strict=True)]
        effects = [next(one for one in found.metrics if one.metric == PLANTED) for found in first]
        margin = abs(float(np.mean([one.difference for one in effects]))) / 2
        row(
            f"margin of {PLANTED} (half of the mean effect) in standard errors, the median",
            float(np.median([margin / one.se for one in effects])),
            2.0,
        )
        again = [compare(*pair, margins=Margins({PLANTED: margin})) for pair in zip(baselines, worse, strict=True)]
        row(f"fails: {PLANTED} worse by twice its margin, among all metrics", float(np.mean([not one.passed for one in again])), 0.95)
        row(f"names {PLANTED}", float(np.mean([any(line.startswith(PLANTED) for line in one.objections) for one in again])))
        seeded = [compare(swept(100 * seed, sent=True), swept(100 * seed + 50, sent=True)) for seed in range(of.sweeps)]
        row("passes: other seeds sent, one for each prompt and replicate", float(np.mean([one.passed for one in seeded])), 0.95)


def _written(folder: Path, seed: int, of: Size) -> None:
    """A run of as many cells and prompts as `of` says and 8 replicates, of answers of 40 to 80 words, as a sweep leaves it."""
    rng = np.random.default_rng([SEED, seed])
    words = np.array([f"word{number}" for number in range(4_000)])
    often = 1 / np.arange(1, len(words) + 1)
    often /= often.sum()
    temperatures, widths, penalties = of.levels
    levels = {"temperature": [0.2, 0.4, 0.6, 0.8, 1.0][:temperatures], "top_p": [0.6, 0.7, 0.8, 0.9, 1.0][:widths]}
    levels |= {"presence_penalty": [0.1 * number for number in range(penalties)]}
    prompts = [{"id": f"p{number}", "user": f"about {number}"} for number in range(of.large)]
    about = {"name": "size", "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"}, "prompts": prompts}
    made = check({**about, "parameters": levels, "replicates": 8, "seed": seed})
    make(folder)
    with RecordWriter(folder) as writer:
        for request in Plan(made):
            size = int(rng.integers(40, 80))
            text = " ".join(words[rng.choice(len(words), size, p=often)])
            usage = Usage(prompt_tokens=10, completion_tokens=size)
            outcome = Completion(text=text, finish_reason="stop", usage=usage, latency_s=0.5, tries=1)
            writer.append(
                Record(key=request.key, role="sweep", prompt_id=request.prompt_id, cell=request.cell, replicate=request.replicate, seed=None,
                       model="none", request=request.body, at="2026-01-31T12:00:00.500Z", outcome=outcome)
            )  # fmt: skip
    write_run(folder, made)


def _cost(*arguments: object) -> tuple[float, float]:
    """CPU seconds and peak memory in MB of a command of evalkit."""
    child = subprocess.Popen([sys.executable, "-m", "evalkit", *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"evalkit {' '.join(map(str, arguments))}: status {child.returncode}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1_000


def size(of: Size) -> None:
    """Two runs of 200 cells, 50 prompts and 8 replicates: 160,000 answers."""
    print(f"size: {math.prod(of.levels)} cells, {of.large} prompts, 8 replicates, answers of 40 to 80 words; the whole command")
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place) / "baseline", Path(place) / "candidate"]
        _written(folders[0], 0, of)
        shutil.copytree(*folders)  # what the answers are decides nothing of the cost
        seconds, memory = _cost("compare", *folders, "--html", Path(place) / "x.html", "--json", Path(place) / "x.json")
        row("records alone, all measured anew: CPU seconds", seconds)
        row("records alone, all measured anew: MB", memory, None, 1_000)
        rescore(folders[0])
        shutil.copytree(*folders, dirs_exist_ok=True)
        seconds, memory = _cost("compare", *folders, "--html", Path(place) / "x.html", "--json", Path(place) / "x.json")
        row("with the tables that sweeps leave: CPU seconds", seconds, None, 20)
        row("with the tables that sweeps leave: MB", memory, None, 1_000)


PARTS = {"simulated": simulated, "endpoint": endpoint, "size": size}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    for name in options.parts or PARTS:
        PARTS[name](SMALLEST if options.smallest else Size())
    sys.exit(1 if broken and not options.smallest else 0)


if __name__ == "__main__":
    main()
