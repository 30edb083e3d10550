"""Scoring and analysis against an earlier release in one interleaved run: CPU, growth, memory, and what `--jobs` saves.

    python benchmarks/scoring.py [--rounds 3] [--against 5cf8993] [--smallest]
    python benchmarks/scoring.py --memory 10000 400000

Both run on the same records and the same scores, each in a process of its own; the earlier release is a worktree of this repository in a temporary
folder. Where it cannot be had, its ratios are left out. With `--smallest` each part runs once, on a few answers, and no limit is held.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
AGAINST = "5cf8993"
WORDS = 200
ELSEWHERE = {
    "evalkit.scoring.scores": "evalkit.scores",
    "evalkit.scoring.grids": "evalkit.scores",
    "evalkit.experiment.experiment": "evalkit.experiment",
    "evalkit.plan.requests": "evalkit.plan",
    "evalkit.store.records": "evalkit.records",
    "evalkit.analysis.analysis": "evalkit.analysis",
    "evalkit.scoring.metric_set": "evalkit.measures",
}
"""Where the earlier release keeps what it is asked for."""


def of(module: str, name: str) -> Any:
    """Something of evalkit, of this release or the earlier one."""
    try:
        return getattr(importlib.import_module(module), name)
    except ImportError:
        return getattr(importlib.import_module(ELSEWHERE[module]), name)


def plan_of(cells: int, prompts: int, k: int) -> Any:
    """The plan of two parameters, as near to a square as the number of cells allows."""
    wide = next(one for one in range(math.isqrt(cells), 0, -1) if cells % one == 0)
    data = {
        "name": "scoring",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
        "prompts": [{"id": f"p{number}", "user": f"Say something about subject {number}."} for number in range(prompts)],
        "parameters": {
            "temperature": [one / wide for one in range(1, wide + 1)],
            "top_p": [(one + 1) * wide / cells for one in range(cells // wide)],
        },
        "replicates": k,
        "anchor": {"every": 0},
        "choose": {"prefer": {"distinct_2": {"goal": "maximize"}, "rep_4": {"goal": "minimize"}}},
    }
    return of("evalkit.plan.requests", "Plan")(of("evalkit.experiment.experiment", "check")(data))


def vocabulary(rng: np.random.Generator, size: int = 5_000) -> tuple[np.ndarray, np.ndarray]:
    letters = list("etaoinshrdlucmfw")
    words = np.array(["".join(rng.choice(letters, size=rng.integers(2, 10))) for _ in range(size)])
    weight = 1 / np.arange(1, size + 1)
    return words, np.cumsum(weight / weight.sum())


def records(plan: Any, words: int = WORDS) -> Iterator[Any]:
    """An answer to each request of the plan, of words drawn from a Zipf vocabulary, and some twenty of them more or less."""
    record, completion, usage = (of("evalkit.store.records", name) for name in ("Record", "Completion", "Usage"))
    rng = np.random.default_rng(1)
    known, share = vocabulary(rng)
    for request in plan:
        size = words + int(rng.integers(-words // 10, words // 10 + 1))
        text = " ".join(known[np.minimum(np.searchsorted(share, rng.random(size)), len(known) - 1)].tolist())
        outcome = completion(text=text, finish_reason="stop", usage=usage(completion_tokens=size), latency_s=1.0, tries=1)
        yield record(
            key=request.key, role="sweep", prompt_id=request.prompt_id, cell=request.cell, replicate=request.replicate, seed=None, model="m",
            request=request.body, at="2026-01-01T00:00:00Z", outcome=outcome,
        )  # fmt: skip


def scoring(cells: int, prompts: int, k: int, words: int, jobs: int = 1) -> dict[str, float]:
    """CPU and wall seconds from records to scores, and MB of memory at the peak."""
    score = of("evalkit.scoring.scores", "score")
    warm = plan_of(2, 2, 2)
    score(warm, records(warm))
    plan = plan_of(cells, prompts, k)
    there = list(records(plan, words))
    cpu, wall = time.process_time(), time.perf_counter()
    score(plan, there, **({"jobs": jobs} if jobs > 1 else {}))
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def analysis(cells: int, prompts: int) -> dict[str, float]:
    """CPU seconds from scores to a decision."""
    metrics = of("evalkit.scoring.metric_set", "MEASURED")
    score, scores = of("evalkit.scoring.grids", "Score"), of("evalkit.scoring.scores", "Scores")
    prefix = importlib.import_module("evalkit.scoring.prefix" if "evalkit.scoring" in sys.modules else "evalkit.prefix").Prefix
    plan = plan_of(cells, prompts, 8)
    rng = np.random.default_rng(3)
    merit, hard = rng.normal(size=(cells, 1)) * 0.03, rng.normal(size=(1, prompts)) * 0.1
    by_metric = {}
    for one in metrics:
        top = one.high if math.isfinite(one.high) else 100.0
        grid = one.low + (top - one.low) * np.clip(0.5 + merit + hard + 0.05 * rng.normal(size=(cells, prompts)), 0, 1)
        counts = np.full((cells, prompts), 8)
        by_metric[one.name] = score(value=grid, value_full=grid, n_texts=counts, n_eligible=counts)
    common = prefix(100, np.ones(cells), (), 8)
    found = scores(
        plan=plan, by_metric=by_metric, tokenizer="t", k=8, groups_left_out=0, completions=len(plan), metrics=tuple(metrics), prefix=common
    )
    analyse, choose = of("evalkit.analysis.analysis", "analyse"), of("evalkit.choice", "choose")
    cpu, wall = time.process_time(), time.perf_counter()
    assert choose(found, analyse(found)) is not None
    return {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def written(folder: str, cells: int, prompts: int, k: int, words: int) -> dict[str, float]:
    """Write the records of a plan into a folder."""
    with of("evalkit.store.records", "RecordWriter")(Path(folder)) as writer:
        for one in records(plan_of(cells, prompts, k), words):
            writer.append(one)
    return {}


def from_disk(folder: str, cells: int, prompts: int, k: int) -> dict[str, float]:
    """Seconds from records on the disk to tables and a decision, and MB of memory at the peak."""
    plan = plan_of(cells, prompts, k)
    cpu = time.process_time()
    scores = of("evalkit.scoring.scores", "score")(plan, of("evalkit.store.records", "read")(Path(folder)))
    of("evalkit.scoring.tables", "write_tables")(Path(folder), scores, ".tmp")
    assert of("evalkit.choice", "choose")(scores, of("evalkit.analysis.analysis", "analyse")(scores)) is not None
    return {"cpu": time.process_time() - cpu, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def child(tree: Path, *arguments: object) -> dict[str, float]:
    told = {**os.environ, "PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(HERE), "--child", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True, env=told)
    return json.loads(done.stdout)


@contextmanager
def earlier(commit: str) -> Iterator[Path | None]:
    """A worktree of the earlier release; None where it cannot be had, or none is named."""
    if not commit:
        yield None
        return
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "earlier"
        made = subprocess.run(["git", "-C", str(ROOT), "worktree", "add", "--detach", str(tree), commit], capture_output=True, text=True)
        if made.returncode:
            print(f"      no worktree of {commit}, so nothing is compared with it: {made.stderr.strip().splitlines()[-1]}")
            yield None
            return
        try:
            yield tree
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree)], check=True, capture_output=True)


def report(name: str, value: float, limit: float) -> bool:
    print(f"{'PASS' if value <= limit else 'FAIL'}  {name}: {value:.2f} (limit {limit:g})", flush=True)
    return value <= limit


CASES = {
    "scoring of 2,000 answers of 200 words, k = 8": (("scoring", 25, 10, 8, WORDS), ("scoring", 2, 2, 8, 40), 1.0),
    "scoring of 2,000 answers of 200 words, k = 100": (("scoring", 4, 5, 100, WORDS), ("scoring", 2, 1, 20, 40), 0.85),
    "scores to decision, 1,000 settings × 50 prompts": (("analysis", 1000, 50), ("analysis", 4, 6), 0.25),
}
"""What is measured, at its size and at the smallest; and the most of the earlier release's CPU that it may need."""


