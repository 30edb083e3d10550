"""A planted key is nowhere: in no file, on no screen, in no traceback, whatever the server does with it."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess, run
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, completion, serving
from support.process import environment
from support.streams import chunk, stream

KEY = "sk-planted/0123456789+ABCDEF=&x"
HEADER = "header-planted-9876543210"
pytestmark = pytest.mark.slow
SECRETS = (KEY, HEADER, "planted")
Command = Callable[..., CompletedProcess[str]]


def experiment(folder: Path, url: str, **endpoint: Any) -> Path:
    path = folder / "x.yaml"
    path.write_text(
        json.dumps(
            {
                "name": "x",
                "endpoint": {
                    "base_url": url,
                    "model": "tiny",
                    "api_key_env": "PLANTED_KEY",
                    "headers": {"X-Auth": "Bearer ${PLANTED_HEADER}"},
                    "concurrency": 2,
                    **endpoint,
                },
                "prompts": [{"id": "a", "user": "Say it."}],
                "parameters": {"temperature": [0.5, 1]},
            }
        )
    )
    return path


def quoted(asked: Asked) -> str:
    """All that a server knows of the secrets, in the spellings that servers use."""
    key = asked.headers.get("authorization", "").removeprefix("Bearer ")
    spelled = (key, json.dumps(key)[1:-1], key.replace("/", "\\/"), key.replace("&", "&amp;"), repr(key))
    return f"you sent {' '.join(spelled)} and {asked.headers.get('x-auth')}"


def everything(folder: Path) -> str:
    """The bytes of all files as text, packed ones unpacked."""
    import duckdb

    texts = [path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file()]
    texts += [str(duckdb.read_parquet(str(path)).fetchall()) for path in folder.rglob("*.parquet")]
    return "\n".join(texts)


SERVERS: dict[str, Callable[[Asked], Answer]] = {
    "in its answers": lambda asked: Answer(
        200, JSON, completion(quoted(asked), model=quoted(asked), id=quoted(asked), system_fingerprint=quoted(asked))
    ),
    "in a stream, cut to pieces": lambda asked: Answer(
        200, {"Content-Type": "text/event-stream"}, stream(*[chunk(char) for char in quoted(asked)], chunk(finish="stop"), "[DONE]")
    ),
    "in tool calls": lambda asked: Answer(
        200,
        JSON,
        completion(None, choices=[{"message": {"tool_calls": [{"id": quoted(asked), "function": {"name": "f", "arguments": quoted(asked)}}]}}]),
    ),
    "in a rejection": lambda asked: Answer(400, JSON, json.dumps({"error": {"message": quoted(asked), "param": quoted(asked)}}).encode()),
    "in a refusal of the key": lambda asked: Answer(401, JSON, json.dumps({"detail": quoted(asked)}).encode()),
    "in a page": lambda asked: Answer(503, {"Content-Type": "text/html", "Retry-After": "0"}, quoted(asked).encode()),
    "in a redirect": lambda asked: Answer(302, {"Location": f"http://elsewhere.example/?{quoted(asked)}"}),
    "in what is no answer": lambda asked: Answer(200, JSON, quoted(asked).encode()),
    "in a broken header": lambda asked: Answer(body=f"HTTP/1.1 200 OK\r\nBad {quoted(asked)}\0: x\r\n\r\n".encode(), fault="raw"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_whatever_a_server_does_with_the_key_it_is_nowhere(tmp_path: Path, evalkit: Command, name: str) -> None:
    env = {"PLANTED_KEY": KEY, "PLANTED_HEADER": HEADER}
    with serving(SERVERS[name]) as endpoint:
        path = experiment(tmp_path, endpoint.url, stream="stream" in name, timeout_s=5, max_tries=2)
        commands = (
            ("plan", path),
            ("--debug", "sweep", path, "--skip-rejected", "--patience", "2s"),
            ("--debug", "score", "results/x"),
            ("--debug", "probe", path, "--calls", "20"),
        )
        done = [evalkit(*command, env=env) for command in commands]
        assert any(asked.headers.get("authorization") == f"Bearer {KEY}" for asked in endpoint.seen)
        assert any(asked.headers.get("x-auth") == f"Bearer {HEADER}" for asked in endpoint.seen)
    shown = "".join(one.stdout + one.stderr for one in done) + everything(tmp_path)
    assert [secret for secret in SECRETS if secret in shown] == []
    if name == "in its answers":
        assert "you sent [key]" in shown  # the words around it are kept


def test_a_traceback_does_not_show_it(tmp_path: Path) -> None:
    """A fault of evalkit itself, planted in the middle of a call, with --debug: the stack of it all comes out."""
    script = (
        "import sys, evalkit.client.client as client\n"
        "def broken(*_, **__): raise RuntimeError('planned')\n"
        "client.Client._read = broken; client.Client._failed = broken\n"
        "from evalkit.cli import main; main()\n"
    )
    with serving(lambda asked: Answer(200, JSON, completion(quoted(asked)))) as endpoint:
        path = experiment(tmp_path, endpoint.url)
        env = environment({"PLANTED_KEY": KEY, "PLANTED_HEADER": HEADER, "PYTHONASYNCIODEBUG": "1"})
        command = [sys.executable, "-c", script, "--debug", "sweep", str(path)]
        done = run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" in done.stderr
    assert "RuntimeError: planned" in done.stderr
    shown = done.stdout + done.stderr + everything(tmp_path)
    assert [secret for secret in SECRETS if secret in shown] == []


def test_the_client_s_own_log_does_not_hold_it(tmp_path: Path, evalkit: Command) -> None:
    env = {"PLANTED_KEY": KEY, "PLANTED_HEADER": HEADER, "OPENAI_LOG": "debug"}
    with serving(lambda _: Answer(200, JSON, completion("fine"))) as endpoint:
        done = evalkit("sweep", experiment(tmp_path, endpoint.url), env=env)
    assert done.returncode == 0
    assert [secret for secret in SECRETS if secret in done.stdout + done.stderr] == []
    assert base64.b64encode(KEY.encode()).decode() not in done.stdout + done.stderr
