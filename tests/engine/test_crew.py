"""Hub and workers in one process, without a cluster: what they come to together is what one run comes to, whoever is lost on the way."""

from __future__ import annotations

import asyncio
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from support.endpoints import JSON, Answer, Asked, completion, serving

from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent
from evalkit.collect.pace import Pace
from evalkit.collect.runner import INTERRUPTED, Policy
from evalkit.collect.tally import Tally
from evalkit.engine.crew import Crew, Port, WorkerLostError
from evalkit.engine.hub import Hub
from evalkit.engine.messages import Orders, Report, Task
from evalkit.engine.worker import Worker
from evalkit.errors import EndpointError
from evalkit.experiment.endpoint import Endpoint
from evalkit.plan.requests import Request
from evalkit.store.records import RESPONSES, Completion, Record

QUICK = Policy(max_tries=8, pause_s=0.01)


def request(number: int) -> Request:
    messages = [{"role": "user", "content": str(number)}]
    return Request(f"{number:032x}", 0, number, f"p{number}", {"temperature": 0.5}, 0, None, "tiny", {"model": "tiny", "temperature": 0.5}, messages)


class InProcess:
    """A worker in this very loop; `kill` leaves its segment as it is."""

    def __init__(self, name: str, task: Task) -> None:
        self.name, self._task = name, task
        self._worker = Worker(task)
        self._worker.begin()
        self.killed = asyncio.Event()

    async def exchange(self, orders: Orders) -> Report:
        await self.push(orders)
        report = asyncio.ensure_future(self._worker.report(0.02))
        lost = asyncio.ensure_future(self.killed.wait())
        await asyncio.wait((report, lost), return_when=asyncio.FIRST_COMPLETED)
        lost.cancel()
        if self.killed.is_set():
            report.cancel()
            raise WorkerLostError("killed")
        return await report

    async def push(self, orders: Orders) -> None:
        if self.killed.is_set():
            raise WorkerLostError("killed")
        self._worker.take(orders)

    async def left(self) -> bytes:
        return (Path(self._task.segment) / RESPONSES).read_bytes()

    async def forget(self) -> None:
        shutil.rmtree(self._task.segment)

    def kill(self) -> None:
        self.killed.set()
        if self._worker._work is not None:
            self._worker._work.cancel()


class Ran:
    """A sweep by a crew: `records` that counted, what the endpoint saw, how it ended."""

    def __init__(
        self,
        folder: Path,
        answer: Callable[[Asked], Answer],
        count: int,
        workers: int = 3,
        *,
        pace: Callable[[float], Pace] = lambda now: Pace(12, now=now),
        policy: Policy = QUICK,
        meanwhile: Callable[[Ran], Any] | None = None,
        together: int = 1,
        spent: Spent | None = None,
    ) -> None:
        self.lines: list[bytes] = []
        self.notes: list[str] = []
        self.ports: list[InProcess] = []
        self.tally = Tally(count, spent=spent or Spent())
        self.stop: asyncio.Event
        self.ended: Any = None
        with serving(answer) as endpoint:
            self.seen = endpoint.seen

            async def hire(number: int) -> Port:
                segment = folder / f"w{number}"
                segment.mkdir()
                task = Task(f"w{number}", Endpoint(base_url=endpoint.url, model="tiny"), endpoint.url, 64, policy, str(segment), count, together)
                self.ports.append(InProcess(f"w{number}", task))
                return self.ports[-1]

            async def go() -> str | None:
                self.stop = asyncio.Event()
                now = time.monotonic()
                requests = (request(number) for number in range(count))
                self.hub = Hub(requests, pace(now), policy, self.tally, self.lines.append, now=now, together=together)
                crew = Crew(self.hub, hire, workers, lambda one: self.notes.append(str(one)))
                side = asyncio.ensure_future(meanwhile(self)) if meanwhile is not None else None
                try:
                    return await asyncio.wait_for(crew.work(self.stop), 60)
                finally:
                    if side is not None:
                        side.cancel()

            try:
                self.ended = asyncio.run(go())
            except EndpointError as fault:
                self.ended = fault
        self.records = [msgspec.json.decode(line, type=Record) for one in self.lines for line in one.splitlines()]

    @property
    def completed(self) -> Counter[str]:
        return Counter(one.key for one in self.records if isinstance(one.outcome, Completion))