def compared(rounds: int, commit: str, smallest: bool) -> bool:
    good = True
    with earlier(commit) as tree:
        for name, (full, least, limit) in CASES.items():
            seen: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(rounds):
                for way, where in (("ours", ROOT), ("theirs", tree)):
                    if where is not None:
                        seen[way].append(child(where, *(least if smallest else full))["cpu"])
            ours = statistics.median(seen["ours"])
            print(f"      {name}: {ours:.2f} s CPU" + (f", {statistics.median(seen['theirs']):.2f} s at {commit}" if tree else ""), flush=True)
            if tree is not None:
                good &= report("of that release's", ours / statistics.median(seen["theirs"]), limit)
    return good


GROWTH = {
    "answers (prompts)": ([("scoring", 4, prompts, 8, WORDS) for prompts in (10, 20, 40)], 1.15),
    "replicates": ([("scoring", 2, 1, k, WORDS) for k in (100, 200, 400)], 2.0),
    "words": ([("scoring", 2, 5, 8, words) for words in (1_000, 2_000, 4_000)], 2.0),
    "settings": ([("analysis", cells, 20) for cells in (100, 200, 400)], 1.15),
    "prompts": ([("analysis", 36, prompts) for prompts in (50, 100, 200)], 1.15),
}
"""Three sizes of each, every one twice that before; and the most that CPU may grow by, as a power of it (two texts are aligned in m n / 64)."""


