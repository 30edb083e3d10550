"""What the viewer costs: its start, the list of 200 runs, each page of a run of 100,000 answers, and following a sweep that goes on.

    python benchmarks/view.py [start] [list] [pages] [follow] [shares] [--smallest]

`start` is CPU from the command to the address. `list` is the first list of a new server, and the next. `pages` are the second look at each page, in
CPU of the server, with what the first one took beside it, and the server's largest resident memory; the whole report is made by a process of its own,
whose time is shown. `follow` is CPU of the server, one browser following, over that of the sweep, while 5,000 answers are added to 100,000. `shares`
is the coverage of intervals of shares of wins, and of strengths, in simulated ratings.

Fails where a limit is broken. With `--smallest` everything is small, and no limit is held.
"""

from __future__ import annotations

import argparse
import http.client
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.stats.preference import Compared, bradley_terry, compared, strengths, win_share, win_shares
from evalkit.store import ratings
from evalkit.store.folder import make, write_run
from evalkit.store.ratings import Rating
from evalkit.store.records import Completion, RecordWriter, Usage, record_of
from evalkit.sweeping.rescoring import rescore

HERE = Path(__file__).resolve().parents[1]
WORDS = [f"word{number}" for number in range(26)]
PAGES = {
    "overview": "/run/large",
    "answers": "/run/large/answers?prompt=3&cell=1&cell=7",
    "four settings": "/run/large/answers?prompt=4&cell=1&cell=7&cell=8&cell=9",
    "search": "/run/large/answers?find=word3+word4",
    "differences": "/run/large/answers?prompt=3&cell=1&cell=7&a=1.0&b=7.1",
    "next pair": "/run/large/rate/next?rater=ann",
    "ratings": "/run/large/ratings",
    "live": "/run/large/live",
}
PARTS = ("start", "list", "pages", "follow", "shares")


class Size(NamedTuple):
    """How much there is: levels of two parameters, prompts, replicates, runs of the list, and requests of a sweep that is followed."""

    levels: int
    prompts: int
    replicates: int
    runs: int
    rounds: int


