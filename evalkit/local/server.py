"""The local model behind HTTP on this machine: an OpenAI-compatible endpoint under ``/v1`` and ``/api/v2``."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, Router

from evalkit.local import embeddings
from evalkit.local.api import MODEL_NAME, AnyAnswer, Api
from evalkit.local.batches import LARGEST_FILE, Batches, parts_of
from evalkit.local.corpus import sections
from evalkit.local.errors import ApiError
from evalkit.local.faults import Trouble, strike
from evalkit.local.model import Model
from evalkit.local.quirks import Twisted
from evalkit.local.rehearsal import Rehearsal
from evalkit.local.validation import Chat

PREFIXES = ("/v1", "/api/v2")
LARGEST_BODY = 4 * 2**20
"""Bytes of a request body that are read at the most."""

_BATCH_S = 0.003
"""How long a request waits for others to be answered with, where that makes a difference."""
_TOKENS_A_TURN = 32
_TEXTS_A_TURN = 2

Item = TypeVar("Item")
Handler = Callable[[Request], Awaitable[Response]]


def app(api: Api, key: str | None = None, rehearsal: Rehearsal | None = None) -> Starlette:
    """The ASGI application; with a `key`, every request must bear it; with a `rehearsal`, answers meet its faults and quirks."""
    trouble = Trouble(rehearsal or Rehearsal())

    def guarded(handler: Handler) -> Handler:
        async def guard(request: Request) -> Response:
            if key is not None and not _bears(request, key):
                raise ApiError(401, "Incorrect API key provided.", code="invalid_api_key")
            return await handler(request)

        return guard

    def troubled(route: str, handler: Callable[[Request, Twisted], Awaitable[Response]]) -> Handler:
        async def troubled(request: Request) -> Response:
            with trouble.inside():
                content = await _read(request)
                if trouble.batches:
                    await asyncio.sleep(_BATCH_S)
                number = trouble.next()
                return await _struck(trouble, number, lambda: handler(request, trouble.twist(_decode(content), route, number)))

        return troubled

    async def list_models(_: Request) -> Response:
        return JSONResponse(api.models())

    async def show_model(request: Request) -> Response:
        return JSONResponse(api.model(request.path_params["name"]))

    async def complete(request: Request, twisted: Twisted) -> Response:
        chat = api.chat(twisted.asked(), twisted.manners)
        answers = api.answers(chat)
        if chat.stream:
            return StreamingResponse(_events(api, chat, answers, request, twisted), media_type="text/event-stream")
        return JSONResponse(twisted.told(await _whole(api, chat, answers)))

    async def embed(_: Request, twisted: Twisted) -> Response:
        wanted = api.embeddings(twisted.asked())
        vectors = [vector async for vector in _taking_turns(api.vectors(wanted), _TEXTS_A_TURN)]
        return JSONResponse(twisted.told(embeddings.body(wanted, vectors)))

    async def tell(_: Request) -> Response:
        return JSONResponse(trouble.told())

    counts = [Route("/faults", guarded(tell), methods=["GET"])] if rehearsal else []
    routes = [
        Route("/chat/completions", guarded(troubled("chat", complete)), methods=["POST"]),
        Route("/embeddings", guarded(troubled("embeddings", embed)), methods=["POST"]),
        Route("/models", guarded(list_models), methods=["GET"]),
        Route("/models/{name:path}", guarded(show_model), methods=["GET"]),
        *(Route(path, guarded(_met(handler, trouble)), methods=[method]) for method, path, handler in _of_batches(api, trouble, rehearsal)),
        *counts,
    ]
    return _mounted(routes, counts)


def _met(handler: Handler, trouble: Trouble) -> Handler:
    """A handler whose answer may meet the faults of the way, and no quirk."""

    async def met(request: Request) -> Response:
        return await _struck(trouble, trouble.next(), lambda: handler(request))

    return met


async def _whole(api: Api, chat: Chat, answers: Sequence[AnyAnswer]) -> dict[str, Any]:
    """The body of a plain answer, written while others take their turns."""
    texts = ["".join([turn async for turn in _turns(iter(answer))]) for answer in answers]
    return api.completion(chat, answers, texts)


def _of_batches(api: Api, trouble: Trouble, rehearsal: Rehearsal | None) -> list[tuple[str, str, Handler]]:
    """What serves files and batches: method, path and handler of each."""

    async def of_a_batch(body: object) -> tuple[int, Any]:
        try:
            twisted = trouble.twist(body, "chat", trouble.next())
            chat = api.chat(twisted.asked(), twisted.manners)
            if chat.stream:
                raise ApiError(400, "A request of a batch does not stream.", param="stream")
            return 200, twisted.told(await _whole(api, chat, api.answers(chat)))
        except ApiError as error:
            return error.status, error.body

    batches = Batches(of_a_batch, *((rehearsal.batches, rehearsal.seed) if rehearsal else ()))

    async def keep(request: Request) -> Response:
        parts = parts_of(await _read(request, LARGEST_FILE + LARGEST_BODY), request.headers.get("content-type", ""))
        if "file" not in parts:
            raise ApiError(400, "Missing required parameter: 'file'.", param="file")
        return JSONResponse(batches.keep(parts["file"][0], parts.get("purpose", ("", b""))[1].decode("utf-8", "replace"), parts["file"][1]).told())

    async def list_files(request: Request) -> Response:
        return JSONResponse(batches.files(request.query_params.get("after"), request.query_params.get("limit")))

    async def file(request: Request) -> Response:
        return JSONResponse(batches.file(request.path_params["id"]).told())

    async def drop(request: Request) -> Response:
        return JSONResponse(batches.drop(request.path_params["id"]))

    async def content(request: Request) -> Response:
        return Response(batches.file(request.path_params["id"]).content, media_type="application/octet-stream")

    async def start(request: Request) -> Response:
        return JSONResponse(batches.start(_decode(await _read(request))).told())

    async def list_batches(request: Request) -> Response:
        return JSONResponse(batches.batches(request.query_params.get("after"), request.query_params.get("limit")))

    async def batch(request: Request) -> Response:
        return JSONResponse(batches.batch(request.path_params["id"]).told())

    async def cancel(request: Request) -> Response:
        return JSONResponse(batches.cancel(request.path_params["id"]).told())

    return [
        ("POST", "/files", keep),
        ("GET", "/files", list_files),
        ("GET", "/files/{id}", file),
        ("DELETE", "/files/{id}", drop),
        ("GET", "/files/{id}/content", content),
        ("POST", "/batches", start),
        ("GET", "/batches", list_batches),
        ("GET", "/batches/{id}", batch),
        ("POST", "/batches/{id}/cancel", cancel),
    ]


async def _struck(trouble: Trouble, number: int, handler: Callable[[], Awaitable[Response]]) -> Response:
    """The response to the request of that number, after the fault that it meets."""

    async def answer() -> Response:
        try:
            return await handler()
        except ApiError as error:
            return JSONResponse(error.body, error.status)

    fault = trouble.draw(number)
    return await (strike(fault, answer) if fault else answer())


def _mounted(routes: Sequence[Route], beside: Sequence[Route]) -> Starlette:
    """The application with its routes under each prefix, and some beside them."""
    # A slash too many makes an unknown URL, as at OpenAI; a redirect would turn a POST's error into a riddle.
    inner = Router(routes, redirect_slashes=False)
    whole = Starlette(
        routes=[*(Mount(prefix, app=inner) for prefix in PREFIXES), *beside],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, Exception: _fault},
    )
    whole.router.redirect_slashes = False
    return whole


async def _turns(pieces: Iterator[str]) -> AsyncIterator[str]:
    """A text in as many pieces as it is to give way to other requests."""
    while turn := list(islice(pieces, _TOKENS_A_TURN)):
        yield "".join(turn)
        await asyncio.sleep(0)


async def _taking_turns(items: Iterator[Item], turn: int) -> AsyncIterator[Item]:
    """The items of an iterator that computes, giving way to other requests after every `turn` of them."""
    for count, item in enumerate(items, 1):
        yield item
        if count % turn == 0:
            await asyncio.sleep(0)


async def _events(api: Api, chat: Chat, answers: Sequence[AnyAnswer], request: Request, twisted: Twisted) -> AsyncIterator[bytes]:
    for chunk in api.chunks(chat, answers):
        if chunk is not None:
            yield b"data: " + json.dumps(twisted.told(chunk), ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
        await asyncio.sleep(0)
        if await request.is_disconnected():
            return
    if not twisted.has("no_done"):
        yield b"data: [DONE]\n\n"


async def _read(request: Request, most: int = LARGEST_BODY) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise ApiError(413, f"The request body is larger than {most} bytes.", code="request_too_large")
    except ClientDisconnect:
        raise ApiError(400, "The request ended before its body did.") from None
    return bytes(body)


def _decode(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "We could not parse the JSON body of your request.", code="invalid_json") from None


def _bears(request: Request, key: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), key.encode())


_KNOWN = "Known: POST /v1/chat/completions, POST /v1/embeddings, POST /v1/files, POST /v1/batches, GET /v1/models (also under /api/v2)."


async def _api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 (it is registered for nothing else)
    return JSONResponse(error.body, error.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (as above)
    what = "Unknown request URL" if error.status_code == 404 else error.detail
    message = f"{what}: {request.method} {request.url.path[:200]}. {_KNOWN}"
    return JSONResponse(ApiError(error.status_code, message).body, error.status_code, headers=error.headers)


async def _fault(_: Request, __: Exception) -> Response:
    return JSONResponse(ApiError(500, "The server had an error while processing your request.").body, 500)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    key: str | None = None,
    names: Sequence[str] = (),
    rehearsal: Rehearsal | None = None,
    announce: Callable[[str], None] = print,
    until_input_ends: bool = False,
) -> None:
    """Train the model and serve it until interrupted.

    Args:
        port: 0 takes a free one.
        key: the bearer key that requests must carry, or None for none.
        names: further names the model answers to.
        rehearsal: faults and quirks to put on.
        announce: called with the base URL once connections are taken.
        until_input_ends: end at once when standard input ends, however the process that holds its other end does.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    if until_input_ends:
        threading.Thread(target=_end_with_input, daemon=True).start()
    api = Api(Model(sections()), (MODEL_NAME, *names))
    config = uvicorn.Config(app(api, key, rehearsal), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    if rehearsal:
        logging.getLogger("uvicorn.error").addFilter(_not_of_unfinished_responses)
    listener.listen(config.backlog)
    name = f"[{host}]" if family == socket.AF_INET6 else host
    announce(f"http://{name}:{listener.getsockname()[1]}{PREFIXES[0]}")
    uvicorn.Server(config).run(sockets=[listener])


def _not_of_unfinished_responses(record: logging.LogRecord) -> bool:
    """What uvicorn says of a response that breaks off, which here is as it should be."""
    return "without completing response" not in record.getMessage()


def _end_with_input() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)
