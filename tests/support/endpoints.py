"""The one seam of the tests: a real HTTP endpoint on loopback that answers, or misbehaves, as a callable says.

def answer(asked: Asked) -> Answer:
    return Answer(429, {"Retry-After": "1"}) if asked.number == 0 else Answer(200, JSON, completion("hello"))

with serving(answer) as endpoint:
    ...  # Client(endpoint.url, ...)
assert len(endpoint.seen) == 2
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple

JSON = {"Content-Type": "application/json"}


class Asked(NamedTuple):
    """A request as it came: counted from 0 in order of arrival, header names in lower case, `body` decoded where it is JSON.

    `at` is the monotonic time of its arrival, `port` the client's end of the connection.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: Any
    raw: bytes
    at: float
    port: int


class Answer(NamedTuple):
    """What to send, `delay_s` after the request came; or how to fail.

    Faults: ``hang up`` closes before the headers, ``cut`` in the middle of the body, ``stall`` sends nothing until the test is
    over, ``raw`` sends `body` alone, without a status line and headers, and closes. `pieces` go out one by one, chunked, instead of
    `body`; ``cut`` and ``stall`` then come after the last of them.
    """

    status: int = 200
    headers: Mapping[str, str] = JSON
    body: bytes = b""
    fault: Literal["hang up", "cut", "stall", "raw"] | None = None
    delay_s: float = 0.0
    pieces: Sequence[bytes] = ()


@dataclass
class Endpoint:
    """A running endpoint: `url` is the client's base URL, `seen` what came so far, `most_at_once` the most it ever had in hand together."""

    url: str
    seen: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


def completion(text: str | None, *, finish_reason: str | None = "stop", **more: Any) -> bytes:
    """The body of a plain chat completion; `more` sets or replaces its top-level fields."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "tiny",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    return json.dumps(body | more).encode()


@contextmanager
def serving(answer: Callable[[Asked], tuple[Any, ...]], *, lists_models: bool = False) -> Iterator[Endpoint]:
    """Serve what `answer` says, a thread a connection, on a free port; what `answer` itself raises comes out at the end.

    An `Answer`, or a plain tuple of its first fields: ``lambda asked: (200, {}, completion("hello"))``.
    """
    lock, over = threading.Lock(), threading.Event()
    faults: list[BaseException] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            try:
                body = json.loads(raw)
            except ValueError:
                body = None
            headers = {name.lower(): value for name, value in self.headers.items()}
            with lock:
                asked = Asked(len(endpoint.seen), self.path, headers, body, raw, time.monotonic(), self.client_address[1])
                endpoint.seen.append(asked)
                endpoint.at_once += 1
                endpoint.most_at_once = max(endpoint.most_at_once, endpoint.at_once)
            try:
                reply = Answer(*answer(asked))
                over.wait(reply.delay_s)
            except BaseException as fault:
                faults.append(fault)
                reply = Answer(fault="hang up")
            finally:
                with lock:
                    endpoint.at_once -= 1
            with suppress(OSError):  # the client went away
                self._send(reply)

        def do_GET(self) -> None:
            if self.path.endswith("/models") and not lists_models:  # hardly any of these endpoints lists its models
                with suppress(OSError):
                    self._send(Answer(404))
                return
            self.do_POST()

        def _send(self, reply: Answer) -> None:
            self.close_connection = reply.fault is not None
            headers = {"Content-Length": len(reply.body), "Connection": "close" if reply.fault else "keep-alive", **reply.headers}
            head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            if reply.pieces:
                self._send_pieces(reply)
                return
            match reply.fault:
                case "stall":
                    over.wait()
                case "raw":
                    self.wfile.write(reply.body)
                case "cut":
                    self.wfile.write(head.encode() + b"\r\n" + reply.body[: len(reply.body) // 2])
                case None:
                    self.wfile.write(head.encode() + b"\r\n" + reply.body)

        def _send_pieces(self, reply: Answer) -> None:
            head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nTransfer-Encoding: chunked\r\n"
            self.wfile.write((head + "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items()) + "\r\n").encode())
            for piece in reply.pieces:
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                over.wait(0.002)  # so that each is a read of its own
            if reply.fault == "stall":
                over.wait()
            elif reply.fault is None:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_: object) -> None:
            fault = sys.exception()
            if fault is not None and not isinstance(fault, OSError):  # clients may go away as they please
                faults.append(fault)

    with Server(("127.0.0.1", 0), Handler) as server:
        endpoint = Endpoint(f"http://127.0.0.1:{server.server_address[1]}/v1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield endpoint
        finally:
            over.set()
            server.shutdown()
            thread.join()
    if faults:
        raise faults[0]


@contextmanager
def nobody() -> Iterator[str]:
    """The base URL of a port that refuses connections: bound and not listened to, so that nobody else is given it meanwhile."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{one.getsockname()[1]}/v1"
