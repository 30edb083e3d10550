"""Does memory or a descriptor leak away under mixed load, in the embedded server or in evalkit's own client?

    nice -n 10 python benchmarks/soak.py [--minutes 10] [--grow 10] [--smallest]

`evalkit serve` runs as a child; this process asks it through evalkit's `Client` (plain, streamed, with tools, with several choices) and by
hand (clients that hang up in the middle of a stream, bodies that are no requests). Every ten seconds, or forty times in shorter runs,
resident memory and open descriptors of both are read from /proc (Linux).

Fails where resident memory of either grows by more than `--grow` MB from the median of the second fifth of the samples to that of the last,
where descriptors do not come back to what they were before the load, or where an answer is not of the kind it has to be. With `--smallest`
the load lasts a second, and only the answers are held to what they have to be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from evalkit.client.client import Client

AT_ONCE = 6
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {"topic": {"type": "string"}}}}}
BAD = (b"", b"{", b"[]", b"\xff\xfe", b'{"model": "babbler"}', b'{"model": 1, "messages": []}', b'{"a":' * 3000, b"x" * 5_000_000)


class Sample(NamedTuple):
    """Of one process: MB of resident memory, open descriptors, and how many of them are sockets."""

    rss: float
    descriptors: int
    sockets: int


def sampled(pid: int) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    links = []
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the one that lists the folder
            links.append(str(descriptor.readlink()))
    return Sample(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(links), sum(link.startswith("socket:") for link in links))


def conversation(rng: random.Random) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Tell me about {rng.choice(('lists', 'classes', 'loops', 'errors'))} and {rng.randrange(10**6)}."}]


async def by_client(client: Client, kind: str, rng: random.Random) -> None:
    body: dict[str, Any] = {"model": "babbler", "max_tokens": rng.randrange(1, 120), "temperature": rng.choice((0, 0.7, 1.5))}
    if kind == "tools":
        body |= {"tools": [TOOL], "tool_choice": "required"}
    if kind == "choices":
        body |= {"n": 4, "logprobs": True, "top_logprobs": 3}
    reply = await client.call(body, conversation(rng), stream=kind in ("streamed", "tools") and rng.random() < 0.7)
    assert reply.completions, reply.failure
    assert len(reply.completions) == body.get("n", 1)


async def by_hand(host: str, port: int, kind: str, rng: random.Random) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        if kind == "hang up":
            content = json.dumps({"model": "babbler", "messages": conversation(rng), "stream": True, "max_tokens": 2000}).encode()
        else:
            content = rng.choice(BAD)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + content)
        status = await asyncio.wait_for(reader.readline(), 30)
        if kind == "hang up":
            assert status.split()[1] == b"200", status
            await reader.read(rng.randrange(1, 2000))
        else:
            assert status.split()[1] in (b"400", b"404", b"413"), status
    except (ConnectionResetError, BrokenPipeError):
        # A body over the limit may be refused before all of it is sent.
        if kind == "hang up":
            raise
    finally:
        writer.close()
        with suppress(OSError):  # closed from the other end first
            await writer.wait_closed()


async def load(base_url: str, until: float, pids: dict[str, int], every: float, counts: Counter[str]) -> list[dict[str, Sample]]:
    """Load until the clock says `until`; the samples of each process."""
    host, port = str(urlsplit(base_url).hostname), int(urlsplit(base_url).port or 0)
    samples: list[dict[str, Sample]] = []

    async def worker(number: int, client: Client) -> None:
        rng = random.Random(number)
        while time.monotonic() < until:
            kind = rng.choices(("plain", "streamed", "tools", "choices", "hang up", "bad body"), (4, 4, 2, 1, 2, 2))[0]
            await (by_hand(host, port, kind, rng) if kind in ("hang up", "bad body") else by_client(client, kind, rng))
            counts[kind] += 1

    async def watch() -> None:
        while time.monotonic() < until:
            await asyncio.sleep(every)
            samples.append({name: sampled(pid) for name, pid in pids.items()})
            told = "   ".join(f"{name} {one.rss:7.1f} MB {one.descriptors:3} open" for name, one in samples[-1].items())
            print(f"{max(0, until - time.monotonic()):5.0f} s left  {told}  {counts.total():,} requests", flush=True)

    async with Client(base_url, None, concurrency=AT_ONCE, loopback=True) as client, asyncio.TaskGroup() as group:
        group.create_task(watch())
        for number in range(AT_ONCE):
            group.create_task(worker(number, client))
    return samples


async def soak(base_url: str, server: int, minutes: float, grow: float) -> bool:
    pids = {"server": server, "client": os.getpid()}
    counts: Counter[str] = Counter()
    # What is imported or opened once and kept is no leak: a second of load before the start is taken.
    await load(base_url, time.monotonic() + 1, pids, 1, counts)
    await asyncio.sleep(2)
    before = {name: sampled(pid) for name, pid in pids.items()}
    samples = await load(base_url, time.monotonic() + 60 * minutes, pids, min(10.0, 60 * minutes / 40), counts)
    after = before
    for _ in range(20):  # connections close a moment later
        await asyncio.sleep(0.5)
        after = {name: sampled(pid) for name, pid in pids.items()}
        if all(after[name].descriptors <= before[name].descriptors for name in pids):
            break
    kept = True
    print(", ".join(f"{count:,} {kind}" for kind, count in counts.most_common()))
    fifth = max(1, len(samples) // 5)
    for name in pids:
        early = statistics.median(one[name].rss for one in samples[fifth : 2 * fifth])
        late = statistics.median(one[name].rss for one in samples[-fifth:])
        most = max(one[name].descriptors for one in samples)
        good = late - early <= grow and after[name].descriptors <= before[name].descriptors
        kept &= good
        opened = f"{before[name].descriptors} ({before[name].sockets} sockets) before, {most} at most, {after[name].descriptors} after"
        print(f"{name}  {early:.1f} -> {late:.1f} MB (limit +{grow:g})  descriptors {opened}  {'PASS' if good else 'FAIL'}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--grow", type=float, default=10, help="MB that resident memory may grow after the warm-up")
    parser.add_argument("--smallest", action="store_true", help="a second of load, to see that it runs; no limit is held")
    options = parser.parse_args()
    minutes = 1 / 60 if options.smallest else options.minutes
    command = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--until-input-ends"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        kept = asyncio.run(soak(child.stdout.readline().strip(), child.pid, minutes, options.grow))
        ended = child.poll()
        child.stdin.close()
    if ended is not None:
        print(f"the server ended by itself, with status {ended}")
    return 0 if (kept or options.smallest) and ended is None else 1


if __name__ == "__main__":
    sys.exit(main())
