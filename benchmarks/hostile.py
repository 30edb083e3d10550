"""A sweep, plain and streamed, against a server that answers with thousands of mutated replies.

    python benchmarks/hostile.py [--replies 10000] [--smallest]

What comes is cut short, of other types, deep, huge, NaN, with doubled keys, of a wrong length or charset, packed to unfold to gigabytes, without
end, slow, with headers of 100 kB, or full of control characters. What must hold: the sweep ends by itself and without a traceback; each request has
an outcome; an answer that is recorded stands letter by letter in what the server sent for it (or is empty); no control character reaches
the terminal or a failure's message; and the sweep stays within its memory. Exit status 1 where one of these is broken. The replies
are the same at each run, but for which request meets which.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MOST_MB, LONGEST_S_A_REPLY = 1_500, 0.5
TEXT = "Le Rhône, ça va – 東京 🏔\x1b[31m\x07\u202eabc\u2028d\u0085e <script>1</script> \x00."
ODD = [None, True, -1, 1e308, 10**400, float("nan"), float("inf"), "", "\x1b]0;x\x07", [], {}, [[]], {"": None}, "\ud800", 0, "9" * 5000]
BOMB = gzip.compress(gzip.compress(b" " * 2**28, 1), 9)


def whole(streamed: bool) -> dict[str, Any]:
    part = {"role": "assistant", "content": TEXT}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    choice = {"index": 0, "delta" if streamed else "message": part, "finish_reason": "stop"}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each holder in plain data, with each of its keys or indexes."""
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(rng: random.Random, streamed: bool) -> bytes:
    """A body with one to three fields replaced, dropped, or told twice; as an event stream where that is asked for."""
    data = whole(streamed)
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        holder, key = rng.choice(list(places(data)))
        if isinstance(holder, dict) and rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = rng.choice(ODD)
    text = json.dumps(data, ensure_ascii=rng.random() < 0.5)
    match rng.randrange(12):
        case 0:
            text = text[: rng.randrange(len(text))]
        case 1:
            text = text.replace('"choices"', '"choices": null, "choices"', 1)
        case 2:
            text = text[:-1] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}"
        case 3:
            text = text[:-1] + f', "error": {json.dumps(rng.choice([*ODD, TEXT, {"message": TEXT, "code": rng.choice([429, "500", TEXT])}]))}}}'
    body = text.encode("utf-8", "surrogatepass")
    if streamed:
        ends = [b"data: [DONE]\n\n", b"", b"event: error\n\n", b"data: {}\n\n", b": x\n\n", b"data: nonsense\n\n"]
        body = b"data: " + body + b"\n\n" + rng.choice(ends)
    if rng.random() < 0.03:
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(3) + body[at + 3 :]
    return body


