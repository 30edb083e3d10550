"""The Ray engine: a hub that paces a hundred workers (simulated), and workers that are killed, throttled and measured (with ray installed).

    python benchmarks/engine.py [simulation] [kills] [pace] [cpu] [scoring] [--smallest]

- simulation: 100 workers that could send 1,000 calls a second each, against an endpoint that takes 20,000 a second, event by event and seeded, over
  the hub itself: what of the limit is used, what is refused, and the hub's CPU a call, messages packed and unpacked, for real.
- kills: a sweep on a cluster of this machine, a fifth of the calls failing, its workers killed with SIGKILL at random; by the server's own count.
- pace: the same against a limit by time, found out by 429 with Retry-After: what is refused after ten seconds, and calls that came within a wait.
- cpu: CPU of all processes together for a call, beside the same sweep by one process.
- scoring: 'score --engine ray' beside one process: the same bytes, and how much faster.

All but the simulation are left out where ray is not installed, with a word. With `--smallest` each is run once at its smallest, and no limit is held.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import itertools
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.collect.budget import Spent, Used
from evalkit.collect.pace import Pace
from evalkit.collect.runner import Policy
from evalkit.collect.tally import Tally
from evalkit.engine.granted import Granted
from evalkit.engine.hub import Hub
from evalkit.engine.messages import Answered, Orders, Report, Throttled
from evalkit.engine.worker import LINGER_S
from evalkit.experiment.experiment import check
from evalkit.plan.requests import Plan, Request
from evalkit.scoring.scores import score
from evalkit.store.journal import line_of
from evalkit.store.records import Completion, RecordWriter, Usage, read, record_of

BODY = {"model": "m", "temperature": 0.7, "max_tokens": 100}
TEXT = "an answer of some thirty words, as long as answers to short questions are, " * 3


def told(what: str, value: float, limit: float | None = None, *, least: bool = False, unit: str = "") -> bool:
    """A line of the table; whether its limit is kept."""
    kept = limit is None or (value >= limit if least else value <= limit)
    bound = "" if limit is None else f"  ({'at least' if least else 'limit'} {limit:g})  {'PASS' if kept else 'FAIL'}"
    print(f"{what:<78} {value:>10,.3f}{unit}{bound}", flush=True)
    return kept


# --- simulation


class World:
    """Events in their order, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (max(when, self.now), next(self._numbers), what))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            what()


