"""``evalkit view`` as a user runs it, and a browser's side of it without a browser."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from evalkit.run import Run, load
from support.local import Reply
from support.process import ROOT, environment
from support.reports import PROMPTS, experiment
from support.sweeps import sweep


def small(folder: Path, **changes: Any) -> Run:
    """A run of the embedded model with four settings, three prompts and three answers to each, of which something is chosen."""
    usual = {
        "prompts": PROMPTS[:3],
        "parameters": {"temperature": [0.3, 1.2], "max_tokens": [12, 30]},
        "replicates": 3,
        "choose": {"prefer": {"length_words": {"goal": "maximize"}}},
    }
    assert sweep(experiment(**usual | changes), folder) is not None
    return load(folder)


class Viewed:
    """The viewer as a child process; a context manager that ends it, and looks that it said nothing on standard error."""

    def __init__(self, results: Path, *options: str, port: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "evalkit", "view", str(results), "--no-open", "--port", str(port), *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment({"PYTHONPATH": str(ROOT)}),
        )
        assert self.process.stdout is not None
        self.told = self.process.stdout.readline().decode()
        said = self.told if "token=" in self.told else self.process.stdout.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)(/\?token=\S+)", said)
        assert found, said + self.process.stderr.read().decode()
        self.port, self.first = int(found[1]), found[2]
        self.cookie = ""
        self.process.stdout.readline()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Viewed:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            _, said = self.process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
        assert b"Traceback" not in said, said.decode()

    def again(self) -> str:
        """The next address, once a browser was let in."""
        line = self.process.stdout.readline().decode()
        return re.search(r"http://\S+", line)[0]

    def enter(self) -> None:
        """Exchange the token of the address for the cookie, as a browser does."""
        found = self.raw("GET", self.first)
        assert (found.status, found.headers["location"]) == (303, "/")
        self.cookie = found.headers["set-cookie"].partition(";")[0]
        self.first = "/" + self.again().partition("//")[2].partition("/")[2]

    def raw(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request with these headers and no others but Host."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            host = headers.pop("Host", f"127.0.0.1:{self.port}")
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": host, **headers, **({} if body is None else {"Content-Length": str(len(body))})}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        """A page, as the browser that was let in asks for it."""
        return self.raw("GET", path, Cookie=self.cookie, **headers)

    def text(self, path: str) -> str:
        found = self.get(path)
        assert found.status == 200, (path, found)
        return found.body.decode()

    def csrf(self, path: str) -> str:
        return re.search(r'name="csrf" content="(\w+)"', self.text(path))[1]

    def post(self, path: str, said: Any, csrf: str, **headers: str) -> Reply:
        given = {"Cookie": self.cookie, "Origin": self.origin, "Content_Type": "application/json", "X_Evalkit_CSRF": csrf} | headers
        return self.raw("POST", path, json.dumps(said).encode(), **{name: value for name, value in given.items() if value})
