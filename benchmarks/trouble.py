"""A sweep through trouble: killed again and again, throttled, cut off, its endpoint down, its disk full.

What must hold is checked on the file and on what the server saw.

    python benchmarks/trouble.py [kills|faults|rate|outage|disk|clock ...] [--kills 300]

Each part prints its figures beside their limits, and the script ends with status 1 where one is broken.
"""

from __future__ import annotations

import argparse
import asyncio
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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

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


def troubled(share: float, rng: random.Random, wait_s: str = "0.02") -> Callable[[Server, bytes], tuple[int, dict[str, str], bytes] | None]:
    """That share of 429, 500, hang-ups and malformed answers, in equal parts."""

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        if rng.random() >= share:
            return fine()
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


def experiment(folder: Path, url: str, prompts: int, replicates: int, **endpoint: object) -> Path:
    path = folder / "x.yaml"
    data = {
        "name": "x",
        "endpoint": {"base_url": url, "model": "m", "timeout_s": 20, **endpoint},
        "prompts": [{"id": f"p{number}", "user": f"Prompt {number}."} for number in range(prompts)],
        "parameters": {"temperature": [0.3, 0.6, 0.9, 1.2]},
        "replicates": replicates,
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


def kills(count: int) -> bool:
    """`kill -9` at random moments of a sweep of 2,000 requests under faults; after each, what had been recorded is still there, once."""
    rng = random.Random(1)
    server = Server(troubled(0.2, rng), latency_s=0.02)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 20, concurrency=16)
        whole, lost, twice, done_runs, over, resent = True, 0, 0, 0, 0, 0
        for number in range(count):
            before = len(server.starts)
            with subprocess.Popen(command(path, "-q"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                deadline = time.monotonic() + 60
                while len(server.starts) == before and child.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.005)  # until it sends; then a random moment
                time.sleep(rng.uniform(0, 0.4))
                if child.poll() is None:
                    child.send_signal(signal.SIGKILL)
                else:
                    done_runs += 1
            responses = folder / "results/x/responses.jsonl"
            if not responses.exists():
                continue
            raw = responses.read_bytes()
            lines = raw.split(b"\n")[:-1]
            keys = Counter(json.loads(line)["key"] for line in lines if b'"type":"completion"' in line)
            twice += sum(value > 1 for value in keys.values())
            lost += over - len(keys) if len(keys) < over else 0
            over = len(keys)
            if over == 2000:  # all there: start over elsewhere
                whole &= len(outcomes(folder)) >= 2000
                responses.rename(folder / f"done-{number}.jsonl")
                over = 0
                resent += 1
        subprocess.run(command(path, "-q"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        subprocess.run(command(path, "-q"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        final = Counter(key for key, kind in outcomes(folder) if kind == "completion")
        said = (
            f"{count} kills, {lost} answers lost, {twice} keys answered twice, {resent} sweeps completed meanwhile, {len(final)} of 2000 at the end"
        )
        return check("kill -9", lost == 0 and twice == 0 and len(final) == 2000 and set(final.values()) == {1}, said)


def kill_costs() -> bool:
    """Requests that the server saw beyond one a key are those in flight at a kill, at the most."""
    served: Counter[str] = Counter()

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes]:
        served[json.dumps([json.loads(body)["messages"], json.loads(body).get("temperature"), json.loads(body).get("seed")])] += 1
        return fine()

    server = Server(answer, latency_s=0.05)
    rng = random.Random(2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 1, concurrency=8)
        in_flight = kills_made = 0
        while True:
            with subprocess.Popen(command(path, "-q"), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
                before = len(server.starts)
                while len(server.starts) < before + 12 and child.poll() is None:
                    time.sleep(0.002)
                time.sleep(rng.uniform(0, 0.1))
                if child.poll() is not None:
                    break
                child.send_signal(signal.SIGKILL)
                kills_made += 1
                in_flight += 8
        again = sum(served.values()) - len(served)
        said = f"{again} calls beyond one a request; {kills_made} kills with up to 8 in flight each, and 3 calls of a look before each start"
        return check("sent again", again <= in_flight + 3 * (kills_made + 1), said)


def faults() -> bool:
    """30 % faults: every request ends, as completion or as failure of the right kind, and Retry-After is never undercut."""
    rng = random.Random(3)
    held_until: list[float] = []
    undercut: list[float] = []
    plain = troubled(0.3, rng, "0.2")

    def answer(server: Server, body: bytes) -> tuple[int, dict[str, str], bytes] | None:
        reply = plain(server, body)
        if reply is not None and reply[0] == 429:
            held_until.append(time.monotonic() + 0.2)
        return reply

    server = Server(answer)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 20)
        began = time.monotonic()
        done = subprocess.run(command(path, "-q"), cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        took = time.monotonic() - began
        found = outcomes(folder)
        kinds = Counter(kind for _, kind in found)
        # A call that was on its way when the 429 was written does not undercut it; one that starts 20 ms later does.
        for until in held_until:
            undercut += [start for start in server.starts if until - 0.18 < start < until - 0.005]
        right = {"completion", "rate_limited", "server", "connection", "malformed", "interrupted"}
        good = len({key for key, _ in found}) == 2000 and set(kinds) <= right
        said = f"{dict(kinds)} of 2000 in {took:.0f} s, exit status {done.returncode}; "
        said += f"{len(undercut)} calls within one of the {len(held_until)} waits asked for"
        return check("30 % faults", good and not undercut, said)


def rate() -> bool:
    """A server that allows 20 requests a second: used at 90 % or more, at most 5 % refused after the first ten seconds."""
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
        path = experiment(folder, server.url, 25, 12)
        subprocess.run(command(path, "-q"), cwd=folder, capture_output=True, timeout=300, check=False)
    began, ended = log[0][0], log[-1][0]
    late = [(now, served) for now, served in log if now >= began + 10]
    used = sum(served for _, served in late) / (ended - began - 10) / 20
    refused = sum(not served for _, served in late) / max(1, len(late))
    return check(
        "20 a second", used >= 0.9 and refused <= 0.05, f"used at {used:.1%} (limit 90 %), {refused:.1%} refused after ten seconds (limit 5 %)"
    )


def outage() -> bool:
    """The endpoint is down for 30 s in mid-run, and the run goes on by itself."""
    server = Server(lambda server, body: fine(), latency_s=0.05)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 10, concurrency=8)
        with subprocess.Popen(command(path), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as child:
            while len(server.starts) < 200:
                time.sleep(0.01)
            server.down = True
            time.sleep(30)
            server.down = False
            said = child.communicate(timeout=120)[0]
        kinds = Counter(kind for _, kind in outcomes(folder))
        told = [line for line in said.splitlines() if line.startswith(("paused", "the endpoint answers"))]
        print("     " + "\n     ".join(told))
        return check("down for 30 s", child.returncode == 0 and kinds == Counter(completion=1000), f"exit status {child.returncode}, {dict(kinds)}")


def disk() -> bool:
    """A full disk (a small tmpfs): the run stops with a clear message, every record before is whole, and it goes on once there is room."""
    server = Server(lambda server, body: fine("word " * 400), latency_s=0.002)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 8, concurrency=8)
        small = folder / "small"
        small.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(small)], check=False).returncode:
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
        good = first.returncode == 2 and "No space left" in first.stderr and second.returncode == 0 and len(keys) == 800 and set(keys.values()) == {1}
        return check(
            "full disk",
            good,
            f"stopped with {len(kept)} whole records, status {first.returncode}; then {len(keys)} of 800, status {second.returncode}",
        )


def clock() -> bool:
    """The clock set back while it runs (in a child that sees another time): no harm."""
    server = Server(lambda server, body: fine(), latency_s=0.02)
    script = (
        "import time, sys, datetime, itertools\n"
        "real, calls = time.time, itertools.count()\n"
        "time.time = lambda: real() - (86400 if next(calls) % 2 else 0)\n"
        "from evalkit.cli import main; main()\n"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = experiment(folder, server.url, 25, 5, concurrency=8)
        done = subprocess.run(
            [sys.executable, "-c", script, "sweep", str(path), "--yes", "-q"], cwd=folder, capture_output=True, timeout=120, check=False
        )
        kinds = Counter(kind for _, kind in outcomes(folder))
        return check("clock set back", done.returncode == 0 and kinds == Counter(completion=500), f"exit status {done.returncode}, {dict(kinds)}")


def main() -> int:
    parts: dict[str, Callable[[], bool]] = {"faults": faults, "rate": rate, "outage": outage, "disk": disk, "clock": clock, "sent-again": kill_costs}
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*", choices=[*parts, "kills", []])
    parser.add_argument("--kills", type=int, default=300)
    options = parser.parse_args()
    parts["kills"] = lambda: kills(options.kills)
    os.environ.pop("HTTP_PROXY", None)
    broken = [name for name in options.parts or parts if not parts[name]()]
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main())