def fine(asked: Asked) -> Answer:
    return Answer(200, JSON, completion(f"answer {asked.body['messages'][0]['content']}"), delay_s=0.02)


def test_each_request_is_answered_once_and_recorded(tmp_path: Path) -> None:
    out = Ran(tmp_path, fine, 200)
    assert out.ended is None
    assert len(out.seen) == 200
    assert out.completed == Counter({f"{number:032x}": 1 for number in range(200)})
    assert {one.outcome.text for one in out.records if isinstance(one.outcome, Completion)} == {f"answer {number}" for number in range(200)}
    assert (out.tally.completed, out.tally.spent.requests, out.tally.spent.tokens) == (200, 200, 1000)
    assert not out.hub.twice


def test_workers_that_are_killed_lose_nothing_that_was_paid_for(tmp_path: Path) -> None:
    chance = random.Random(4)  # noqa: S311 (which worker is killed)
    paid: list[str] = []

    def faulty(asked: Asked) -> Answer:
        if chance.random() < 0.2:
            return Answer(500, JSON, b'{"error": {"message": "no"}}')
        paid.append(asked.body["messages"][0]["content"])
        return fine(asked)

    async def kill(out: Ran) -> None:
        for kills in range(1, 7):
            while len(paid) < 50 * kills:
                await asyncio.sleep(0.01)
            alive = [one for one in out.ports if not one.killed.is_set()]
            chance.choice(alive).kill()

    out = Ran(tmp_path, faulty, 400, pace=lambda now: Pace(24, now=now), meanwhile=kill)
    assert out.ended is None
    assert out.completed == Counter({f"{number:032x}": 1 for number in range(400)})
    assert sum("is lost" in one for one in out.notes) == 6
    assert len(paid) - 400 <= 6 * 8  # what was in flight at each kill, and no more


def test_the_limit_of_calls_at_once_holds_over_all(tmp_path: Path) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def counting(_: Asked) -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.02)
        with lock:
            now[0] -= 1
        return Answer(200, JSON, completion("yes"))

    out = Ran(tmp_path, counting, 120, 4, pace=lambda at: Pace(2, now=at))
    assert out.tally.completed == 120
    assert most[0] == 2


def test_a_rate_is_kept_over_all_workers_and_a_wait_by_each(tmp_path: Path) -> None:
    begun: list[float] = []

    def limited(asked: Asked) -> Answer:
        begun.append(asked.at)
        if asked.number == 30:
            return Answer(429, JSON | {"Retry-After": "1"}, b'{"error": {"message": "slow down"}}')
        return fine(asked)

    out = Ran(tmp_path, limited, 100, pace=lambda now: Pace(20, requests_per_minute=6000, now=now))
    assert out.tally.completed == 100
    assert out.tally.spent.requests == 101
    refused = begun[30]
    assert not [one for one in begun if refused + 0.15 < one < refused + 0.95]
    assert max(sum(at <= one < at + 0.5 for one in begun) for at in begun) <= 50 + 15


def test_budgets_are_kept_over_all(tmp_path: Path) -> None:
    out = Ran(tmp_path, fine, 200, policy=Policy(budget=Budget(requests=37)))
    assert "37 requests" in out.ended
    assert len(out.seen) == out.tally.spent.requests == out.tally.completed == 37


def test_asked_to_stop_it_waits_for_what_is_under_way(tmp_path: Path) -> None:
    async def interrupt(out: Ran) -> None:
        await asyncio.sleep(0.4)
        out.stop.set()

    out = Ran(tmp_path, fine, 2000, meanwhile=interrupt)
    assert out.ended == INTERRUPTED
    assert len(out.seen) == len(out.records) < 2000


def test_an_endpoint_of_no_use_ends_all(tmp_path: Path) -> None:
    out = Ran(tmp_path, lambda _: Answer(401, JSON, b'{"error": {"message": "wrong key"}}'), 50)
    assert isinstance(out.ended, EndpointError)
    assert "refuses the key" in str(out.ended)
    assert not out.records


def test_workers_that_never_live_end_it(tmp_path: Path) -> None:
    async def kill(out: Ran) -> None:
        while True:
            await asyncio.sleep(0)
            for one in out.ports:
                one.kill()

    out = Ran(tmp_path, fine, 50, 2, meanwhile=kill)
    assert "lost as soon as they start" in str(out.ended)
