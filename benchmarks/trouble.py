"""A sweep through trouble: killed again and again, throttled, cut off, its endpoint down, its disk full.

What must hold is checked on the file and on what the server saw.

    python benchmarks/trouble.py [kills|faults|rate|outage|disk|clock ...] [--kills 300] [--smallest]

Each part prints its figures beside their limits, and the script ends with status 1 where one is broken. With `--smallest` each part
meets its trouble once, on a few requests, and no limit is held.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

PROMPTS = 25
"""Of an experiment; each has four cells."""

COMPLETION = {
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
}


class Server:
    """A bare HTTP/1.1 endpoint in a thread; `answer` gives (status, headers, body) or None to hang up, after `latency_s`."""

    def __init__(self, answer: Callable[[Server, bytes], tuple[int, dict[str, str], bytes] | None], latency_s: float = 0.005) -> None:
        self.answer, self.latency_s = answer, latency_s
        self.starts: list[float] = []
        self.keys: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.in_flight = self.most_in_flight = 0
        self.down = False
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        self._ready.set()
        await asyncio.Event().wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
                body = await reader.readexactly(int(lengths[0])) if lengths else b""
                if head.startswith(b"GET"):
                    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                if self.down:
                    break
                self.starts.append(time.monotonic())
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    await asyncio.sleep(self.latency_s)
                    reply = self.answer(self, body)
                finally:
                    self.in_flight -= 1
                if reply is None:
                    break
                status, headers, content = reply
                lines = "".join(f"{name}: {value}\r\n" for name, value in {"Content-Length": str(len(content)), **headers}.items())
                writer.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content)
                await writer.drain()
        writer.close()


def fine(text: str = "an answer of some words") -> tuple[int, dict[str, str], bytes]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return 200, {"Content-Type": "application/json"}, json.dumps({**COMPLETION, "choices": [choice]}).encode()


FINE = fine()


def troubled(share: float, rng: random.Random, wait_s: str = "0.02") -> Callable[[Server, bytes], tuple[int, dict[str, str], bytes] | None]:
    """That share of 429, 500, hang-ups and malformed answers, in equal parts."""

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        if rng.random() >= share:
            return FINE
        match rng.randrange(4):
            case 0:
                return 429, {"Retry-After": wait_s}, b'{"error": {"message": "slow down"}}'
            case 1:
                return 500, {}, json.dumps({"error": {"message": f"worker {rng.random()} died"}}).encode()
            case 2:
                return None
            case _:
                return 200, {"Content-Type": "application/json"}, b'{"choices": [{"mess'

    return answer


def experiment(folder: Path, url: str, prompts: int, replicates: int, request: Mapping[str, object] | None = None, **endpoint: object) -> Path:
    path = folder / "x.yaml"
    data = {
        "name": "x",
        "endpoint": {"base_url": url, "model": "m", "timeout_s": 20, **endpoint},
        "prompts": [{"id": f"p{number}", "user": f"Prompt {number}."} for number in range(prompts)],
        "parameters": {"temperature": [0.3, 0.6, 0.9, 1.2]},
        "replicates": replicates,
        "request": request or {},
        "anchor": {"every": 0},
    }
    path.write_text(json.dumps(data))
    return path


def command(path: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "evalkit", "sweep", str(path), "--yes", *more]


def outcomes(folder: Path) -> list[tuple[str, str]]:
    """(key, completion or kind) of every line; a line that is no record raises."""
    lines = [json.loads(line) for line in (folder / "results/x/responses.jsonl").read_text().splitlines()]
    return [(line["key"], line["outcome"].get("kind", "completion")) for line in lines]


def check(name: str, holds: bool, said: str) -> bool:
    print(f"{'PASS' if holds else 'FAIL'}  {name}: {said}", flush=True)
    return holds


def keys_of(path: Path) -> dict[str, str]:
    """The key of each request of an experiment, by its body as `canonical` writes it."""
    from evalkit.experiment.experiment import load
    from evalkit.plan.requests import Plan

    return {canonical({**request.body, "messages": request.messages}): request.key for request in Plan(load(path))}


def canonical(body: object) -> str:
    return json.dumps(body, sort_keys=True)


def kills(count: int, prompts: int = PROMPTS) -> bool:
    """`kill -9` at random moments of sweeps of 2,000 requests (80 for each prompt) under faults.

    After each, every answer that had been recorded must still be there, once, and the file parse, but for a torn last line. An answer that the
    server gave and the file lacks is asked for again: there may be no more of those than calls that are in flight at once.
    """
    at_once = 16
    rng = random.Random(1)
    faulty = troubled(0.2, rng)
    given: Counter[str] = Counter()
    keys: dict[str, str] = {}
    since_start: set[str] = set()

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        reply = faulty(server, body)
        key = keys.get(canonical(json.loads(body)))
        if key is not None and reply == FINE:
            given[key] += 1
            since_start.add(key)
        return reply

    server = Server(answer, latency_s=0.02)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # A seed for each replicate, so that the server can tell one from another.
        path = experiment(folder, server.url, prompts, 20, request={"seed": "per_replicate"}, concurrency=at_once)
        keys |= keys_of(path)
        planned = set(keys.values())
        responses = folder / "results/x/responses.jsonl"
        recorded: set[str] = set()
        unrecorded: list[int] = []
        made = lost = twice = torn = broken = whole = wanting = again = answers = 0
        status: int | None = None
        while made < count or status != 0:
            before = len(server.starts)
            since_start.clear()
            with subprocess.Popen(command(path, "-q"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                while made < count and len(server.starts) < before + 4 and child.poll() is None:
                    time.sleep(0.005)  # until it sends; then a random moment
                if made < count:
                    time.sleep(rng.uniform(0, 0.4))
                    child.kill()
            status = child.returncode
            while server.in_flight:
                time.sleep(0.005)
            raw = responses.read_bytes() if responses.exists() else b""
            torn += raw != b"" and not raw.endswith(b"\n")
            found: Counter[str] = Counter()
            for line in raw.split(b"\n")[:-1]:
                try:
                    record = json.loads(line)
                except ValueError:
                    broken += 1
                else:
                    found[record["key"]] += record["outcome"]["type"] == "completion"
            found = +found
            lost += len(recorded - found.keys())
            twice += sum(number > 1 for number in found.values())
            recorded = set(found)
            if status == -signal.SIGKILL:
                made += 1
                unrecorded.append(len(since_start - recorded))
            if status == 0:  # start over in a new folder
                whole += 1
                wanting += recorded != planned
                again += sum(given.values()) - len(given)
                answers += len(given)
                responses.parent.rename(folder / f"whole-{whole}")
                given.clear()
                recorded = set()
    print(f"      {whole} sweeps of {80 * prompts:,} were completed by it; {torn} kills left a torn last line")
    good = check(
        "kill -9", not (lost or twice or broken or wanting), f"{made} kills, {lost} answers lost, {twice} twice, {broken} lines that do not parse"
    )
    said = f"{again} of {answers} answers asked for again, {again / made:.1f} a kill; at the most {max(unrecorded)} (limit {at_once} in flight)"
    return check("asked for again", max(unrecorded) <= at_once and again <= sum(unrecorded), said) and good


def faults(prompts: int = PROMPTS, share: float = 0.3) -> bool:
    """Faults: every request ends, as completion or as failure of the kind that it met last, and no wait that was asked for is undercut."""
    wait_s, on_its_way_s = 0.2, 0.1
    kind_of = {429: "rate_limited", 500: "server", None: "connection", 200: "malformed"}
    rng = random.Random(3)
    faulty = troubled(share, rng, str(wait_s))
    refused_at: list[float] = []
    met: dict[str, str] = {}
    keys: dict[str, str] = {}

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        reply = faulty(server, body)
        key = keys.get(canonical(json.loads(body)))
        if key is not None:
            met[key] = "completion" if reply == FINE else kind_of[None if reply is None else reply[0]]
        if reply is not None and reply[0] == 429:
            refused_at.append(time.monotonic())
        return reply

    server = Server(answer)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, prompts, 20, request={"seed": "per_replicate"})
        keys |= keys_of(path)
        began = time.monotonic()
        done = subprocess.run(command(path, "-q"), cwd=folder, capture_output=True, text=True, timeout=900, check=False)
        took = time.monotonic() - began
        found = outcomes(folder)
        kinds = Counter(kind for _, kind in found)
        # A call that was on its way when the 429 was written does not undercut its wait; a busy machine reads it late.
        undercut = sum(at + on_its_way_s < start < at + wait_s for at in refused_at for start in server.starts)
        said = f"{dict(kinds)} of {80 * prompts} in {took:.0f} s, exit status {done.returncode}, each of the kind that the server gave last"
        whole = len(found) == 80 * prompts and dict(found) == met
        good = check(f"{share:.0%} faults", whole and done.returncode == 3 * (kinds.total() > kinds["completion"]), said)
        return check("Retry-After", undercut == 0, f"{undercut} calls within one of the {len(refused_at)} waits asked for") and good


def rate(prompts: int = PROMPTS, settle_s: float = 10.0) -> bool:
    """A server that allows 20 requests a second: used at 90 % or more, at most 5 % refused after the first `settle_s` seconds."""
    bucket, at = [20.0], [time.monotonic()]
    log: list[tuple[float, bool]] = []

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes]:
        now = time.monotonic()
        bucket[0], at[0] = min(20.0, bucket[0] + (now - at[0]) * 20), now
        served = bucket[0] >= 1
        bucket[0] -= served
        log.append((now, served))
        return fine() if served else (429, {"Retry-After": "1"}, b'{"error": {"message": "slow down"}}')

    server = Server(answer, latency_s=0.1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, prompts, 12)
        subprocess.run(command(path, "-q"), cwd=folder, capture_output=True, timeout=300, check=False)
    began, ended = log[0][0], log[-1][0]
    late = [(now, served) for now, served in log if now >= began + settle_s]
    used = sum(served for _, served in late) / (ended - began - settle_s) / 20
    refused = sum(not served for _, served in late) / max(1, len(late))
    return check(
        "20 a second", used >= 0.9 and refused <= 0.05, f"used at {used:.1%} (limit 90 %), {refused:.1%} refused after {settle_s:g} s (limit 5 %)"
    )


def outage(prompts: int = PROMPTS, down_s: float = 30.0) -> bool:
    """The endpoint is down for `down_s` seconds in mid-run, and the run goes on by itself."""
    server = Server(lambda server, body: fine(), latency_s=0.05)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, prompts, 10, concurrency=8)
        with subprocess.Popen(command(path), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            while len(server.starts) < 8 * prompts:
                time.sleep(0.01)
            server.down = True
            time.sleep(down_s)
            server.down = False
            said = child.communicate(timeout=120)[0]
        kinds = Counter(kind for _, kind in outcomes(folder))
        told = [line for line in said.splitlines() if line.startswith(("paused", "the endpoint answers"))]
        print("     " + "\n     ".join(told))
        return check(
            f"down for {down_s:g} s",
            child.returncode == 0 and kinds == Counter(completion=40 * prompts),
            f"exit status {child.returncode}, {dict(kinds)}",
        )


def disk(prompts: int = PROMPTS) -> bool:
    """A full disk (a small tmpfs): the run stops with a clear message, every record before is whole, and it goes on once there is room."""
    server = Server(lambda server, body: fine("word " * 400), latency_s=0.002)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, prompts, 8, concurrency=8)
        small = folder / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={24 * prompts}k", "tmpfs", str(small)], check=False).returncode:
            return check("full disk", False, "no tmpfs can be mounted here: run as root")
        try:
            first = subprocess.run(command(path, "-q", "-o", str(small / "x")), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
            kept = [json.loads(line) for line in (small / "x/responses.jsonl").read_bytes().split(b"\n")[:-1]]
            subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
            second = subprocess.run(command(path, "-q", "-o", str(small / "x")), cwd=folder, capture_output=True, text=True, timeout=120, check=False)
            keys = Counter(json.loads(line)["key"] for line in (small / "x/responses.jsonl").read_text().splitlines())
        finally:
            subprocess.run(["umount", str(small)], check=False)
        print(f"     {first.stderr.strip().splitlines()[-1]}")
        # What the server answered and the file lacks is what was in flight: eight at once, and three of the look before each start.
        lost = len(server.starts) - 6 - sum(keys.values())
        stopped, went_on = first.returncode == 2 and "No space left" in first.stderr, second.returncode == 0
        good = stopped and went_on and len(keys) == 32 * prompts and set(keys.values()) == {1} and lost <= 8
        return check(
            "full disk",
            good,
            f"stopped with {len(kept)} whole records, status {first.returncode}; then {len(keys)} of {32 * prompts}, status {second.returncode}; "
            f"{lost} answers asked for again (limit 8 in flight)",
        )


def clock(prompts: int = PROMPTS) -> bool:
    """The clock set back by a day, and on again, at each look at it (in a child that sees such a time): no harm, and no drift is told."""
    server = Server(lambda server, body: fine(), latency_s=0.02)
    script = (
        "import datetime, itertools, time\n"
        "real, looks, Datetime = time.time, itertools.count(), datetime.datetime\n"
        "time.time = lambda: real() - 86400 * (next(looks) % 2)\n"
        "class Set(Datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None): return Datetime.fromtimestamp(time.time(), tz)\n"
        "datetime.datetime = Set\n"
        "from evalkit.cli import main; main()\n"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, prompts, 5, concurrency=8)
        command = [sys.executable, "-c", script, "sweep", str(path), "--yes", "--set", "anchor.every=25"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
        kinds = Counter(kind for _, kind in outcomes(folder))
        times = [json.loads(line)["at"] for line in (folder / "results/x/responses.jsonl").read_text().splitlines()]
        anchors = 20 * prompts // 25
        told = f"no drift over {anchors} anchors"
        set_back = sum(later < earlier for earlier, later in itertools.pairwise(times))
        good = done.returncode == 0 and kinds == Counter(completion=20 * prompts + anchors) and told in done.stderr and set_back > 4 * prompts
        return check(
            "clock set back", good, f"{set_back} times from one record to the next; exit status {done.returncode}, {dict(kinds)}, no drift told"
        )


def main() -> int:
    parts: dict[str, Callable[..., bool]] = {"faults": faults, "rate": rate, "outage": outage, "disk": disk, "clock": clock}
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*parts, "kills", []])
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--smallest", action="store_true", help="a few requests, to see that it runs; no limit is held")
    options = parser.parse_args()
    parts["kills"] = lambda: kills(options.kills)
    if options.smallest:
        parts = {"faults": partial(faults, 1, 0.1), "rate": partial(rate, 1, 0.5), "outage": partial(outage, 1, 0.2), "clock": partial(clock, 2)}
        parts |= {"kills": partial(kills, 1, 1)}
        print("skipped: disk, which mounts a file system")
    os.environ.pop("HTTP_PROXY", None)
    broken = [name for name in options.parts or parts if not parts[name]()]
    return int(bool(broken) and not options.smallest)


if __name__ == "__main__":
    sys.exit(main())
