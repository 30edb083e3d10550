"""Merging: its time and memory beside copying the files, its laws on random runs, and shards that are killed against one sweep.

    python benchmarks/merge.py [time] [laws] [shards] [--runs 10] [--records 100000] [--merges 1000] [--smallest]

`time`: runs of so many records, without and with requests that two of them have answered, against copying their files and the copies brought to
the disk; best of three, in turn. `laws`: random runs of a few keys with overlaps, torn ends and lines that stand twice: nothing is lost, no order
matters, a second time changes nothing. `shards`: 16 of one experiment on the embedded endpoint, each killed twice at random, merged and scored,
against one sweep. With `--smallest` each part does little, and no limit is held.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.store.folder import make, write_run
from evalkit.store.merge import CONFLICTS, merge_runs
from evalkit.store.records import Completion, Failure, RecordWriter, Usage, read, record_of

TIMES_OF_COPYING, MEMORY_MB = 1.5, 350
WORDS = "the list holds what you put into it and each slice of it is a new list that holds some of the same things".split()  # noqa: SIM905
broken = 0


def told(what: str, value: float, limit: float | None, unit: str = "") -> None:
    global broken
    kept = limit is None or value <= limit
    broken += not kept
    print(f"{what:<64} {value:>10.2f}{unit}{'' if limit is None else f'  (limit {limit:g})  ' + ('PASS' if kept else 'FAIL')}", flush=True)


def experiment(prompts: int, replicates: int) -> Experiment:
    return check(
        {
            "name": "merged",
            "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "m"},
            "prompts": [{"id": f"p{number}", "user": f"Prompt {number}."} for number in range(prompts)],
            "parameters": {"temperature": [level / 100 for level in range(100)]},
            "replicates": replicates,
            "anchor": {"every": 0},
        }
    )


def answer(rng: random.Random, words: int) -> Completion:
    text = " ".join(rng.choices(WORDS, k=words))
    usage = Usage(prompt_tokens=20, completion_tokens=words, total_tokens=20 + words)
    return Completion(
        text=text, finish_reason="stop", usage=usage, latency_s=rng.random(), tries=1, model="m", id=f"chatcmpl-{rng.getrandbits(64):x}"
    )


def written(place: Path, made: Experiment, runs: int, overlap: float) -> list[Path]:
    """Runs that share a plan out among them; a share of what each has its neighbour has too, with other words."""
    rng = random.Random(1)
    texts = [answer(rng, 120) for _ in range(200)]
    folders = [place / f"r{number}" for number in range(runs)]
    with ExitStack() as stack:
        for folder in folders:
            make(folder)
        writers = [stack.enter_context(RecordWriter(folder)) for folder in folders]
        for at, request in enumerate(Plan(made)):
            writers[at % runs].append(record_of(request, rng.choice(texts)))
            if rng.random() < overlap:
                writers[(at + 1) % runs].append(record_of(request, rng.choice(texts)))
    for folder in folders:
        write_run(folder, made)
    return folders


def copied(folders: list[Path], into: Path) -> float:
    started = time.perf_counter()
    for folder in folders:
        target = into / folder.name
        target.mkdir(parents=True)
        for path in folder.iterdir():
            shutil.copyfile(path, target / path.name)
            fd = os.open(target / path.name, os.O_RDWR)
            os.fsync(fd)
            os.close(fd)
    took = time.perf_counter() - started
    shutil.rmtree(into)
    return took


def merged(folders: list[Path], into: Path) -> tuple[float, float]:
    """Seconds of a merge in a process of its own, its imports left out, and the most memory that it had."""
    code = f"""
