"""Batches: a sweep by batches killed with SIGKILL at random, begun again, and killed again; nothing is started twice, and nothing is lost.

    python benchmarks/batches.py [--kills 100] [--smallest]

Rounds of a sweep against 'evalkit serve' under faults on the way (limited, failing, cut off) and of batches (lines twice and out of order, answers
that fail, which are asked again), each killed at random moments until the kills are used up, and then left alone. The server's own count of what was
asked of it is held against the records. With `--smallest` one round is killed once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from http.client import HTTPException
from pathlib import Path
from typing import Any

from evalkit.experiment.experiment import load
from evalkit.plan.requests import Plan
from evalkit.store.records import Completion, read

REHEARSAL = {
    "seed": 1,
    "faults": [
        {"fault": "rate_limited", "share": 0.05, "retry_after_s": 0.1},
        {"fault": "server_error", "share": 0.05},
        {"fault": "disconnect", "share": 0.05},
    ],
    "batches": [
        {"fault": "late", "seconds": 0.3},
        {"fault": "line_twice", "share": 0.1},
        {"fault": "out_of_order"},
        {"fault": "failed", "share": 0.1},
    ],
}
CODE = """
import sys
from pathlib import Path
from evalkit.experiment.experiment import load
from evalkit.sweeping.batching import Waiting, run_batches
from evalkit.sweeping.hooks import Hooks
hooks = Hooks(note=lambda note: print(note, file=sys.stderr))
found = run_batches(load(sys.argv[1]), Path(sys.argv[2]), hooks=hooks, waiting=Waiting(wait=True, settles_s=1.0))
sys.exit(0 if found is not None and found.complete else 3)
"""
"""As the command line does it, but for how long a start that nobody answered is waited for: the server here starts a batch at once or never."""


def told(what: str, value: float, limit: float | None) -> bool:
    kept = limit is None or value <= limit
    print(f"{what:<60} {value:>8,.0f}{'' if limit is None else f'  (limit {limit:g})  ' + ('PASS' if kept else 'FAIL')}", flush=True)
    return kept


def asked(url: str, path: str) -> Any:
    """What the server tells, asked again where a fault strikes."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"{url}{path}", timeout=10) as response:  # noqa: S310 (our own server)
                return json.loads(response.read())
        except (OSError, ValueError, HTTPException):
            time.sleep(0.05)
    raise RuntimeError(f"{path}: no answer")


def listed(url: str) -> list[dict[str, Any]]:
    """All batches that the server was asked to start."""
    rows: list[dict[str, Any]] = []
    while True:
        after = f"&after={rows[-1]['id']}" if rows else ""
        page = asked(url, f"/batches?limit=100{after}")
        rows += page["data"]
        if not page["has_more"]:
            return rows


def content(url: str, file: str) -> list[str]:
    """The keys that stand in a file of requests, or of errors."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"{url}/files/{file}/content", timeout=10) as response:  # noqa: S310 (our own server)
                return [json.loads(line)["custom_id"] for line in response.read().splitlines()]
        except (OSError, ValueError, HTTPException):
            time.sleep(0.05)
    raise RuntimeError(f"{file}: no answer")


def killed(place: Path, url: str, rng: random.Random, kills: int, number: int, prompts: int) -> tuple[int, Path, Path]:
    """One sweep, killed some times and then left alone; how often it was."""
    path, folder = place / f"x{number}.yaml", place / f"run{number}"
    data = {
        "name": f"x{number}",
        "endpoint": {"base_url": url, "model": "babbler", "max_tries": 20, "batch": {"max_requests": 40, "poll_s": 0.1}},
        "prompts": [{"id": f"p{at}", "user": f"What is item {at} of list {number}?"} for at in range(prompts)],
        "parameters": {"temperature": [0.4, 0.8, 1.2]},
        "request": {"max_tokens": 20, "seed": "per_replicate"},
        "replicates": 3,
        "anchor": {"every": 0},
    }
    path.write_text(json.dumps(data))
    command = [sys.executable, "-c", CODE, str(path), str(folder)]
    done = 0
    for _ in range(kills):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        began = time.monotonic()
        until = rng.uniform(0.0, 2.5)
        while child.poll() is None and not (folder / "batches.jsonl").exists() and time.monotonic() < began + 30:
            time.sleep(0.01)  # the imports are of no interest
        try:
            child.wait(until)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            done += 1
        if child.wait() == 0:
            break
    for _ in range(20):  # answers that failed are asked again by the next command
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode == 0:
            return done, path, folder
    raise RuntimeError(f"{folder}: never ends: {ended.stderr[-2000:]}\n{(folder / 'batches.jsonl').read_text()[-2000:]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    rng = random.Random(1)
    kept = True
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        (place / "trouble.yaml").write_text(json.dumps(REHEARSAL))
        serve = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--until-input-ends", "--faults", str(place / "trouble.yaml")]
        with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            url = child.stdout.readline().strip()
            kills, total = 0, 1 if options.smallest else options.kills
            answered: Counter[str] = Counter()
            lost = planned = number = 0
            while kills < total:
                done, path, folder = killed(place, url, rng, min(10, total - kills), number, 2 if options.smallest else 15)
                kills, number = kills + max(done, int(options.smallest)), number + 1
                keys = {request.key for request in Plan(load(path))}
                answered.update(record.key for record in read(folder) if isinstance(record.outcome, Completion))
                planned += len(keys)
                lost += sum(answered[key] == 0 for key in keys)
            rows = listed(url)
            sent = Counter(key for row in rows for key in content(url, row["input_file_id"]))
            failed = Counter(key for row in rows if row["error_file_id"] for key in content(url, row["error_file_id"]))
            child.stdin.close()
    # A request is to be asked once more for each answer of it that failed, by the server's own count, and never else.
    twice = sum(count > 1 + failed[key] for key, count in sent.items())
    told("kills", kills, None)
    told("requests planned", planned, None)
    told("answers that failed, and were asked for again", sum(failed.values()), None)
    kept &= told("requests started more often than they failed", twice, 0)
    kept &= told("requests without their answer in the end", lost, 0)
    kept &= told("requests with two answers recorded", sum(count > 1 for count in answered.values()), 0)
    return 0 if kept or options.smallest else 1


if __name__ == "__main__":
    sys.exit(main())
