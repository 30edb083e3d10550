"""The client: what a server may answer, or fail to, and the outcome it gives. Nothing that a server does makes `send` raise."""

from __future__ import annotations

import asyncio
import functools
import gzip
import json
import resource
import time
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.endpoints import JSON, Answer, Asked, Endpoint, completion, nobody, serving

from evalkit.client.client import Client
from evalkit.client.reply import Reply
from evalkit.errors import AuthError
from evalkit.plan.requests import Request
from evalkit.store.records import Completion, Failure, Outcome, Usage

KEY = "sk-live/abc.DEF+123=&x"
BODY = {"model": "tiny", "temperature": 0.5, "stop": ["\n", "é"], "logit_bias": {"5": -100}}
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is é😀\u2028?"}]
REQUEST = Request("0" * 32, 0, 0, "p", {"temperature": 0.5}, 0, None, "tiny", BODY, MESSAGES)
HTML = {"Content-Type": "text/html"}
USAGE = Usage(prompt_tokens=3, completion_tokens=2, total_tokens=5)


class Sent(NamedTuple):
    attempt: Reply
    seen: list[Asked]

    @property
    def outcome(self) -> Any:
        return self.attempt.outcome


class Wire:
    """One client on one endpoint for all tests of this file, so each fault also shows that the client outlives it."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self.answer: Callable[[Asked], Any] = lambda _: Answer()
        self._runner = runner

    async def open(self, endpoint: Endpoint) -> Client:
        self._endpoint = endpoint
        self._client = Client(endpoint.url, KEY, concurrency=1, loopback=True, timeout_s=30.0)
        return await self._client.__aenter__()

    def send(self, answer: Callable[[Asked], Any] | Answer, *, stream: bool = False) -> Sent:
        """Send one request, to be answered so."""
        self.answer = answer if callable(answer) else lambda _: answer
        before = len(self._endpoint.seen)
        return Sent(self._runner.run(self._client.call(REQUEST.body, REQUEST.messages, stream=stream)), self._endpoint.seen[before:])


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with asyncio.Runner() as runner:
        wire = Wire(runner)
        with serving(lambda asked: wire.answer(asked)) as endpoint:
            client = runner.run(wire.open(endpoint))
            yield wire
            runner.run(client.__aexit__(None, None, None))


def sent(answer: Callable[[Asked], Any] | Answer, url: str | None = None, key: str | None = KEY, **how: Any) -> Sent:
    """Send one request by a client of its own to an endpoint that gives `answer`, or to `url`."""

    async def send(to: str) -> Reply:
        async with Client(to, key, **{"concurrency": 1, "loopback": True, "timeout_s": 30.0} | how) as client:
            return await client.send(REQUEST)

    with serving(answer if callable(answer) else lambda _: answer) as endpoint:
        return Sent(asyncio.run(send(url or endpoint.url)), endpoint.seen)


def failed(sent: Sent) -> tuple[Failure, Reply]:
    """The failure that it led to."""
    outcome = sent.outcome
    assert isinstance(outcome, Failure)
    assert outcome.tries == 1
    assert outcome.latency_s is not None
    return outcome, sent.attempt


def fields(outcome: Outcome) -> dict[str, Any]:
    """The fields of an outcome that do not depend on the clock."""
    clock = ("latency_s", "tokens_per_s", "time_to_first_token_s")
    return {name: value for name, value in msgspec.structs.asdict(outcome).items() if name not in clock}


def choice(**message: Any) -> bytes:
    return json.dumps({"choices": [{"message": message}]}).encode()


def refusal(message: Any = "no", **more: Any) -> bytes:
    return json.dumps({"error": {"message": message} | more}).encode()


# --- answers

WHOLE = {
    "text": "fine",
    "finish_reason": "stop",
    "usage": USAGE,
    "tries": 1,
    "model": "tiny",
    "system_fingerprint": None,
    "id": "chatcmpl-1",
    "repaired": False,
    "masked": False,
    "ending": None,
    "batched": False,
    "usage_shared_by": 1,
    "tool_calls": None,
    "reasoning": None,
    "refusal": None,
    "logprobs": None,
    "unmet": [],
}
BARE = WHOLE | {"finish_reason": None, "usage": None, "model": None, "id": None}
ANSWERS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "plain": (completion("fine"), WHOLE),
    "fingerprint": (completion("fine", system_fingerprint="fp_1"), WHOLE | {"system_fingerprint": "fp_1"}),
    "empty text": (completion(""), WHOLE | {"text": ""}),
    "null content": (completion(None, finish_reason="length"), WHOLE | {"text": "", "finish_reason": "length"}),
    "no content": (choice(role="assistant"), BARE | {"text": ""}),
    "parts": (choice(content=[{"type": "text", "text": "fi"}, {"type": "text", "text": "ne"}]), BARE),
    "parts of other kinds": (choice(content=[{"type": "image"}, {"type": "text", "text": "fine"}, {"text": 5}, 5, None]), BARE),
    "nothing but the text": (choice(content="fine"), BARE),
    "null everywhere": (completion("fine", usage=None, model=None, id=None, finish_reason=None), BARE),
    "usage without a count": (completion("fine", usage={"completion_tokens": 2}), WHOLE | {"usage": Usage(completion_tokens=2)}),
    "usage with null": (completion("fine", usage={"prompt_tokens": None}), WHOLE | {"usage": Usage()}),
    "usage as text or float": (completion("fine", usage={"prompt_tokens": "3", "completion_tokens": 2.0, "total_tokens": 5}), WHOLE),
    "usage with more": (completion("fine", usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "details": {"cached": 1}}), WHOLE),
    "usage of another type": (completion("fine", usage="many"), WHOLE | {"usage": None}),
    "id and model of another type": (completion("fine", id=7, model=["tiny"]), WHOLE | {"id": None, "model": None}),
    "finish_reason empty": (completion("fine", finish_reason=""), WHOLE | {"finish_reason": ""}),
    "finish_reason of its own": (completion("fine", finish_reason="eos"), WHOLE | {"finish_reason": "eos"}),
    "unknown fields": (completion("fine", prompt_logprobs=None, kv={"a": [1, {}]}, service_tier="x"), WHOLE),
    "reasoning beside it": (choice(content=None, reasoning_content="hm"), BARE | {"text": "", "reasoning": "hm"}),
    "text of older completions": (b'{"choices": [{"text": "fine"}]}', BARE),
    "a number as content": (choice(content=5), BARE | {"text": "5"}),
    "several choices": (
        completion("fine", choices=[{"message": {"content": word}, "finish_reason": "stop"} for word in ("fine", "other")]),
        WHOLE | {"usage_shared_by": 2},
    ),
    "all of Unicode": (completion("é😀\u2028\0\ufeff"), WHOLE | {"text": "é😀\u2028\0\ufeff"}),
    "unescaped": (completion("X").replace(b"X", "é😀\u2028".encode()), WHOLE | {"text": "é😀\u2028"}),
    "half a character": (completion("a\ud83db"), WHOLE | {"text": "a\ufffdb", "repaired": True}),
    "half a character last": (completion("a\udc00\ud83d"), WHOLE | {"text": "a\ufffd\ufffd", "repaired": True}),
    "NaN beside it": (completion("fine", score=float("nan")), WHOLE),
    "byte order mark": (b"\xef\xbb\xbf" + completion("fine"), WHOLE),
    "white space around": (b"\n\n " + completion("fine") + b"\r\n", WHOLE),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_gives_its_completion(wire: Wire, name: str) -> None:
    body, expected = ANSWERS[name]
    attempt = wire.send(Answer(200, JSON, body)).attempt
    assert isinstance(attempt.outcome, Completion)
    assert fields(attempt.outcome) == expected
    assert (attempt.again, attempt.wait_s) == (False, None)
    assert attempt.outcome.latency_s > 0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {"Content-Type": "text/plain"}, completion("fine")),
        Answer(200, {}, completion("fine")),
        Answer(201, JSON, completion("fine")),
        Answer(200, JSON | {"Content-Encoding": "gzip"}, gzip.compress(completion("fine"))),
        Answer(200, JSON | {"Set-Cookie": "a=b", "Content-Encoding": "identity"}, completion("fine")),
        Answer(body=b"HTTP/1.0 200 OK\r\n\r\n" + completion("fine"), fault="raw"),
        Answer(
            body=b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(completion("fine")), completion("fine")),
            fault="raw",
        ),
    ],
    ids=["text/plain", "no type", "201", "gzip", "cookie", "until the connection ends", "chunked"],
)
def test_an_answer_is_read_however_it_is_carried(wire: Wire, answer: Answer) -> None:
    assert fields(wire.send(answer).outcome) == WHOLE


def test_a_huge_answer_is_whole(wire: Wire) -> None:
    assert wire.send(Answer(200, JSON, completion("é" * 5_000_000))).outcome.text == "é" * 5_000_000


NO_ANSWERS: dict[str, tuple[Answer, str]] = {
    "empty": (Answer(200, JSON, b""), "an empty body"),
    "blank": (Answer(200, JSON, b" \r\n"), "an empty body"),
    "204": (Answer(204, {}, b""), "an empty body"),
    "no choices": (Answer(200, JSON, b'{"choices": []}'), 'not a chat completion: {"choices": []}'),
    "null choices": (Answer(200, JSON, b'{"choices": null}'), 'not a chat completion: {"choices": null}'),
    "null choice": (Answer(200, JSON, b'{"choices": [null]}'), 'not a chat completion: {"choices": [null]}'),
    "HTML under 200": (Answer(200, HTML, b"<html>\n<body>Log in</body>"), "a web page instead of an answer: <html> <body>Log in</body>"),
    "truncated": (Answer(200, JSON, completion("fine")[:20]), 'not a chat completion: {"id": "chatcmpl-1",'),
    "null": (Answer(200, JSON, b"null"), "not a chat completion: null"),
    "not UTF-8": (Answer(200, JSON, b'{"choices": "\xff"}'), 'not a chat completion: {"choices": "\ufffd"}'),
    "too deep": (Answer(200, JSON, b'{"choices": [], "x": ' + b"[" * 10**6), 'not a chat completion: {"choices": [], "x": [[['),
    "huge": (Answer(200, JSON, b"a-" * 5_000_000), "not a chat completion: a-a-a-"),
    "bad gzip": (Answer(200, JSON | {"Content-Encoding": "gzip"}, b"plain"), "Error -3 while decompressing data"),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_a_success_that_holds_no_answer_is_malformed_and_tried_again(wire: Wire, name: str) -> None:
    answer, words = NO_ANSWERS[name]
    found, attempt = failed(wire.send(answer))
    assert (found.kind, found.status, attempt.again) == ("malformed", None, True)
    assert found.message.startswith(words)
    assert len(found.message) <= 200


# --- refusals


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        *[(status, "rejected", False) for status in (400, 404, 405, 413, 415, 418, 422, 451, 304)],
        *[(status, "auth", False) for status in (401, 403)],
        (402, "account", False),
        (408, "timeout", True),
        (409, "server", True),
        (429, "rate_limited", True),
        *[(status, "server", True) for status in (500, 501, 502, 503, 504, 507)],
    ],
)
def test_a_status_gives_its_kind_and_the_servers_words(wire: Wire, status: int, kind: str, again: bool) -> None:
    body = b"" if status == 304 else refusal("no such thing", param="top_k", code="unsupported_value")
    found, attempt = failed(wire.send(Answer(status, JSON, body)))
    assert (found.kind, found.status, attempt.again, attempt.wait_s) == (kind, status, again, None)
    if status != 304:
        assert (found.message, found.param, found.code) == ("no such thing", "top_k", "unsupported_value")


ERROR_BODIES: dict[str, tuple[bytes, str, str | None, str | None]] = {
    "OpenAI": (refusal("bad", type="t", param="top_k", code="c"), "bad", "top_k", "c"),
    "null param and code": (refusal("bad", param=None, code=None), "bad", None, None),
    "vLLM": (b'{"object": "error", "message": "bad", "type": "BadRequestError", "param": null, "code": 400}', "bad", None, "400"),
    "string": (b'{"error": "bad"}', "bad", None, None),
    "detail": (b'{"detail": "bad"}', "bad", None, None),
    "detail in error": (b'{"error": {"detail": "bad"}}', "bad", None, None),
    "list of details": (b'{"detail": [{"loc": ["body", "top_k"], "msg": "bad"}]}', '[{"loc": ["body", "top_k"], "msg": "bad"}]', "top_k", None),
    "message of another type": (b'{"error": {"message": {"bad": 1}, "param": ["x"]}}', '{"bad": 1}', '["x"]', None),
    "nothing known": (b'{"errors": ["bad"]}', "bad", None, None),
    "null": (b'{"error": null}', '{"error": null}', None, None),
    "a bare string": (b'"bad"', "bad", None, None),
    "a number": (b"5", "5", None, None),
    "HTML": (b"<html>\n  <h1>bad</h1>", "<html> <h1>bad</h1>", None, None),
    "not UTF-8": (b"bad \xff", "bad \ufffd", None, None),
    "half a character": (b'{"error": {"message": "b\\ud83dad"}}', "b ad", None, None),
    "empty": (b"", "Error code: 400", None, None),
    "too deep": (b'{"error":' + b"[" * 10**6, '{"error":' + "[" * 191, None, None),
    "huge": (b"a-" * 5_000_000, "a-" * 100, None, None),
}


@pytest.mark.parametrize("name", ERROR_BODIES)
def test_an_error_body_of_any_shape_gives_the_servers_words(wire: Wire, name: str) -> None:
    body, *expected = ERROR_BODIES[name]
    found, _ = failed(wire.send(Answer(400, JSON if body[:1] in b'{"5' else HTML, body)))
    assert found.kind == "rejected"
    assert [found.message, found.param, found.code] == expected


def test_a_page_from_a_proxy_under_503_is_a_server_fault(wire: Wire) -> None:
    found, attempt = failed(wire.send(Answer(503, HTML | {"Retry-After": "7"}, b"<html>Service Unavailable</html>")))
    assert (found.kind, found.message) == ("server", "<html>Service Unavailable</html>")
    assert (attempt.again, attempt.wait_s) == (True, 7.0)


@pytest.mark.parametrize("charset", ["klingon", "utf-16", "idna", "base64", "utf-8\u00e9"])
def test_an_error_in_an_encoding_that_cannot_be_read_is_a_failure(wire: Wire, charset: str) -> None:
    found, _ = failed(wire.send(Answer(400, {"Content-Type": f"text/plain; charset={charset}"}, b"\xff bad")))
    assert found.kind in ("rejected", "malformed")
    assert found.message


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "3"}, 0.25),
        ({"retry-after-ms": "soon", "Retry-After": "3"}, 3.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "1e999"}, None),
        ({"Retry-After": "Fri, 31 Dec 99999 00:00:00 GMT"}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_told_and_garbage_is_not(wire: Wire, headers: dict[str, str], wait_s: float | None) -> None:
    found, attempt = failed(wire.send(Answer(429, JSON | headers, refusal())))
    assert (found.kind, attempt.again, attempt.wait_s) == ("rate_limited", True, wait_s)


def test_the_wait_until_a_date_is_from_now(wire: Wire) -> None:
    _, attempt = failed(wire.send(lambda _: Answer(429, {"Retry-After": formatdate(time.time() + 100, usegmt=True)}, b"")))
    assert attempt.wait_s is not None
    assert 0 < attempt.wait_s <= 100


def test_a_spent_quota_does_not_pass_by_waiting(wire: Wire) -> None:
    found, attempt = failed(wire.send(Answer(429, JSON, refusal("You exceeded your quota", code="insufficient_quota"))))
    assert (found.kind, found.code, attempt.again) == ("account", "insufficient_quota", False)


# --- the wire


def raw(body: bytes) -> Answer:
    return Answer(body=body, fault="raw")


WIRE: dict[str, tuple[Answer, str, str]] = {
    "hang-up before the headers": (Answer(fault="hang up"), "connection", "Server disconnected"),
    "hang-up in the body": (Answer(200, JSON, completion("fine"), fault="cut"), "interrupted", "the answer broke off"),
    "hang-up in an error": (Answer(500, JSON, refusal(), fault="cut"), "interrupted", "the answer broke off"),
    "hang-up in a chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nab"), "interrupted", "the answer broke off"),
    "no chunk": (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab"), "connection", ""),
    "another protocol": (raw(b"SSH-2.0-OpenSSH_9\r\n"), "connection", "400"),
    "no status": (raw(b"HTTP/1.1 999999 x\r\n\r\n"), "connection", "400"),
    "bad header": (raw(b"HTTP/1.1 200 OK\r\nBad Header\0: x\r\n\r\n"), "connection", "400"),
    "endless header": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), "connection", "400"),
}


@pytest.mark.parametrize("name", WIRE)
def test_a_fault_on_the_wire_gives_its_kind_and_is_tried_again(wire: Wire, name: str) -> None:
    answer, kind, words = WIRE[name]
    found, attempt = failed(wire.send(answer))
    assert (found.kind, found.status, attempt.again) == (kind, None, True)
    assert found.message.startswith(words)
    assert found.message


@pytest.mark.parametrize(
    ("status", "sort", "stream"), [(200, "application/json", False), (500, "application/json", False), (200, "text/event-stream", True)]
)
def test_an_answer_without_end_is_given_up_whatever_it_is_and_not_tried_again(wire: Wire, status: int, sort: str, stream: bool) -> None:
    endless = Answer(status, {"Content-Type": sort}, pieces=[b"data: {}" + b" " * 2**20] * 80)
    found, attempt = failed(wire.send(endless, stream=stream))
    assert (found.kind, found.message, attempt.again) == ("malformed", "an answer of over 64 MB", False)
    assert wire.send(Answer(200, JSON, completion("fine"))).outcome.text == "fine"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
def test_a_small_body_that_unpacks_to_a_huge_one_is_given_up_in_little_memory(wire: Wire, status: int, encoding: str, stream: bool) -> None:
    kind = zlib.compressobj(1) if encoding == "deflate" else zlib.compressobj(1, wbits=31)
    packed = b"".join([kind.compress(b" " * 2**20) for _ in range(100)] + [kind.flush()])
    if encoding == "gzip, gzip":
        packed = gzip.compress(packed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found, attempt = failed(wire.send(Answer(status, JSON | {"Content-Encoding": encoding}, packed), stream=stream))
    assert (found.kind, found.message, attempt.again) == ("malformed", "an answer of over 64 MB", False)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(completion("fine"))),
        ("x-gzip", gzip.compress(completion("fine"))),
        ("GZIP", gzip.compress(completion("fine")[:50]) + gzip.compress(completion("fine")[50:])),
        ("gzip", gzip.compress(completion("fine")) + b"\0\0\0"),
        ("deflate", zlib.compress(completion("fine"))),
        ("deflate", zlib.compress(completion("fine"))[2:-4]),
        ("deflate, gzip", gzip.compress(zlib.compress(completion("fine")))),
        ("identity", completion("fine")),
        ("", completion("fine")),
    ],
)
def test_a_packed_answer_is_unpacked_as_its_header_says(wire: Wire, encoding: str, packed: bytes) -> None:
    for body in (
        Answer(200, JSON | {"Content-Encoding": encoding}, packed),
        Answer(200, JSON | {"Content-Encoding": encoding}, pieces=pieces(packed)),
    ):
        assert wire.send(body).outcome.text == "fine"


def pieces(body: bytes) -> list[bytes]:
    return [body[at : at + 11] for at in range(0, len(body), 11)]


def test_an_encoding_that_was_not_asked_for_is_told(wire: Wire) -> None:
    found, attempt = failed(wire.send(Answer(200, JSON | {"Content-Encoding": "br"}, b"\x0b\x02\x80")))
    assert (found.kind, attempt.again) == ("malformed", True)
    assert "the answer came in the encoding br, which was not asked for" in found.message
    found, _ = failed(wire.send(Answer(200, JSON | {"Content-Encoding": "gzip"}, gzip.compress(completion("fine"))[:40])))
    assert "breaks off" in found.message


@pytest.mark.parametrize("url", [None, "http://no-such-host.invalid/v1"], ids=["refused", "no such host"])
def test_an_endpoint_that_is_not_there_is_a_connection_fault(url: str | None) -> None:
    with nobody() as refused:
        found, attempt = failed(sent(Answer(), url=url or refused))
    assert (found.kind, attempt.again) == ("connection", True)
    assert found.message.startswith("Cannot connect to host")


@pytest.mark.parametrize(
    "answer",
    [Answer(fault="stall"), Answer(200, JSON, completion("late"), delay_s=5.0), Answer(200, JSON | {"Content-Length": "10000"}, b"{")],
    ids=["never", "late", "stops in the body"],
)
def test_no_whole_answer_in_time_is_a_timeout(answer: Answer) -> None:
    found, attempt = failed(sent(answer, timeout_s=0.3))
    assert (found.kind, found.status, attempt.again) == ("timeout", None, True)
    assert found.message == "no whole answer within 0.3 s"


def test_cancelling_is_not_a_failure() -> None:
    async def cancelled(url: str) -> None:
        async with Client(url, KEY, concurrency=1, loopback=True) as client:
            task = asyncio.create_task(client.send(REQUEST))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with serving(lambda _: Answer(fault="stall")) as endpoint:
        asyncio.run(cancelled(endpoint.url))


# --- what is sent


def test_what_is_sent_is_the_requests_body_with_its_messages_and_nothing_else(wire: Wire) -> None:
    (asked,) = wire.send(Answer(200, JSON, completion("fine"))).seen
    assert asked.path == "/v1/chat/completions"
    assert asked.raw == msgspec.json.encode(BODY | {"messages": MESSAGES})
    assert asked.body == BODY | {"messages": MESSAGES}
    assert asked.headers["content-type"] == "application/json"


def test_the_key_goes_as_a_bearer_and_without_one_nothing_goes(wire: Wire) -> None:
    answer = Answer(200, JSON, completion("fine"))
    assert wire.send(answer).seen[0].headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in sent(answer, key=None).seen[0].headers


@pytest.mark.parametrize("key", ["", " ", "a\nb", "clé", "a\0b"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(AuthError, match="the key holds characters that no header can carry") as fault:
        Client("http://127.0.0.1/v1", key, concurrency=1)
    assert key.strip() == "" or key not in str(fault.value)


@pytest.mark.parametrize("key", [KEY, None])
def test_the_environment_of_openais_own_users_changes_nothing_that_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, key: str | None) -> None:
    def headers() -> dict[str, str]:
        (asked,) = sent(Answer(200, JSON, completion("fine")), key=key).seen
        return {name: value for name, value in asked.headers.items() if name != "host"}

    before = headers()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password something\n")
    netrc.chmod(0o600)
    for name, value in {
        "OPENAI_API_KEY": "sk-other",
        "OPENAI_ADMIN_KEY": "sk-admin",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_ORG_ID": "org",
        "OPENAI_PROJECT_ID": "proj",
        "OPENAI_CUSTOM_HEADERS": "X-Custom: yes\nAuthorization: Bearer sk-other",
        "NETRC": str(netrc),
    }.items():
        monkeypatch.setenv(name, value)
    assert headers() == before


def test_a_proxy_of_the_environment_is_not_for_the_embedded_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: Answer(200, JSON, completion("by the proxy"))) as proxy:
        for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url.removesuffix("/v1"))
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        direct = Answer(200, JSON, completion("direct"))
        assert sent(direct, loopback=True).outcome.text == "direct"
        assert not proxy.seen
        assert sent(direct, loopback=False).outcome.text == "by the proxy", "other endpoints go through it"
        assert proxy.seen[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("to", ["/v2", "ftp://x", "http://elsewhere.example/v1"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_told_and_never_followed(wire: Wire, status: int, to: str) -> None:
    sent = wire.send(Answer(status, {"Location": to}))
    found, attempt = failed(sent)
    assert len(sent.seen) == 1
    assert (found.kind, found.status, attempt.again) == ("rejected", status, False)
    assert found.message == f"the endpoint redirects to {to}, which is not followed; set endpoint.base_url to where it leads"


def test_one_connection_serves_many_requests(wire: Wire) -> None:
    answer = Answer(200, JSON, completion("fine"))
    assert len({wire.send(answer).seen[0].port for _ in range(5)}) == 1


# --- words of strangers


@pytest.mark.parametrize("status", [200, 400, 401, 500])
@pytest.mark.parametrize(
    "quoted",
    [
        lambda said: json.dumps({"error": {"message": f"Incorrect API key: {said}", "param": said, "code": said}}),
        lambda said: json.dumps({"error": f"{said} {said}"}),
        lambda said: json.dumps({"detail": {said: [said]}}).replace("/", "\\/"),
        lambda said: f"<p>{said}</p>",
        lambda said: " " * 980 + said,
        lambda said: "\n" * 19_990 + said,
        lambda said: "no" + said * 30,
        lambda said: said[0] + said,
    ],
    ids=["OpenAI", "string", "escaped", "HTML", "far off", "at the edge", "often", "twice the first"],
)
def test_the_key_never_comes_back_in_a_message(wire: Wire, quoted: Callable[[str], str], status: int) -> None:
    def echo(asked: Asked) -> Answer:
        return Answer(status, JSON, quoted(asked.headers["authorization"].removeprefix("Bearer ")).encode())

    found, _ = failed(wire.send(echo))
    for said in (found.message, found.param or "", found.code or ""):
        assert KEY not in said
        assert "abc.DEF" not in said
        assert "123=" not in said
    assert "[key]" in found.message or found.message.endswith("completion:")


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abc123def",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "ghp_abcdefghijkl",
        "hf_abcdefgh",
        "xoxb-123456-abcdef",
        "Bearer abc",
        "a1" * 16,
        "sk-abc***********xyz",
    ],
)
def test_what_looks_like_a_key_is_not_kept_either(secret: str) -> None:
    found, _ = failed(sent(Answer(401, JSON, refusal(f"Incorrect API key provided: {secret}. See the docs")), key=None))
    assert secret.split()[-1] not in found.message
    assert found.message.startswith("Incorrect API key provided: ")
    assert found.message.endswith("See the docs") or "[key]" in found.message


def test_plain_words_are_kept_as_they_are(wire: Wire) -> None:
    said = "This model's maximum context length is 4096 tokens; 'top_k' must be at least 1 (got -1). Voilà: 请求无效"
    assert failed(wire.send(Answer(400, JSON, refusal(said))))[0].message == said
    assert failed(wire.send(Answer(400, JSON, refusal("-" * 60))))[0].message == "-" * 60


def test_control_and_direction_characters_are_not_kept(wire: Wire) -> None:
    said = "a\x1b[31mb\u202ec\u2066d\u200fe\u061cf\x85g\u2028h\r\n\ti\0j"
    assert failed(wire.send(Answer(400, JSON, refusal(said, param=said))))[0].message == "a [31mb c d e f g h i j"


KEYS = [KEY, "sk-abcdef012345", "a.b~c/d+e=f-g_h1", "0123456789abcdef" * 4]


@functools.cache
def unconnected(key: str) -> Client:
    return Client("http://127.0.0.1/v1", key, concurrency=1)


@given(key=st.sampled_from(KEYS), parts=st.lists(st.text(max_size=30) | st.just("\0"), max_size=6), room=st.integers(0, 30_000))
def test_words_of_strangers_are_made_harmless(key: str, parts: list[str], room: int) -> None:
    client = unconnected(key)
    words = " " * room + key.join(parts)
    found = client.harmless(words)
    assert key not in found
    assert len(found) <= 200
    assert not [one for one in found if unicodedata.category(one) in ("Cc", "Cs")]
    assert not [one for one in found if unicodedata.bidirectional(one) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")]
    assert client.harmless(found) == found or "[key]" in found


# --- whatever comes

anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
messages = st.fixed_dictionaries({}, optional={"content": anything | st.text(st.characters()), "role": anything})
choices = st.fixed_dictionaries({}, optional={"message": anything | messages, "finish_reason": anything})
answers = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(choices, max_size=2) | anything,
        **dict.fromkeys(["usage", "model", "id", "system_fingerprint", "error", "detail"], anything),
    },
)
bodies = st.binary(max_size=30) | st.builds(lambda value: json.dumps(value).encode(), answers | anything)
statuses = st.sampled_from([200] * 20 + [int(one) for one in HTTPStatus if one >= 200 and one not in (204, 205, 304)])
types = st.sampled_from(["application/json", "text/html", "text/event-stream", "text/plain; charset=utf-16", "x"])
faults = st.sampled_from([None] * 20 + ["hang up", "cut", "raw"])


@settings(max_examples=200)
@given(st.builds(lambda status, type_, body, fault: Answer(status, {"Content-Type": type_}, body, fault), statuses, types, bodies, faults))
def test_nothing_that_a_server_sends_makes_send_raise(wire: Wire, answer: Answer) -> None:
    attempt = wire.send(answer).attempt
    assert isinstance(attempt.outcome, Completion | Failure)
    assert isinstance(attempt.outcome, Failure) or answer.status < 300
    assert not (isinstance(attempt.outcome, Completion) and attempt.again)
    assert msgspec.json.decode(msgspec.json.encode(attempt.outcome), type=Outcome) == attempt.outcome, "it can be recorded"


def test_a_version_in_the_base_url_stays_behind_every_address() -> None:
    async def go(url: str) -> None:
        async with Client(f"{url}/openai/?api-version=2024-10-21", None, concurrency=1) as client:
            await client.models()
            await client.call({"model": "m"}, [])
            await client.call({"model": "m"}, [], stream=True)
            await client.post("/embeddings", {"input": []}, lambda _: None)

    with serving(lambda _: Answer(200, JSON, completion("fine"))) as endpoint:
        asyncio.run(go(endpoint.url))
    assert [asked.path for asked in endpoint.seen] == [
        f"/v1/openai/{name}?api-version=2024-10-21" for name in ("models", "chat/completions", "chat/completions", "embeddings")
    ]