class Hostile(ThreadingHTTPServer):
    """Answers the next of its mutations to each request; `sent` keeps what it sent as texts, by the request."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, rare: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.count, self.rare, self.lock = 0, rare, threading.Lock()
        self.sorts: Counter[str] = Counter()

    def handle_error(self, *_: object) -> None:
        """Clients go away as they please."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Hostile

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self._send(404, {}, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number, self.server.count = self.server.count, self.server.count + 1
        rng = random.Random(number)
        sort = self._sort(number, rng)
        with self.server.lock:
            self.server.sorts[sort] += 1
        with suppress(OSError):
            self._answer(sort, rng, bool(body.get("stream")))

    def _sort(self, number: int, rng: random.Random) -> str:
        if number < 8 or number % 3 == 0:  # so that the run is one that goes on
            return "sound"
        if number % self.server.rare == 1:
            return ("bomb", "endless", "50 MB", "trickle", "huge header")[number // self.server.rare % 5]
        return rng.choices(["mutated", "wrong length", "charset", "packed wrongly", "page", "status", "garbage"], [14, 1, 1, 1, 1, 2, 1])[0]

    def _answer(self, sort: str, rng: random.Random, streamed: bool) -> None:
        kind = {"Content-Type": "text/event-stream" if streamed else "application/json"}
        good = json.dumps(whole(streamed)).encode()
        good = b"data: " + good + b"\n\ndata: [DONE]\n\n" if streamed else good
        match sort:
            case "sound":
                self._send(200, kind, good)
            case "mutated":
                self._send(200, kind, mutated(rng, streamed))
            case "wrong length":
                self._send(200, {**kind, "Content-Length": str(rng.choice([0, 3, len(good) + 99, "x", -1]))}, good)
            case "charset":
                charset = rng.choice(["utf-16", "none", "x" * 999])
                self._send(rng.choice([200, 400]), {"Content-Type": f"{kind['Content-Type']}; charset={charset}"}, good)
            case "packed wrongly":
                self._send(200, {**kind, "Content-Encoding": rng.choice(["gzip", "br", "zstd", "deflate", "gzip,br", "?"])}, good)
            case "page":
                self._send(rng.choice([200, 502]), {"Content-Type": "text/html"}, f"<!doctype html><title>{TEXT}</title>".encode())
            case "status":
                status = rng.choice([400, 404, 409, 413, 422, 429, 451, 500, 503, 529, 599])
                error = {"message": TEXT * 9, "param": rng.choice(ODD), "code": rng.choice(ODD), "type": rng.choice(ODD)}
                self._send(status, {"Retry-After": rng.choice(["0", "x", "-1", "nan"])}, json.dumps({"error": error}).encode())
            case "garbage":
                self.wfile.write(rng.randbytes(200))
                self.close_connection = True
            case "bomb":
                self._send(rng.choice([200, 500]), {**kind, "Content-Encoding": "gzip, gzip"}, BOMB)
            case "50 MB":
                self._send(200, kind, b" " * (50 * 2**20) + good)
            case "huge header":
                self._send(200, {**kind, "X-A": "a" * 100_000}, good)
            case "endless" | "trickle":
                self._on_and_on(sort == "trickle", kind)

    def _on_and_on(self, slowly: bool, headers: dict[str, str]) -> None:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        piece = b": x\n" if slowly else b": " + b"x" * 2**20 + b"\n"
        until = time.monotonic() + 60
        while time.monotonic() < until:  # the client goes away before
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if slowly:
                time.sleep(0.2)
        self.close_connection = True

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        headers = {"Content-Length": str(len(body)), **headers}
        self.close_connection = headers["Content-Length"] != str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.wfile.write(f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + body)
        if self.close_connection:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_WR)


def is_sound(text: str) -> bool:
    """Whether a recorded text is one that was sent: the answer, one of the odd values in its place, or nothing."""
    odd = {"", *(one for one in ODD if isinstance(one, str)), *(json.dumps(one) for one in ODD if isinstance(one, int | float))}
    return text in {TEXT, "\ufffd", *odd} or ("\ufffd" in text and len(text) <= len(TEXT) + 9) or text in {"1e+308", "Infinity", "NaN"}


def swept(replies: int, streamed: bool, rare: int) -> bool:
    """One sweep; whether all of it held."""
    server = Hostile(rare)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    prompts = [{"id": f"p{number}", "user": f"Name river {number}."} for number in range(max(2, replies // 28))]
    endpoint = {"base_url": f"http://127.0.0.1:{server.server_address[1]}/v1", "model": "m", "stream": streamed, "timeout_s": 5, "max_tries": 2}
    data = {"name": "x", "endpoint": endpoint, "prompts": prompts, "replicates": 10, "anchor": {"every": 0}}
    data["parameters"] = {"temperature": [0.2, 0.9]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "x.json").write_text(json.dumps(data))
        command = [sys.executable, "-m", "evalkit", "sweep", "x.json", "--yes", "-q", "--no-look", "-o", "run", "-j", "8"]
        began, most_kb, before = time.monotonic(), 0, Counter[str]()
        with (folder / "said").open("wb") as said, subprocess.Popen(command, cwd=folder, stdout=said, stderr=said) as child:
            until = began + 60 + LONGEST_S_A_REPLY * replies
            while child.poll() is None and time.monotonic() < until:
                with suppress(OSError, StopIteration):  # it has ended, or this is no Linux
                    status = Path(f"/proc/{child.pid}/status").read_text()
                    most_kb = max(most_kb, next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")))
                time.sleep(0.2)
            hung = child.poll() is None
            child.kill()
        told = (folder / "said").read_text(errors="replace")
        records = [json.loads(line) for line in (folder / "run/responses.jsonl").read_bytes().split(b"\n") if line]
    server.shutdown()
    server.server_close()
    outcomes = [one["outcome"] for one in records]
    altered = [one["text"] for one in outcomes if one["type"] == "completion" and not is_sound(one["text"])]
    loud = [one["message"] for one in outcomes if one["type"] == "failure" and not one["message"].isprintable()]
    before.update(one.get("kind", "completion") for one in outcomes)
    limits = {
        "no hang": not hung,
        "no traceback": "Traceback" not in told and "internal error" not in told,
        "exit status 0 or 3": hung or child.returncode in (0, 3),
        "an outcome for each": len({one["key"] for one in records}) == 20 * len(prompts),
        "no answer altered": not altered,
        "no control characters told": not loud and not set(map(chr, range(32))) & set(told) - {"\n"} and "\x1b" not in told,
        f"at most {MOST_MB:,} MB": most_kb < MOST_MB * 1000,
    }
    name, took_s = "streamed" if streamed else "plain", time.monotonic() - began
    print(f"{name}: {server.count:,} replies {dict(server.sorts)} in {took_s:.0f} s, {most_kb / 1000:.0f} MB")
    print(f"  recorded: {dict(before)}; exit status {child.returncode}")
    print(*(f"  {'PASS' if holds else 'FAIL'}  {name}" for name, holds in limits.items()), sep="\n")
    for one in (altered + loud)[:5]:
        print(f"  {one[:200]!r}")
    if not all(limits.values()):
        print(told[-2000:].encode("unicode_escape").decode())
    return all(limits.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=10_000, help="about so many in all, half of them streamed")
    parser.add_argument("--smallest", action="store_true", help="about 80, without the largest and the slowest")
    options = parser.parse_args()
    os.environ.pop("HTTP_PROXY", None)
    replies, rare = (80, 10**9) if options.smallest else (options.replies, 100)
    kept = [swept(replies // 2, streamed, rare) for streamed in (False, True)]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
