"""CPU, makespan and first-token time of evalkit's client with its records, beside the official client's own `create()` and a bare loop.

The bare loop is what a call costs at the least in Python: aiohttp sends bytes, msgspec reads the answer, or each event of a stream that has ended,
and nothing is recorded, classified, tried again or paced.

    python benchmarks/client.py [--rounds 7] [--smallest]

A child process answers after a fixed time, so nothing but the clients is measured. Rounds are interleaved; figures are medians.

With `--smallest` it runs once, with a few requests, and no limit is held.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

EVENTS = 150
WORD = "word "
AT_ONCE = (32, 64, 256)
LIMITS = {
    "plain CPU": 0.50,
    "streamed CPU": 0.12,
    "makespan": 1.10,
    "first token ms": 5.0,
    **{f"plain, bare, {at_once}": 2.2 for at_once in AT_ONCE},
    **{f"streamed, bare, {at_once}": 2.0 for at_once in AT_ONCE},
}


def head(kind: str, rest: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{rest}\r\n\r\n".encode()


PLAIN = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": WORD * EVENTS}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 9, "completion_tokens": EVENTS, "total_tokens": EVENTS + 9},
    }
).encode()


def piece(text: str, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


STREAM = [piece(WORD) for _ in range(EVENTS)] + [piece("", "stop"), b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"]


class Endpoint(asyncio.Protocol):
    """Answers each request after a fixed time; a stream comes in ten parts."""

    latency_s = 0.1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        at = self.buffer.find(b"\r\n\r\n")
        if at < 0:
            return
        if self.buffer.startswith(b"GET "):  # the list of models, which it has not
            self.buffer = self.buffer[at + 4 :]
            self.transport.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        lengths = [line.split(b":")[1] for line in self.buffer[:at].lower().split(b"\r\n") if line.startswith(b"content-length")]
        end = at + 4 + int(lengths[0])
        if len(self.buffer) < end:
            return
        body, self.buffer = self.buffer[at + 4 : end], self.buffer[end:]
        loop = asyncio.get_running_loop()
        if b'"stream":true' in body.replace(b" ", b""):
            loop.call_later(self.latency_s, self.begin, 0)
        else:
            answer = head("application/json", f"Content-Length: {len(PLAIN)}") + PLAIN
            loop.call_later(self.latency_s, self.transport.write, answer)

    def begin(self, part: int) -> None:
        size = -(-len(STREAM) // 10)
        first = head("text/event-stream", "Transfer-Encoding: chunked") if part == 0 else b""
        self.transport.write(first + b"".join(STREAM[part * size : (part + 1) * size]))
        if (part + 1) * size < len(STREAM):
            asyncio.get_running_loop().call_later(0.005, self.begin, part + 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def ours(base_url: str, requests: int, at_once: int, streamed: bool, folder: Path) -> None:
    from evalkit.client.client import Client
    from evalkit.collect.calls import call_of
    from evalkit.collect.pace import Pace
    from evalkit.collect.runner import run
    from evalkit.collect.tally import Tally
    from evalkit.experiment.experiment import check
    from evalkit.plan.requests import Plan
    from evalkit.store.records import RecordWriter

    endpoint = {"base_url": base_url, "model": "m", "stream": streamed}
    experiment = check({"name": "b", "endpoint": endpoint, "prompts": [{"id": "a", "user": "Say it."}], "replicates": requests})
    plan, tally = Plan(experiment), Tally(requests)
    with RecordWriter(folder) as writer:
        async with Client(base_url, "key", concurrency=at_once, loopback=True) as client:
            await run((call_of(one, writer.append) for one in plan), client, tally, pace=Pace(at_once, now=time.monotonic()))
    assert tally.completed == requests


async def theirs(base_url: str, requests: int, at_once: int, streamed: bool, _: Path) -> None:
    import openai

    client = openai.AsyncOpenAI(api_key="key", base_url=base_url, max_retries=0)
    queue = iter(range(requests))

    async def work() -> None:
        for _ in queue:
            answer = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Say it."}], stream=streamed)
            if streamed:
                text = "".join([part.choices[0].delta.content or "" async for part in answer if part.choices])
            else:
                text = answer.choices[0].message.content
            assert len(text) == len(WORD) * EVENTS

    await asyncio.gather(*(work() for _ in range(at_once)))
    await client.close()


class Message(msgspec.Struct):
    """What the bare loop reads of a message or delta."""

    content: str | None = None


class Choice(msgspec.Struct):
    """What it reads of a choice."""

    message: Message | None = None
    delta: Message | None = None


class Body(msgspec.Struct):
    """What it reads of an answer or event."""

    choices: list[Choice]


async def bare(base_url: str, requests: int, at_once: int, streamed: bool, _: Path) -> None:
    import aiohttp

    read, write, queue = msgspec.json.Decoder(Body).decode, msgspec.json.Encoder().encode, iter(range(requests))
    body = {"model": "m", "messages": [{"role": "user", "content": "Say it."}], **({"stream": True} if streamed else {})}
    headers = {"Content-Type": "application/json", "Authorization": "Bearer key"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def work() -> None:
            for _ in queue:
                async with session.post(f"{base_url}/chat/completions", data=write(body), headers=headers) as response:
                    raw = await response.read()
                if streamed:
                    events = (event for event in raw.split(b"\n\n") if event.startswith(b"data: {"))
                    text = "".join([read(event[6:]).choices[0].delta.content or "" for event in events])
                else:
                    text = read(raw).choices[0].message.content
                assert len(text) == len(WORD) * EVENTS

        await asyncio.gather(*(work() for _ in range(at_once)))


def measured(way: Callable[..., Awaitable[None]], *arguments: object) -> tuple[float, float, Path]:
    folder = Path(tempfile.mkdtemp())
    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(way(*arguments, folder))
    return time.process_time() - cpu, time.perf_counter() - wall, folder


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--smallest", action="store_true")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return 0
    from evalkit.store.records import read

    child = subprocess.Popen([sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    base_url = f"http://127.0.0.1:{child.stdout.readline().strip()}/v1"
    for streamed in () if options.smallest else (False, True):  # imports and first connections are nobody's fault
        measured(ours, base_url, 16, 16, streamed)
        measured(theirs, base_url, 16, 16, streamed)
        measured(bare, base_url, 16, 16, streamed)
    figures: dict[str, list[float]] = {name: [] for name in LIMITS}
    per_request: dict[str, list[float]] = {}
    less = 20 if options.smallest else 1
    for _ in range(1 if options.smallest else options.rounds):
        for name, streamed, requests in (("plain CPU", False, 640 // less), ("streamed CPU", True, 256 // less)):
            a, _, _ = measured(ours, base_url, requests, 64, streamed)
            b, _, _ = measured(theirs, base_url, requests, 64, streamed)
            figures[name].append(a / b)
            per_request.setdefault(f"{name}, evalkit", []).append(a / requests * 1e3)
            per_request.setdefault(f"{name}, create()", []).append(b / requests * 1e3)
        for at_once in AT_ONCE[:1] if options.smallest else AT_ONCE:
            for kind, streamed in (("plain", False), ("streamed", True)):
                a, b = (measured(way, base_url, 512 // less, at_once, streamed)[0] for way in (ours, bare))
                figures[f"{kind}, bare, {at_once}"].append(a / b)
                per_request.setdefault(f"{kind}, bare loop", []).append(b / (512 // less) * 1e3)
        _, wall, _ = measured(ours, base_url, 640 // less, 32, False)
        figures["makespan"].append(wall / (640 / less / 32 * Endpoint.latency_s))
        _, _, folder = measured(ours, base_url, 160 // less, 16, True)
        first = [record.outcome.time_to_first_token_s for record in read(folder)]
        figures["first token ms"].append((statistics.median(first) - Endpoint.latency_s) * 1e3)
    child.communicate()
    failed = False
    for name, limit in LIMITS.items():
        if not figures[name]:
            continue
        value = statistics.median(figures[name])
        failed |= value > limit
        rounds = " ".join(f"{one:.3f}" for one in figures[name])
        print(f"{name:20} {value:7.3f}  limit {limit:5.2f}  {'PASS' if value <= limit else 'FAIL'}  rounds {rounds}")
    for name, values in per_request.items():
        print(f"{name:26} {statistics.median(values):6.2f} ms a request")
    return int(failed and not options.smallest)


if __name__ == "__main__":
    sys.exit(main())
