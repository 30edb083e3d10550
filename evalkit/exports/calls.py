"""A setting as code that makes the call."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from evalkit.choice.recommendation import call_of
from evalkit.experiment.endpoint import LOCAL, Endpoint
from evalkit.exports.settings import Exported, without_place
from evalkit.run import Run
from evalkit.text.escaping import harmless

_NO_KEY = "none"
_SERVED = "http://127.0.0.1:8080/v1"
"""Where ``evalkit serve`` serves the embedded model."""


def _parts(endpoint: Endpoint) -> tuple[str, str]:
    """The base URL, and its query behind a question mark where it has one."""
    base, mark, query = (_SERVED if endpoint.base_url == LOCAL else endpoint.base_url).partition("?")
    return base.rstrip("/"), mark + query


def _about(run: Run, one: Exported, mark: str) -> list[str]:
    said = [f"{mark} {harmless(run.experiment.name)}: {harmless(one.name)}, chosen by evalkit"]
    left = without_place(one.endpoint)
    return said + ([f"{mark} Not here: {harmless(', '.join(left))}."] if left else [])


def in_python(run: Run, settings: Sequence[Exported]) -> str:
    """A call of the openai client."""
    one, endpoint = settings[0], settings[0].endpoint
    base, query = _parts(endpoint)
    key = f'os.environ["{endpoint.api_key_env}"]' if endpoint.api_key_env else repr(_NO_KEY)
    version = f", default_query={dict(parse_qsl(query[1:]))!r}" if query else ""
    lines = [
        *_about(run, one, "#"),
        *(["import os", ""] if endpoint.api_key_env else []),
        "from openai import OpenAI",
        "",
        f"client = OpenAI(base_url={base!r}, api_key={key}{version})",
        'messages = [{"role": "user", "content": "Hello"}]',
        f"answer = {call_of({'model': one.model, **one.parameters})}",
        "print(answer.choices[0].message.content)",
    ]
    return "\n".join(lines) + "\n"


def in_curl(run: Run, settings: Sequence[Exported]) -> str:
    """A call by curl, for a POSIX shell."""
    one, endpoint = settings[0], settings[0].endpoint
    base, query = _parts(endpoint)
    headers = ["-H 'Content-Type: application/json'"]
    headers += [f'-H "Authorization: Bearer ${endpoint.api_key_env}"'] if endpoint.api_key_env else []
    body = json.dumps(_body(one), ensure_ascii=True, indent=2)
    address = shlex.quote(f"{base}/chat/completions{query}")
    lines = [*_about(run, one, "#"), f"curl {address} \\", *(f"  {header} \\" for header in headers), f"  -d {shlex.quote(body)}"]
    return "\n".join(lines) + "\n"


def in_javascript(run: Run, settings: Sequence[Exported]) -> str:
    """A call by fetch, as a module for Node 18 or newer."""
    one, endpoint = settings[0], settings[0].endpoint
    base, query = _parts(endpoint)
    key = f"    Authorization: `Bearer ${{process.env.{endpoint.api_key_env}}}`,\n" if endpoint.api_key_env else ""
    body = json.dumps(_body(one), ensure_ascii=True, indent=2).replace("\n", "\n  ")
    return (
        "\n".join(_about(run, one, "//")) + "\n"
        f"const response = await fetch({json.dumps(f'{base}/chat/completions{query}')}, {{\n"
        '  method: "POST",\n'
        f'  headers: {{\n    "Content-Type": "application/json",\n{key}  }},\n'
        f"  body: JSON.stringify({body}),\n"
        "});\n"
        "const answer = await response.json();\n"
        "console.log(answer.choices[0].message.content);\n"
    )


def _body(one: Exported) -> dict[str, Any]:
    return {"model": one.model, "messages": [{"role": "user", "content": "Hello"}], **one.parameters}