def growth(smallest: bool) -> bool:
    good = True
    for name, (sizes, limit) in GROWTH.items():
        if smallest and name != "answers (prompts)":
            continue
        times = [child(ROOT, *(("scoring", 2, at + 1, 2, 20) if smallest else size))["cpu"] for at, size in enumerate(sizes)]
        print(f"      {name}: {', '.join(f'{one:.2f}' for one in times)} s CPU", flush=True)
        good &= report(f"power that CPU grows by with {name}", math.log2(times[-1] / times[0]) / 2, limit)
    return good


def memory(sizes: list[int]) -> bool:
    """The memory that so many answers need, from records on the disk to tables and a decision."""
    seen = []
    for answers in sizes:
        cells, k = (2, 2) if answers < 1_000 else (25, 8)
        shape = (cells, answers // (cells * k), k)
        with tempfile.TemporaryDirectory() as folder:
            child(ROOT, "written", folder, *shape, 20 if answers < 1_000 else WORDS)
            seen.append(child(ROOT, "from_disk", folder, *shape))
        print(f"      {answers:,} answers from records to a decision: {seen[-1]['mb']:.0f} MB, {seen[-1]['cpu']:.0f} s CPU", flush=True)
    good = report("MB at most", seen[-1]["mb"], 350)
    return report("of the memory of the fewest", seen[-1]["mb"] / seen[0]["mb"], 1.2) and good


def spread(smallest: bool) -> bool:
    """What two processes save, which a machine that is busy hides."""
    size = ("scoring", 2, 4, 3, 20) if smallest else ("scoring", 25, 10, 8, WORDS)
    one, two = (child(ROOT, *size, jobs)["wall"] for jobs in (1, 2))
    print(
        f"      --jobs 2: {one:.2f} s by the clock alone, {two:.2f} s by two ({one / two:.2f} times as fast); load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", default=AGAINST, metavar="COMMIT")
    parser.add_argument("--smallest", action="store_true", help="a few answers, to see that it runs; no limit is held, and nothing is compared")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--memory", nargs="*", type=int, metavar="ANSWERS", help="measure memory alone, at these numbers of answers")
    options = parser.parse_args()
    if options.child:
        kind, *told = options.child
        work = {"scoring": scoring, "analysis": analysis, "written": written, "from_disk": from_disk}[kind]
        print(json.dumps(work(*(int(one) if one.isdigit() else one for one in told))))
        return 0
    if options.memory is not None:
        return int(not memory(options.memory or [10_000, 40_000, 400_000]))
    good = compared(1, "", True) if options.smallest else compared(options.rounds, options.against, False)
    good &= growth(options.smallest)
    good &= memory([16, 32] if options.smallest else [10_000, 40_000])
    good &= spread(options.smallest)
    return int(not good and not options.smallest)


if __name__ == "__main__":
    sys.exit(main())