import resource, time
from pathlib import Path
from evalkit.store.merge import merge_runs
folders = [Path(one) for one in {[str(folder) for folder in folders]!r}]
started = time.perf_counter()
merge_runs(folders, Path({str(into)!r}))
print(time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    shutil.rmtree(into)
    took, memory = map(float, done.stdout.split())
    return took, memory


def timed(place: Path, runs: int, records: int, hold: bool) -> None:
    made = experiment(max(1, runs * records // 1000), 10)
    for overlap in (0.0, 0.1):
        (place / f"{overlap}").mkdir(parents=True)
        folders = written(place / f"{overlap}", made, runs, overlap)
        os.sync()
        size = sum((folder / "responses.jsonl").stat().st_size for folder in folders) / 2**20
        copies, merges = [], []
        for _ in range(3 if hold else 1):
            copies.append(copied(folders, place / "copy"))
            merges.append(merged(folders, place / "merged"))
        said = f"{runs} x {len(Plan(made)) // runs:,} records ({size:,.0f} MB), {overlap:.0%} of them twice"
        told(f"{said}: copy", min(copies), None, " s")
        told(f"{said}: merge", min(took for took, _ in merges), None, " s")
        told(f"{said}: merge over copy", min(took for took, _ in merges) / min(copies), TIMES_OF_COPYING if hold else None)
        told(f"{said}: memory", max(memory for _, memory in merges), MEMORY_MB if hold else None, " MB")
        if runs > 1:
            fewer = merged(folders[: max(2, runs // 5)], place / "merged")[1]
            told("memory over that of a fifth of the runs", max(memory for _, memory in merges) - fewer, 60 if hold else None, " MB")
        shutil.rmtree(place / f"{overlap}")


def laws(place: Path, merges: int) -> None:
    made = experiment(1, 1)
    requests = list(Plan(made))[:6]
    rng = random.Random(1)
    for number in range(merges):
        at = place / str(number)
        folders = []
        every = []
        for which in range(rng.randint(1, 4)):
            folder = at / f"r{which}"
            make(folder)
            with RecordWriter(folder) as writer:
                for _ in range(rng.randrange(8)):
                    text = rng.choice(["a", "b", "c", None])
                    outcome: Any = Failure(kind="server", message="no", tries=1) if text is None else answer(rng, 1)
                    one = record_of(rng.choice(requests), outcome)
                    every.append(one)
                    for _ in range(rng.choice([1, 1, 1, 2])):
                        writer.append(one)
            write_run(folder, made)
            if every and rng.random() < 0.3:
                with (folder / "responses.jsonl").open("ab") as file:
                    file.write((folder / "responses.jsonl").read_bytes()[: rng.randrange(1, 60)].partition(b"\n")[0])
            folders.append(folder)

        def lines(folder: Path, *names: str) -> list[bytes]:
            return sorted(line for name in names for line in ((folder / name).read_bytes().splitlines() if (folder / name).exists() else []))

        both = ("responses.jsonl", CONFLICTS)
        merge_runs(folders, at / "whole")
        merge_runs(rng.sample(folders, len(folders)), at / "other")
        merge_runs([at / "whole", *folders], at / "again")
        assert lines(at / "whole", *both) == lines(at / "other", *both), f"an order matters: {at}"
        assert lines(at / "whole", both[0]) == lines(at / "again", both[0]), f"a second time changes something: {at}"
        kept = list(read(at / "whole"))
        answered = [one.key for one in kept if isinstance(one.outcome, Completion)]
        assert len(answered) == len(set(answered)), f"two answers of one request: {at}"
        beside = b"".join(lines(at / "whole", CONFLICTS)).decode()
        for one in every:
            said = one.outcome.text if isinstance(one.outcome, Completion) else None
            same = (other for other in kept if other.key == one.key)
            assert any(getattr(other.outcome, "text", None) == said for other in same) or json.dumps(said) in beside, f"lost: {one.key} in {at}"
        shutil.rmtree(at)
    told("random merges that kept every law", merges, None)


def shards(place: Path, count: int, kills: int, prompts: int) -> None:
    path = place / "x.yaml"
    data = {
        "name": "x",
        "endpoint": {"base_url": "local", "model": "babbler"},
        "prompts": [{"id": f"p{number}", "user": f"What is item {number} of a list?"} for number in range(prompts)],
        "parameters": {"temperature": [0.4, 0.8, 1.2], "top_p": [0.8, "default"]},
        "request": {"max_tokens": 60, "seed": "per_replicate"},
        "replicates": 4,
        "choose": {"profile": "balanced"},
        "anchor": {"every": 20},
    }
    path.write_text(json.dumps(data))
    command = [sys.executable, "-m", "evalkit", "sweep", str(path), "-q", "-o"]
    subprocess.run([*command, str(place / "one")], check=True, capture_output=True)
    rng = random.Random(1)
    killed = 0
    for number in range(1, count + 1):
        part = [*command, str(place / f"part{number}"), "--shard", f"{number}/{count}"]
        for _ in range(kills):
            child = subprocess.Popen(part, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                child.wait(rng.uniform(0.3, 3.0))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                killed += 1
            child.wait()
        subprocess.run(part, check=True, capture_output=True)
    evalkit = [sys.executable, "-m", "evalkit"]
    folders = [str(place / f"part{number}") for number in range(1, count + 1)]
    subprocess.run([*evalkit, "merge", *folders, "-o", str(place / "whole")], check=True, capture_output=True)
    subprocess.run([*evalkit, "score", str(place / "whole")], check=True, capture_output=True)
    texts = [{one.key: one.outcome.text for one in read(place / name) if isinstance(one.outcome, Completion)} for name in ("one", "whole")]
    told(f"{count} shards, {killed} kills: requests", len(texts[0]), None)
    told("requests that only one of the two has answered", len(texts[0].keys() ^ texts[1].keys()), 0)
    told("texts that differ", sum(texts[0][key] != text for key, text in texts[1].items() if key in texts[0]), 0)
    told("scores that differ, but for those of time", differing(place / "one", place / "whole"), 0)
    choices = [json.loads((place / name / "choice.json").read_text()) for name in ("one", "whole")]
    told("decisions that differ", choices[0] != choices[1], 0)


def differing(one: Path, other: Path) -> int:
    import duckdb

    timed = "('latency_s', 'time_to_first_token_s', 'tokens_per_s')"
    rows = [
        {repr(row) for row in duckdb.sql(f"SELECT * FROM '{folder}/scores.parquet' WHERE metric NOT IN {timed}").fetchall()}  # noqa: S608
        for folder in (one, other)
    ]
    return len(rows[0] ^ rows[1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="time, laws, shards; all where none is named")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--merges", type=int, default=1000)
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    parts, small = options.parts or ["time", "laws", "shards"], options.smallest
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        if "time" in parts:
            timed(place / "time", *((2, 500) if small else (options.runs, options.records)), hold=not small)
        if "laws" in parts:
            laws(place / "laws", 5 if small else options.merges)
        if "shards" in parts:
            (place / "shards").mkdir()
            shards(place / "shards", *((1, 0, 1) if small else (16, 2, 20)))
    print(f"this process had {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    return 0 if small or not broken else 1


if __name__ == "__main__":
    sys.exit(main())
