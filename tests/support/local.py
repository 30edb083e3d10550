"""What the tests of the local model share: trained models, contexts worth asking about, and servers to speak to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from http.client import HTTPConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import uvicorn

from evalkit.local.api import Api
from evalkit.local.corpus import Section, sections
from evalkit.local.model import Conditioned, Model

QUESTION = "How do I take a slice of a list?"
BODY = {"model": "babbler", "messages": [{"role": "user", "content": QUESTION}]}

MADE_UP = (
    Section(
        "boats",
        (
            "The red boat sails on the lake, and the blue boat sails on the sea.",
            "A boat on the lake is a small boat; a boat on the sea is a big boat.",
            "The lake is calm.",
        ),
    ),
    Section("cities and towns", ("The big city sleeps. The city wakes, and the small town sleeps on the lake.", "Towns sleep.")),
    Section("boats", ("The red boat sails on the lake, and the red boat sails on the sea.",)),
)
"""Small enough to count by hand; holds repeats at every order, a paragraph twice under one title, and tokens seen once."""

TIED = (Section("letters", ("a b", "a c", "a d")), Section("letters", ("a e", "b a")))
"""A corpus in which tokens tie exactly."""


@cache
def real_sections() -> tuple[Section, ...]:
    return tuple(sections())


@cache
def real_model() -> Model:
    return Model(real_sections())


@cache
def made_up_model() -> Model:
    return Model(MADE_UP)


@cache
def conditioned(question: str = QUESTION) -> Conditioned:
    return real_model().condition([(question, 1.0)])


@cache
def api(*names: str) -> Api:
    return Api(real_model(), ("babbler", *names))


def say(body: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    """The texts of all choices of the plain answer to `body`, and the answer itself."""
    chat = api().chat(body)
    answers = api().answers(chat)
    texts = ["".join(answer) for answer in answers]
    return texts, api().completion(chat, answers, texts)


def in_child(code: str, *flags: str, hash_seed: str = "random") -> str:
    """What `code` prints in a Python of its own, in which every warning is an error."""
    env = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run([sys.executable, "-W", "error", *flags, "-c", code], env=env, check=True, capture_output=True, text=True, timeout=60).stdout


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, after a look at its form."""
        found = self.json
        assert list(found) == ["error"]
        assert list(found["error"]) == ["message", "type", "param", "code"]
        return found["error"]


class Served:
    """``python -m evalkit serve`` as a child process; a context manager that ends it."""

    def __init__(self, *options: str, **variables: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "evalkit", "serve", "--port", "0", "--until-input-ends", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **variables},
        )
        self.url = self.process.stdout.readline().decode().strip()
        assert self.url, self.process.stderr.read().decode()
        self.port = urlsplit(self.url).port

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> str:
        """End it, if it runs; what it said on standard error."""
        if not self.process.stderr.closed:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            with self.process.stdout, self.process.stderr:
                self._said = self.process.stderr.read().decode()
        return self._said

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """One request on a connection of its own; a `body` that is not bytes is sent as JSON."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()


class Port:
    """A server that is reached at a port of this machine."""

    ask = Served.ask

    def __init__(self, port: int) -> None:
        self.port = port


@contextmanager
def in_thread(app: Any) -> Iterator[Port]:
    """An ASGI application in a thread of this process, on a free port of its own."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, log_level="critical", lifespan="off", ws="none"))
    server.capture_signals = nullcontext  # which belong to pytest
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.005)
    try:
        yield Port(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()


def events(body: bytes) -> list[Any]:
    """The chunks of an event stream, which must end with ``[DONE]``."""
    assert body.endswith(b"\n\n")
    lines = body[:-2].split(b"\n\n")
    assert all(line.startswith(b"data: ") and b"\n" not in line for line in lines)
    assert lines[-1] == b"data: [DONE]"
    return [json.loads(line[6:]) for line in lines[:-1]]


def streamed_texts(chunks: list[Any]) -> dict[int, str]:
    """The text of each choice, put together from its chunks."""
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + (choice["delta"].get("content") or "")
    return texts