class Bucket:
    """An endpoint's limit by time: so many calls a second, and those of a second at once."""

    def __init__(self, per_s: float) -> None:
        self._per_s, self._most = per_s, per_s
        self._left, self._at = self._most, 0.0

    def takes(self, now: float) -> bool:
        self._left = min(self._most, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class SimulatedHub:
    """A hub whose CPU is measured, messages packed and unpacked as they travel."""

    def __init__(self, world: World, pace: Pace, count: int) -> None:
        self.world = world
        self.cpu_s = 0.0
        self.workers: dict[str, SimulatedWorker] = {}
        messages = [[{"role": "user", "content": f"What is the {number}th of these questions about?"}] for number in range(100)]
        requests = (
            Request(
                f"{number:032x}", 0, number % 100, f"p{number % 100}", {"temperature": 0.7}, number // 100, None, "m", BODY, messages[number % 100]
            )
            for number in range(count)
        )
        self.hub = Hub(requests, pace, Policy(), Tally(count, spent=Spent()), lambda _: None, now=0.0)

    def measured(self, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        found = work()
        self.cpu_s += time.process_time() - began
        return found

    def heard(self, name: str, packed: bytes) -> None:
        def work() -> tuple[bytes, bool]:
            urgent = self.hub.heard(name, pickle.loads(packed), self.world.now)  # noqa: S301 (packed here)
            return pickle.dumps(self.hub.orders(name, self.world.now)), urgent

        orders, urgent = self.measured(work)
        self.world.at(self.world.now + 0.001, lambda: self.workers[name].told(orders, answer=True))
        if urgent:
            self.spread()

    def spread(self) -> None:
        now = self.world.now

        def work() -> list[tuple[str, bytes]]:
            return [(one, pickle.dumps(self.hub.orders(one, now))) for one in self.hub.waiting(now)]

        for name, orders in self.measured(work):
            self.world.at(now + 0.001, partial(self.workers[name].told, orders, answer=False))

    def begin(self, worker: SimulatedWorker) -> None:
        """Let a worker join, and tell it its first orders."""
        self.workers[worker.name] = worker
        self.hub.join(worker.name, self.world.now)
        worker.told(pickle.dumps(self.hub.orders(worker.name, self.world.now)), answer=True)

    def tick(self) -> None:
        self.spread()
        self.world.at(self.world.now + 0.05, self.tick)


class SimulatedWorker:
    """A worker that may send 1,000 calls a second, by the grants of its hub."""

    def __init__(self, name: str, hub: SimulatedHub, serve: Callable[[float], tuple[bool, float]]) -> None:
        self.name, self._hub, self._world, self._serve = name, hub, hub.world, serve
        self._urgent = self._stirred = False
        self.pace = Granted(0.0, self._stir)
        self._leased: deque[Request] = deque()
        self._retries: list[tuple[float, int, Request]] = []
        self._numbers = itertools.count()
        self._busy_until = 0.0
        self._in_flight = self._reserved = self._requests = 0
        self._outcomes: list[Request] = []
        self._reporting = True
        self._due: float | None = None
        self._next_pump = -1.0

    def _stir(self, urgent: bool) -> None:
        self._stirred, self._urgent = True, self._urgent or urgent
        if not self._reporting:
            self._report_at(self._world.now if urgent or len(self._outcomes) >= 500 else self._world.now + LINGER_S)

    def _report_at(self, when: float) -> None:
        if self._due is None or when < self._due - 1e-9:
            self._due = when
            self._world.at(when, lambda: self._report(when))

    def _report(self, when: float) -> None:
        if self._reporting or self._due is None or abs(when - self._due) > 1e-9:
            return
        self._due, self._reporting = None, True
        now = self._world.now
        events = tuple(
            one._replace(started=now - one.started, ended=now - one.ended) if isinstance(one, Answered | Throttled) else one
            for one in self.pace.events()
        )
        lines = tuple(LINE for _ in self._outcomes)
        outcomes = tuple((one.key, None, 40) for one in self._outcomes)
        report = Report(
            outcomes=outcomes,
            lines=lines,
            events=events,
            used=Used(self._requests, 20 * len(outcomes), 40 * len(outcomes)),
            in_flight=self._in_flight,
            waiting=len(self._retries),
            backlog=len(self._leased),
            received=self.pace.received,
            places=self.pace.places(now),
        )
        self._outcomes, self._requests = [], 0
        self._stirred = self._urgent = False
        packed = pickle.dumps(report)
        self._world.at(now + 0.001, lambda: self._hub.heard(self.name, packed))

    def told(self, packed: bytes, *, answer: bool) -> None:
        orders: Orders = pickle.loads(packed)  # noqa: S301 (packed here)
        self.pace.take(orders, self._world.now)
        self._leased.extend(request for job in orders.lease for request in job)
        if answer:
            self._reporting = False
            self._report_at(self._world.now if self._urgent else self._world.now + (LINGER_S if self._stirred else 1.0))
        self._pump()

    def _pump(self) -> None:
        now = self._world.now
        while self._in_flight + self._reserved < self.pace.limit:
            ready = bool(self._retries) and self._retries[0][0] <= now
            if not ready and not self._leased:
                return
            at = self.pace.reserve(now)
            if at is None:
                return
            at = self._busy_until = max(at, self._busy_until + 0.001)
            request = heapq.heappop(self._retries)[2] if ready else self._leased.popleft()
            self._reserved += 1
            self._world.at(at, lambda request=request: self._start(request))  # type: ignore[misc]

    def _start(self, request: Request) -> None:
        now = self._world.now
        self._reserved -= 1
        if self.pace.held(now):
            heapq.heappush(self._retries, (now, next(self._numbers), request))
            self._world.at(now + self.pace.wait_s(now) + 1e-4, self._pump)
            return
        self._in_flight += 1
        self._requests += 1
        number = self.pace.started(now)
        taken, took_s = self._serve(now)
        at_once = self._in_flight
        self._world.at(now + took_s, lambda: self._ended(request, now, number, at_once, taken, took_s))

    def _ended(self, request: Request, started: float, number: int, at_once: int, taken: bool, took_s: float) -> None:
        now = self._world.now
        self._in_flight -= 1
        if taken:
            self._outcomes.append(request)
            self.pace.answered(now, started, at_once, took_s, 60.0, None, self.pace.since(number))
        else:
            wait = 1.0
            heapq.heappush(self._retries, (now + wait, next(self._numbers), request))
            self.pace.throttle(now, started, wait)
            self._world.at(now + wait + 1e-4, self._pump)
        self._pump()


LINE = b""


def simulation(smallest: bool) -> bool:
    global LINE
    request = Request("0" * 32, 0, 0, "p0", {"temperature": 0.7}, 0, None, "m", BODY, [])
    usage = Usage(prompt_tokens=20, completion_tokens=40, total_tokens=60)
    completion = Completion(text=TEXT, finish_reason="stop", usage=usage, latency_s=0.1, tries=1, model="m", id="x")
    LINE = line_of(record_of(request, completion))
    kept = True
    workers, limit, seconds = (4, 200.0, 6.0) if smallest else (100, 20_000.0, 30.0)
    for name, rate in (("told by requests_per_minute", limit * 60), ("found out by 429s", None)):
        chance = random.Random(1)
        world, bucket = World(), Bucket(limit)
        sent: Counter[int] = Counter()
        answered: Counter[int] = Counter()
        within_wait = [0]
        hold = [0.0, 0.0]

        def serve(now: float, chance: random.Random = chance, bucket: Bucket = bucket, sent: Counter[int] = sent, answered: Counter[int] = answered,
                  within_wait: list[int] = within_wait, hold: list[float] = hold) -> tuple[bool, float]:  # fmt: skip
            sent[int(now)] += 1
            within_wait[0] += hold[0] + 0.2 < now < hold[1]
            taken = bucket.takes(now)
            answered[int(now)] += taken
            took_s = chance.lognormvariate(-2.3, 0.2) if taken else 0.01
            if not taken and now > hold[1]:
                hold[0], hold[1] = now, now + took_s + 1.0
            return taken, took_s

        pace = Pace(None, requests_per_minute=rate, most=256 * workers, now=0.0)
        hub = SimulatedHub(world, pace, int(limit * seconds * 1.2))
        for number in range(workers):
            worker = SimulatedWorker(f"w{number}", hub, serve)
            world.at(0.001 * number, partial(hub.begin, worker))
        world.at(0.05, hub.tick)
        world.run(seconds)
        first = 4 if smallest else 12
        steady = range(first, int(seconds) - 1)
        used = sum(answered[at] for at in steady) / len(steady) / limit
        refused = sum(sent[at] - answered[at] for at in steady) / max(1, sum(sent[at] for at in steady))
        calls = sum(sent.values())
        print(f"-- {workers} workers, a limit of {limit:,.0f} a second, {name}: {calls:,} calls in {seconds:g} s", flush=True)
        kept &= told("   share of the limit that is used, after it has settled", used, None if smallest else 0.95, least=True)
        kept &= told("   share refused, after it has settled", refused, None if smallest else 0.01)
        told("   calls that came over 0.2 s after a refusal and within its wait", within_wait[0])
        each = hub.cpu_s / calls * 1e6
        told("   CPU of the hub a call", each, unit=" µs")
        told("   calls a second that one hub carries at 70 % of a core", 0.7e6 / each)
    return kept


# --- workers on a cluster of this machine


class Came(NamedTuple):
    """A call as the server saw it: when it came and was answered, what was asked, and the status."""

    at: float
    answered: float
    asked: str
    status: int


async def _serve(latency_s: float, faults: float, per_s: float) -> None:
    """Answer after so long, a share with 500; beyond so many a second, 0 for no limit, 429 and a wait of a second. In the end all is told."""
    chance, bucket = random.Random(1), Bucket(per_s) if per_s else None
    came: list[tuple[float, float, str, int]] = []
    message = {"role": "assistant", "content": TEXT}
    usage = {"prompt_tokens": 9, "completion_tokens": 40, "total_tokens": 49}
    answer = {"object": "chat.completion", "created": 1, "model": "m", "id": "x", "usage": usage}
    body = json.dumps(answer | {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    other = json.dumps({"error": {"message": "planted"}}).encode()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                at = time.monotonic()
                size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
                asked = await reader.readexactly(size)
                status, content, more = 200, body, b""
                if not head.startswith(b"POST"):
                    status, content = 404, other
                elif bucket is not None and not bucket.takes(at):
                    status, content, more = 429, other, b"Retry-After: 1\r\n"
                else:
                    await asyncio.sleep(latency_s)
                    if chance.random() < faults:
                        status, content = 500, other
                if head.startswith(b"POST"):
                    came.append((at, time.monotonic(), hashlib.sha256(asked).hexdigest()[:16], status))
                length = b"Content-Length: %d\r\n" % len(content)
                writer.write(b"HTTP/1.1 %d x\r\nContent-Type: application/json\r\n%b%b\r\n%b" % (status, more, length, content))
        writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    print(json.dumps(came), flush=True)


class Server:
    """The server, in a process of its own."""

    def __init__(self, latency_s: float, faults: float = 0.0, per_s: float = 0.0) -> None:
        command = [sys.executable, __file__, "--serve", f"{latency_s},{faults},{per_s}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{self._process.stdout.readline().strip()}/v1"

    def end(self) -> list[Came]:
        """All that came, in order."""
        self._process.send_signal(signal.SIGTERM)
        said, _ = self._process.communicate(timeout=60)
        return sorted(Came(*one) for one in json.loads(said))


def experiment(url: str, requests: int, **endpoint: Any) -> dict[str, Any]:
    prompts = min(100, requests)
    return {
        "name": "engine",
        "endpoint": {"base_url": url, "model": "m", "max_tries": 20, **endpoint},
        "prompts": [{"id": f"p{number}", "user": f"What is the {number}th of these questions about?"} for number in range(prompts)],
        "parameters": {"temperature": [0.2, 0.7]},
        "request": {"seed": "per_replicate"},
        "replicates": max(1, requests // prompts // 2),
        "anchor": {"every": 0},
    }


def cpu_below(pid: int) -> dict[int, tuple[float, str]]:
    """Of a process and all below it, by their ids: the CPU seconds so far, and what they are called."""
    every = {}
    for one in Path("/proc").iterdir():
        if one.name.isdecimal():
            with suppress(OSError):
                fields = (one / "stat").read_text().rpartition(")")[2].split()
                every[int(one.name)] = (int(fields[1]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    known = {pid}
    while more := {one for one, (parent, _) in every.items() if parent in known} - known:
        known |= more
    found = {}
    for one in known & every.keys():
        with suppress(OSError):
            found[one] = (every[one][1], Path(f"/proc/{one}/cmdline").read_bytes().decode(errors="replace"))
    return found


class Swept:
    """A sweep as a process of its own, the command as people give it."""

    def __init__(self, folder: Path, made: dict[str, Any], *options: str) -> None:
        file = folder / "experiment.yaml"
        file.write_text(json.dumps(made))
        self.folder = folder / "run"
        command = [sys.executable, "-m", "evalkit", "sweep", str(file), "-o", str(self.folder), "-y", "--quiet", *options]
        self._log = (folder / "log").open("wb")
        self.began = time.monotonic()
        self.process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._cpu: dict[int, float] = {}
        self._read = self._lines = 0

    @property
    def records(self) -> Path:
        return self.folder / "responses.jsonl"

    def look(self) -> list[int]:
        """Note the CPU of all its processes so far; those that work, by their ids."""
        below = cpu_below(self.process.pid)
        self._cpu |= {pid: cpu_s for pid, (cpu_s, _) in below.items()}
        return [pid for pid, (_, name) in below.items() if "_Actor" in name]

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu.values())

    def lines(self) -> int:
        """Records so far; of the file what is new is read, and no more."""
        with suppress(FileNotFoundError), self.records.open("rb") as file:
            file.seek(self._read)
            while more := file.read(2**20):
                self._read += len(more)
                self._lines += more.count(b"\n")
        return self._lines

    def wait(self, each: Callable[[list[int]], None] = lambda _: None) -> int:
        while self.process.poll() is None:
            each(self.look())
            time.sleep(0.3)
        self._log.close()
        return int(self.process.returncode)


@contextmanager
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def kills(smallest: bool) -> bool:
    requests, wanted, workers = (200, 1, 2) if smallest else (20_000, 20, 3)
    chance, killed, in_flight = random.Random(3), [0], 48
    due = [0.0]
    with place() as folder:
        server = Server(0.1, faults=0.2)
        swept = Swept(folder, experiment(server.url, requests, concurrency=in_flight), "--engine", "ray", "--workers", str(workers))

        def kill(there: list[int]) -> None:
            now = time.monotonic()
            if there and killed[0] < wanted and now > due[0] and swept.lines() > requests // (wanted + 2) * (killed[0] + 1) // 2:
                due[0] = now + chance.uniform(1.0, 2.5)
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(there), signal.SIGKILL)
                    killed[0] += 1

        status = swept.wait(kill)
        took_s = time.monotonic() - swept.began
        came = server.end()
        records = list(read(swept.folder))
        left = list(swept.folder.glob("segments/*"))
        log = (folder / "log").read_text()
    answers = Counter(one.key for one in records if isinstance(one.outcome, Completion))
    answered = Counter(one.asked for one in came if one.status == 200)
    again = sum(times - 1 for times in answered.values())
    print(
        f"-- {requests:,} requests, {workers} workers, {in_flight} at once, 20 % of calls fail, {killed[0]} workers killed: {took_s:.0f} s",
        flush=True,
    )
    if status or killed[0] < wanted:
        print(log[-2000:], f"status {status}")
    kept = told("   requests without an answer", requests - len(answers), 0)
    kept &= told("   requests with two", sum(times > 1 for times in answers.values()), 0)
    kept &= told("   answered by the server again, a kill", again / max(1, killed[0]), in_flight / workers + 1)
    kept &= told("   segments left", len(left), 0)
    return kept and status == 0 and killed[0] == wanted


def pace(smallest: bool) -> bool:
    requests, per_s, workers = (300, 100.0, 2) if smallest else (9_000, 200.0, 3)
    with place() as folder:
        server = Server(0.1, per_s=per_s)
        swept = Swept(folder, experiment(server.url, requests), "--engine", "ray", "--workers", str(workers))
        status = swept.wait()
        came = server.end()
        answers = {one.key for one in read(swept.folder) if isinstance(one.outcome, Completion)}
        log = (folder / "log").read_text()
    began = came[0].at
    settled = [one for one in came if one.at > began + 10]
    refusals = [one for one in came if one.status == 429]
    print(f"-- {requests:,} requests, {workers} workers, a limit of {per_s:g} a second that nobody tells: {came[-1].at - began:.0f} s", flush=True)
    if status:
        print(log[-2000:], f"status {status}")
    within = dict.fromkeys((0.02, 0.05, 0.1), 0)
    held_from = held_until = latest = -1.0
    for one in came:
        for after in within:
            within[after] += held_from + after < one.at < held_until
        if one.at < held_until:
            latest = max(latest, one.at - held_from)
        if one.status == 429:
            held_from = one.answered if one.answered > held_until else held_from
            held_until = max(held_until, one.answered + 1.0)
    kept = told("   requests without an answer", requests - len(answers), 0)
    told("   calls refused, of all", len(refusals) / len(came))
    if settled:
        kept &= told("   calls refused after 10 s", sum(one.status == 429 for one in settled) / len(settled), 0.01)
        used = sum(one.status == 200 for one in settled) / (settled[-1].at - settled[0].at) / per_s
        told("   share of the limit used after 10 s", used)
    for after, count in within.items():
        told(f"   calls that came over {after * 1000:.0f} ms after a 429 and within its wait", count, 0 if after == 0.1 else None)
    told("   the latest of them came so long after it", latest, unit=" s")
    return kept and status == 0


def cpu(smallest: bool) -> bool:
    requests, workers = (200, 2) if smallest else (20_000, 2)
    found = {}
    for name, options in (("one process", ()), ("ray", ("--engine", "ray", "--workers", str(workers)))):
        with place() as folder:
            server = Server(0.1)
            swept = Swept(folder, experiment(server.url, requests, concurrency=64), *options)
            marks: list[tuple[int, float, float]] = []

            def mark(_: list[int], swept: Swept = swept, marks: list[tuple[int, float, float]] = marks) -> None:
                marks.append((swept.lines(), swept.cpu_s, time.monotonic()))

            if swept.wait(mark):
                print((folder / "log").read_text()[-2000:])
            server.end()
        inside = [one for one in marks if 0.05 * requests < one[0] < 0.95 * requests]
        if len(inside) < 2:
            print(f"   {name}: too short to measure")
            continue
        first, last = inside[0], inside[-1]
        calls = last[0] - first[0]
        found[name] = (last[1] - first[1]) / calls * 1000
        start_s = first[1] - found[name] * first[0] / 1000
        print(f"-- {name}: {calls:,} calls in {last[2] - first[2]:.1f} s; CPU before and beside the calls {start_s:.1f} s", flush=True)
        told("   CPU of all its processes a call", found[name], unit=" ms")
    if len(found) < 2:
        return True
    return told("   more than one process takes", found["ray"] - found["one process"], None if smallest else 0.8, unit=" ms")


def made_run(folder: Path, prompts: int, cells: int, replicates: int) -> Plan:
    """A run of answers of some 120 words, none of which was ever asked for."""
    chance = random.Random(5)
    words = [f"{one}{other}" for one in ("par", "lo", "ti", "mer", "sa", "con", "vi", "du") for other in ("", "ba", "re", "ton", "mi", "s", "la")]
    data = experiment("http://127.0.0.1:9/v1", 100)
    data["prompts"] = [{"id": f"p{number}", "user": f"question {number}"} for number in range(prompts)]
    data["parameters"] = {"temperature": [round(0.1 + 0.1 * number, 1) for number in range(cells)]}
    data["replicates"] = replicates
    plan = Plan(check(data))
    usage = Usage(prompt_tokens=9, completion_tokens=150, total_tokens=159)
    with RecordWriter(folder) as writer:
        for request in plan:
            text = " ".join(chance.choices(words, k=chance.randint(80, 160))) + "."
            writer.append(record_of(request, Completion(text=text, finish_reason="stop", usage=usage, latency_s=1.0, tries=1, model="m")))
    return plan


def scoring(smallest: bool) -> bool:
    from evalkit.engine.ray import cluster

    class Kept:
        """A cluster whose workers' CPU is known when they have measured."""

        def __init__(self, there: Any) -> None:
            self._there, self.workers = there, there.workers
            self.cpu_s: dict[int, float] = {}

        def process(self, kind: type, *given: Any) -> Any:
            process = self._there.process(kind, *given)
            end = process.end

            def ended() -> None:
                self.cpu_s |= {pid: cpu_s for pid, (cpu_s, name) in cpu_below(os.getpid()).items() if "Part" in name}
                end()

            process.end = ended
            return process

    shape = (10, 2, 4) if smallest else (100, 10, 40)
    with place() as folder:
        plan = made_run(folder, *shape)
        with cluster(None, 2) as there:
            there.check(None)
            kept_there = Kept(there)
            began, cpu = time.monotonic(), time.process_time()
            one = score(plan, read(folder))
            one_s, one_cpu = time.monotonic() - began, time.process_time() - cpu
            began, cpu = time.monotonic(), time.process_time()
            two = score(plan, read(folder), there=kept_there)
            two_s, two_cpu = time.monotonic() - began, time.process_time() - cpu
    same = list(one.by_metric) == list(two.by_metric) and all(
        first is second or (first is not None and second is not None and first.tobytes() == second.tobytes())
        for name in one.by_metric
        for first, second in zip(one.by_metric[name], two.by_metric[name], strict=True)
    )
    what = f"{len(plan):,} answers of 120 words: {one_s:.1f} s in one process, {two_s:.1f} s by two workers"
    print(f"-- {what}; load {os.getloadavg()[0]:.1f}", flush=True)
    kept = told("   values that differ", 0 if same else 1, 0)
    told("   times as fast, by the clock (on two idle cores it means something)", one_s / two_s)
    workers = sorted(kept_there.cpu_s.values())
    told("   CPU of one process", one_cpu, unit=" s")
    told("   CPU of the command's process, with two workers", two_cpu, unit=" s")
    told("   CPU of the busier worker", workers[-1] if workers else 0.0, unit=" s")
    if workers:
        told("   times as fast, by CPU, where nothing overlaps", one_cpu / (two_cpu + workers[-1]), None if smallest else 1.6, least=True)
    return kept


PARTS: dict[str, Callable[[bool], bool]] = {"simulation": simulation, "kills": kills, "pace": pace, "cpu": cpu, "scoring": scoring}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(_serve(*map(float, given.serve.split(","))))
        return 0
    kept = True
    for name in given.parts or PARTS:
        if name != "simulation" and find_spec("ray") is None:
            print(f"{name}: LEFT OUT, ray is not installed; pip install 'ray>=2.50'")
            continue
        kept &= PARTS[name](given.smallest)
    return 0 if kept or given.smallest else 1


if __name__ == "__main__":
    sys.exit(main())
