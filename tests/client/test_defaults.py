"""What llama.cpp's server says of its own defaults is read, of newer and older ones, and no other server is asked for it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, serving

from evalkit.client.client import Client
from evalkit.client.defaults import OwnDefaults, defaults_of

# As xllamacpp 2026.10.11549 answers, shortened.
PARAMS = {"temperature": 0.800000011920929, "top_k": 40, "top_p": 0.949999988079071, "min_p": 0.05000000074505806, "max_tokens": -1}
SAMPLERS = ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"]
NEW = {"default_generation_settings": {"params": {**PARAMS, "samplers": SAMPLERS}, "n_ctx": 2048}, "total_slots": 4}
ON = {"temperature": 0.8, "top_p": 0.95, "top_k": 40.0, "min_p": 0.05}


def test_values_are_rounded_as_they_were_meant_and_the_order_is_told() -> None:
    assert defaults_of(NEW) == OwnDefaults(values=ON, cuts_first=True)
    assert defaults_of({"default_generation_settings": PARAMS}) == OwnDefaults(values=ON, cuts_first=None)
    first = {"default_generation_settings": {"params": {"top_k": 1, "samplers": ["temperature", "top_p"]}}}
    assert defaults_of(first) == OwnDefaults(values={"top_k": 1.0}, cuts_first=False)


@pytest.mark.parametrize("told", [None, [], {}, {"default_generation_settings": 3}, {"default_generation_settings": {"top_k": True, "min_p": "0"}}])
def test_what_holds_none_is_none(told: Any) -> None:
    assert defaults_of(told) is None


@pytest.mark.parametrize(
    ("headers", "owner", "asked"),
    [({"Server": "llama.cpp"}, "me", True), ({}, "llamacpp", True), ({}, "vllm", False)],
    ids=["by its name", "by its models' owner", "another server"],
)
def test_only_llama_cpp_is_asked(headers: dict[str, str], owner: str, asked: bool) -> None:
    def answer(request: Asked) -> Answer:
        body: Any = {"data": [{"id": "tiny", "owned_by": owner}]} if request.path.endswith("/models") else NEW
        return Answer(headers=JSON | headers, body=json.dumps(body).encode())

    async def go(url: str) -> OwnDefaults | None:
        async with Client(url, None, concurrency=1) as client:
            assert await client.models() == {"tiny"}
            return await client.own_defaults()

    with serving(answer, lists_models=True) as endpoint:
        found = asyncio.run(go(endpoint.url))
        paths = [one.path for one in endpoint.seen]
    assert (found is not None) == asked
    assert paths[1:] == (["/props"] if asked else [])


def test_what_cannot_be_had_is_none() -> None:
    def answer(request: Asked) -> Answer:
        body = b'{"data": [{"id": "tiny", "owned_by": "llamacpp"}]}'
        return Answer(body=body) if request.path.endswith("/models") else Answer(404)

    async def go(url: str) -> OwnDefaults | None:
        async with Client(url, None, concurrency=1) as client:
            await client.models()
            return await client.own_defaults()

    with serving(answer, lists_models=True) as endpoint:
        assert asyncio.run(go(endpoint.url)) is None
