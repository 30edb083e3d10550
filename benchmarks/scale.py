"""The runner at scale, beside a bare loop of the official client: CPU, makespan, memory; and a million requests planned and resumed.

    python benchmarks/scale.py [--rounds 5] [--million] [--smallest]

The server is that of `client.py`: it answers 150 tokens after a fixed 100 ms. Each figure is of a process of its own, which imports nothing that
it does not use; rounds are interleaved, and the ratios are of medians. With `--smallest` each part runs once, on a few requests, and no limit
is held.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from client import Endpoint, measured, theirs

MILLION, FEW = 1_000_000, 1_000
FIXED_MB = 20.0
"""What is loaded beside the client, however many requests there are: numpy, which orders them, and what reads experiments."""


async def whole(base_url: str, requests: int, at_once: int, streamed: bool, folder: Path) -> None:
    """Plan, send and record as a sweep does: signals heeded, the disk kept up."""
    from evalkit.client.connection import Access
    from evalkit.collect.calls import call_of
    from evalkit.collect.pace import Pace
    from evalkit.collect.runner import Policy
    from evalkit.collect.session import sent
    from evalkit.collect.tally import Tally
    from evalkit.experiment.experiment import check
    from evalkit.plan.requests import Plan
    from evalkit.store.records import RecordWriter, Standing

    endpoint = {"base_url": base_url, "model": "m", "stream": streamed}
    prompts = [{"id": f"p{number}", "user": "Say it."} for number in range(4)]
    chosen = check({"name": "b", "endpoint": endpoint, "prompts": prompts, "replicates": -(-requests // 4), "anchor": {"every": 0}})
    plan = Plan(chosen)
    there, tally = Standing(), Tally(len(plan))
    unsent = (request for request in plan.sequence() if there.wants(request.key, False))
    with RecordWriter(folder) as writer:
        about = {"sync": writer.sync, "paces": [Pace(at_once, now=time.monotonic())], "policy": Policy()}
        access = Access(base_url, "key", at_once)
        calls = (call_of(request, writer.append) for request in unsent)
        stopped = await sent(chosen.endpoint, calls, access, tally, **about, progress=lambda _: None, tell=print)
    assert stopped is None
    assert tally.completed == len(plan) >= requests


def one(way: str, base_url: str, requests: int, at_once: int, streamed: bool) -> None:
    """Measure in this process; CPU and wall seconds, and MB of memory: at the peak, and grown to it once all was loaded."""
    chosen = {"ours": whole, "theirs": theirs}[way]
    measured(chosen, base_url, 8, 8, streamed)  # imports are nobody's fault
    loaded = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    cpu, wall, _ = measured(chosen, base_url, requests, at_once, streamed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([cpu, wall, peak / 2**20, (peak - loaded) / 2**20]))


def child(*arguments: object) -> list[float]:
    done = subprocess.run([sys.executable, __file__, "--one", *map(str, arguments)], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def keys(count: int) -> Iterator[str]:
    """The plan of an experiment of so many requests: 100 cells on 500 prompts, or on ten where that is too much."""
    from evalkit.experiment.experiment import check
    from evalkit.plan.requests import Plan

    prompts = 500 if count >= 50_000 else 10
    data = {
        "name": "big",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
        "prompts": [{"id": f"p{number}", "user": f"Say something about subject {number}."} for number in range(prompts)],
        "parameters": {"temperature": [n / 10 for n in range(1, 11)], "top_p": [0.5 + n / 20 for n in range(10)]},
        "replicates": -(-count // (100 * prompts)),
        "request": {"seed": "per_replicate"},
        "anchor": {"every": 0},
    }
    return (request.key for request in Plan(check(data)))


def million(count: int) -> None:
    """Plan and resume so many requests, all of them present; seconds and peak RSS on standard output. The file is written by a child."""
    from evalkit.store.records import standing

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subprocess.run([sys.executable, __file__, "--write", temporary, "--count", str(count)], check=True)
        size = (folder / "responses.jsonl").stat().st_size / 1e6
        began, began_cpu = time.perf_counter(), time.process_time()
        there = standing(folder)
        unsent = planned = 0
        for key in keys(count):
            planned += 1
            unsent += there.wants(key, False)
        cpu, took = time.process_time() - began_cpu, time.perf_counter() - began
    assert (planned, unsent) == (count, 0)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([cpu, took, rss, size]))


def write(folder: Path, count: int) -> None:
    """A record for each request of the plan, as a sweep writes them."""
    text = "word " * 100
    with (folder / "responses.jsonl").open("w") as file:
        for number, key in enumerate(keys(count)):
            outcome = {"type": "completion", "text": text, "finish_reason": "stop", "usage": {"completion_tokens": 100}, "latency_s": 1.0, "tries": 1}
            record = {"v": 1, "key": key, "role": "sweep", "prompt_id": "p", "cell": {"temperature": 0.5}, "replicate": number}
            file.write(json.dumps({**record, "seed": 1, "model": "m", "request": {}, "at": "2026-01-01T00:00:00Z", "outcome": outcome}) + "\n")


def report(name: str, value: float, limit: float, unit: str = "") -> bool:
    print(f"{'PASS' if value <= limit else 'FAIL'}  {name}: {value:.3f}{unit} (limit {limit:g}{unit})", flush=True)
    return value <= limit


def compared(rounds: int, smallest: bool) -> bool:
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("client.py")), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{server.stdout.readline().strip()}/v1"
    good = True
    for streamed in (True,) if smallest else (False, True):
        for at_once, requests in ((8, 16),) if smallest else ((32, 320), (64, 640), (256, 1024)):
            requests //= 1 + streamed  # the loop takes ten times as long for these
            figures: dict[str, list[list[float]]] = {"ours": [], "theirs": []}
            for _ in range(rounds):
                for way, seen in figures.items():
                    seen.append(child(way, url, requests, at_once, int(streamed)))
            a, b = ([statistics.median(column) for column in zip(*figures[way], strict=True)] for way in ("ours", "theirs"))
            ideal = requests / at_once * Endpoint.latency_s + (0.045 if streamed else 0.0) * requests / at_once
            name = f"{'streamed' if streamed else 'plain'}, {at_once} at once"
            print(
                f"      {name}: {a[0] / requests * 1e3:.2f} ms CPU a request ({b[0] / requests * 1e3:.2f} the loop), "
                f"makespan {a[1] / ideal:.2f} of ideal ({b[1] / ideal:.2f}), {a[2]:.0f} MB ({b[2]:.0f})"
            )
            good &= report(f"{name}, CPU beside the loop", a[0] / b[0], 1.10)
            good &= report(f"{name}, makespan beside the loop", a[1] / b[1], 1.10)
            good &= report(f"{name}, memory for the calls beside the loop", a[3] / b[3], 1.10)
            good &= report(f"{name}, peak RSS above the loop's", a[2] - b[2], FIXED_MB, " MB")
    small, large = (child("ours", url, requests, 64, 0)[2] for requests in ((64, 128) if smallest else (1000, 16000)))
    good &= report("RSS from 1,000 to 16,000 requests", large - small, 5.0, " MB")
    server.communicate()
    return good


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--million", action="store_true", help="only the million requests")
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--one", nargs=5)
    parser.add_argument("--count", type=int, default=MILLION)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if options.one:
        way, url, requests, at_once, streamed = options.one
        one(way, url, int(requests), int(at_once), streamed == "1")
        return 0
    if options.write:
        write(options.write, options.count)
        return 0
    if options.resume:
        million(options.count)
        return 0
    good = True if options.million else compared(1 if options.smallest else options.rounds, options.smallest)
    count = FEW if options.smallest else options.count
    done = subprocess.run([sys.executable, __file__, "--resume", "--count", str(count)], stdout=subprocess.PIPE, text=True, check=True)
    cpu, took, rss, size = json.loads(done.stdout)
    print(f"      {count:,} requests, none unsent, in a file of {size:,.0f} MB; {took:.1f} s by the clock")
    good &= report(f"{count:,} planned and resumed, CPU", cpu, 30.0, " s")
    good &= report("its peak RSS", rss, 300.0, " MB")
    return int(not good and not options.smallest)


if __name__ == "__main__":
    sys.exit(main())