class Server:
    """The viewer on a folder."""

    def __init__(self, results: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(HERE)}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # whoever uses it compiles it once
        command = [sys.executable, "-m", "evalkit", "view", str(results), "--no-open", "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
        found = re.search(r"127\.0\.0\.1:(\d+)(\S+)", self.process.stdout.readline())
        self.start_s = cpu(self.process.pid)
        self.port = int(found[1])
        with closing(self.connection()) as connection:
            connection.request("GET", found[2])
            self.headers = {"Cookie": connection.getresponse().headers["set-cookie"].partition(";")[0]}

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def took(self, path: str) -> tuple[float, float]:
        """Seconds of CPU that the server takes for a page, and of wall time."""
        began, before = time.perf_counter(), cpu(self.process.pid)
        with closing(self.connection()) as connection:
            connection.request("GET", path, headers=self.headers)
            found = connection.getresponse()
            found.read()
            assert found.status == 200, (path, found.status)
        return cpu(self.process.pid) - before, time.perf_counter() - began

    def memory(self) -> float:
        """The largest resident memory so far, MB."""
        said = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", said)[1]) / 1024

    def end(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.process.stdout.close()


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def experiment(size: Size, url: str, more: int = 0) -> Experiment:
    return check(
        {
            "name": "large",
            "endpoint": {"base_url": url, "model": "m", "concurrency": 32},
            "prompts": [{"id": f"p{number}", "user": f"Say it, {number}."} for number in range(size.prompts)],
            "parameters": {
                "temperature": [round(0.1 * (one + 1), 1) for one in range(size.levels)],
                "top_p": [round(0.05 * (one + 1), 2) for one in range(2 * size.levels)],
            },
            "replicates": size.replicates + more,
            "choose": {"prefer": {"length_words": {"goal": "maximize"}}},
        }
    )


def large(folder: Path, size: Size, url: str = "http://127.0.0.1:9/v1") -> Path:
    """A run of as many answers as `size` says, with records that look like an endpoint's."""
    made, rng = experiment(size, url), np.random.default_rng(1)
    make(folder)
    write_run(folder, made)
    with RecordWriter(folder) as writer:
        for request in Plan(made):
            text = " ".join(WORDS[one] for one in rng.integers(0, len(WORDS), 60))
            usage = Usage(prompt_tokens=20, completion_tokens=60, total_tokens=80)
            writer.append(record_of(request, Completion(text=text, finish_reason="stop", usage=usage, latency_s=0.5, tries=1, model="m")))
    return folder


def start(smallest: bool) -> bool:
    found = []
    with tempfile.TemporaryDirectory() as place:
        for _ in range(2 if smallest else 6):
            server = Server(Path(place))
            found.append(server.start_s)
            server.end()
    return told("start", sorted(found[1:])[len(found[1:]) // 2], 0.6, "s of CPU")


def listed(size: Size) -> bool:
    with tempfile.TemporaryDirectory() as place:
        first = large(Path(place) / "run", size._replace(levels=2, prompts=6, replicates=2))
        rescore(first)
        for number in range(size.runs - 1):
            shutil.copytree(first, Path(place) / f"run-{number}")
        server = Server(Path(place))
        once, again = server.took("/"), server.took("/")
        server.end()
    return told(f"list of {size.runs} runs, first", once[0], 1.0, f"s of CPU, {once[1]:.2f} s") & told(
        "again", again[0], 1.0, f"s of CPU, {again[1]:.2f} s"
    )


def pages(size: Size) -> bool:
    kept = True
    with tempfile.TemporaryDirectory() as place:
        folder = large(Path(place) / "large", size)
        print(
            f"{size.levels * 2 * size.levels * size.prompts * size.replicates:,} answers, {(folder / 'responses.jsonl').stat().st_size / 1e6:.0f} MB"
        )
        few = "length_words,length_chars,truncation_rate,empty_rate"  # which are measured moves no page by much
        scoring = [sys.executable, "-m", "evalkit", "score", str(folder), "--metrics", few]
        subprocess.run(scoring, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.DEVNULL, check=True)
        plan = Plan(experiment(size, "http://127.0.0.1:9/v1"))
        for prompt in range(min(size.prompts, 20)):
            left, right = (plan.request(cell, prompt, 0).key for cell in (1, 7))
            ratings.append(folder, Rating(at="x", rater="ann", prompt_id=f"p{prompt}", left=left, right=right, verdict="left"))
        server = Server(Path(place))
        time.sleep(3)
        for name, path in PAGES.items():
            once, again = server.took(path), server.took(path)
            kept &= told(name, again[0], 1.0, f"s of CPU, {again[1]:.2f} s; the first time {once[0]:.2f}, {once[1]:.2f}")
        kept &= told("memory", server.memory(), 400, "MB")
        print(f"{'the whole report':34} {server.took('/run/large/report')[1]:8.2f} s, {server.took('/run/large/report')[1]:.2f} s again")
        server.end()
    return kept


def follow(size: Size) -> bool:
    served = subprocess.Popen(
        [sys.executable, str(HERE / "benchmarks/client.py"), "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    url = f"http://127.0.0.1:{served.stdout.readline().strip()}/v1"
    try:
        with tempfile.TemporaryDirectory() as place:
            folder = large(Path(place) / "large", size, url)
            wanted = Path(place) / "more.yaml"
            wanted.write_text(json.dumps(experiment(size, url, more=1).resolved()))
            return _followed(Path(place), folder, wanted)
    finally:
        served.communicate()


def _followed(place: Path, folder: Path, wanted: Path) -> bool:
    file = folder / "responses.jsonl"
    before = file.stat().st_size
    server = Server(place)
    command = [sys.executable, "-m", "evalkit", "sweep", str(wanted), "-o", str(folder), "-q", "-y", "--no-look"]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(HERE)}, stdout=subprocess.DEVNULL) as sweep:
        while file.stat().st_size == before:
            time.sleep(0.01)
        connection = server.connection()
        connection.request("GET", "/run/large/events", headers=server.headers)
        stream = connection.getresponse()
        stream.readline()  # the first look reads all that stands there
        began, at = [cpu(server.process.pid), cpu(sweep.pid)], file.stat().st_size
        reader = threading.Thread(target=lambda: [None for _ in iter(stream.readline, b"")])
        reader.start()
        last, quiet, ended = at, 0, began
        while quiet < 8 and sweep.poll() is None:  # until nothing more is added: then it scores
            time.sleep(0.1)
            size = file.stat().st_size
            quiet, last = (quiet + 1, last) if size == last else (0, size)
            if quiet == 0:
                ended = [cpu(server.process.pid), cpu(sweep.pid)]
        sweep.send_signal(signal.SIGINT)
        sweep.wait()
    server.end()
    reader.join()
    stream.close()
    connection.close()
    viewer, own = (after - before for before, after in zip(began, ended, strict=True))
    print(f"{'':34} {viewer:8.2f} s of CPU beside {own:.2f} s of the sweep, {(last - at) / 1e6:.1f} MB added")
    return told("following", viewer / own if own else math.nan, 0.05, "of the sweep's CPU")


def shares(rounds: int) -> bool:
    """Coverage over worlds of few and many settings, prompts and comparisons, strengths alike or not from prompt to prompt."""
    rng, kept = np.random.default_rng(3), True
    held = np.zeros(2)
    count = 0
    for items, prompts, each, spread in ((3, 10, 3, 0.5), (3, 20, 3, 0.5), (4, 20, 6, 1.0), (4, 50, 2, 1.0), (5, 10, 10, 1.0), (8, 30, 10, 0.7)):
        strength = np.linspace(-0.8, 0.8, items)
        long = drawn(rng, strength, 40 * rounds, each, spread)
        truth = np.nanmean(win_shares(long, items, 40 * rounds), axis=1), bradley_terry(long, items, 1e-6)
        here, n = np.zeros(2), rounds * items
        for _ in range(rounds):
            found = drawn(rng, strength, prompts, each, spread)
            for at, got in enumerate(([win_share(one) for one in win_shares(found, items, prompts)], strengths(found, items))):
                here[at] += sum(one.low <= true <= one.high for one, true in zip(got, truth[at], strict=True))
        print(f"{items} settings, {prompts} prompts, {each} comparisons each: shares {here[0] / n:.3f}, strengths {here[1] / n:.3f}")
        held, count = held + here, count + n
    cover = held / count
    kept = abs(cover[0] - 0.95) <= 0.02
    print(f"{'coverage of shares':34} {cover[0]:8.3f} (0.95 ± 0.02){'' if kept else '  BROKEN'}; of strengths {cover[1]:.3f}")
    return bool(kept)


def drawn(rng: np.random.Generator, strength: np.ndarray, prompts: int, each: int, spread: float) -> Compared:
    """Ratings of random pairs, with strengths that differ from prompt to prompt."""
    entries = []
    for prompt in range(prompts):
        here = strength + rng.normal(0, spread, len(strength))
        for _ in range(each):
            one = int(rng.integers(len(strength)))
            other = int((one + rng.integers(1, len(strength))) % len(strength))
            entries.append((one, other, float(rng.random() < 1 / (1 + math.exp(here[other] - here[one]))), prompt))
    return compared(entries)


def told(name: str, value: float, limit: float, unit: str = "s") -> bool:
    """Print a figure beside its limit; whether that is kept."""
    kept = value <= limit
    print(f"{name:34} {value:8.2f} {unit} (limit {limit:g}){'' if kept else '  BROKEN'}", flush=True)
    return kept


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--smallest", action="store_true")
    options = parser.parse_args()
    size = Size(2, 3, 2, 3, 3) if options.smallest else Size(5, 100, 20, 200, 300)
    measured = {
        "start": lambda: start(options.smallest),
        "list": lambda: listed(size),
        "pages": lambda: pages(size),
        "follow": lambda: follow(size),
        "shares": lambda: shares(size.rounds),
    }
    kept = [measured[part]() for part in options.parts or PARTS]
    return 0 if all(kept) or options.smallest else 1


if __name__ == "__main__":
    sys.exit(main())
