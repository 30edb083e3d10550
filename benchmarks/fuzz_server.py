"""Does the embedded server answer whatever a schema of its own API makes up, and no less what breaks it? Never with a fault, never late.

    pip install schemathesis && python benchmarks/fuzz_server.py [--examples 200] [--smallest]

`evalkit serve` publishes no description of its API, so one is written down here. Schemathesis makes requests of it, valid ones and ones
that break it, in all its phases; an answer with status 5xx, one that is not of the form described, one that takes over 20 s, or a server
that is gone afterwards is a failure. The requests are the same at each run. With `--smallest` one example of each suffices, and without
schemathesis the server is started, asked one thing of each route, and ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


def objects(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def listed(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def number(low: float, high: float, kind: str = "number") -> dict[str, Any]:
    return {"type": [kind, "null"], "minimum": low, "maximum": high}


TEXT, SOME, FLAG = {"type": "string"}, {"type": "string", "minLength": 1}, {"type": "boolean"}
CONTENT = {"anyOf": [TEXT, listed(objects(("type", "text"), type={"const": "text"}, text=TEXT), minItems=1)]}
MESSAGE = objects(("role", "content"), role={"enum": ["system", "user", "assistant", "developer"]}, content=CONTENT)
NAME = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,20}$"}
KINDS = {"type": {"enum": ["object", "array", "string", "integer", "number", "boolean", "null"]}}
TOOL = objects(
    ("type", "function"), type={"const": "function"}, function=objects(("name",), name=NAME, description=TEXT, parameters=objects((), **KINDS))
)
FORMAT = objects(
    ("type",), type={"enum": ["text", "json_object", "json_schema"]}, json_schema=objects(("name",), name=NAME, schema=objects((), **KINDS))
)
CHAT = objects(
    ("model", "messages", "max_tokens"),
    model={"const": "babbler"},
    messages=listed(MESSAGE, minItems=1, maxItems=4),
    max_tokens={"type": "integer", "minimum": 1, "maximum": 40},
    temperature=number(0, 2),
    top_p=number(0, 1),
    frequency_penalty=number(-2, 2),
    presence_penalty=number(-2, 2),
    n=number(1, 4, "integer"),
    seed=number(-(2**63), 2**63, "integer"),
    stop={"anyOf": [SOME, listed(SOME, maxItems=4)]},
    stream=FLAG,
    stream_options=objects((), include_usage=FLAG),
    logprobs=FLAG,
    top_logprobs=number(0, 20, "integer"),
    logit_bias={
        "type": "object",
        "propertyNames": {"pattern": "^[1-9][0-9]{0,2}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
    },
    response_format=FORMAT,
    tools=listed(TOOL, maxItems=3),
    tool_choice={"anyOf": [{"enum": ["none", "auto", "required"]}, objects(("type", "function"), type=TEXT, function=objects(("name",), name=NAME))]},
    user=TEXT,
)
EMBED = objects(
    ("model", "input"),
    model={"const": "hashed-tfidf"},
    input={"anyOf": [SOME, listed(SOME, minItems=1, maxItems=4)]},
    dimensions=number(1, 256, "integer"),
    encoding_format={"enum": ["float", "base64"]},
)
ERROR = objects(("error",), error=objects(("message", "type", "param", "code"), message=TEXT, type=TEXT))


def said(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The responses of a route: the good one, and errors in their form."""
    good = {"description": "the answer", "content": {"application/json": {"schema": schema}, **more}}
    return {"200": good, **{code: {"description": "refused", "content": {"application/json": {"schema": ERROR}}} for code in ("400", "404", "413")}}


def posted(schema: dict[str, Any], responses: dict[str, Any]) -> dict[str, Any]:
    return {"post": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, "responses": responses}}


MODEL = objects(("id", "object", "created", "owned_by"), id=TEXT)
CHOICE = objects(("index", "message", "finish_reason"), finish_reason={"enum": ["stop", "length", "tool_calls"]})
STREAM = {"text/event-stream": {"schema": TEXT}}
PATHS = {
    "/chat/completions": posted(CHAT, said(objects(("id", "model", "choices", "usage"), choices=listed(CHOICE, minItems=1)), **STREAM)),
    "/embeddings": posted(EMBED, said(objects(("data", "model", "usage"), data=listed(objects(("embedding", "index")), minItems=1)))),
    "/models": {"get": {"responses": said(objects(("data",), data=listed(MODEL, minItems=1)))}},
    "/models/{name}": {
        "get": {
            "parameters": [{"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}],
            "responses": said(MODEL),
        }
    },
}
DOCUMENT = {"openapi": "3.1.0", "info": {"title": "evalkit serve", "version": "1"}, "paths": PATHS}
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


def asked(base_url: str) -> int:
    """One plain request of each route, by hand; how many are not answered with 200."""
    bodies = {
        "/chat/completions": {"model": "babbler", "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 5},
        "/embeddings": {"model": "hashed-tfidf", "input": "Hi."},
    }
    wrong = 0
    for path in (one.replace("{name}", "babbler") for one in PATHS):
        connection = HTTPConnection(urlsplit(base_url).netloc, timeout=20)
        content = json.dumps(bodies[path]) if path in bodies else None
        connection.request("POST" if content else "GET", f"{urlsplit(base_url).path}{path}", content)
        wrong += connection.getresponse().status != 200
        connection.close()
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=200, help="at most so many a route and phase")
    parser.add_argument("--smallest", action="store_true", help="one example, and none where schemathesis is not installed")
    options = parser.parse_args()
    if find_spec("schemathesis") is None and not options.smallest:
        print("schemathesis is not installed: pip install schemathesis")
        return 2
    serve = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--until-input-ends"]
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        base_url = child.stdout.readline().strip()
        document = Path(folder) / "openapi.json"
        document.write_text(json.dumps(DOCUMENT))
        command = [sys.executable, "-m", "schemathesis.cli", "run", str(document), "--url", base_url, "--checks", CHECKS, "--mode", "all"]
        command += ["--max-examples", str(1 if options.smallest else options.examples), "--generation-deterministic"]
        command += ["--request-timeout", "20", "--continue-on-failure", "--no-color"]
        if find_spec("schemathesis") is None:
            print("skipped: schemathesis is not installed, so nothing is made up")
            status = asked(base_url)
        else:
            status = subprocess.run(command, cwd=folder, check=False).returncode
        alive = HTTPConnection(urlsplit(base_url).netloc, timeout=20)
        alive.request("GET", "/v1/models")
        answered = child.poll() is None and alive.getresponse().status == 200
        alive.close()
        child.stdin.close()
    print(f"the server answers afterwards: {'yes' if answered else 'no'}")
    return 0 if status == 0 and answered else 1


if __name__ == "__main__":
    sys.exit(main())
